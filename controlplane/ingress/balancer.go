package ingress

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"nuage/api"
)

// BalancerOptions are what OpenBalancer needs. The first five fields are required.
type BalancerOptions struct {
	Project, Name string // of the load balancer
	Logger        *slog.Logger
	Now           func() time.Time
	Metrics       *BalancerMetrics
	TCP           bool  // passes connections on; false: HTTP requests
	Sent          *Sent // counts what goes out to callers; nil: nobody does

	// OnDead hears of each backend that could not be dialled, OnDrained when a backend that left has ended all it had begun.
	// Neither may block. Each may be nil.
	OnDead    func(backendID string, err error)
	OnDrained func()
}

// Service is what a balancer does now.
type Service struct {
	Backends      []Backend     // the healthy ones
	Algorithm     Algorithm     // RoundRobin when empty
	Drain         time.Duration // how long a backend that left may end what it has begun; 0: as long as it takes
	ProxyProtocol bool          // of TCP: backends are told the client's address by a PROXY protocol version 2 header
	Note          string        // why there is no backend, shown on the 503 page
}

// Balancer passes what comes to its listener on to its backends. Its methods are safe for concurrent use.
type Balancer struct {
	*Pool
	o        BalancerOptions
	listener net.Listener
	proxy    *proxy       // nil: TCP
	server   *http.Server // nil: TCP
	running  sync.WaitGroup
	ctx      context.Context // ends when the balancer closes for good
	end      context.CancelFunc

	mu      sync.Mutex
	service Service
}

// OpenBalancer returns a balancer that accepts from l, without backends. l is its own from now on; for TCP l yields *net.TCPConn.
func OpenBalancer(l net.Listener, o BalancerOptions) *Balancer {
	b := &Balancer{o: o, listener: l, Pool: newPool(o.Now, o.OnDead, o.OnDrained)}
	b.ctx, b.end = context.WithCancel(context.Background())
	if o.TCP {
		b.running.Go(b.accept)
		return b
	}
	b.proxy = newProxy(o.Logger)
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug)}
	b.running.Go(func() {
		if err := b.server.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			o.Logger.Error("load balancer does not listen any more", "project", o.Project, "name", o.Name, "error", err)
		}
	})
	return b
}

// Addr is where it listens.
func (b *Balancer) Addr() *net.TCPAddr { return b.listener.Addr().(*net.TCPAddr) }

// Serve has the balancer do s from now on: a backend that is not in it gets nothing new once Serve has returned.
func (b *Balancer) Serve(s Service) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.service = s
	b.Set(s.Backends, s.Algorithm, s.Drain)
	b.o.Metrics.healthy(b.o, len(s.Backends))
	if b.proxy != nil {
		b.proxy.wires.sweep()
	}
}

// Unlisten frees the port at once. Connections that are there go on until Close.
func (b *Balancer) Unlisten() {
	_ = b.listener.Close() // fails only where it is closed already
}

// Close stops listening and waits for what is in flight; what has not ended when ctx does is cut off.
func (b *Balancer) Close(ctx context.Context) {
	if b.o.TCP {
		b.Unlisten()
	} else if b.server.Shutdown(ctx) != nil {
		defer b.server.Close()
	}
	b.settle(ctx)
	b.cutAll()
	b.end()
	if b.server != nil {
		b.server.Close()
		b.proxy.close()
	}
	b.running.Wait()
}

// settle waits until nothing is in flight, or ctx ends.
func (b *Balancer) settle(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for b.Total() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// route is what pages and logs say of the balancer, and whether backends get a PROXY header.
func (b *Balancer) route() (r Route, proxyProtocol bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Route{Project: b.o.Project, Name: b.o.Name, Kind: KindBalancer, Note: b.service.Note}, b.service.ProxyProtocol
}

// sent counts what goes out to callers; nil: nobody does.
func (b *Balancer) sent() *atomic.Int64 {
	if b.o.Sent == nil {
		return nil
	}
	return b.o.Sent.of(Sender{b.o.Project, b.o.Name, KindBalancer})
}

// ServeHTTP passes a request on, whatever its Host header.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &answer{ResponseWriter: w, sent: b.sent()}
	defer b.o.Metrics.begin(b.o, func() string { return statusLabel(a.status) })()
	id := requestID(r.Header.Get(api.HeaderRequestID))
	w.Header().Set(api.HeaderRequestID, id)
	if r.Method == http.MethodConnect {
		writePage(a, r, noTunnel())
		return
	}
	route, _ := b.route()
	clean(r, id)
	b.proxy.pass(a, r, route, b.Pool, "")
}
