package ingress

import (
	"bufio"
	"net"
	"net/http"
	"sync/atomic"
)

// statusClientGone is what metrics count for a caller that left before its answer. Nobody sees it.
const statusClientGone = 499

// answer is a ResponseWriter that knows its status.
type answer struct {
	http.ResponseWriter
	status   int                     // 0 until known
	sent     *atomic.Int64           // bytes of its body; nil: nobody counts
	onStatus func(int)               // may be nil
	watch    *watch                  // nil: it may rest for as long as it likes
	taken    func(net.Conn) net.Conn // what a connection that is taken over becomes; nil: itself
}

func (a *answer) WriteHeader(status int) {
	a.note(status)
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.note(http.StatusOK)
	if a.watch != nil {
		defer a.watch.touch()
	}
	n, err := a.ResponseWriter.Write(p)
	if a.sent != nil {
		a.sent.Add(int64(n))
	}
	return n, err
}

// Hijack is how an upgraded connection is answered.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	a.note(http.StatusSwitchingProtocols)
	if a.sent != nil {
		conn = &countedConn{conn, a.sent}
	}
	if a.taken != nil {
		conn = a.taken(conn)
	}
	if a.watch != nil {
		conn = &watchedConn{conn, a.watch}
	}
	return conn, buffer, nil
}

// flush sends what was written so far.
func (a *answer) flush() error { return http.NewResponseController(a.ResponseWriter).Flush() }

// early hands an answer on that precedes the final one, such as 103.
func (a *answer) early(r *http.Response) {
	header := a.Header()
	for name, values := range r.Header {
		header[name] = values
	}
	a.WriteHeader(r.StatusCode)
	for name := range r.Header {
		delete(header, name)
	}
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// note takes the first final status.
func (a *answer) note(status int) {
	if a.status != 0 || status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	a.status = status
	if a.watch != nil {
		a.watch.touch()
		a.watch.begun.Store(true)
	}
	if a.onStatus != nil {
		a.onStatus(status)
	}
}
