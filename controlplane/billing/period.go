package billing

import (
	"slices"
	"strings"
	"time"

	"nuage/api"
)

// The ways to group a bill. By nothing, each line is one meter of one resource.
const (
	ByNothing  = ""
	ByService  = "service"
	ByResource = "resource"
	ByModel    = "model"
	ByProject  = "project"
	ByDay      = "day"
	ByTag      = "tag:" // and the tag's name
)

// Query says which bill. From and To are billing times, To is exclusive; both are cut to the millisecond.
type Query struct {
	From, To time.Time
	By       string // one of the By constants
	Project  string // empty: all that usage is given of
}

// NewQuery fills in what q leaves open, at the billing time now: From is the start of the calendar month (UTC) that To
// is in or ends, or of now's; To is the end of now's month. Invalid: as Query.Check.
func NewQuery(q api.BillQuery, now time.Time) (Query, error) {
	out := Query{From: q.From, To: q.To, By: q.By, Project: q.Project}
	if out.To.IsZero() {
		_, out.To = Month(now)
	}
	if out.From.IsZero() {
		out.From, _ = Month(out.To.Add(-time.Millisecond))
	}
	return out, out.Check()
}

// Check. Invalid: an unknown By, or To before From.
func (q Query) Check() error {
	known := []string{ByNothing, ByService, ByResource, ByModel, ByProject, ByDay}
	if tag, ok := strings.CutPrefix(q.By, ByTag); !slices.Contains(known, q.By) && (!ok || tag == "") {
		return api.Errorf(api.Invalid, "cannot group a bill by %q: use one of %s or tag:NAME", q.By, strings.Join(known[1:], ", "))
	}
	if q.To.Before(q.From) {
		return api.Errorf(api.Invalid, "cannot make a bill from %s to %s: its end is before its start",
			q.From.UTC().Format(time.RFC3339), q.To.UTC().Format(time.RFC3339))
	}
	return nil
}

// Month returns the calendar month in UTC that t is in; end is exclusive.
func Month(t time.Time) (start, end time.Time) {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC), time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC)
}
