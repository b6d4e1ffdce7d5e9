package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// eachCounted is eachUsage with calls counted by a rule; those whose receipts are gone are of the hour in which they were.
func (cp *ControlPlane) eachCounted(tx *storage.Tx, rule billing.CallRule, fn func(api.Usage) error) error {
	err := eachTimed(tx, cp.billingNow(), fn)
	if err == nil {
		err = eachPast(tx, rule, place{}, func(_ place, u api.Usage) error { return fn(u) })
	}
	if err != nil {
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
	half    int    // of a call, or of an hour of them: 0 its request, 1 its time
}

func (p place) String() string {
	switch p.section {
	case inRuns, inRequests:
		return p.section + "/" + p.key
	case inPast:
		return fmt.Sprintf("%s/%d/%s", p.section, p.half, p.key)
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
	inPast     = "past" // calls whose receipts are gone, by hour
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
	case inPast:
		half, key, _ := strings.Cut(rest, "/")
		p.key = key
		p.half, err = strconv.Atoi(half)
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
		after = place{section: inPast}
	}
	if after.section == inPast {
		if err := eachPast(tx, billing.PlainCallRule(), after, fn); err != nil {
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
	return l.cp.invoiced(q)
}

// invoiced is the invoice of a closed month under its own book, the bill of the open one with what earlier invoices lacked, and any other
// bill as it is rated now.
func (cp *ControlPlane) invoiced(q api.BillQuery) (out api.Bill, err error) {
	book, query, err := cp.query(q)
	if err != nil {
		return out, err
	}
	err = cp.Store.View(func(tx *storage.Tx) error {
		closed, err := invoices(tx)
		if err != nil {
			return err
		}
		own := book.Name() == billing.DefaultBook
		for _, v := range closed {
			if own && v.From.Equal(query.From) && v.To.Equal(query.To) {
				out, err = v.Bill(query)
				return err
			}
		}
		rating, err := cp.rate(tx, book, query)
		if err != nil {
			return err
		}
		if open, found := openMonth(closed); own && found && open.Equal(query.From) && wholeMonth(query) {
			if err := cp.adjust(tx, closed, rating); err != nil {
				return err
			}
		}
		if out, err = rating.Bill(); err == nil {
			out.Note = notes(closedNote(closed, query), cp.unreachedNote(book, query), cp.clockNote())
		}
		return err
	})
	return out, err
}

// bill is rated from usage as it is known now, whether its period is closed or not.
func (cp *ControlPlane) bill(q api.BillQuery) (out api.Bill, err error) {
	book, query, err := cp.query(q)
	if err != nil {
		return out, err
	}
	err = cp.Store.View(func(tx *storage.Tx) error {
		rating, err := cp.rate(tx, book, query)
		if err == nil {
			out, err = rating.Bill()
		}
		return err
	})
	return out, err
}

// query fills in what is asked for. Invalid.
func (cp *ControlPlane) query(q api.BillQuery) (*billing.Book, billing.Query, error) {
	book, err := cp.Books.Book(q.Book)
	if api.CodeOf(err) == api.NotFound {
		err = api.Errorf(api.Invalid, "cannot make a bill: %w", err)
	}
	if err != nil {
		return nil, billing.Query{}, err
	}
	query, err := billing.NewQuery(q, cp.billingNow())
	return book, query, err
}

// rate collects what a bill needs: sums by hour where its period is of whole hours.
func (cp *ControlPlane) rate(tx *storage.Tx, book *billing.Book, query billing.Query) (*billing.Rating, error) {
	rating, err := book.Rate(query)
	if err != nil {
		return nil, err
	}
	if wholeHours(query.From, query.To) {
		return rating, cp.eachSum(tx, cp.billingNow(), book, query, rating.Add)
	}
	return rating, cp.eachCounted(tx, book.CallRule(), rating.Add)
}

// unreachedNote says what a bill lacks.
func (cp *ControlPlane) unreachedNote(book *billing.Book, q billing.Query) string {
	calls := cp.tally.unreached(cp.callRules(), book.CallRule(), q)
	if calls == 0 {
		return ""
	}
	return fmt.Sprintf("without %s, whose receipts went before there was a book that counts as %s does", plural(calls, "call"), book.Name())
}

// notes joins what there is to say.
func notes(all ...string) string {
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), "; ")
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
