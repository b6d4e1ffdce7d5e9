package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
	"nuage/controlplane/billing"
)

// maxFocusMonths is how many months one export has at most.
const maxFocusMonths = 120

// billFocus prints a bill as FOCUS, a bill for each month of its period.
func (c *cli) billFocus(ctx context.Context, s session, q api.BillQuery) error {
	if q.By != "" {
		return usagef("cannot group a bill as FOCUS: leave out --by, each line is a row")
	}
	status, err := s.cloud.System.Status(ctx)
	if err != nil {
		return err
	}
	whole, err := s.cloud.Ledger.Bill(ctx, q)
	if err != nil {
		return err
	}
	var bills []api.Bill
	for from := whole.PeriodStart; from.Before(whole.PeriodEnd); {
		if len(bills) == maxFocusMonths {
			return usagef("cannot write more than %d months as FOCUS at once: give a shorter --from --to", maxFocusMonths)
		}
		_, to := billing.Month(from)
		q.From, q.To = from, earlier(to, whole.PeriodEnd)
		bill, err := s.cloud.Ledger.Bill(ctx, q)
		if err != nil {
			return err
		}
		bills, from = append(bills, bill), to
	}
	return billing.WriteFocus(c.out, billing.FocusAccount{ID: status.CloudID, Name: "nuage"}, bills)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (c *cli) billCheckCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "check FILE",
		Short:   "Check a CSV against the rules of FOCUS " + billing.FocusVersion,
		Long:    "Read a CSV as bill -o focus writes it, or another provider's, and say what in it breaks a rule of the FinOps Open Cost and Usage\nSpecification. The exit status is 1 where something does.",
		Example: lines("nuage bill -o focus > bill.csv", "nuage bill check bill.csv"),
		Args:    takes(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			found, err := billing.CheckFocus(f)
			if closed := f.Close(); err == nil {
				err = closed
			}
			if err != nil {
				return err
			}
			for _, one := range found {
				if _, err := fmt.Fprintln(c.out, one); err != nil {
					return err
				}
			}
			if len(found) > 0 {
				return api.Errorf(api.Invalid, "cannot accept %q: it breaks rules of FOCUS %s", args[0], billing.FocusVersion)
			}
			_, err = fmt.Fprintf(c.out, "%s follows FOCUS %s\n", args[0], billing.FocusVersion)
			return err
		},
	}
}
