//go:build linux

package guest_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"nuage/compute/guest/link"
)

func TestFirewall(t *testing.T) {
	m := ready(t)
	m.run("/.nuage/probe listen :8000 hello >/dev/null 2>&1 &")
	m.awaitOutput("ss -tlnH | grep -c :8000", "1\n")
	if m.reaches("8000") {
		t.Fatal("a port without a rule is open")
	}
	kept, err := net.Dial("tcp", net.JoinHostPort(m.address, "22"))
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	config := m.config
	gateway, err := m.gateway()
	if err != nil {
		t.Fatal(err)
	}
	config.Rules = []link.Rule{{Protocol: "tcp", FromPort: 7999, ToPort: 8001, Sources: []string{gateway, "10.99.0.0/16", "10.99.1.0/24", "fd00::/8"}}}
	m.configure(config)
	if !m.reaches("8000") {
		t.Error("a port with a rule is closed")
	}
	if m.reaches("22") {
		t.Error("port 22 is open after its rule has gone")
	}
	if n, err := kept.Read(make([]byte, 4)); n == 0 {
		t.Errorf("an established flow was cut: %v", err)
	}
	config.Rules[0].Sources = []string{"10.99.0.0/16"}
	m.configure(config)
	if m.reaches("8000") {
		t.Error("a port is open for sources its rule does not name")
	}
	if s, _ := m.State(within(t, time.Second)); s.Firewall != link.FirewallOK {
		t.Errorf("firewall: %s", s.Firewall)
	}
}

func (m *vm) gateway() (string, error) {
	out, err := exec.Command("docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}", m.id).Output()
	return strings.TrimSpace(string(out)), err
}

func TestDenyOut(t *testing.T) {
	m := ready(t)
	gateway, err := m.gateway()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", gateway+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	dial := fmt.Sprintf("timeout 3 bash -c '</dev/tcp/%s/%d' 2>/dev/null && echo open || echo closed", gateway, listener.Addr().(*net.TCPAddr).Port)
	if out, _ := m.run(dial); out != "open\n" {
		t.Fatalf("before: %q", out)
	}
	config := m.config
	config.DenyOut = []string{gateway, "127.0.0.1"}
	m.configure(config)
	if out, _ := m.run(dial); out != "closed\n" {
		t.Errorf("the host's address is in reach: %q", out)
	}
	if out, status := m.ssh("user", m.root(), "echo still in"); out != "still in\n" || status != 0 {
		t.Errorf("SSH from a denied address: %q, %d", out, status)
	}
}

// TestNoGapBetweenRules sends to a denied address without a rest while the rules are replaced again and again.
func TestNoGapBetweenRules(t *testing.T) {
	m := ready(t)
	gateway, err := m.gateway()
	if err != nil {
		t.Fatal(err)
	}
	laptop, err := net.ListenPacket("udp4", gateway+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer laptop.Close()
	config := m.config
	config.DenyOut = []string{gateway}
	m.configure(config)
	port := laptop.LocalAddr().(*net.UDPAddr).Port
	m.run(fmt.Sprintf("perl -MIO::Socket -e 'open(STDERR, q(>/dev/null)); $s = IO::Socket::INET->new(Proto => q(udp), PeerAddr => q(%s:%d)); while (1) { $s->send(q(x)); $n++ %% 1000 or system(q(echo >> /tmp/sent)) }' >/dev/null 2>&1 &", gateway, port))
	m.awaitOutput("test -s /tmp/sent && echo sends", "sends\n")
	for n := range 400 {
		config.Rules = []link.Rule{{Protocol: "tcp", FromPort: 8000 + n%2, Sources: []string{"0.0.0.0/0"}}}
		m.configure(config)
	}
	if err := laptop.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, from, err := laptop.ReadFrom(make([]byte, 1)); err == nil {
		t.Errorf("%s got through to a denied address", from)
	}
	if out, _ := m.run("wc -l < /tmp/sent"); len(strings.TrimSpace(out)) < 2 {
		t.Errorf("only %s thousand packets were sent", out)
	}
}

// TestDenyIn checks that who is denied gets in by no rule, loses what it had, and still answers.
func TestDenyIn(t *testing.T) {
	m, other := ready(t), ready(t)
	for _, one := range []*vm{m, other} {
		config := one.config
		config.Rules = append(config.Rules, link.Rule{Protocol: "tcp", FromPort: 8000, Sources: []string{"0.0.0.0/0"}})
		one.configure(config)
		one.run("/.nuage/probe listen :8000 hello >/dev/null 2>&1 &")
		one.awaitOutput("ss -tlnH | grep -c :8000", "1\n")
	}
	ask := func(one *vm) string {
		return "timeout 3 bash -c 'cat </dev/tcp/" + one.address + "/8000' 2>/dev/null || echo closed"
	}
	if out, _ := other.run(ask(m)); out != "hello\n" {
		t.Fatalf("before: %q", out)
	}
	// A flow that is open: lines go there and back.
	m.run("/.nuage/probe echo :8001 >/dev/null 2>&1 &")
	config := m.config
	config.Rules = append(config.Rules, link.Rule{Protocol: "tcp", FromPort: 8001, Sources: []string{"0.0.0.0/0"}})
	m.configure(config)
	m.awaitOutput("ss -tlnH | grep -c :8001", "1\n")
	other.run("(exec 3<>/dev/tcp/" + m.address + "/8001; while echo tick >&3; do read -t 1 line <&3 && echo $line >> /tmp/ticks; sleep 0.1; done) >/dev/null 2>&1 &")
	const moving = "a=$(wc -l < /tmp/ticks); sleep 0.5; [ $a = $(wc -l < /tmp/ticks) ] && echo still || echo moving"
	other.awaitOutput(moving, "moving\n")
	config.DenyIn = []string{other.address}
	m.configure(config)
	if out, _ := other.run(ask(m)); out != "closed\n" {
		t.Errorf("denied, and let in by a rule: %q", out)
	}
	other.awaitOutput(moving, "still\n")
	if out, _ := m.run(ask(other)); out != "hello\n" {
		t.Errorf("what is opened from here: %q", out)
	}
	config.DenyIn = nil
	m.configure(config)
	if out, _ := other.run(ask(m)); out != "hello\n" {
		t.Errorf("denied no more: %q", out)
	}
}

// TestAllowOut checks that only what is allowed is reached, and that names and metadata are there all the same.
func TestAllowOut(t *testing.T) {
	needEngine(t, machineImage)
	network := docker(t, "network", "create", "--subnet", "10.213.78.0/24", fmt.Sprintf("nuage-guest-test-out-%d", os.Getpid()))
	t.Cleanup(func() { docker(t, "network", "rm", network) })
	join := []string{"--network", network, "--network-alias"}
	m, other := boot(t, machineImage, append(join, "here"), "bash"), boot(t, machineImage, append(join, "there"), "bash")
	config := other.sshConfig()
	config.Rules = []link.Rule{{Protocol: "tcp", Sources: []string{"0.0.0.0/0"}}}
	other.configure(config)
	other.booted()
	other.run("/.nuage/probe listen :8000 hello >/dev/null 2>&1 &")
	other.awaitOutput("ss -tlnH | grep -c :8000", "1\n")
	config = m.described()
	m.configure(config)
	m.booted()
	const ask = "timeout 3 bash -c 'cat </dev/tcp/there/8000' 2>/dev/null || echo closed"
	cases := []struct {
		name        string
		allow, deny []string
		want        string
	}{
		{"anywhere", nil, nil, "hello\n"},
		{"nowhere", []string{}, nil, "closed\n"},
		{"elsewhere", []string{"10.213.79.0/24", "fd00::/8"}, nil, "closed\n"},
		{"the network", []string{"10.213.78.0/24"}, nil, "hello\n"},
		{"the network but for one", []string{"10.213.78.0/24"}, []string{other.address}, "closed\n"},
	}
	for _, c := range cases {
		config.AllowOut, config.DenyOut = c.allow, c.deny
		m.configure(config)
		if out, _ := m.run(ask); out != c.want {
			t.Errorf("%s: %q; want %q", c.name, out, c.want)
		}
		if out, _ := m.run("getent hosts there | tr -s ' '"); out != other.address+" there\n" {
			t.Errorf("%s: names: %q", c.name, out)
		}
		if out, _ := m.run(imds + "get meta-data/instance-id"); out != "i-0123456789abcdef\n" {
			t.Errorf("%s: metadata: %q", c.name, out)
		}
		if out, _ := m.ssh("user", m.root(), "echo in"); out != "in\n" {
			t.Errorf("%s: SSH: %q", c.name, out)
		}
	}
}
