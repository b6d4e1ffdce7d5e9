package wasm

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nuage/api"
	"nuage/functions"
)

// command is a hand-made WASI command. Its body begins after the locals.
func command(exports string, body ...byte) []byte {
	section := func(id byte, content ...byte) []byte { return append([]byte{id, byte(len(content))}, content...) }
	module := []byte("\x00asm\x01\x00\x00\x00")
	module = append(module, section(1, 1, 0x60, 0, 0)...)                                                   // type: () -> ()
	module = append(module, section(3, 1, 0)...)                                                            // one function of it
	module = append(module, section(5, 1, 0, 1)...)                                                         // one page of memory
	module = append(module, section(7, append([]byte{1, byte(len(exports))}, exports+"\x00\x00"...)...)...) // export it
	code := append([]byte{0}, append(body, 0x0b)...)
	return append(module, section(10, append([]byte{1, byte(len(code))}, code...)...)...)
}

func deployment(t testing.TB, file string, content []byte) functions.Deployment {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return functions.Deployment{FunctionID: "fn-1", Name: "f", Version: 1, CodeDir: dir, MemoryMB: 128, TimeoutMs: 3000}
}

// modes builds testdata/modes once.
var modes = sync.OnceValues(func() ([]byte, error) {
	out := filepath.Join(os.TempDir(), "nuage-test-modes-"+strconv.Itoa(os.Getpid())+".wasm")
	defer os.Remove(out)
	build := exec.Command("go", "build", "-o", out, "./testdata/modes")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, errors.New(string(text))
	}
	return os.ReadFile(out)
})

// cacheDir is shared by the tests, so that modes is compiled once.
var cacheDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "nuage-test-wasm-") })

func TestMain(m *testing.M) {
	status := m.Run()
	if dir, err := cacheDir(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(status)
}

func newRuntime(t testing.TB) *Runtime {
	t.Helper()
	dir, err := cacheDir()
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{CacheDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func open(t testing.TB, d functions.Deployment) functions.Program {
	t.Helper()
	p, err := newRuntime(t).Open(t.Context(), d)
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

func openModes(t testing.TB, change func(*functions.Deployment)) functions.Program {
	t.Helper()
	binary, err := modes()
	if err != nil {
		t.Fatal(err)
	}
	d := deployment(t, "main.wasm", binary)
	if change != nil {
		change(&d)
	}
	return open(t, d)
}

func TestCheck(t *testing.T) {
	good := command("_start")
	tests := []struct {
		name, file string
		content    []byte
		want       string
	}{
		{"a command", "main.wasm", good, ""},
		{"a single file of any name", "greeting", good, ""},
		{"no wasm", "main.wasm", []byte("#!/bin/sh\n"),
			`cannot deploy function "f": no WebAssembly module: "main.wasm" does not begin as one`},
		{"empty", "main.wasm", nil,
			`cannot deploy function "f": no WebAssembly module: "main.wasm" does not begin as one`},
		{"cut short", "main.wasm", good[:len(good)-3],
			`cannot deploy function "f": no WebAssembly module: `},
		{"no start", "main.wasm", command("run"),
			`cannot deploy function "f": no WASI command: the module exports no function _start; build it as a program, not a library`},
		{"bad body", "main.wasm", command("_start", 0x1a),
			`cannot deploy function "f": no WebAssembly module: `},
	}
	r := newRuntime(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := r.Check(t.Context(), deployment(t, tt.file, tt.content))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, api.Invalid) || !strings.HasPrefix(err.Error(), tt.want) {
				t.Fatalf("got %v\nwant Invalid: %s", err, tt.want)
			}
		})
	}
}

func TestCheckOfSeveralModules(t *testing.T) {
	d := deployment(t, "a.wasm", command("_start"))
	if err := os.WriteFile(filepath.Join(d.CodeDir, "b.wasm"), command("_start"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := `cannot deploy function "f": no WebAssembly module: there must be one *.wasm, or one named main.wasm, and there are 2`
	if err := newRuntime(t).Check(t.Context(), d); err == nil || err.Error() != want {
		t.Fatalf("got %v\nwant %s", err, want)
	}
}

// A module that imports what WASI preview 1 does not have must fail at deploy, not at its first call.
func TestCheckOfMissingImport(t *testing.T) {
	module := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x02\x09\x01\x03env\x01f\x00\x00\x07\x0a\x01\x06_start\x00\x00")
	err := newRuntime(t).Check(t.Context(), deployment(t, "main.wasm", module))
	want := `cannot deploy function "f": module[env] not instantiated`
	if !errors.Is(err, api.Invalid) || err.Error() != want {
		t.Fatalf("got %v\nwant Invalid: %s", err, want)
	}
}

func TestCall(t *testing.T) {
	tests := []struct {
		name, event string
		status      functions.Status
		payload     string
		log         string
	}{
		{"echo", "echo \x00\xff any bytes", functions.OK, "\x00\xff any bytes", ""},
		{"empty answer", "echo", functions.OK, "", ""},
		{"environment", "env GREETING", functions.OK, "hello", ""},
		{"own name", "env AWS_LAMBDA_FUNCTION_NAME", functions.OK, "f", ""},
		{"request", "env NUAGE_REQUEST_ID", functions.OK, "req-1", ""},
		{"log", "log one\ntwo", functions.OK, "", "one\ntwo"},
		{"exit 0", "exit 0", functions.OK, "", ""},
		{"exit 3", "exit 3", functions.Error,
			`{"errorMessage":"RequestId: req-1 Error: Runtime exited with error: exit status 3","errorType":"Runtime.ExitError"}`, ""},
		{"too large", "big 6291457", functions.Error,
			`{"errorMessage":"RequestId: req-1 Error: Response payload size exceeded maximum allowed payload size (6291456 bytes).","errorType":"Function.ResponseSizeTooLarge"}`, ""},
		{"no files and no network", "files", functions.OK,
			"open /etc/passwd: Bad file number\ndial tcp 127.0.0.1:1: address 127.0.0.1:1: connect: Connection refused", ""},
	}
	p := openModes(t, func(d *functions.Deployment) {
		d.Env = map[string]string{"GREETING": "hello", "AWS_LAMBDA_FUNCTION_NAME": "other"}
	})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			o, err := p.Call(t.Context(), event(tt.event, &log))
			if err != nil {
				t.Fatal(err)
			}
			if o.Status != tt.status || string(o.Payload) != tt.payload || log.String() != tt.log {
				t.Errorf("got %s %q, log %q\nwant %s %q, log %q", o.Status, o.Payload, log.String(), tt.status, tt.payload, tt.log)
			}
			if o.Cold || o.Init <= 0 || o.Duration <= 0 || o.MaxMemoryMB < 1 || o.MaxMemoryMB > 128 {
				t.Errorf("got cold %v, init %s, duration %s, memory %d MB", o.Cold, o.Init, o.Duration, o.MaxMemoryMB)
			}
		})
	}
}

func event(payload string, log *bytes.Buffer) functions.Event {
	return functions.Event{RequestID: "req-1", Payload: []byte(payload), Timeout: 20 * time.Second, Log: log}
}

func TestLargestAnswer(t *testing.T) {
	o, err := openModes(t, nil).Call(t.Context(), event("big 6291456", new(bytes.Buffer)))
	if err != nil || o.Status != functions.OK || len(o.Payload) != api.MaxPayloadBytes {
		t.Fatalf("got %s, %d bytes, %v", o.Status, len(o.Payload), err)
	}
}

func TestTrap(t *testing.T) {
	var log bytes.Buffer
	o, err := open(t, deployment(t, "main.wasm", command("_start", 0x00))).Call(t.Context(), event("", &log))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"errorMessage":"RequestId: req-1 Error: Runtime exited with error: wasm error: unreachable","errorType":"Runtime.ExitError"}`
	if o.Status != functions.Crash || string(o.Payload) != want {
		t.Errorf("got %s %s", o.Status, o.Payload)
	}
	if want := "wasm error: unreachable\nwasm stack trace:\n\t.$0()\n"; log.String() != want {
		t.Errorf("got log %q\nwant %q", log.String(), want)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	p := openModes(t, func(d *functions.Deployment) { d.MemoryMB = 32 })
	var log bytes.Buffer
	o, err := p.Call(t.Context(), event("grow", &log))
	if err != nil || o.Status != functions.Error || o.MaxMemoryMB > 32 || !strings.Contains(log.String(), "out of memory") {
		t.Fatalf("got %s, %d MB, %v, log %s", o.Status, o.MaxMemoryMB, err, log.String())
	}
}

// What a module needs at least must fit, and is found at deploy.
func TestMemoryBelowMinimum(t *testing.T) {
	binary, err := modes()
	if err != nil {
		t.Fatal(err)
	}
	d := deployment(t, "main.wasm", binary)
	d.MemoryMB = 1
	if err := newRuntime(t).Check(t.Context(), d); !errors.Is(err, api.Invalid) || !strings.Contains(err.Error(), "over limit") {
		t.Fatalf("got %v", err)
	}
}

func TestTimeout(t *testing.T) {
	p := openModes(t, nil)
	for _, mode := range []string{"spin", "sleep 60s"} {
		t.Run(mode, func(t *testing.T) {
			e := event(mode, new(bytes.Buffer))
			e.Timeout = 200 * time.Millisecond
			o, err := p.Call(t.Context(), e)
			if err != nil || o.Status != functions.Timeout || o.Init+o.Duration < 150*time.Millisecond || o.Duration > 5*time.Second {
				t.Fatalf("got %s after %s and %s, %v", o.Status, o.Init, o.Duration, err)
			}
		})
	}
}

// A function that spins or recurses must not keep the collector of this process from stopping the world, and must
// end with its time.
func TestBusyFunctionsCanBeInterrupted(t *testing.T) {
	tests := map[string][]byte{
		"loop":      command("_start", 0x03, 0x40, 0x0c, 0, 0x0b),
		"recursion": recursion(),
	}
	for name, module := range tests {
		t.Run(name, func(t *testing.T) {
			p := open(t, deployment(t, "main.wasm", module))
			e := event("", new(bytes.Buffer))
			e.Timeout = time.Second
			var calls sync.WaitGroup
			for range runtime.NumCPU() {
				calls.Go(func() {
					o, err := p.Call(t.Context(), e)
					if err != nil || o.Status != functions.Timeout || o.Duration > 10*time.Second {
						t.Errorf("got %s after %s, %v", o.Status, o.Duration, err)
					}
				})
			}
			begin := time.Now()
			for time.Since(begin) < e.Timeout/2 {
				runtime.GC()
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("collections took %s", took)
			}
			calls.Wait()
		})
	}
}

// recursion calls itself twice for each of 60 levels and has no loop.
func recursion() []byte {
	module := []byte("\x00asm\x01\x00\x00\x00")
	module = append(module, "\x01\x08\x02\x60\x00\x00\x60\x01\x7f\x00"+"\x03\x03\x02\x00\x01"+"\x07\x0a\x01\x06_start\x00\x00"...)
	start := "\x06\x00\x41\x3c\x10\x01\x0b"
	step := "\x15\x00\x20\x00\x04\x40\x20\x00\x41\x01\x6b\x10\x01\x20\x00\x41\x01\x6b\x10\x01\x0b\x0b"
	return append(append(module, 10, byte(1+len(start)+len(step)), 2), start+step...)
}

func TestStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stop := time.AfterFunc(50*time.Millisecond, cancel)
	defer stop.Stop()
	if _, err := openModes(t, nil).Call(ctx, event("spin", new(bytes.Buffer))); !errors.Is(err, api.Unavailable) {
		t.Fatalf("got %v", err)
	}
}

// Every call has an instance of its own, with its own random bytes and the real time.
func TestFreshInstances(t *testing.T) {
	p := openModes(t, nil)
	seen := map[string]bool{}
	var mu sync.Mutex
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			o, err := p.Call(t.Context(), event("random", new(bytes.Buffer)))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[string(o.Payload)] = true
		})
	}
	calls.Wait()
	if len(seen) != 8 {
		t.Errorf("got %d different answers, want 8", len(seen))
	}
	before := time.Now().UnixMilli()
	o, err := p.Call(t.Context(), event("time", new(bytes.Buffer)))
	at, _ := strconv.ParseInt(string(o.Payload), 10, 64)
	if err != nil || at < before || at > time.Now().UnixMilli() {
		t.Errorf("got time %s, %v", o.Payload, err)
	}
}

// Two deployments of the same code share what is compiled; closing one leaves the other.
func TestSharedCode(t *testing.T) {
	r := newRuntime(t)
	d := deployment(t, "main.wasm", command("_start"))
	first, err := r.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	o, err := second.Call(t.Context(), event("", new(bytes.Buffer)))
	if err != nil || o.Status != functions.OK {
		t.Fatalf("got %s, %v", o.Status, err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}
