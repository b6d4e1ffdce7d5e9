package controlplane

import (
	"sync"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// tally is what calls used, summed by function and hour of billing time, so that a bill does not read every receipt that
// ever was. It is made from the receipts: at the first bill from all of them, then from those that came since.
type tally struct {
	mu   sync.Mutex
	next uint64 // sequence of the first receipt that is not in it
	sums map[tallyKey]billing.CallQuantity
}

type tallyKey struct {
	project, function, id string
	hour                  int64  // since 1970
	rule                  string // key of the rule by which the calls are counted
}

func newTally() *tally { return &tally{sums: map[tallyKey]billing.CallQuantity{}} }

const hourMs = int64(time.Hour / time.Millisecond)

// wholeHours tells that a period begins and ends on the hour, so that sums by hour lie within it or outside.
func wholeHours(from, to time.Time) bool {
	return from.UnixMilli()%hourMs == 0 && to.UnixMilli()%hourMs == 0
}

// eachSum is eachUsage with the calls of a function in an hour as one, counted as a book counts them.
func (cp *ControlPlane) eachSum(tx *storage.Tx, rule billing.CallRule, fn func(api.Usage) error) error {
	err := cp.walkRuns(tx, "", func(_ place, u api.Usage) error { return fn(u) })
	if err != nil {
		return err
	}
	err = usageLog.Each(tx, 0, 0, func(e storage.Entry[api.Usage]) error { return fn(e.Value) })
	if err == nil {
		err = eachRequest(tx, "", func(_ place, u api.Usage) error { return fn(u) })
	}
	if err != nil {
		return err
	}
	return cp.tally.each(tx, cp.Books.CallRules(), rule.Key(), fn)
}

// each counts the receipts that came since by all rules, and calls fn with the sums of one.
func (t *tally) each(tx *storage.Tx, rules []billing.CallRule, rule string, fn func(api.Usage) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := make([]string, len(rules))
	for i, r := range rules {
		keys[i] = r.Key()
	}
	err := receiptLog.Each(tx, t.next, 0, func(e storage.Entry[receipt]) error {
		t.next = e.Sequence + 1
		return t.add(e.Value, rules, keys)
	})
	if err != nil {
		return err
	}
	for k, sum := range t.sums {
		if k.rule != rule {
			continue
		}
		hour := api.Receipt{RequestID: k.id, Project: k.project, Function: k.function, FunctionID: k.id, BilledAt: time.UnixMilli(k.hour * hourMs).UTC()}
		for _, u := range sum.Usage(hour) {
			if err := fn(u); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tally) add(r receipt, rules []billing.CallRule, keys []string) error {
	for i, rule := range rules {
		q, err := rule.Of(r.public())
		if err != nil {
			return err
		}
		k := tallyKey{r.Project, r.Function, r.FunctionID, r.BilledAt.UnixMilli() / hourMs, keys[i]}
		if t.sums[k], err = t.sums[k].Plus(q); err != nil {
			return err
		}
	}
	return nil
}
