package controlplane

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// booksEvery is how often budgets are looked at, in real time.
const booksEvery = 5 * time.Second

// bookkeeper looks after money beside the loop: it closes months and tells when budgets are spent.
type bookkeeper struct {
	cp    *ControlPlane
	asked chan struct{} // something changed that money depends on

	one   sync.Mutex // held while it works
	mu    sync.Mutex
	spent map[string]string  // projects of which nothing may spend, with the budget that says so
	rules []billing.CallRule // of the books of closed invoices
}

func newBookkeeper(cp *ControlPlane) *bookkeeper {
	return &bookkeeper{cp: cp, asked: make(chan struct{}, 1), spent: map[string]string{}}
}

// wake lets the bookkeeper look at once.
func (k *bookkeeper) wake() {
	select {
	case k.asked <- struct{}{}:
	default:
	}
}

// run works until ctx ends.
func (k *bookkeeper) run(ctx context.Context) {
	for ctx.Err() == nil {
		k.work(ctx)
		timer := time.NewTimer(booksEvery)
		select {
		case <-ctx.Done():
		case <-k.asked:
		case <-timer.C:
		}
		timer.Stop()
	}
	if err := k.cp.meterSent(); err != nil {
		k.cp.log.Error("what went out last is not metered", "error", err)
	}
}

// work does what is due. What fails is tried again the next time.
func (k *bookkeeper) work(ctx context.Context) {
	k.one.Lock()
	defer k.one.Unlock()
	if err := errors.Join(k.cp.meterSent(), k.closeEnded(ctx), k.watchBudgets(ctx)); err != nil && ctx.Err() == nil {
		k.cp.log.Error("books not kept; it is tried again", "error", err)
	}
}

// watchBudgets tells what budgets have reached, and stops what spends where they say so.
func (k *bookkeeper) watchBudgets(ctx context.Context) error {
	var all []api.Budget
	err := k.cp.Store.View(func(tx *storage.Tx) error {
		return budgetTable.Each(tx, "", func(b api.Budget) error { all = append(all, b); return nil })
	})
	if err != nil {
		return err
	}
	spends, spent := map[string]spend{}, map[string]string{}
	var trouble []error
	for _, b := range all {
		s, known := spends[b.Project]
		if !known {
			if s, err = k.cp.spendOf(b.Project); err != nil {
				trouble = append(trouble, err)
				continue
			}
			spends[b.Project] = s
		}
		over, err := k.reckon(b, s)
		if over && b.Spec.Stop {
			spent[b.Project] = b.Name
		}
		trouble = append(trouble, err)
	}
	k.mu.Lock()
	k.spent = spent
	k.mu.Unlock()
	for project, budget := range spent {
		trouble = append(trouble, k.stopSpending(ctx, project, budget))
	}
	return errors.Join(trouble...)
}

// reckon stores what a budget has reached, with an activity for each threshold in the same commit: none is told twice or forgotten.
func (k *bookkeeper) reckon(b api.Budget, s spend) (over bool, err error) {
	next, _, err := reckoned(b, s)
	if err != nil {
		return false, err
	}
	over = next.Status.Phase == api.Degraded
	if same(b.Status, next.Status) {
		return over, nil
	}
	return over, k.cp.Store.Update(func(tx *storage.Tx) error {
		now, err := budgetTable.Get(tx, b.ID)
		if err != nil || now.Generation != b.Generation {
			return ignoreGone(err)
		}
		next, fresh, err := reckoned(now, s)
		if err != nil {
			return err
		}
		for _, a := range fresh {
			detail := fmt.Sprintf("%s spend of %s is $%s: %d%% of $%s is reached", a.Of, next.Status.Period, a.Spend, a.Percent, now.Spec.Amount)
			if err := k.cp.record(tx, platform("budget"), "budget", &now.Meta, "alert", detail); err != nil {
				return err
			}
		}
		return budgetTable.Put(tx, next)
	})
}

// stopSpending stops instances, and lets groups and apps go to nothing, as their owner would. Databases go on: what they hold would
// be out of reach. Functions are refused by mayCall.
func (k *bookkeeper) stopSpending(ctx context.Context, project, budget string) error {
	ctx = api.WithActor(ctx, platform("budget"))
	var machines []string
	var groups []api.InstanceGroup
	var spending []api.App
	err := k.cp.Store.View(func(tx *storage.Tx) error {
		return errors.Join(
			instanceTable.EachBy(tx, "name", project+"/", func(i api.Instance) error {
				if m, err := machineTable.Get(tx, i.ID); err == nil && m.Group == "" && !i.Spec.Stopped && i.DeletedAt == nil {
					machines = append(machines, i.Name)
				}
				return nil
			}),
			fleetTable.EachBy(tx, "name", project+"/", func(g api.InstanceGroup) error {
				if g.Spec.Min+g.Spec.CPU > 0 && g.DeletedAt == nil {
					groups = append(groups, g)
				}
				return nil
			}),
			appTable.EachBy(tx, "name", project+"/", func(a api.App) error {
				if (a.Spec.Scaling != nil || a.Spec.Replicas == nil || *a.Spec.Replicas > 0) && a.DeletedAt == nil {
					spending = append(spending, a)
				}
				return nil
			}))
	})
	if err != nil {
		return err
	}
	c := k.cp.Cloud()
	var trouble []error
	for _, name := range machines {
		_, err := c.Instances.Power(ctx, project, name, api.PowerStop)
		trouble = append(trouble, err)
	}
	for _, g := range groups {
		g.Spec.Min, g.Spec.CPU = 0, 0
		_, err := c.InstanceGroups.Update(ctx, project, g.Name, g.Spec, g.Generation)
		trouble = append(trouble, err)
	}
	for _, a := range spending {
		none := 0
		a.Spec.Scaling, a.Spec.Replicas = nil, &none
		_, err := c.Apps.Update(ctx, project, a.Name, a.Spec, a.Generation)
		trouble = append(trouble, err)
	}
	if err := errors.Join(trouble...); err != nil {
		return api.Errorf(api.Unavailable, "cannot stop all that budget %q stops: %w", budget, err)
	}
	return nil
}

// mayCall refuses a call where a budget has stopped what spends. Exhausted.
func (k *bookkeeper) mayCall(f *api.Function) error {
	k.mu.Lock()
	budget, stopped := k.spent[f.Project]
	k.mu.Unlock()
	if !stopped {
		return nil
	}
	return api.Errorf(api.Exhausted, "cannot call function %q: budget %q is spent and stops what spends; raise it (nuage budget update %s --amount N) or wait for the next month", f.Name, budget, budget)
}
