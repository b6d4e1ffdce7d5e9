//go:build linux

package guest

import (
	"encoding/binary"
	"fmt"
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

// load replaces the table in one transaction: there is no moment without rules, and flows that are established stay.
// Rejecting needs a part of netfilter that some kernels lack; then what is denied is dropped instead.
func (f *firewall) load(in []rule, denyOut ranges) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	reject := &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}
	if len(denyOut) == 0 {
		return replaceTable(in, nil, nil)
	}
	if err := replaceTable(in, denyOut, reject); err == nil {
		return nil
	}
	return replaceTable(in, denyOut, &expr.Verdict{Kind: expr.VerdictDrop})
}

func replaceTable(in []rule, denyOut ranges, denied expr.Any) error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("cannot reach nftables: %w", err)
	}
	b := &batch{conn: conn, table: &nftables.Table{Name: "nuage", Family: nftables.TableFamilyINet}}
	conn.AddTable(b.table) // so that the deletion always finds one
	conn.DelTable(b.table)
	conn.AddTable(b.table)
	b.input(in)
	if len(denyOut) > 0 {
		b.output(denyOut, denied)
	}
	if b.err != nil {
		return fmt.Errorf("cannot write the firewall rules: %w", b.err)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("cannot load the firewall rules: %w", err)
	}
	return nil
}

// batch collects one transaction.
type batch struct {
	conn  *nftables.Conn
	table *nftables.Table
	chain *nftables.Chain
	err   error
}

func (b *batch) hook(name string, hook *nftables.ChainHook, policy nftables.ChainPolicy) {
	b.chain = b.conn.AddChain(&nftables.Chain{
		Name: name, Table: b.table, Type: nftables.ChainTypeFilter,
		Hooknum: hook, Priority: nftables.ChainPriorityFilter, Policy: &policy,
	})
}

func (b *batch) rule(parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	b.conn.AddRule(&nftables.Rule{Table: b.table, Chain: b.chain, Exprs: all})
}

func (b *batch) input(in []rule) {
	b.hook("input", nftables.ChainHookInput, nftables.ChainPolicyDrop)
	b.rule(established(), accept())
	b.rule(interfaceIs(expr.MetaKeyIIFNAME, "lo"), accept())
	for _, kind := range []byte{3, 11, 12} { // unreachable (path MTU too), time exceeded, parameter problem
		b.rule(v4(), protocol(unix.IPPROTO_ICMP), icmpType(kind), accept())
	}
	for _, kind := range []byte{1, 2, 3, 4, 133, 134, 135, 136} { // errors and neighbour discovery
		b.rule(v6(), protocol(unix.IPPROTO_ICMPV6), icmpType(kind), accept())
	}
	for _, r := range in {
		b.allow(r, v4(), r.sources.family(true), 12, 4, nftables.TypeIPAddr, unix.IPPROTO_ICMP)
		b.allow(r, v6(), r.sources.family(false), 8, 16, nftables.TypeIP6Addr, unix.IPPROTO_ICMPV6)
	}
}

// allow writes one rule for one family; offset and size say where a packet of it has its source address.
func (b *batch) allow(r rule, family []expr.Any, sources ranges, offset, size uint32, kind nftables.SetDatatype, icmp byte) {
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
	b.rule(match, ports(r.from, r.to), b.within(sources, offset, size, kind), accept())
}

func (b *batch) output(denyOut ranges, denied expr.Any) {
	b.hook("output", nftables.ChainHookOutput, nftables.ChainPolicyAccept)
	b.rule(established(), accept())
	b.rule(interfaceIs(expr.MetaKeyOIFNAME, "lo"), accept()) // Docker's DNS at 127.0.0.11 among others
	b.rule(v4(), address(16, 4), equal(169, 254, 169, 254), accept())
	if v := denyOut.family(true); len(v) > 0 {
		b.rule(v4(), b.within(v, 16, 4, nftables.TypeIPAddr), []expr.Any{denied})
	}
	if v := denyOut.family(false); len(v) > 0 {
		b.rule(v6(), b.within(v, 24, 16, nftables.TypeIP6Addr), []expr.Any{denied})
	}
}

// within matches an address in the packet's header against spans, by an anonymous set of intervals.
func (b *batch) within(in ranges, offset, size uint32, kind nftables.SetDatatype) []expr.Any {
	set := &nftables.Set{Table: b.table, Anonymous: true, Constant: true, Interval: true, KeyType: kind}
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
	return append(address(offset, size), &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID})
}

func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }

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
