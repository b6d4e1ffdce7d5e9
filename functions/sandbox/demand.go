package sandbox

import (
	"slices"
	"time"
)

// demandWindow is how far back recent demand goes.
const demandWindow = time.Minute

// taken notes that a call needed a sandbox that serves nobody yet, and has the pool become smaller again when that was long ago. The
// lock is held.
func (r *Runtime) taken(p *pool) {
	p.takes = append(r.recent(p), time.Now())
	if p.trim == nil && !r.closed {
		p.trim = time.AfterFunc(demandWindow, func() { r.shrink(p) })
	}
}

// recent are the takes within the window; those that can't count are not kept. The lock is held.
func (r *Runtime) recent(p *pool) []time.Time {
	old := time.Now().Add(-demandWindow)
	p.takes = slices.DeleteFunc(p.takes, func(at time.Time) bool { return !at.After(old) })
	if over := len(p.takes) - r.o.Max; over > 0 {
		p.takes = slices.Delete(p.takes, 0, over)
	}
	return p.takes
}

// wanted is how many should be ready: as many as were needed within a minute, but no more than half of the room, and the number that
// is set at least. The lock is held.
func (r *Runtime) wanted(p *pool) int {
	if p.users == 0 || r.o.Warm < 0 {
		return 0
	}
	return max(r.o.Warm, min(len(r.recent(p)), r.o.Max/2))
}

// shrink lets those go that recent demand does not ask for any more, and comes again while there was any.
func (r *Runtime) shrink(p *pool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.trim = nil
	if r.closed {
		return
	}
	takes := r.recent(p)
	for len(p.ready) > r.wanted(p) {
		r.discard(p.ready[0])
		p.ready = p.ready[1:]
	}
	if len(takes) > 0 {
		p.trim = time.AfterFunc(time.Until(takes[0].Add(demandWindow))+time.Millisecond, func() { r.shrink(p) })
	}
}

// evict makes room: a sandbox that is ready over the number set goes first, then the function's that is idle for longest, then one that
// is ready. The lock is held.
func (r *Runtime) evict() bool {
	if r.evictReady(max(0, r.o.Warm)) {
		return true
	}
	if e := r.idle.Front(); e != nil {
		b := e.Value.(*box)
		r.unidle(b)
		r.discard(b)
		return true
	}
	return r.evictReady(0)
}

// evictReady discards one of a pool that has more ready than so many. The lock is held.
func (r *Runtime) evictReady(keep int) bool {
	for _, p := range r.pools {
		if len(p.ready) > keep {
			r.discard(p.ready[0])
			p.ready = p.ready[1:]
			return true
		}
	}
	return false
}
