package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/docker"
	"nuage/functions"
	"nuage/functions/sandbox"
)

// guest builds what is PID 1 of a sandbox, once.
var guest = sync.OnceValues(func() ([]byte, error) {
	out := filepath.Join(os.TempDir(), "nuage-test-guest-"+functions.NewRequestID())
	defer os.Remove(out)
	build := exec.Command("go", "build", "-o", out, "nuage/cmd/nuage-guest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, errors.New(string(text))
	}
	return os.ReadFile(out)
})

// cloud is a Docker engine for a cloud of the tests' own, made once; all of it is removed at the end.
type cloud struct {
	*docker.Engine
	id, volume string
}

var shared = sync.OnceValues(func() (*cloud, error) {
	binary, err := guest()
	if err != nil {
		return nil, err
	}
	id := functions.NewRequestID()
	c := &cloud{id: id, volume: "nuage-guest-fntest-" + id}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c.Engine, err = docker.New(ctx, docker.Options{CloudID: id, Guest: binary, GuestVolume: c.volume})
	if err == nil {
		_, err = c.Image(ctx, "nuage/python:1", 0)
	}
	return c, err
})

func TestMain(m *testing.M) {
	status := m.Run()
	if c, err := shared(); err == nil {
		if err := c.remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}

func (c *cloud) remove() error {
	err := c.RemoveAll(context.Background())
	text, gone := exec.Command("docker", "volume", "rm", c.volume).CombinedOutput()
	if gone != nil && !strings.Contains(string(text), "o such volume") {
		err = errors.Join(err, errors.New(string(text)))
	}
	return errors.Join(err, c.Close())
}

func newEngine(t testing.TB) *docker.Engine {
	t.Helper()
	c, err := shared()
	switch {
	case err == nil:
		return c.Engine
	case os.Getenv("NUAGE_REQUIRE_ENGINE") == "1":
		t.Fatalf("NUAGE_REQUIRE_ENGINE=1 and there is no engine with nuage/python:1: %v", err)
	}
	t.Skipf("SKIPPED: no engine with nuage/python:1: %v", err)
	return nil
}

// newRuntime makes a runtime in a short directory, as sockets need one.
func newRuntime(t testing.TB, e compute.Engine, change func(*sandbox.Options)) *sandbox.Runtime {
	t.Helper()
	dir, err := os.MkdirTemp("", "nuage-sb-")
	if err != nil {
		t.Fatal(err)
	}
	o := sandbox.Options{Engine: e, Dir: dir, Warm: 1}
	if change != nil {
		change(&o)
	}
	r, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return r
}

// deployment is a function of the files given as name, content, name, content.
func deployment(t testing.TB, files ...string) functions.Deployment {
	t.Helper()
	dir := t.TempDir()
	for n := 0; n < len(files); n += 2 {
		path := filepath.Join(dir, files[n])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[n+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return functions.Deployment{
		FunctionID: "fn-1", Project: "p", Name: "f", Version: 7, Runtime: "python", Handler: "main.handler", CodeDir: dir,
		MemoryMB: 128, TimeoutMs: 3000,
	}
}

func open(t testing.TB, r *sandbox.Runtime, d functions.Deployment) functions.Program {
	t.Helper()
	p, err := r.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func call(t testing.TB, p functions.Program, payload string) (functions.Outcome, string) {
	t.Helper()
	var log bytes.Buffer
	o, err := p.Call(t.Context(), functions.Event{RequestID: "req-1", Payload: []byte(payload), Timeout: 5 * time.Second, Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	return o, log.String()
}

const modes = `
import json, os, sys, threading, time, subprocess, socket

calls = 0
ticks = 0

def tick():
    global ticks
    while True:
        ticks += 1
        time.sleep(0.001)

def handler(event, context):
    global calls
    calls += 1
    do = globals()["do_" + event.get("do", "echo")]
    return do(event, context)

def do_echo(event, context):
    return {"event": event, "calls": calls}

def do_context(event, context):
    left = context.get_remaining_time_in_millis()
    return [context.aws_request_id, context.function_name, context.function_version, context.memory_limit_in_mb,
            context.invoked_function_arn, 0 < left <= 5000]

def do_env(event, context):
    return {name: os.environ.get(name) for name in event["names"]}

def do_print(event, context):
    print("out", event["text"])
    print("err", event["text"], file=sys.stderr)

def do_raise(event, context):
    raise ValueError("no such thing")

def do_exit(event, context):
    print("last words", end="")
    sys.exit(3)

def do_die(event, context):
    os._exit(0)

def do_hang(event, context):
    print("hanging")
    time.sleep(60)

def do_spin(event, context):
    while True:
        pass

def do_big(event, context):
    return "x" * event["size"]

def do_object(event, context):
    return object()

def do_start(event, context):
    threading.Thread(target=tick, daemon=True).start()
    subprocess.Popen(["/bin/sh", "-c", "while :; do echo x >> /tmp/ticks; sleep 0.01; done"], start_new_session=True)
    time.sleep(0.1)
    return counts()

def do_counts(event, context):
    return counts()

def counts():
    return [ticks, os.path.getsize("/tmp/ticks")]

def do_bomb(event, context):
    made = 0
    try:
        while True:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            made += 1
    except OSError:
        return made < 128

def do_memory(event, context):
    keep = []
    while True:
        keep.append(b"x" * (8 << 20))

def do_use(event, context):
    return len(b"x" * (event["mb"] << 20))

def do_kill(event, context):
    tried = []
    for target in (1,):
        try:
            os.kill(target, 9)
        except OSError as e:
            tried.append(type(e).__name__)
    for path in ("/proc/1/mem", "/run/nuage/c/s", "/var/task/new", "/var/runtime/bootstrap.py", "/new"):
        try:
            open(path, "r+b" if path.startswith("/proc") else "ab").close()
            tried.append(path)
        except OSError as e:
            tried.append(type(e).__name__)
    return tried + [os.getuid() > 0, os.getgid() > 0]

def do_connect(event, context):
    try:
        socket.create_connection((event["host"], event["port"]), 2).close()
        return "connected"
    except OSError as e:
        return type(e).__name__

def do_capabilities(event, context):
    net_admin = [int(line.split()[1], 16) >> 12 & 1 for line in open("/proc/1/status") if line.startswith(("CapPrm", "CapEff", "CapInh"))]
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
    except OSError as e:
        return net_admin + [type(e).__name__]

def do_listen(event, context):
    s = socket.create_server(("0.0.0.0", 8000))
    s.settimeout(event["seconds"])
    print(socket.gethostbyname(socket.gethostname()))
    try:
        s.accept()
        return "somebody came"
    except TimeoutError:
        return "nobody"

def do_interfaces(event, context):
    return [name for _, name in socket.if_nameindex()]

def do_database(event, context):
    ahead = "psycopg2" in sys.modules
    import psycopg2
    try:
        psycopg2.connect(event["url"])
    except psycopg2.OperationalError as e:
        return [ahead, str(e).splitlines()[0]]

def do_sleep(event, context):
    time.sleep(event["seconds"])
    return os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
`

func TestCalls(t *testing.T) {
	r := newRuntime(t, newEngine(t), nil)
	d := deployment(t, "main.py", modes)
	d.Env = map[string]string{"GREETING": "hello", "AWS_LAMBDA_FUNCTION_NAME": "other", "TZ": "Europe/Paris"}
	p := open(t, r, d)
	type want struct {
		status  functions.Status
		payload string
		log     string
	}
	tests := []struct {
		name, event string
		want
	}{
		{"cold", `{"a": 1}`, want{functions.OK, `{"event": {"a": 1}, "calls": 1}`, ""}},
		{"warm", ``, want{functions.OK, `{"event": {}, "calls": 2}`, ""}},
		{"context", `{"do": "context"}`, want{functions.OK,
			`["req-1", "f", "7", "128", "arn:aws:lambda:local:000000000000:function:f", true]`, ""}},
		{"environment", `{"do": "env", "names": ["GREETING", "AWS_LAMBDA_FUNCTION_NAME", "_HANDLER", "TZ", "NUAGE_SANDBOX_UID", "NUAGE_ID"]}`, want{functions.OK,
			`{"GREETING": "hello", "AWS_LAMBDA_FUNCTION_NAME": "f", "_HANDLER": "main.handler", "TZ": "Europe/Paris", "NUAGE_SANDBOX_UID": null, "NUAGE_ID": null}`, ""}},
		{"print", `{"do": "print", "text": "é"}`, want{functions.OK, `null`, "out é\nerr é\n"}},
		{"raise", `{"do": "raise"}`, want{functions.Error,
			`{"errorMessage": "no such thing", "errorType": "ValueError", "stackTrace": ["  File \"/var/task/main.py\", line 17, in handler\n    return do(event, context)\n           ^^^^^^^^^^^^^^^^^^\n", "  File \"/var/task/main.py\", line 35, in do_raise\n    raise ValueError(\"no such thing\")\n"]}`,
			"[ERROR] ValueError: no such thing\nTraceback (most recent call last):\n  File \"/var/task/main.py\", line 17, in handler\n    return do(event, context)\n           ^^^^^^^^^^^^^^^^^^\n  File \"/var/task/main.py\", line 35, in do_raise\n    raise ValueError(\"no such thing\")\n"}},
		{"big answer", `{"do": "big", "size": 6291455}`, want{functions.Error,
			`{"errorMessage": "Response payload size exceeded maximum allowed payload size (6291456 bytes).", "errorType": "Function.ResponseSizeTooLarge", "stackTrace": []}`,
			"[ERROR] Function.ResponseSizeTooLarge: Response payload size exceeded maximum allowed payload size (6291456 bytes).\n"}},
		{"no JSON answer", `{"do": "object"}`, want{functions.Error,
			`{"errorMessage": "Unable to marshal response: Object of type object is not JSON serializable", "errorType": "Runtime.MarshalError", "stackTrace": []}`,
			"[ERROR] Runtime.MarshalError: Unable to marshal response: Object of type object is not JSON serializable\n"}},
		{"still the same process", `{}`, want{functions.OK, `{"event": {}, "calls": 9}`, ""}},
		{"exit", `{"do": "exit"}`, want{functions.Crash,
			`{"errorMessage":"RequestId: req-1 Error: Runtime exited with error: exit status 3","errorType":"Runtime.ExitError"}`, "last words"}},
		{"a new process", `{}`, want{functions.OK, `{"event": {}, "calls": 1}`, ""}},
		{"exit without a reason", `{"do": "die"}`, want{functions.Crash,
			`{"errorMessage":"RequestId: req-1 Error: Runtime exited with error: exited without providing a reason","errorType":"Runtime.ExitError"}`, ""}},
		{"out of memory", `{"do": "memory"}`, want{functions.Crash,
			`{"errorMessage":"RequestId: req-1 Error: Runtime exited with error: signal: killed, for it needed more than its 128 MB of memory","errorType":"Runtime.ExitError"}`, ""}},
		{"fork bomb", `{"do": "bomb"}`, want{functions.OK, `true`, ""}},
		{"what is out of reach", `{"do": "kill"}`, want{functions.OK,
			`["PermissionError", "PermissionError", "PermissionError", "OSError", "PermissionError", "OSError", true, true]`, ""}},
		{"no network", `{"do": "interfaces"}`, want{functions.OK, `["lo"]`, ""}},
	}
	for n, tt := range tests {
		o, log := call(t, p, tt.event)
		got := want{o.Status, string(o.Payload), log}
		if got != tt.want {
			t.Errorf("%s: got %+v\nwant %+v", tt.name, got, tt.want)
		}
		t.Logf("%s: cold %v, init %s, duration %s, %d MB", tt.name, o.Cold, o.Init, o.Duration, o.MaxMemoryMB)
		if o.Cold != (o.Init > 0) || n == 0 && !o.Cold {
			t.Errorf("%s: cold %v, init %s", tt.name, o.Cold, o.Init)
		}
		if o.MaxMemoryMB < 5 || o.MaxMemoryMB > 128 {
			t.Errorf("%s: %d MB", tt.name, o.MaxMemoryMB)
		}
	}
}

func TestInvalidEvent(t *testing.T) {
	r := newRuntime(t, newEngine(t), nil)
	p := open(t, r, deployment(t, "main.py", modes))
	_, err := p.Call(t.Context(), functions.Event{Payload: []byte("{"), Timeout: time.Second, Log: new(bytes.Buffer)})
	if !errors.Is(err, api.Invalid) || err.Error() != `cannot call function "f": the payload is not JSON` {
		t.Fatalf("got %v", err)
	}
}

func TestTimeoutAndIdleProcesses(t *testing.T) {
	r := newRuntime(t, newEngine(t), nil)
	p := open(t, r, deployment(t, "main.py", modes))
	for _, mode := range []string{"hang", "spin"} {
		var log bytes.Buffer
		o, err := p.Call(t.Context(), functions.Event{RequestID: "req-1", Payload: []byte(`{"do": "` + mode + `"}`), Timeout: 300 * time.Millisecond, Log: &log})
		if err != nil || o.Status != functions.Timeout || o.Duration < 300*time.Millisecond || o.Duration > 3*time.Second {
			t.Errorf("%s: got %s after %s, %v", mode, o.Status, o.Duration, err)
		}
		if mode == "hang" && log.String() != "hanging\n" {
			t.Errorf("got log %q", log.String())
		}
		t.Logf("%s: stopped after %s, %d MB", mode, o.Duration, o.MaxMemoryMB)
	}

	before, _ := call(t, p, `{"do": "start"}`)
	idle := time.Now()
	for time.Since(idle) < time.Second { // idle time: the condition is the clock
		time.Sleep(100 * time.Millisecond)
	}
	after, _ := call(t, p, `{"do": "counts"}`)
	t.Logf("background work before %s and after %s", before.Payload, after.Payload)
	var b, a [2]int
	decode(t, before.Payload, &b)
	decode(t, after.Payload, &a)
	if a[0]-b[0] > 50 || a[1]-b[1] > 20 || b[0] == 0 || b[1] == 0 {
		t.Errorf("processes ran while idle: %v became %v", b, a)
	}
}

func decode(t testing.TB, b []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkWarm(b *testing.B) {
	r := newRuntime(b, newEngine(b), nil)
	for _, mb := range []int64{128, 1769, 3538} {
		d := deployment(b, "main.py", modes)
		d.MemoryMB = mb
		p := open(b, r, d)
		call(b, p, `{}`)
		b.Run(fmt.Sprintf("%dMB", mb), func(b *testing.B) {
			times := make([]time.Duration, 0, b.N)
			for b.Loop() {
				o, _ := call(b, p, `{}`)
				times = append(times, o.Duration)
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-us")
		})
	}
}
