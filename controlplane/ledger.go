package controlplane

import (
	"context"
	"strconv"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// ledger implements api.Ledger.
type ledger struct{ cp *ControlPlane }

// eachUsage calls fn with all usage: what has ended, what runs now up to now, and what calls used.
func (cp *ControlPlane) eachUsage(tx *storage.Tx, fn func(api.Usage) error) error {
	if err := usageLog.Each(tx, 0, 0, func(e storage.Entry[api.Usage]) error { return fn(e.Value) }); err != nil {
		return err
	}
	now := cp.billingNow()
	err := runTable.Each(tx, "", func(r run) error {
		u, err := r.usage(now)
		if err != nil {
			return err
		}
		u.Open = true
		return fn(u)
	})
	if err != nil {
		return err
	}
	return receiptLog.Each(tx, 0, 0, func(e storage.Entry[receipt]) error {
		both, err := billing.CallUsage(e.Value.public())
		if err != nil {
			return err
		}
		for _, u := range both {
			if err := fn(u); err != nil {
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
	skip := 0
	if q.After != "" {
		if skip, err = strconv.Atoi(q.After); err != nil || skip < 0 {
			return out, api.Errorf(api.Invalid, "cannot continue after %q: after is the next of an earlier page", q.After)
		}
	}
	at := 0
	err = l.cp.Store.View(func(tx *storage.Tx) error {
		return l.cp.eachUsage(tx, func(u api.Usage) error {
			if !usageMatches(q, u) {
				return nil
			}
			if at++; at <= skip {
				return nil
			}
			if len(out.Items) == limit {
				out.Next = strconv.Itoa(skip + limit)
				return storage.Stop
			}
			out.Items = append(out.Items, u)
			return nil
		})
	})
	if err == storage.Stop {
		err = nil
	}
	return out, err
}

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
	return l.cp.bill(q)
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
	if err := cp.Store.View(func(tx *storage.Tx) error { return cp.eachUsage(tx, rating.Add) }); err != nil {
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
