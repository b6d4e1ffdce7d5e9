package controlplane

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/functions"
)

// batchOf are the bodies of a batch's event, with how often each was received.
func batchOf(event []byte) (bodies []string, ids map[string]string) {
	var e struct {
		Records []struct {
			MessageID, Body string
			Attributes      map[string]string
		}
	}
	if err := json.Unmarshal(event, &e); err != nil {
		panic(err)
	}
	ids = map[string]string{}
	for _, r := range e.Records {
		bodies = append(bodies, r.Body+":"+r.Attributes["ApproximateReceiveCount"])
		ids[r.Body] = r.MessageID
	}
	return bodies, ids
}

func (s *scene) send(t *testing.T, queue string, bodies ...string) {
	t.Helper()
	for _, b := range bodies {
		_, err := s.cloud.Messages.Send(asCustomer(), "default", queue, api.NewMessage{Body: b})
		must(t, err)
	}
}

func (s *scene) trigger(t *testing.T, spec api.TriggerSpec) {
	t.Helper()
	_, err := s.cloud.Triggers.Create(asCustomer(), "default", "t", spec)
	must(t, err)
}

// TestBatches: what a function has dealt with is gone, the rest comes again after its time, and is a dead letter in the end.
func TestBatches(t *testing.T) {
	for _, c := range []struct {
		name  string
		play  func(bodies []string, ids map[string]string, n int) (functions.Outcome, error)
		calls string // when, and with what
		lost  string
	}{
		{"all done", func([]string, map[string]string, int) (functions.Outcome, error) { return answersWith("null") },
			"1s a:1 b:1 c:1", ""},
		{"one is not", func(_ []string, ids map[string]string, n int) (functions.Outcome, error) {
			if n == 1 {
				return answersWith(`{"batchItemFailures":[{"itemIdentifier":"` + ids["b"] + `"}]}`)
			}
			return answersWith("{}")
		}, "1s a:1 b:1 c:1, 32s b:2", ""},
		{"one never is", func(_ []string, ids map[string]string, _ int) (functions.Outcome, error) {
			return answersWith(`{"batchItemFailures":[{"itemIdentifier":"` + ids["b"] + `"}]}`)
		}, "1s a:1 b:1 c:1, 32s b:2", "b"},
		{"an unknown one is not, so none is", func([]string, map[string]string, int) (functions.Outcome, error) {
			return answersWith(`{"batchItemFailures":[{"itemIdentifier":"x"}]}`)
		}, "1s a:1 b:1 c:1, 32s a:2 b:2 c:2", "a b c"},
		{"it fails", func([]string, map[string]string, int) (functions.Outcome, error) { return breaks("{}") },
			"1s a:1 b:1 c:1, 32s a:2 b:2 c:2", "a b c"},
		{"no room is no receive", func(_ []string, _ map[string]string, n int) (functions.Outcome, error) {
			if n <= 3 {
				return functions.Outcome{}, api.Errorf(api.Exhausted, "cannot call: no room")
			}
			return answersWith("null")
		}, "1s a:1 b:1 c:1, 3s a:1 b:1 c:1, 6s a:1 b:1 c:1, 11s a:1 b:1 c:1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var calls []string
			var began time.Time
			play := func(n int, e functions.Event) (functions.Outcome, error) {
				bodies, ids := batchOf(e.Payload)
				slices.Sort(bodies)
				calls = append(calls, fmt.Sprint(time.Since(began).Round(time.Second), " ", strings.Join(bodies, " ")))
				return c.play(bodies, ids, n)
			}
			acted(t, play, func(t *testing.T, s *scene, _ *actor) {
				s.function(t, "f", api.AsyncSpec{})
				s.queue(t, "lost", api.QueueSpec{})
				s.queue(t, "q", api.QueueSpec{DeadLetter: "lost", MaxReceives: 2})
				s.trigger(t, api.TriggerSpec{Function: "f", Queue: "q", WindowMs: 1000})
				began = time.Now()
				s.send(t, "q", "a", "b", "c")
				time.Sleep(10 * time.Minute)
				lost := s.bodies(t, "lost")
				slices.Sort(lost)
				if got := strings.Join(calls, ", "); got != c.calls || strings.Join(lost, " ") != c.lost {
					t.Errorf("calls %s and dead letters %q, want %s and %q", got, lost, c.calls, c.lost)
				}
				if q, err := s.cloud.Queues.Get(asCustomer(), "default", "q"); err != nil || q.Status.Messages+q.Status.InFlight != 0 || q.Status.Bytes != 0 {
					t.Errorf("the queue says %+v, %v", q.Status, err)
				}
			})
		})
	}
}

// TestBatchSizes: a full batch goes at once, a part of one after the window; no more calls at once than asked for.
func TestBatchSizes(t *testing.T) {
	play := func(int, functions.Event) (functions.Outcome, error) {
		time.Sleep(2 * time.Second)
		return answersWith("null")
	}
	acted(t, play, func(t *testing.T, s *scene, a *actor) {
		s.function(t, "f", api.AsyncSpec{})
		s.queue(t, "q", api.QueueSpec{})
		s.trigger(t, api.TriggerSpec{Function: "f", Queue: "q", Batch: 2, WindowMs: 10_000, Concurrency: 2})
		a.began = time.Now()
		s.send(t, "q", "1", "2", "3", "4", "5", "6", "7")
		time.Sleep(time.Minute)
		var got []string
		for _, call := range a.calls {
			at, event, _ := strings.Cut(call, " ")
			bodies, _ := batchOf([]byte(event))
			got = append(got, fmt.Sprint(at, " ", len(bodies)))
		}
		if text, want := strings.Join(got, ", "), "0s 2, 0s 2, 2s 2, 12s 1"; text != want {
			t.Errorf("batches: %s, want %s", text, want)
		}
	})
}
