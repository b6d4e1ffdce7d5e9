package controlplane

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"

	"nuage/api"
	"nuage/storage"
)

// Ranges of projects are /20 networks out of 10.128.0.0/9, and those of apps /22 networks from the other half of that round. A cloud
// begins at a place of its own, so that clouds that share an engine seldom meet; where they do, the engine says so and the loop takes the next one.
const (
	rangeBits    = 20
	appRangeBits = 22 // a bridge has 1,024 ports at most
	slotCount    = 1 << (appRangeBits - 9)
	rangeSlots   = 1 << (appRangeBits - rangeBits) // in the range of a project
)

// slotAt is a part of the cloud's range as large as an app's.
func slotAt(i uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 0x0a800000+(i%slotCount)<<(32-appRangeBits))
	return netip.AddrFrom4(b)
}

// slotOf is the number of the first part in a range.
func slotOf(p netip.Prefix) uint32 {
	b := p.Addr().As4()
	return (binary.BigEndian.Uint32(b[:]) - 0x0a800000) >> (32 - appRangeBits)
}

// slotsUsed are the parts of the cloud's range that projects and apps have; also is a range that turned out to be in use elsewhere.
func slotsUsed(tx *storage.Tx, also string) (map[uint32]bool, error) {
	used := map[uint32]bool{}
	use := func(cidr string) {
		if p, err := netip.ParsePrefix(cidr); err == nil && cloudRange().Contains(p.Addr()) {
			for i := range uint32(1) << max(0, appRangeBits-p.Bits()) {
				used[slotOf(p)+i] = true
			}
		}
	}
	use(also)
	err := projectTable.Each(tx, "", func(p api.Project) error { use(p.Status.CIDR); return nil })
	if err != nil {
		return used, err
	}
	return used, appNetworkTable.Each(tx, "", func(n appNetwork) error { use(n.CIDR); return nil })
}

// freeRange returns a range for a project that nobody has; after, where not "", is one that turned out to be in use elsewhere.
func (cp *ControlPlane) freeRange(tx *storage.Tx, after string) (string, error) {
	used, err := slotsUsed(tx, after)
	if err != nil {
		return "", err
	}
	start := cp.rangeStart(after, rangeBits) * rangeSlots
	for i := uint32(0); i < slotCount; i += rangeSlots {
		first, free := (start+i)%slotCount, true
		for n := range uint32(rangeSlots) {
			free = free && !used[first+n]
		}
		if free {
			return netip.PrefixFrom(slotAt(first), rangeBits).String(), nil
		}
	}
	return "", api.Errorf(api.Exhausted, "cannot create a project: all %d network ranges of the cloud are in use; delete a project or apps", slotCount/rangeSlots)
}

// freeAppRange returns a range for the network of an app; after is as for freeRange.
func (cp *ControlPlane) freeAppRange(tx *storage.Tx, after string) (string, error) {
	used, err := slotsUsed(tx, after)
	if err != nil {
		return "", err
	}
	start := cp.rangeStart(after, appRangeBits)
	if after == "" {
		start = start*rangeSlots + slotCount/2
	}
	for i := range uint32(slotCount) {
		if n := (start + i) % slotCount; !used[n] {
			return netip.PrefixFrom(slotAt(n), appRangeBits).String(), nil
		}
	}
	return "", api.Errorf(api.Exhausted, "cannot create an app: its network needs one of the cloud's %d ranges, and projects (%d each) and apps have all; delete an app", slotCount, rangeSlots)
}

// overlaps tells that a range shares addresses with another, given as text; what is no range shares none.
func overlaps(p netip.Prefix, cidr string) bool {
	other, err := netip.ParsePrefix(cidr)
	return err == nil && p.Overlaps(other)
}

// rangeStart is where to look for a free range of that length first: behind one, or at the cloud's own place.
func (cp *ControlPlane) rangeStart(after string, bits int) uint32 {
	if p, err := netip.ParsePrefix(after); err == nil {
		return slotOf(p)>>(appRangeBits-bits) + 1
	}
	id := cp.Store.CloudID()
	raw, err := hex.DecodeString(id[max(0, len(id)-8):])
	if err != nil || len(raw) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(raw) % (slotCount / rangeSlots)
}

// hostAddress is address number n of a range. The engine has number 1 as the gateway.
func hostAddress(cidr string, n int) string {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return ""
	}
	b := p.Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n))
	return netip.AddrFrom4(b).String()
}

// engineRange is the upper half of a range: addresses the engine may give out. We give out the lower half.
func engineRange(cidr string) string {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return ""
	}
	return hostAddress(cidr, 1<<(31-p.Bits())) + "/" + itoa(p.Bits()+1)
}

// firstHost is the number of the first address that we give out in a project's default network.
const firstHost = 10

// endHost is the number behind the last one there: we give out the lower half of a range.
func endHost(cidr string) int {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return 0
	}
	return 1 << (31 - p.Bits())
}

// hosts are the numbers of addresses that we give out in one network.
type hosts struct {
	project, name string
	network       string // id, as machines have it: "" for the default one
	first, end    int
}

// key is where the next number is kept.
func (h hosts) key() string {
	if h.network == "" {
		return hostsKey(h.project)
	}
	return hostsKey(h.network)
}

// hostsKey is where the next number of a project's default network is kept, or of another network, by its id.
func hostsKey(of string) string { return "hosts/" + of }

// freeHost returns a number that nothing in a project's default network has.
func (cp *ControlPlane) freeHost(tx *storage.Tx, project string) (int, error) {
	p, err := projectTable.GetBy(tx, "name", project)
	if err != nil {
		return 0, err
	}
	return hosts{project: project, name: defaultNetwork, first: firstHost, end: endHost(p.Status.CIDR)}.next(tx)
}

// freeHostIn returns a number that nothing has in a network of which we give out all addresses but the gateway's.
func freeHostIn(tx *storage.Tx, n api.Network) (int, error) {
	p, err := netip.ParsePrefix(n.Spec.CIDR)
	if err != nil {
		return 0, api.Errorf(api.Internal, "cannot read the range of network %q: %w", n.Name, err)
	}
	return hosts{project: n.Project, name: n.Name, network: n.ID, first: 2, end: 1<<(32-p.Bits()) - 1}.next(tx)
}

// next returns the number behind the last one given out or, where all were, the lowest that is free again.
func (h hosts) next(tx *storage.Tx) (int, error) {
	n := h.first
	if s, err := settingTable.Get(tx, h.key()); err == nil {
		if n, err = strconv.Atoi(string(s.Value)); err != nil {
			return 0, api.Errorf(api.Internal, "cannot read the next address of network %q: %w", h.name, err)
		}
	}
	if n < h.end {
		return n, settingTable.Put(tx, setting{Key: h.key(), Value: []byte(itoa(n + 1))})
	}
	used, err := h.used(tx)
	if err != nil {
		return 0, err
	}
	for n := h.first; n < h.end; n++ {
		if !used[n] {
			return n, nil
		}
	}
	return 0, api.Errorf(api.Exhausted, "cannot give an address: network %q of project %q has no free one left", h.name, h.project)
}

// used are the numbers that machines and, in the default network, databases have.
func (h hosts) used(tx *storage.Tx) (map[int]bool, error) {
	used := map[int]bool{}
	err := machineTable.Each(tx, "", func(m machine) error {
		if m.Project == h.project && m.Network == h.network {
			used[m.Host] = true
		}
		return nil
	})
	if err != nil || h.network != "" {
		return used, err
	}
	return used, serverTable.Each(tx, "", func(s server) error {
		if s.Project == h.project {
			used[s.Host] = true
		}
		return nil
	})
}
