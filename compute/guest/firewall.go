//go:build linux

package guest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// firewall owns the table inet nuage. Other tables are Docker's and the customer's; it never touches them.
type firewall struct {
	mu sync.Mutex
}

// load replaces the rules in one transaction, and flows that are established stay. A packet can meet the moment at which the old
// rules go: their sets are empty by then. So nothing is let through for the sole reason that no set names it. The chains
// stay: of one that is made anew, or goes, the kernel uses the policy alone for a moment.
// Rejecting needs a part of netfilter that some kernels lack; then what is denied is dropped instead.
func (f *firewall) load(p policy) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	reject := &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}
	if err := replaceTable(p, reject); err == nil {
		return nil
	}
	return replaceTable(p, &expr.Verdict{Kind: expr.VerdictDrop})
}

func replaceTable(p policy, denied expr.Any) error {
	b, err := newBatch(&nftables.Table{Name: "nuage", Family: nftables.TableFamilyINet})
	if err != nil {
		return err
	}
	b.input(p)
	b.output(p, denied)
	b.hook("forward", nftables.ChainHookForward) // a machine is no router, and no way around its rules
	return b.commit()
}

// redirect leads connections to a service of PID 1 from the port that its clients expect to the port where it listens. They
// differ because whoever listens on a port of one address keeps all others from listening on that port of every address.
// This has a table of its own, so that a kernel without address translation refuses nothing else.
func (f *firewall) redirect(from, to netip.AddrPort) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, err := newBatch(&nftables.Table{Name: "nuage_metadata", Family: nftables.TableFamilyIPv4})
	if err != nil {
		return err
	}
	b.begin(&nftables.Chain{Name: "output", Table: b.table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest})
	target := []expr.Any{
		&expr.Immediate{Register: 1, Data: to.Addr().AsSlice()},
		&expr.Immediate{Register: 2, Data: binary.BigEndian.AppendUint16(nil, to.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2},
	}
	b.rule(address(16, 4), equal(from.Addr().AsSlice()...), protocol(unix.IPPROTO_TCP), ports(from.Port(), from.Port()), target)
	return b.commit()
}

// batch collects one transaction.
type batch struct {
	conn  *nftables.Conn
	table *nftables.Table
	chain *nftables.Chain
	err   error
}

// newBatch begins a transaction on a table, which need not be there.
func newBatch(table *nftables.Table) (*batch, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("cannot reach nftables: %w", err)
	}
	conn.AddTable(table)
	return &batch{conn: conn, table: table}, nil
}

func (b *batch) commit() error {
	if b.err != nil {
		return fmt.Errorf("cannot write the firewall rules: %w", b.err)
	}
	if err := b.conn.Flush(); err != nil {
		return fmt.Errorf("cannot load the firewall rules: %w", err)
	}
	return nil
}

// begin empties a chain, which need not be there, and writes its rules from here on.
func (b *batch) begin(chain *nftables.Chain) {
	b.chain = b.conn.AddChain(chain)
	b.conn.FlushChain(b.chain)
}

// hook begins a chain that drops what no rule of it lets through.
func (b *batch) hook(name string, hook *nftables.ChainHook) {
	policy := nftables.ChainPolicyDrop
	b.begin(&nftables.Chain{Name: name, Table: b.table, Type: nftables.ChainTypeFilter,
		Hooknum: hook, Priority: nftables.ChainPriorityFilter, Policy: &policy})
}

func (b *batch) rule(parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	b.conn.AddRule(&nftables.Rule{Table: b.table, Chain: b.chain, Exprs: all})
}

// input: what the machine says to itself goes; link-local addresses are only for that; then who is denied, then
// answers, then what the rules let in.
func (b *batch) input(p policy) {
	b.hook("input", nftables.ChainHookInput)
	b.rule(interfaceIs(expr.MetaKeyIIFNAME, "lo"), accept())
	b.rule(v4(), linkLocal(source4), drop())
	b.rule(v4(), linkLocal(target4), drop())
	b.match(p.denyIn, source4, source6, drop(), opened()) // not the answers to what was opened from here
	b.rule(established(), accept())
	b.match(p.denyIn, source4, source6, drop())
	for _, kind := range []byte{3, 11, 12} { // unreachable (path MTU too), time exceeded, parameter problem
		b.rule(v4(), protocol(unix.IPPROTO_ICMP), icmpType(kind), accept())
	}
	for _, kind := range []byte{1, 2, 3, 4, 133, 134, 135, 136} { // errors and neighbour discovery
		b.rule(v6(), protocol(unix.IPPROTO_ICMPV6), icmpType(kind), accept())
	}
	for _, r := range p.in {
		b.allow(r, v4(), r.sources.family(true), source4, unix.IPPROTO_ICMP)
		b.allow(r, v6(), r.sources.family(false), source6, unix.IPPROTO_ICMPV6)
	}
}

// allow writes one rule for one family.
func (b *batch) allow(r rule, family []expr.Any, sources ranges, at field, icmp byte) {
	if len(sources) == 0 {
		return
	}
	match := family
	switch r.protocol {
	case "tcp":
		match = append(match, protocol(unix.IPPROTO_TCP)...)
	case "udp":
		match = append(match, protocol(unix.IPPROTO_UDP)...)
	case "icmp":
		match = append(match, protocol(icmp)...)
	}
	b.rule(match, ports(r.from, r.to), b.within(sources, at), accept())
}

// output: what the machine says to itself goes, Docker's DNS at 127.0.0.11 and metadata among it; nothing goes out under
// or to a link-local address (where the host is itself a cloud's machine, its own metadata lie there), and nothing with
// options in its header, which could name another way; then answers, then what may be reached.
func (b *batch) output(p policy, denied expr.Any) {
	b.hook("output", nftables.ChainHookOutput)
	b.rule(interfaceIs(expr.MetaKeyOIFNAME, "lo"), accept())
	b.rule(v4(), linkLocal(source4), drop())
	b.rule(v4(), linkLocal(target4), []expr.Any{denied})
	b.rule(v4(), longHeader(), drop())
	b.rule(established(), accept())
	for _, kind := range []byte{133, 134, 135, 136} { // neighbour discovery
		b.rule(v6(), protocol(unix.IPPROTO_ICMPV6), icmpType(kind), accept())
	}
	for _, kind := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		b.match(p.resolvers, target4, target6, accept(), protocol(kind), ports(53, 53))
	}
	b.match(p.out, target4, target6, accept())
	b.rule([]expr.Any{denied})
}

// match writes a rule for each family that has spans.
func (b *batch) match(in ranges, at4, at6 field, verdict []expr.Any, more ...[]expr.Any) {
	extra := slices.Concat(more...)
	if v := in.family(true); len(v) > 0 {
		b.rule(v4(), extra, b.within(v, at4), verdict)
	}
	if v := in.family(false); len(v) > 0 {
		b.rule(v6(), extra, b.within(v, at6), verdict)
	}
}

// field is where a packet's network header has an address.
type field struct {
	offset, size uint32
	kind         nftables.SetDatatype
}

var (
	source4 = field{12, 4, nftables.TypeIPAddr}
	target4 = field{16, 4, nftables.TypeIPAddr}
	source6 = field{8, 16, nftables.TypeIP6Addr}
	target6 = field{24, 16, nftables.TypeIP6Addr}
)

// within matches an address in the packet's header against spans, by an anonymous set of intervals.
func (b *batch) within(in ranges, at field) []expr.Any {
	set := &nftables.Set{Table: b.table, Anonymous: true, Constant: true, Interval: true, KeyType: at.kind}
	elements := make([]nftables.SetElement, 0, 2*len(in))
	for _, s := range in {
		elements = append(elements, nftables.SetElement{Key: s.first.AsSlice()})
		if next := s.last.Next(); next.IsValid() {
			elements = append(elements, nftables.SetElement{Key: next.AsSlice(), IntervalEnd: true})
		}
	}
	if err := b.conn.AddSet(set, elements); err != nil && b.err == nil {
		b.err = err
	}
	return append(address(at.offset, at.size), &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID})
}

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }

func drop() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }

func equal(bytes ...byte) []expr.Any {
	return []expr.Any{&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: bytes}}
}

func meta(key expr.MetaKey, bytes ...byte) []expr.Any {
	return append([]expr.Any{&expr.Meta{Key: key, Register: 1}}, equal(bytes...)...)
}

func v4() []expr.Any { return meta(expr.MetaKeyNFPROTO, unix.NFPROTO_IPV4) }

func v6() []expr.Any { return meta(expr.MetaKeyNFPROTO, unix.NFPROTO_IPV6) }

func protocol(number byte) []expr.Any { return meta(expr.MetaKeyL4PROTO, number) }

func interfaceIs(key expr.MetaKey, name string) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return meta(key, padded...)
}

func established() []expr.Any {
	bits := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: bits, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// opened matches packets of flows that the other side has begun.
func opened() []expr.Any {
	return append([]expr.Any{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}}, equal(0)...)
}

// linkLocal matches 169.254.0.0/16.
func linkLocal(at field) []expr.Any { return append(address(at.offset, 2), equal(169, 254)...) }

// longHeader matches an IPv4 header with options.
func longHeader() []expr.Any {
	return append(address(0, 1),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{0x0f}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{5}})
}

func icmpType(kind byte) []expr.Any {
	load := &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1}
	return append([]expr.Any{load}, equal(kind)...)
}

func address(offset, size uint32) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size}}
}

func ports(from, to uint16) []expr.Any {
	if from == 0 && to == 0 {
		return nil
	}
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: binary.BigEndian.AppendUint16(nil, from)},
		&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: binary.BigEndian.AppendUint16(nil, to)},
	}
}
