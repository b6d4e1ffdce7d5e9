//go:build linux

package guest

import (
	"net/netip"
	"slices"

	"nuage/api"
	"nuage/compute/guest/link"
)

// span is the addresses from first to last, of one family.
type span struct{ first, last netip.Addr }

// ranges are spans in order, without overlaps, IPv4 before IPv6.
type ranges []span

// rule is a link.Rule the kernel can be told.
type rule struct {
	protocol string
	from, to uint16 // of tcp and udp; 0 and 0: every port
	sources  ranges
}

// policy is all the firewall is told.
type policy struct {
	in     []rule
	denyIn ranges
	out    ranges // what may be reached

	resolvers ranges // of which port 53 may be reached in any case
}

func parsePolicy(c link.Config) (policy, error) {
	in, err1 := parseRules(c.Rules)
	denyIn, err2 := parseRanges(c.DenyIn)
	denyOut, err3 := parseRanges(c.DenyOut)
	allowOut, err4 := parseRanges(c.AllowOut)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			return policy{}, err
		}
	}
	if c.AllowOut == nil {
		allowOut = everywhere()
	}
	return policy{in: in, denyIn: denyIn, out: allowOut.without(denyOut)}, nil
}

func parseRules(in []link.Rule) ([]rule, error) {
	var out []rule
	for _, r := range in {
		if !slices.Contains([]string{"tcp", "udp", "icmp", "all"}, r.Protocol) {
			return nil, api.Errorf(api.Invalid, "cannot use protocol %q in a firewall rule: use tcp, udp, icmp or all", r.Protocol)
		}
		to := r.ToPort
		if to == 0 {
			to = r.FromPort
		}
		if r.FromPort < 0 || to > 65535 || to < r.FromPort {
			return nil, api.Errorf(api.Invalid, "cannot use ports %d-%d in a firewall rule: give 1 to 65535, the lower one first", r.FromPort, to)
		}
		sources, err := parseRanges(r.Sources)
		if err != nil {
			return nil, err
		}
		if r.Protocol != "tcp" && r.Protocol != "udp" {
			r.FromPort, to = 0, 0
		}
		out = append(out, rule{r.Protocol, uint16(r.FromPort), uint16(to), sources})
	}
	return out, nil
}

// parseRanges reads addresses and CIDRs, and merges them: the kernel refuses intervals that overlap.
func parseRanges(in []string) (ranges, error) {
	var out ranges
	for _, text := range in {
		p, err := parsePrefix(text)
		if err != nil {
			return nil, api.Errorf(api.Invalid, "cannot use %q in a firewall rule: give an address or a range as 10.0.0.0/8", text)
		}
		out = append(out, span{p.Addr(), lastOf(p)})
	}
	return merge(out), nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, err
		}
		a = a.Unmap().WithZone("")
		p = netip.PrefixFrom(a, a.BitLen())
	}
	return p.Masked(), nil
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b) // the length is right
	return a
}

func merge(in ranges) ranges {
	slices.SortFunc(in, func(a, b span) int { return a.first.Compare(b.first) })
	var out ranges
	for _, s := range in {
		if n := len(out); n > 0 && touches(out[n-1], s) {
			if out[n-1].last.Less(s.last) {
				out[n-1].last = s.last
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

// touches reports whether b, which does not start before a, overlaps a or follows it at once.
func touches(a, b span) bool {
	if a.last.Is4() != b.first.Is4() {
		return false
	}
	next := a.last.Next()
	return !next.IsValid() || b.first.Compare(next) <= 0
}

// everywhere is every address there is.
func everywhere() ranges {
	var out ranges
	for _, all := range []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)} {
		out = append(out, span{all.Addr(), lastOf(all)})
	}
	return out
}

// without returns what is left of the spans when others are taken out.
func (r ranges) without(others ranges) ranges {
	var out ranges
	for _, s := range r {
		out = append(out, s.without(others)...)
	}
	return out
}

func (s span) without(others ranges) ranges {
	var out ranges
	for _, o := range others.family(s.first.Is4()) {
		if o.last.Less(s.first) || s.last.Less(o.first) {
			continue
		}
		if s.first.Less(o.first) {
			out = append(out, span{s.first, o.first.Prev()})
		}
		if !o.last.Less(s.last) {
			return out
		}
		s.first = o.last.Next()
	}
	return append(out, s)
}

// family returns the spans of IPv4 or IPv6.
func (r ranges) family(v4 bool) ranges {
	var out ranges
	for _, s := range r {
		if s.first.Is4() == v4 {
			out = append(out, s)
		}
	}
	return out
}
