package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/govalues/decimal"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// budgets adds what was spent to what every verb answers. It is never stored in a status: it grows all the time.
type budgets struct {
	resource[api.Budget, api.BudgetSpec]
}

func (cp *ControlPlane) budgets() resource[api.Budget, api.BudgetSpec] {
	return resource[api.Budget, api.BudgetSpec]{
		cp: cp, noun: "budget", prefix: "bud", table: budgetTable,
		status: func(b *api.Budget) *api.Status { return &b.Status.Status },
		spec:   func(b *api.Budget) *api.BudgetSpec { return &b.Spec },
		check:  checkBudget,
		admit:  cp.admitBudget,
		retire: func(*storage.Tx, *api.Budget) (bool, error) { return true, nil },
		verb:   func(old, next *api.Budget) (string, string) { return createOrUpdate(old == nil), budgetText(next.Spec) },
		done:   func(ctx context.Context, _ *api.Budget) { cp.books.work(ctx) }, // in force when it is answered
	}
}

func budgetText(s api.BudgetSpec) string {
	text := "$" + s.Amount + " a month"
	if s.Stop {
		text += ", then what spends is stopped"
	}
	return text
}

// checkBudget fills in the thresholds where there are none, and puts them in order.
func checkBudget(_ context.Context, _, next *api.Budget) error {
	s := &next.Spec
	amount, err := decimal.Parse(s.Amount)
	if err != nil || amount.Scale() > 6 || !amount.IsPos() || amount.Cmp(decimal.MustNew(api.MaxBudgetAmount, 0)) > 0 || strings.ContainsAny(s.Amount, "eE+ ") {
		return api.Errorf(api.Invalid, "cannot use %q as the amount of budget %q: give USD a month as 5 or 0.25, above 0, with at most 6 places", s.Amount, next.Name)
	}
	if len(s.Alerts)+len(s.Forecast) == 0 {
		s.Alerts = []int{80, 100}
	}
	for _, list := range []*[]int{&s.Alerts, &s.Forecast} {
		*list = slices.Compact(slices.Sorted(slices.Values(*list)))
		if len(*list) > api.MaxBudgetAlerts {
			return api.Errorf(api.Invalid, "cannot give budget %q %d thresholds: %d are the most", next.Name, len(*list), api.MaxBudgetAlerts)
		}
		for _, percent := range *list {
			if percent < 1 || percent > api.MaxBudgetPercent {
				return api.Errorf(api.Invalid, "cannot give budget %q the threshold %d%%: 1 to %d is possible", next.Name, percent, api.MaxBudgetPercent)
			}
		}
	}
	return nil
}

// admitBudget begins again with the thresholds where something changes: another amount is another measure.
func (cp *ControlPlane) admitBudget(_ *storage.Tx, _ api.Actor, old, next *api.Budget) error {
	if old == nil || !same(old.Spec, next.Spec) {
		next.Status = api.BudgetStatus{Status: next.Status.Status, Period: billing.PeriodName(cp.billingNow())}
		next.Status.Told = []api.BudgetAlert{}
		ready(&next.Status.Status, next.Generation, withinBudget)
	}
	return nil
}

const withinBudget = "within the budget"

// spend is what a project has spent in this month, what it will have by its end, and when that was asked.
type spend struct {
	actual, forecast decimal.Decimal
	at               time.Time // billing
}

// spendOf reads the bill of a project, as it is and as it will be.
func (cp *ControlPlane) spendOf(project string) (s spend, err error) {
	s.at = cp.billingNow()
	bill, err := cp.bill(api.BillQuery{Project: project})
	if err != nil {
		return s, err
	}
	ahead, err := cp.forecast(project, s.at)
	if err != nil {
		return s, err
	}
	if s.actual, err = decimal.Parse(bill.Total); err != nil {
		return s, api.Errorf(api.Internal, "cannot read the total %q: %w", bill.Total, err)
	}
	if s.forecast, err = decimal.Parse(ahead.Total); err != nil {
		return s, api.Errorf(api.Internal, "cannot read the total %q: %w", ahead.Total, err)
	}
	return s, nil
}

// forecast is the bill of the month that now is in as it will be: what runs or exists goes on to its end, calls and requests at the
// pace of the month so far, of a day at least.
func (cp *ControlPlane) forecast(project string, now time.Time) (api.Bill, error) {
	book, err := cp.Books.Book("")
	if err != nil {
		return api.Bill{}, err
	}
	from, to := billing.Month(now)
	query := billing.Query{From: from, To: to, Project: project}
	rating, err := book.Rate(query)
	if err != nil {
		return api.Bill{}, err
	}
	passed := max(now.Sub(from), 24*time.Hour)
	add := func(u api.Usage) error {
		ahead, err := billing.Ahead(u, to.Sub(from), passed)
		if err != nil {
			return err
		}
		return rating.Add(ahead)
	}
	err = cp.Store.View(func(tx *storage.Tx) error { return cp.eachSum(tx, to, book, query, add) })
	if err != nil {
		return api.Bill{}, err
	}
	return rating.Bill()
}

// reached tells that a spend is so many percent of an amount, or more.
func reached(spent decimal.Decimal, percent int, amount decimal.Decimal) (bool, error) {
	limit, err := amount.Mul(decimal.MustNew(int64(percent), 2))
	if err != nil {
		return false, api.Errorf(api.Internal, "cannot take %d%% of %s: %w", percent, amount, err)
	}
	return spent.Cmp(limit) >= 0, nil
}

// reckoned is a budget as it stands after a spend: a month begins with nothing told. fresh is what has been reached since.
func reckoned(b api.Budget, s spend) (next api.Budget, fresh []api.BudgetAlert, err error) {
	next = b
	amount, err := decimal.Parse(b.Spec.Amount)
	if err != nil {
		return b, nil, api.Errorf(api.Internal, "cannot read the amount of budget %q: %w", b.Name, err)
	}
	if period := billing.PeriodName(s.at); b.Status.Period != period {
		next.Status.Period, next.Status.Told = period, []api.BudgetAlert{}
	}
	next.Status.Told = slices.Clone(next.Status.Told)
	for _, of := range []struct {
		kind     string
		spent    decimal.Decimal
		percents []int
	}{{api.ActualSpend, s.actual, b.Spec.Alerts}, {api.ForecastSpend, s.forecast, b.Spec.Forecast}} {
		for _, percent := range of.percents {
			is, err := reached(of.spent, percent, amount)
			if err != nil {
				return b, nil, err
			}
			if !is || told(next.Status.Told, of.kind, percent) {
				continue
			}
			alert := api.BudgetAlert{Of: of.kind, Percent: percent, Spend: of.spent.String(), At: s.at.Format(time.RFC3339)}
			fresh, next.Status.Told = append(fresh, alert), append(next.Status.Told, alert)
		}
	}
	next.Status.Phase, next.Status.Reason = api.Running, withinBudget
	if over, err := reached(s.actual, 100, amount); err != nil || over {
		next.Status.Phase, next.Status.Reason = api.Degraded, overBudget(b.Spec)
		return next, fresh, err
	}
	if n := len(next.Status.Told); n > 0 {
		last := next.Status.Told[n-1]
		next.Status.Reason = fmt.Sprintf("%s spend has reached %d%%", last.Of, last.Percent)
	}
	return next, fresh, nil
}

func overBudget(s api.BudgetSpec) string {
	if s.Stop {
		return "the amount is spent, and what spends is stopped until the next month or a larger amount"
	}
	return "the amount is spent"
}

func told(all []api.BudgetAlert, of string, percent int) bool {
	return slices.ContainsFunc(all, func(a api.BudgetAlert) bool { return a.Of == of && a.Percent == percent })
}

// standing adds what is of the moment to a budget.
func (b budgets) standing(v api.Budget, err error) (api.Budget, error) {
	if err != nil {
		return v, err
	}
	s, err := b.cp.spendOf(v.Project)
	if err != nil {
		return v, err
	}
	return shownBudget(v, s)
}

func shownBudget(v api.Budget, s spend) (api.Budget, error) {
	next, _, err := reckoned(v, s)
	if err != nil {
		return v, err
	}
	v.Status.Phase, v.Status.Reason, v.Status.Period, v.Status.Told = next.Status.Phase, next.Status.Reason, next.Status.Period, next.Status.Told
	v.Status.Spent, v.Status.Forecast = s.actual.String(), s.forecast.String()
	amount, err := decimal.Parse(v.Spec.Amount)
	if err != nil {
		return v, err
	}
	percent, err := s.actual.Quo(amount)
	if err == nil {
		percent, err = percent.Mul(decimal.Hundred)
	}
	if err != nil {
		return v, api.Errorf(api.Internal, "cannot divide %s by %s: %w", s.actual, amount, err)
	}
	whole, _, ok := percent.Trunc(0).Int64(0)
	if !ok {
		return v, api.Errorf(api.Internal, "cannot show %s%%", percent)
	}
	v.Status.Percent = whole
	return v, nil
}

func (b budgets) Get(ctx context.Context, project, name string) (api.Budget, error) {
	return b.standing(b.resource.Get(ctx, project, name))
}

func (b budgets) Create(ctx context.Context, project, name string, spec api.BudgetSpec) (api.Budget, error) {
	return b.standing(b.resource.Create(ctx, project, name, spec))
}

func (b budgets) Update(ctx context.Context, project, name string, spec api.BudgetSpec, generation int64) (api.Budget, error) {
	return b.standing(b.resource.Update(ctx, project, name, spec, generation))
}

func (b budgets) Wait(ctx context.Context, project, name string, limit time.Duration) (api.Budget, error) {
	return b.standing(b.resource.Wait(ctx, project, name, limit))
}

func (b budgets) List(ctx context.Context, project string, page api.Page) (api.List[api.Budget], error) {
	all, err := b.resource.List(ctx, project, page)
	if err != nil || len(all.Items) == 0 {
		return all, err
	}
	s, err := b.cp.spendOf(project)
	for i := range all.Items {
		if err == nil {
			all.Items[i], err = shownBudget(all.Items[i], s)
		}
	}
	return all, err
}
