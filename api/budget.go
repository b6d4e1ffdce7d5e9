package api

// Limits of budgets.
const (
	MaxBudgetAlerts  = 10   // thresholds on each of actual and forecast spend
	MaxBudgetPercent = 1000 // of the amount
	MaxBudgetAmount  = 1_000_000_000
)

// What a threshold of a budget looks at.
const (
	ActualSpend   = "actual"
	ForecastSpend = "forecast"
)

// Budget watches what a project spends in a calendar month of billing time (UTC), at the prices of the book nuage.
type Budget struct {
	Meta
	Spec   BudgetSpec   `json:"spec"`
	Status BudgetStatus `json:"status"`
}

// BudgetSpec is what a user asks of a budget.
type BudgetSpec struct {
	Amount   string `json:"amount" doc:"USD a month, a decimal above 0 with at most 6 places"`
	Alerts   []int  `json:"alerts,omitempty" doc:"percent of the amount; each is told once a month when what was spent has reached it. 80 and 100 when there is no threshold at all"`
	Forecast []int  `json:"forecast,omitempty" doc:"percent of the amount; each is told once a month when the forecast for the whole month has reached it"`
	Stop     bool   `json:"stop,omitempty" doc:"true: when the amount is spent, instances are stopped, instance groups and apps go to nothing and functions are not called, until the next month, a larger amount or the end of the budget"`
}

// BudgetStatus is how a budget stands. Spent, Forecast and Percent are of the moment of the answer.
type BudgetStatus struct {
	Status
	Period   string        `json:"period" doc:"the month, as 2026-11"`
	Spent    string        `json:"spent" doc:"USD in this month so far"`
	Forecast string        `json:"forecast" doc:"USD for the whole month: what runs goes on running, calls and requests go on at the pace of the month so far"`
	Percent  int64         `json:"percent" doc:"what was spent, in whole percent of the amount"`
	Told     []BudgetAlert `json:"told" doc:"thresholds reached in this month, oldest first"`
}

// BudgetAlert is a threshold that was reached. It is an activity and an event (nuage.budget.alert), too.
type BudgetAlert struct {
	Of      string `json:"of" enum:"actual,forecast"`
	Percent int    `json:"percent"`
	Spend   string `json:"spend" doc:"USD, actual or forecast"`
	At      string `json:"at" doc:"billing time, RFC 3339"`
}

// Budgets are a project's budgets. Invalid: an amount or a threshold out of range.
type Budgets interface {
	Resource[Budget, BudgetSpec]
}
