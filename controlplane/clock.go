package controlplane

import (
	"context"
	"fmt"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// billingClock implements api.Clock.
type billingClock struct{ cp *ControlPlane }

func (c billingClock) Get(ctx context.Context) (api.ClockState, error) {
	if _, err := c.cp.actor(ctx); err != nil {
		return api.ClockState{}, err
	}
	return c.cp.clockState(), nil
}

func (c billingClock) Change(ctx context.Context, change api.ClockChange) (api.ClockState, error) {
	actor, err := c.cp.wholeCloud(ctx, "change the billing clock")
	if err != nil {
		return api.ClockState{}, err
	}
	switch {
	case (change.Speed != 0) == (change.AdvanceSeconds != 0):
		return api.ClockState{}, api.Errorf(api.Invalid, "cannot change the billing clock: give a speed or a time to advance it by, and not both")
	case change.AdvanceSeconds > int64(maxAdvance/time.Second):
		return api.ClockState{}, api.Errorf(api.Invalid, "cannot advance the billing clock by %d s: that is over 100 years", change.AdvanceSeconds)
	}
	verb, detail := "speed", fmt.Sprintf("%d times as fast as real time", change.Speed)
	set := func(at time.Time) (billing.ClockState, error) { return c.cp.clock.SetSpeed(at, change.Speed) }
	if change.Speed == 0 {
		by := time.Duration(change.AdvanceSeconds) * time.Second
		verb, detail = "advance", "by "+by.String()
		set = func(at time.Time) (billing.ClockState, error) { return c.cp.clock.Advance(at, by) }
	}
	record := func(tx *storage.Tx) error {
		return c.cp.record(tx, actor, "clock", &api.Meta{Name: "billing"}, verb, detail)
	}
	if err := c.cp.changeClock(ctx, set, record); err != nil {
		return api.ClockState{}, err
	}
	return c.cp.clockState(), nil
}

const maxAdvance = 100 * 365 * 24 * time.Hour

// SetClockSpeed lets billing time run n times as fast as real time from now on.
func (cp *ControlPlane) SetClockSpeed(n int64) error {
	if cp.clock.State().Speed == n {
		return nil
	}
	return cp.changeClock(context.Background(), func(at time.Time) (billing.ClockState, error) { return cp.clock.SetSpeed(at, n) },
		func(*storage.Tx) error { return nil })
}

// changeClock settles what ended before by the clock as it was, changes the clock and stores it. What could not be stored is undone by
// the next start only: until then the clock is ahead of its record, and what is metered meanwhile is kept.
func (cp *ControlPlane) changeClock(ctx context.Context, set func(time.Time) (billing.ClockState, error), record func(*storage.Tx) error) error {
	w, err := cp.read()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := cp.look(ctx, w); err != nil {
		return err
	}
	if err := cp.writeAll(cp.settleRuns(w)); err != nil {
		return err
	}
	state, err := set(cp.Now())
	if err != nil {
		return err
	}
	err = cp.keepClock(state, record)
	cp.loop.wake()
	cp.books.wake()
	cp.events.wake()
	return err
}

// clockState is the billing clock as it is shown.
func (cp *ControlPlane) clockState() api.ClockState {
	real := cp.Now().UTC()
	now := cp.clock.Now(real)
	return api.ClockState{Now: now, Real: real, Speed: cp.clock.State().Speed, AheadSeconds: (now.UnixMilli() - real.UnixMilli()) / 1000}
}

// clockNote tells on a bill that it was made under a clock that is not the real one.
func (cp *ControlPlane) clockNote() string {
	s := cp.clockState()
	if s.Speed == 1 && s.AheadSeconds < 1 {
		return ""
	}
	return fmt.Sprintf("made under a billing clock that is %s ahead of real time, at speed %d", time.Duration(s.AheadSeconds)*time.Second, s.Speed)
}
