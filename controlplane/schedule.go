package controlplane

import (
	"context"
	"time"

	"nuage/api"
	"nuage/controlplane/events"
	"nuage/functions"
	"nuage/storage"
)

// tick is what is durable about a schedule: the tick that was dealt with last. It changes in the commit of the tick's event, so
// that none comes twice.
type tick struct {
	ID   string    `json:"id"` // of the trigger
	Last time.Time `json:"last"`
}

// The answers to ticks that were missed while no control plane ran.
const (
	missedOnce = "once"
	missedSkip = "skip"
)

// schedules makes an event of each tick of each schedule, in UTC, by the clock that it follows.
func (h *eventHub) schedules(ctx context.Context) {
	for {
		happened := h.arrived.next()
		var next time.Time
		ok := h.try(ctx, "schedules", func() (err error) {
			next, err = h.ticks()
			return err
		})
		if !ok {
			happened = closedChannel()
		}
		if !h.pause(ctx, happened, next) {
			return
		}
	}
}

// hands are the clock that a schedule follows, as it stands.
type hands struct {
	now   time.Time
	grace time.Duration                // how late a tick may be and still count as on time
	real  func(at time.Time) time.Time // when the clock will show a time
}

// handsOf is real time, or billing time where the schedule follows that; then a minute of grace is one of real time, too.
func (cp *ControlPlane) handsOf(t api.Trigger) hands {
	if t.Spec.Clock != api.BillingClock {
		return hands{cp.Now().UTC(), events.Grace, func(at time.Time) time.Time { return at }}
	}
	state := cp.clock.State()
	return hands{cp.billingNow(), events.Grace * time.Duration(state.Speed), state.Real}
}

// ticks deals with what is due, and says when the next tick is; the zero time: there is none.
func (h *eventHub) ticks() (next time.Time, err error) {
	var due []api.Trigger
	err = h.cp.Store.View(func(tx *storage.Tx) error {
		return triggerTable.Each(tx, "", func(t api.Trigger) error {
			if t.Spec.Schedule == "" {
				return nil
			}
			at, ok, err := nextTick(tx, t)
			if err != nil || !ok {
				return err
			}
			hands := h.cp.handsOf(t)
			wake := hands.real(at)
			switch {
			case !at.After(hands.now):
				due = append(due, t)
			case next.IsZero() || wake.Before(next):
				next = wake
			}
			return nil
		})
	})
	if err != nil || len(due) == 0 {
		return next, err
	}
	for _, t := range due {
		if err := h.tick(t, h.cp.handsOf(t)); err != nil {
			return next, err
		}
	}
	return h.cp.Now(), nil // look again: there may be a tick meanwhile
}

// nextTick is the tick that comes after the one dealt with last.
func nextTick(tx *storage.Tx, t api.Trigger) (at time.Time, ok bool, err error) {
	s, err := events.ParseSchedule(t.Spec.Schedule)
	if err != nil {
		return at, false, err
	}
	k, err := tickTable.Get(tx, t.ID)
	if err != nil {
		return at, false, ignoreGone(err)
	}
	at, ok = s.Next(k.Last)
	return at, ok, nil
}

// tick makes the event of the newest tick that is due. Ticks before it were missed; one that is late counts as missed too.
func (h *eventHub) tick(t api.Trigger, of hands) error {
	s, err := events.ParseSchedule(t.Spec.Schedule)
	if err != nil {
		return err
	}
	missed := false
	err = h.cp.Store.Commit(context.Background(), func(tx *storage.Tx) error {
		missed = false
		k, err := tickTable.Get(tx, t.ID)
		if err != nil {
			return ignoreGone(err)
		}
		at, more, ok := s.Due(k.Last, of.now)
		if !ok {
			return nil
		}
		k.Last = at
		if err := tickTable.Put(tx, k); err != nil {
			return err
		}
		late := of.now.Sub(at) > of.grace
		if missed = more || late; late && t.Spec.Missed == missedSkip {
			return nil
		}
		end, err := h.cp.tell(tx, t, tickEvent(t, at))
		missed = missed || end == lost
		return err
	})
	if err == nil && missed {
		h.cp.eventMetrics.missed(&t.Meta)
	}
	return err
}

// tickEvent is what a function gets of a tick; its time is that of the tick.
func tickEvent(t api.Trigger, at time.Time) api.CloudEvent {
	return api.CloudEvent{ID: functions.NewRequestID(), Source: "/projects/" + t.Project + "/triggers/" + t.Name, Type: "nuage.schedule.tick", Time: at}
}

// admitSchedule begins a new schedule, or one by another clock, now.
func (cp *ControlPlane) admitSchedule(tx *storage.Tx, old, next *api.Trigger) error {
	ready(&next.Status.Status, next.Generation, "ticks of the schedule are events")
	if old != nil && old.Spec.Schedule == next.Spec.Schedule && old.Spec.Clock == next.Spec.Clock {
		return nil
	}
	return tickTable.Put(tx, tick{ID: next.ID, Last: cp.handsOf(*next).now})
}
