package controlplane

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// TestRetentionChangesNoBill: whatever receipts are let go when, and whether the roll-ups can be used or not, every bill under every book stays
// as it was, and so does all that is listed as used.
func TestRetentionChangesNoBill(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		bills := func() (all []api.Bill) {
			for _, book := range []string{"nuage", "azure", "gcp", "ibm"} {
				b, err := p.cloud.Ledger.Bill(asCustomer(), api.BillQuery{Book: book, By: billing.ByDay})
				must(t, err)
				all = append(all, b)
			}
			return all
		}
		listed := func() map[string]int64 {
			sums, q := map[string]int64{}, api.UsageQuery{Page: api.Page{Limit: 7}}
			for {
				l, err := p.cloud.Ledger.Usage(asCustomer(), q)
				must(t, err)
				for _, u := range l.Items {
					sums[u.Meter] += u.Quantity
				}
				if q.After = l.Next; q.After == "" {
					return sums
				}
			}
		}
		for range 12 {
			p.calls(t, []string{"f", "g"}[rand.IntN(2)], 1+rand.IntN(5))
			time.Sleep(time.Duration(rand.Int64N(int64(18 * time.Hour))))
		}
		want, all := bills(), listed()
		for days := int64(8); days >= 1; days-- {
			kept, err := p.cloud.Ledger.SetRetention(asCustomer(), api.Retention{Days: days})
			must(t, err)
			if kept.Oldest != nil && kept.Oldest.Before(p.billingNow().AddDate(0, 0, -int(days))) || kept.Receipts+kept.RolledUp != all[billing.FunctionRequests] {
				t.Errorf("after %d days: %+v of %d", days, kept, all[billing.FunctionRequests])
			}
			if got := bills(); !reflect.DeepEqual(got, want) {
				t.Fatalf("with %d days the bills are %+v, were %+v", days, got, want)
			}
			p.tally = newTally()
			if got := bills(); !reflect.DeepEqual(got, want) {
				t.Fatalf("after a start with %d days the bills are %+v, were %+v", days, got, want)
			}
			if days%2 == 0 { // a roll-up is missing: all is counted again
				must(t, p.Store.Update(func(tx *storage.Tx) error {
					keys := []string{}
					err := rollupTable.Each(tx, "", func(r rollup) error { keys = append(keys, r.key()); return nil })
					if err == nil {
						err = rollupTable.Delete(tx, keys[0])
					}
					return err
				}))
				p.tally = newTally()
				if got := bills(); !reflect.DeepEqual(got, want) {
					t.Fatalf("counted again with %d days the bills are %+v, were %+v", days, got, want)
				}
			}
			if got := listed(); !reflect.DeepEqual(got, all) {
				t.Fatalf("listed are %v, were %v", got, all)
			}
		}
		if kept, err := p.cloud.Ledger.Retention(asCustomer()); err != nil || kept.RolledUp == 0 {
			t.Errorf("nothing went: %+v %v", kept, err)
		}
	})
}

// TestABookThatComesLater rates the receipts that are kept, and says how many calls it can't reach.
func TestABookThatComesLater(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		p.calls(t, "f", 5)
		time.Sleep(3 * 24 * time.Hour)
		p.calls(t, "f", 2)
		_, err := p.cloud.Ledger.SetRetention(asCustomer(), api.Retention{Days: 2})
		must(t, err)
		must(t, p.Store.Update(func(tx *storage.Tx) error { // as if the rule of Azure had not been there then
			azure, err := p.Books.Book("azure")
			if err != nil {
				return err
			}
			return pastTable.Each(tx, "", func(c pastCalls) error {
				delete(c.Sums, azure.CallRule().Key())
				return pastTable.Put(tx, c)
			})
		}))
		must(t, p.Store.Update(func(tx *storage.Tx) error {
			return settingTable.Put(tx, setting{Key: rolledKey, Value: []byte(`{"next":3,"rules":["others"]}`)})
		}))
		p.tally = newTally()
		azure, err := p.cloud.Ledger.Bill(asCustomer(), api.BillQuery{Book: "azure"})
		must(t, err)
		if !strings.Contains(azure.Note, "without 5 calls, whose receipts went before there was a book that counts as azure does") {
			t.Errorf("it says %q", azure.Note)
		}
		requests := func(b api.Bill) (n []string) {
			for _, l := range b.Lines {
				if l.Meter == billing.FunctionRequests {
					n = append(n, l.Quantity)
				}
			}
			return n
		}
		ours, err := p.cloud.Ledger.Bill(asCustomer(), api.BillQuery{})
		must(t, err)
		if got := fmt.Sprint(requests(azure), requests(ours), ours.Note); got != "[2] [7]" {
			t.Errorf("requests are %s, want [2] and [7]", got)
		}
	})
}
