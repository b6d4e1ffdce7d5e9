package sandbox_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nuage/compute"
	"nuage/functions"
	"nuage/functions/sandbox"
)

// printed is a log that hands over what is printed.
type printed chan string

func (p printed) Write(b []byte) (int, error) {
	p <- string(b)
	return len(b), nil
}

// A sandbox in a network reaches what it was given and nothing else; nobody reaches it, not even one of the same function; and when the
// laptop has other addresses, those are closed from the next calls on. What its rules took, its guest has given up.
func TestReach(t *testing.T) {
	e := newEngine(t)
	network(t, e, "net-reach", "10.213.98.0/24")
	heard, err := net.Listen("tcp4", "10.213.98.1:0") // the laptop's address in the network
	if err != nil {
		t.Skipf("SKIPPED: the engine's networks are not this machine's: %v", err)
	}
	t.Cleanup(func() { heard.Close() })
	var closed atomic.Pointer[[]string]
	closed.Store(&[]string{})
	r := newRuntime(t, e, func(o *sandbox.Options) { o.Closed = func() []string { return *closed.Load() } })
	d := deployment(t, "main.py", modes)
	d.Network, d.Reach, d.Internet = "net-reach", []string{"+0.0.0.0/0"}, true
	p := open(t, r, d)
	laptop := fmt.Sprintf(`{"do": "connect", "host": "10.213.98.1", "port": %d}`, heard.Addr().(*net.TCPAddr).Port)
	if o, _ := call(t, p, laptop); string(o.Payload) != `"connected"` {
		t.Errorf("what is allowed: %s", o.Payload)
	}
	if o, _ := call(t, p, `{"do": "capabilities"}`); string(o.Payload) != `[0, 0, 0, "PermissionError"]` {
		t.Errorf("its rules could be changed: %s", o.Payload)
	}

	listening, busy := make(printed, 10), make(chan result, 1)
	go func() {
		o, err := p.Call(t.Context(), functions.Event{RequestID: "r", Payload: []byte(`{"do": "listen", "seconds": 3}`), Timeout: 20 * time.Second, Log: listening})
		busy <- result{o, err}
	}()
	address := strings.TrimSpace(<-listening)
	if o, _ := call(t, p, `{"do": "connect", "host": "`+address+`", "port": 8000}`); string(o.Payload) == `"connected"` {
		t.Errorf("another sandbox was reached at %s", address)
	}
	if got := <-busy; got.err != nil || string(got.outcome.Payload) != `"nobody"` {
		t.Errorf("at the other sandbox came %s, %v", got.outcome.Payload, got.err)
	}

	closed.Store(&[]string{"10.213.98.1", "?10.213.98.1"})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		o, _ := call(t, p, laptop)
		if string(o.Payload) == `"PermissionError"` || string(o.Payload) == `"OSError"` || string(o.Payload) == `"ConnectionRefusedError"` {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("a new address of the laptop: %s", o.Payload)
		}
	}
	names, err := net.Listen("tcp4", "10.213.98.1:53")
	if err != nil {
		t.Skipf("SKIPPED: only root may listen on port 53: %v", err)
	}
	t.Cleanup(func() { names.Close() })
	if o, _ := call(t, p, `{"do": "connect", "host": "10.213.98.1", "port": 53}`); string(o.Payload) != `"connected"` {
		t.Errorf("a resolver at an address of the laptop: %s", o.Payload)
	}
}

// network makes a network that goes after the runtimes that are made later.
func network(t *testing.T, e compute.Networks, id, cidr string) {
	t.Helper()
	if err := e.EnsureNetwork(t.Context(), compute.Network{ID: id, Project: "p", Name: "default", CIDR: cidr}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := e.RemoveNetwork(context.Background(), id)
		for end := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			err = e.RemoveNetwork(context.Background(), id)
		}
		if err != nil {
			t.Errorf("the network stays in use: %v", err)
		}
	})
}
