package ingress

import (
	"net/http"
	"sync"
	"time"
)

// RateWindow is what Demand.Rate is a mean over.
const RateWindow = 30 * time.Second

// Hold bounds the requests that wait while a route has no backend. The zero value holds none.
type Hold struct {
	Most int           // at once; others are refused
	For  time.Duration // each; then it is refused
}

// Demand is what callers ask of a route.
type Demand struct {
	Rate     float64   // requests per second over RateWindow, or since Since where that is less
	InFlight int       // requests that were not answered in full; held ones too
	Held     int       // requests that wait for a backend
	Last     time.Time // when something was in flight last; Since where nothing ever was
	Since    time.Time // when counting began
}

// demand counts the requests of a route by the second.
type demand struct {
	mu       sync.Mutex
	since    time.Time
	last     time.Time
	inFlight int
	held     int
	counts   [int(RateWindow/time.Second) + 1]int // by second modulo its length
	second   int64                                // of the newest count

	tokens float64 // requests that a rate limit lets through now
	filled time.Time
}

func newDemand(now time.Time) *demand { return &demand{since: now, last: now, second: now.Unix()} }

// turn clears the seconds that passed without a request. The lock is held.
func (d *demand) turn(now time.Time) {
	size := int64(len(d.counts))
	for s := max(d.second, now.Unix()-size) + 1; s <= now.Unix(); s++ {
		d.counts[s%size] = 0
	}
	d.second = max(d.second, now.Unix())
}

func (d *demand) arrive(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn(now)
	d.counts[d.second%int64(len(d.counts))]++
	d.inFlight++
}

func (d *demand) depart(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inFlight--
	d.last = now
}

// enter takes a place among the requests that wait, where one is left.
func (d *demand) enter(most int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held >= most {
		return false
	}
	d.held++
	return true
}

func (d *demand) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held--
}

// now is the present demand. The second that is not over yet does not count in the rate.
func (d *demand) now(now time.Time) Demand {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.turn(now)
	out := Demand{InFlight: d.inFlight, Held: d.held, Last: d.last, Since: d.since}
	if d.inFlight > 0 {
		out.Last = now
	}
	sum := 0
	for i, n := range d.counts {
		if int64(i) != d.second%int64(len(d.counts)) {
			sum += n
		}
	}
	if span := min(RateWindow, now.Sub(d.since)); span >= time.Second {
		out.Rate = float64(sum) / span.Seconds()
	}
	return out
}

// Demand returns what is asked of the route of a host; the zero Demand where there is none.
func (e *Edge) Demand(host string) Demand {
	s, known := e.site(hostName(host))
	if !known {
		return Demand{}
	}
	return s.demand.now(e.now())
}

// OnHeld has fn called, which must not block, whenever a request begins to wait for a backend.
func (e *Edge) OnHeld(fn func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.onHeld = fn
}

// held waits until a route that holds requests has a backend, and returns it as it is then, or what to refuse the request with.
func (e *Edge) held(r *http.Request, s *site) (*site, *page) {
	if s.Hold.Most == 0 || len(s.Backends) > 0 {
		return s, nil
	}
	if !s.demand.enter(s.Hold.Most) {
		p := crowded(s.Route)
		return s, &p
	}
	defer s.demand.leave()
	e.tellHeld()
	over := time.NewTimer(s.Hold.For)
	defer over.Stop()
	for host := hostName(r.Host); ; {
		now, known, changed := e.next(host)
		if !known || len(now.Backends) > 0 || now.Hold.Most == 0 {
			return now, nil
		}
		select {
		case <-changed:
		case <-over.C:
			p := asleep(now.Route)
			return now, &p
		case <-r.Context().Done():
			p := asleep(now.Route) // nobody reads it
			return now, &p
		}
	}
}

func (e *Edge) tellHeld() {
	e.mu.Lock()
	fn := e.onHeld
	e.mu.Unlock()
	if fn != nil {
		fn()
	}
}

// next is the route of a host, and what is closed when it may be another one.
func (e *Edge) next(host string) (s *site, known bool, changed <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.sites[host]; s != nil {
		return s, true, e.changed
	}
	return e.nobody, false, e.changed
}
