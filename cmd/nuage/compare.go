package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) compareCmd() *cobra.Command {
	lang, measured := "en", false
	flags := measureFlags{deadline: span(time.Minute), requests: 50, rate: 5, lasting: span(3 * time.Second)}
	cmd := &cobra.Command{
		Use:   "compare [NAME...]",
		Short: "Lay what was done, by whom, beside the published responsibilities",
		Long: "Compare instances, apps and functions of the project: for each layer of the stack who did the work as recorded, you (the\n" +
			"customer) or the platform, beside what the published matrix says, and the figures measured. Without names all are\n" +
			"compared; project/NAME is the project as a whole. A name that two things have is told apart as instance/NAME, app/NAME or\n" +
			"function/NAME. With -o html it is one page with a chart of cost over load, which needs no network and prints well.\n\n" +
			"Figures are shown with what was measured last. --measure measures now: it sends load to what is compared, and calls of functions\n" +
			"cost. nuage compare measure measures one thing, also how it recovers from a kill.",
		Example: lines("nuage compare", "nuage compare vm shop hello", "nuage compare vm shop hello --measure", "nuage compare -o json", "nuage compare -o html --lang fr > compare.html", "nuage compare measure shop --url http://shop.app.localhost:7080/"),
		Args:    takes(0, -1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			comparison, err := s.cloud.Comparisons.Compare(ctx, s.project, args)
			if err != nil {
				return err
			}
			if measured {
				if err := c.measureAll(ctx, s, comparison, flags); err != nil {
					return err
				}
				if comparison, err = s.cloud.Comparisons.Compare(ctx, s.project, args); err != nil {
					return err
				}
			}
			if c.flags.output == "html" {
				return c.printComparePage(comparison, lang)
			}
			return c.printComparison(comparison)
		}),
	}
	cmd.Flags().BoolVar(&measured, "measure", false, "first send requests to each subject, and a load of 1, 10 and 50 times the rate; default: show what was measured before")
	flags.declareLoad(cmd.Flags())
	cmd.Flags().Var(newChoice(&lang, "en", "fr"), "lang", "language of the page: en or fr")
	cmd.AddCommand(c.measureCmd())
	return cmd
}

const comparisonLegend = `
customer, shared or platform did the work as recorded, with their activities as customer/platform;
* the published matrix says otherwise; - nothing is recorded, only published

`

func (c *cli) printComparison(comparison api.Comparison) error {
	if done, err := c.encode(comparison); done {
		return err
	}
	if len(comparison.Subjects) == 0 {
		_, err := fmt.Fprintln(c.out, "nothing to compare: the project has no instance, app or function")
		return err
	}
	if err := c.printTable(layerTable(comparison)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(c.out, comparisonLegend); err != nil {
		return err
	}
	if heads, rows := differenceTable(comparison); len(rows) > 0 {
		if err := c.printTable(heads, rows); err != nil {
			return err
		}
		fmt.Fprintln(c.out)
	}
	if len(comparison.Measures) > 0 {
		if err := c.printTable(measureTable(comparison)); err != nil {
			return err
		}
	}
	return c.printBreakEven(comparison)
}

// differenceTable says of each marked cell why practice differs.
func differenceTable(comparison api.Comparison) (heads []string, rows [][]string) {
	for _, layer := range comparison.Layers {
		for _, cell := range layer.Cells {
			if cell.Differs {
				rows = append(rows, []string{string(layer.Layer), cell.Subject, cell.Why})
			}
		}
	}
	return []string{"LAYER", "OF", "WHY PRACTICE DIFFERS"}, rows
}

func (c *cli) printBreakEven(comparison api.Comparison) error {
	if len(comparison.BreakEven) == 0 {
		return nil
	}
	var rows [][]string
	for _, b := range comparison.BreakEven {
		rows = append(rows, []string{b.Dearer, b.Cheaper, strconv.FormatInt(b.RequestsPerHour, 10)})
	}
	fmt.Fprintln(c.out)
	return c.printTable([]string{"DEARER", "THAN", "ABOVE REQUESTS AN HOUR"}, rows)
}

func layerTable(comparison api.Comparison) (heads []string, rows [][]string) {
	heads = []string{"LAYER"}
	for _, s := range comparison.Subjects {
		heads = append(heads, fmt.Sprintf("%s (%s)", s.Name, cmp.Or(s.Model, s.Noun)))
	}
	for _, layer := range comparison.Layers {
		row := []string{string(layer.Layer)}
		for _, s := range comparison.Subjects {
			row = append(row, cellText(layer.Cells, s.Name))
		}
		rows = append(rows, row)
	}
	return heads, rows
}

// cellText is who did the work for a subject: "customer 3/0", with a star where the published matrix says otherwise.
func cellText(cells []api.ComparisonCell, subject string) string {
	for _, cell := range cells {
		if cell.Subject != subject {
			continue
		}
		if cell.Recorded == "none" {
			return strings.TrimSuffix("- ("+cell.Published+")", " ()")
		}
		text := fmt.Sprintf("%s %d/%d", cell.Recorded, cell.Customer, cell.Platform)
		if cell.Differs {
			text += " *" + cell.Published
		}
		return text
	}
	return ""
}

func measureTable(comparison api.Comparison) (heads []string, rows [][]string) {
	heads = []string{"MEASURE", "UNIT"}
	for _, s := range comparison.Subjects {
		heads = append(heads, s.Name)
	}
	for _, m := range comparison.Measures {
		row := []string{m.Name, m.Unit}
		for _, s := range comparison.Subjects {
			row = append(row, measureText(m, s.Name))
		}
		rows = append(rows, row)
	}
	return heads, rows
}

func measureText(m api.Measure, subject string) string {
	value, ok := m.Values[subject]
	switch {
	case !ok:
		return "-"
	case m.Unit == "USD":
		return amount(value, 6)
	}
	return value
}
