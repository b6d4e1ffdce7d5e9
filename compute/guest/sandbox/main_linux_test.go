package sandbox

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nuage/compute/guest/sandbox/wire"
)

// The test's own program is the guest where it is asked to be.
func TestMain(m *testing.M) {
	if os.Getenv("NUAGE_SANDBOX_SOCKET") != "" {
		os.Exit(Main(os.Args[1:], nil))
	}
	os.Exit(m.Run())
}

// guest is a sandbox without a container.
type guest struct {
	*testing.T
	conn net.Conn
	in   *bufio.Reader
}

func newGuest(t *testing.T, command ...string) *guest {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "nuage-sb-")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	process := exec.Command(os.Args[0], append([]string{"--"}, command...)...)
	process.Env = append(os.Environ(), "NUAGE_SANDBOX_SOCKET="+socket, "NUAGE_SANDBOX_API="+address, "NUAGE_SANDBOX_ENV_FIRST=one")
	process.Stderr = os.Stderr
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g := &guest{T: t}
	t.Cleanup(func() {
		if g.conn != nil {
			g.conn.Close()
		}
		if err := process.Wait(); err != nil {
			t.Errorf("the guest ended with %v", err)
		}
	})
	for end := time.Now().Add(10 * time.Second); g.conn == nil; time.Sleep(time.Millisecond) {
		if conn, err := net.Dial("unix", socket); err == nil {
			g.conn, g.in = conn, bufio.NewReader(conn)
		} else if time.Now().After(end) {
			process.Process.Kill()
			t.Fatal(err)
		}
	}
	return g
}

func (g *guest) send(kind wire.Kind, head any, body string) {
	g.Helper()
	if err := wire.Write(g.conn, kind, head, []byte(body)); err != nil {
		g.Fatal(err)
	}
}

// expect reads frames until one is no log, and returns it with what was printed.
func (g *guest) expect(kind wire.Kind) (wire.Frame, string) {
	g.Helper()
	if err := g.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		g.Fatal(err)
	}
	var log strings.Builder
	for {
		f, err := wire.Read(g.in)
		if err != nil {
			g.Fatalf("no frame %q: %v; printed %s", kind, err, log.String())
		}
		if f.Kind != wire.Log {
			if f.Kind != kind {
				g.Fatalf("got a frame %q %s %s, want %q; printed %s", f.Kind, f.Head, f.Body, kind, log.String())
			}
			return f, log.String()
		}
		log.Write(f.Body)
	}
}

// invoke runs an event and returns its end as "error=E timedOut=T reusable=R BODY", and what was printed.
func (g *guest) invoke(id, body string, limit time.Duration) (string, string) {
	g.Helper()
	g.send(wire.Invoke, wire.Event{RequestID: id, FunctionARN: "arn:f", TimeoutMs: limit.Milliseconds()}, body)
	g.expect(wire.Accepted)
	f, log := g.expect(wire.Done)
	var r wire.Result
	if err := f.Decode(&r); err != nil {
		g.Fatal(err)
	}
	word := func(name string, is bool) string {
		if is {
			return name + " "
		}
		return ""
	}
	return word("error", r.Error) + word("timedOut", r.TimedOut) + word("reusable", r.Reusable) + string(f.Body), log
}

// The unmodified client of AWS for Go runs on the Runtime API as it is.
func TestLambdaClient(t *testing.T) {
	bootstrap := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", bootstrap, "./testdata/lambda")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	g := newGuest(t)
	g.expect(wire.Hello)
	g.send(wire.Bind, wire.Binding{Handler: "h", Env: map[string]string{"GREETING": "hello"}, Command: []string{bootstrap}}, "")
	g.expect(wire.Ready)
	tests := []struct{ id, event, want, log string }{
		{"r1", `{}`, `reusable {"arn":"arn:f","greeting":"hello","id":"r1"}`, "printed\n"},
		{"r2", `{"do":"fail"}`, `error reusable {"errorMessage":"no such thing","errorType":"errorString"}`,
			`{"errorMessage":"no such thing","errorType":"errorString"}` + "\n"},
		{"r3", `{}`, `reusable {"arn":"arn:f","greeting":"hello","id":"r3"}`, "printed\n"},
		{"r4", `{"do":"hang"}`, `timedOut `, "hanging\n"},
	}
	for _, tt := range tests {
		limit := 10 * time.Second
		if tt.id == "r4" {
			limit = 200 * time.Millisecond
		}
		got, log := g.invoke(tt.id, tt.event, limit)
		if got != tt.want || !strings.HasSuffix(log, tt.log) {
			t.Errorf("%s: got %q, log %q\nwant %q, log %q", tt.event, got, log, tt.want, tt.log)
		}
	}
}

func TestCommandThatIsNotThere(t *testing.T) {
	g := newGuest(t)
	g.expect(wire.Hello)
	g.send(wire.Bind, wire.Binding{Command: []string{"no-such-command"}}, "")
	f, _ := g.expect(wire.Failed)
	want := `{"errorMessage":"cannot start \"no-such-command\": no such program","errorType":"Runtime.InvalidEntrypoint"}`
	if string(f.Body) != want {
		t.Errorf("got  %s\nwant %s", f.Body, want)
	}
}

// A command started ahead reads its binding from file descriptor 3 and finds its environment.
func TestStartedAhead(t *testing.T) {
	g := newGuest(t, "/bin/sh", "-c", `echo "hello $FIRST $NUAGE_SANDBOX_SOCKET"; echo ready >&3; read line <&3; echo "$line"; exit 3`)
	if _, log := g.expect(wire.Hello); log != "hello one \n" {
		t.Errorf("got log %q", log)
	}
	g.send(wire.Bind, wire.Binding{Handler: "main.handler"}, "")
	f, log := g.expect(wire.Exited)
	var x wire.Exit
	if err := f.Decode(&x); err != nil || x.How != "exit status 3" || x.MemoryBytes == 0 || x.OutOfMemory {
		t.Errorf("got %+v, %v", x, err)
	}
	if want := `{"handler":"main.handler","env":null,"check":false,"command":null}` + "\n"; log != want {
		t.Errorf("got log  %q\nwant log %q", log, want)
	}
}

func TestCommandThatEndsEarly(t *testing.T) {
	g := newGuest(t, "/bin/sh", "-c", "echo cannot >&2; exit 1")
	if f, log := g.expect(wire.Exited); log != "cannot\n" || !strings.Contains(string(f.Head), `"how":"exit status 1"`) {
		t.Errorf("got %s, log %q", f.Head, log)
	}
}

func TestParse(t *testing.T) {
	tests := []struct{ name, env, want string }{
		{"no socket", "A=b", "cannot start a sandbox: NUAGE_SANDBOX_SOCKET is not set"},
		{"bad user", "NUAGE_SANDBOX_UID=root", `cannot use "root" as NUAGE_SANDBOX_UID: it must be a positive number`},
		{"root", "NUAGE_SANDBOX_UID=0", `cannot use "0" as NUAGE_SANDBOX_UID: it must be a positive number`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parse(nil, []string{tt.env}); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
