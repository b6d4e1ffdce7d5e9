package billing

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nuage/api"
)

// Whatever is heard of when: an invoice never changes, in any grouping, and closed and adjusted bills together are what a bill of all usage
// would have been, to the last digit of each line.
func TestClosedPeriodsAddUp(t *testing.T) {
	books := []*Book{nuage(t), tieredBook(t)}
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SampledFrom(books).Draw(t, "book")
		all := pieces(t, drawTruths(t))
		first, second := rapid.IntRange(0, len(all)).Draw(t, "known at the closing"), rapid.IntRange(0, len(all)).Draw(t, "known a month later")
		second = max(first, second)
		november := closed(t, b, "2026-11", all[:first], nil)
		before := views(t, november)
		december := closed(t, b, "2026-12", all[:second], []Invoice{november})
		january := month(t, b, "2027-01", all)
		for i, v := range []Invoice{november, december} {
			late := month(t, b, v.Period, all)
			if err := january.Adjust(v, late, []Invoice{november, december}[i+1:]); err != nil {
				t.Fatal(err)
			}
		}
		for i, v := range []string{"2026-11", "2026-12"} {
			want := linesOf(t, plainBill(t, month(t, b, v, all)))
			got := linesOf(t, api.Bill{})
			take(t, got, []Invoice{november, december}[i], "")
			take(t, got, december, v)
			for _, l := range plainBill(t, january).Lines {
				if l.Adjusts == v {
					got[lineName(l)] = plusText(t, got[lineName(l)], l.Cost)
				}
			}
			for name, cost := range got {
				if cost == "0.000000" && want[name] == "" {
					delete(got, name)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s: %s", v, diff)
			}
		}
		if diff := cmp.Diff(before, views(t, november)); diff != "" {
			t.Fatalf("the invoice has changed: %s", diff)
		}
	})
}

// month is a rating of a month of some usage.
func month(t *rapid.T, b *Book, period string, usage []api.Usage) *Rating {
	from, _, err := ParsePeriod(period)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.RateMonth(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range usage {
		if err := r.Add(u); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// closed is an invoice as it comes from the store.
func closed(t *rapid.T, b *Book, period string, usage []api.Usage, before []Invoice) Invoice {
	r := month(t, b, period, usage)
	for i, v := range before {
		if err := r.Adjust(v, month(t, b, v.Period, usage), before[i+1:]); err != nil {
			t.Fatal(err)
		}
	}
	v, err := r.Close("inv-"+period, "", noon(), noon())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var stored Invoice
	if err := json.Unmarshal(raw, &stored); err != nil {
		t.Fatal(err)
	}
	return stored
}

// views are all groupings of an invoice as text, of all projects and of one. All have the same total.
func views(t *rapid.T, v Invoice) string {
	var out strings.Builder
	for i, project := range []string{"", "p"} {
		total := ""
		for _, by := range [][]string{{ByNothing, ByModel, ByDay}, {ByResource, ByDay}}[i] {
			bill, err := v.Bill(Query{By: by, Project: project})
			if err != nil {
				t.Fatal(err)
			}
			sum := new(big.Rat)
			for _, l := range bill.Lines {
				cost, _ := new(big.Rat).SetString(l.Cost)
				sum.Add(sum, cost)
			}
			if total == "" {
				total = bill.Total
			}
			if sum.FloatString(6) != bill.Total || bill.Total != total {
				t.Fatalf("by %q the lines are %s, the total %s, that of the plain bill %s", by, sum.FloatString(6), bill.Total, total)
			}
			raw, err := json.Marshal(bill)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(raw)
		}
	}
	return out.String()
}

// plainBill is the bill by nothing of a rating by day.
func plainBill(t *rapid.T, r *Rating) api.Bill {
	plain := *r
	plain.daily, plain.query.By = false, ByNothing
	bill, err := plain.Bill()
	if err != nil {
		t.Fatal(err)
	}
	return bill
}

func lineName(l api.BillLine) string {
	return strings.Join([]string{l.Project, l.Resource, l.Meter, l.UnitPrice}, "/")
}

func linesOf(t *rapid.T, b api.Bill) map[string]string {
	out := map[string]string{}
	for _, l := range b.Lines {
		out[lineName(l)] = plusText(t, out[lineName(l)], l.Cost)
	}
	return out
}

// take adds the lines of an invoice that are of a period: "" its own.
func take(t *rapid.T, into map[string]string, v Invoice, adjusts string) {
	for _, c := range v.Lines {
		if c.Line.Adjusts == adjusts {
			into[lineName(c.Line)] = plusText(t, into[lineName(c.Line)], c.Line.Cost)
		}
	}
}

func plusText(t *rapid.T, a, b string) string {
	if a == "" {
		a = "0"
	}
	x, ok := new(big.Rat).SetString(a)
	y, ok2 := new(big.Rat).SetString(b)
	if !ok || !ok2 {
		t.Fatalf("%q + %q", a, b)
	}
	return x.Add(x, y).FloatString(6)
}

// An adjustment says what it is, in both directions, also under a price book that has changed since.
func TestAdjustments(t *testing.T) {
	b := nuage(t)
	of := func(usage ...api.Usage) *Rating {
		from, _ := Month(noon())
		r, err := b.RateMonth(from)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range usage {
			if err := r.Add(u); err != nil {
				t.Fatal(err)
			}
		}
		return r
	}
	long, short := ran("vm", InstanceHours("small"), "run-1", "11-10 00:00:00", 10*time.Hour), ran("vm", InstanceHours("small"), "run-1", "11-10 00:00:00", 4*time.Hour)
	other := ran("db", DatabaseHours("small"), "run-2", "11-12 00:00:00", 2*time.Hour)
	v, err := of(long).Close("inv-1", "a note", noon(), noon())
	if err != nil {
		t.Fatal(err)
	}
	dearer, err := Parse([]byte(strings.Replace(string(b.text), `"unitPrice": "0.02"`, `"unitPrice": "0.5"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	open, err := dearer.Rate(Query{From: v.To, To: v.To.AddDate(0, 1, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if err := open.Adjust(v, of(short, other), nil); err != nil {
		t.Fatal(err)
	}
	bill, err := open.Bill()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range bill.Lines {
		got = append(got, fmt.Sprintf("%s %s %s x %s = %s (%s) %s", l.Resource, l.Quantity, l.Unit, l.UnitPrice, l.Cost, l.Adjusts, l.Note))
	}
	want := []string{
		"db 2 Hours x 0.04 = 0.080000 (2026-11) 2 Hours x $0.04 of 2026-11, heard of after its invoice was closed",
		"vm -6 Hours x 0.02 = -0.120000 (2026-11) 6 Hours x $0.02 of 2026-11 taken back: its closed invoice had too much",
	}
	if diff := cmp.Diff(want, got); diff != "" || bill.Total != "-0.040000" {
		t.Errorf("total %s: %s", bill.Total, diff)
	}
	var csv strings.Builder
	if err := WriteFocus(&csv, FocusAccount{ID: "c"}, []api.Bill{bill}); err != nil {
		t.Fatal(err)
	}
	found, err := CheckFocus(strings.NewReader(csv.String()))
	if err != nil || len(found) > 0 {
		t.Errorf("as FOCUS: %v %v", found, err)
	}
	if !strings.Contains(csv.String(), ",Correction,") || !strings.Contains(csv.String(), "2026-11-01T00:00:00Z") {
		t.Errorf("as FOCUS it is no correction of November: %s", csv.String())
	}
}

// Tags divide a bill and change no total; what has none is together.
func TestCostByTag(t *testing.T) {
	one, two, none := ran("a", InstanceHours("small"), "r1", "11-10 00:00:00", time.Hour), ran("b", InstanceHours("small"), "r2", "11-10 00:00:00", 2*time.Hour), ran("c", InstanceHours("small"), "r3", "11-10 00:00:00", 3*time.Hour)
	one.Tags, two.Tags = map[string]string{"team": "red", "x": "1"}, map[string]string{"team": "blue"}
	retagged := ran("a", InstanceHours("small"), "r4", "11-11 00:00:00", time.Hour)
	retagged.Tags = two.Tags
	bill, err := nuage(t).Bill(november("tag:team"), []api.Usage{one, two, none, retagged})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range bill.Lines {
		got = append(got, fmt.Sprint(l.Tags, l.Resource, " ", l.Cost))
	}
	want := []string{"map[]c 0.060000", "map[team:blue] 0.060000", "map[team:red]a 0.020000"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
