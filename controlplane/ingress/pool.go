package ingress

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// asideFor is how long a backend that could not be dialled gets nothing while another one is there.
const asideFor = time.Second

// The reasons why something in flight is ended.
var (
	errNoBackend = errors.New("no backend is left to try")
	errCut       = errors.New("its backend was taken away")
	errSlow      = errors.New("its backend took too long to answer")
	errIdle      = errors.New("nothing moved for too long")
)

// Backend is one replica of an app, or one target of a load balancer.
type Backend struct {
	ID      string // stable for as long as what is behind it; two of one pool differ
	Address string // host:port
	Group   string // the Share of its route that it belongs to; unused without a split
}

// Algorithm says which backend is next.
type Algorithm string

// The algorithms. The zero value is RoundRobin.
const (
	RoundRobin       Algorithm = "round-robin"
	LeastConnections Algorithm = "least-connections"
)

// Traffic is what is in flight on one backend of a pool.
type Traffic struct {
	Count   int
	Leaving bool // the backend is not in the pool any more
}

// Pool spreads requests and connections, called flights here, over backends. Its methods are safe for concurrent use.
type Pool struct {
	now       func() time.Time
	onDead    func(id string, err error) // may be nil
	onDrained func()                     // may be nil

	mu        sync.Mutex
	backends  []Backend
	algorithm Algorithm
	turn      int                         // index of whose turn it is
	flights   map[string]map[*flight]bool // by backend id; no entry for none
	aside     map[string]time.Time        // backends that could not be dialled, and until when they get nothing
	leaving   map[string]*time.Timer      // backends that left with flights, and what ends those
}

// newPool returns an empty pool. onDead hears of each backend that could not be dialled, onDrained of each that left and
// has now no flight any more; neither may block.
func newPool(now func() time.Time, onDead func(string, error), onDrained func()) *Pool {
	return &Pool{now: now, onDead: onDead, onDrained: onDrained, flights: map[string]map[*flight]bool{}, aside: map[string]time.Time{}, leaving: map[string]*time.Timer{}}
}

// Set replaces the backends: those that left get no new flight once it has returned. What is in flight on them goes on,
// for drain at most where that is not 0.
func (p *Pool) Set(backends []Backend, algorithm Algorithm, drain time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backends, p.algorithm = backends, algorithm
	there := make(map[string]bool, len(backends))
	for _, b := range backends {
		there[b.ID] = true
		if timer, left := p.leaving[b.ID]; left { // and is back
			timer.Stop()
			delete(p.leaving, b.ID)
		}
	}
	for id := range p.flights {
		if p.leaving[id] == nil && !there[id] && drain > 0 {
			p.leaving[id] = time.AfterFunc(drain, func() { p.cutLeft(id) })
		}
	}
}

// InFlight returns how many requests and connections a backend is serving, in the pool or not. Once it has left the pool
// the number only falls.
func (p *Pool) InFlight(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.flights[id])
}

// Total is how many requests and connections are in flight.
func (p *Pool) Total() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, all := range p.flights {
		n += len(all)
	}
	return n
}

// Traffic returns what is in flight, by backend; one without flights has no entry.
func (p *Pool) Traffic() map[string]Traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string]Traffic, len(p.flights))
	for id, all := range p.flights {
		out[id] = Traffic{Count: len(all), Leaving: true}
	}
	for _, b := range p.backends {
		if t, busy := out[b.ID]; busy {
			out[b.ID] = Traffic{Count: t.Count}
		}
	}
	return out
}

// Cut ends at once what is in flight on a backend.
func (p *Pool) Cut(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for f := range p.flights[id] {
		f.end(errCut)
	}
}

// EndSockets says goodbye on the WebSockets of a backend; what has not ended soon after is cut. Requests go on.
func (p *Pool) EndSockets(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for f := range p.flights[id] {
		if f.socket != nil {
			f.part()
		}
	}
}

// take makes a WebSocket of a connection that was taken over.
func (f *flight) take(conn net.Conn) net.Conn {
	f.pool.mu.Lock()
	defer f.pool.mu.Unlock()
	f.socket = &socket{Conn: conn}
	return f.socket
}

// goodbye ends the flight as a WebSocket, where it is one.
func (f *flight) goodbye() bool {
	f.pool.mu.Lock()
	defer f.pool.mu.Unlock()
	if f.socket != nil {
		f.part()
	}
	return f.socket != nil
}

// part says goodbye once, and sees to it that the flight ends. The lock is held.
func (f *flight) part() {
	if f.parted {
		return
	}
	f.parted = true
	go f.socket.goodbye() // a caller that reads nothing could hold it up
	time.AfterFunc(2*farewell, func() { f.end(errCut) })
}

// cutAll ends all that is in flight.
func (p *Pool) cutAll() {
	for id := range p.Traffic() {
		p.Cut(id)
	}
}

// cutLeft ends what is in flight on a backend unless it is back.
func (p *Pool) cutLeft(id string) {
	p.mu.Lock()
	_, left := p.leaving[id]
	p.mu.Unlock()
	if left {
		p.Cut(id)
	}
}

// flight is one request or connection on its way through the backends of a pool. It counts on the backend it is at.
type flight struct {
	pool  *Pool
	route Route
	ctx   context.Context // ends with the caller's, and when the flight is cut
	end   context.CancelCauseFunc
	at    string          // id of the backend, empty between two
	group string          // whose backends are preferred; "": any
	tried map[string]bool // backend ids

	socket   *socket     // of a WebSocket that came about; under the pool's lock
	parted   bool        // it was said goodbye to
	secure   bool        // the caller came over TLS
	answers  string      // the group of the backend it was sent to last
	patience *time.Timer // of a request: ends it when no answer has begun by then
}

// fly begins a flight. land must be called at its end.
func (p *Pool) fly(ctx context.Context, route Route) *flight {
	ctx, end := context.WithCancelCause(ctx)
	return &flight{pool: p, route: route, ctx: ctx, end: end, tried: map[string]bool{}}
}

// next moves the flight to the next backend that it has not tried, or returns errNoBackend. Choice and count are one step
// under the lock: a backend that left the pool and has no flights never gets another one.
func (f *flight) next() (Backend, error) {
	p := f.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	drained := f.leave()
	defer p.tell(drained)
	best := -1
	for i := range p.backends {
		at := (p.turn + i) % len(p.backends)
		if b := p.backends[at]; !f.tried[b.ID] && (best < 0 || p.better(f.group, b, p.backends[best])) {
			best = at
		}
	}
	if best < 0 {
		return Backend{}, errNoBackend
	}
	b := p.backends[best]
	p.turn = (best + 1) % len(p.backends)
	f.at, f.tried[b.ID] = b.ID, true
	if p.flights[b.ID] == nil {
		p.flights[b.ID] = map[*flight]bool{}
	}
	p.flights[b.ID][f] = true
	return b, nil
}

// better tells that a backend is to be preferred, by a flight that belongs to a group, to one whose turn is before its own.
func (p *Pool) better(group string, b, before Backend) bool {
	if x, y := p.isAside(b.ID), p.isAside(before.ID); x != y {
		return y
	}
	if x, y := b.Group == group, before.Group == group; group != "" && x != y {
		return x
	}
	return p.algorithm == LeastConnections && len(p.flights[b.ID]) < len(p.flights[before.ID])
}

func (p *Pool) isAside(id string) bool {
	until, aside := p.aside[id]
	if aside && p.now().After(until) {
		delete(p.aside, id)
		aside = false
	}
	return aside
}

// dead puts a backend aside that could not be dialled.
func (f *flight) dead(err error) {
	p, id := f.pool, f.at
	p.mu.Lock()
	p.aside[id] = p.now().Add(asideFor)
	p.mu.Unlock()
	if p.onDead != nil {
		p.onDead(id, err)
	}
}

// land ends the flight.
func (f *flight) land() {
	f.end(nil)
	p := f.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell(f.leave())
}

// leave ends the flight's stay at its backend, and reports whether that is drained now. The lock is held.
func (f *flight) leave() (drained bool) {
	if f.at == "" {
		return false
	}
	p, id := f.pool, f.at
	f.at = ""
	delete(p.flights[id], f)
	if len(p.flights[id]) > 0 {
		return false
	}
	delete(p.flights, id)
	timer, left := p.leaving[id]
	if left {
		timer.Stop()
		delete(p.leaving, id)
	}
	return left
}

func (p *Pool) tell(drained bool) {
	if drained && p.onDrained != nil {
		p.onDrained()
	}
}
