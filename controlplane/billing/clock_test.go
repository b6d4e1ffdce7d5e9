package billing

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nuage/api"
)

func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func TestClock(t *testing.T) {
	c, err := NewClock(ClockState{}, noon(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	after := func(s int) time.Time { return noon().Add(time.Duration(s) * time.Second) }
	show := func(real time.Time, want string) {
		t.Helper()
		if got := c.Now(real).Format(time.RFC3339Nano); got != want {
			t.Errorf("at %s it is %s, want %s", real.Format(time.TimeOnly), got, want)
		}
	}
	show(noon(), "2026-11-23T12:00:00Z")
	show(after(1).Add(2_345_678), "2026-11-23T12:00:01.002Z")
	set(t)(c.SetSpeed(after(10), 3600))
	show(after(11), "2026-11-23T13:00:10Z")
	set(t)(c.Advance(after(11), 30*24*time.Hour))
	show(after(12), "2026-12-23T14:00:10Z")
	set(t)(c.SetSpeed(after(12), 1))
	show(after(13), "2026-12-23T14:00:11Z")
	show(after(5), "2026-12-23T14:00:11Z") // the real clock was set back: stand still
	show(after(14), "2026-12-23T14:00:12Z")
}

func set(t *testing.T) func(ClockState, error) {
	return func(_ ClockState, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestClockGoesOnFromItsState(t *testing.T) {
	c, err := NewClock(ClockState{}, noon(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	set(t)(c.SetSpeed(noon(), 60))
	data, err := json.Marshal(c.State())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"anchorReal":"2026-11-23T12:00:00Z","anchorBilling":"2026-11-23T12:00:00Z","speed":60}`
	if string(data) != want {
		t.Errorf("state %s, want %s", data, want)
	}
	var s ClockState
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	later := noon().Add(time.Minute)
	again, err := NewClock(s, later, time.Time{})
	if err != nil || !again.Now(later).Equal(c.Now(later)) {
		t.Errorf("after a restart it is %s, was %s (%v)", again.Now(later), c.Now(later), err)
	}
	newest := noon().Add(48 * time.Hour)
	held, err := NewClock(s, later, newest)
	if err != nil || !held.Now(later).Equal(newest) {
		t.Errorf("it shows %s, before the newest known time %s (%v)", held.Now(later), newest, err)
	}
}

func TestClockRefuses(t *testing.T) {
	c, err := NewClock(ClockState{}, noon(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	before := c.State()
	for name, do := range map[string]func() error{
		"speed 0":        func() error { _, err := c.SetSpeed(noon(), 0); return err },
		"speed too high": func() error { _, err := c.SetSpeed(noon(), MaxSpeed+1); return err },
		"back":           func() error { _, err := c.Advance(noon(), -time.Hour); return err },
		"a bad state":    func() error { _, err := NewClock(ClockState{Speed: -1}, noon(), time.Time{}); return err },
		"year 10000": func() error {
			late, err := NewClock(ClockState{AnchorReal: noon(), AnchorBilling: lastTime(), Speed: 1}, noon(), time.Time{})
			if err != nil {
				return err
			}
			_, err = late.Advance(noon(), time.Hour)
			return err
		},
	} {
		if err := do(); !errors.Is(err, api.Invalid) {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
	if c.State() != before {
		t.Errorf("a refusal changed the clock: %+v", c.State())
	}
}

func TestClockStaysBetweenItsAnchorAndTheYear9999(t *testing.T) {
	s := ClockState{AnchorReal: noon(), AnchorBilling: noon(), Speed: MaxSpeed}
	if got := s.At(noon().AddDate(200, 0, 0)); !got.Equal(lastTime()) {
		t.Errorf("got %s", got)
	}
	if got := s.At(noon().Add(-time.Hour)); !got.Equal(noon()) {
		t.Errorf("before the anchor it is %s", got)
	}
	if _, err := lastTime().MarshalJSON(); err != nil {
		t.Error(err)
	}
}

// Whatever happens to it and to the real clock, the billing clock does not go backwards, and shows whole milliseconds.
func TestClockNeverGoesBackwards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		real, last := noon(), time.Time{}
		c, err := NewClock(ClockState{}, real, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			real = real.Add(time.Duration(rapid.Int64Range(-1e9, 3e9).Draw(t, "real")))
			switch rapid.SampledFrom([]string{"look", "speed", "advance", "restart"}).Draw(t, "do") {
			case "speed":
				_, err = c.SetSpeed(real, rapid.Int64Range(1, MaxSpeed).Draw(t, "speed"))
			case "advance":
				_, err = c.Advance(real, time.Duration(rapid.Int64Range(1e6, 1e15).Draw(t, "by")))
			case "restart":
				c, err = NewClock(c.State(), real, last)
			}
			if err != nil {
				t.Fatal(err)
			}
			now := c.Now(real)
			if now.Before(last) || now.Nanosecond()%1e6 != 0 {
				t.Fatalf("%s after %s", now, last)
			}
			last = now
		}
	})
}

func TestMonthAndQuery(t *testing.T) {
	date := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }
	paris := time.FixedZone("", 3600)
	if from, to := Month(time.Date(2027, 1, 1, 0, 30, 0, 0, paris)); !from.Equal(date(2026, 12, 1)) || !to.Equal(date(2027, 1, 1)) {
		t.Errorf("the month is %s to %s", from, to)
	}
	for _, c := range []struct {
		name             string
		in               api.BillQuery
		wantFrom, wantTo time.Time
		code             api.Code
	}{
		{"nothing", api.BillQuery{}, date(2026, 11, 1), date(2026, 12, 1), ""},
		{"from", api.BillQuery{From: date(2026, 9, 5)}, date(2026, 9, 5), date(2026, 12, 1), ""},
		{"to", api.BillQuery{To: date(2026, 10, 1)}, date(2026, 9, 1), date(2026, 10, 1), ""},
		{"both", api.BillQuery{From: date(2026, 1, 1), To: date(2026, 1, 1), By: "day", Project: "p"}, date(2026, 1, 1), date(2026, 1, 1), ""},
		{"backwards", api.BillQuery{From: date(2026, 2, 1), To: date(2026, 1, 1)}, time.Time{}, time.Time{}, api.Invalid},
		{"from the future", api.BillQuery{From: date(2027, 2, 1)}, time.Time{}, time.Time{}, api.Invalid},
		{"by what", api.BillQuery{By: "moon"}, time.Time{}, time.Time{}, api.Invalid},
	} {
		got, err := NewQuery(c.in, noon())
		if api.CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.code != "" {
			continue
		}
		if !got.From.Equal(c.wantFrom) || !got.To.Equal(c.wantTo) || got.By != c.in.By || got.Project != c.in.Project {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// What is heard of late gets the billing time at which it was, also after several changes; the oldest are forgotten.
func TestClockRemembersHowItWent(t *testing.T) {
	c, err := NewClock(ClockState{}, noon(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	change := func(after time.Duration, speed int64, by time.Duration) {
		if speed > 0 {
			_, err = c.SetSpeed(noon().Add(after), speed)
		} else {
			_, err = c.Advance(noon().Add(after), by)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	change(10*time.Second, 100, 0)
	change(20*time.Second, 0, 24*time.Hour)
	s := c.State()
	for after, want := range map[time.Duration]time.Duration{
		5 * time.Second: 5 * time.Second, 15 * time.Second: 510 * time.Second, 20*time.Second - time.Millisecond: 1010*time.Second - 100*time.Millisecond,
		20 * time.Second: 1010*time.Second + 24*time.Hour, 21 * time.Second: 1110*time.Second + 24*time.Hour,
	} {
		if got := s.At(noon().Add(after)).Sub(noon()); got != want {
			t.Errorf("%s after noon the clock shows %s after it, want %s", after, got, want)
		}
	}
	for i := range 100 {
		change(time.Duration(30+i)*time.Second, int64(i%2)+1, 0)
	}
	depth := 0
	for s := c.State(); s.Before != nil; s = *s.Before {
		depth++
	}
	if depth != keptChanges {
		t.Errorf("it remembers %d changes, want %d", depth, keptChanges)
	}
}

// The clock shows a time when it said it would, and not a millisecond before.
func TestWhenTheClockShowsATime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := noon()
		s := ClockState{AnchorReal: at, AnchorBilling: at.Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "ahead"))), Speed: rapid.Int64Range(1, MaxSpeed).Draw(t, "speed")}
		s.AnchorBilling = s.AnchorBilling.Truncate(time.Millisecond)
		want := s.AnchorBilling.Add(time.Duration(rapid.Int64Range(1, 1e12).Draw(t, "ms")) * time.Millisecond)
		real := s.Real(want)
		if s.At(real).Before(want) || !s.At(real.Add(-time.Millisecond)).Before(want) {
			t.Fatalf("%s is to be shown at %s, which shows %s", want, real, s.At(real))
		}
	})
}
