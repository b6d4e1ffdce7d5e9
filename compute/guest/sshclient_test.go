//go:build linux

package guest_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

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
	if out, status := m.client("sftp", append(m.options("user"), "-q", m.root()+":/root/d/y", back+".sftp")...); status != 0 {
		t.Errorf("sftp from the machine: %d\n%s", status, out)
	}
	if got, err := os.ReadFile(back + ".sftp"); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("sftp brought back %d bytes, %v", len(got), err)
	}
	if out, status := m.client("sftp", append(m.options("user"), "-q", m.root()+":/proc/1/mem", back)...); status == 0 {
		t.Errorf("sftp reads the memory of PID 1: %s", out)
	}
}

// TestSCPOfOld copies by the protocol before SFTP, which needs scp on both sides: the machine gets the host's, with what it is
// linked to.
func TestSCPOfOld(t *testing.T) {
	m := ready(t)
	scp, err := exec.LookPath("scp")
	if err != nil {
		t.Fatal(err)
	}
	if out, status := m.client("scp", append(m.options("user"), scp, m.root()+":/usr/bin/scp")...); status != 0 {
		t.Fatalf("scp to the machine: %d\n%s", status, out)
	}
	if out, status := m.run("chmod 755 /usr/bin/scp; ldd /usr/bin/scp | grep 'not found'"); status == 0 {
		t.Skipf("SKIPPED: the host's scp does not run in the machine: %s", out)
	}
	tree := filepath.Join(t.TempDir(), "tree")
	if err := os.MkdirAll(filepath.Join(tree, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "d", "f"), []byte("text"), 0o640); err != nil {
		t.Fatal(err)
	}
	if out, status := m.client("scp", append(m.options("user"), "-O", "-rp", tree, m.root()+":")...); status != 0 {
		t.Fatalf("scp -O to the machine: %d\n%s", status, out)
	}
	if out, _ := m.run("stat -c '%a %s' /root/tree/d/f"); out != "640 4\n" {
		t.Errorf("after scp -O: %q", out)
	}
	back := filepath.Join(t.TempDir(), "back")
	if out, status := m.client("scp", append(m.options("user"), "-O", "-rp", m.root()+":tree", back)...); status != 0 {
		t.Fatalf("scp -O from the machine: %d\n%s", status, out)
	}
	if got, err := os.ReadFile(filepath.Join(back, "d", "f")); string(got) != "text" || err != nil {
		t.Errorf("scp -O brought back %q, %v", got, err)
	}
}

// TestSSHWindow has a client in a terminal whose size changes.
func TestSSHWindow(t *testing.T) {
	m := ready(t)
	cmd := exec.CommandContext(within(t, time.Minute), "ssh", append(m.options("user"), "-tt", m.root())...)
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 20, Cols: 70})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	seen := &syncBuffer{}
	go io.Copy(seen, terminal) // ends with the terminal
	expect := func(text string) {
		t.Helper()
		ctx := within(t, 20*time.Second)
		for !strings.Contains(seen.String(), text) {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("never saw %q in %q", text, seen.String())
			}
		}
	}
	io.WriteString(terminal, "trap 'echo now $(stty size)' WINCH; echo was $(stty size)\n")
	expect("was 20 70\r\n")
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 41, Cols: 132}); err != nil {
		t.Fatal(err)
	}
	io.WriteString(terminal, "\n") // bash runs a trap after the line it reads
	expect("now 41 132\r\n")
	io.WriteString(terminal, "exit 6\n")
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 6 {
		t.Errorf("the shell ended with %v", err)
	}
}

// TestSSHAuthentication checks what is offered and what is taken: no passwords, and of RSA no SHA-1.
func TestSSHAuthentication(t *testing.T) {
	m := ready(t)
	denied := m.root() + ": Permission denied (publickey).\r\n"
	cases := []struct {
		name, key string
		options   []string
		output    string
		status    int
	}{
		{"password", "stranger", []string{"-o", "PreferredAuthentications=password,keyboard-interactive,none"}, denied, 255},
		{"RSA with SHA-512", "rsa", []string{"-o", "PubkeyAcceptedAlgorithms=rsa-sha2-512"}, "in\n", 0},
		{"RSA with SHA-256", "rsa", []string{"-o", "PubkeyAcceptedAlgorithms=rsa-sha2-256"}, "in\n", 0},
		{"RSA with SHA-1", "rsa", []string{"-o", "PubkeyAcceptedAlgorithms=ssh-rsa"}, denied, 255},
		{"Ed25519", "user", []string{"-o", "PubkeyAcceptedAlgorithms=ssh-ed25519"}, "in\n", 0},
	}
	for _, c := range cases {
		if out, status := m.ssh(c.key, append(c.options, m.root(), "echo in")...); out != c.output || status != c.status {
			t.Errorf("%s: %q, %d; want %q, %d", c.name, out, status, c.output, c.status)
		}
	}
}

// TestHostKeyStays stops and starts a machine: the client knows it again.
func TestHostKeyStays(t *testing.T) {
	m := ready(t)
	docker(t, "restart", "-t", "10", m.id)
	m.dial()
	m.configure(m.config)
	m.booted()
	if out, status := m.ssh("user", m.root(), "echo known"); out != "known\n" || status != 0 {
		t.Errorf("after a restart: %q, %d", out, status)
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

// TestSSHLines types in a terminal: what goes to the shell's prompt is told, and no password, nor what another program reads.
func TestSSHLines(t *testing.T) {
	m := ready(t)
	cmd := exec.CommandContext(within(t, time.Minute), "ssh", append(m.options("user"), "-tt", m.root())...)
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 20, Cols: 120})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	seen := &syncBuffer{}
	go io.Copy(seen, terminal) // ends with the terminal
	for _, step := range []struct{ line, shows string }{
		{"echo typed $((40 + 2))", "typed 42\r\n"},
		{"read -s -p 'word:' WORD; echo kept ${#WORD}", "word:"},
		{"hunter2", "kept 7\r\n"},
		{"cat", "cat\r\n"},
		{"to another program", "to another program\r\nto another program\r\n"},
	} {
		io.WriteString(terminal, step.line+"\r")
		ctx := within(t, 20*time.Second)
		for !strings.Contains(seen.String(), step.shows) {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("after %q never saw %q in %q", step.line, step.shows, seen.String())
			}
		}
	}
	terminal.Close()
	cmd.Wait()
	var got []string
	for e := range m.Events(within(t, 20*time.Second), link.Cursor{}) {
		if e.Type == link.EventSSHLine {
			got = append(got, e.Command)
		}
		if e.Type == link.EventSSHClose {
			break
		}
	}
	want := []string{"echo typed $((40 + 2))", "read -s -p 'word:' WORD; echo kept ${#WORD}", "cat"}
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}
