package controlplane

import (
	"context"
	"slices"
	"sync"
	"time"

	"nuage/storage"
)

// eventHub runs what happens by itself with events: asynchronous calls, batches of queues, and the removal of what is too old.
type eventHub struct {
	cp       *ControlPlane
	arrived  *broadcast    // something was stored that may be taken
	recorded *broadcast    // an activity was recorded, or a trigger changed
	stopped  chan struct{} // closed: nothing new is taken
	once     sync.Once
	calls    sync.WaitGroup // functions that run on behalf of the hub

	mu      sync.Mutex
	claimed map[string]bool // keys of messages that somebody is about to take
}

func newEventHub(cp *ControlPlane) *eventHub {
	return &eventHub{cp: cp, arrived: newBroadcast(), recorded: newBroadcast(), stopped: make(chan struct{}), claimed: map[string]bool{}}
}

// run works until ctx ends. Calls under way go on: wait waits for them.
func (h *eventHub) run(ctx context.Context) {
	var parts sync.WaitGroup
	for _, part := range []func(context.Context){newAsyncRunner(h).run, newBatchRunner(h).run, h.schedules, h.lifecycle, h.sweep} {
		parts.Go(func() { part(ctx) })
	}
	select {
	case <-ctx.Done():
	case <-h.stopped:
	}
	h.stop()
	parts.Wait()
}

// stop lets nothing new begin.
func (h *eventHub) stop() { h.once.Do(func() { close(h.stopped) }) }

func (h *eventHub) isStopped() bool {
	select {
	case <-h.stopped:
		return true
	default:
		return false
	}
}

// wait returns when the calls under way have ended.
func (h *eventHub) wait() { h.calls.Wait() }

func (h *eventHub) wake() { h.arrived.notify() }

// committed wakes those who wait where a commit may concern them.
func (h *eventHub) committed(c storage.Change) {
	if slices.ContainsFunc(c.Tables, eventful) {
		h.wake()
	}
	if slices.Contains(c.Logs, activityLog.Name()) || slices.Contains(c.Tables, triggerTable.Name()) {
		h.recorded.notify()
	}
}

// eventful tells that a change of a table may let an event go on.
func eventful(table string) bool {
	switch table {
	case messageTable.Name(), asyncTable.Name(), triggerTable.Name(), functionTable.Name(), queueTable.Name():
		return true
	}
	return false
}

// passing tells that a table changes with each event, and that nothing is planned by it.
func passing(table string) bool {
	switch table {
	case messageTable.Name(), queueStateTable.Name(), asyncTable.Name(), asyncStateTable.Name(), requestTable.Name(), tickTable.Name():
		return true
	}
	return false
}

func (h *eventHub) unclaim(keys []string) {
	h.mu.Lock()
	for _, key := range keys {
		delete(h.claimed, key)
	}
	h.mu.Unlock()
	if len(keys) > 0 {
		h.wake() // what was not taken after all is free again
	}
}

// pause waits for something to happen, or until a time; the zero time is no time. false: the hub stops.
func (h *eventHub) pause(ctx context.Context, happened <-chan struct{}, until time.Time) bool {
	var due <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(until.Sub(h.cp.Now()))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-happened:
	case <-due:
	case <-ctx.Done():
		return false
	case <-h.stopped:
		return false
	}
	return !h.isStopped()
}

// sweep removes now and then what is too old.
func (h *eventHub) sweep(ctx context.Context) {
	for {
		if err := h.cp.sweepQueues(); err != nil {
			h.cp.log.Error("queues not swept", "error", err)
		}
		if !h.pause(ctx, nil, h.cp.Now().Add(sweepEvery)) {
			return
		}
	}
}

// settling goes with the context of a call that the hub makes: what becomes of its event is in the commit of its receipt.
type settling struct {
	attempt int // of an asynchronous call; 0: none
	ended   func(tx *storage.Tx, r callEnd) error
	after   func() // once it is durable
}

type settlingKey struct{}

func withSettling(ctx context.Context, s settling) context.Context {
	return context.WithValue(ctx, settlingKey{}, s)
}

func settlingOf(ctx context.Context) settling {
	s, _ := ctx.Value(settlingKey{}).(settling)
	return s
}
