package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"nuage/api"
	"nuage/controlplane/billing"
)

func (c *cli) billCmd() *cobra.Command {
	var q api.BillQuery
	var from, to, month moment
	cmd := &cobra.Command{
		Use:   "bill",
		Short: "What everything costs, to the last digit",
		Long: "Print the bill of this month, of --month, or of --from to --to. Each line is quantity times unit price, rounded once; the total is\n" +
			"the sum of the lines to the last digit. Without --project it is of all projects you may see. A month that has ended is closed: its\n" +
			"bill, the invoice, does not change any more. What is heard of later is an adjustment in the month that is open then.",
		Example: lines("nuage bill", "nuage bill --by model", "nuage bill --by tag:team", "nuage bill --month 2026-01", "nuage bill --book azure", "nuage bill --from 2026-01 --to 2026-02 -o focus",
			"nuage bill calls hello", "nuage bill close"),
		Args: takes(0, 0),
		RunE: c.inCloud(func(ctx context.Context, s session, _ []string) error {
			q.Project, q.From, q.To = c.flags.project, from.Time, to.Time
			if !month.Time.IsZero() {
				if !q.From.IsZero() || !q.To.IsZero() {
					return usagef("cannot print a month and a period at once: give --month, or --from and --to")
				}
				q.From, q.To = billing.Month(month.Time)
			}
			if c.flags.output == "focus" {
				return c.billFocus(ctx, s, q)
			}
			bill, err := s.cloud.Ledger.Bill(ctx, q)
			if err != nil {
				return err
			}
			return c.printBill(bill)
		}),
	}
	f := cmd.Flags()
	f.Var((*grouping)(&q.By), "by", "add up by service, resource, model, project, day or tag:NAME; default: every meter of every resource")
	f.Var(&month, "month", "a calendar month, as 2026-01; default: this one")
	f.Var(&from, "from", "begin, as 2026-01 or 2026-01-31; default: the first of this month, UTC")
	f.Var(&to, "to", "end, exclusive; default: the end of this month")
	f.StringVar(&q.Book, "book", "nuage", "rate the same usage under another price book: "+bookNames)
	cmd.AddCommand(c.billEstimateCmd(), c.billCheckCmd(), c.billCloseCmd(), c.billInvoicesCmd(), c.billRetentionCmd(), c.receiptsCmd("calls FUNCTION", "Receipts of a function's calls: what each took and costs", "nuage bill calls hello --last 5"))
	return cmd
}

// bookNames are the price books, as help has them; the cloud says which it has.
const bookNames = "nuage, aws, azure, gcp or ibm"

// billColumn is a column of a bill.
type billColumn struct {
	head, field string // in the table, in csv
	cell        func(api.BillLine) string
}

func billColumns() []billColumn {
	return []billColumn{
		{"DAY", "day", func(l api.BillLine) string { return l.Day }},
		{"TAG", "", tagText},
		{"PROJECT", "project", func(l api.BillLine) string { return l.Project }},
		{"SERVICE", "service", func(l api.BillLine) string { return l.Service }},
		{"MODEL", "model", func(l api.BillLine) string { return l.Model }},
		{"RESOURCE", "resource", func(l api.BillLine) string { return l.Resource }},
		{"", "resourceId", func(l api.BillLine) string { return l.ResourceID }},
		{"METER", "meter", func(l api.BillLine) string { return l.Meter }},
		{"QUANTITY", "quantity", func(l api.BillLine) string { return l.Quantity }},
		{"UNIT", "unit", func(l api.BillLine) string { return l.Unit }},
		{"UNIT PRICE", "unitPrice", func(l api.BillLine) string { return l.UnitPrice }},
		{"COST", "cost", func(l api.BillLine) string { return l.Cost }},
		{"ADJUSTS", "adjusts", func(l api.BillLine) string { return l.Adjusts }},
		{"NOTE", "note", func(l api.BillLine) string { return l.Note }},
		{"", "tags", tagText},
	}
}

func (c *cli) printBill(bill api.Bill) error {
	switch c.flags.output {
	case "csv":
		return c.billCSV(bill)
	case "name":
		return usagef("cannot print a bill as names: use -o table, json, yaml or csv")
	}
	if done, err := c.encode(bill); done {
		return err
	}
	if err := c.billTable(bill); err != nil {
		return err
	}
	period := fmt.Sprintf("%s to %s, prices of book %s", timeText(bill.PeriodStart), timeText(bill.PeriodEnd), bill.Book)
	if bill.Invoice != "" {
		period += "; closed, invoice " + bill.Invoice
	}
	if bill.Note != "" {
		period += "; " + bill.Note
	}
	_, err := fmt.Fprintln(c.out, period)
	return err
}

// tagText is the tags of a line as NAME=VALUE.
func tagText(l api.BillLine) string { return pairsText(l.Tags) }

func (c *cli) billCSV(bill api.Bill) error {
	w := csv.NewWriter(c.out)
	columns := slices.DeleteFunc(billColumns(), func(col billColumn) bool { return col.field == "" })
	record := make([]string, len(columns))
	for i, col := range columns {
		record[i] = col.field
	}
	if err := w.Write(record); err != nil {
		return err
	}
	for _, line := range bill.Lines {
		for i, col := range columns {
			record[i] = col.cell(line)
		}
		if err := w.Write(record); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// billTable prints the lines and the total; columns that no line fills are left out.
func (c *cli) billTable(bill api.Bill) error {
	columns := slices.DeleteFunc(billColumns(), func(col billColumn) bool {
		return col.head == "" || !slices.ContainsFunc(bill.Lines, func(l api.BillLine) bool { return col.cell(l) != "" }) && col.head != "COST"
	})
	heads, total := []string{}, make([]string, len(columns))
	for i, col := range columns {
		heads = append(heads, col.head)
		if col.head == "COST" {
			total[i] = amount(bill.Total, 6)
		}
	}
	if len(columns) > 1 {
		total[0] = "TOTAL"
	}
	var rows [][]string
	for _, line := range bill.Lines {
		rows = append(rows, billRow(columns, line))
	}
	return c.printTable(heads, append(rows, total))
}

func billRow(columns []billColumn, line api.BillLine) []string {
	var row []string
	for _, col := range columns {
		cell := col.cell(line)
		switch {
		case cell == "":
		case col.head == "COST":
			cell = amount(cell, 6)
		case col.head == "UNIT PRICE":
			cell = price(cell)
		}
		row = append(row, cell)
	}
	return row
}

func (c *cli) pricesCmd() *cobra.Command {
	var book string
	cmd := &cobra.Command{
		Use: "prices", Short: "List what things cost, with source and date",
		Long: "Print a price book: what a unit of each meter costs, from which quantity on it costs less, what is free of it for a project in a month,\n" +
			"and how much of each run is billed at least. With -o json each price has its source.",
		Example: lines("nuage prices", "nuage prices --book aws", "nuage prices --book gcp -o json"),
		Args:    takes(0, 0),
		RunE: c.inCloud(func(ctx context.Context, s session, _ []string) error {
			b, err := s.cloud.Ledger.Prices(ctx, book)
			if err != nil {
				return err
			}
			return c.printPrices(b)
		}),
	}
	cmd.Flags().StringVar(&book, "book", "nuage", "price book: "+bookNames)
	return cmd
}

func (c *cli) printPrices(b api.PriceBook) error {
	if done, err := c.encode(b); done {
		return err
	}
	var rows [][]string
	for _, p := range b.Prices {
		rows = append(rows, []string{p.Service, p.Model, p.Meter, price(p.UnitPrice), p.Unit, p.Minimum, p.Free})
		for _, t := range p.Tiers {
			rows = append(rows, []string{"", "", "above " + t.Above + " a month", price(t.UnitPrice), p.Unit, "", ""})
		}
	}
	if err := c.printTable([]string{"SERVICE", "MODEL", "METER", "UNIT PRICE", "PER", "MINIMUM", "FREE"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.out, "book %s, version %s of %s, in %s; source: %s\n", b.Name, b.Version, b.Date, b.Currency, b.Source)
	return err
}
