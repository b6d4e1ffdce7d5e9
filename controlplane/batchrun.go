package controlplane

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"nuage/api"
	"nuage/controlplane/events"
	"nuage/functions"
	"nuage/storage"
)

// Bounds of a batch's event: what a call takes, less room for its frame.
const mostBatchBytes = api.MaxPayloadBytes - 64<<10

// batchRunner hands the messages of queues to functions: one poller for each trigger of a queue.
type batchRunner struct {
	*eventHub
	pollers map[string]*poller // by trigger's id; of run alone
	work    sync.WaitGroup
}

func newBatchRunner(h *eventHub) *batchRunner {
	return &batchRunner{eventHub: h, pollers: map[string]*poller{}}
}

// run keeps a poller for each trigger, as it is now.
func (b *batchRunner) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer b.work.Wait()
	defer cancel()
	for {
		happened := b.arrived.next()
		if b.try(ctx, "triggers of queues", func() error { return b.sync(ctx) }) && !b.pause(ctx, happened, time.Time{}) || b.isStopped() {
			return
		}
	}
}

func (b *batchRunner) sync(ctx context.Context) error {
	wanted := map[string]api.Trigger{}
	err := b.cp.Store.View(func(tx *storage.Tx) error {
		return triggerTable.Each(tx, "", func(t api.Trigger) error {
			if t.Spec.Queue != "" {
				wanted[t.ID] = t
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for id, p := range b.pollers {
		if t, stays := wanted[id]; !stays || !same(t.Spec, p.trigger.Spec) {
			p.cancel()
			delete(b.pollers, id)
		}
	}
	for id, t := range wanted {
		if b.pollers[id] == nil {
			p := &poller{eventHub: b.eventHub, trigger: t}
			var own context.Context
			own, p.cancel = context.WithCancel(ctx)
			b.pollers[id] = p
			b.work.Go(func() { p.run(own) })
		}
	}
	return nil
}

// poller serves one trigger.
type poller struct {
	*eventHub
	trigger api.Trigger
	cancel  context.CancelFunc

	mu    sync.Mutex
	tight int // how often in a row the function had no room
}

// run takes batches for as many calls at once as the trigger may make.
func (p *poller) run(ctx context.Context) {
	slots := make(chan struct{}, p.trigger.Spec.Concurrency)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		q, batch := p.next(ctx)
		if len(batch) == 0 {
			return
		}
		p.calls.Go(func() {
			defer func() { <-slots }()
			p.handle(q, batch)
		})
	}
}

// next waits for a batch: full, or as old as the window. None: the poller is to end.
func (p *poller) next(ctx context.Context) (q api.Queue, batch []message) {
	var opened time.Time // when the first message of the batch was seen
	for {
		happened := p.arrived.next()
		var wait time.Time
		ok := p.try(ctx, "a batch of a queue", func() (err error) {
			q, batch, wait, err = p.gather(ctx, &opened)
			return err
		})
		if len(batch) > 0 {
			return q, batch
		}
		if ctx.Err() != nil || p.isStopped() || ok && !p.pause(ctx, happened, wait) {
			return q, nil
		}
	}
}

// gather takes a batch where it is time to, and says otherwise when to look again; the zero time: when something happens.
func (p *poller) gather(ctx context.Context, opened *time.Time) (q api.Queue, batch []message, wait time.Time, err error) {
	spec, now := p.trigger.Spec, p.cp.Now()
	there, full := 0, false
	err = p.cp.Store.View(func(tx *storage.Tx) error {
		if q, err = queueTable.GetBy(tx, "name", p.trigger.Project+"/"+spec.Queue); err != nil {
			return ignoreGone(err)
		}
		size := 0
		return messageTable.EachBy(tx, "visible", q.ID+"/", func(m message) error {
			if m.VisibleAt.After(now) {
				wait = m.VisibleAt
				return storage.Stop
			}
			there++
			size += events.BatchSize(m.public())
			if full = there >= spec.Batch || size >= mostBatchBytes; full {
				return storage.Stop
			}
			return nil
		})
	})
	if err != nil || there == 0 || q.ID == "" {
		*opened = time.Time{}
		return q, nil, wait, err
	}
	if opened.IsZero() {
		*opened = now
	}
	if closes := opened.Add(time.Duration(spec.WindowMs) * time.Millisecond); !full && now.Before(closes) {
		return q, nil, closes, nil
	}
	*opened = time.Time{}
	batch, err = p.cp.receive(ctx, q, receiving{most: spec.Batch, bytes: mostBatchBytes, hide: time.Duration(q.Spec.VisibilitySeconds) * time.Second, metered: true})
	return q, batch, time.Time{}, err
}

// handle calls the function with a batch. What it has dealt with goes in the commit of the receipt; the rest comes again
// after its visibility timeout, or soon where the function was not run.
func (p *poller) handle(q api.Queue, batch []message) {
	all := make([]api.Message, len(batch))
	for i, m := range batch {
		all[i] = m.public()
	}
	p.cp.eventMetrics.handed(&p.trigger.Meta, p.cp.Now().Sub(slices.MinFunc(batch, func(a, b message) int { return a.SentAt.Compare(b.SentAt) }).SentAt))
	f, err := p.function()
	if err == nil {
		done := 0
		ctx := withSettling(context.Background(), settling{
			ended: func(tx *storage.Tx, r callEnd) (err error) { done, err = p.ended(tx, batch, r); return err },
			after: func() { p.cp.eventMetrics.deleted(&q.Meta, done) },
		})
		_, err = p.cp.callQualified(ctx, f, p.trigger.Spec.Qualifier, functions.Call{Payload: events.Batch(q.Name, all), ContentType: "application/json"})
	}
	p.mu.Lock()
	if p.tight++; err == nil {
		p.tight = 0
	}
	pause := min(throttleDelay(p.tight), time.Minute)
	p.mu.Unlock()
	if err != nil {
		p.try(context.Background(), "messages of a queue come again", func() error { return p.giveBack(batch, pause) })
	}
}

func (p *poller) function() (f api.Function, err error) {
	err = p.cp.Store.View(func(tx *storage.Tx) error {
		f, err = p.cp.functions().find(tx, p.trigger.Project, p.trigger.Spec.Function)
		return err
	})
	return f, err
}

// ended removes the messages that the function has dealt with.
func (p *poller) ended(tx *storage.Tx, batch []message, r callEnd) (done int, err error) {
	if r.Status != functions.OK {
		return 0, nil
	}
	ids := make([]string, len(batch))
	for i, m := range batch {
		ids[i] = m.ID
	}
	failed := events.BatchFailures(r.Answer, ids)
	for _, m := range batch {
		if slices.Contains(failed, m.ID) {
			continue
		}
		now, err := messageTable.Get(tx, m.key())
		if errors.Is(err, api.NotFound) || err == nil && now.Handle != m.Handle {
			continue // its time was over, and somebody else has it
		}
		if err == nil {
			err = dequeue(tx, now)
		}
		if err != nil {
			return 0, err
		}
		done++
	}
	return done, nil
}

// giveBack lets messages be received again after a pause, as if they had not been received.
func (p *poller) giveBack(batch []message, pause time.Duration) error {
	return p.cp.Store.Commit(context.Background(), func(tx *storage.Tx) error {
		for _, m := range batch {
			now, err := messageTable.Get(tx, m.key())
			if errors.Is(err, api.NotFound) || err == nil && now.Handle != m.Handle {
				continue
			}
			if err != nil {
				return err
			}
			now.Receives--
			now.VisibleAt = p.cp.Now().UTC().Add(pause)
			if err := messageTable.Put(tx, now); err != nil {
				return err
			}
		}
		return nil
	})
}
