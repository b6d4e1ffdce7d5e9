package billing

import (
	"sync"
	"time"

	"nuage/api"
)

// MaxSpeed is the fastest the billing clock runs.
const MaxSpeed = 1_000_000

// ClockState is the billing clock as it is stored: at AnchorReal it was AnchorBilling, and since then it has gone
// Speed times as fast as real time. Before is how it went until then, so that what is heard of late, as the end of a run, gets the
// billing time at which it was; as far back as keptChanges, and AnchorBilling before that.
type ClockState struct {
	AnchorReal    time.Time   `json:"anchorReal"`
	AnchorBilling time.Time   `json:"anchorBilling"`
	Speed         int64       `json:"speed"`
	Before        *ClockState `json:"before,omitempty"`
}

// keptChanges is how many changes of the clock are remembered.
const keptChanges = 16

// At is the billing time at a real time: whole milliseconds, UTC, and never after the year 9999.
func (s ClockState) At(real time.Time) time.Time {
	ms := real.UnixMilli() - s.AnchorReal.UnixMilli()
	if ms < 0 && s.Before != nil {
		return s.Before.At(real)
	}
	ms = max(0, ms)
	start, last := s.AnchorBilling.UnixMilli(), lastTime().UnixMilli()
	speed := max(1, s.Speed)
	if ms > (last-start)/speed {
		return lastTime()
	}
	return time.UnixMilli(start + ms*speed).UTC()
}

// Real is when the clock will show a billing time, if it goes on as it does: a whole millisecond, at which it does.
func (s ClockState) Real(billing time.Time) time.Time {
	speed, ms := max(1, s.Speed), billing.UnixMilli()-s.AnchorBilling.UnixMilli()
	if ms > 0 {
		ms = (ms + speed - 1) / speed
	}
	return time.UnixMilli(s.AnchorReal.UnixMilli() + ms).UTC()
}

// lastTime is the last that RFC 3339 can write.
func lastTime() time.Time { return time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC) }

// Clock is the billing clock: money uses its time. It never goes backwards: where the real clock is set back, it
// stands still until that has caught up. Safe for concurrent use.
//
// A run's time in money is the billing time at its end less that at its start, so usage stores billing times, read
// when things happen.
type Clock struct {
	mu     sync.Mutex
	state  ClockState
	newest time.Time
}

// NewClock goes on from a stored state. The zero state is a clock that shows real time from real on. notBefore is
// the newest billing time known, zero for none: the clock shows none before it. Invalid: a speed out of range.
func NewClock(s ClockState, real, notBefore time.Time) (*Clock, error) {
	if s == (ClockState{}) {
		now := time.UnixMilli(real.UnixMilli()).UTC()
		s = ClockState{AnchorReal: now, AnchorBilling: now, Speed: 1}
	}
	if err := checkSpeed(s.Speed); err != nil {
		return nil, err
	}
	return &Clock{state: s, newest: time.UnixMilli(notBefore.UnixMilli()).UTC()}, nil
}

// Now is the billing time at a real time, in whole milliseconds and UTC.
func (c *Clock) Now(real time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now(real)
}

func (c *Clock) now(real time.Time) time.Time {
	if t := c.state.At(real); t.After(c.newest) {
		c.newest = t
	}
	return c.newest
}

// State is what to store.
func (c *Clock) State() ClockState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// SetSpeed lets the clock go n times as fast from real on, and returns the state to store. Invalid: n is not 1 to MaxSpeed.
func (c *Clock) SetSpeed(real time.Time, n int64) (ClockState, error) {
	if err := checkSpeed(n); err != nil {
		return ClockState{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.anchor(real, c.now(real), n), nil
}

// Advance puts the clock forward by d at real, and returns the state to store. Invalid: d is under a millisecond, or
// leads past the year 9999.
func (c *Clock) Advance(real time.Time, d time.Duration) (ClockState, error) {
	if d < time.Millisecond {
		return ClockState{}, api.Errorf(api.Invalid, "cannot advance the billing clock by %s: it only goes forward, by a millisecond at least", d)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	to := c.now(real).Add(d.Truncate(time.Millisecond))
	if to.After(lastTime()) {
		return ClockState{}, api.Errorf(api.Invalid, "cannot advance the billing clock by %s: that is after the year 9999", d)
	}
	return c.anchor(real, to, c.state.Speed), nil
}

func (c *Clock) anchor(real, billing time.Time, speed int64) ClockState {
	before, at := c.state, time.UnixMilli(real.UnixMilli()).UTC()
	c.state = ClockState{AnchorReal: at, AnchorBilling: billing, Speed: speed, Before: before.Before}
	if before.AnchorReal.Before(at) {
		c.state.Before = before.newest(keptChanges)
	}
	return c.state
}

// newest is a copy of the state with so many changes at most.
func (s ClockState) newest(n int) *ClockState {
	if s.Before != nil {
		if n > 1 {
			s.Before = s.Before.newest(n - 1)
		} else {
			s.Before = nil
		}
	}
	return &s
}

func checkSpeed(n int64) error {
	if n < 1 || n > MaxSpeed {
		return api.Errorf(api.Invalid, "cannot run the billing clock at speed %d: it goes 1 to %d times as fast as real time", n, MaxSpeed)
	}
	return nil
}
