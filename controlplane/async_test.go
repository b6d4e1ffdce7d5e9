package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nuage/api"
	"nuage/compute/sim"
	"nuage/functions"
	"nuage/storage"
)

// actor is a runtime whose programs do as a test says, call after call.
type actor struct {
	mu    sync.Mutex
	play  func(n int, e functions.Event) (functions.Outcome, error) // n-th call of all, from 1
	calls []string                                                  // when each began, since the first moment, and what it got
	began time.Time
}

func (a *actor) Check(context.Context, functions.Deployment) error { return nil }
func (a *actor) Close() error                                      { return nil }
func (a *actor) Open(context.Context, functions.Deployment) (functions.Program, error) {
	return a, nil
}

func (a *actor) Call(_ context.Context, e functions.Event) (functions.Outcome, error) {
	a.mu.Lock()
	a.calls = append(a.calls, fmt.Sprint(time.Since(a.began).Round(time.Second), " ", string(e.Payload)))
	n, play := len(a.calls), a.play
	a.mu.Unlock()
	return play(n, e)
}

func (a *actor) seen() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.calls, ", ")
}

func answersWith(text string) (functions.Outcome, error) {
	return functions.Outcome{Payload: []byte(text), Status: functions.OK, Duration: time.Millisecond}, nil
}

func breaks(text string) (functions.Outcome, error) {
	return functions.Outcome{Payload: []byte(text), Status: functions.Error, Duration: time.Millisecond}, nil
}

// acted is a plane in fake time with functions that do as told.
func acted(t *testing.T, play func(n int, e functions.Event) (functions.Outcome, error), script func(t *testing.T, s *scene, a *actor)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a := &actor{play: play, began: time.Now()}
		s := &scene{setup: setup{dir: dir, host: sim.NewState(), python: a}}
		var err error
		s.plane, err = s.setup.start()
		must(t, err)
		script(t, s, a)
		must(t, s.stop())
	})
}

// function deploys f, or another one.
func (s *scene) function(t *testing.T, name string, async api.AsyncSpec) {
	t.Helper()
	_, err := s.cloud.Functions.Create(asCustomer(), "default", name, api.FunctionSpec{Runtime: "python", Source: s.source(t, "main.py", "pass"), Handler: "main.handler", Async: async})
	must(t, err)
}

func (s *scene) queue(t *testing.T, name string, spec api.QueueSpec) {
	t.Helper()
	_, err := s.cloud.Queues.Create(asCustomer(), "default", name, spec)
	must(t, err)
}

// later calls f without waiting.
func (s *scene) later(t *testing.T, payload string) string {
	t.Helper()
	a, err := s.cloud.Functions.Invoke(asCustomer(), "default", "f", api.Invocation{Type: api.Async, Payload: []byte(payload)})
	must(t, err)
	return a.Receipt.RequestID
}

// bodies receives all there is in a queue, and acknowledges it.
func (s *scene) bodies(t *testing.T, queue string) (all []string) {
	t.Helper()
	for {
		got, err := s.cloud.Messages.Receive(asCustomer(), "default", queue, api.ReceiveQuery{Max: 10})
		must(t, err)
		if len(got.Items) == 0 {
			return all
		}
		for _, m := range got.Items {
			all = append(all, m.Body)
			must(t, s.cloud.Messages.Acknowledge(asCustomer(), "default", queue, m.ReceiptHandle))
		}
	}
}

// receipts are attempt and status of the calls of f, oldest first.
func (s *scene) receipts(t *testing.T) string {
	t.Helper()
	calls, err := s.cloud.Functions.Calls(asCustomer(), "default", "f", 1000)
	must(t, err)
	var all []string
	for _, r := range slices.Backward(calls.Items) {
		all = append(all, fmt.Sprint(r.Attempt, " ", r.Status))
	}
	return strings.Join(all, ", ")
}

// pending is how many events wait or run, by what is counted and by what is there.
func (s *scene) pending(t *testing.T) int64 {
	t.Helper()
	n, counted := 0, int64(0)
	must(t, s.Store.View(func(tx *storage.Tx) (err error) {
		if n, err = asyncTable.Count(tx, ""); err != nil {
			return err
		}
		return asyncStateTable.Each(tx, "", func(a asyncState) error { counted += a.Events; return nil })
	}))
	if int64(n) != counted {
		t.Errorf("%d events are there, %d are counted", n, counted)
	}
	return counted
}

// TestAsyncRetries: twice more, after one minute and two, then the record goes to the destination. Each call has its receipt.
func TestAsyncRetries(t *testing.T) {
	for _, c := range []struct {
		name     string
		fails    int // calls that fail, from the first
		async    api.AsyncSpec
		calls    string
		receipts string
		letter   string // condition, attempts and answer
		good     string
	}{
		{"at once", 0, api.AsyncSpec{}, "0s 1", "1 ok", "", "Success 1 done"},
		{"at the second try", 1, api.AsyncSpec{}, "0s 1, 1m0s 1", "1 error, 2 ok", "", "Success 2 done"},
		{"never", 9, api.AsyncSpec{}, "0s 1, 1m0s 1, 3m0s 1", "1 error, 2 error, 3 error", "RetriesExhausted 3 broken Unhandled", ""},
		{"without retries", 9, api.AsyncSpec{Retries: new(int)}, "0s 1", "1 error", "RetriesExhausted 1 broken Unhandled", ""},
		{"with other pauses", 9, api.AsyncSpec{RetryDelayMs: 3000}, "0s 1, 3s 1, 9s 1", "1 error, 2 error, 3 error", "RetriesExhausted 3 broken Unhandled", ""},
		{"too old for the last try", 9, api.AsyncSpec{MaxAgeSeconds: 100}, "0s 1, 1m0s 1", "1 error, 2 error", "EventAgeExceeded 2 <nil> ", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			play := func(n int, _ functions.Event) (functions.Outcome, error) {
				if n <= c.fails {
					return breaks(`"broken"`)
				}
				return answersWith(`"done"`)
			}
			acted(t, play, func(t *testing.T, s *scene, a *actor) {
				s.queue(t, "lost", api.QueueSpec{})
				s.queue(t, "won", api.QueueSpec{})
				c.async.OnFailure, c.async.OnSuccess = "queue:lost", "queue:won"
				s.function(t, "f", c.async)
				id := s.later(t, "1")
				time.Sleep(10 * time.Minute)
				if a.seen() != c.calls || s.receipts(t) != c.receipts || s.pending(t) != 0 {
					t.Errorf("calls at %s with receipts %s and %d pending, want %s and %s", a.seen(), s.receipts(t), s.pending(t), c.calls, c.receipts)
				}
				if letter, good := readRecords(t, id, s.bodies(t, "lost")), readRecords(t, id, s.bodies(t, "won")); letter != c.letter || good != c.good {
					t.Errorf("the destinations got %q and %q, want %q and %q", letter, good, c.letter, c.good)
				}
			})
		})
	}
}

// readRecords tells what is in records of ends.
func readRecords(t *testing.T, id string, records []string) string {
	t.Helper()
	var all []string
	for _, text := range records {
		var r struct {
			RequestContext struct {
				RequestID, Condition, FunctionArn string
				ApproximateInvokeCount            int
			}
			RequestPayload  any
			ResponseContext struct{ FunctionError string }
			ResponsePayload any
		}
		if err := json.Unmarshal([]byte(text), &r); err != nil || r.RequestContext.RequestID != id || r.RequestPayload != 1.0 || r.RequestContext.FunctionArn != "arn:aws:lambda:local:000000000000:function:f" {
			t.Errorf("the record is %s (%v)", text, err)
		}
		all = append(all, strings.TrimSuffix(fmt.Sprint(r.RequestContext.Condition, " ", r.RequestContext.ApproximateInvokeCount, " ", r.ResponsePayload, " ", r.ResponseContext.FunctionError), "done ")+map[bool]string{true: "done"}[r.ResponsePayload == "done"])
	}
	return strings.Join(all, ", ")
}

// TestAsyncThrottled: no room is no attempt; the event comes again after one second, two, four ..., up to its age.
func TestAsyncThrottled(t *testing.T) {
	none := api.Errorf(api.Exhausted, "cannot call: no room")
	play := func(n int, _ functions.Event) (functions.Outcome, error) {
		if n <= 4 {
			return functions.Outcome{}, none
		}
		return answersWith(`"done"`)
	}
	acted(t, play, func(t *testing.T, s *scene, a *actor) {
		s.function(t, "f", api.AsyncSpec{Retries: new(int)})
		s.later(t, "1")
		time.Sleep(time.Minute)
		if want := "0s 1, 1s 1, 3s 1, 7s 1, 15s 1"; a.seen() != want || s.receipts(t) != "1 ok" || s.pending(t) != 0 {
			t.Errorf("calls at %s with receipts %s, want %s and one", a.seen(), s.receipts(t), want)
		}
	})
	acted(t, func(int, functions.Event) (functions.Outcome, error) { return functions.Outcome{}, none }, func(t *testing.T, s *scene, a *actor) {
		s.queue(t, "lost", api.QueueSpec{})
		s.function(t, "f", api.AsyncSpec{OnFailure: "queue:lost"})
		id := s.later(t, "1")
		time.Sleep(5*time.Hour + 59*time.Minute)
		if s.pending(t) != 1 {
			t.Error("it is given up before its age")
		}
		time.Sleep(6 * time.Minute)
		if letter := readRecords(t, id, s.bodies(t, "lost")); letter != "EventAgeExceeded 0 <nil> " || s.receipts(t) != "" || s.pending(t) != 0 {
			t.Errorf("the record is %q, the receipts are %q", letter, s.receipts(t))
		}
	})
}

// TestAsyncCutOff: what a killed process was about is begun once more for each attempt, and not for ever.
func TestAsyncCutOff(t *testing.T) {
	hang := func(_ int, e functions.Event) (functions.Outcome, error) {
		time.Sleep(e.Timeout + time.Second)
		return breaks(`"late"`)
	}
	acted(t, hang, func(t *testing.T, s *scene, a *actor) {
		s.queue(t, "lost", api.QueueSpec{})
		s.function(t, "f", api.AsyncSpec{Retries: new(int), OnFailure: "queue:lost"})
		id := s.later(t, "1")
		for range 3 {
			synctest.Wait()
			must(t, s.restart(true))
		}
		time.Sleep(time.Minute)
		if n := len(strings.Split(a.seen(), ", ")); n != mostBegun || s.pending(t) != 0 {
			t.Errorf("it was begun %d times (%s), want %d", n, a.seen(), mostBegun)
		}
		if letter := readRecords(t, id, s.bodies(t, "lost")); letter != "RetriesExhausted 1 <nil> " {
			t.Errorf("the record is %q", letter)
		}
	})
}

// TestAsyncRefused: what is too large, and what has no end.
func TestAsyncRefused(t *testing.T) {
	acted(t, func(int, functions.Event) (functions.Outcome, error) { return answersWith("") }, func(t *testing.T, s *scene, _ *actor) {
		s.function(t, "f", api.AsyncSpec{})
		s.queue(t, "q", api.QueueSpec{})
		_, err := s.cloud.Functions.Invoke(asCustomer(), "default", "f", api.Invocation{Type: api.Async, Payload: make([]byte, api.MaxEventBytes+1)})
		wantsCode(t, err, api.Invalid)
		f, err := s.cloud.Functions.Get(asCustomer(), "default", "f")
		must(t, err)
		three := 3
		for why, c := range map[string]struct {
			async api.AsyncSpec
			code  api.Code
		}{
			"three retries":    {api.AsyncSpec{Retries: &three}, api.Invalid},
			"a long pause":     {api.AsyncSpec{RetryDelayMs: api.MaxRetryDelayMs + 1}, api.Invalid},
			"a short age":      {api.AsyncSpec{MaxAgeSeconds: 59}, api.Invalid},
			"itself":           {api.AsyncSpec{OnFailure: "function:f"}, api.Invalid},
			"no noun":          {api.AsyncSpec{OnFailure: "q"}, api.Invalid},
			"an unknown queue": {api.AsyncSpec{OnSuccess: "queue:nobody"}, api.NotFound},
		} {
			f.Spec.Async = c.async
			if _, err := s.cloud.Functions.Update(asCustomer(), "default", "f", f.Spec, 0); api.CodeOf(err) != c.code {
				t.Errorf("%s: %v, want %s", why, err, c.code)
			}
		}
		f.Spec.Async = api.AsyncSpec{OnFailure: "queue:q"}
		f, err = s.cloud.Functions.Update(asCustomer(), "default", "f", f.Spec, 0)
		must(t, err)
		if f.Status.Version != 1 {
			t.Errorf("a change of what becomes of calls made version %d", f.Status.Version)
		}
		err = s.cloud.Queues.Delete(asCustomer(), "default", "q", 0)
		if want := `cannot delete queue "q": function "f" names it; change or delete that first`; err == nil || err.Error() != want {
			t.Errorf("deleting its destination answers %v", err)
		}
	})
}

func wantsCode(t *testing.T, err error, code api.Code) {
	t.Helper()
	if api.CodeOf(err) != code {
		t.Errorf("it answers %v, want %s", err, code)
	}
}
