package controlplane

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"nuage/api"
	"nuage/functions"
)

// TestBudgetsTellOnceAMonth: each threshold is told when it is reached, once, in its month, and by an activity and an event.
func TestBudgetsTellOnceAMonth(t *testing.T) {
	play := func(int, functions.Event) (functions.Outcome, error) { return answersWith("null") }
	acted(t, play, func(t *testing.T, s *scene, _ *actor) {
		s.queue(t, "mail", api.QueueSpec{})
		s.trigger(t, api.TriggerSpec{ToQueue: "mail", Events: []string{"budget.alert"}})
		b, err := s.plane.cloud.Budgets.Create(asCustomer(), "default", "b", api.BudgetSpec{Amount: "1", Alerts: []int{50, 100}, Forecast: []int{100}})
		must(t, err)
		if b.Status.Phase != api.Running || b.Status.Reason != withinBudget {
			t.Errorf("a new budget is %+v", b.Status)
		}
		_, err = s.plane.cloud.Instances.Create(asCustomer(), "default", "vm", api.InstanceSpec{Type: "micro"})
		must(t, err)
		for range 40 { // days from 2000-01-01 on
			_, err := s.plane.cloud.Clock.Change(asCustomer(), api.ClockChange{AdvanceSeconds: 86400})
			must(t, err)
			time.Sleep(10 * time.Second)
		}
		var told []string
		all, err := s.plane.cloud.Activities.List(asCustomer(), api.ActivityQuery{Resource: "b", Page: api.Page{Limit: 1000}})
		must(t, err)
		for _, a := range all.Items {
			if a.Verb == "alert" {
				head, rest, _ := strings.Cut(a.Detail, " is $")
				_, percent, _ := strings.Cut(rest, ": ")
				told = append(told, fmt.Sprint(a.Actor.Name, " ", a.Layer, " ", head, " ", percent))
			}
		}
		want := []string{
			"budget configuration forecast spend of 2000-01 100% of $1 is reached",
			"budget configuration actual spend of 2000-01 50% of $1 is reached",
			"budget configuration actual spend of 2000-01 100% of $1 is reached",
			"budget configuration forecast spend of 2000-02 100% of $1 is reached",
			"budget configuration actual spend of 2000-02 50% of $1 is reached",
			"budget configuration actual spend of 2000-02 100% of $1 is reached",
		}
		if !slices.Equal(told, want) {
			t.Errorf("told was\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
		}
		q, err := s.plane.cloud.Queues.Get(asCustomer(), "default", "mail")
		must(t, err)
		if q.Status.Messages != 6 {
			t.Errorf("%d events are in the queue, want 6", q.Status.Messages)
		}
	})
}

// TestReckoned is of the rule alone.
func TestReckoned(t *testing.T) {
	at := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		actual, forecast string
		told             string // before, in the period
		period           string
		want             string
	}{
		{"4.9", "9.9", "", "2026-11", "running within the budget []"},
		{"5", "9.9", "", "2026-11", "running actual spend has reached 50% [actual 50]"},
		{"5", "9.9", "actual 50", "2026-11", "running actual spend has reached 50% [actual 50]"},
		{"5", "10", "actual 50", "2026-11", "running forecast spend has reached 100% [actual 50 forecast 100]"},
		{"9.999999", "10", "actual 50", "2026-11", "running forecast spend has reached 100% [actual 50 forecast 100]"},
		{"10", "10", "", "2026-11", "degraded the amount is spent [actual 50 actual 100 forecast 100]"},
		{"1", "1", "actual 50 actual 100", "2026-10", "running within the budget []"},
	} {
		b := api.Budget{Spec: api.BudgetSpec{Amount: "10", Alerts: []int{50, 100}, Forecast: []int{100}}, Status: api.BudgetStatus{Period: c.period}}
		words := strings.Fields(c.told)
		for i := 0; i < len(words); i += 2 {
			var percent int
			if _, err := fmt.Sscan(words[i+1], &percent); err != nil {
				t.Fatal(err)
			}
			b.Status.Told = append(b.Status.Told, api.BudgetAlert{Of: words[i], Percent: percent})
		}
		next, fresh, err := reckoned(b, spend{decimal.MustParse(c.actual), decimal.MustParse(c.forecast), at})
		must(t, err)
		var now []string
		for _, a := range next.Status.Told {
			now = append(now, fmt.Sprint(a.Of, " ", a.Percent))
		}
		if got := fmt.Sprintf("%s %s %v", next.Status.Phase, next.Status.Reason, now); got != c.want {
			t.Errorf("at %s, foreseen %s, after %q: %s, want %s", c.actual, c.forecast, c.told, got, c.want)
		}
		if before := len(b.Status.Told); next.Status.Period == b.Status.Period && len(fresh) != len(next.Status.Told)-before {
			t.Errorf("at %s %d are new, want %d", c.actual, len(fresh), len(next.Status.Told)-before)
		}
	}
}

// TestABudgetStopsWhatSpends: machines stop, groups and apps go to nothing, functions are refused, whatever is started meanwhile; other
// projects go on, and a larger amount lets all start again.
func TestABudgetStopsWhatSpends(t *testing.T) {
	play := func(int, functions.Event) (functions.Outcome, error) { return answersWith("null") }
	acted(t, play, func(t *testing.T, s *scene, _ *actor) {
		c, ctx := s.plane.cloud, asCustomer()
		one := func(_ any, err error) { t.Helper(); must(t, err) }
		one(c.Projects.Create(ctx, "other", api.ProjectSpec{}))
		one(c.Instances.Create(ctx, "default", "vm", api.InstanceSpec{Type: "large"}))
		one(c.Instances.Create(ctx, "other", "vm", api.InstanceSpec{Type: "large"}))
		one(c.InstanceGroups.Create(ctx, "default", "g", api.InstanceGroupSpec{Min: 1, Max: 2, CPU: 60, Template: api.InstanceSpec{Type: "nano"}}))
		one(c.Apps.Create(ctx, "default", "a", api.AppSpec{Image: "web:1"}))
		s.function(t, "f", api.AsyncSpec{})
		call := func() error {
			_, err := c.Functions.Invoke(ctx, "default", "f", api.Invocation{Type: api.Sync})
			return err
		}
		time.Sleep(time.Minute)
		must(t, call())
		one(c.Budgets.Create(ctx, "default", "b", api.BudgetSpec{Amount: "0.5", Stop: true}))
		one(c.Clock.Change(ctx, api.ClockChange{AdvanceSeconds: 20 * 86400}))
		time.Sleep(5 * time.Minute)
		stopped := func(project string) string {
			i, err := c.Instances.Get(ctx, project, "vm")
			must(t, err)
			g, err := c.InstanceGroups.Get(ctx, "default", "g")
			must(t, err)
			a, err := c.Apps.Get(ctx, "default", "a")
			must(t, err)
			return fmt.Sprint(i.Status.Phase, " ", g.Status.Desired, " ", len(g.Status.Members), " ", len(a.Status.Replicas))
		}
		if got := stopped("default"); got != "stopped 0 0 0" {
			t.Errorf("machine, group and app are %s", got)
		}
		if got := stopped("other"); !strings.HasPrefix(got, "running") {
			t.Errorf("the machine of another project is %s", got)
		}
		if err := call(); !errors.Is(err, api.Exhausted) || !strings.Contains(err.Error(), `budget "b" is spent`) {
			t.Errorf("a call answers %v", err)
		}
		one(c.Instances.Power(ctx, "default", "vm", api.PowerStart))
		time.Sleep(time.Minute)
		if got := stopped("default"); got != "stopped 0 0 0" {
			t.Errorf("after a start: %s", got)
		}
		one(c.Budgets.Update(ctx, "default", "b", api.BudgetSpec{Amount: "5000", Stop: true}, 0))
		time.Sleep(time.Minute)
		must(t, call())
		one(c.Instances.Power(ctx, "default", "vm", api.PowerStart))
		time.Sleep(time.Minute)
		if got := stopped("default"); !strings.HasPrefix(got, "running") {
			t.Errorf("with a larger amount: %s", got)
		}
	})
}

// TestForecast: what runs goes on, calls go on at their pace.
func TestForecast(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		time.Sleep(3 * 24 * time.Hour)
		p.calls(t, "f", 100)
		now := p.billingNow()
		ahead, err := p.forecast("default", now)
		must(t, err)
		for _, l := range ahead.Lines {
			if l.Meter == "function-requests" && l.Quantity != "1033" { // 31 days of January, 3 of them passed
				t.Errorf("%s requests are foreseen", l.Quantity)
			}
		}
		if len(ahead.Lines) == 0 {
			t.Error("nothing is foreseen")
		}
	})
}
