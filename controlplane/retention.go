package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// pastCalls is what the calls of a function in an hour used whose receipts are gone, by the key of each rule that there was then. It is
// written in the commit in which they go.
type pastCalls struct {
	Project  string                          `json:"p"`
	Function string                          `json:"n"`
	ID       string                          `json:"f"`
	Hour     int64                           `json:"h"` // since 1970, billing time
	Rules    string                          `json:"r"` // names the set of rules
	Calls    int64                           `json:"c"`
	Sums     map[string]billing.CallQuantity `json:"s"`
}

func (p pastCalls) key() string {
	return rollup{Project: p.Project, Function: p.Function, ID: p.ID, Hour: p.Hour}.key() + "/" + p.Rules
}

var pastTable = storage.NewTable("past-calls", func(p *pastCalls) string { return p.key() })

const (
	retentionKey = "receipt-days"
	defaultDays  = 400
	maxDays      = 36_500
	tidiedAtOnce = 2000 // receipts in a commit, which holds others up
)

// receiptDays is how long receipts are kept; 0: for ever.
func receiptDays(tx *storage.Tx) (days int64, err error) {
	s, err := settingTable.Get(tx, retentionKey)
	if errors.Is(err, api.NotFound) {
		return defaultDays, nil
	}
	if err == nil {
		err = json.Unmarshal(s.Value, &days)
	}
	return days, err
}

// tidyReceipts lets receipts go that are older than is kept, oldest first, until one is not. What they used is in the tally, and in the
// commit in which they go it is added to the past calls: so no total changes, wherever this is cut off.
func (cp *ControlPlane) tidyReceipts() error {
	for {
		n := 0
		err := cp.Store.Update(func(tx *storage.Tx) (err error) {
			n, err = cp.letReceiptsGo(tx)
			return err
		})
		if err != nil || n < tidiedAtOnce {
			return err
		}
	}
}

// letReceiptsGo is one commit of tidyReceipts, and how many went.
func (cp *ControlPlane) letReceiptsGo(tx *storage.Tx) (int, error) {
	days, err := receiptDays(tx)
	if err != nil || days == 0 {
		return 0, err
	}
	upTo, err := rolledUpTo(tx)
	if err != nil || upTo.Next == 0 {
		return 0, err
	}
	before := cp.billingNow().Add(-time.Duration(days) * 24 * time.Hour)
	gone, rules, last := map[string]pastCalls{}, cp.callRules(), uint64(0)
	n := 0
	err = receiptLog.Each(tx, 0, upTo.Next, func(e storage.Entry[receipt]) error {
		if n == tidiedAtOnce || !e.Value.BilledAt.Before(before) {
			return storage.Stop
		}
		n, last = n+1, e.Sequence
		return addPast(tx, gone, e.Value, rules)
	})
	if err != nil || n == 0 {
		return 0, err
	}
	for _, p := range gone {
		if err := pastTable.Put(tx, p); err != nil {
			return 0, err
		}
	}
	return receiptLog.Trim(tx, last+1, n)
}

// addPast counts a receipt that goes.
func addPast(tx *storage.Tx, gone map[string]pastCalls, r receipt, rules []billing.CallRule) error {
	p := pastCalls{Project: r.Project, Function: r.Function, ID: r.FunctionID, Hour: r.BilledAt.UnixMilli() / hourMs, Rules: rulesName(rules)}
	key := p.key()
	if have, ok := gone[key]; ok {
		p = have
	} else if stored, err := pastTable.Get(tx, key); err == nil {
		p = stored
	} else if !errors.Is(err, api.NotFound) {
		return err
	} else {
		p.Sums = make(map[string]billing.CallQuantity, len(rules))
	}
	for _, rule := range rules {
		q, err := rule.Of(r.public())
		if err == nil {
			p.Sums[rule.Key()], err = p.Sums[rule.Key()].Plus(q)
		}
		if err != nil {
			return err
		}
	}
	p.Calls++
	gone[key] = p
	return nil
}

// rulesName names a set of rules.
func rulesName(rules []billing.CallRule) string {
	sum := sha256.Sum256([]byte(strings.Join(ruleKeys(rules), "\n")))
	return hex.EncodeToString(sum[:4])
}

// rolledUpTo is how far roll-ups reach; the zero value: there are none.
func rolledUpTo(tx *storage.Tx) (upTo rolled, err error) {
	stored, err := settingTable.Get(tx, rolledKey)
	if errors.Is(err, api.NotFound) {
		return upTo, nil
	}
	if err == nil {
		err = json.Unmarshal(stored.Value, &upTo)
	}
	if err != nil {
		return upTo, api.Errorf(api.Internal, "cannot read up to where calls are rolled up: %w", err)
	}
	return upTo, nil
}

// eachPast calls fn with the past calls of each function and hour, as a rule counts them, behind a place. What was never counted by it is left out.
func eachPast(tx *storage.Tx, rule billing.CallRule, after place, fn func(place, api.Usage) error) error {
	return pastTable.Each(tx, "", func(p pastCalls) error {
		sum, counted := p.Sums[rule.Key()]
		if p.key() < after.key || !counted {
			return nil
		}
		hour := api.Receipt{RequestID: p.key(), Project: p.Project, Function: p.Function, FunctionID: p.ID, BilledAt: time.UnixMilli(p.Hour * hourMs).UTC()}
		for half, u := range sum.Usage(hour) {
			if p.key() == after.key && half <= after.half {
				continue
			}
			if err := fn(place{section: inPast, key: p.key(), half: half}, u); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachHour calls fn with each hour in which there were calls.
func (t *tally) eachHour(tx *storage.Tx, rules []billing.CallRule, fn func(time.Time)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.catchUp(tx, rules, ruleKeys(rules)); err != nil {
		return err
	}
	for k := range t.sums {
		fn(time.UnixMilli(k.hour * hourMs).UTC())
	}
	return nil
}

// unreached is how many calls of a period a rule can't count any more.
func (t *tally) unreached(rules []billing.CallRule, rule billing.CallRule, q billing.Query) (calls int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := slices.Index(ruleKeys(rules), rule.Key())
	for k, lost := range t.lost {
		at := time.UnixMilli(k.hour * hourMs)
		if n >= 0 && n < len(lost) && (q.Project == "" || q.Project == k.project) && !at.Before(q.From) && at.Before(q.To) {
			calls += lost[n]
		}
	}
	return calls
}

func (l ledger) Retention(ctx context.Context) (out api.Retention, err error) {
	if _, err := l.cp.wholeCloud(ctx, "see what there is of receipts"); err != nil {
		return out, err
	}
	err = l.cp.Store.View(func(tx *storage.Tx) error {
		if out.Days, err = receiptDays(tx); err != nil {
			return err
		}
		err := receiptLog.Each(tx, 0, 0, func(e storage.Entry[receipt]) error {
			at := e.Value.BilledAt.UTC()
			out.Oldest, out.Receipts = &at, int64(receiptLog.End(tx)-e.Sequence)
			return storage.Stop
		})
		return errors.Join(err, pastTable.Each(tx, "", func(p pastCalls) error { out.RolledUp += p.Calls; return nil }))
	})
	return out, err
}

func (l ledger) SetRetention(ctx context.Context, r api.Retention) (api.Retention, error) {
	actor, err := l.cp.wholeCloud(ctx, "say how long receipts are kept")
	if err != nil {
		return api.Retention{}, err
	}
	if r.Days < 0 || r.Days > maxDays {
		return api.Retention{}, api.Errorf(api.Invalid, "cannot keep receipts for %d days: 1 to %d are possible, and 0 for ever", r.Days, maxDays)
	}
	detail := plural(r.Days, "day")
	if r.Days == 0 {
		detail = "for ever"
	}
	raw, err := json.Marshal(r.Days)
	if err != nil {
		return api.Retention{}, err
	}
	err = l.cp.Store.Update(func(tx *storage.Tx) error {
		if now, err := receiptDays(tx); err != nil || now == r.Days {
			return err
		}
		if err := settingTable.Put(tx, setting{Key: retentionKey, Value: raw}); err != nil {
			return err
		}
		return l.cp.record(tx, actor, "receipts", &api.Meta{Name: "retention"}, "keep", detail)
	})
	if err == nil { // at once, and not when housekeeping comes by
		err = errors.Join(l.cp.rollUp(), l.cp.tidyReceipts())
	}
	if err != nil {
		return api.Retention{}, err
	}
	return l.Retention(ctx)
}
