package sandbox_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/functions"
)

const pythonWays = `
import os, sys, threading, time

ticks = 0

def tick():
    global ticks
    while True:
        time.sleep(0.001)
        ticks += 1
        print("late")

def bomb():
    made = 0
    try:
        while True:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            made += 1
    except OSError:
        return made < 128

def memory():
    all = []
    for _ in range(2 << 10):
        all.append(b"x" * (1 << 20))
    return len(all)

def fail():
    raise ValueError("no such thing")

def hang():
    print("hanging")
    time.sleep(60)

def start():
    threading.Thread(target=tick, daemon=True).start()
    return ticks

def handler(event, context):
    do = event.get("do", "")
    if do == "":
        return [context.aws_request_id, context.function_name, context.function_version, context.memory_limit_in_mb,
                context.invoked_function_arn, context.get_remaining_time_in_millis() > 0, os.environ["_HANDLER"], os.getcwd()]
    return {"raise": fail, "exit": lambda: sys.exit(3), "hang": hang, "bomb": bomb, "memory": memory, "big": lambda: "x" * 7_000_000,
            "no json": lambda: object(), "start": start, "count": lambda: ticks}[do]()
`

const nodeWays = `
const { spawn } = require('child_process');
let ticks = 0;
const ways = {
  '': (c) => [c.awsRequestId, c.functionName, c.functionVersion, c.memoryLimitInMB, c.invokedFunctionArn, c.getRemainingTimeInMillis() > 0,
    process.env._HANDLER, process.cwd()],
  raise: () => { throw new TypeError('no such thing'); },
  exit: () => process.exit(3),
  hang: () => { console.log('hanging'); for (;;) {} },
  bomb: () => new Promise((resolve) => {
    const more = (n) => spawn('/bin/sleep', ['60'], { detached: true }).on('spawn', () => more(n + 1)).on('error', () => resolve(n < 128));
    more(0);
  }),
  memory: () => { const all = []; for (let n = 0; n < 2 << 10; n++) all.push(Buffer.alloc(1 << 20, 1)); return all.length; },
  big: () => 'x'.repeat(7000000),
  'no json': () => 10n,
  start: () => { setInterval(() => { ticks++; console.log('late'); }, 1); return ticks; },
  count: () => ticks,
};
exports.handler = async (event, context) => ways[event.do || ''](context);
`

// goProgram builds the program of a function as its author would, without cgo and for Linux.
func goProgram(t testing.TB, pkg string) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-ldflags=-s -w", "-o", filepath.Join(dir, "bootstrap"), pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return dir
}

// waysOf are the same function for each runtime: with the unmodified AWS client for Go, for Python and for Node.js.
func waysOf(t testing.TB) map[string]functions.Deployment {
	needImage(t, "nuage/nodejs:1")
	all := map[string]functions.Deployment{
		"python": deployment(t, "main.py", pythonWays), "nodejs": deployment(t, "index.js", nodeWays), "provided": deployment(t),
	}
	for name, d := range all {
		d.Runtime, d.Handler, d.FunctionID = name, "", "fn-"+name
		if name == "provided" {
			d.CodeDir = goProgram(t, "./testdata/ways")
		}
		all[name] = d
	}
	return all
}

// Whatever a function does, the call ends as documented and the next one finds a sandbox in order.
func TestEveryWayToFail(t *testing.T) {
	r := newRuntime(t, newEngine(t), nil)
	killed := `{"errorMessage":"RequestId: req-1 Error: Runtime exited with error: signal: killed, for it needed more than its 128 MB of memory","errorType":"Runtime.ExitError"}`
	exited := `{"errorMessage":"RequestId: req-1 Error: Runtime exited with error: exit status 3","errorType":"Runtime.ExitError"}`
	ways := []struct {
		do     string
		status functions.Status
		want   map[string]string // part of the answer, by runtime; "" for all others
		again  bool              // the same sandbox serves on
	}{
		{"raise", functions.Error, map[string]string{"python": `"errorType": "ValueError"`, "nodejs": `"errorType":"TypeError"`, "": `"errorType":"errorString"`}, true},
		{"bomb", functions.OK, map[string]string{"": "true"}, true},
		{"no json", functions.Error, map[string]string{"python": "Runtime.MarshalError", "nodejs": "Runtime.MarshalError", "": "{no JSON"}, true},
		{"big", functions.Error, map[string]string{"": "Function.ResponseSizeTooLarge"}, true},
		{"exit", functions.Crash, map[string]string{"": exited}, false},
		{"hang", functions.Timeout, map[string]string{"": ""}, false},
		{"memory", functions.Crash, map[string]string{"": killed}, false},
	}
	for name, d := range waysOf(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, r, d)
			echo := `["req-1","f","7","128","arn:aws:lambda:local:000000000000:function:f",true,"` + map[string]string{"python": "main.handler", "nodejs": "index.handler", "provided": "bootstrap"}[name] + `","/var/task"]`
			if name == "provided" {
				echo = strings.Replace(echo, `"128"`, "128", 1)
			}
			call(t, p, `{}`)
			for _, way := range ways {
				status, again := way.status, way.again
				if name == "provided" && way.do == "no json" {
					status = functions.OK // a stream may be anything
				}
				if name == "provided" && (way.do == "big" || way.do == "raise") {
					again = way.do == "raise" // AWS's client ends when its answer is refused
				}
				var log bytes.Buffer
				o, err := p.Call(t.Context(), functions.Event{RequestID: "req-1", Payload: []byte(`{"do":"` + way.do + `"}`), Timeout: limitOf(way.do), Log: &log})
				want, ok := way.want[name]
				if !ok {
					want = way.want[""]
				}
				if name == "provided" && way.do == "bomb" && o.Status == functions.Crash {
					status, want, again = functions.Crash, "exit status 2", false // the Go runtime itself needed a thread
				}
				if err != nil || o.Status != status || !strings.Contains(string(o.Payload), want) || o.Cold {
					t.Errorf("%s: got %s %.300s, cold %v, %v; log %s", way.do, o.Status, o.Payload, o.Cold, err, log.String())
				}
				after, _ := call(t, p, `{}`)
				if got := strings.ReplaceAll(string(after.Payload), ", ", ","); got != echo || after.Cold == again {
					t.Errorf("after %s: got %s, cold %v", way.do, got, after.Cold)
				}
			}
		})
	}
}

func limitOf(do string) time.Duration {
	if do == "hang" {
		return time.Second
	}
	return 20 * time.Second
}

// TestThreads: a Go program of the smallest size has a hundred goroutines that wait in system calls.
func TestThreads(t *testing.T) {
	d := deployment(t)
	d.Runtime, d.Handler, d.CodeDir = "provided", "", goProgram(t, "./testdata/ways")
	p := open(t, newRuntime(t, newEngine(t), nil), d)
	var log bytes.Buffer
	o, err := p.Call(t.Context(), functions.Event{RequestID: "r", Payload: []byte(`{"do":"threads"}`), Timeout: 20 * time.Second, Log: &log})
	if err != nil || string(o.Payload) != "true" {
		t.Errorf("got %s %s, %v; log %.500s", o.Status, o.Payload, err, log.String())
	}
}

// What a function left running does not advance while no call is under way, and what it prints is no part of an answer's log.
func TestNothingRunsBetweenCalls(t *testing.T) {
	r := newRuntime(t, newEngine(t), nil)
	for name, d := range waysOf(t) {
		t.Run(name, func(t *testing.T) {
			p := open(t, r, d)
			call(t, p, `{"do":"start"}`)
			call(t, p, `{}`)
			before, _ := call(t, p, `{"do":"count"}`)
			assertStopped(t)
			after, _ := call(t, p, `{"do":"count"}`)
			var b, a int
			decode(t, before.Payload, &b)
			decode(t, after.Payload, &a)
			if a-b > 200 {
				t.Errorf("%d ticks became %d while idle", b, a)
			}
		})
	}
}

// assertStopped looks at the processes of the sandboxes from outside, for half a second: all that belong to functions are stopped.
func assertStopped(t *testing.T) {
	t.Helper()
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := c.containers()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		states, err := functionProcesses(ours)
		if err != nil {
			t.Fatal(err)
		}
		for id, state := range states {
			seen++
			if state != "T" {
				t.Fatalf("process %s is in state %s", id, state)
			}
		}
	}
	if seen == 0 {
		t.Error("no process of a function was seen")
	}
}

// containers are the engine's ids of what runs: other clouds may run functions at the same time.
func (c *cloud) containers() ([]string, error) {
	text, err := exec.Command("docker", "ps", "--quiet", "--no-trunc", "--filter", "label="+compute.LabelCloud+"="+c.id).Output()
	return strings.Fields(string(text)), err
}

// functionProcesses are the states, by id, of the host's processes in some containers that run as a sandbox's user and were given an event.
func functionProcesses(containers []string) (map[string]string, error) {
	states := map[string]string{}
	files, err := filepath.Glob("/proc/[0-9]*/status")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || err != nil && strings.Contains(err.Error(), "no such process") {
			continue
		}
		if err != nil {
			return nil, err
		}
		fields := map[string]string{}
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			fields[name] = strings.TrimSpace(value)
		}
		if strings.HasPrefix(fields["Uid"], "2100") && bound(file) && within(file, containers) {
			states[file] = fields["State"][:1]
		}
	}
	return states, err
}

// bound tells a process whose interpreter has its code: it is in the code's folder.
func bound(status string) bool {
	dir, err := os.Readlink(filepath.Join(filepath.Dir(status), "cwd"))
	return err == nil && strings.HasSuffix(dir, "/t") || dir == "/var/task"
}

func within(status string, containers []string) bool {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(status), "cgroup"))
	return err == nil && slices.ContainsFunc(containers, func(id string) bool { return strings.Contains(string(b), id) })
}

func TestPrograms(t *testing.T) {
	r := newRuntime(t, newEngine(t), nil)
	shell := "#!/bin/bash\nset -eu\nwhile :; do\n  headers=$(mktemp)\n" +
		`  event=$(curl -sS -D "$headers" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next")` + "\n" +
		`  id=$(grep -i lambda-runtime-aws-request-id "$headers" | tr -d '[:space:]' | cut -d: -f2)` + "\n" +
		`  curl -sS -X POST "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response" -d "you sent $event to $_HANDLER" >&2` + "\ndone\n"
	d := deployment(t, "bootstrap", shell)
	d.Runtime, d.Handler = "provided", "any.thing"
	if err := r.Check(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	o, log := call(t, open(t, r, d), "no JSON")
	if o.Status != functions.OK || string(o.Payload) != "you sent no JSON to any.thing" || log != `{"status":"OK"}`+"\n" {
		t.Errorf("got %s %s, log %q", o.Status, o.Payload, log)
	}
	for _, tt := range []struct {
		name  string
		files []string
		want  string
	}{
		{"none", []string{"main", "#!/bin/sh\n", "other", ""}, `cannot deploy function "f": it has no file "bootstrap", which a custom runtime starts; for Go: GOOS=linux go build -tags lambda.norpc -o bootstrap`},
		{"text", []string{"main", "echo"}, `cannot deploy function "f": its bootstrap is no Linux program, and no script that begins with "#!"`},
		{"another machine", []string{"bootstrap", foreignProgram}, `its bootstrap is a program for EM_SPARCV9, and this cloud runs on `},
	} {
		d := deployment(t, tt.files...)
		d.Runtime = "provided"
		if err := r.Check(t.Context(), d); !errors.Is(err, api.Invalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}

// foreignProgram is the header of a 64-bit ELF program for another machine.
var foreignProgram = "\x7fELF\x02\x02\x01" + strings.Repeat("\x00", 9) + "\x00\x02\x00\x2b\x00\x00\x00\x01" + strings.Repeat("\x00", 28) + "\x00\x40" + strings.Repeat("\x00", 4) + "\x00\x40" + strings.Repeat("\x00", 4)
