package controlplane

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// tally is what calls used, summed by function and hour of billing time under each book's way to count, so that a bill does not
// read every receipt that ever was. It begins with the stored roll-ups and goes on with the receipts that came since.
type tally struct {
	mu    sync.Mutex
	begun bool
	next  uint64 // sequence of the first receipt that is not in it
	sums  map[tallyKey][]billing.CallQuantity
	fresh map[tallyKey]bool    // not rolled up as they are
	lost  map[tallyKey][]int64 // calls that can't be counted by a rule any more; none where all can
}

type tallyKey struct {
	project, function, id string
	hour                  int64 // since 1970
}

// rollup is the sums of a function's calls in an hour as they are stored, by the key of the rule by which they are counted.
type rollup struct {
	Project  string                          `json:"p"`
	Function string                          `json:"n"`
	ID       string                          `json:"f"`
	Hour     int64                           `json:"h"`
	Sums     map[string]billing.CallQuantity `json:"s"`
}

func (r rollup) key() string {
	return fmt.Sprintf("%s/%s/%s/%010d", r.Project, r.Function, r.ID, r.Hour)
}

// rolled says up to which receipt there are roll-ups, and under which rules.
type rolled struct {
	Next  uint64   `json:"next"`
	Rules []string `json:"rules"`
	Count int      `json:"count"` // of roll-ups, so that one that does not decode is missed
}

const rolledKey = "rolled-up"

var rollupTable = storage.NewTable("rollups", func(r *rollup) string { return r.key() })

func newTally() *tally {
	return &tally{sums: map[tallyKey][]billing.CallQuantity{}, fresh: map[tallyKey]bool{}}
}

const hourMs = int64(time.Hour / time.Millisecond)

// wholeHours tells that a period begins and ends on the hour, so that sums by hour lie within it or outside.
func wholeHours(from, to time.Time) bool {
	return from.UnixMilli()%hourMs == 0 && to.UnixMilli()%hourMs == 0
}

// eachSum is eachUsage with the calls of a function in an hour as one, counted as a book counts them, and with what runs up to now. Of
// calls it is only what the bill of a period needs.
func (cp *ControlPlane) eachSum(tx *storage.Tx, now time.Time, book *billing.Book, query billing.Query, fn func(api.Usage) error) error {
	if err := eachTimed(tx, now, fn); err != nil {
		return err
	}
	from, to := book.Needs(query.From, query.To)
	return cp.tally.each(tx, cp.callRules(), book.CallRule(), from, to, fn)
}

// eachTimed calls fn with all usage but that of calls.
func eachTimed(tx *storage.Tx, now time.Time, fn func(api.Usage) error) error {
	err := walkRuns(tx, now, "", func(_ place, u api.Usage) error { return fn(u) })
	if err != nil {
		return err
	}
	err = usageLog.Each(tx, 0, 0, func(e storage.Entry[api.Usage]) error { return fn(e.Value) })
	if err == nil {
		err = eachRequest(tx, "", func(_ place, u api.Usage) error { return fn(u) })
	}
	return err
}

// callRules are those of the books, and of the books of closed invoices that may be adjusted.
func (cp *ControlPlane) callRules() []billing.CallRule {
	return cp.books.callRules(cp.Books.CallRules())
}

// each counts the receipts that came since by all rules, and calls fn with the sums of one, of the hours that begin between two times.
func (t *tally) each(tx *storage.Tx, rules []billing.CallRule, rule billing.CallRule, from, to time.Time, fn func(api.Usage) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := ruleKeys(rules)
	if err := t.catchUp(tx, rules, keys); err != nil {
		return err
	}
	n := slices.Index(keys, rule.Key())
	if n < 0 {
		return api.Errorf(api.Internal, "cannot sum calls up by a rule that is none of the books': %s", rule.Key())
	}
	first, last := from.UnixMilli()/hourMs, to.UnixMilli()/hourMs
	for k, sums := range t.sums {
		if k.hour < first || k.hour > last {
			continue
		}
		hour := api.Receipt{RequestID: k.id, Project: k.project, Function: k.function, FunctionID: k.id, BilledAt: time.UnixMilli(k.hour * hourMs).UTC()}
		for _, u := range sums[n].Usage(hour) {
			if err := fn(u); err != nil {
				return err
			}
		}
	}
	return nil
}

func ruleKeys(rules []billing.CallRule) []string {
	keys := make([]string, len(rules))
	for i, r := range rules {
		keys[i] = r.Key()
	}
	return keys
}

// catchUp counts what is not counted yet.
func (t *tally) catchUp(tx *storage.Tx, rules []billing.CallRule, keys []string) error {
	if !t.begun {
		if err := t.begin(tx, keys); err != nil {
			return err
		}
		t.begun = true
	}
	return receiptLog.Each(tx, t.next, 0, func(e storage.Entry[receipt]) error {
		if err := t.add(e.Value, rules); err != nil {
			return err
		}
		t.next = e.Sequence + 1
		return nil
	})
}

// begin takes the stored roll-ups. Where they are under other rules than the books have now, or one of them does not decode, all
// receipts that are kept are counted again, as where there are none, and the past calls are as they were counted when their receipts went.
func (t *tally) begin(tx *storage.Tx, keys []string) error {
	if err := t.beginStored(tx, keys); err != nil {
		return err
	}
	whole := t.next > 0
	t.lost = map[tallyKey][]int64{}
	return pastTable.Each(tx, "", func(p pastCalls) error {
		k := tallyKey{p.Project, p.Function, p.ID, p.Hour}
		if t.sums[k] == nil {
			t.sums[k] = make([]billing.CallQuantity, len(keys))
		}
		for i, key := range keys {
			sum, counted := p.Sums[key]
			switch {
			case !counted:
				if t.lost[k] == nil {
					t.lost[k] = make([]int64, len(keys))
				}
				t.lost[k][i] += p.Calls
			case !whole:
				var err error
				if t.sums[k][i], err = t.sums[k][i].Plus(sum); err != nil {
					return err
				}
				t.fresh[k] = true
			}
		}
		return nil
	})
}

// beginStored takes the stored roll-ups where they are whole.
func (t *tally) beginStored(tx *storage.Tx, keys []string) error {
	upTo, err := rolledUpTo(tx)
	if err != nil {
		return err
	}
	if !slices.Equal(upTo.Rules, keys) {
		return nil
	}
	sums := map[tallyKey][]billing.CallQuantity{}
	err = rollupTable.Each(tx, "", func(r rollup) error {
		all := make([]billing.CallQuantity, len(keys))
		for i, key := range keys {
			all[i] = r.Sums[key]
		}
		sums[tallyKey{r.Project, r.Function, r.ID, r.Hour}] = all
		return nil
	})
	if err != nil {
		return err
	}
	if len(sums) == upTo.Count {
		t.sums, t.next = sums, upTo.Next
	}
	return nil
}

func (t *tally) add(r receipt, rules []billing.CallRule) error {
	k := tallyKey{r.Project, r.Function, r.FunctionID, r.BilledAt.UnixMilli() / hourMs}
	sums := t.sums[k]
	if sums == nil {
		sums = make([]billing.CallQuantity, len(rules))
	}
	for i, rule := range rules {
		q, err := rule.Of(r.public())
		if err != nil {
			return err
		}
		if sums[i], err = sums[i].Plus(q); err != nil {
			return err
		}
	}
	t.sums[k], t.fresh[k] = sums, true
	return nil
}

// rollUp stores the sums of all receipts there are, so that the next start reads them and not the receipts. Sums and how far they
// reach are one commit; nothing is locked while it is made, as a reader that waits would hold it up.
func (cp *ControlPlane) rollUp() error {
	var batch []rollup
	var upTo rolled
	err := cp.Store.View(func(tx *storage.Tx) (err error) {
		batch, upTo, err = cp.tally.unrolled(tx, cp.callRules())
		return err
	})
	if err != nil || len(batch) == 0 {
		return err
	}
	raw, err := json.Marshal(upTo)
	if err != nil {
		return err
	}
	err = cp.Store.Update(func(tx *storage.Tx) error {
		for _, r := range batch {
			if err := rollupTable.Put(tx, r); err != nil {
				return err
			}
		}
		return settingTable.Put(tx, setting{Key: rolledKey, Value: raw})
	})
	if err == nil {
		cp.tally.stored(batch, upTo.Rules)
	}
	return err
}

// unrolled is what to store, and how far that reaches.
func (t *tally) unrolled(tx *storage.Tx, rules []billing.CallRule) ([]rollup, rolled, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := ruleKeys(rules)
	if err := t.catchUp(tx, rules, keys); err != nil {
		return nil, rolled{}, err
	}
	var batch []rollup
	for k := range t.fresh {
		r := rollup{Project: k.project, Function: k.function, ID: k.id, Hour: k.hour, Sums: map[string]billing.CallQuantity{}}
		for i, key := range keys {
			r.Sums[key] = t.sums[k][i]
		}
		batch = append(batch, r)
	}
	return batch, rolled{Next: t.next, Rules: keys, Count: len(t.sums)}, nil
}

// stored notes what is rolled up as it is now.
func (t *tally) stored(batch []rollup, keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range batch {
		k := tallyKey{r.Project, r.Function, r.ID, r.Hour}
		if t.sums[k][0] == r.Sums[keys[0]] { // each call raises the requests
			delete(t.fresh, k)
		}
	}
}
