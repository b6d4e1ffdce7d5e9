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
	sums map[tallyKey]*tallySum
}

type tallyKey struct {
	project, function, id string
	hour                  int64 // since 1970
}

type tallySum struct{ requests, mbms int64 }

func newTally() *tally { return &tally{sums: map[tallyKey]*tallySum{}} }

const hourMs = int64(time.Hour / time.Millisecond)

// wholeHours tells that a period begins and ends on the hour, so that sums by hour lie within it or outside.
func wholeHours(from, to time.Time) bool {
	return from.UnixMilli()%hourMs == 0 && to.UnixMilli()%hourMs == 0
}

// eachSum is eachUsage with the calls of a function in an hour as one.
func (cp *ControlPlane) eachSum(tx *storage.Tx, fn func(api.Usage) error) error {
	err := cp.walkRuns(tx, "", func(_ place, u api.Usage) error { return fn(u) })
	if err != nil {
		return err
	}
	err = usageLog.Each(tx, 0, 0, func(e storage.Entry[api.Usage]) error { return fn(e.Value) })
	if err != nil {
		return err
	}
	return cp.tally.each(tx, fn)
}

// each counts the receipts that came since and calls fn with all sums.
func (t *tally) each(tx *storage.Tx, fn func(api.Usage) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := receiptLog.Each(tx, t.next, 0, func(e storage.Entry[receipt]) error {
		t.next = e.Sequence + 1
		return t.add(e.Value)
	})
	if err != nil {
		return err
	}
	for k, s := range t.sums {
		at := time.UnixMilli(k.hour * hourMs).UTC()
		u := api.Usage{Project: k.project, Service: "functions", Resource: k.function, ResourceID: k.id, Start: at, End: at}
		u.ID, u.Meter, u.Quantity = k.id+"/requests", billing.FunctionRequests, s.requests
		if err := fn(u); err != nil {
			return err
		}
		u.ID, u.Meter, u.Quantity = k.id+"/gb-seconds", billing.FunctionGBSeconds, s.mbms
		if err := fn(u); err != nil {
			return err
		}
	}
	return nil
}

func (t *tally) add(r receipt) error {
	mbms, err := billing.MBMillis(r.MemoryMB, r.BilledMs)
	if err != nil {
		return err
	}
	k := tallyKey{r.Project, r.Function, r.FunctionID, r.BilledAt.UnixMilli() / hourMs}
	s := t.sums[k]
	if s == nil {
		s = &tallySum{}
		t.sums[k] = s
	}
	s.requests++
	s.mbms += mbms
	return nil
}
