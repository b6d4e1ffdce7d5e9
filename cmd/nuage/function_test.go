package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
)

func TestFunctionDeploy(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"hello.py": "x", "greet.wasm": "w"})
	py, wasm := filepath.Join(dir, "hello.py"), filepath.Join(dir, "greet.wasm")
	for _, c := range []struct {
		name string
		line []string
		want api.FunctionSpec
		file string
	}{
		{"a single file is the handler's module", []string{"--runtime", "python", "--source", py},
			api.FunctionSpec{Runtime: "python", Source: "src-1", Handler: "main.handler"}, "-rw-r--r-- main.py x\n"},
		{"a handler in a package", []string{"--runtime", "python", "--source", py, "--handler", "app.web.run"},
			api.FunctionSpec{Runtime: "python", Source: "src-1", Handler: "app.web.run"}, "-rw-r--r-- app/web.py x\n"},
		{"wasm keeps its name and needs no handler", []string{"--runtime", "wasm", "--source", wasm, "--memory", "256", "--timeout", "1m"},
			api.FunctionSpec{Runtime: "wasm", Source: "src-1", MemoryMB: 256, TimeoutMs: 60000}, "-rw-r--r-- greet.wasm w\n"},
		{"databases in their order", []string{"--runtime", "wasm", "--source", wasm, "--database", "b", "--database", "a", "--network", "project", "--env", "K=V"},
			api.FunctionSpec{Runtime: "wasm", Source: "src-1", Databases: []string{"b", "a"}, Network: "project", Env: map[string]string{"K": "V"}}, "-rw-r--r-- greet.wasm w\n"},
	} {
		w := newWorld(t, "")
		w.check(t, "hello\n", append([]string{"function", "deploy", "hello", "-o", "name"}, c.line...)...)
		if d := cmp.Diff(c.want, w.functions.items["hello"].Spec); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		if got := contents(t, w.sources.content); got != c.file {
			t.Errorf("%s: uploaded %q, want %q", c.name, got, c.file)
		}
	}
}

func TestFunctionRedeployKeepsWhatIsNotGiven(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"hello.py": "x"})
	py := filepath.Join(dir, "hello.py")
	w := newWorld(t, "")
	w.run("function", "deploy", "hello", "--runtime", "python", "--source", py, "--handler", "hello.run", "--memory", "512")
	w.check(t, "hello\n", "function", "deploy", "hello", "--source", py, "--timeout", "5s", "-o", "name")
	want := api.FunctionSpec{Runtime: "python", Source: "src-1", Handler: "hello.run", MemoryMB: 512, TimeoutMs: 5000}
	if d := cmp.Diff(want, w.functions.items["hello"].Spec); d != "" {
		t.Error(d)
	}
	w.functions.steps = []func(*api.Function){func(f *api.Function) {
		f.Status.Phase, f.Status.Generation, f.Status.LastError = api.Failed, f.Generation, "SyntaxError: invalid syntax (hello.py, line 1)"
	}}
	w.check(t, `! upload 1 file, 1 B
! function "hello" failed
! nuage: cannot deploy function "hello": SyntaxError: invalid syntax (hello.py, line 1)
exit 1
`, "function", "deploy", "hello", "--source", py)
	w.check(t, "! nuage: cannot deploy function \"new\": it is new, so give --runtime and --source; see nuage function deploy --help\nexit 2\n",
		"function", "deploy", "new", "--source", py)
}

func (w *world) answering(answer api.Answer) {
	answer.Receipt = api.Receipt{RequestID: "r-1", Function: "hello", Version: 2, StartedAt: time.Unix(0, 0), Cold: true, DurationMs: "1.234", InitMs: "35.6", BilledMs: 37,
		MemoryMB: 128, MaxMemoryUsedMB: 12, GBSeconds: "0.004625", Cost: "0.000000277083", Status: "ok"}
	w.functions.answer = answer
}

func TestInvoke(t *testing.T) {
	const receipt = "! request r-1  duration 1.234 ms  init 35.6 ms (cold)  billed 37 ms  memory 12 of 128 MB  cost $0.000000277083\n"
	dir := t.TempDir()
	write(t, dir, map[string]string{"event": "\xff\xfe"})
	for _, c := range []struct {
		name, stdin string
		line        []string
		answer      api.Answer
		call        api.Invocation
		want        string
	}{
		{"nothing", "", nil, api.Answer{Payload: []byte("hi")}, api.Invocation{Payload: []byte{}, Type: api.Sync}, "hi" + receipt},
		{"JSON", "", []string{"--data", `{"a":1}`}, api.Answer{Payload: []byte("{}\n")},
			api.Invocation{Payload: []byte(`{"a":1}`), ContentType: "application/json", Type: api.Sync}, "{}\n" + receipt},
		{"stdin", "text", []string{"-d", "-", "--content-type", "text/plain"}, api.Answer{},
			api.Invocation{Payload: []byte("text"), ContentType: "text/plain", Type: api.Sync}, receipt},
		{"a file", "", []string{"--data", "@" + filepath.Join(dir, "event"), "--log"}, api.Answer{Log: "START\nprinted\n"},
			api.Invocation{Payload: []byte("\xff\xfe"), ContentType: "application/octet-stream", Type: api.Sync}, "! START\n! printed\n" + receipt},
		{"an error of the function", "", nil, api.Answer{Payload: []byte("{\"errorMessage\":\"no\"}\n"), FunctionError: "Unhandled"},
			api.Invocation{Payload: []byte{}, Type: api.Sync}, "{\"errorMessage\":\"no\"}\n" + receipt + "! nuage: function \"hello\" failed (Unhandled)\nexit 1\n"},
	} {
		w := newWorld(t, c.stdin)
		w.answering(c.answer)
		if got := w.run(append([]string{"function", "invoke", "hello"}, c.line...)...); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if d := cmp.Diff(c.call, w.functions.call); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestReceipts(t *testing.T) {
	w := newWorld(t, "")
	w.answering(api.Answer{})
	const want = `REQUEST   STARTED               VERSION   STATUS   DURATION MS   INIT MS   BILLED MS   MEMORY MB   GB-S       COST
r-1       1970-01-01 00:00:00   2         ok       1.234         35.6      37          12 of 128   0.004625   $0.000000277083
`
	w.check(t, want, "function", "invocations", "hello", "--last", "5")
	w.check(t, want, "bill", "calls", "hello")
	if w.functions.last != 20 {
		t.Errorf("asked for the last %d, want 20", w.functions.last)
	}
}

func TestTriggerNeedsItsKind(t *testing.T) {
	w := newWorld(t, "")
	w.check(t, "! nuage: cannot make trigger \"web\": give --function F or --to-queue Q, and one of --http, --queue, --topic, --schedule and --events; see nuage trigger create --help\nexit 2\n", "trigger", "create", "web", "--function", "hello")
}
