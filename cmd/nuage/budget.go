package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) budgets() noun[api.Budget, api.BudgetSpec] {
	n := noun[api.Budget, api.BudgetSpec]{
		title: "a budget",
		of:    func(cloud api.Cloud) api.Resource[api.Budget, api.BudgetSpec] { return cloud.Budgets },
		head:  (*api.Budget).Head,
		state: func(b *api.Budget) *api.Status { return &b.Status.Status },
		spec:  func(b *api.Budget) *api.BudgetSpec { return &b.Spec },
		parts: budgetAlerts,
	}
	n.word, n.name = "budget", func(b *api.Budget) string { return b.Name }
	n.columns = n.common(c,
		column[api.Budget]{head: "AMOUNT", cell: func(b api.Budget) string { return price(b.Spec.Amount) }},
		column[api.Budget]{head: "SPENT", cell: func(b api.Budget) string { return amount(b.Status.Spent, 6) }},
		column[api.Budget]{head: "PERCENT", cell: func(b api.Budget) string { return strconv.FormatInt(b.Status.Percent, 10) }},
		column[api.Budget]{head: "FORECAST", cell: func(b api.Budget) string { return amount(b.Status.Forecast, 6) }},
		column[api.Budget]{head: "PERIOD", cell: func(b api.Budget) string { return b.Status.Period }, detail: true},
		column[api.Budget]{head: "TELLS", cell: func(b api.Budget) string { return thresholdsText(b.Spec) }, detail: true},
		column[api.Budget]{head: "STOPS", cell: func(b api.Budget) string { return strconv.FormatBool(b.Spec.Stop) }, detail: true},
	)
	return n
}

// budgetAlerts are what was told in this month.
func budgetAlerts(b api.Budget) (heads []string, rows [][]string) {
	for _, a := range b.Status.Told {
		rows = append(rows, []string{a.At, fmt.Sprintf("%d%% of %s spend", a.Percent, a.Of), amount(a.Spend, 6)})
	}
	return []string{"TOLD", "THRESHOLD", "SPEND"}, rows
}

func thresholdsText(s api.BudgetSpec) string {
	var all []string
	for _, of := range []struct {
		word     string
		percents []int
	}{{api.ActualSpend, s.Alerts}, {api.ForecastSpend, s.Forecast}} {
		for _, percent := range of.percents {
			all = append(all, fmt.Sprintf("%s %d%%", of.word, percent))
		}
	}
	return strings.Join(all, ", ")
}

func (c *cli) budgetCmd() *cobra.Command {
	n := c.budgets()
	cmd := group("budget", "What a project may spend in a month, and who is told",
		lines("nuage budget create class --amount 5 --alert 80", "nuage trigger create mail --function mail --events budget.alert", "nuage budget list"),
		c.budgetCreateCmd(), n.listCmd(c), n.showCmd(c), c.budgetUpdateCmd(), n.deleteCmd(c))
	cmd.Long = "A budget watches the bill of a project in a calendar month of billing time. Each threshold that is reached is recorded as an activity, once a\n" +
		"month, and is an event, budget.alert, that a trigger can hand to a function or a queue. With --stop, what spends is stopped when the amount\n" +
		"is spent: instances stop, instance groups and apps go to nothing, functions are not called. Databases and what is stored stay, and cost."
	return cmd
}

// budgetFlags are what a budget can be told.
type budgetFlags struct{ spec api.BudgetSpec }

func (b *budgetFlags) declare(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&b.spec.Amount, "amount", "", "USD a month, as 5 or 0.25")
	f.IntSliceVar(&b.spec.Alerts, "alert", nil, "tell when so many percent are spent, repeatable; default: 80 and 100, where no threshold is given")
	f.IntSliceVar(&b.spec.Forecast, "forecast", nil, "tell when so many percent are foreseen for the whole month, repeatable; default: none")
	f.BoolVar(&b.spec.Stop, "stop", false, "stop what spends when the amount is spent; default: only tell")
}

func (c *cli) budgetCreateCmd() *cobra.Command {
	flags := &budgetFlags{}
	cmd := &cobra.Command{
		Use: "create NAME --amount USD", Short: "Make a budget of the project",
		Example: lines("nuage budget create class --amount 5", "nuage budget create lab --amount 0.50 --alert 50 --alert 90 --forecast 100 --stop"),
		Args:    takes(1, 1),
	}
	flags.declare(cmd)
	if err := cmd.MarkFlagRequired("amount"); err != nil {
		panic(err) // the flag is declared in the line above
	}
	return c.budgets().createCmd(c, cmd, func(context.Context, session, []string) (api.BudgetSpec, error) { return flags.spec, nil })
}

func (c *cli) budgetUpdateCmd() *cobra.Command {
	flags := &budgetFlags{}
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change a budget; it begins to tell anew",
		Example: lines("nuage budget update class --amount 10", "nuage budget update class --stop=false"),
	}
	flags.declare(cmd)
	return c.budgets().changeCmd(c, cmd, func(spec *api.BudgetSpec) error {
		given := cmd.Flags().Changed
		if given("amount") {
			spec.Amount = flags.spec.Amount
		}
		if given("alert") {
			spec.Alerts = flags.spec.Alerts
		}
		if given("forecast") {
			spec.Forecast = flags.spec.Forecast
		}
		if given("stop") {
			spec.Stop = flags.spec.Stop
		}
		return nil
	})
}
