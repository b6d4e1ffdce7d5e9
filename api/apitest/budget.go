package apitest

import (
	"testing"

	"nuage/api"
)

func budgets() kind[api.Budget, api.BudgetSpec] {
	return kind[api.Budget, api.BudgetSpec]{
		noun:     "budget",
		resource: func(c api.Cloud) api.Resource[api.Budget, api.BudgetSpec] { return c.Budgets },
		spec:     func(*testing.T, *suite, string, string) api.BudgetSpec { return api.BudgetSpec{Amount: "5"} },
		change: func(s api.BudgetSpec) api.BudgetSpec {
			s.Amount = "7.50"
			return s
		},
		bad: []bad[api.BudgetSpec]{
			{"no amount", api.BudgetSpec{}, api.Invalid},
			{"an amount of nothing", api.BudgetSpec{Amount: "0"}, api.Invalid},
			{"an amount below nothing", api.BudgetSpec{Amount: "-1"}, api.Invalid},
			{"an amount that is too exact", api.BudgetSpec{Amount: "0.0000001"}, api.Invalid},
			{"an amount in words", api.BudgetSpec{Amount: "five"}, api.Invalid},
			{"a threshold of nothing", api.BudgetSpec{Amount: "5", Alerts: []int{0}}, api.Invalid},
			{"a threshold far above", api.BudgetSpec{Amount: "5", Forecast: []int{1001}}, api.Invalid},
		},
		meta: func(v *api.Budget) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

// spending looks at a budget before and after a call that costs more than it has.
func (s *suite) spending(t *testing.T) {
	project := s.project(t)
	b, err := s.Cloud.Budgets.Create(s.Context, project, "pocket", api.BudgetSpec{Amount: "0.000001", Alerts: []int{100, 50, 50}, Forecast: []int{200}})
	must(t, "create a budget", err)
	if b.Status.Phase != api.Running || b.Status.Spent != "0.000000" || b.Status.Forecast != "0.000000" || b.Status.Percent != 0 || len(b.Status.Period) != 7 || b.Status.Told == nil {
		t.Errorf("a new budget is %+v", b.Status)
	}
	if len(b.Spec.Alerts) != 2 || b.Spec.Alerts[0] != 50 || b.Spec.Alerts[1] != 100 {
		t.Errorf("the thresholds are %v, want 50 and 100", b.Spec.Alerts)
	}
	if _, err := s.Cloud.Queues.Create(s.Context, project, "q", api.QueueSpec{}); err != nil {
		t.Fatal(err)
	}
	for range 10 { // of 0.4 millionths each
		_, err := s.Cloud.Messages.Send(s.Context, project, "q", api.NewMessage{Body: "x"})
		must(t, "send", err)
	}
	must(t, "delete the queue", s.Cloud.Queues.Delete(s.Context, project, "q", 0)) // what it used stays
	b, err = s.Cloud.Budgets.Get(s.Context, project, "pocket")
	must(t, "get the budget", err)
	if b.Status.Phase != api.Degraded || b.Status.Percent != 400 || b.Status.Spent != "0.000004" {
		t.Errorf("a budget that is over is %+v", b.Status)
	}
	if len(b.Status.Told) != 3 || b.Status.Told[0].Percent != 50 || b.Status.Told[1].Of != api.ActualSpend || b.Status.Told[2].Of != api.ForecastSpend {
		t.Errorf("told is %+v, want 50%% and 100%% of actual, 200%% of forecast spend", b.Status.Told)
	}
}
