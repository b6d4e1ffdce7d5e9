// Package ingress is the edge: it answers under the public host names, passes requests for apps on to their replicas
// and hands requests for functions to their handlers. The control plane tells it the routes and swaps them whole.
package ingress

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
)

// The kinds of a Route.
const (
	KindApp      = "app"
	KindFunction = "function"
)

// Backend is one replica of an app.
type Backend struct {
	ID      string // workload id
	Address string // host:port
}

// Route says who answers under a host name.
type Route struct {
	Host          string // guestbook.app.localhost, without port; letter case does not matter
	Project, Name string
	Kind          string       // KindApp or KindFunction
	Backends      []Backend    // of an app
	Handler       http.Handler // of a function; Backends are unused
	Note          string       // why there is no backend, shown on the 503 page
}

// Options are what New needs.
type Options struct {
	Logger     *slog.Logger          // required
	Registerer prometheus.Registerer // takes the metrics nuage_edge_*; nil: nothing is registered
	Now        func() time.Time      // required

	// OnAnswer, where not nil, is called once a request when its status is known and its body is still to come. It must
	// not block. It is not called for hosts without a route.
	OnAnswer func(r Route, status int)
}

// Edge is an http.Handler over the routes. Its methods are safe for concurrent use.
type Edge struct {
	logger    *slog.Logger
	now       func() time.Time
	onAnswer  func(Route, int)
	metrics   *metrics
	transport *http.Transport
	proxy     *httputil.ReverseProxy

	mu       sync.Mutex
	sites    map[string]*site // by host in lower case
	inFlight map[string]int   // by backend id; no entry for 0
}

// site is a route and whose turn it is.
type site struct {
	Route
	next int
}

// New returns an edge without routes.
func New(o Options) *Edge {
	e := &Edge{
		logger: o.Logger, now: o.Now, onAnswer: o.OnAnswer, metrics: newMetrics(o.Registerer), transport: newTransport(),
		sites: map[string]*site{}, inFlight: map[string]int{},
	}
	e.proxy = e.newProxy()
	return e
}

// SetRoutes replaces all routes at once. Requests in flight go on to their end, also on backends that left; a request
// that arrives after the return of SetRoutes goes to a backend of routes. Of two routes with one host the last counts.
func (e *Edge) SetRoutes(routes []Route) {
	sites := make(map[string]*site, len(routes))
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range routes {
		host := hostName(r.Host)
		s := &site{Route: r}
		if before := e.sites[host]; before != nil {
			s.next = before.next
		}
		sites[host] = s
	}
	e.sites = sites
}

// InFlight returns how many requests and upgraded connections a backend is serving, whether it has a route or not.
// Once a backend has left the routes its number only falls.
func (e *Edge) InFlight(backendID string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.inFlight[backendID]
}

// Close closes the idle connections to backends. Requests in flight go on; the server that calls ServeHTTP ends them.
func (e *Edge) Close() error {
	e.transport.CloseIdleConnections()
	return nil
}

// ServeHTTP answers a request by its Host header.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := e.now()
	route, known := e.route(hostName(r.Host))
	if !known {
		route = Route{Kind: "none"}
	}
	a := &answer{ResponseWriter: w, onStatus: func(status int) {
		if known && e.onAnswer != nil {
			e.onAnswer(route, status)
		}
	}}
	defer func() { e.metrics.observe(route, a.status, e.now().Sub(start)) }()
	id := requestID(r.Header.Get(api.HeaderRequestID))
	w.Header().Set(api.HeaderRequestID, id)
	if !known {
		writePage(a, r, unknownHost(r))
		return
	}
	e.serve(a, fromOutside(r, id), route)
}

// serve answers a request that has a route and cleaned headers.
func (e *Edge) serve(a *answer, r *http.Request, route Route) {
	switch {
	case r.Method == http.MethodConnect:
		writePage(a, r, noTunnel())
	case route.Handler != nil:
		dropHopByHop(r.Header)
		route.Handler.ServeHTTP(a, r)
	case len(route.Backends) == 0:
		writePage(a, r, noBackend(route))
	default:
		f := &flight{edge: e, host: hostName(r.Host), tried: map[string]bool{}}
		defer f.land()
		e.proxy.ServeHTTP(a, r.WithContext(context.WithValue(r.Context(), flightKey{}, f)))
	}
}

func (e *Edge) route(host string) (Route, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.sites[host]
	if s == nil {
		return Route{}, false
	}
	return s.Route, true
}

// hostName is a Host header as routes are keyed: lower case, without port and final dot.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
