package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"nuage/api"
)

const eventKills = 50

// mixedLoad is what was promised to callers of all kinds.
type mixedLoad struct {
	mu       sync.Mutex
	answered map[string]bool // sync calls, by request id
	accepted map[string]bool // asynchronous calls, by request id
	sent     map[string]bool // messages, by body
}

// testEventsSurvive calls a function in all ways while the control plane is killed again and again: each answered call has one
// receipt, and each accepted event and message is done, or a dead letter, in the end.
func testEventsSurvive(t *testing.T, c *liveCloud) {
	c.do(t, "queue", "create", "done")
	c.do(t, "queue", "create", "lost")
	c.do(t, "queue", "create", "work")
	c.do(t, "function", "deploy", "greet", "--runtime", "wasm", "--source", greeting, "--timeout", "10s", "--retries", "1", "--retry-delay", "10ms",
		"--on-success", "queue:done", "--on-failure", "queue:lost")
	c.do(t, "trigger", "create", "work", "--function", "greet", "--queue", "work")
	load := &mixedLoad{answered: map[string]bool{}, accepted: map[string]bool{}, sent: map[string]bool{}}
	for n := range eventKills {
		load.until(t, c, n)
		c.up(t)
	}
	if len(load.answered) == 0 || len(load.accepted) == 0 || len(load.sent) == 0 {
		t.Fatalf("%d calls were answered, %d events accepted and %d messages sent", len(load.answered), len(load.accepted), len(load.sent))
	}
	load.checkEvents(t, c)
	load.checkReceipts(t, c)
}

// until lets all callers call until the kill, which falls anywhere.
func (l *mixedLoad) until(t *testing.T, c *liveCloud, round int) {
	t.Helper()
	var all sync.WaitGroup
	for n, call := range []func(*liveCloud, string) error{l.sync, l.async, l.message} {
		all.Go(func() {
			for i := 0; i < 5 && call(c, fmt.Sprintf("%d-%d-%d", round, n, i)) == nil; i++ {
			}
		})
	}
	time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond) // the blow falls anywhere; nothing is awaited
	c.kill()
	all.Wait()
}

const invocations = "/v1/projects/default/functions/greet/invocations"

func (l *mixedLoad) sync(c *liveCloud, _ string) error {
	a, err := c.call("POST", invocations, `{"name":"Ada"}`)
	return l.promise(l.answered, a, err, 200, a.header.Get("Nuage-Request-Id"))
}

func (l *mixedLoad) async(c *liveCloud, _ string) error {
	a, err := c.call("POST", invocations, `{"name":"Ada"}`, "Nuage-Invocation-Type: async")
	return l.promise(l.accepted, a, err, 202, a.header.Get("Nuage-Request-Id"))
}

func (l *mixedLoad) message(c *liveCloud, name string) error {
	a, err := c.call("POST", "/v1/projects/default/queues/work/messages", `{"body":"`+name+`"}`, "Content-Type: application/json")
	return l.promise(l.sent, a, err, 201, name)
}

// promise notes what was answered: that is a promise; without an answer either is right.
func (l *mixedLoad) promise(kept map[string]bool, a answer, err error, status int, id string) error {
	if err != nil {
		return err
	}
	if a.status != status {
		return fmt.Errorf("%d %s", a.status, a.body)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	kept[id] = true
	return nil
}

// checkEvents waits until nothing is left to do, and finds the record of each accepted event once.
func (l *mixedLoad) checkEvents(t *testing.T, c *liveCloud) {
	t.Helper()
	eventually(t, 60*time.Second, "all messages and events are done", func() error {
		if q := show[api.Queue](t, c, "queue", "work"); q.Status.Messages+q.Status.InFlight > 0 {
			return fmt.Errorf("queue work has %+v", q.Status)
		}
		a, err := c.call("GET", "/metrics", "")
		if err == nil && !strings.Contains(a.body, `nuage_function_async_events{function="greet",project="default"} 0`) {
			err = errors.New("asynchronous calls are left")
		}
		return err
	})
	records := map[string]int{}
	for _, queue := range []string{"done", "lost"} {
		for {
			var got api.List[api.Message]
			c.decode(t, &got, "queue", "receive", queue, "--max", "10", "-o", "json")
			if len(got.Items) == 0 {
				break
			}
			for _, m := range got.Items {
				var record struct{ RequestContext struct{ RequestID string } }
				if err := json.Unmarshal([]byte(m.Body), &record); err != nil {
					t.Fatal(err)
				}
				records[record.RequestContext.RequestID]++
			}
		}
	}
	for id := range l.accepted {
		if records[id] != 1 {
			t.Errorf("accepted event %s has %d records", id, records[id])
		}
	}
}

// checkReceipts: each answered call has one receipt, and no attempt has two.
func (l *mixedLoad) checkReceipts(t *testing.T, c *liveCloud) {
	t.Helper()
	var list api.List[api.Receipt]
	c.decode(t, &list, "function", "invocations", "greet", "--last", "1000", "-o", "json")
	if len(list.Items) == 1000 {
		t.Fatal("there are more receipts than one list shows")
	}
	seen := map[string]int{}
	for _, r := range list.Items {
		if r.Attempt < 2 {
			seen[r.RequestID]++
		}
		if key := fmt.Sprint(r.RequestID, "/", r.Attempt); r.Attempt > 0 {
			if seen[key]++; seen[key] > 1 {
				t.Errorf("attempt %s has %d receipts", key, seen[key])
			}
		}
	}
	for id := range l.answered {
		if seen[id] != 1 {
			t.Errorf("answered call %s has %d receipts", id, seen[id])
		}
	}
}
