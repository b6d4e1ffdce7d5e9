package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"nuage/api"
)

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

// begin counts a pass.
func (l *loop) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.ended)
	clear(l.asked)
	l.due = time.Time{}
	l.passes++
}

// first tells that this pass is the first one.
func (l *loop) first() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passes == 1
}

// dispatch runs fn unless something with the same key runs, waits for its next try, or has just ended: then the world
// of this pass may be from before, and the next pass sees what is left to do. The end of fn wakes the loop.
func (l *loop) dispatch(ctx context.Context, key string, limit time.Duration, fn func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked[key] = true
	if l.inFlight[key] || l.ended[key] == l.passes || l.halted || l.cp.Now().Before(l.failing[key].next) {
		return
	}
	l.inFlight[key] = true
	if v, _, _ := strings.Cut(l.abouts[key], " "); verb(v) == remove || verb(v) == replace {
		l.leaving[key] = true
	}
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
	delete(l.leaving, key)
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

// busy tells that a step with that key is in flight.
func (l *loop) busy(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight[key]
}

// allLeaving names the workloads of which the removal is in flight, though they may be wanted again by now.
func (l *loop) allLeaving() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.leaving)
}

// allInFlight names the keys of which a step is in flight.
func (l *loop) allInFlight() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.inFlight)
}

// busyWith tells that a step with a key of that beginning is in flight.
func (l *loop) busyWith(prefix string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.inFlight {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// nextTry is how long until the earliest back-off ends, at most resync.
func (l *loop) nextTry() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := resync
	if !l.due.IsZero() {
		wait = min(wait, max(10*time.Millisecond, l.due.Sub(l.cp.Now())))
	}
	if l.halted {
		return wait
	}
	for key, t := range l.failing {
		if !l.inFlight[key] { // the end of one that is wakes the loop
			wait = min(wait, max(10*time.Millisecond, t.next.Sub(l.cp.Now())))
		}
	}
	return wait
}

// about tells what exactly a key is asked for. What was tried in vain for something else is tried at once.
func (l *loop) about(key, about string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.abouts[key] != about && !l.inFlight[key] {
		delete(l.failing, key)
	}
	l.abouts[key] = about
}

// about is what a step wants, in words that differ where another try may end differently.
func (s step) about() string {
	if s.verb == rebase {
		s.workload.Image = "" // each try makes another one
	}
	return fmt.Sprintf("%s %s %+v %v %v", s.verb, s.workload.Template(), s.workload.Limits, s.workload.Running, s.workload.Joined)
}

// hold tells that a step has to wait: for its network, image or volumes, or because its program ends again and again.
func (l *loop) hold(w *world, s step) bool {
	if l.cp.awaitsNetwork(s) || l.cp.awaitsImage(w, s) || w.lacks(s.workload, s.verb) != "" {
		return true
	}
	if (s.verb == create || s.verb == start) && w.awaitsDatabase(s.workload) {
		return true
	}
	if s.verb != start {
		return false
	}
	until := w.tracks[s.workload.ID].heldBack(s.observed)
	if !l.cp.Now().Before(until) {
		return false
	}
	l.dueAt(until)
	return true
}

// dueAt has a pass made at a certain time, when something is due that no event will tell of.
func (l *loop) dueAt(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.due.IsZero() || at.Before(l.due) {
		l.due = at
	}
}

// forgive forgets the troubles with what nobody asks for any more.
func (l *loop) forgive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.abouts {
		if !l.asked[key] {
			delete(l.abouts, key)
		}
	}
	for key := range l.failing {
		if !l.asked[key] && !l.inFlight[key] {
			delete(l.failing, key)
		}
	}
}
