package controlplane

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/functions"
	"nuage/storage"
)

// TestFullSubscriber: a subscriber that is full keeps an event neither from the others nor from its publisher; it goes to the dead
// letters of that subscription, and without those it is lost.
func TestFullSubscriber(t *testing.T) {
	acted(t, func(int, functions.Event) (functions.Outcome, error) { return answersWith("") }, func(t *testing.T, s *scene, a *actor) {
		ctx := asCustomer()
		for _, q := range []string{"full", "free", "letters"} {
			s.queue(t, q, api.QueueSpec{})
		}
		s.function(t, "f", api.AsyncSpec{})
		_, err := s.cloud.Topics.Create(ctx, "default", "news", api.TopicSpec{})
		must(t, err)
		for name, spec := range map[string]api.TriggerSpec{
			"careful":  {Topic: "news", ToQueue: "full", DeadLetter: "letters"},
			"careless": {Topic: "news", ToQueue: "full"},
			"other":    {Topic: "news", ToQueue: "free"},
			"call":     {Topic: "news", Function: "f"},
		} {
			_, err := s.cloud.Triggers.Create(ctx, "default", name, spec)
			must(t, err)
		}
		must(t, s.Store.Update(func(tx *storage.Tx) error {
			q, err := queueTable.GetBy(tx, "name", "default/full")
			if err != nil {
				return err
			}
			return queueStateTable.Put(tx, queueState{ID: q.ID, Project: "default", Messages: api.MaxQueueMessages})
		}))
		e := api.CloudEvent{ID: "1", Source: "/s", Type: "t", Data: []byte(`"hello"`)}
		if _, err := s.cloud.Topics.Publish(ctx, "default", "news", e); err != nil {
			t.Fatalf("publishing is refused: %v", err)
		}
		time.Sleep(time.Minute)
		for queue, want := range map[string]int{"free": 1, "letters": 1, "full": 0} {
			if got := s.bodies(t, queue); len(got) != want || want == 1 && !strings.Contains(got[0], `"hello"`) {
				t.Errorf("queue %s has %q, want %d", queue, got, want)
			}
		}
		if got := a.seen(); !strings.Contains(got, `"hello"`) {
			t.Errorf("the function got %s", got)
		}
		if got := s.counted(t, "nuage_topic_events_total"); got != "dead_lettered 1, delivered 2, filtered_out 0, lost 1, published 1" {
			t.Errorf("counted are %s", got)
		}
		if err := s.cloud.Queues.Delete(ctx, "default", "letters", 0); api.CodeOf(err) != api.Conflict {
			t.Errorf("a queue of dead letters goes with %v", err)
		}
		_, err = s.cloud.Triggers.Create(ctx, "default", "loop", api.TriggerSpec{Topic: "news", ToQueue: "free", DeadLetter: "free"})
		if api.CodeOf(err) != api.Invalid {
			t.Errorf("dead letters to the queue itself: %v", err)
		}
	})
}

// counted are the values of a counter by their label "event", in its order.
func (p *plane) counted(t *testing.T, name string) string {
	t.Helper()
	families, err := p.registry.Gather()
	must(t, err)
	var all []string
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "event" {
					all = append(all, fmt.Sprint(l.GetValue(), " ", m.GetCounter().GetValue()))
				}
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
