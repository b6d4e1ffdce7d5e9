package controlplane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/functions"
	"nuage/storage"
)

// calls stores n receipts of a function at the present of the billing clock.
func (p *plane) calls(t *testing.T, function string, n int) {
	t.Helper()
	for i := range n {
		_, err := journal{p.ControlPlane}.Finish(context.Background(), functions.Record{RequestID: fmt.Sprint(function, "-", i, "-", time.Now().UnixNano()),
			Project: "default", Function: function, FunctionID: "fn-" + function, StartedAt: time.Now(), BilledMs: rand.Int64N(900_000) + 1, MemoryMB: 128 << rand.IntN(5), Status: functions.OK})
		must(t, err)
	}
}

// rawBill is the bill from each single record.
func (p *plane) rawBill(t *testing.T, q api.BillQuery) api.Bill {
	t.Helper()
	book, err := p.Books.Book(q.Book)
	must(t, err)
	query, err := billing.NewQuery(q, p.billingNow())
	must(t, err)
	rating, err := book.Rate(query)
	must(t, err)
	must(t, p.Store.View(func(tx *storage.Tx) error { return p.eachCounted(tx, book.CallRule(), rating.Add) }))
	bill, err := rating.Bill()
	must(t, err)
	return bill
}

// TestBillFromSums: the bill of sums by hour is the bill of all receipts, to the last digit, also after more came.
func TestBillFromSums(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		for range 30 {
			p.calls(t, []string{"f", "g"}[rand.IntN(2)], 1+rand.IntN(5))
			time.Sleep(time.Duration(rand.Int64N(int64(3 * time.Hour))))
			for _, by := range []string{"", billing.ByDay, billing.ByModel, billing.ByResource} {
				q := api.BillQuery{By: by}
				got, err := p.cloud.Ledger.Bill(asCustomer(), q)
				must(t, err)
				if want := p.rawBill(t, q); !reflect.DeepEqual(got, want) {
					t.Fatalf("by %q the bill is %+v, from single records %+v", by, got, want)
				}
			}
		}
		now := p.billingNow()
		odd := api.BillQuery{From: now.Add(-50*time.Hour - 7*time.Minute), To: now.Add(-20*time.Hour - time.Second)}
		got, err := p.cloud.Ledger.Bill(asCustomer(), odd)
		must(t, err)
		if want := p.rawBill(t, odd); !reflect.DeepEqual(got, want) {
			t.Errorf("for an odd period the bill is %+v, from single records %+v", got, want)
		}
	})
}

// TestRollUps: whatever is rolled up when, and whether the roll-ups can be used or not, the bill is that of all receipts.
func TestRollUps(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		same := func(what string) {
			t.Helper()
			for _, book := range []string{"nuage", "azure", "gcp"} {
				q := api.BillQuery{Book: book, By: billing.ByDay}
				got, err := p.cloud.Ledger.Bill(asCustomer(), q)
				must(t, err)
				if want := p.rawBill(t, q); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: by %s the bill is %+v, from single records %+v", what, book, got, want)
				}
			}
		}
		begins := func() uint64 { // a new start: how many receipts it need not read
			p.tally = newTally()
			must(t, p.Store.View(func(tx *storage.Tx) error { return p.tally.begin(tx, ruleKeys(p.Books.CallRules())) }))
			read := p.tally.next
			p.tally = newTally()
			return read
		}
		must(t, p.rollUp()) // of nothing
		for range 5 {
			p.calls(t, []string{"f", "g"}[rand.IntN(2)], 1+rand.IntN(5))
			time.Sleep(time.Duration(rand.Int64N(int64(3 * time.Hour))))
			must(t, p.rollUp())
			p.calls(t, "f", 1) // in an hour that is rolled up, perhaps
			same("with roll-ups in memory")
			if begins() == 0 {
				t.Fatal("a start does not use the roll-ups")
			}
			same("from stored roll-ups")
		}
		must(t, p.rollUp())
		var keys []string
		must(t, p.Store.Update(func(tx *storage.Tx) error {
			err := rollupTable.Each(tx, "", func(r rollup) error { keys = append(keys, r.key()); return nil })
			return errors.Join(err, rollupTable.Delete(tx, keys[0]))
		}))
		if begins() != 0 {
			t.Error("a start uses roll-ups of which one is missing")
		}
		same("with one roll-up missing")
		must(t, p.rollUp())
		if begins() == 0 {
			t.Error("the roll-ups are not whole again")
		}
		must(t, p.Store.View(func(tx *storage.Tx) error { return p.tally.begin(tx, []string{"another rule"}) }))
		if p.tally.next != 0 {
			t.Error("a start uses roll-ups under other rules")
		}
	})
}

// TestUsagePages: pages miss nothing, though runs end and calls come between them.
func TestUsagePages(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		begin := func(key string) {
			must(t, p.Store.Update(func(tx *storage.Tx) error {
				return runTable.Put(tx, run{Key: key, Run: "run-" + key, Project: "default", Service: "instances", Resource: key, ResourceID: key,
					Meter: billing.InstanceHours("nano"), Start: p.billingNow(), Real: p.Now(), Seen: p.Now()})
			}))
		}
		end := func(key string) {
			must(t, p.Store.Update(func(tx *storage.Tx) error {
				r, err := runTable.Get(tx, key)
				if err != nil {
					return err
				}
				return endRun(tx, r, p.billingNow())
			}))
		}
		for _, key := range []string{"a", "b", "c", "d"} {
			begin(key)
		}
		p.calls(t, "f", 3)
		seen := map[string]int{}
		var order []string
		q := api.UsageQuery{Page: api.Page{Limit: 1}}
		for n := 0; ; n++ {
			l, err := p.cloud.Ledger.Usage(asCustomer(), q)
			must(t, err)
			for _, u := range l.Items {
				seen[u.ID]++
				order = append(order, fmt.Sprint(strings.TrimPrefix(u.ID, "run-"), " ", u.Open))
			}
			switch n {
			case 0:
				end("d")
				end("a") // seen already, so it comes again
			case 5:
				p.calls(t, "g", 1)
			}
			if q.After = l.Next; l.Next == "" || n > 50 {
				break
			}
		}
		if got := strings.Join(order[:5], ", "); got != "a true, b true, c true, d false, a false" {
			t.Errorf("the runs come as %s", got)
		}
		if len(seen) != 4+2*4 {
			t.Errorf("seen are %v, want four runs and two records of each of four calls", seen)
		}
		whole, err := p.cloud.Ledger.Usage(asCustomer(), api.UsageQuery{})
		must(t, err)
		for _, u := range whole.Items {
			if seen[u.ID] == 0 {
				t.Errorf("the pages miss %s", u.ID)
			}
		}
		for _, bad := range []string{"5", "calls/x", "ended/-1", "elsewhere/1"} {
			if _, err := p.cloud.Ledger.Usage(asCustomer(), api.UsageQuery{Page: api.Page{After: bad}}); !errors.Is(err, api.Invalid) {
				t.Errorf("to go on after %q answers %v, want invalid", bad, err)
			}
		}
	})
}

// TestReceiptsAndUsageAreOneRecord: what a call used is known from its receipt alone, and a receipt is rated alike each time.
func TestReceiptsAndUsageAreOneRecord(t *testing.T) {
	p := newPlane(t, setup{idle: true})
	_, err := p.cloud.Functions.Create(asCustomer(), "default", "f", api.FunctionSpec{Runtime: "python", Source: p.source(t, "main.py", "pass"), Handler: "main.handler", MemoryMB: 512})
	must(t, err)
	var ids []string
	for range 3 {
		answer, err := p.cloud.Functions.Invoke(asCustomer(), "default", "f", api.Invocation{Type: api.Sync, Payload: []byte("x")})
		must(t, err)
		ids = append(ids, answer.Receipt.RequestID)
	}
	calls, err := p.cloud.Functions.Calls(asCustomer(), "default", "f", 0)
	must(t, err)
	var newest []string
	for _, r := range slices.Backward(calls.Items) {
		newest = append(newest, r.RequestID)
		if r.BilledMs != 1 || r.MemoryMB != 512 || r.GBSeconds != "0.0005" {
			t.Errorf("the receipt is %+v", r)
		}
	}
	if !slices.Equal(newest, ids) {
		t.Errorf("the calls are %v, want %v", newest, ids)
	}
	usage, err := p.cloud.Ledger.Usage(asCustomer(), api.UsageQuery{Resource: "f"})
	must(t, err)
	requests, mbms := int64(0), int64(0)
	for _, u := range usage.Items {
		if u.Meter == billing.FunctionRequests {
			requests += u.Quantity
		} else {
			mbms += u.Quantity
		}
	}
	if requests != 3 || mbms != 3*512 {
		t.Errorf("metered are %d requests and %d MB-ms, want 3 and 1536", requests, mbms)
	}
}
