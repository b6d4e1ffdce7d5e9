package events

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/adhocore/gronx"

	"nuage/api"
)

// Schedule says when something is to be done, in UTC.
type Schedule struct {
	cron  string        // five fields
	every time.Duration // or this
}

var rate = regexp.MustCompile(`^rate\(([1-9][0-9]{0,5}) (second|minute|hour|day)s?\)$`)

// ParseSchedule reads five fields of cron, as "*/5 9-17 * * MON-FRI", or rate(N seconds|minutes|hours|days). Invalid.
func ParseSchedule(text string) (Schedule, error) {
	if m := rate.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		unit := map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[m[2]]
		return Schedule{every: time.Duration(n) * unit}, err
	}
	s := Schedule{cron: text}
	if len(text) > 200 || len(strings.Fields(text)) != 5 || !gronx.IsValid(text) {
		return s, api.Errorf(api.Invalid, "cannot read the schedule %.100q: give five fields of cron, as \"*/5 9-17 * * MON-FRI\", or rate(5 minutes)", text)
	}
	if _, ok := s.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); !ok {
		return s, api.Errorf(api.Invalid, "cannot use the schedule %q: there is no such day", text)
	}
	return s, nil
}

// Next is the first tick after a time, which for a rate is the tick before. false: there is none.
func (s Schedule) Next(after time.Time) (time.Time, bool) {
	if s.every > 0 {
		return after.Add(s.every), true
	}
	next, err := gronx.NextTickAfter(s.cron, after.UTC(), false)
	return next, err == nil && next.After(after)
}

// Grace is how late a tick may be and still count as on time.
const Grace = time.Minute

// Due is the newest tick in (last, now], and whether others come before it in there. ok is false where there is none.
func (s Schedule) Due(last, now time.Time) (tick time.Time, missed, ok bool) {
	if s.every > 0 {
		n := now.Sub(last) / s.every
		return last.Add(n * s.every), n > 1, n > 0
	}
	tick, err := gronx.PrevTickBefore(s.cron, now.UTC(), true)
	if err != nil || !tick.After(last) || tick.After(now) {
		return time.Time{}, false, false
	}
	first, there := s.Next(last)
	return tick, there && first.Before(tick), true
}
