package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// settledAfter is how long after the closing of a month, in real time, nothing of it can be heard of any more but of what runs: calls and
// builds that were under way have ended by then.
const settledAfter = 24 * time.Hour

// invoices are the closed months, oldest first.
func invoices(tx *storage.Tx) (all []billing.Invoice, err error) {
	err = invoiceTable.Each(tx, "", func(v billing.Invoice) error { all = append(all, v); return nil })
	return all, err
}

// openMonth is when the month after the last closed one begins. false: none is closed.
func openMonth(closed []billing.Invoice) (time.Time, bool) {
	if len(closed) == 0 {
		return time.Time{}, false
	}
	return closed[len(closed)-1].To, true
}

// wholeMonth tells that a period is a calendar month.
func wholeMonth(q billing.Query) bool {
	from, to := billing.Month(q.From)
	return q.From.Equal(from) && q.To.Equal(to)
}

// closedNote says which closed months a bill is rated anew for.
func closedNote(closed []billing.Invoice, q billing.Query) string {
	var periods []string
	for _, v := range closed {
		if v.From.Before(q.To) && q.From.Before(v.To) {
			periods = append(periods, v.Period)
		}
	}
	if len(periods) == 0 {
		return ""
	}
	return fmt.Sprintf("rated anew from usage; closed are the invoices of %s, which stay as they are", strings.Join(periods, ", "))
}

// firstMonth is the month to be closed next: that after the last one closed, else that of the first usage there is.
func (cp *ControlPlane) firstMonth(tx *storage.Tx, closed []billing.Invoice) (time.Time, error) {
	if open, ok := openMonth(closed); ok {
		return open, nil
	}
	first := cp.billingNow()
	err := eachTimed(tx, first, func(u api.Usage) error {
		if u.Start.Before(first) {
			first = u.Start
		}
		return nil
	})
	if err == nil {
		err = cp.tally.eachHour(tx, cp.callRules(), func(hour time.Time) {
			if hour.Before(first) {
				first = hour
			}
		})
	}
	from, _ := billing.Month(first)
	return from, err
}

// adjust adds to the bill of the open month what its closed ones lacked or had too much.
func (cp *ControlPlane) adjust(tx *storage.Tx, closed []billing.Invoice, open *billing.Rating) error {
	type reckoning struct {
		at       int // in closed
		rating   *billing.Rating
		from, to time.Time // whose usage it needs
	}
	var all []reckoning
	for i, v := range closed {
		if v.Settled {
			continue
		}
		book, err := billing.ParseOld(v.Book)
		if err != nil {
			return err
		}
		rating, err := book.RateMonth(v.From)
		if err != nil {
			return err
		}
		from, to := book.Needs(v.From, v.To)
		if err := cp.tally.each(tx, cp.callRules(), book.CallRule(), from, to, rating.Add); err != nil {
			return err
		}
		all = append(all, reckoning{i, rating, from, to})
	}
	if len(all) == 0 {
		return nil
	}
	err := eachTimed(tx, cp.billingNow(), func(u api.Usage) error {
		for _, r := range all {
			if u.End.Before(r.from) || u.Start.After(r.to) {
				continue
			}
			if err := r.rating.Add(u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range all {
		if err := open.Adjust(closed[r.at], r.rating, closed[r.at+1:]); err != nil {
			return err
		}
	}
	return nil
}

// closeEnded closes, one by one, the months that have ended. Each is one commit: after a kill the next process goes on.
func (k *bookkeeper) closeEnded(ctx context.Context) error {
	for late := true; ctx.Err() == nil; late = false {
		_, closed, err := k.closeNext(platform("bookkeeping"), "", late)
		if err != nil {
			return err
		}
		if !closed {
			return k.settle()
		}
	}
	return nil
}

// closeNext closes the first open month where it has ended, or the one asked for, which then has to be that. late: with what earlier
// invoices lacked, which right after another closing is nothing.
func (k *bookkeeper) closeNext(actor api.Actor, period string, late bool) (made billing.Invoice, closed bool, err error) {
	now := k.cp.billingNow()
	var before int
	err = k.cp.Store.View(func(tx *storage.Tx) error {
		done, err := invoices(tx)
		if err != nil {
			return err
		}
		before = len(done)
		from, err := k.cp.firstMonth(tx, done)
		if err != nil {
			return err
		}
		_, to := billing.Month(from)
		if closed, err = mayClose(done, period, from, to, now); err != nil || !closed {
			return err
		}
		made, err = k.cp.reckonMonth(tx, done, from, late, now)
		return err
	})
	if err != nil || !closed {
		return made, false, err
	}
	detail := fmt.Sprintf("closed under version %s of the book %s", k.cp.bookVersion(), billing.DefaultBook)
	err = k.cp.Store.Update(func(tx *storage.Tx) error {
		if n, err := invoiceTable.Count(tx, ""); err != nil {
			return err
		} else if n != before {
			return api.Errorf(api.Conflict, "cannot close %s: another closing came first", made.Period)
		}
		if err := invoiceTable.Insert(tx, made); err != nil {
			return err
		}
		return k.cp.record(tx, actor, "invoice", &api.Meta{Name: made.Period}, "close", detail)
	})
	if err == nil {
		k.remember(made)
	}
	return made, err == nil, err
}

// mayClose tells whether the first open month, from from to to, is to be closed now. Conflict: another was asked for.
func mayClose(done []billing.Invoice, period string, from, to, now time.Time) (bool, error) {
	first := billing.PeriodName(from)
	switch {
	case period == "":
		return !to.After(now), nil
	case slices.ContainsFunc(done, func(v billing.Invoice) bool { return v.Period == period }):
		return false, api.Errorf(api.Conflict, "cannot close %s: it is closed already; what is heard of now is in the bill of %s", period, first)
	case from.After(now):
		return false, api.Errorf(api.Conflict, "cannot close %s: it has not begun, and all before %s is closed", period, first)
	case period < first:
		return false, api.Errorf(api.Conflict, "cannot close %s: nothing was used before %s", period, first)
	case period > first:
		return false, api.Errorf(api.Conflict, "cannot close %s: close %s first", period, first)
	}
	return true, nil
}

// reckonMonth is the invoice of a month.
func (cp *ControlPlane) reckonMonth(tx *storage.Tx, done []billing.Invoice, from time.Time, late bool, now time.Time) (billing.Invoice, error) {
	book, err := cp.Books.Book("")
	if err != nil {
		return billing.Invoice{}, err
	}
	rating, err := book.RateMonth(from)
	if err != nil {
		return billing.Invoice{}, err
	}
	start, end := billing.Month(from)
	err = cp.eachSum(tx, now, book, billing.Query{From: start, To: end}, rating.Add)
	if err == nil && late {
		err = cp.adjust(tx, done, rating)
	}
	if err != nil {
		return billing.Invoice{}, err
	}
	return rating.Close(cp.NewID("inv"), cp.clockNote(), now, cp.Now())
}

// settle marks invoices of which nothing more can be heard: what runs began later, and what was under way has ended.
func (k *bookkeeper) settle() error {
	var done []billing.Invoice
	oldest := k.cp.billingNow()
	err := k.cp.Store.View(func(tx *storage.Tx) (err error) {
		if done, err = invoices(tx); err != nil {
			return err
		}
		return runTable.Each(tx, "", func(r run) error {
			if r.Start.Before(oldest) {
				oldest = r.Start
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for i, v := range done {
		// The last closed one waits for its next: only a closed invoice holds an adjustment.
		if v.Settled || i == len(done)-1 || v.To.After(oldest) || k.cp.Now().Sub(done[i+1].Real) < settledAfter {
			continue
		}
		v.Settled = true
		if err := k.cp.Store.Update(func(tx *storage.Tx) error { return invoiceTable.Put(tx, v) }); err != nil {
			return err
		}
	}
	return nil
}

// remember keeps the rule by which an invoice counts calls.
func (k *bookkeeper) remember(v billing.Invoice) {
	book, err := billing.ParseOld(v.Book)
	if err != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	has := func(r billing.CallRule) bool { return r.Key() == book.CallRule().Key() }
	if !slices.ContainsFunc(k.rules, has) {
		k.rules = append(k.rules, book.CallRule())
	}
}

// begin reads what closed invoices need.
func (k *bookkeeper) begin() error {
	return k.cp.Store.View(func(tx *storage.Tx) error {
		return invoiceTable.Each(tx, "", func(v billing.Invoice) error { k.remember(v); return nil })
	})
}

// callRules adds to the rules of the books those of closed invoices.
func (k *bookkeeper) callRules(all []billing.CallRule) []billing.CallRule {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.rules {
		has := func(o billing.CallRule) bool { return r.Key() == o.Key() }
		if !slices.ContainsFunc(all, has) {
			all = append(all, r)
		}
	}
	return all
}

// bookVersion is the version of the book that invoices are made under.
func (cp *ControlPlane) bookVersion() string {
	book, err := cp.Books.Book("")
	if err != nil {
		return ""
	}
	return book.PriceBook().Version
}

func (l ledger) Close(ctx context.Context, period string) (api.Bill, error) {
	actor, err := l.cp.wholeCloud(ctx, "close a period")
	if err != nil {
		return api.Bill{}, err
	}
	l.cp.books.one.Lock()
	defer l.cp.books.one.Unlock()
	if period == "" {
		if period, err = l.cp.openPeriod(); err != nil {
			return api.Bill{}, err
		}
	}
	if _, _, err := billing.ParsePeriod(period); err != nil {
		return api.Bill{}, err
	}
	made, _, err := l.cp.books.closeNext(actor, period, true)
	if err != nil {
		return api.Bill{}, err
	}
	return made.Bill(billing.Query{})
}

// openPeriod names the month to be closed next.
func (cp *ControlPlane) openPeriod() (period string, err error) {
	err = cp.Store.View(func(tx *storage.Tx) error {
		done, err := invoices(tx)
		if err != nil {
			return err
		}
		from, err := cp.firstMonth(tx, done)
		period = billing.PeriodName(from)
		return err
	})
	return period, err
}

func (l ledger) Invoices(ctx context.Context, page api.Page) (api.List[api.Invoice], error) {
	out := api.List[api.Invoice]{Items: []api.Invoice{}}
	actor, err := l.cp.actor(ctx)
	if err != nil {
		return out, err
	}
	limit, err := pageLimit(page)
	if err != nil {
		return out, err
	}
	err = l.cp.Store.View(func(tx *storage.Tx) error {
		found, err := invoiceTable.List(tx, storage.Query{After: page.After, Limit: limit})
		for _, v := range found.Items {
			if err != nil {
				return err
			}
			var s api.Invoice
			s, err = v.Summary(actor.Project)
			out.Items = append(out.Items, s)
		}
		out.Next = found.Next
		return err
	})
	return out, err
}
