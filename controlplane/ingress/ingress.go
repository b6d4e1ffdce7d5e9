// Package ingress lets traffic in. The edge answers under the public host names, passes requests for apps on to their
// replicas and hands requests for functions to their handlers; a balancer stands for one load balancer. Both spread what
// comes over the backends of a Pool. The control plane tells them which backends those are and swaps them whole.
package ingress

import (
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
)

// The kinds of a Route.
const (
	KindApp      = "app"
	KindFunction = "function"
	KindBalancer = "load balancer" // of a Balancer alone
)

// Route says who answers under a host name.
type Route struct {
	Host          string // guestbook.app.localhost, without port; letter case does not matter
	Project, Name string
	Kind          string       // KindApp or KindFunction
	Backends      []Backend    // of an app
	Handler       http.Handler // of a function; Backends are unused
	Note          string       // why there is no backend, shown on the 503 page

	Split  []Share // how requests are shared out between groups of Backends; empty: all alike
	Sticky bool    // a client stays, by a cookie, with the group that answered it first
	Hold   Hold    // of requests while there is no backend
	Limits Limits  // of requests for backends

	Guard func(http.Handler) http.Handler // of an app: stands before the backends, and may answer itself; nil: nothing does

	BackChannel bool // containers may ask it over plain HTTP, too, where the edge speaks HTTPS
}

// Options are what New needs.
type Options struct {
	Logger     *slog.Logger          // required
	Registerer prometheus.Registerer // takes the metrics nuage_edge_*; nil: nothing is registered
	Now        func() time.Time      // required
	Random     func() float64        // at least 0 and under 1: decides between shares; nil: math/rand/v2

	// OnAnswer, where not nil, is called once a request when its status is known and its body is still to come. It must
	// not block. It is not called for hosts without a route.
	OnAnswer func(r Route, status int)
}

// Edge is an http.Handler over the routes. Its methods are safe for concurrent use.
type Edge struct {
	now      func() time.Time
	onAnswer func(Route, int)
	metrics  *metrics
	proxy    *proxy
	random   func() float64
	nobody   *site // of hosts without a route
	sent     *Sent

	certificates *certificates // nil: the edge speaks plain HTTP

	mu      sync.Mutex
	sites   map[string]*site // by host in lower case
	left    []*Pool          // of routes that are gone, while something is in flight there
	changed chan struct{}    // closed when routes are replaced next
	onHeld  func()           // nil: nobody asked
}

// site is a route with the pool of its backends and the demand for it, which outlive a change of the route.
type site struct {
	Route
	pool   *Pool
	demand *demand
	seen   *seen
	sent   *atomic.Int64
}

// Sent counts what goes out.
func (e *Edge) Sent() *Sent { return e.sent }

// New returns an edge without routes.
func New(o Options) *Edge {
	if o.Random == nil {
		o.Random = rand.Float64
	}
	e := &Edge{now: o.Now, random: o.Random, onAnswer: o.OnAnswer, metrics: newMetrics(o.Registerer), proxy: newProxy(o.Logger), sites: map[string]*site{}, sent: NewSent(), changed: make(chan struct{})}
	unknown := Route{Kind: "none"}
	e.nobody = &site{Route: unknown, pool: newPool(o.Now, nil, nil), demand: newDemand(o.Now()), seen: e.metrics.seen(unknown)}
	return e
}

// SetRoutes replaces all routes at once. Requests in flight go on to their end, also on backends that left; a request
// that arrives after the return of SetRoutes goes to a backend of routes. Of two routes with one host the last counts.
func (e *Edge) SetRoutes(routes []Route) {
	e.proxy.wires.sweep()
	sites := make(map[string]*site, len(routes))
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range routes {
		host := hostName(r.Host)
		s := &site{Route: r}
		if before := e.sites[host]; before != nil {
			s.pool, s.demand, s.seen = before.pool, before.demand, before.seen
		} else {
			s.pool, s.demand = newPool(e.now, nil, nil), newDemand(e.now())
		}
		if s.seen == nil || !s.seen.of(r) {
			s.seen = e.metrics.seen(r)
		}
		s.sent = e.sent.of(Sender{r.Project, r.Name, r.Kind})
		s.pool.Set(r.Backends, RoundRobin, 0)
		sites[host] = s
	}
	for host, s := range e.sites {
		if sites[host] == nil {
			s.pool.Set(nil, RoundRobin, 0)
			e.left = append(e.left, s.pool)
		}
	}
	e.sites = sites
	if e.certificates != nil {
		e.certificates.forget(func(host string) bool { return sites[host] != nil })
	}
	close(e.changed)
	e.changed = make(chan struct{})
	e.left = slices.DeleteFunc(e.left, func(p *Pool) bool { return p.Total() == 0 })
}

// InFlight returns how many requests and upgraded connections a backend is serving, whether it has a route or not.
// Once a backend has left the routes its number only falls.
func (e *Edge) InFlight(backendID string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, s := range e.sites {
		n += s.pool.InFlight(backendID)
	}
	for _, p := range e.left {
		n += p.InFlight(backendID)
	}
	return n
}

// EndSockets ends the WebSockets of a backend, which left, as its program would: with a close frame (1001, going away) to both ends. Requests go on.
func (e *Edge) EndSockets(backendID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.sites {
		s.pool.EndSockets(backendID)
	}
	for _, p := range e.left {
		p.EndSockets(backendID)
	}
}

// Close closes the idle connections to backends. Requests in flight go on; the server that calls ServeHTTP ends them.
func (e *Edge) Close() error {
	e.proxy.close()
	return nil
}

// Server returns a server of the edge for what Listener returns. It speaks HTTP/1.1 and HTTP/2, over TLS where the edge has an authority,
// and else without (h2c, to clients that begin with it). Over plain HTTP an edge with an authority leads callers to https.
func (e *Edge) Server(logger *slog.Logger) *http.Server { return server(e, logger) }

// Inside returns a server as Server does, for containers: back channels are open to them over plain HTTP.
func (e *Edge) Inside(logger *slog.Logger) *http.Server {
	return server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.answer(w, r, true) }), logger)
}

func server(h http.Handler, logger *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{Handler: h, Protocols: protocols, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug)}
}

// ServeHTTP answers a request by its Host header.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.answer(w, r, false) }

// answer answers a request, of a container where inside.
func (e *Edge) answer(w http.ResponseWriter, r *http.Request, inside bool) {
	start := e.now()
	s, known := e.site(hostName(r.Host))
	a := &answer{ResponseWriter: w, sent: s.sent}
	if known && e.onAnswer != nil {
		a.onStatus = func(status int) { e.onAnswer(s.Route, status) }
	}
	defer func() { s.seen.observe(a.status, e.now().Sub(start)) }()
	id := requestID(r.Header.Get(api.HeaderRequestID))
	w.Header().Set(api.HeaderRequestID, id)
	switch {
	case !known:
		writePage(a, r, unknownHost(r))
	case r.Method != http.MethodConnect && e.leadAway(r, s.Route, inside):
		toTLS(a, r)
	default:
		clean(r, id)
		e.serve(a, r, s)
	}
}

// serve answers a request that has a route and cleaned headers.
func (e *Edge) serve(a *answer, r *http.Request, s *site) {
	switch {
	case r.Method == http.MethodConnect:
		writePage(a, r, noTunnel())
	case s.Handler != nil:
		dropHopByHop(r.Header)
		s.Handler.ServeHTTP(a, r)
	case s.Guard != nil:
		next := func(_ http.ResponseWriter, r *http.Request) { e.forward(a, r, s) }
		s.Guard(http.HandlerFunc(next)).ServeHTTP(a, r)
	default:
		e.forward(a, r, s)
	}
}

// forward passes a request on to the backends of a route, when there are any.
func (e *Edge) forward(a *answer, r *http.Request, s *site) {
	s.demand.arrive(e.now())
	defer func() { s.demand.depart(e.now()) }()
	refusal := e.refused(a, r, s)
	if refusal == nil {
		s, refusal = e.held(r, s)
	}
	if refusal != nil {
		writePage(a, r, *refusal)
		return
	}
	e.proxy.pass(a, r, s.Route, s.pool, e.group(r, s.Route))
}

// site returns who answers under a host name; one without a route has the kind none.
func (e *Edge) site(host string) (s *site, known bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.sites[host]; s != nil {
		return s, true
	}
	return e.nobody, false
}

// hostName is a Host header as routes are keyed: lower case, without port and final dot.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
