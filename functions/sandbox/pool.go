package sandbox

import (
	"container/list"
	"context"
	"slices"
	"strings"
	"time"

	"nuage/api"
	"nuage/functions"
)

// poolKey is what can not change once a sandbox is made.
type poolKey struct {
	runtime  string
	memoryMB int64
	network  string
	reach    string // by commas
	internet bool
	hosts    string // name=address, sorted
	project  string // of the network
}

func keyOf(d functions.Deployment) poolKey {
	k := poolKey{runtime: d.Runtime, memoryMB: d.MemoryMB, network: d.Network}
	if d.Network != "" {
		k.project, k.reach, k.internet = d.Project, strings.Join(d.Reach, ","), d.Internet
	}
	lines := make([]string, 0, len(d.Hosts))
	for name, address := range d.Hosts {
		lines = append(lines, name+"="+address)
	}
	slices.Sort(lines)
	k.hosts = strings.Join(lines, "\n")
	return k
}

func (k poolKey) hostMap() map[string]string {
	m := map[string]string{}
	for line := range strings.SplitSeq(k.hosts, "\n") {
		if name, address, ok := strings.Cut(line, "="); ok {
			m[name] = address
		}
	}
	return m
}

// pool is the sandboxes of one key that no function has yet. Runtime.mu guards it, as it does all of waiter.
type pool struct {
	key     poolKey
	users   int // open programs, and one for ever for the pool that is always kept
	ready   []*box
	making  int
	waiters []*waiter
	takes   []time.Time // when calls needed one, of late
	trim    *time.Timer // nil: nothing to let go
}

// waiter is a call that waits for a sandbox: a new one, or one of its own function that gets free before.
type waiter struct {
	program *program
	got     chan grant // takes one
}

type grant struct {
	box  *box
	warm bool
	err  error
}

// pool finds or makes the pool of a key. The lock is held.
func (r *Runtime) pool(k poolKey) *pool {
	p := r.pools[k]
	if p == nil {
		p = &pool{key: k}
		r.pools[k] = p
	}
	return p
}

// acquire gets a sandbox for a call: one that has served the function before (warm), one that is ready, or one that is
// made now. Exhausted: there is no room. Unavailable: none can be made, or ctx ended.
func (r *Runtime) acquire(ctx context.Context, p *program) (*box, bool, error) {
	closed := r.closedTo(p.pool.key)
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, false, stopping(p)
	}
	if closed != "" {
		r.dropStale(p, closed)
	}
	if n := len(p.idle); n > 0 {
		b := p.idle[n-1]
		r.unidle(b)
		r.mu.Unlock()
		return b, true, nil
	}
	r.taken(p.pool)
	if n := len(p.pool.ready); n > 0 {
		b := p.pool.ready[n-1]
		p.pool.ready = p.pool.ready[:n-1]
		r.fill(p.pool)
		r.mu.Unlock()
		return b, false, nil
	}
	w := &waiter{program: p, got: make(chan grant, 1)}
	p.pool.waiters = append(p.pool.waiters, w)
	p.waiters = append(p.waiters, w)
	r.fill(p.pool)
	if p.pool.making < len(p.pool.waiters) {
		r.unwait(w)
		r.mu.Unlock()
		return nil, false, api.Errorf(api.Exhausted, "cannot call function %q: all %d sandboxes are busy; try again", p.d.Name, r.o.Max)
	}
	r.mu.Unlock()
	return r.await(ctx, w)
}

func stopping(p *program) error {
	return api.Errorf(api.Unavailable, "cannot call function %q: the cloud is stopping", p.d.Name)
}

func (r *Runtime) await(ctx context.Context, w *waiter) (*box, bool, error) {
	select {
	case g := <-w.got:
		return g.box, g.warm, g.err
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unwait(w)
	select {
	case g := <-w.got:
		if g.box != nil {
			r.discard(g.box)
		}
	default:
	}
	return nil, false, stopping(w.program)
}

// unwait takes a waiter out of both queues. The lock is held.
func (r *Runtime) unwait(w *waiter) {
	is := func(other *waiter) bool { return other == w }
	w.program.waiters = slices.DeleteFunc(w.program.waiters, is)
	w.program.pool.waiters = slices.DeleteFunc(w.program.pool.waiters, is)
}

// grant ends the wait of the first in line. False: nobody waits. The lock is held.
func (r *Runtime) grant(line []*waiter, g grant) bool {
	if len(line) == 0 {
		return false
	}
	w := line[0]
	r.unwait(w)
	w.got <- g
	return true
}

// fill makes sandboxes for those who wait and, where the pool is in use, to keep some ready. The lock is held.
func (r *Runtime) fill(p *pool) {
	for !r.closed && p.making < len(p.waiters)+r.wanted(p)-len(p.ready) {
		needed := p.making < len(p.waiters)
		if r.boxes >= r.o.Max && !(needed && r.evict()) {
			return
		}
		r.boxes++
		p.making++
		uid := r.takeUID()
		r.serial++
		serial := r.serial
		r.work.Go(func() { r.produce(p, serial, uid) })
	}
}

// firstUID is the lowest of the users that functions run as, one to a sandbox. The host has no others there.
const firstUID = 2_100_000_000

// takeUID finds a free one. The lock is held.
func (r *Runtime) takeUID() int {
	uid := firstUID
	for r.uids[uid] {
		uid++
	}
	r.uids[uid] = true
	return uid
}

// produce makes one sandbox and hands it over.
func (r *Runtime) produce(p *pool, serial, uid int) {
	b, err := r.makeBox(p.key, serial, uid)
	r.mu.Lock()
	defer r.mu.Unlock()
	p.making--
	if err != nil {
		r.boxes--
		delete(r.uids, uid)
		if !r.grant(p.waiters, grant{err: err}) && r.ctx.Err() == nil {
			r.o.Logger.Warn("cannot make a sandbox ahead of time", "runtime", p.key.runtime, "network", p.key.network, "memoryMB", p.key.memoryMB, "error", err)
		}
		return
	}
	switch {
	case r.closed:
		r.discard(b)
	case r.grant(p.waiters, grant{box: b}):
	case len(p.ready) < r.wanted(p):
		p.ready = append(p.ready, b)
	default:
		r.discard(b)
	}
}

// put takes a sandbox back after a call.
func (r *Runtime) put(b *box) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := b.program
	if r.closed || p.closed {
		r.discard(b)
		return
	}
	if r.grant(p.waiters, grant{box: b, warm: true}) {
		return
	}
	p.idle = append(p.idle, b)
	place := r.idle.PushBack(b)
	b.place = place
	b.expiry = time.AfterFunc(r.o.KeepAlive, func() { r.expire(b, place) })
}

// unidle takes a sandbox out of the idle ones. The lock is held.
func (r *Runtime) unidle(b *box) {
	b.expiry.Stop()
	r.idle.Remove(b.place)
	b.place = nil
	b.program.idle = slices.DeleteFunc(b.program.idle, func(other *box) bool { return other == b })
}

// expire discards a sandbox that has waited for too long. One that was in use meanwhile has another place.
func (r *Runtime) expire(b *box, place *list.Element) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.place == place {
		r.unidle(b)
		r.discard(b)
	}
}

// drop discards a sandbox after use.
func (r *Runtime) drop(b *box) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.discard(b)
}

// discard frees a sandbox's place at once and removes it in the background. The lock is held.
func (r *Runtime) discard(b *box) {
	r.boxes--
	r.work.Go(func() {
		r.removeBox(b)
		r.mu.Lock()
		delete(r.uids, b.uid)
		r.mu.Unlock()
	})
}
