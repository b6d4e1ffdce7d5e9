package billing

import (
	"maps"
	"math/bits"
	"slices"
	"time"

	"nuage/api"
)

// Rating collects usage for one bill. Add it record by record, in any order, then ask for the Bill; more can be added after
// that for the next Bill. Not for concurrent use.
type Rating struct {
	book     *Book
	query    Query
	from, to int64 // the period in Unix ms; to is exclusive
	month    int64 // when the month of from began
	daily    bool
	lines    map[lineKey]*line
	last     *line     // records of one resource come in a row
	late     []*charge // adjustments of closed invoices
}

// lineKey is what has a charge of its own.
type lineKey struct{ project, resource, resourceID, meter, tags string }

// line is what was used of one meter by one resource, in stored units.
type line struct {
	key   lineKey
	price *price
	tags  map[string]string
	// slices is what was used, top-ups included, by when its slice of time begins in Unix ms: the period is one slice, or has one a day
	// where the bill is by day or the price depends on what was used before; then the days of the month before it have theirs.
	slices map[int64]int64
	runs   map[string]run // of meters with a minimum
	topped int            // runs under the minimum
	topUp  int64          // what they were topped up with
}

// run is all that was given of a run, within the period or not.
type run struct{ start, quantity int64 }

// Rate begins a bill. Invalid: as Query.Check.
func (b *Book) Rate(q Query) (*Rating, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	month, _ := Month(q.From)
	return &Rating{book: b, query: q, from: q.From.UnixMilli(), to: q.To.UnixMilli(), month: month.UnixMilli(), daily: q.By == ByDay,
		lines: make(map[lineKey]*line)}, nil
}

// Add takes a usage record, whether within the period or not; it may also tell when a run began (see Book.Needs).
// Invalid: as CheckUsage. Exhausted: a quantity grew over 2^63-1. The Rating is useless after an error.
func (r *Rating) Add(u api.Usage) error {
	if r.query.Project != "" && u.Project != r.query.Project {
		return nil
	}
	l, err := r.line(&u)
	if err != nil || l == nil {
		return err
	}
	start, end := u.Start.UnixMilli(), u.End.UnixMilli()
	if l.runs != nil {
		if err := l.run(u.Run, start, u.Quantity); err != nil {
			return err
		}
	}
	if !l.price.meter.Spread || start == end {
		return r.put(l, start, u.Quantity)
	}
	return r.spread(l, u.Quantity, start, end)
}

// line finds or makes the line of a record, which it checks; none where the book has no price.
func (r *Rating) line(u *api.Usage) (*line, error) {
	key := lineKey{u.Project, u.Resource, u.ResourceID, u.Meter, tagsText(u.Tags)}
	l := r.last
	if l == nil || l.key != key {
		l = r.lines[key]
	}
	if l == nil {
		p := r.book.prices[u.Meter]
		if p == nil {
			return nil, CheckUsage(*u)
		}
		l = &line{key: key, price: p, tags: u.Tags, slices: make(map[int64]int64)}
		if p.minimumMs > 0 {
			l.runs = make(map[string]run)
		}
		r.lines[key] = l
	}
	r.last = l
	return l, l.price.meter.check(u)
}

// tagsText is tags as one text.
func tagsText(tags map[string]string) (text string) {
	if len(tags) == 0 {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		text += name + "\x01" + tags[name] + "\x02"
	}
	return text
}

// run notes a record of a run.
func (l *line) run(id string, start, quantity int64) error {
	was, ok := l.runs[id]
	if ok {
		start = min(start, was.start)
	}
	sum, err := add(was.quantity, quantity)
	l.runs[id] = run{start, sum}
	return err
}

// spread puts the parts of a quantity, cut at the ends of slices.
func (r *Rating) spread(l *line, quantity, start, end int64) error {
	until := min(end, r.to)
	for at := max(start, r.begin(l)); at < until; {
		next := min(until, r.sliceEnd(l, at))
		part := portion(quantity, end-start, next-start) - portion(quantity, end-start, at-start)
		if err := r.put(l, at, part); err != nil {
			return err
		}
		at = next
	}
	return nil
}

// begin is when the first slice of a line begins.
func (r *Rating) begin(l *line) int64 {
	if l.price.banded() {
		return r.month
	}
	return r.from
}

// slice is when the slice begins that an instant is in.
func (r *Rating) slice(l *line, at int64) int64 {
	if !r.daily && !l.price.banded() {
		return r.from
	}
	begin := day(at) * msPerDay
	if at >= r.from {
		return max(begin, r.from)
	}
	return begin
}

// sliceEnd is when the slice ends that an instant is in.
func (r *Rating) sliceEnd(l *line, at int64) int64 {
	if !r.daily && !l.price.banded() {
		return r.to
	}
	end := (day(at) + 1) * msPerDay
	if at < r.from {
		return min(end, r.from)
	}
	return end
}

// portion is what of a quantity accrued over span ms has accrued after part ms, cut to a whole number. Parts are
// differences of two portions, so they always add up to the quantity.
func portion(quantity, span, part int64) int64 {
	hi, lo := bits.Mul64(uint64(quantity), uint64(part))
	q, _ := bits.Div64(hi, lo, uint64(span)) // part <= span, so q <= quantity
	return int64(q)
}

// put adds a quantity that belongs to an instant, if that is in one of the slices.
func (r *Rating) put(l *line, at, quantity int64) (err error) {
	if at < r.begin(l) || at >= r.to {
		return nil
	}
	slice := r.slice(l, at)
	l.slices[slice], err = add(l.slices[slice], quantity)
	return err
}

// toppedUp is a copy of the line in which each run under the minimum is raised to it. What is missing belongs to the
// instant the run began.
func (r *Rating) toppedUp(l line) (*line, error) {
	l.slices = maps.Clone(l.slices)
	for _, run := range l.runs {
		missing := l.price.minimumMs - run.quantity
		if missing <= 0 || run.start < r.begin(&l) || run.start >= r.to {
			continue
		}
		if err := r.put(&l, run.start, missing); err != nil {
			return nil, err
		}
		if run.start < r.from {
			continue
		}
		l.topped++
		l.topUp += missing
	}
	return &l, nil
}

// day is the number of the UTC day since 1970 of a time in Unix ms.
func day(ms int64) int64 {
	if ms < 0 {
		return (ms+1)/msPerDay - 1
	}
	return ms / msPerDay
}

// CheckUsage tells whether a record can be rated; the store should refuse one that cannot. Invalid: an unknown meter, another service
// than the meter's, a negative quantity, an end before the start, or no run where the meter needs one.
func CheckUsage(u api.Usage) error {
	m, ok := MeterOf(u.Meter)
	if !ok {
		return api.Errorf(api.Invalid, "cannot rate usage %q of %q: there is no meter %q", u.ID, u.Resource, u.Meter)
	}
	return m.check(&u)
}

func (m Meter) check(u *api.Usage) error {
	switch {
	case u.Service != m.Service:
		return api.Errorf(api.Invalid, "cannot rate usage %q of %q: its service is %q, that of %q is %q", u.ID, u.Resource, u.Service, m.Name, m.Service)
	case u.Quantity < 0:
		return api.Errorf(api.Invalid, "cannot rate usage %q of %q: its quantity %d is negative", u.ID, u.Resource, u.Quantity)
	case u.End.Before(u.Start):
		return api.Errorf(api.Invalid, "cannot rate usage %q of %q: it ends at %s, before its start at %s", u.ID, u.Resource,
			u.End.UTC().Format(time.RFC3339), u.Start.UTC().Format(time.RFC3339))
	case m.PerRun && u.Run == "":
		return api.Errorf(api.Invalid, "cannot rate usage %q of %q: %q is metered per run and it names none", u.ID, u.Resource, m.Name)
	}
	return nil
}
