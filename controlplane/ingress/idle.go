package ingress

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// watch ends a flight in which no byte moves for a while. Waiting for an answer to begin is no rest: that has a limit of its own.
type watch struct {
	limit   time.Duration
	last    atomic.Int64 // when a byte moved, in ns since started
	started time.Time
	sending atomic.Bool // the request's body has not ended
	begun   atomic.Bool // the answer has begun

	mu    sync.Mutex
	timer *time.Timer
	over  bool // nobody looks any more
}

// watchIdle begins to watch a request; it returns the request to go on with, and what ends the watch.
func (f *flight) watchIdle(a *answer, r *http.Request, limit time.Duration) (*http.Request, func()) {
	w := &watch{limit: limit, started: time.Now()}
	if r.Body != nil && r.Body != http.NoBody {
		w.sending.Store(true)
		body := &watchedBody{ReadCloser: r.Body, watch: w}
		r = r.WithContext(r.Context())
		r.Body = body
	}
	a.watch = w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(limit, func() { w.look(func() { f.rested(a) }) })
	return r, w.stop
}

// stop ends the watch: when it returns, nothing is ended any more.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.timer.Stop()
}

func (w *watch) touch() { w.last.Store(int64(time.Since(w.started))) }

// look ends what has rested for too long, or looks again when that may be so.
func (w *watch) look(end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	rested := time.Since(w.started) - time.Duration(w.last.Load())
	if !w.sending.Load() && !w.begun.Load() {
		rested = 0
	}
	if rested >= w.limit {
		end()
		return
	}
	w.timer.Reset(w.limit - rested)
}

// rested ends a flight in which nothing moves: a WebSocket with a goodbye, anything else at once.
func (f *flight) rested(a *answer) {
	if f.goodbye() {
		return
	}
	f.end(errIdle)
	_ = http.NewResponseController(a.ResponseWriter).SetReadDeadline(time.Now()) // frees who waits for the body; a connection that was taken over has none
}

// watchedBody is the body of a request that is watched.
type watchedBody struct {
	io.ReadCloser
	watch *watch
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.watch.touch()
	if errors.Is(err, io.EOF) {
		b.watch.sending.Store(false)
	}
	return n, err
}

// watchedConn is a connection that was taken over from a watched request.
type watchedConn struct {
	net.Conn
	watch *watch
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.watch.touch()
	return n, err
}

func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.watch.touch()
	return n, err
}
