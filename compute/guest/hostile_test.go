//go:build linux

package guest_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"

	"nuage/compute/guest/link"
)

// attempts is what comes of all that a hostile root tries.
const attempts = `flush rules: operation not permitted
raw socket: operation not permitted
raw socket with headers: operation not permitted
raw socket of IPv6: operation not permitted
packet socket: operation not permitted
packet socket of datagrams: operation not permitted
transparent socket: operation not permitted
mark: operation not permitted
ip addr add 10.9.9.9/32 dev lo: operation not permitted
ip addr del 169.254.169.254/32 dev lo: operation not permitted
ip route add 10.9.9.0/24 dev eth0: operation not permitted
ip link set eth0 promisc on: operation not permitted
ip link add d0 type dummy: operation not permitted
ip neigh add 10.9.9.9 lladdr 02:00:00:00:00:01 dev eth0: operation not permitted
ip link set eth0 address 02:00:00:00:00:02: operation not permitted
write sysctl: read-only file system
open mem of 1: permission denied
open maps of 1: permission denied
open environ of 1: permission denied
open fd/0 of 1: permission denied
open ns/net of 1: permission denied
open root of 1: permission denied
open cwd of 1: permission denied
write memory of 1: permission denied
trace 1: operation not permitted
read memory of 1: operation not permitted
take a file of 1: operation not permitted
limit 1: operation not permitted
mount: operation not permitted
bind mount: operation not permitted
unshare user and network: operation not permitted
unshare network: operation not permitted
load module: operation not permitted
rename the machine: operation not permitted
change the time: operation not permitted
reboot: operation not permitted
open a disk of the host: operation not permitted
bpf: operation not permitted
gain by exec: 0
`

func TestRootInside(t *testing.T) {
	m := ready(t)
	before := m.ruleset()
	for _, way := range []string{"link", "ssh"} {
		out, status := m.ssh("user", m.root(), "/.nuage/probe")
		if way == "link" {
			out, status = m.run("/.nuage/probe")
		}
		if out != attempts || status != 0 {
			t.Errorf("by %s, status %d:\n%s\nwant:\n%s", way, status, out, attempts)
		}
	}
	m.run("for s in $(seq 1 64); do kill -$s 1; done 2>/dev/null; /.nuage/probe signal")
	if out, _ := m.run("echo", "alive"); out != "alive\n" {
		t.Errorf("after all signals: %q", out)
	}
	if state := docker(t, "inspect", "-f", "{{.State.Running}}", m.id); state != "true" {
		t.Errorf("running: %s", state)
	}
	if after := m.ruleset(); after != before {
		t.Errorf("the rules are\n%s\nand were\n%s", after, before)
	}
}

// ruleset returns the rules of the machine as the host sees them.
func (m *vm) ruleset() string {
	m.t.Helper()
	ns, err := os.Open("/proc/" + docker(m.t, "inspect", "-f", "{{.State.Pid}}", m.id) + "/ns/net")
	if err != nil {
		m.t.Skipf("SKIPPED: the machine's network is not to be seen from here: %v", err)
	}
	defer ns.Close()
	conn, err := nftables.New(nftables.WithNetNSFd(int(ns.Fd())))
	if err != nil {
		m.t.Fatal(err)
	}
	chains, err := conn.ListChains()
	if err != nil {
		m.t.Fatal(err)
	}
	var b strings.Builder
	for _, c := range chains {
		policy := "-"
		if c.Policy != nil {
			policy = fmt.Sprint(*c.Policy)
		}
		fmt.Fprintf(&b, "%s %s policy %s\n", c.Table.Name, c.Name, policy)
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, r := range rules {
			fmt.Fprintf(&b, "  %d:", r.Handle)
			for _, e := range r.Exprs {
				fmt.Fprintf(&b, " %T%+v", e, e)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// TestSpoof has a machine speak to a neighbour, which lets all in, in the name of the metadata service.
func TestSpoof(t *testing.T) {
	m, victim := ready(t), boot(t, machineImage, nil, "bash")
	config := victim.sshConfig()
	config.Rules = []link.Rule{{Protocol: "all", Sources: []string{"0.0.0.0/0"}}}
	victim.configure(config)
	victim.booted()
	victim.run("/.nuage/probe hear :5000 >/tmp/heard 2>&1 &")
	victim.awaitOutput("ss -ulnH | grep -c :5000", "1\n")
	if out, _ := m.run("/.nuage/probe", "spoof", "169.254.169.254", victim.address+":5000"); out != "send as 169.254.169.254: operation not permitted\n" {
		t.Errorf("spoof: %q", out)
	}
	// What is sent all the same, here by one who owns its network, the victim drops.
	hello := "echo hello > /dev/udp/" + victim.address + "/5000; "
	script := "ip addr add 169.254.7.7/32 dev lo; " + hello + "sleep 0.5; /.nuage/probe spoof 169.254.7.7 " + victim.address + ":5000; " + hello + "sleep 0.5"
	out := docker(t, "run", "--rm", "--cap-add", "NET_ADMIN", "-v", victim.bin()+":/.nuage:ro", machineImage, "bash", "-c", script)
	if out != "send as 169.254.7.7: <nil>" {
		t.Fatalf("the owner of a network sends: %q", out)
	}
	victim.awaitOutput("grep -vc 169.254 /tmp/heard", "2\n")
	if out, _ := victim.run("grep -c 169.254 /tmp/heard"); out != "0\n" {
		t.Errorf("heard link-local senders: %q", out)
	}
}

func (m *vm) bin() string {
	w, _ := open() // it has been opened, or there would be no machine
	return w.bin
}

// TestMetadataFlood holds connections that say nothing, and asks for tokens without end: the service goes on.
func TestMetadataFlood(t *testing.T) {
	m := boot(t, machineImage, nil, "bash")
	m.configure(m.described())
	m.booted()
	m.run(`for i in $(seq 1 200); do (exec 3<>/dev/tcp/169.254.169.254/80; sleep 30) >/dev/null 2>&1 & done
head -c 100000 /dev/urandom > /dev/tcp/169.254.169.254/80 2>/dev/null`)
	m.awaitOutput(imds+"get meta-data/instance-id", "i-0123456789abcdef\n")
}

// TestForkBomb has a machine use up its processes: its guest answers all the same, and ends them when it is stopped.
func TestForkBomb(t *testing.T) {
	m := boot(t, machineImage, []string{"--pids-limit", "120"}, "bash")
	m.configure(m.sshConfig())
	m.booted()
	m.run("(bomb() { while :; do bomb & done; }; bomb) >/dev/null 2>&1 &")
	full := func() bool {
		_, err := m.Exec(within(t, 20*time.Second), link.Command{Args: []string{"true"}}, link.Stdio{})
		return err != nil
	}
	for ctx := within(t, 60*time.Second); !full(); {
		if ctx.Err() != nil {
			t.Fatal("the processes were never used up")
		}
	}
	var all sync.WaitGroup
	for range 40 { // each would like a thread
		all.Go(func() {
			if _, err := m.State(within(t, 30*time.Second)); err != nil {
				t.Error(err)
			}
			m.reaches("22")
		})
	}
	all.Wait()
	if state := docker(t, "inspect", "-f", "{{.State.Running}}", m.id); state != "true" {
		t.Fatalf("running: %s\n%s", state, m.logs())
	}
	docker(t, "stop", "-t", "30", m.id)
	if status := docker(t, "inspect", "-f", "{{.State.ExitCode}}", m.id); status != "0" {
		t.Errorf("stopped with %s", status)
	}
}

// TestFirewallFromOutside reads the rules from the host, with the tool that people use.
func TestFirewallFromOutside(t *testing.T) {
	m := ready(t)
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("SKIPPED: no nft here: install nftables")
	}
	config := m.config
	config.Rules = append(config.Rules, link.Rule{Protocol: "udp", FromPort: 53, ToPort: 54, Sources: []string{"10.0.0.0/24", "fd00::/8"}})
	config.DenyIn, config.DenyOut, config.AllowOut = []string{"10.9.0.0/16"}, []string{"10.8.0.1"}, []string{"10.0.0.0/8"}
	m.configure(config)
	pid := docker(t, "inspect", "-f", "{{.State.Pid}}", m.id)
	out, err := exec.Command("nsenter", "-t", pid, "-n", "nft", "-n", "list", "table", "inet", "nuage").CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED: the machine's network is not to be seen from here: %v: %s", err, out)
	}
	if string(out) != rulesOutside {
		t.Errorf("nft lists\n%s\nwant\n%s", out, rulesOutside)
	}
}

const rulesOutside = `table inet nuage {
	chain input {
		type filter hook input priority 0; policy drop;
		iifname "lo" accept
		ip saddr 169.254.0.0/16 drop
		ip daddr 169.254.0.0/16 drop
		ct direction 0 ip saddr { 10.9.0.0/16 } drop
		ct state 0x2,0x4 accept
		ip saddr { 10.9.0.0/16 } drop
		icmp type 3 accept
		icmp type 11 accept
		icmp type 12 accept
		icmpv6 type 1 accept
		icmpv6 type 2 accept
		icmpv6 type 3 accept
		icmpv6 type 4 accept
		icmpv6 type 133 accept
		icmpv6 type 134 accept
		icmpv6 type 135 accept
		icmpv6 type 136 accept
		tcp dport 22-22 ip saddr { 0.0.0.0/0 } accept
		udp dport 53-54 ip saddr { 10.0.0.0/24 } accept
		udp dport 53-54 ip6 saddr { fd00::/8 } accept
	}

	chain output {
		type filter hook output priority 0; policy drop;
		oifname "lo" accept
		ip saddr 169.254.0.0/16 drop
		ip daddr 169.254.0.0/16 reject with icmpx 3
		ip hdrlength != 5 drop
		ct state 0x2,0x4 accept
		icmpv6 type 133 accept
		icmpv6 type 134 accept
		icmpv6 type 135 accept
		icmpv6 type 136 accept
		ip daddr { 10.0.0.0-10.8.0.0, 10.8.0.2-10.255.255.255 } accept
		reject with icmpx 3
	}

	chain forward {
		type filter hook forward priority 0; policy drop;
	}
}
`
