//go:build linux

package guest_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/compute/guest/link"
)

func TestSSHCommands(t *testing.T) {
	m := ready(t)
	cases := []struct {
		name   string
		args   []string
		output string
		status int
	}{
		{"exit status", []string{m.root(), "echo out; exit 7"}, "out\n", 7},
		{"root's home and shell", []string{m.root(), `echo "$HOME $PWD $USER $SHELL $0"`}, "/root /root root /bin/bash bash\n", 0},
		{"login shell", []string{"-T", m.root()}, "", 0},
		{"unknown command", []string{m.root(), "nonesuch"}, "bash: line 1: nonesuch: command not found\n", 127},
		{"killed by a signal", []string{m.root(), "kill -9 $$"}, "", 255},
		{"variables", []string{"-o", "SetEnv=LC_TEST=there", m.root(), "echo $LC_TEST"}, "there\n", 0},
		{"size of a terminal", []string{"-tt", m.root(), "stty rows 33 cols 99; stty size; tty | sed s/[0-9]*$//; echo $TERM"}, "33 99\r\n/dev/pts/\r\nxterm\r\n", 0},
		{"a terminal in raw mode is left as it is", []string{"-tt", m.root(), `stty raw; printf 'a\nb\r\r\nc'`}, "a\nb\r\r\nc", 0},
		{"processes left behind do not hold the session", []string{m.root(), "sleep 50 & echo started"}, "started\n", 0},
	}
	t.Setenv("TERM", "xterm")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			out, status := m.ssh("user", c.args...)
			if out != c.output || status != c.status {
				t.Errorf("got %q, status %d; want %q, status %d", out, status, c.output, c.status)
			}
		})
	}
}

func TestSSHStreams(t *testing.T) {
	m := ready(t)
	sent := bytes.Repeat([]byte("0123456789abcde\n"), 1<<18) // 4 MiB
	cmd := exec.CommandContext(within(t, time.Minute), "ssh", append(m.options("user"), m.root(), "cat; echo end >&2")...)
	cmd.Stdin = bytes.NewReader(sent)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil || !bytes.Equal(out.Bytes(), sent) || errs.String() != "end\n" {
		t.Errorf("cat: %v, %d bytes of %d, stderr %q", err, out.Len(), len(sent), &errs)
	}
}

func TestSSHLetsInOnlyKeysOfTheConfig(t *testing.T) {
	m := ready(t)
	if out, status := m.ssh("rsa", m.root(), "echo RSA works"); out != "RSA works\n" || status != 0 {
		t.Errorf("second key: %q, %d", out, status)
	}
	refusals := []struct{ name, key, login string }{
		{"another key", "stranger", m.root()},
		{"another user", "user", "admin@" + m.address},
	}
	for _, c := range refusals {
		out, status := m.ssh(c.key, c.login, "echo in")
		if want := c.login + ": Permission denied (publickey).\r\n"; out != want || status != 255 {
			t.Errorf("%s: %q, %d; want %q", c.name, out, status, want)
		}
	}
	config := m.config
	config.AuthorizedKeys = config.AuthorizedKeys[1:]
	m.configure(config)
	if out, status := m.ssh("user", m.root(), "echo in"); status != 255 {
		t.Errorf("a key that was taken away: %q, %d", out, status)
	}
}

func TestSSHFiles(t *testing.T) {
	m := ready(t)
	dir := t.TempDir()
	sent := bytes.Repeat([]byte{0, 1, 2, 255}, 1<<18)
	local := filepath.Join(dir, "local")
	if err := os.WriteFile(local, sent, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, status := m.client("scp", append(m.options("user"), local, m.root()+":there")...); status != 0 {
		t.Fatalf("scp to the machine: %d\n%s", status, out)
	}
	if out, _ := m.run("wc -c /root/there"); out != "1048576 /root/there\n" {
		t.Errorf("after scp: %q", out)
	}
	back := filepath.Join(dir, "back")
	if out, status := m.client("scp", append(m.options("user"), m.root()+":/root/there", back)...); status != 0 {
		t.Fatalf("scp from the machine: %d\n%s", status, out)
	}
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("scp brought back %d bytes, %v", len(got), err)
	}
	batch := filepath.Join(dir, "batch")
	if err := os.WriteFile(batch, []byte("mkdir d\nput "+local+" d/x\nrename d/x d/y\nls d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, status := m.client("sftp", append(m.options("user"), "-q", "-b", batch, m.root())...); status != 0 || !strings.Contains(out, "d/y") {
		t.Errorf("sftp: %d\n%s", status, out)
	}
	if out, status := m.client("sftp", append(m.options("user"), "-q", m.root()+":/proc/1/mem", back)...); status == 0 {
		t.Errorf("sftp reads the memory of PID 1: %s", out)
	}
}

func TestSSHForwarding(t *testing.T) {
	m := ready(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	m.run("/.nuage/probe listen 127.0.0.1:8000 'from inside' >/dev/null 2>&1 &")
	forward := fmt.Sprintf("%d:127.0.0.1:8000", port)
	cmd := exec.Command("ssh", append(m.options("user"), "-N", "-o", "ExitOnForwardFailure=yes", "-L", forward, m.root())...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	if got := m.readWhenReady(fmt.Sprintf("127.0.0.1:%d", port)); got != "from inside\n" {
		t.Errorf("-L: %q", got)
	}
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	go func() {
		for {
			conn, err := back.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("from the laptop\n"))
			conn.Close()
		}
	}()
	reverse := fmt.Sprintf("9000:%s", back.Addr())
	if out, status := m.ssh("user", "-o", "ExitOnForwardFailure=yes", "-R", reverse, m.root(), "exec 3<>/dev/tcp/127.0.0.1/9000; cat <&3"); out != "from the laptop\n" || status != 0 {
		t.Errorf("-R: %q, %d", out, status)
	}
}

// readWhenReady connects until it is given something.
func (m *vm) readWhenReady(address string) string {
	m.t.Helper()
	ctx := within(m.t, 20*time.Second)
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			var got bytes.Buffer
			got.ReadFrom(conn)
			conn.Close()
			if got.Len() > 0 {
				return got.String()
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ""
		}
	}
}

func TestSessionsEndWithTheirConnection(t *testing.T) {
	m := ready(t)
	const script = "setsid sleep 1001 & nohup sleep 1002 >/dev/null 2>&1 & sleep 1003 & sleep 1004"
	const sleepers = "pgrep -a sleep | cut -d' ' -f2- | sort"
	cmd := exec.Command("ssh", append(m.options("user"), m.root(), script)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.awaitOutput(sleepers, "sleep 1001\nsleep 1002\nsleep 1003\nsleep 1004\n")
	cmd.Process.Kill()
	cmd.Wait()
	m.awaitOutput(sleepers, "sleep 1001\nsleep 1002\n")
}

func TestSSHEvents(t *testing.T) {
	m := ready(t)
	m.ssh("user", m.root(), "echo one")
	type line struct{ kind, key, command string }
	var got []line
	for e := range m.Events(within(t, 20*time.Second), link.Cursor{}) {
		if strings.HasPrefix(e.Type, "ssh") {
			got = append(got, line{e.Type, e.Key, e.Command})
			if e.User != "root" || !strings.HasPrefix(e.Fingerprint, "SHA256:") || e.From == "" {
				t.Errorf("event %+v", e)
			}
		}
		if e.Type == link.EventSSHClose {
			break
		}
	}
	want := []line{{"ssh-open", "laptop", ""}, {"ssh-exec", "laptop", "echo one"}, {"ssh-close", "laptop", ""}}
	if !slices.Equal(got, want) {
		t.Errorf("events %v; want %v", got, want)
	}
}
