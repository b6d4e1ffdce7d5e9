package main

import (
	"sync"
	"testing"
	"time"

	"nuage/api"
)

const callers = 8

// testCallsSurvive calls a function from all sides while the control plane is killed: each answered call has exactly one
// receipt, and a receipt without an answer is of a call that was in flight.
func testCallsSurvive(t *testing.T, c *liveCloud) {
	c.do(t, "function", "deploy", "greet", "--runtime", "wasm", "--source", greeting)
	var mu sync.Mutex
	answered := map[string]bool{}
	call := func() error {
		a, err := c.call("POST", "/v1/projects/default/functions/greet/invocations", `{"name":"Ada"}`, "Content-Type: application/json")
		if err != nil {
			return err
		}
		id := a.header.Get("Nuage-Request-Id")
		mu.Lock()
		defer mu.Unlock()
		if a.status != 200 || a.body != "{\"greeting\":\"Hello, Ada!\"}\n" || id == "" || answered[id] || a.header.Get("Nuage-Billed-Ms") == "" {
			t.Errorf("a call answers %d %q with id %q", a.status, a.body, id)
		}
		answered[id] = true
		return nil
	}
	const rounds = 3
	for range rounds {
		callUntilKilled(t, c, call, func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(answered)
		})
		c.up(t)
	}
	eventually(t, 10*time.Second, "the function can be called again", call)
	checkReceipts(t, c, answered, rounds*callers)
}

// callUntilKilled lets all callers call until the kill, which comes after some calls were answered.
func callUntilKilled(t *testing.T, c *liveCloud, call func() error, count func() int) {
	t.Helper()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for call() == nil {
			}
		})
	}
	enough := count() + 60
	for end := time.Now().Add(20 * time.Second); count() < enough; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("only %d calls were answered in time", count())
			break
		}
	}
	c.kill()
	all.Wait()
}

// checkReceipts compares the receipts with the answers.
func checkReceipts(t *testing.T, c *liveCloud, answered map[string]bool, inFlight int) {
	t.Helper()
	var list api.List[api.Receipt]
	c.decode(t, &list, "function", "invocations", "greet", "--last", "1000", "-o", "json")
	times := map[string]int{}
	for _, r := range list.Items {
		times[r.RequestID]++
	}
	if len(answered) >= 1000 {
		t.Fatalf("%d calls are more than one list of receipts shows", len(answered))
	}
	for id := range answered {
		if times[id] != 1 {
			t.Errorf("answered call %s has %d receipts", id, times[id])
		}
	}
	if extra := len(list.Items) - len(answered); extra < 0 || extra > inFlight {
		t.Errorf("%d receipts for %d answered calls; at most %d were in flight", len(list.Items), len(answered), inFlight)
	}
}
