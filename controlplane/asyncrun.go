package controlplane

import (
	"context"
	"errors"
	"sync"
	"time"

	"nuage/api"
	"nuage/controlplane/events"
	"nuage/functions"
	"nuage/storage"
)

// callsAhead is how many asynchronous calls of one function are under way at most.
const callsAhead = 32

// asyncRunner calls functions with the events that wait for them. It alone takes events.
type asyncRunner struct {
	*eventHub
	mu       sync.Mutex
	inFlight map[string]int  // by function
	narrow   map[string]bool // functions that had no room: one call at a time until one goes through
}

func newAsyncRunner(h *eventHub) *asyncRunner {
	return &asyncRunner{eventHub: h, inFlight: map[string]int{}, narrow: map[string]bool{}}
}

func (a *asyncRunner) run(ctx context.Context) {
	for !a.try(ctx, "events that a killed process left", a.recover) {
		if a.isStopped() {
			return
		}
	}
	for {
		happened := a.arrived.next()
		var next time.Time
		ok := a.try(ctx, "asynchronous calls", func() (err error) {
			next, err = a.cycle()
			return err
		})
		if !ok {
			next = time.Time{} // try has waited
			happened = closedChannel()
		}
		if !a.pause(ctx, happened, next) {
			return
		}
	}
}

func closedChannel() <-chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}

// try does something and waits a second where it fails.
func (h *eventHub) try(ctx context.Context, what string, do func() error) bool {
	err := do()
	if err == nil {
		return true
	}
	h.cp.log.Error("not done; it is tried again", "what", what, "error", err)
	h.pause(ctx, nil, h.cp.Now().Add(time.Second))
	return false
}

// recover lets the events wait again that were running when the last process ended.
func (a *asyncRunner) recover() error {
	var left []string
	err := a.cp.Store.View(func(tx *storage.Tx) error {
		return asyncTable.Each(tx, "", func(e asyncEvent) error {
			if e.Running {
				left = append(left, e.ID)
			}
			return nil
		})
	})
	if err != nil || len(left) == 0 {
		return err
	}
	return a.cp.Store.Update(func(tx *storage.Tx) error {
		for _, id := range left {
			e, err := asyncTable.Get(tx, id)
			if err != nil {
				return err
			}
			e.Running = false
			if err := asyncTable.Put(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// cycle takes what is due and can be called, and says when the next is due; the zero time where that is not known.
func (a *asyncRunner) cycle() (next time.Time, err error) {
	picked, next, err := a.pick()
	if err != nil || len(picked) == 0 {
		return next, err
	}
	var taken []asyncEvent
	var ends []asyncOutcome
	err = a.cp.Store.Commit(context.Background(), func(tx *storage.Tx) error {
		taken, ends = nil, nil
		for _, id := range picked {
			e, end, err := a.take(tx, id)
			if err != nil {
				return err
			}
			if e.Running {
				taken = append(taken, e)
			}
			ends = append(ends, end)
		}
		return nil
	})
	if err != nil {
		return next, err
	}
	for _, end := range ends {
		a.cp.eventMetrics.ended(end)
	}
	for _, e := range taken {
		a.begin(e)
	}
	return next, nil
}

// pick finds events that are due, as many of each function as may be called now.
func (a *asyncRunner) pick() (picked []string, next time.Time, err error) {
	now := a.cp.Now()
	err = a.cp.Store.View(func(tx *storage.Tx) error {
		return asyncStateTable.Each(tx, "", func(s asyncState) error {
			room := a.room(s.ID)
			return asyncTable.EachBy(tx, "due", s.ID+"/", func(e asyncEvent) error {
				switch {
				case room == 0:
					return storage.Stop
				case e.NextAt.After(now):
					if next.IsZero() || e.NextAt.Before(next) {
						next = e.NextAt
					}
					return storage.Stop
				}
				room--
				picked = append(picked, e.ID)
				return nil
			})
		})
	})
	return picked, next, err
}

// room is how many more calls of a function may begin.
func (a *asyncRunner) room(function string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	most := callsAhead
	if a.narrow[function] {
		most = 1
	}
	return max(0, most-a.inFlight[function])
}

// take marks an event as running, or ends it where it is too old, its function is gone or was killed twice in it.
func (a *asyncRunner) take(tx *storage.Tx, id string) (asyncEvent, asyncOutcome, error) {
	e, err := asyncTable.Get(tx, id)
	if err != nil || e.Running {
		return asyncEvent{}, asyncOutcome{}, ignoreGone(err)
	}
	f, err := functionTable.Get(tx, e.Function)
	if errors.Is(err, api.NotFound) {
		return asyncEvent{}, asyncOutcome{}, dropEvent(tx, e)
	}
	if err != nil {
		return asyncEvent{}, asyncOutcome{}, err
	}
	var end asyncOutcome
	switch {
	case a.cp.Now().Sub(e.AcceptedAt) >= maxAge(f.Spec.Async):
		end, err = a.cp.finishEvent(tx, f, e, events.Result{Condition: events.EventAgeExceeded})
	case e.Begun >= mostBegun:
		end, err = a.cp.attemptEnded(tx, f, e, events.Result{Failed: true})
	default:
		e.Running = true
		e.Begun++
		return e, asyncOutcome{}, asyncTable.Put(tx, e)
	}
	return asyncEvent{}, end, err
}

// begin calls the function beside everything else.
func (a *asyncRunner) begin(e asyncEvent) {
	a.mu.Lock()
	a.inFlight[e.Function]++
	a.mu.Unlock()
	a.calls.Go(func() {
		err := a.call(e)
		a.mu.Lock()
		if a.inFlight[e.Function]--; a.inFlight[e.Function] == 0 {
			delete(a.inFlight, e.Function)
		}
		if delete(a.narrow, e.Function); err != nil {
			a.narrow[e.Function] = true
		}
		a.mu.Unlock()
		a.wake()
	})
}

// call runs an event once. What it comes to is in the commit of the receipt; without a receipt the event waits again.
func (a *asyncRunner) call(e asyncEvent) error {
	f, err := a.cp.functionByID(e.Function)
	if err == nil {
		a.cp.eventMetrics.begun(&f.Meta, a.cp.Now().Sub(e.AcceptedAt))
		var end asyncOutcome
		ctx := withSettling(context.Background(), settling{attempt: e.Attempts + 1,
			ended: func(tx *storage.Tx, r callEnd) (err error) {
				end, err = a.cp.eventEnded(tx, e.ID, r)
				return err
			},
			after: func() { a.cp.eventMetrics.ended(end) }})
		_, err = a.cp.callQualified(ctx, f, e.Qualifier, functions.Call{Payload: e.Payload, ContentType: e.ContentType, RequestID: e.ID})
	}
	if err != nil {
		for !a.try(context.Background(), "an asynchronous call waits again", func() error { return a.putBack(e, err) }) {
			if a.isStopped() {
				break // the next start finds it
			}
		}
	}
	return err
}

// putBack lets an event wait that was not run: for room, or for what the function needs.
func (a *asyncRunner) putBack(e asyncEvent, cause error) error {
	var end asyncOutcome
	err := a.cp.Store.Commit(context.Background(), func(tx *storage.Tx) error {
		now, err := asyncTable.Get(tx, e.ID)
		if err != nil {
			return ignoreGone(err)
		}
		f, err := functionTable.Get(tx, e.Function)
		if errors.Is(err, api.NotFound) {
			return dropEvent(tx, now)
		}
		if err != nil {
			return err
		}
		if errors.Is(cause, api.Invalid) {
			end, err = a.cp.finishEvent(tx, f, now, events.Result{Condition: events.InvocationRefused})
			return err
		}
		now.Running = false
		now.Throttled++
		if now.NextAt = a.cp.Now().UTC().Add(throttleDelay(now.Throttled)); !a.isStopped() {
			now.Begun-- // it did not run; where the cloud stops, it may have
		}
		return asyncTable.Put(tx, now)
	})
	if err == nil {
		a.cp.eventMetrics.ended(end)
	}
	return err
}
