//go:build linux

package guest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nuage/compute/guest/link"
)

// The tests of this file and those it serves run real machines: the built guest as PID 1 of a container, reached over its
// stdin and stdout and by the stock OpenSSH client.

// machineImage is Debian as nuage ships it.
const machineImage = "nuage/debian-12:1"

// workshop is what the tests share: a directory with the programs, which machines see as /.nuage, and one with SSH keys.
type workshop struct{ dir, bin, keys string }

// opened is true once a test has needed the workshop.
var opened atomic.Bool

// open makes the workshop when the first test needs it.
var open = sync.OnceValues(func() (workshop, error) {
	opened.Store(true)
	dir, err := os.MkdirTemp("", "nuage-guest-test-")
	w := workshop{dir, filepath.Join(dir, "bin"), filepath.Join(dir, "keys")}
	if err != nil {
		return w, err
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", w.bin+"/", "nuage/cmd/nuage-guest", "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	commands := []*exec.Cmd{exec.Command("mkdir", w.bin, w.keys), build}
	for name, kind := range map[string]string{"host": "ed25519", "user": "ed25519", "rsa": "rsa", "stranger": "ed25519"} {
		commands = append(commands, exec.Command("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", filepath.Join(w.keys, name)))
	}
	for _, c := range commands {
		if out, err := c.CombinedOutput(); err != nil {
			return w, fmt.Errorf("%s: %w\n%s", c, err, out)
		}
	}
	return w, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if opened.Load() {
		w, _ := open() // a failure was reported by the test that needed it
		os.RemoveAll(w.dir)
	}
	os.Exit(status)
}

// needEngine skips, loudly, where no Docker engine answers or it lacks the image.
func needEngine(t *testing.T, image string) {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	out, err := exec.Command("docker", "image", "inspect", "-f", "ok", image).CombinedOutput()
	if err == nil {
		return
	}
	why := "no Docker engine with image " + image + ": " + strings.TrimSpace(string(out))
	if os.Getenv("NUAGE_REQUIRE_ENGINE") == "1" {
		t.Fatal("NUAGE_REQUIRE_ENGINE is set, but there is " + why)
	}
	t.Skip("SKIPPED: " + why)
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// vm is a running machine.
type vm struct {
	*link.Client
	t        *testing.T
	id       string // of the container
	address  string
	attached *attachment
	keys     string // directory with SSH keys
	home     string // directory with what this machine's clients know
	config   link.Config
}

// attachment is a `docker attach`.
type attachment struct {
	io.WriteCloser
	io.Reader
	cmd     *exec.Cmd
	console *syncBuffer
	once    sync.Once
}

func (a *attachment) Close() error {
	a.once.Do(func() {
		a.WriteCloser.Close()
		a.cmd.Process.Kill()
		a.cmd.Wait()
	})
	return nil
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func attach(t *testing.T, id string) *attachment {
	t.Helper()
	a := &attachment{cmd: exec.Command("docker", "attach", "--sig-proxy=false", id), console: &syncBuffer{}}
	var err error
	if a.WriteCloser, err = a.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if a.Reader, err = a.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	a.cmd.Stderr = a.console
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// boot starts a machine; more are further arguments of docker run. It is not configured yet.
func boot(t *testing.T, image string, more []string, command ...string) *vm {
	t.Helper()
	needEngine(t, image)
	w, err := open()
	if err != nil {
		t.Fatal(err)
	}
	suffix := make([]byte, 6)
	rand.Read(suffix)
	// Not docker create, which would have stdin closed with the first attachment.
	args := []string{"run", "-d", "-i", "--name", "nuage-guest-test-" + hex.EncodeToString(suffix), "--cap-add", "NET_ADMIN",
		"-v", w.bin + ":/.nuage:ro", "--entrypoint", "/.nuage/nuage-guest", "--user", "0"}
	args = append(append(args, more...), image, "machine", "--")
	id := docker(t, append(args, command...)...)
	t.Cleanup(func() { docker(t, "rm", "-f", "-v", id) })
	m := &vm{t: t, id: id, keys: w.keys, home: t.TempDir()}
	m.address = docker(t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", id)
	m.dial()
	return m
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// dial attaches, again if need be.
func (m *vm) dial() {
	m.t.Helper()
	m.attached = attach(m.t, m.id)
	c, err := link.Dial(within(m.t, 15*time.Second), m.attached)
	if err != nil {
		m.t.Fatalf("%v\n%s", err, docker(m.t, "logs", m.id))
	}
	m.Client = c
}

func (m *vm) configure(c link.Config) {
	m.t.Helper()
	if err := m.Configure(within(m.t, 10*time.Second), c); err != nil {
		m.t.Fatal(err)
	}
	m.config = c
}

// await polls the state until it is as wanted.
func (m *vm) await(what string, wanted func(link.State) bool) link.State {
	m.t.Helper()
	ctx := within(m.t, 60*time.Second)
	for {
		s, err := m.State(ctx)
		if err != nil {
			m.t.Fatalf("waiting for %s: %v\n%s", what, err, docker(m.t, "logs", m.id))
		}
		if wanted(s) {
			return s
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (m *vm) booted() {
	m.t.Helper()
	m.await("the boot", func(s link.State) bool { return s.Booted })
}

// run executes a command through the link and returns its output and status.
func (m *vm) run(args ...string) (string, int) {
	m.t.Helper()
	var out bytes.Buffer
	status, err := m.Exec(within(m.t, 60*time.Second), link.Command{Args: args}, link.Stdio{Stdout: &out, Stderr: &out})
	if err != nil {
		m.t.Fatalf("exec %q: %v", args, err)
	}
	return out.String(), status
}

// sshConfig returns a Config that lets them in from anywhere.
func (m *vm) sshConfig() link.Config {
	m.t.Helper()
	known := m.address + " " + m.file("host.pub")
	if err := os.WriteFile(filepath.Join(m.home, "known"), []byte(known), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return link.Config{
		HostKey:        m.file("host"),
		AuthorizedKeys: []link.Key{{Name: "laptop", Line: m.file("user.pub")}, {Name: "old", Line: m.file("rsa.pub")}},
		Rules:          []link.Rule{{Protocol: "tcp", FromPort: 22, Sources: []string{"0.0.0.0/0"}}},
	}
}

func (m *vm) file(name string) string {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.keys, name))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b)
}

// options are what ssh, scp and sftp need to know.
func (m *vm) options(key string) []string {
	return []string{"-F", "none", "-i", filepath.Join(m.keys, key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "ConnectTimeout=10", "-o", "UserKnownHostsFile=" + filepath.Join(m.home, "known"), "-o", "StrictHostKeyChecking=yes"}
}

// ssh runs the stock client with the key and returns output and exit status.
func (m *vm) ssh(key string, args ...string) (string, int) {
	m.t.Helper()
	return m.client("ssh", append(append(m.options(key), "-o", "LogLevel=ERROR"), args...)...)
}

func (m *vm) client(program string, args ...string) (string, int) {
	m.t.Helper()
	cmd := exec.CommandContext(within(m.t, 60*time.Second), program, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		m.t.Fatalf("%s: %v", program, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (m *vm) root() string { return "root@" + m.address }

// reaches reports whether a TCP connection to the machine's port is accepted.
func (m *vm) reaches(port string) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(m.address, port), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// awaitOutput runs a line until it prints what is wanted.
func (m *vm) awaitOutput(line, want string) {
	m.t.Helper()
	ctx := within(m.t, 20*time.Second)
	for {
		out, _ := m.run(line)
		if out == want {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			m.t.Fatalf("%s gives %q; want %q", line, out, want)
		}
	}
}

// logs returns the console.
func (m *vm) logs() string {
	out, err := exec.Command("sh", "-c", "docker logs "+m.id+" 2>&1 >/dev/null").Output()
	if err != nil {
		m.t.Fatal(err)
	}
	return string(out)
}

// awaitLog returns the console once it holds the text.
func (m *vm) awaitLog(text string) string {
	m.t.Helper()
	ctx := within(m.t, 20*time.Second)
	for {
		if log := m.logs(); strings.Contains(log, text) {
			return log
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			m.t.Fatalf("the console never said %q:\n%s", text, m.logs())
		}
	}
}
