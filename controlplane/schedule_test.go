package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"nuage/api"
	"nuage/functions"
)

// TestSchedules: one event for each tick, and after a time without a control plane one for all that were missed, or none.
func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		schedule, missed string
		down             time.Duration // from 2:30 on
		ticks            string        // within ten minutes
	}{
		{"*/2 * * * *", "", 0, "00:02 00:04 00:06 00:08 00:10"},
		{"rate(3 minutes)", "", 0, "00:03 00:06 00:09"},
		{"rate(1 minute)", "", 0, "00:01 00:02 00:03 00:04 00:05 00:06 00:07 00:08 00:09 00:10"},
		{"*/2 * * * *", "once", 5*time.Minute + 15*time.Second, "00:02 00:06 00:08 00:10"},
		{"*/2 * * * *", "skip", 5*time.Minute + 15*time.Second, "00:02 00:08 00:10"},
		{"*/2 * * * *", "skip", 5*time.Minute + 40*time.Second, "00:02 00:08 00:10"}, // the tick of 8 is late by seconds only
	} {
		t.Run(fmt.Sprint(c.schedule, " ", c.missed, " ", c.down), func(t *testing.T) {
			var mu sync.Mutex
			var ticks []string
			play := func(_ int, e functions.Event) (functions.Outcome, error) {
				var event api.CloudEvent
				if err := json.Unmarshal(e.Payload, &event); err != nil || event.Type != "nuage.schedule.tick" || event.Source != "/projects/default/triggers/t" || e.ContentType != api.CloudEventType {
					t.Errorf("the event is %s (%v)", e.Payload, err)
				}
				mu.Lock()
				defer mu.Unlock()
				ticks = append(ticks, event.Time.Format("04")+":"+event.Time.Format("05"))
				return answersWith("null")
			}
			acted(t, play, func(t *testing.T, s *scene, _ *actor) {
				s.function(t, "f", api.AsyncSpec{})
				start := time.Now()
				s.trigger(t, api.TriggerSpec{Function: "f", Schedule: c.schedule, Missed: c.missed})
				time.Sleep(2*time.Minute + 30*time.Second)
				if c.down > 0 {
					must(t, s.plane.stop())
					time.Sleep(c.down)
					var err error
					s.plane, err = s.setup.start()
					must(t, err)
				}
				time.Sleep(time.Until(start.Add(10*time.Minute + 5*time.Second)))
				var want []string
				for _, tick := range strings.Fields(c.ticks) {
					want = append(want, tick[3:]+":00")
				}
				mu.Lock()
				defer mu.Unlock()
				if got := strings.Join(ticks, " "); got != strings.Join(want, " ") {
					t.Errorf("ticks %s, want %s", got, strings.Join(want, " "))
				}
			})
		})
	}
}

// TestLifecycle: what happens to things is told to those who wait for it, once, over the end of the control plane too.
func TestLifecycle(t *testing.T) {
	acted(t, func(int, functions.Event) (functions.Outcome, error) { return answersWith("") }, func(t *testing.T, s *scene, _ *actor) {
		s.queue(t, "told", api.QueueSpec{})
		s.function(t, "before", api.AsyncSpec{})
		time.Sleep(time.Second)
		s.trigger(t, api.TriggerSpec{ToQueue: "told", Events: []string{"function.deployed", "app.*"}})
		s.function(t, "f", api.AsyncSpec{})
		_, err := s.cloud.Apps.Create(asCustomer(), "default", "web", api.AppSpec{Image: "nuage/web:1", Size: "nano"})
		must(t, err)
		time.Sleep(time.Minute)
		must(t, s.restart(true))
		time.Sleep(time.Minute)
		var got []string
		for _, body := range s.bodies(t, "told") {
			var e api.CloudEvent
			must(t, json.Unmarshal([]byte(body), &e))
			got = append(got, e.Type+" "+e.Subject)
		}
		if text, want := strings.Join(got, ", "), "nuage.function.deployed function/f, nuage.app.created app/web, nuage.app.deployed app/web"; text != want {
			t.Errorf("told was %s, want %s", text, want)
		}
	})
}

// TestSchedulesByTheBillingClock: ticks come as that clock goes, each once while it runs fast, and one for all that it jumps over.
func TestSchedulesByTheBillingClock(t *testing.T) {
	var mu sync.Mutex
	var ticks []string
	play := func(_ int, e functions.Event) (functions.Outcome, error) {
		var event api.CloudEvent
		if err := json.Unmarshal(e.Payload, &event); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		ticks = append(ticks, event.Time.Format("02 15:04"))
		return answersWith("null")
	}
	acted(t, play, func(t *testing.T, s *scene, _ *actor) {
		change := func(c api.ClockChange) {
			t.Helper()
			_, err := s.plane.cloud.Clock.Change(asCustomer(), c)
			must(t, err)
		}
		told := func(want string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(ticks, ", "); got != want {
				t.Errorf("the ticks are %s, want %s", got, want)
			}
			ticks = nil
		}
		s.function(t, "f", api.AsyncSpec{})
		s.trigger(t, api.TriggerSpec{Function: "f", Schedule: "0 * * * *", Clock: api.BillingClock})
		time.Sleep(10 * time.Second)
		told("")
		change(api.ClockChange{Speed: 3600})
		time.Sleep(4 * time.Second)
		change(api.ClockChange{Speed: 1})
		time.Sleep(10 * time.Second)
		told("01 01:00, 01 02:00, 01 03:00, 01 04:00")
		change(api.ClockChange{AdvanceSeconds: 5 * 86400})
		time.Sleep(10 * time.Second)
		told("06 04:00")
		_, err := s.plane.cloud.Triggers.Create(asCustomer(), "default", "odd", api.TriggerSpec{Function: "f", HTTP: true, Clock: api.BillingClock})
		if !errors.Is(err, api.Invalid) {
			t.Errorf("a clock without a schedule answers %v", err)
		}
	})
}
