package controlplane

import (
	"context"
	"errors"
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
	cp     *ControlPlane
	wakes  chan struct{}
	passed *broadcast // after each pass

	mu       sync.Mutex
	info     compute.Info // of the engine, asked once before the first pass
	inFlight map[string]bool
	leaving  map[string]bool   // workloads of which the removal is in flight
	passes   uint64            // how many have begun
	finished uint64            // number of the pass finished last
	ended    map[string]uint64 // by key: the pass in which a step ended; that pass may have read the world before
	failing  map[string]trouble
	asked    map[string]bool   // keys that this pass has something to do for
	abouts   map[string]string // by key: what exactly was asked for; something else is tried at once
	due      time.Time         // when the first thing that this pass has to wait for is due; zero: nothing
	ready    error             // nil after a pass that went well
	steady   time.Time         // since when ready is nil
	halted   bool              // shutting down: nothing is started any more
	seen     map[[2]string]int // workloads by kind and state, of the last pass
	bases    *set              // references of the images made on first use that are there
	cancel   context.CancelFunc
	steps    sync.WaitGroup
}

func newLoop(cp *ControlPlane) *loop {
	return &loop{cp: cp, passed: newBroadcast(), wakes: make(chan struct{}, 1), inFlight: map[string]bool{}, leaving: map[string]bool{}, ended: map[string]uint64{}, failing: map[string]trouble{},
		asked: map[string]bool{}, abouts: map[string]string{}, bases: newSet(), cancel: func() {},
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
	steps, cancel := context.WithCancel(ctx)
	defer l.steps.Wait()
	defer cancel()
	l.mu.Lock()
	l.cancel = cancel
	l.mu.Unlock()
	var events <-chan compute.Event
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if events == nil {
			events = l.watch(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.wakes:
		case _, open := <-events:
			if events = rest(events); !open {
				events = nil
			}
		case <-timer.C:
		}
		if ctx.Err() == nil {
			timer.Reset(l.pass(steps))
		}
	}
}

// watch follows the engine's events; where it cannot, a nil channel leaves the work to the resync, and it is tried again.
func (l *loop) watch(ctx context.Context) <-chan compute.Event {
	events, err := l.cp.Engine.Watch(ctx)
	if err != nil {
		l.cp.log.Warn("engine events not followed", "error", err)
		return nil
	}
	return events
}

// rest takes the events that wait already: one pass sees to all of them.
func rest(events <-chan compute.Event) <-chan compute.Event {
	for {
		select {
		case _, open := <-events:
			if !open {
				return nil
			}
		default:
			return events
		}
	}
}

// pass looks at everything once and returns how long the next one can wait.
func (l *loop) pass(ctx context.Context) time.Duration {
	begin := time.Now()
	l.begin()
	defer l.end()
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
	if l.ready != nil && err == nil {
		l.steady = l.cp.Now()
	}
	l.ready = err
}

// steadySince is since when passes have gone well without a break.
func (l *loop) steadySince() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.steady
}

// engine describes the engine as it was when the loop began; the zero Info before that.
func (l *loop) engine() compute.Info {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.info
}

// meet asks the engine what it is, and what an earlier control plane has left there.
func (l *loop) meet(ctx context.Context) error {
	if l.engine().Name != "" {
		return nil
	}
	info, err := l.cp.Engine.Info(ctx)
	if err != nil {
		return err
	}
	if err := l.cp.findNetworks(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.info = info
	return nil
}

// end tells those who wait that a pass is done.
func (l *loop) end() {
	l.mu.Lock()
	l.finished = l.passes
	l.mu.Unlock()
	l.passed.notify()
}

// catchUp waits until a pass has seen all that is stored now, promptly at most: then the edge routes by it.
func (l *loop) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, promptly)
	defer cancel()
	wanted := l.nextPass()
	l.wake()
	for {
		passed := l.passed.next()
		if l.isFinished(wanted) {
			return
		}
		select {
		case <-passed:
		case <-ctx.Done():
			return
		}
	}
}

// nextPass is the number of the next pass to begin.
func (l *loop) nextPass() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passes + 1
}

func (l *loop) isFinished(pass uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.finished >= pass
}

func (l *loop) converge(ctx context.Context) error {
	if err := l.meet(ctx); err != nil {
		return err
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
	l.cp.balancers.sync(w)
	l.cp.doors.sync(w)
	if !l.isHalted() {
		l.act(ctx, w)
	}
	now := *w                  // steps that began just now read w
	now.trouble = l.troubles() // what is not asked for any more has none
	l.cp.samples.sync(w)       // before somebody reads a status and asks for metrics
	err = l.cp.settle(&now)
	l.cp.guests.sync(ctx, w)
	l.cp.health.sync(ctx, w)
	if err != nil && !errors.Is(err, api.Unavailable) {
		l.cp.log.Error("not all could be written down", "error", err) // a record that can't be written does not stop the rest
		return nil
	}
	return err
}

// act starts what the difference between wanted and observed asks for.
func (l *loop) act(ctx context.Context, w *world) {
	l.cp.ensureNetworks(ctx, w)
	l.cp.tendServerImages(ctx, w)
	l.cp.tendDisks(ctx, w)
	l.cp.tendImages(ctx, w)
	l.cp.tendBackups(ctx, w)
	l.cp.rotateLogins(ctx, w)
	l.cp.tendArchives(ctx, w)
	l.cp.tendFindings(ctx, w)
	for _, s := range diff(w.planned, w.observed, w.reboots(), w.damaged) {
		if l.hold(w, s) {
			continue
		}
		l.about(s.workload.ID, s.about())
		l.dispatch(ctx, s.workload.ID, s.timeout(), func(ctx context.Context) error { return l.cp.take(ctx, w, s) })
	}
	l.cp.sweep(ctx, w)
	l.cp.sweepCommits(ctx, w)
	l.cp.deploySteps(ctx, w)
	l.cp.scaleApps(ctx, w)
	l.cp.serveFunctions(ctx, w)
	l.cp.reclaim(ctx, w)
	l.cp.keepFleets(ctx, w)
	l.cp.keepHouse(ctx)
	l.forgive()
}

func (l *loop) isHalted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.halted
}

// halt lets no further step begin and waits for those in flight; those that take longer than patience are cut off.
func (l *loop) halt(ctx context.Context, patience time.Duration) {
	l.mu.Lock()
	l.halted = true
	cancel := l.cancel
	l.mu.Unlock()
	done := make(chan struct{})
	go func() { l.steps.Wait(); close(done) }()
	late := time.AfterFunc(patience, cancel)
	defer late.Stop()
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
