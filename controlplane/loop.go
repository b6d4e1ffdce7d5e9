package controlplane

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"nuage/api"
	"nuage/compute"
)

const (
	resync     = 5 * time.Second // a pass happens at least this often
	firstDelay = 200 * time.Millisecond
	lastDelay  = 30 * time.Second
)

// loop makes the world as the store says: one pass after another, each comparing everything. Steps run beside the
// passes, one in flight a key, with a back-off of their own.
type loop struct {
	cp    *ControlPlane
	wakes chan struct{}
	info  compute.Info // of the engine; written before the first pass

	mu       sync.Mutex
	inFlight map[string]bool
	passes   uint64            // how many have begun
	ended    map[string]uint64 // by key: the pass in which a step ended; that pass may have read the world before
	failing  map[string]trouble
	ready    error             // nil once a pass is done
	halted   bool              // shutting down: nothing is started any more
	seen     map[[2]string]int // workloads by kind and state, of the last pass
	steps    sync.WaitGroup
}

// trouble is a step that failed, and when it is tried again.
type trouble struct {
	err      error
	attempts int
	next     time.Time
}

// final tells that trying again will hardly help: the user should know. It is tried all the same, slowly.
func (t trouble) final() bool {
	switch api.CodeOf(t.err) {
	case api.Invalid, api.NotFound, api.Unsupported:
		return true
	}
	return t.attempts >= 5 && !errors.Is(t.err, api.Unavailable)
}

func (t trouble) reason() string { return t.err.Error() }

func newLoop(cp *ControlPlane) *loop {
	return &loop{cp: cp, wakes: make(chan struct{}, 1), inFlight: map[string]bool{}, ended: map[string]uint64{}, failing: map[string]trouble{},
		ready: api.Errorf(api.Unavailable, "the first pass over all workloads is not done")}
}

// wake asks for a pass soon.
func (l *loop) wake() {
	select {
	case l.wakes <- struct{}{}:
	default:
	}
}

func (l *loop) readiness() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready
}

func (l *loop) troubles() map[string]trouble {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]trouble, len(l.failing))
	for k, v := range l.failing {
		out[k] = v
	}
	return out
}

// run makes passes until ctx ends, then waits for the steps in flight to notice.
func (l *loop) run(ctx context.Context) error {
	defer l.steps.Wait()
	events := l.watch(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wakes:
		case _, open := <-events:
			if !open {
				events = l.watch(ctx)
			}
		case <-timer.C:
		}
		if ctx.Err() == nil {
			timer.Reset(l.pass(ctx))
		}
	}
}

// watch follows the engine's events; where it cannot, a nil channel leaves the work to the resync.
func (l *loop) watch(ctx context.Context) <-chan compute.Event {
	events, err := l.cp.Engine.Watch(ctx)
	if err != nil {
		l.cp.log.Warn("engine events not followed", "error", err)
		return nil
	}
	return events
}

// pass looks at everything once and returns how long the next one can wait.
func (l *loop) pass(ctx context.Context) time.Duration {
	l.begin()
	begin := time.Now()
	err := l.converge(ctx)
	l.cp.metrics.pass(time.Since(begin), err)
	if err != nil {
		if ctx.Err() == nil {
			l.cp.log.Error("pass failed", "error", err)
		}
		l.setReady(err)
		return time.Second
	}
	l.setReady(nil)
	return l.nextTry()
}

func (l *loop) setReady(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil || l.ready == nil || errors.Is(err, api.Unavailable) {
		l.ready = err
	}
}

func (l *loop) converge(ctx context.Context) error {
	if l.info.Name == "" {
		info, err := l.cp.Engine.Info(ctx)
		if err != nil {
			return err
		}
		if err := l.cp.findNetworks(ctx); err != nil {
			return err
		}
		l.info = info
	}
	w, err := l.cp.read()
	if err != nil {
		return err
	}
	if err := l.cp.look(ctx, w); err != nil {
		return err
	}
	l.count(w)
	l.cp.route(w) // before anything is removed, so that what has left the routes only empties
	if !l.isHalted() {
		l.act(ctx, w)
	}
	if err := l.cp.settle(w); err != nil {
		return err
	}
	l.cp.guests.sync(ctx, w)
	l.cp.health.sync(ctx, w)
	return nil
}

// act starts what the difference between wanted and observed asks for.
func (l *loop) act(ctx context.Context, w *world) {
	l.cp.ensureNetworks(ctx, w)
	for _, s := range diff(w.plan(), w.observed, w.reboots(), w.damaged) {
		l.dispatch(ctx, s.workload.ID, s.timeout(), func(ctx context.Context) error { return l.cp.take(ctx, w, s) })
	}
	l.cp.sweep(ctx, w)
	l.cp.deploySteps(ctx, w)
}

// begin counts a pass.
func (l *loop) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.ended)
	l.passes++
}

// dispatch runs fn unless something with the same key runs, waits for its next try, or has just ended: then the world
// of this pass may be from before, and the next pass sees what is left to do. The end of fn wakes the loop.
func (l *loop) dispatch(ctx context.Context, key string, limit time.Duration, fn func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inFlight[key] || l.ended[key] == l.passes || l.halted || l.cp.Now().Before(l.failing[key].next) {
		return
	}
	l.inFlight[key] = true
	l.steps.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		err := fn(ctx)
		l.finish(ctx, key, err)
		l.wake()
	})
}

// finish writes down how a step ended.
func (l *loop) finish(ctx context.Context, key string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.inFlight, key)
	l.ended[key] = l.passes
	if err == nil {
		delete(l.failing, key)
		return
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	t := l.failing[key]
	t.err, t.attempts = err, t.attempts+1
	t.next = l.cp.Now().Add(backOff(t.attempts))
	l.failing[key] = t
	l.cp.log.Warn("step failed", "key", key, "attempts", t.attempts, slog.Any("error", err), "next", t.next)
}

// backOff doubles from firstDelay to lastDelay.
func backOff(attempts int) time.Duration {
	d := firstDelay << min(attempts-1, 10)
	return min(d, lastDelay)
}

// forget drops the trouble of something that is gone or was changed by its owner.
func (l *loop) forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failing, key)
}

// busy tells that a step with that key is in flight.
func (l *loop) busy(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight[key]
}

// nextTry is how long until the earliest back-off ends, at most resync.
func (l *loop) nextTry() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := resync
	for _, t := range l.failing {
		wait = min(wait, max(10*time.Millisecond, t.next.Sub(l.cp.Now())))
	}
	return wait
}

func (l *loop) isHalted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.halted
}

// halt lets no further step begin and waits for those in flight, until ctx ends.
func (l *loop) halt(ctx context.Context) {
	l.mu.Lock()
	l.halted = true
	l.mu.Unlock()
	done := make(chan struct{})
	go func() { l.steps.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// count keeps how many workloads there are, for metrics.
func (l *loop) count(w *world) {
	seen := map[[2]string]int{}
	for _, o := range w.observed {
		seen[[2]string{o.Kind, string(o.State)}]++
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = seen
}

// census is what count kept.
func (l *loop) census() map[[2]string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}
