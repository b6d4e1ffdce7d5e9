package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/sim"
	"nuage/functions"
	"nuage/functions/sandbox"
)

func TestCheck(t *testing.T) {
	r := newRuntime(t, newEngine(t), nil)
	tests := []struct {
		name  string
		files []string
		want  string
	}{
		{"good", []string{"main.py", "def handler(event, context): pass\n", "README.md", "def ("}, ""},
		{"syntax", []string{"main.py", "import json\n\ndef handler(event, context:\n    pass\n"},
			"cannot deploy function \"f\": File \"main.py\", line 3\n    def handler(event, context:\n               ^\nSyntaxError: '(' was never closed"},
		{"in another file", []string{"main.py", "", "lib/b.py", "\n\treturn 1\n"},
			"cannot deploy function \"f\": File \"lib/b.py\", line 2\n    \treturn 1\n    ^\nIndentationError: unexpected indent"},
		{"no text", []string{"main.py", "a = 1\x00\n", "b.py", ""},
			"cannot deploy function \"f\": ValueError: source code string cannot contain null bytes"},
		{"installed packages are not ours", []string{"main.py", "", "old-1.0.dist-info/RECORD", "old/a.py,sha256=x,1\n", "old/a.py", "print 1\n"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := r.Check(t.Context(), deployment(t, tt.files...))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, api.Invalid) || err.Error() != tt.want {
				t.Fatalf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
	d := deployment(t, "main.py", "")
	d.Handler = "handler"
	want := `cannot deploy function "f": handler "handler" does not name a module and a function, as main.handler`
	if err := r.Check(t.Context(), d); !errors.Is(err, api.Invalid) || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestLoading(t *testing.T) {
	r := newRuntime(t, newEngine(t), nil)
	tests := []struct {
		name, handler string
		files         []string
		status        functions.Status
		payload, log  string
	}{
		{"no module", "other.handler", []string{"main.py", "", "b.py", ""}, functions.Error,
			`{"errorMessage": "Unable to import module 'other': No module named 'other'", "errorType": "Runtime.ImportModuleError", "stackTrace": []}`,
			"[ERROR] Runtime.ImportModuleError: Unable to import module 'other': No module named 'other'\n"},
		{"no function", "main.other", []string{"main.py", ""}, functions.Error,
			`{"errorMessage": "Handler 'other' missing on module 'main'", "errorType": "Runtime.HandlerNotFound", "stackTrace": []}`,
			"[ERROR] Runtime.HandlerNotFound: Handler 'other' missing on module 'main'\n"},
		{"raises", "main.handler", []string{"main.py", "print('loading')\n1/0\n"}, functions.Error,
			`{"errorMessage": "division by zero", "errorType": "ZeroDivisionError", "stackTrace": ["  File \"/var/task/main.py\", line 2, in <module>\n    1/0\n    ~^~\n"]}`,
			"loading\n[ERROR] ZeroDivisionError: division by zero\nTraceback (most recent call last):\n  File \"/var/task/main.py\", line 2, in <module>\n    1/0\n    ~^~\n"},
		{"ends", "main.handler", []string{"main.py", "raise SystemExit('cannot go on')"}, functions.Crash,
			`{"errorMessage":"RequestId: req-1 Error: Runtime exited with error: exit status 1","errorType":"Runtime.ExitError"}`, "cannot go on\n"},
		{"in a package", "pkg/sub.handler", []string{"pkg/sub.py", "def handler(e, c): return __name__\n", "x.py", ""}, functions.OK, `"pkg.sub"`, ""},
		{"a single file", "app.main", []string{"whatever.py", "import os\ndef main(e, c): return [__name__, os.getcwd(), os.listdir()]\n"}, functions.OK,
			`["app", "/var/task", ["app.py"]]`, ""},
		{"default handler", "", []string{"fn.py", "def handler(e, c): return 1\n"}, functions.OK, `1`, ""},
		{"logging", "main.handler", []string{"main.py", "import logging\ndef handler(e, c): logging.getLogger('x').warning('careful')\n"}, functions.OK, `null`,
			"[WARNING]\tTIME\treq-1\tcareful\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := deployment(t, tt.files...)
			d.Handler = tt.handler
			o, log := call(t, open(t, r, d), "{}")
			if head, rest, ok := strings.Cut(log, "\t"); ok {
				_, tail, _ := strings.Cut(rest, "\t")
				log = head + "\tTIME\t" + tail
			}
			if o.Status != tt.status || string(o.Payload) != tt.payload || log != tt.log || !o.Cold || o.Init <= 0 {
				t.Errorf("got  %s %s\nlog  %q\nwant %s %s\nlog  %q", o.Status, o.Payload, log, tt.status, tt.payload, tt.log)
			}
		})
	}
}

// result is what a call in the background came to.
type result struct {
	outcome functions.Outcome
	err     error
}

func callLater(t *testing.T, p functions.Program, payload string) <-chan result {
	done := make(chan result, 1)
	go func() {
		o, err := p.Call(t.Context(), functions.Event{RequestID: "r", Payload: []byte(payload), Timeout: 20 * time.Second, Log: new(bytes.Buffer)})
		done <- result{o, err}
	}()
	return done
}

func TestParallelCallsHaveTheirOwnSandboxes(t *testing.T) {
	p := open(t, newRuntime(t, newEngine(t), nil), deployment(t, "main.py", modes))
	first, second := callLater(t, p, `{"do": "sleep", "seconds": 2}`), callLater(t, p, `{"do": "sleep", "seconds": 2}`)
	a, b := <-first, <-second
	if a.err != nil || b.err != nil || a.outcome.Status != functions.OK || b.outcome.Status != functions.OK {
		t.Fatalf("got %+v and %+v", a, b)
	}
	if string(a.outcome.Payload) == string(b.outcome.Payload) {
		t.Errorf("both ran in %s", a.outcome.Payload)
	}
	o, _ := call(t, p, `{"do": "sleep", "seconds": 0}`)
	if o.Cold || string(o.Payload) != string(a.outcome.Payload) && string(o.Payload) != string(b.outcome.Payload) {
		t.Errorf("the next ran in %s, cold %v", o.Payload, o.Cold)
	}
}

// Where there is no room, a sandbox that idles makes some; one that works does not.
func TestRoom(t *testing.T) {
	r := newRuntime(t, newEngine(t), func(o *sandbox.Options) { o.Max = 1; o.Warm = -1 })
	a, b := open(t, r, deployment(t, "main.py", modes)), open(t, r, deployment(t, "main.py", modes))
	call(t, a, `{}`)
	if o, _ := call(t, b, `{}`); !o.Cold {
		t.Error("a sandbox served two functions")
	}
	if o, _ := call(t, a, `{}`); !o.Cold {
		t.Error("the first sandbox was not removed")
	}
	printed, ended := make(signal, 100), make(chan error, 1)
	go func() {
		_, err := a.Call(t.Context(), functions.Event{RequestID: "r", Payload: []byte(`{"do": "hang"}`), Timeout: 3 * time.Second, Log: printed})
		ended <- err
	}()
	<-printed
	_, err := b.Call(t.Context(), functions.Event{RequestID: "r", Timeout: 5 * time.Second, Log: new(bytes.Buffer)})
	if !errors.Is(err, api.Exhausted) || err.Error() != `cannot call function "f": all 1 sandboxes are busy; try again` {
		t.Errorf("got %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// signal is a log that tells when something is printed.
type signal chan struct{}

func (s signal) Write(p []byte) (int, error) {
	s <- struct{}{}
	return len(p), nil
}

// boxes lists the sandboxes in the engine.
func boxes(t testing.TB, e compute.Engine) []string {
	t.Helper()
	all, err := e.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, o := range all {
		if o.Kind == compute.KindFunction {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

func waitBoxes(t testing.TB, e compute.Engine, what string, ok func([]string) bool) {
	t.Helper()
	var ids []string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ids = boxes(t, e); ok(ids) {
			return
		}
	}
	t.Fatalf("%s: %v", what, ids)
}

func TestIdleSandboxesGo(t *testing.T) {
	e := newEngine(t)
	p := open(t, newRuntime(t, e, func(o *sandbox.Options) { o.Warm = -1; o.KeepAlive = 50 * time.Millisecond }), deployment(t, "main.py", modes))
	call(t, p, `{}`)
	waitBoxes(t, e, "a sandbox stays", func(ids []string) bool { return len(ids) == 0 })
	if o, _ := call(t, p, `{}`); !o.Cold {
		t.Error("not cold")
	}
}

func TestSandboxRemovedBehindOurBack(t *testing.T) {
	e := newEngine(t)
	p := open(t, newRuntime(t, e, func(o *sandbox.Options) { o.Warm = -1 }), deployment(t, "main.py", modes))
	call(t, p, `{}`)
	for _, id := range boxes(t, e) {
		if err := e.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if o, _ := call(t, p, `{}`); o.Status != functions.OK || !o.Cold {
		t.Errorf("got %s, cold %v", o.Status, o.Cold)
	}

	printed, busy := make(signal, 100), make(chan result, 1)
	go func() {
		o, err := p.Call(t.Context(), functions.Event{RequestID: "r", Payload: []byte(`{"do": "hang"}`), Timeout: 20 * time.Second, Log: printed})
		busy <- result{o, err}
	}()
	<-printed
	for _, id := range boxes(t, e) {
		if err := e.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	got := <-busy
	want := `{"errorMessage":"RequestId: r Error: Runtime exited with error: its sandbox is gone","errorType":"Runtime.ExitError"}`
	if got.err != nil || got.outcome.Status != functions.Crash || string(got.outcome.Payload) != want {
		t.Errorf("got %+v", got)
	}
}

// A process that was killed leaves its sandboxes to the next one.
func TestLeftovers(t *testing.T) {
	e := newEngine(t)
	first := newRuntime(t, e, func(o *sandbox.Options) { o.Warm = -1 })
	p, err := first.Open(t.Context(), deployment(t, "main.py", modes))
	if err != nil {
		t.Fatal(err)
	}
	call(t, p, `{}`)
	old := boxes(t, e)
	if len(old) != 1 {
		t.Fatalf("got %v", old)
	}
	newRuntime(t, e, nil)
	waitBoxes(t, e, "the old sandbox stays, or no new one is made", func(ids []string) bool { return len(ids) == 1 && ids[0] != old[0] })
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestNetwork(t *testing.T) {
	e := newEngine(t)
	r := newRuntime(t, e, nil)
	d := deployment(t, "main.py", modes)
	d.Network, d.Hosts, d.Reach = "net-fn", map[string]string{"db.internal": "10.213.99.1"}, []string{"-10.213.99.3", "+10.213.99.0/24"}
	n := compute.Network{ID: d.Network, Project: "p", Name: "default", CIDR: "10.213.99.0/24", Internal: true}
	if err := e.EnsureNetwork(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	p, err := r.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := call(t, p, `{"do": "interfaces"}`); string(o.Payload) != `["lo", "eth0"]` {
		t.Errorf("got %s", o.Payload)
	}
	if o, _ := call(t, p, `{"do": "connect", "host": "db.internal", "port": 1}`); string(o.Payload) != `"ConnectionRefusedError"` {
		t.Errorf("got %s", o.Payload)
	}
	database := `[true, "connection to server at \"db.internal\" (10.213.99.1), port 1 failed: Connection refused"]`
	if o, _ := call(t, p, `{"do": "database", "url": "postgres://u:p@db.internal:1/d"}`); string(o.Payload) != database {
		t.Errorf("got %s", o.Payload)
	}
	if o, _ := call(t, p, `{"do": "connect", "host": "127.0.0.1", "port": 9001}`); string(o.Payload) != `"connected"` {
		t.Errorf("got %s", o.Payload)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err = e.RemoveNetwork(t.Context(), d.Network); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		t.Errorf("the network stays in use: %v", err)
	}
}

func TestStop(t *testing.T) {
	p := open(t, newRuntime(t, newEngine(t), nil), deployment(t, "main.py", modes))
	call(t, p, `{}`)
	ctx, cancel := context.WithCancel(t.Context())
	stop := time.AfterFunc(300*time.Millisecond, cancel)
	defer stop.Stop()
	began := time.Now()
	_, err := p.Call(ctx, functions.Event{RequestID: "r", Payload: []byte(`{"do": "hang"}`), Timeout: time.Minute, Log: new(bytes.Buffer)})
	if !errors.Is(err, api.Unavailable) || time.Since(began) > 10*time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
}

// noJournal stores nothing.
type noJournal struct{}

func (noJournal) Finish(_ context.Context, r functions.Record) (api.Receipt, error) {
	return api.Receipt{Version: r.Version, Cold: r.Cold}, nil
}

func TestRedeploy(t *testing.T) {
	e := newEngine(t)
	i := functions.New(functions.Options{
		Runtimes: map[string]functions.Runtime{"python": newRuntime(t, e, func(o *sandbox.Options) { o.Warm = -1 })}, Journal: noJournal{},
	})
	for version, source := range []string{"def handler(e, c): return 'one'\n", "def handler(e, c): return 'two'\n"} {
		d := deployment(t, "main.py", source)
		d.Version = version + 1
		if err := i.Deploy(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		want := []string{`"one"`, `"two"`}[version]
		for _, cold := range []bool{true, false} {
			a, err := i.Invoke(t.Context(), "fn-1", functions.Call{})
			if err != nil || string(a.Payload) != want || a.Receipt.Cold != cold || a.Receipt.Version != version+1 {
				t.Errorf("got %s, %+v, %v", a.Payload, a.Receipt, err)
			}
		}
	}
	waitBoxes(t, e, "the old version's sandbox stays", func(ids []string) bool { return len(ids) == 1 })
	bad := deployment(t, "main.py", "def (\n")
	bad.Version = 3
	if err := i.Deploy(t.Context(), bad); !errors.Is(err, api.Invalid) {
		t.Errorf("got %v", err)
	}
	if a, err := i.Invoke(t.Context(), "fn-1", functions.Call{}); err != nil || string(a.Payload) != `"two"` {
		t.Errorf("after a bad deploy: %s, %v", a.Payload, err)
	}
	i.Remove("fn-1")
	waitBoxes(t, e, "a removed function's sandbox stays", func(ids []string) bool { return len(ids) == 0 })
	if err := i.Close(); err != nil {
		t.Error(err)
	}
}

// TestRedeployDuringACall: a call goes on in its sandbox while the next version serves; then that sandbox goes.
func TestRedeployDuringACall(t *testing.T) {
	e := newEngine(t)
	i := functions.New(functions.Options{
		Runtimes: map[string]functions.Runtime{"python": newRuntime(t, e, func(o *sandbox.Options) { o.Warm = -1 })}, Journal: noJournal{},
	})
	d := deployment(t, "main.py", "import os, time\ndef handler(e, c):\n    print('runs')\n    time.sleep(e)\n    return os.environ['STAGE']\n")
	d.Env, d.TimeoutMs = map[string]string{"STAGE": "before"}, 30_000
	if err := i.Deploy(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	long := make(chan string, 1)
	go func() {
		a, err := i.Invoke(t.Context(), "fn-1", functions.Call{Payload: []byte("3")})
		long <- fmt.Sprint(string(a.Payload), " of version ", a.Receipt.Version, " ", err)
	}()
	log, err := i.Logs("fn-1", functions.LogQuery{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(log); lines.Scan() && lines.Text() != "runs"; {
	}
	old := boxes(t, e)
	d.Env, d.Version = map[string]string{"STAGE": "after"}, d.Version+1 // the same code: a change of settings
	if err := i.Deploy(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if a, err := i.Invoke(t.Context(), "fn-1", functions.Call{Payload: []byte("0")}); err != nil || string(a.Payload) != `"after"` || !a.Receipt.Cold {
		t.Errorf("the next call got %s, %+v, %v", a.Payload, a.Receipt, err)
	}
	if got := <-long; got != `"before" of version 7 <nil>` {
		t.Errorf("the call under way got %s", got)
	}
	waitBoxes(t, e, "the sandbox of the former settings stays", func(ids []string) bool { return len(ids) == 1 && !slices.Contains(old, ids[0]) })
	if err := errors.Join(log.Close(), i.Close()); err != nil {
		t.Error(err)
	}
}

func TestSimulatedEngine(t *testing.T) {
	r := newRuntime(t, sim.New(sim.Options{CloudID: "c"}), nil)
	err := r.Check(t.Context(), deployment(t, "main.py", ""))
	want := `cannot run functions in sandboxes with engine "sim": it runs nothing; start the cloud with --engine docker`
	if !errors.Is(err, api.Unsupported) || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// downEngine does not answer.
type downEngine struct{ compute.Engine }

var errDown = api.Errorf(api.Unavailable, "cannot reach the engine")

func (downEngine) Info(context.Context) (compute.Info, error)     { return compute.Info{}, errDown }
func (downEngine) Create(context.Context, compute.Workload) error { return errDown }
func (downEngine) Remove(context.Context, string) error           { return errDown }

// At a boot without an engine functions are opened all the same; calls and new deploys say what is wrong.
func TestEngineDown(t *testing.T) {
	r := newRuntime(t, downEngine{}, nil)
	d := deployment(t, "main.py", modes)
	if err := r.Check(t.Context(), d); !errors.Is(err, api.Unavailable) {
		t.Errorf("check: got %v", err)
	}
	_, err := open(t, r, d).Call(t.Context(), functions.Event{RequestID: "r", Timeout: time.Second, Log: new(bytes.Buffer)})
	if !errors.Is(err, api.Unavailable) || err.Error() != "cannot start a sandbox: cannot reach the engine" {
		t.Errorf("call: got %v", err)
	}
}

func TestMissingImage(t *testing.T) {
	r := newRuntime(t, newEngine(t), func(o *sandbox.Options) { o.Images = map[string]string{"python": "nuage/none:1"}; o.Warm = -1 })
	p := open(t, r, deployment(t, "main.py", modes))
	_, err := p.Call(t.Context(), functions.Event{RequestID: "r", Timeout: time.Second, Log: new(bytes.Buffer)})
	if !errors.Is(err, api.Unavailable) || !strings.Contains(err.Error(), `no image "nuage/none:1"`) {
		t.Errorf("got %v", err)
	}
}

func TestOptions(t *testing.T) {
	for _, dir := range []string{"relative", "/" + strings.Repeat("d", 70)} {
		if _, err := sandbox.New(sandbox.Options{Engine: sim.New(sim.Options{}), Dir: dir}); !errors.Is(err, api.Invalid) {
			t.Errorf("%s: got %v", dir, err)
		}
	}
}

// Calls, redeploys and crashes at once must not lose or double a sandbox.
func TestConcurrentUse(t *testing.T) {
	if os.Getenv("NUAGE_REQUIRE_ENGINE") == "" && testing.Short() {
		t.Skip("takes some seconds")
	}
	e := newEngine(t)
	r := newRuntime(t, e, func(o *sandbox.Options) { o.Max = 4 })
	p := open(t, r, deployment(t, "main.py", modes))
	var calls sync.WaitGroup
	for n := range 4 {
		calls.Go(func() {
			for range 5 {
				payload := `{}`
				if n == 3 {
					payload = `{"do": "die"}`
				}
				_, err := p.Call(t.Context(), functions.Event{RequestID: "r", Payload: []byte(payload), Timeout: 20 * time.Second, Log: new(bytes.Buffer)})
				if err != nil && !errors.Is(err, api.Exhausted) {
					t.Error(err)
				}
			}
		})
	}
	calls.Wait()
	waitBoxes(t, e, "more sandboxes than allowed", func(ids []string) bool { return len(ids) <= 4 })
}
