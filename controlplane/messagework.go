package controlplane

import (
	"context"
	"errors"
	"time"

	"nuage/api"
	"nuage/controlplane/events"
	"nuage/storage"
)

const (
	purgeStep  = 1000             // messages removed in one commit
	sweepEvery = 30 * time.Second // how late a message that is too old may go
)

// receiving says which messages somebody wants, and for how long nobody else gets them.
type receiving struct {
	most    int
	bytes   int // of the batch's event
	hide    time.Duration
	metered bool // it is a request of a customer
}

// receive takes messages of a queue in one commit. Those too old go, those received too often go to the dead-letter queue.
// Two receivers never compete for the same messages: each claims what it looks at.
func (cp *ControlPlane) receive(ctx context.Context, q api.Queue, r receiving) ([]message, error) {
	keys, release, err := cp.claimMessages(q.ID, r)
	defer release()
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	var got []message
	var dead int
	err = cp.Store.Commit(context.WithoutCancel(ctx), func(tx *storage.Tx) (err error) {
		got, dead, err = cp.takeMessages(tx, q.ID, keys, r.hide)
		if err == nil && r.metered && len(got) > 0 {
			err = cp.meterRequest(tx, queueRequests, &q.Meta, total(got))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	cp.eventMetrics.received(&q.Meta, len(got), dead)
	return got, nil
}

func total(all []message) (n int64) {
	for _, m := range all {
		n += m.size()
	}
	return n
}

// claimMessages finds messages that can be received and that nobody else is about to take.
func (cp *ControlPlane) claimMessages(queue string, r receiving) (keys []string, release func(), err error) {
	cp.events.mu.Lock()
	defer cp.events.mu.Unlock()
	now, size := cp.Now(), 0
	err = cp.Store.View(func(tx *storage.Tx) error {
		return messageTable.EachBy(tx, "visible", queue+"/", func(m message) error {
			if m.VisibleAt.After(now) || len(keys) == r.most {
				return storage.Stop
			}
			if size += events.BatchSize(m.public()); size > r.bytes && len(keys) > 0 {
				return storage.Stop
			}
			if key := m.key(); !cp.events.claimed[key] {
				keys = append(keys, key)
			}
			return nil
		})
	})
	for _, key := range keys {
		cp.events.claimed[key] = true
	}
	return keys, func() { cp.events.unclaim(keys) }, err
}

// takeMessages hides the messages of these keys, if they can still be received, and counts the receive.
func (cp *ControlPlane) takeMessages(tx *storage.Tx, queue string, keys []string, hide time.Duration) (got []message, dead int, err error) {
	q, err := queueTable.Get(tx, queue)
	if err != nil {
		return nil, 0, ignoreGone(err) // deleted a moment ago
	}
	now := cp.Now().UTC()
	retention := time.Duration(q.Spec.RetentionSeconds) * time.Second
	for _, key := range keys {
		m, err := messageTable.Get(tx, key)
		switch {
		case errors.Is(err, api.NotFound) || err == nil && m.VisibleAt.After(now):
			continue
		case err != nil:
			return nil, 0, err
		case !now.Before(m.ArrivedAt.Add(retention)):
			err = dequeue(tx, m)
		case q.Spec.DeadLetter != "" && m.Receives >= q.Spec.MaxReceives:
			dead++
			err = cp.giveUpMessage(tx, q, m, now)
		default:
			m = received(m, now, hide, cp.NewID("rh"))
			got = append(got, m)
			err = messageTable.Put(tx, m)
		}
		if err != nil {
			return nil, 0, err
		}
	}
	return got, dead, nil
}

func received(m message, now time.Time, hide time.Duration, id string) message {
	m.Receives++
	if m.FirstAt == nil {
		m.FirstAt = &now
	}
	m.VisibleAt, m.Handle = now.Add(hide), pad(m.Number)+"-"+lastHex(id)
	return m
}

// giveUpMessage moves a message that was received too often to the dead-letter queue.
func (cp *ControlPlane) giveUpMessage(tx *storage.Tx, q api.Queue, m message, now time.Time) error {
	dead, err := cp.queues().find(tx, q.Project, q.Spec.DeadLetter)
	if err != nil {
		return err
	}
	if err := dequeue(tx, m); err != nil {
		return err
	}
	m.FromID, m.From, m.VisibleAt = q.ID, q.Name, now
	_, err = enqueue(tx, &dead, m, now)
	return err
}

// waitForMessage waits until a queue may have a message to receive. false: the deadline has passed, or nobody waits any more.
func (cp *ControlPlane) waitForMessage(ctx context.Context, queue string, arrived <-chan struct{}, deadline time.Time) bool {
	now := cp.Now()
	if !now.Before(deadline) {
		return false
	}
	wake := deadline
	if next, ok := cp.nextVisible(queue, now); ok && next.Before(wake) {
		wake = next
	}
	timer := time.NewTimer(wake.Sub(now))
	defer timer.Stop()
	select {
	case <-arrived:
	case <-timer.C:
	case <-ctx.Done():
	case <-cp.events.stopped:
	}
	return ctx.Err() == nil && !cp.events.isStopped()
}

// nextVisible is when the next message of a queue that is hidden now can be received.
func (cp *ControlPlane) nextVisible(queue string, now time.Time) (at time.Time, ok bool) {
	err := cp.Store.View(func(tx *storage.Tx) error {
		next, err := messageTable.ListBy(tx, "visible", storage.Query{Prefix: queue + "/", After: storage.TimeKey(now) + "\xff", Limit: 1})
		if err == nil && len(next.Items) > 0 {
			at, ok = next.Items[0].VisibleAt, true
		}
		return err
	})
	return at, ok && err == nil
}

func (v messages) Purge(ctx context.Context, project, queue string) (int, error) {
	actor, err := v.cp.authorize(ctx, project)
	if err != nil {
		return 0, err
	}
	q, err := v.queue(ctx, project, queue)
	if err != nil {
		return 0, err
	}
	limit := 0 // what comes from now on stays
	err = v.cp.Store.Update(func(tx *storage.Tx) error {
		state, err := queueStateTable.Get(tx, q.ID)
		if err != nil {
			return err
		}
		limit = state.Next
		return errors.Join(v.cp.record(tx, actor, "queue", &q.Meta, "purge", plural(state.Messages, "message")), v.cp.meterRequest(tx, queueRequests, &q.Meta, 0))
	})
	if err != nil {
		return 0, err
	}
	removed, err := v.cp.dropMessages(q.ID, func(m message) bool { return m.Number < limit })
	v.cp.eventMetrics.deleted(&q.Meta, removed)
	return removed, err
}

// dropMessages removes the messages at the head of a queue as long as one is to go, some at a time.
func (cp *ControlPlane) dropMessages(queue string, goes func(message) bool) (removed int, err error) {
	for {
		keys, err := cp.headOf(queue, goes)
		if err != nil || len(keys) == 0 {
			return removed, err
		}
		n := 0
		err = cp.Store.Commit(context.Background(), func(tx *storage.Tx) error {
			n = 0
			return eachMessage(tx, keys, func(m message) error { n++; return dequeue(tx, m) })
		})
		if err != nil {
			return removed, err
		}
		removed += n
	}
}

// headOf are the keys of the oldest messages of a queue as long as they fulfil a condition.
func (cp *ControlPlane) headOf(queue string, goes func(message) bool) (keys []string, err error) {
	err = cp.Store.View(func(tx *storage.Tx) error {
		return messageTable.Each(tx, queue+"/", func(m message) error {
			if !goes(m) || len(keys) == purgeStep {
				return storage.Stop
			}
			keys = append(keys, m.key())
			return nil
		})
	})
	return keys, err
}

// eachMessage visits those of the messages that are still there.
func eachMessage(tx *storage.Tx, keys []string, fn func(message) error) error {
	for _, key := range keys {
		m, err := messageTable.Get(tx, key)
		if errors.Is(err, api.NotFound) {
			continue
		}
		if err == nil {
			err = fn(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (v messages) Redrive(ctx context.Context, project, queue string) (int, error) {
	actor, err := v.cp.authorize(ctx, project)
	if err != nil {
		return 0, err
	}
	q, err := v.queue(ctx, project, queue)
	if err != nil {
		return 0, err
	}
	moved, after := 0, ""
	for {
		keys, err := v.deadLetters(q.ID, &after)
		if err != nil || len(keys) == 0 {
			return moved, err
		}
		n := 0
		err = v.cp.Store.Commit(ctx, func(tx *storage.Tx) (err error) {
			n, err = v.cp.moveBack(tx, keys)
			if err != nil || moved > 0 {
				return err
			}
			return errors.Join(v.cp.record(tx, actor, "queue", &q.Meta, "redrive", "its messages go back to where they came from"), v.cp.meterRequest(tx, queueRequests, &q.Meta, 0))
		})
		if err != nil {
			return moved, err
		}
		moved += n
	}
}

const redriveStep = 100

// deadLetters are the keys of the next messages of a queue that came from another one and that nobody has received just now.
func (v messages) deadLetters(queue string, after *string) (keys []string, err error) {
	now := v.cp.Now()
	err = v.cp.Store.View(func(tx *storage.Tx) error {
		for len(keys) == 0 {
			page, err := messageTable.List(tx, storage.Query{Prefix: queue + "/", After: *after, Limit: redriveStep})
			if err != nil {
				return err
			}
			for _, m := range page.Items {
				if m.FromID != "" && !m.VisibleAt.After(now) && queueTable.Has(tx, m.FromID) {
					keys = append(keys, m.key())
				}
				*after = pad(m.Number)
			}
			if page.Next == "" {
				return nil
			}
		}
		return nil
	})
	return keys, err
}

// moveBack returns messages to the queues they are dead letters of. Exhausted: one is full.
func (cp *ControlPlane) moveBack(tx *storage.Tx, keys []string) (n int, err error) {
	now := cp.Now().UTC()
	err = eachMessage(tx, keys, func(m message) error {
		to, err := queueTable.Get(tx, m.FromID)
		if err != nil {
			return ignoreGone(err)
		}
		back := m
		back.From, back.FromID, back.VisibleAt = "", "", now
		if _, err := enqueue(tx, &to, back, now); err != nil {
			return err
		}
		n++
		return dequeue(tx, m)
	})
	return n, err
}

// sweepQueues removes messages that are too old, and what is left of queues that were deleted.
func (cp *ControlPlane) sweepQueues() error {
	states, queues := []queueState{}, map[string]api.Queue{}
	err := cp.Store.View(func(tx *storage.Tx) error {
		return errors.Join(all(tx, queueStateTable, &states), index(tx, queueTable, queues, func(q api.Queue) string { return q.ID }))
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range states {
		if q, there := queues[s.ID]; there {
			errs = append(errs, cp.dropOld(q))
		} else if cp.isGone(s.ID) {
			errs = append(errs, cp.dropRest(s.ID))
		}
	}
	return errors.Join(errs...)
}

// isGone tells that a queue was deleted, and is not just one that can't be read.
func (cp *ControlPlane) isGone(queue string) bool {
	gone := false
	err := cp.Store.View(func(tx *storage.Tx) error { gone = !queueTable.Has(tx, queue); return nil })
	return gone && err == nil
}

func (cp *ControlPlane) dropOld(q api.Queue) error {
	limit := cp.Now().Add(-time.Duration(q.Spec.RetentionSeconds) * time.Second)
	n, err := cp.dropMessages(q.ID, func(m message) bool { return !m.ArrivedAt.After(limit) })
	cp.eventMetrics.expired(&q.Meta, n)
	return err
}

// dropRest removes the messages of a deleted queue, then its state.
func (cp *ControlPlane) dropRest(queue string) error {
	if _, err := cp.dropMessages(queue, func(message) bool { return true }); err != nil {
		return err
	}
	return cp.Store.Update(func(tx *storage.Tx) error { return erase(tx, queueStateTable, queue) })
}
