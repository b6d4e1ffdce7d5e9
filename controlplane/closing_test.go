package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute/sim"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// closings are the invoices, as period and total, and who closed them.
func (p *plane) closings(t *testing.T) string {
	t.Helper()
	list, err := p.cloud.Ledger.Invoices(asCustomer(), api.Page{})
	must(t, err)
	var all []string
	for _, v := range list.Items {
		all = append(all, fmt.Sprintf("%s $%s +%d", v.Period, v.Total, v.Adjustments))
	}
	return strings.Join(all, ", ")
}

// text is a bill to the last byte.
func (p *plane) text(t *testing.T, q api.BillQuery) string {
	t.Helper()
	b, err := p.cloud.Ledger.Bill(asCustomer(), q)
	must(t, err)
	raw, err := json.Marshal(b)
	must(t, err)
	return string(raw)
}

// ran stores usage of a machine as the meter does.
func (p *plane) ran(t *testing.T, name string, start, end time.Time) {
	t.Helper()
	must(t, p.Store.Update(func(tx *storage.Tx) error {
		_, err := usageLog.Append(tx, api.Usage{ID: "run-" + name, Run: "run-" + name, Project: "default", Service: "instances", Resource: name, ResourceID: "i-" + name,
			Meter: billing.InstanceHours("small"), Quantity: billing.Millis(start, end), Start: start, End: end})
		return err
	}))
}

// TestMonthsCloseByThemselves: when the billing clock passes their end, one after another; what is heard of later is in the bill of the month
// that is open then, and stays there; no invoice ever changes.
func TestMonthsCloseByThemselves(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		day := func(month time.Month, n int) time.Time { return time.Date(2000, month, n, 0, 0, 0, 0, time.UTC) }
		work := func() { p.books.work(t.Context()) }
		january := api.BillQuery{From: day(1, 1), To: day(2, 1)}
		p.ran(t, "a", day(1, 3), day(1, 4)) // 24 h at $0.02
		work()
		if got := p.closings(t); got != "" {
			t.Errorf("closed in January: %s", got)
		}
		time.Sleep(time.Until(day(2, 2)))
		work()
		if got := p.closings(t); got != "2000-01 $0.480000 +0" {
			t.Errorf("closed in February: %s", got)
		}
		before, byDay := p.text(t, january), p.text(t, api.BillQuery{From: day(1, 1), To: day(2, 1), By: "day"})
		p.ran(t, "late", day(1, 31), day(2, 1).Add(time.Hour)) // 24 h of January, 1 h of February
		feb, err := p.cloud.Ledger.Bill(asCustomer(), api.BillQuery{})
		must(t, err)
		var lines []string
		for _, l := range feb.Lines {
			lines = append(lines, fmt.Sprintf("%s %s %s %s", l.Resource, l.Quantity, l.Cost, l.Adjusts))
		}
		if got := strings.Join(lines, ", "); got != "late 1 0.020000 , late 24 0.480000 2000-01" || feb.Total != "0.500000" || feb.Invoice != "" {
			t.Errorf("February is %s, total %s", got, feb.Total)
		}
		time.Sleep(time.Until(day(5, 2)))
		work()
		if got := p.closings(t); got != "2000-01 $0.480000 +0, 2000-02 $0.500000 +1, 2000-03 $0.000000 +0, 2000-04 $0.000000 +0" {
			t.Errorf("closed in May: %s", got)
		}
		if got := p.text(t, api.BillQuery{}); strings.Contains(got, "adjusts") {
			t.Errorf("it is adjusted twice: %s", got)
		}
		must(t, p.stop())
		again, err := setup{dir: p.dir, host: sim.NewState(), idle: true}.start()
		must(t, err)
		*p = *again
		if got := p.text(t, january); got != before {
			t.Errorf("January is\n%s\nand was\n%s", got, before)
		}
		if got := p.text(t, api.BillQuery{From: day(1, 1), To: day(2, 1), By: "day"}); got != byDay {
			t.Errorf("January by day is\n%s\nand was\n%s", got, byDay)
		}
		whole, err := p.cloud.Ledger.Bill(asCustomer(), api.BillQuery{From: day(1, 1), To: day(3, 1)})
		must(t, err)
		if whole.Total != "0.980000" || !strings.HasPrefix(whole.Note, "rated anew from usage; closed are the invoices of 2000-01, 2000-02, which stay") {
			t.Errorf("both months are %s, %s", whole.Total, whole.Note)
		}
		if azure, err := p.cloud.Ledger.Bill(asCustomer(), api.BillQuery{From: day(1, 1), To: day(2, 1), Book: "azure"}); err != nil || azure.Invoice != "" {
			t.Errorf("under another book it is an invoice: %+v %v", azure, err)
		}
	})
}

// TestClosingByHand: the month that goes on can be closed; what the rest of it costs is an adjustment of the next.
func TestClosingByHand(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		p.calls(t, "f", 3)
		conflict := func(period, words string) {
			t.Helper()
			if _, err := p.cloud.Ledger.Close(asCustomer(), period); !errors.Is(err, api.Conflict) || !strings.Contains(err.Error(), words) {
				t.Errorf("closing %q answers %v", period, err)
			}
		}
		conflict("2000-02", "close 2000-01 first")
		conflict("1999-12", "nothing was used before 2000-01")
		bill, err := p.cloud.Ledger.Close(asCustomer(), "")
		must(t, err)
		if bill.Invoice == "" || len(bill.Lines) != 2 || bill.PeriodStart.Month() != time.January {
			t.Errorf("the invoice is %+v", bill)
		}
		conflict("2000-01", "it is closed already; what is heard of now is in the bill of 2000-02")
		conflict("2000-02", "it has not begun")
		p.calls(t, "f", 2)
		next := api.BillQuery{From: bill.PeriodEnd, To: bill.PeriodEnd.AddDate(0, 1, 0)}
		feb, err := p.cloud.Ledger.Bill(asCustomer(), next)
		must(t, err)
		for _, l := range feb.Lines {
			if l.Adjusts != "2000-01" || l.Meter == "function-requests" && l.Quantity != "2" {
				t.Errorf("a line of February is %+v", l)
			}
		}
		if len(feb.Lines) != 2 {
			t.Errorf("February has %d lines, want 2", len(feb.Lines))
		}
		list, err := p.cloud.Activities.List(asCustomer(), api.ActivityQuery{Resource: "2000-01"})
		must(t, err)
		if len(list.Items) != 1 || list.Items[0].Verb != "close" || list.Items[0].Actor.Kind != api.Customer {
			t.Errorf("recorded is %+v", list.Items)
		}
	})
}

// TestInvoicesSettle: an invoice of which nothing more can be heard is not looked at any more.
func TestInvoicesSettle(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		day := func(month time.Month, n int) time.Time { return time.Date(2000, month, n, 0, 0, 0, 0, time.UTC) }
		settled := func() (all []bool) {
			p.books.work(t.Context())
			must(t, p.Store.View(func(tx *storage.Tx) error {
				return invoiceTable.Each(tx, "", func(v billing.Invoice) error { all = append(all, v.Settled); return nil })
			}))
			return all
		}
		p.ran(t, "a", day(1, 3), day(1, 4))
		must(t, p.Store.Update(func(tx *storage.Tx) error {
			return runTable.Put(tx, run{Key: "r", Run: "run-r", Project: "default", Service: "instances", Resource: "b", ResourceID: "b", Meter: billing.InstanceHours("nano"), Start: day(2, 20), Real: day(2, 20), Seen: day(2, 20)})
		}))
		time.Sleep(time.Until(day(4, 2)))
		if got := fmt.Sprint(settled()); got != "[false false false]" {
			t.Errorf("right after the closing: %s", got)
		}
		time.Sleep(25 * time.Hour)
		if got := fmt.Sprint(settled()); got != "[true false false]" { // a run of February goes on
			t.Errorf("a day later: %s", got)
		}
	})
}
