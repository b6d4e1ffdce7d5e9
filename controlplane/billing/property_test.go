package billing

import (
	"fmt"
	"math/big"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nuage/api"
)

// truth is something that happened, from which usage records are cut: something that was on from start to end in Unix
// ms, at a rate of stored units a ms, or calls (rate 0) at the start.
type truth struct {
	project, resource, run string
	meter                  Meter
	start, end             int64
	rate, calls            int64
}

// drawTruths draws what happened around November 2026, some of it across the ends of days and of the month.
func drawTruths(t *rapid.T) []truth {
	from, to := Month(noon())
	early, late := from.Add(-36*time.Hour).UnixMilli(), to.Add(36*time.Hour).UnixMilli()
	borders := []int64{from.UnixMilli(), to.UnixMilli(), from.AddDate(0, 0, 3).UnixMilli()}
	one := rapid.Custom(func(t *rapid.T) truth {
		start := rapid.Int64Range(early, late).Draw(t, "start")
		if rapid.Bool().Draw(t, "at a border") {
			start = rapid.SampledFrom(borders).Draw(t, "border") + rapid.Int64Range(-90_000, 90_000).Draw(t, "off")
		}
		length := rapid.OneOf(rapid.Int64Range(1, 70_000), rapid.Int64Range(1, 10*msPerDay)).Draw(t, "length")
		h := truth{project: rapid.SampledFrom([]string{"p", "q"}).Draw(t, "project"), meter: rapid.SampledFrom(Meters()).Draw(t, "meter"),
			resource: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "resource"), start: start, end: start + length, rate: 1}
		switch {
		case h.meter.Unit == GBMonths:
			h.rate = rapid.Int64Range(1, 1<<20).Draw(t, "MiB")
		case !h.meter.Spread:
			h.rate, h.calls = 0, rapid.Int64Range(1, 1e12).Draw(t, "calls")
		}
		return h
	})
	all := rapid.SliceOfN(one, 0, 12).Draw(t, "truths")
	for i := range all {
		all[i].run = fmt.Sprint("run", i)
	}
	return all
}

// record is the usage of a truth between two times.
func (h truth) record(start, end int64) api.Usage {
	u := api.Usage{Project: h.project, Service: h.meter.Service, Resource: h.resource, ResourceID: "id-" + h.resource, Meter: h.meter.Name,
		Quantity: h.calls, Start: time.UnixMilli(start), End: time.UnixMilli(end)}
	if h.rate > 0 {
		u.Quantity = h.rate * (end - start)
	}
	if h.meter.PerRun {
		u.Run = h.run
	}
	return u
}

// whole is a record for each truth.
func whole(truths []truth) (all []api.Usage) {
	for _, h := range truths {
		all = append(all, h.record(h.start, h.end))
	}
	return all
}

// pieces cuts what accrued into many records, and shuffles all.
func pieces(t *rapid.T, truths []truth) (all []api.Usage) {
	for _, h := range truths {
		at := h.start
		for cuts := rapid.IntRange(0, 5).Draw(t, "cuts"); cuts > 0 && h.rate > 0 && at < h.end; cuts-- {
			next := rapid.Int64Range(at, h.end).Draw(t, "cut")
			all, at = append(all, h.record(at, next)), next
		}
		all = append(all, h.record(at, h.end))
	}
	shuffle := rand.New(rand.NewSource(rapid.Int64().Draw(t, "order")))
	shuffle.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// naiveBill computes the bill from what happened, with rationals and no code of the package: the cost of each line by its
// key, and the total.
func naiveBill(t *rapid.T, b *Book, truths []truth, q Query) (map[string]string, string) {
	per := map[Unit]int64{Hours: 3_600_000, Minutes: 60_000, GBMonths: 1024 * 730 * 3_600_000, GBSeconds: 1_024_000, VCPUSeconds: 1_000_000, Requests: 1, GB: 1 << 30}
	prices := make(map[string]string)
	for _, p := range b.PriceBook().Prices {
		prices[p.Meter] = p.UnitPrice
	}
	from, to, exact := q.From.UnixMilli(), q.To.UnixMilli(), make(map[string]*big.Rat)
	for _, h := range truths {
		quantity := new(big.Rat)
		within := func(ms int64) bool { return ms >= from && ms < to }
		if length := min(h.end, to) - max(h.start, from); length > 0 {
			quantity.SetInt64(h.rate * length)
		}
		if within(h.start) {
			quantity.Add(quantity, new(big.Rat).SetInt64(h.calls))
			if length := h.end - h.start; h.meter.Service == "instances" && length < 60_000 {
				quantity.Add(quantity, new(big.Rat).SetInt64(60_000-length))
			}
		}
		price, ok := new(big.Rat).SetString(prices[h.meter.Name])
		if !ok {
			t.Fatalf("price %q", prices[h.meter.Name])
		}
		if quantity.Sign() == 0 {
			continue
		}
		quantity.Mul(quantity, price).Quo(quantity, new(big.Rat).SetInt64(per[h.meter.Unit]))
		key := h.project + "/" + h.resource + "/" + h.meter.Name
		if exact[key] == nil {
			exact[key] = new(big.Rat)
		}
		exact[key].Add(exact[key], quantity)
	}
	lines, sum := make(map[string]string), new(big.Rat)
	for key, x := range exact {
		millionths := naiveRound(x.Mul(x, big.NewRat(1_000_000, 1)))
		cost := new(big.Rat).SetFrac(millionths, big.NewInt(1_000_000))
		lines[key] = cost.FloatString(6)
		sum.Add(sum, cost)
	}
	return lines, sum.FloatString(6)
}

func TestBillEqualsANaiveComputation(t *testing.T) {
	b := nuage(t)
	rapid.Check(t, func(t *rapid.T) {
		truths := drawTruths(t)
		bill := rated(t, b, november(""), pieces(t, truths))
		got := make(map[string]string)
		for _, l := range bill.Lines {
			got[l.Project+"/"+l.Resource+"/"+l.Meter] = l.Cost
		}
		want, total := naiveBill(t, b, truths, november(""))
		if diff := cmp.Diff(want, got); diff != "" || bill.Total != total {
			t.Fatalf("total %s, want %s\n%s", bill.Total, total, diff)
		}
	})
}

func TestTotalIsTheSumOfTheLinesInEveryGrouping(t *testing.T) {
	b := tieredBook(t)
	rapid.Check(t, func(t *rapid.T) {
		usage := pieces(t, drawTruths(t))
		total := rated(t, b, november(""), usage).Total
		for _, by := range []string{ByNothing, ByService, ByResource, ByModel, ByProject, ByDay} {
			bill, sum := rated(t, b, november(by), usage), new(big.Rat)
			for _, l := range bill.Lines {
				if !sixDecimals(l.Cost) {
					t.Fatalf("cost %q", l.Cost)
				}
				cost, _ := new(big.Rat).SetString(l.Cost)
				sum.Add(sum, cost)
			}
			if bill.Total != total || sum.FloatString(6) != total {
				t.Fatalf("by %q: the total is %s, the lines' sum %s, the plain bill's total %s", by, bill.Total, sum.FloatString(6), total)
			}
		}
	})
}

func sixDecimals(s string) bool {
	whole, frac, ok := strings.Cut(s, ".")
	return ok && len(frac) == 6 && digits(whole+frac, 99)
}

func TestSplittingMergingAndOrderChangeNothing(t *testing.T) {
	b := tieredBook(t)
	rapid.Check(t, func(t *rapid.T) {
		truths := drawTruths(t)
		for _, by := range []string{ByNothing, ByDay} {
			want, got := rated(t, b, november(by), whole(truths)), rated(t, b, november(by), pieces(t, truths))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("by %q: %s", by, diff)
			}
		}
	})
}

// Records within Needs are all that a bill needs, as a store that selects by time gives them.
func TestNeedsAreEnough(t *testing.T) {
	b := tieredBook(t)
	rapid.Check(t, func(t *rapid.T) {
		all, q := pieces(t, drawTruths(t)), november("")
		from, to := b.Needs(q.From, q.To)
		var near []api.Usage
		for _, u := range all {
			if !u.End.Before(from) && !u.Start.After(to) {
				near = append(near, u)
			}
		}
		if diff := cmp.Diff(rated(t, b, q, all), rated(t, b, q, near)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// Whatever is between them, periods side by side bill each stored unit once: also of records whose quantity no cut divides evenly.
func TestPeriodsAddUp(t *testing.T) {
	b := nuage(t)
	rapid.Check(t, func(t *rapid.T) {
		u := ran("db", "database-hours:small", "r", "11-10 00:00:00", 0)
		u.Quantity = rapid.Int64Range(0, 1e15).Draw(t, "quantity")
		u.End = u.Start.Add(time.Duration(rapid.Int64Range(0, 5*msPerDay).Draw(t, "length")) * time.Millisecond)
		middle := u.Start.Add(time.Duration(rapid.Int64Range(-1000, 6*msPerDay).Draw(t, "middle")) * time.Millisecond)
		sum := int64(0)
		for _, q := range []Query{{From: u.Start.AddDate(0, 0, -9), To: middle}, {From: middle, To: u.Start.AddDate(0, 0, 9)}} {
			r, err := b.Rate(q)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Add(u); err != nil {
				t.Fatal(err)
			}
			for _, l := range r.lines {
				for _, quantity := range l.slices {
					sum += quantity
				}
			}
		}
		if sum != u.Quantity {
			t.Fatalf("the periods bill %d of %d", sum, u.Quantity)
		}
	})
}

// The exact costs of a function's receipts sum up to its line but for the line's one rounding.
func TestReceiptsAddUpToTheBill(t *testing.T) {
	b := nuage(t)
	rapid.Check(t, func(t *rapid.T) {
		sum, usage := new(big.Rat), []api.Usage(nil)
		for i := range rapid.IntRange(1, 50).Draw(t, "calls") {
			r, err := b.Receipt(api.Receipt{RequestID: fmt.Sprint(i), Project: "p", Function: "f", FunctionID: "fn-1", BilledAt: noon(),
				MemoryMB: 128 * rapid.Int64Range(1, 80).Draw(t, "memory"), BilledMs: rapid.Int64Range(1, 900_000).Draw(t, "ms")})
			if err != nil {
				t.Fatal(err)
			}
			cost, _ := new(big.Rat).SetString(r.Cost)
			sum.Add(sum, cost)
			calls, err := CallUsage(r)
			if err != nil {
				t.Fatal(err)
			}
			usage = append(usage, calls...)
		}
		total, _ := new(big.Rat).SetString(rated(t, b, november(""), usage).Total)
		off := new(big.Rat).Sub(sum, total)
		if off.Abs(off).Cmp(big.NewRat(1, 1_000_000)) > 0 { // two lines, half a millionth each
			t.Fatalf("receipts %s, bill %s", sum.FloatString(12), total.FloatString(6))
		}
	})
}

func rated(t *rapid.T, b *Book, q Query, usage []api.Usage) api.Bill {
	t.Helper()
	bill, err := b.Bill(q, usage)
	if err != nil {
		t.Fatal(err)
	}
	return bill
}
