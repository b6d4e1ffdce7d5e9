//go:build linux

package guest_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute/guest/link"
)

// ready boots and configures a machine with SSH.
func ready(t *testing.T) *vm {
	t.Helper()
	m := boot(t, machineImage, nil, "bash")
	m.configure(m.sshConfig())
	m.booted()
	return m
}

func TestUserData(t *testing.T) {
	m := boot(t, machineImage, nil, "bash")
	config := m.sshConfig()
	config.UserData = "#!/usr/bin/perl\nuse Cwd;\nprint 'hello from user data ', $ENV{COLOR}, ' ', getcwd(), \"\\n\";\nmkdir '/root/made';\nexit 3;\n"
	config.RunUserData = true
	config.Env = map[string]string{"COLOR": "blue"}
	m.configure(config)
	s := m.await("user data", func(s link.State) bool { return s.UserData == link.UserDataFailed })
	if s.UserDataExit != 3 {
		t.Errorf("exit status %d", s.UserDataExit)
	}
	m.configure(config) // again: it runs once
	if out, status := m.run("rmdir", "/root/made"); status != 0 {
		t.Error(out)
	}
	if log := m.logs(); strings.Count(log, "user-data: hello from user data blue /") != 1 {
		t.Errorf("console:\n%s", log)
	}
	ctx, cancel := context.WithCancel(within(t, 20*time.Second))
	defer cancel()
	var kinds []string
	for e := range m.Events(ctx, link.Cursor{}) {
		kinds = append(kinds, e.Type)
		if e.Type == link.EventUserData {
			if e.Status != 3 {
				t.Errorf("event %+v", e)
			}
			break
		}
	}
	if got := strings.Join(kinds, " "); got != "configured booted user-data" {
		t.Errorf("events: %s", got)
	}
}

func TestExec(t *testing.T) {
	m := ready(t)
	cases := []struct {
		name, stdin string
		command     link.Command
		output      string
		status      int
	}{
		{"one word is a line", "", link.Command{Args: []string{"echo a; exit 4"}}, "a\n", 4},
		{"several words keep their boundaries", "", link.Command{Args: []string{"printf", "%s|", "a b", "c"}}, "a b|c|", 0},
		{"no word is a shell", "echo $0\n", link.Command{}, "-bash\n", 0},
		{"directory and variables", "", link.Command{Args: []string{"echo $PWD $X"}, Dir: "/tmp", Env: []string{"X=1"}}, "/tmp 1\n", 0},
		{"a directory that is not there", "", link.Command{Args: []string{"echo"}, Dir: "/none"}, "nuage-guest: cannot enter \"/none\": chdir /none: no such file or directory\n", 126},
		{"no such command", "", link.Command{Args: []string{"none", "such"}}, "nuage-guest: cannot run \"none\": not found\n", 127},
		{"killed", "", link.Command{Args: []string{"kill -9 $$"}}, "", 137},
		{"terminal", "", link.Command{Args: []string{"stty size"}, TTY: true, Rows: 30, Cols: 90}, "30 90\r\n", 0},
		{"stdin ends", "x\ny\n", link.Command{Args: []string{"wc", "-l"}}, "2\n", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			status, err := m.Exec(within(t, 20*time.Second), c.command, link.Stdio{Stdin: strings.NewReader(c.stdin), Stdout: &out, Stderr: &out})
			if err != nil || out.String() != c.output || status != c.status {
				t.Errorf("got %q, %d, %v; want %q, %d", &out, status, err, c.output, c.status)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := m.Exec(ctx, link.Command{Args: []string{"trap '' HUP; sleep 1005 & wait"}}, link.Stdio{}); api.CodeOf(err) != api.Unavailable {
		t.Errorf("after its time: %v", err)
	}
	m.awaitOutput("pgrep -f 'sleep 100[5]' | wc -l", "0\n")
}

func TestAttachAgain(t *testing.T) {
	m := ready(t)
	go m.Exec(t.Context(), link.Command{Args: []string{"sleep 1006"}}, link.Stdio{})
	m.awaitOutput("pgrep -c -f 'sleep 100[6]'", "1\n")
	m.attached.Write([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 4, 0, 0, 'h', 'a', 'l', 'f'})
	m.attached.Close()
	m.ssh("user", m.root(), "head -c 3000000 /dev/zero | tr '\\0' x") // nobody attached blocks nothing
	m.dial()
	if s, err := m.State(within(t, 5*time.Second)); err != nil || !s.Configured || !s.SSH {
		t.Errorf("state %+v, %v", s, err)
	}
	m.awaitOutput("pgrep -c -f 'sleep 100[6]'", "0\n")
}

func TestStop(t *testing.T) {
	m := ready(t)
	m.run("sh", "-c", "trap '' TERM HUP; (trap 'echo bye > /root/bye; exit' TERM; while :; do sleep 0.1; done) & while :; do sleep 0.1; done >/dev/null 2>&1 &")
	start := time.Now()
	docker(t, "stop", "-t", "20", m.id)
	if took := time.Since(start); took > 12*time.Second { // of 20, after which the engine kills
		t.Errorf("stopping took %s", took)
	}
	if status := docker(t, "inspect", "-f", "{{.State.ExitCode}} {{.State.OOMKilled}}", m.id); status != "0 false" {
		t.Errorf("ended with %s", status)
	}
	docker(t, "start", m.id)
	m.dial()
	if s, _ := m.State(within(t, 5*time.Second)); s.Configured || s.SSH {
		t.Errorf("a new boot remembers its configuration: %+v", s)
	}
	if m.reaches("22") {
		t.Error("port 22 is open before the configuration has come")
	}
	m.configure(m.config)
	m.booted()
	if out, _ := m.run("cat /root/bye"); out != "bye\n" {
		t.Errorf("the process that listens to SIGTERM: %q", out)
	}
}

func TestBootScriptsAndZombies(t *testing.T) {
	m := ready(t)
	m.run(`mkdir -p /etc/rc2.d
printf '#!/bin/sh\necho second $1\n' > /etc/rc2.d/S02b
printf '#!/bin/sh\necho first $1\nexit 9\n' > /etc/rc2.d/S01a
printf '#!/bin/sh\necho local\n(sleep 1007 &)\n' > /etc/rc.local
printf '#!/bin/sh\necho never\n' > /etc/rc2.d/S03c
chmod +x /etc/rc2.d/S0[12]* /etc/rc.local; chmod -x /etc/rc2.d/S03c`)
	docker(t, "restart", "-t", "10", m.id)
	m.dial()
	m.configure(m.config)
	m.booted()
	var boot []string
	for line := range strings.Lines(m.logs()) {
		if _, text, ok := strings.Cut(line, "boot: "); ok {
			boot = append(boot, strings.TrimSpace(text))
		}
	}
	want := []string{"/etc/rc2.d/S01a", "first start", "/etc/rc2.d/S01a: exit status 9", "/etc/rc2.d/S02b", "second start", "/etc/rc.local", "local"}
	if !slices.Equal(boot, want) {
		t.Errorf("boot scripts said %q; want %q", boot, want)
	}
	m.awaitOutput("pgrep -f -c 'sleep 100[7]'", "1\n")
	for range 20 {
		m.run("sh", "-c", "(sleep 0.1 &) ; exec true")
	}
	m.awaitOutput("ps -eo stat= | grep -c '^Z'", "0\n")
}

func TestServiceEndsAndTheMachineGoesOn(t *testing.T) {
	m := boot(t, machineImage, []string{"-w", "/srv"}, "sh", "-c", "echo in $PWD; exit 5")
	m.configure(m.sshConfig())
	for e := range m.Events(within(t, 20*time.Second), link.Cursor{}) {
		if e.Type == link.EventServiceExit {
			if e.Status != 5 || e.Command != "sh -c echo in $PWD; exit 5" {
				t.Errorf("event %+v", e)
			}
			break
		}
	}
	m.awaitLog("sh: in /srv\n")
	if out, status := m.ssh("user", m.root(), "echo on"); out != "on\n" || status != 0 {
		t.Errorf("afterwards: %q, %d", out, status)
	}
}

// TestAnyImage boots images that have next to nothing: one with busybox only, and one with a single program and no shell.
func TestAnyImage(t *testing.T) {
	images := map[string]struct{ command, output, none string }{
		"nuage/tiny:1": {"echo $0 $HOME; id -u", "sh /root\n0\n", "sh: nonesuch: not found\n"},
		"scratch":      {"/hello", "hello\n", "nuage-guest: cannot run \"nonesuch\": not found\n"},
	}
	for name, c := range images {
		t.Run(name, func(t *testing.T) {
			service := "/bin/sh -c echo"
			if name == "scratch" {
				name, service = scratchImage(t), "/hello"
			}
			m := boot(t, name, nil, strings.Fields(service)...)
			config := m.sshConfig()
			config.MachineID = strings.Repeat("0a", 16)
			m.configure(config)
			m.booted()
			m.awaitLog("has ended with status 0; the machine goes on")
			for _, way := range []string{"exec", "ssh"} {
				run := func(line string) (string, int) {
					if way == "exec" {
						return m.run(line)
					}
					return m.ssh("user", m.root(), line)
				}
				if out, status := run(c.command); out != c.output || status != 0 {
					t.Errorf("%s: %q, %d", way, out, status)
				}
				if out, status := run("nonesuch"); out != c.none || status != 127 {
					t.Errorf("%s of what is not there: %q, %d", way, out, status)
				}
			}
			m.copies()
		})
	}
	t.Run("no shell", func(t *testing.T) {
		m := boot(t, scratchImage(t), nil, "/hello")
		m.configure(m.sshConfig())
		m.booted()
		m.awaitLog("hello: hello\n")
		if out, status := m.ssh("user", "-T", m.root()); out != "nuage-guest: cannot start a shell: the image has none; name a command\n" || status != 127 {
			t.Errorf("a login: %q, %d", out, status)
		}
	})
}

// copies sends a file there and back; the SFTP server is the guest's own.
func (m *vm) copies() {
	m.t.Helper()
	local := filepath.Join(m.t.TempDir(), "local")
	if err := os.WriteFile(local, []byte("text"), 0o600); err != nil {
		m.t.Fatal(err)
	}
	for _, args := range [][]string{{local, m.root() + ":/there"}, {m.root() + ":/there", local + ".back"}} {
		if out, status := m.client("scp", append(m.options("user"), args...)...); status != 0 {
			m.t.Errorf("scp %q: %d\n%s", args, status, out)
		}
	}
	if got, err := os.ReadFile(local + ".back"); string(got) != "text" || err != nil {
		m.t.Errorf("scp brought back %q, %v", got, err)
	}
}

// TestMachineID boots a machine whose image has another id, or something else in its place.
func TestMachineID(t *testing.T) {
	m := ready(t)
	for _, before := range []string{"echo 0123 > /etc/machine-id", "rm /etc/machine-id; mkfifo /etc/machine-id", "ln -sf /etc/hosts /etc/machine-id", "true"} {
		m.run(before)
		docker(t, "restart", "-t", "10", m.id)
		m.dial()
		config := m.config
		config.MachineID = strings.Repeat("0a", 16)
		m.configure(config)
		m.booted()
		if out, _ := m.run("cat /etc/machine-id; stat -c '%F %a' /etc/machine-id"); out != strings.Repeat("0a", 16)+"\nregular file 444\n" {
			t.Errorf("after %q: %q", before, out)
		}
	}
}

// scratchImage imports an image with a single static program.
func scratchImage(t *testing.T) string {
	t.Helper()
	needEngine(t, machineImage)
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "hello"), "./testdata/hello")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("hello: %v\n%s", err, out)
	}
	out, err := exec.Command("sh", "-c", "tar -C "+dir+" -c . | docker import -").Output()
	if err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(string(out))
	t.Cleanup(func() { docker(t, "rmi", id) })
	return id
}

func TestServiceRunsAsTheUserOfItsImage(t *testing.T) {
	m := boot(t, machineImage, []string{"-e", "NUAGE_IMAGE_USER=mail"}, "sh", "-c", "id -un; id -Gn; grep CapEff /proc/self/status")
	m.configure(m.sshConfig())
	m.booted()
	want := []string{"mail", "mail", "CapEff:\t0000000000000000"}
	var got []string
	for line := range strings.Lines(m.awaitLog("sh: CapEff")) {
		if _, text, ok := strings.Cut(line, "] sh: "); ok {
			got = append(got, strings.TrimSpace(text))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the service said %q; want %q", got, want)
	}
}

// TestDockerDNS checks that names resolve in a network of its own: Docker's name server needs rules in the nat table, and
// the way to it must stay open when the host's addresses are denied.
func TestDockerDNS(t *testing.T) {
	needEngine(t, machineImage)
	network := docker(t, "network", "create", "--subnet", "10.213.77.0/24", fmt.Sprintf("nuage-guest-test-%d", os.Getpid()))
	t.Cleanup(func() { docker(t, "network", "rm", network) })
	m := boot(t, machineImage, []string{"--network", network, "--network-alias", "here"}, "bash")
	config := m.sshConfig()
	config.DenyOut = []string{"10.213.77.1"}
	m.configure(config)
	m.configure(config)
	m.booted()
	if out, status := m.run("getent hosts here | tr -s ' '"); out != m.address+" here\n" || status != 0 {
		t.Errorf("getent: %q, %d", out, status)
	}
	if out, status := m.ssh("user", m.root(), "true"); status != 0 {
		t.Errorf("SSH: %d, %q", status, out)
	}
}

// TestOutOfMemory has a process take more than the machine has: it is killed, the machine goes on and counts it.
func TestOutOfMemory(t *testing.T) {
	m := boot(t, machineImage, []string{"--memory", "96m", "--memory-swap", "96m"}, "bash")
	m.configure(m.sshConfig())
	m.booted()
	if out, status := m.run("/usr/bin/perl", "-e", "$x = 'x' x (1 << 30)"); status != 137 {
		t.Errorf("what takes too much ends with %d, %q", status, out)
	}
	if s := m.await("the count", func(s link.State) bool { return s.OOMKills > 0 }); s.OOMKills != 1 {
		t.Errorf("%d killed", s.OOMKills)
	}
}
