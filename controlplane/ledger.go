package controlplane

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// ledger implements api.Ledger.
type ledger struct{ cp *ControlPlane }

// eachUsage calls fn with all usage: what runs now up to now, what has ended, and what calls used.
func (cp *ControlPlane) eachUsage(tx *storage.Tx, fn func(api.Usage) error) error {
	return cp.walkUsage(tx, place{}, func(_ place, u api.Usage) error { return fn(u) })
}

// eachCounted is eachUsage with calls counted by a rule.
func (cp *ControlPlane) eachCounted(tx *storage.Tx, rule billing.CallRule, fn func(api.Usage) error) error {
	err := cp.walkUsage(tx, place{}, func(at place, u api.Usage) error {
		if at.section == inCalls {
			return errFull
		}
		return fn(u)
	})
	if err != nil && !errors.Is(err, errFull) {
		return err
	}
	return receiptLog.Each(tx, 0, 0, func(e storage.Entry[receipt]) error {
		q, err := rule.Of(e.Value.public())
		for _, u := range q.Usage(e.Value.public()) {
			err = errors.Join(err, fn(u))
		}
		return err
	})
}

// place is where a walk over all usage is. Usage of an hour of requests grows while it lasts. It stays good when a run ends in between: open runs come first, so that one
// that ends is seen a second time, with the same id, and never missed.
type place struct {
	section string // runs, ended or calls; "" before all of them
	key     string // of the run
	at      uint64 // sequence in the log
	half    int    // of a call: 0 its request, 1 its time
}

func (p place) String() string {
	switch p.section {
	case inRuns, inRequests:
		return p.section + "/" + p.key
	case inEnded:
		return fmt.Sprintf("%s/%d", p.section, p.at)
	}
	return fmt.Sprintf("%s/%d/%d", p.section, p.at, p.half)
}

// The sections of all usage, in their order.
const (
	inRuns     = "runs"
	inEnded    = "ended"
	inRequests = "requests"
	inCalls    = "calls"
)

// readPlace reads what String wrote. Invalid: something else.
func readPlace(s string) (p place, err error) {
	if s == "" {
		return p, nil
	}
	rest := ""
	p.section, rest, _ = strings.Cut(s, "/")
	switch p.section {
	case inRuns, inRequests:
		p.key = rest
		return p, nil
	case inEnded:
		p.at, err = strconv.ParseUint(rest, 10, 63)
	case inCalls:
		_, err = fmt.Sscanf(rest, "%d/%d", &p.at, &p.half)
	default:
		err = errors.New("no such section")
	}
	if err != nil {
		return p, api.Errorf(api.Invalid, "cannot continue after %q: after is the next of an earlier page", s)
	}
	return p, nil
}

// walkUsage calls fn with all usage behind a place, and where it is.
func (cp *ControlPlane) walkUsage(tx *storage.Tx, after place, fn func(place, api.Usage) error) error {
	if after.section == "" || after.section == inRuns {
		if err := walkRuns(tx, cp.billingNow(), after.key, fn); err != nil {
			return err
		}
		after = place{section: inEnded}
	}
	if after.section == inEnded {
		err := usageLog.Each(tx, after.at+1, 0, func(e storage.Entry[api.Usage]) error {
			return fn(place{section: inEnded, at: e.Sequence}, e.Value)
		})
		if err != nil {
			return err
		}
		after = place{section: inRequests}
	}
	if after.section == inRequests {
		if err := eachRequest(tx, after.key, fn); err != nil {
			return err
		}
		after = place{section: inCalls, half: 1}
	}
	return walkCalls(tx, after, fn)
}

// walkRuns calls fn with what the open runs have used until now.
func walkRuns(tx *storage.Tx, now time.Time, after string, fn func(place, api.Usage) error) error {
	return runTable.Each(tx, "", func(r run) error {
		if r.Key <= after {
			return nil
		}
		u, err := r.usage(now)
		if err != nil {
			return err
		}
		u.Open = true
		return fn(place{section: inRuns, key: r.Key}, u)
	})
}

func walkCalls(tx *storage.Tx, after place, fn func(place, api.Usage) error) error {
	return receiptLog.Each(tx, after.at, 0, func(e storage.Entry[receipt]) error {
		both, err := billing.CallUsage(e.Value.attempt())
		if err != nil {
			return err
		}
		for half, u := range both {
			if e.Sequence == after.at && half <= after.half {
				continue
			}
			if err := fn(place{section: inCalls, at: e.Sequence, half: half}, u); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l ledger) Usage(ctx context.Context, q api.UsageQuery) (api.List[api.Usage], error) {
	out := api.List[api.Usage]{Items: []api.Usage{}}
	actor, err := l.cp.actor(ctx)
	if err != nil {
		return out, err
	}
	if q.Project, err = narrow(actor, q.Project); err != nil {
		return out, err
	}
	limit, err := pageLimit(q.Page)
	if err != nil {
		return out, err
	}
	after, err := readPlace(q.After)
	if err != nil {
		return out, err
	}
	last := after
	err = l.cp.Store.View(func(tx *storage.Tx) error {
		return l.cp.walkUsage(tx, after, func(at place, u api.Usage) error {
			if !usageMatches(q, u) {
				return nil
			}
			if len(out.Items) == limit {
				out.Next = last.String()
				return errFull
			}
			out.Items, last = append(out.Items, u), at
			return nil
		})
	})
	if errors.Is(err, errFull) {
		err = nil
	}
	return out, err
}

// errFull ends a walk over several tables, which storage.Stop would not.
var errFull = errors.New("the page is full")

func usageMatches(q api.UsageQuery, u api.Usage) bool {
	return (q.Project == "" || q.Project == u.Project) && (q.Resource == "" || q.Resource == u.Resource) &&
		(q.From.IsZero() || u.End.After(q.From) || u.Start.Equal(u.End) && !u.Start.Before(q.From)) && (q.To.IsZero() || u.Start.Before(q.To))
}

func (l ledger) Bill(ctx context.Context, q api.BillQuery) (api.Bill, error) {
	actor, err := l.cp.actor(ctx)
	if err != nil {
		return api.Bill{}, err
	}
	if q.Project, err = narrow(actor, q.Project); err != nil {
		return api.Bill{}, err
	}
	bill, err := l.cp.bill(q)
	bill.Note = l.cp.clockNote()
	return bill, err
}

func (cp *ControlPlane) bill(q api.BillQuery) (api.Bill, error) {
	book, err := cp.Books.Book(q.Book)
	if api.CodeOf(err) == api.NotFound {
		return api.Bill{}, api.Errorf(api.Invalid, "cannot make a bill: %w", err)
	}
	if err != nil {
		return api.Bill{}, err
	}
	query, err := billing.NewQuery(q, cp.billingNow())
	if err != nil {
		return api.Bill{}, err
	}
	rating, err := book.Rate(query)
	if err != nil {
		return api.Bill{}, err
	}
	collect := func(tx *storage.Tx) error { return cp.eachCounted(tx, book.CallRule(), rating.Add) }
	if wholeHours(query.From, query.To) {
		collect = func(tx *storage.Tx) error { return cp.eachSum(tx, cp.billingNow(), book.CallRule(), rating.Add) }
	}
	if err := cp.Store.View(collect); err != nil {
		return api.Bill{}, err
	}
	return rating.Bill()
}

func (l ledger) Prices(ctx context.Context, name string) (api.PriceBook, error) {
	if _, err := l.cp.actor(ctx); err != nil {
		return api.PriceBook{}, err
	}
	book, err := l.cp.Books.Book(name)
	if err != nil {
		return api.PriceBook{}, err
	}
	return book.PriceBook(), nil
}
