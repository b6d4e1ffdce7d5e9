package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nuage/api"
)

// attempts is what comes of all that a hostile root tries; that of a neighbour's SSH is what its rules allow.
const attempts = `drop the rules: Operation not permitted
packet socket: Operation not permitted
raw socket: Operation not permitted
raw socket with headers: Operation not permitted
transparent socket: Operation not permitted
speak as a neighbour: Network is unreachable
network of its own: Operation not permitted
user and network of its own: Operation not permitted
forward packets: Read-only file system
switch IPv6 on: Read-only file system
look into process 1: Permission denied
write into process 1: Permission denied
trace process 1: Operation not permitted
mount: Operation not permitted
a neighbour's metadata: Connection refused
a neighbour's metadata, behind: Connection refused
a neighbour's SSH: taken
another network's SSH: no answer
the laptop by TCP: nowhere
`

// testHostile is root inside a machine, who came by SSH and by exec, against the cloud, the laptop and the neighbours.
func testHostile(t *testing.T, c *liveCloud) {
	c.do(t, "network", "create", "elsewhere", "--cidr", freeRange(t, 68))
	c.machines(t, "hostile --image nuage/python:1", "victim --security-group open", "stranger --security-group open --network elsewhere")
	if out, status := c.openSSH(t, "hostile", "scp", "", "testdata/hostile/attack.py", "%s:/root/attack.py"); status != 0 {
		t.Fatalf("scp ended with status %d: %s", status, out)
	}
	heard, places := c.hears(t)
	line := append([]string{"python3", "/root/attack.py", c.address(t, "victim"), c.address(t, "stranger")}, places...)
	before := c.only(t, show[api.Instance](t, c, "instance", "hostile").ID)
	rules := c.ruleset(t, "hostile")
	for _, way := range [][]string{{"ssh", "hostile", "--"}, {"instance", "exec", "hostile", "--"}} {
		if o := c.try(append(slices.Clone(way), line...)...); o.out != attempts || o.status != 0 {
			t.Errorf("wanted\n%sof %s", attempts, o)
		}
	}
	if after := c.only(t, before.id()); after.ID != before.ID || !after.State.StartedAt.Equal(before.State.StartedAt) {
		t.Error("root inside ended its machine")
	}
	if after := c.ruleset(t, "hostile"); after != rules {
		t.Errorf("its rules were\n%s\nand are\n%s", rules, after)
	}
	if n := heard.Load(); n != 0 {
		t.Errorf("a service on the laptop was reached %d times", n)
	}
	if a, err := c.call("GET", "/healthz", ""); err != nil || a.status != 200 {
		t.Errorf("the cloud answers %d, %v", a.status, err)
	}
	c.do(t, "instance", "delete", "hostile", "victim", "stranger")
	c.do(t, "network", "delete", "elsewhere")
}

// broadcast is the last address of a range, at which all in it hear.
func broadcast(p netip.Prefix) string {
	b := p.Addr().As4()
	last := binary.BigEndian.Uint32(b[:]) | uint32(1<<(32-p.Bits())-1)
	binary.BigEndian.PutUint32(b[:], last)
	return netip.AddrFrom4(b).String()
}

// hears listens on every address of the laptop, by TCP and UDP, and counts who comes. The laptop itself is heard there first.
func (c *liveCloud) hears(t *testing.T) (count *atomic.Int32, places []string) {
	t.Helper()
	count = new(atomic.Int32)
	stream, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stream.Close() })
	datagrams, err := net.ListenPacket("udp4", stream.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { datagrams.Close() })
	go func() {
		for conn, err := stream.Accept(); err == nil; conn, err = stream.Accept() {
			count.Add(1)
			conn.Close()
		}
	}()
	go func() {
		for b := make([]byte, 64); ; count.Add(1) {
			if _, _, err := datagrams.ReadFrom(b); err != nil {
				return
			}
		}
	}()
	_, port, _ := net.SplitHostPort(stream.Addr().String())
	addresses := laptopAddresses(t)
	for _, a := range addresses {
		place := a.Addr().String() + ":" + port
		if err := taken(place); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("udp4", place)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		places = append(places, place, broadcast(a)+":"+port, a.Addr().String()+":"+c.listen[strings.LastIndex(c.listen, ":")+1:])
	}
	eventually(t, 5*time.Second, "the laptop hears itself", func() error {
		if n := int(count.Load()); n < 2*len(addresses) {
			return fmt.Errorf("%d of %d", n, 2*len(addresses))
		}
		return nil
	})
	count.Store(0)
	return count, append(places, c.listen)
}
