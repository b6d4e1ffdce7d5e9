package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
	"nuage/controlplane/billing"
)

// grouping is a flag for what a bill is added up by.
type grouping string

func (g *grouping) String() string { return string(*g) }
func (g *grouping) Type() string   { return "by" }

func (g *grouping) Set(text string) error {
	words := []string{billing.ByService, billing.ByResource, billing.ByModel, billing.ByProject, billing.ByDay}
	tag, isTag := strings.CutPrefix(text, billing.ByTag)
	if !slices.Contains(words, text) && (!isTag || tag == "") {
		return fmt.Errorf("it must be one of %s, or tag:NAME", strings.Join(words, ", "))
	}
	*g = grouping(text)
	return nil
}

func (c *cli) billCloseCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "close [MONTH]",
		Short: "Close a month: its bill does not change any more",
		Long: "Close a month, as 2026-11, or the first that is open, and print its invoice. A month closes by itself when it ends on the billing clock;\n" +
			"closed before that, what the rest of it costs is an adjustment in the next one.",
		Example: lines("nuage bill close", "nuage bill close 2026-11", "nuage bill close -o focus"),
		Args:    takes(0, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			period := ""
			if len(args) == 1 {
				period = args[0]
				if _, _, err := billing.ParsePeriod(period); err != nil {
					return usagef("cannot close %q: write a month as 2026-11", period)
				}
			}
			bill, err := s.cloud.Ledger.Close(ctx, period)
			if err != nil {
				return err
			}
			if c.flags.output == "focus" {
				return c.billFocus(ctx, s, api.BillQuery{From: bill.PeriodStart, To: bill.PeriodEnd})
			}
			return c.printBill(bill)
		}),
	}
}

func (c *cli) billInvoicesCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "invoices",
		Short:   "List the months that are closed",
		Example: lines("nuage bill invoices", "nuage bill --month 2026-10"),
		Args:    takes(0, 0),
		RunE: c.inCloud(func(ctx context.Context, s session, _ []string) error {
			list, err := all(func(p api.Page) (api.List[api.Invoice], error) { return s.cloud.Ledger.Invoices(ctx, p) })
			if err != nil {
				return err
			}
			return printList(c, kind[api.Invoice]{
				word: "invoice", name: func(v *api.Invoice) string { return v.Period },
				columns: []column[api.Invoice]{
					{head: "MONTH", cell: func(v api.Invoice) string { return v.Period }},
					{head: "INVOICE", cell: func(v api.Invoice) string { return v.ID }},
					{head: "TOTAL", cell: func(v api.Invoice) string { return amount(v.Total, 6) }},
					{head: "ADJUSTMENTS", cell: func(v api.Invoice) string { return strconv.Itoa(v.Adjustments) }},
					{head: "BOOK", cell: func(v api.Invoice) string { return v.Book + " " + v.Version }},
					{head: "CLOSED", cell: func(v api.Invoice) string { return timeText(v.ClosedAt) }},
				},
			}, list)
		}),
	}
}

func (c *cli) billRetentionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "retention [TIME]",
		Short: "How long receipts of calls are kept",
		Long: "Say how long receipts of calls are kept, in days of billing time, as 90d, or forever; or show it. Older ones are rolled up by hour and\n" +
			"function. No bill changes by it; but a price book that comes later and counts calls in a way of its own can't reach them, and says so.",
		Example: lines("nuage bill retention", "nuage bill retention 90d", "nuage bill retention forever"),
		Args:    takes(0, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			get := func() (api.Retention, error) { return s.cloud.Ledger.Retention(ctx) }
			if len(args) == 1 {
				wanted, err := retentionDays(args[0])
				if err != nil {
					return err
				}
				get = func() (api.Retention, error) { return s.cloud.Ledger.SetRetention(ctx, api.Retention{Days: wanted}) }
			}
			r, err := get()
			if err != nil {
				return err
			}
			if done, err := c.encode(r); done {
				return err
			}
			return c.printTable(nil, retentionRows(r))
		}),
	}
}

// retentionDays reads 90d or forever.
func retentionDays(text string) (int64, error) {
	if text == "forever" {
		return 0, nil
	}
	seconds, err := days(text)
	if err != nil || seconds%86400 != 0 {
		return 0, usagef("cannot keep receipts for %q: give whole days as 90d, or forever", text)
	}
	return seconds / 86400, nil
}

func retentionRows(r api.Retention) [][]string {
	kept, oldest := "for ever", "none"
	if r.Days > 0 {
		kept = fmt.Sprintf("%d days of billing time", r.Days)
	}
	if r.Oldest != nil {
		oldest = timeText(*r.Oldest)
	}
	return [][]string{{"kept", kept}, {"receipts", strconv.FormatInt(r.Receipts, 10)}, {"oldest", oldest}, {"rolled up", strconv.FormatInt(r.RolledUp, 10)}}
}
