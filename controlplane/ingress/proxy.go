package ingress

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"nuage/api"
)

// The patience with backends, which are containers on the same machine.
const (
	dialTimeout   = 4 * time.Second  // a program that is busy misses the first packet, and the one a second later
	answerTimeout = 60 * time.Second // until the answer's headers
	idleTimeout   = 30 * time.Second
	idlePerHost   = 256
)

func newDialer() *net.Dialer { return &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second} }

// proxy passes requests on to the backends of pools. The edge has one, and each load balancer for HTTP.
type proxy struct {
	logger    *slog.Logger
	wires     *wires                 // of direct requests
	transport *http.Transport        // of the others
	reverse   *httputil.ReverseProxy // over transport
	buffers   *buffers
}

func newProxy(logger *slog.Logger) *proxy {
	p := &proxy{logger: logger, wires: newWires(), buffers: newBuffers(), transport: &http.Transport{
		DialContext:           newDialer().DialContext,
		MaxIdleConnsPerHost:   idlePerHost,
		IdleConnTimeout:       idleTimeout,
		ResponseHeaderTimeout: answerTimeout,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true, // bodies pass as they are
	}}
	p.reverse = &httputil.ReverseProxy{
		Rewrite:       rewrite,
		Transport:     relay{p.transport},
		FlushInterval: -1,
		BufferPool:    p.buffers,
		ModifyResponse: func(r *http.Response) error {
			f := flightOf(r.Request)
			f.patience.Stop()
			adapt(r, f)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { p.failed(w.(*answer), r, flightOf(r), err) },
		ErrorLog:     slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	return p
}

type flightKey struct{}

// pass sends a request with cleaned headers to a backend of the route's pool, one of the group where there is any, and answers itself
// where none does.
func (p *proxy) pass(a *answer, r *http.Request, route Route, pool *Pool, group string) {
	f := pool.fly(r.Context(), route)
	f.group, f.secure = group, r.TLS != nil
	defer f.land()
	if route.Limits.Idle > 0 {
		watched, end := f.watchIdle(a, r, route.Limits.Idle)
		defer end()
		r = watched
	}
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		a.taken = f.take
	}
	if direct(r) {
		p.exchange(a, r, f)
		return
	}
	f.patience = time.AfterFunc(patience(route), func() { f.end(errSlow) })
	defer f.patience.Stop()
	p.reverse.ServeHTTP(a, r.WithContext(context.WithValue(f.ctx, flightKey{}, f)))
}

// rewrite leaves path and query as they came. The relay sets the address.
func rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme = "http"
	p.Out.URL.RawQuery = p.In.URL.RawQuery
	for _, name := range []string{headerFor, headerHost, headerProto} { // which were taken out as a stranger's
		p.Out.Header[name] = p.In.Header[name]
	}
}

// relay sends requests of the reverse proxy.
type relay struct{ transport http.RoundTripper }

func (l relay) RoundTrip(r *http.Request) (*http.Response, error) {
	body := &untouched{ReadCloser: r.Body}
	return flightOf(r).send(r, body, func(b Backend) (*http.Response, error) { return l.transport.RoundTrip(addressed(r, b, body)) })
}

// send has a request sent to the flight's next backend, and to the one after where nothing can have happened yet. body is nil without one.
func (f *flight) send(r *http.Request, body *untouched, to func(Backend) (*http.Response, error)) (*http.Response, error) {
	var last error
	for {
		b, err := f.next()
		if err != nil {
			return nil, cmp.Or(last, err)
		}
		f.answers = b.Group
		response, err := to(b)
		if err == nil || f.ctx.Err() != nil {
			return response, err
		}
		if undialled(err) {
			f.dead(err)
		}
		if !repeatable(r, body, err) {
			return nil, err
		}
		last = err
	}
}

func flightOf(r *http.Request) *flight { return r.Context().Value(flightKey{}).(*flight) }

// addressed is r for one backend. The body stays open over several attempts; the proxy closes it.
func addressed(r *http.Request, b Backend, body *untouched) *http.Request {
	out := r.WithContext(r.Context())
	target := *r.URL
	target.Host = b.Address
	out.URL = &target
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = body
	}
	return out
}

// untouched is a request's body that knows whether somebody began to read it.
type untouched struct {
	io.ReadCloser
	read atomic.Bool // the transport reads on a goroutine of its own
}

func (u *untouched) Read(p []byte) (int, error) {
	u.read.Store(true)
	return u.ReadCloser.Read(p)
}

func (u *untouched) Close() error { return nil }

// repeatable reports whether a failed request may go to another backend: it never left, or it has no body, may be
// repeated by its method, and the connection broke before an answer.
func repeatable(r *http.Request, body *untouched, err error) bool {
	if undialled(err) {
		return body == nil || !body.read.Load()
	}
	return idempotent(r.Method) && (r.Body == nil || r.Body == http.NoBody) && broken(err)
}

// undialled reports whether no connection came about.
func undialled(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// broken reports whether a connection ended before an answer.
func broken(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// idempotent is RFC 9110, section 9.2.2.
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// close closes the connections that are kept.
func (p *proxy) close() {
	p.wires.close()
	p.transport.CloseIdleConnections()
}

// failed answers for backends that did not.
func (p *proxy) failed(a *answer, r *http.Request, f *flight, err error) {
	cut := errors.Is(context.Cause(f.ctx), errCut)
	if tooMuch := new(http.MaxBytesError); errors.As(err, &tooMuch) {
		writePage(a, r, tooLarge(f.route))
		return
	}
	switch context.Cause(f.ctx) {
	case errSlow:
		writePage(a, r, slowBackend(f.route))
		return
	case errIdle:
		writePage(a, r, slowCaller(f.route))
		return
	}
	if errors.Is(r.Context().Err(), context.Canceled) && !cut {
		a.status = statusClientGone
		return
	}
	if errors.Is(err, errNoBackend) {
		writePage(a, r, noBackend(f.route))
		return
	}
	p.logger.Warn("no backend answered", "kind", f.route.Kind, "project", f.route.Project, "name", f.route.Name, "host", r.Host,
		"requestId", r.Header.Get(api.HeaderRequestID), "error", err)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() && !undialled(err) && !cut {
		writePage(a, r, slowBackend(f.route))
		return
	}
	writePage(a, r, brokenBackend(f.route))
}
