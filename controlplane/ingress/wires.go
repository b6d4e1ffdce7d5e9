package ingress

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	maxAnswerHead = 1 << 20                // bytes of the header of an answer
	warm          = 100 * time.Millisecond // so long after an answer a connection is not looked at before it is used again
)

// wires are kept connections to backends, by address, for requests that are written in one piece and may be repeated: most.
// The goroutine of such a request writes, waits and reads itself, which costs a fraction of what an http.Transport does.
type wires struct {
	dialer *net.Dialer

	mu     sync.Mutex
	idle   map[string][]*wire // the one used last is at the end
	closed bool
}

func newWires() *wires { return &wires{dialer: newDialer(), idle: map[string][]*wire{}} }

// wire is a connection to a backend that speaks HTTP/1.1.
type wire struct {
	address string
	conn    net.Conn
	raw     syscall.RawConn
	limit   io.LimitedReader // of conn
	in      *bufio.Reader    // of limit
	out     []byte           // kept for the next request
	used    time.Time        // when it was put back last; zero: never
}

// take returns a connection to an address: one that was kept, as long as the backend has not closed it or said something nobody
// asked for, else a new one.
func (l *wires) take(ctx context.Context, address string) (*wire, error) {
	for {
		kept := l.pop(address)
		if kept == nil {
			return l.dial(ctx, address)
		}
		if idle := time.Since(kept.used); idle < warm || idle < idleTimeout && kept.quiet() {
			return kept, nil
		}
		kept.close()
	}
}

func (l *wires) pop(address string) *wire {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.idle[address]
	if len(all) == 0 {
		return nil
	}
	last := all[len(all)-1]
	all[len(all)-1] = nil
	l.idle[address] = all[:len(all)-1]
	return last
}

func (l *wires) dial(ctx context.Context, address string) (*wire, error) {
	conn, err := l.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	made := &wire{address: address, conn: conn, raw: raw, limit: io.LimitedReader{R: conn}}
	made.in = bufio.NewReader(&made.limit)
	return made, nil
}

// put keeps a connection whose answer was read to its end.
func (l *wires) put(done *wire) {
	done.used = time.Now()
	l.mu.Lock()
	keep := !l.closed && len(l.idle[done.address]) < idlePerHost
	if keep {
		l.idle[done.address] = append(l.idle[done.address], done)
	}
	l.mu.Unlock()
	if !keep {
		done.close()
	}
}

// sweep closes connections that were not used for long.
func (l *wires) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for address, all := range l.idle {
		old := 0
		for old < len(all) && time.Since(all[old].used) >= idleTimeout {
			all[old].close()
			old++
		}
		if l.idle[address] = append(all[:0:0], all[old:]...); old == len(all) {
			delete(l.idle, address)
		}
	}
}

// close closes what is kept, and keeps nothing any more.
func (l *wires) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, all := range l.idle {
		for _, one := range all {
			one.close()
		}
	}
	clear(l.idle)
}

// close can fail where the backend was quicker; nothing follows from that.
func (c *wire) close() { _ = c.conn.Close() }

// quiet reports whether nothing has come since the last answer, not even the end. What came unasked must not be taken for the next answer.
func (c *wire) quiet() bool {
	quiet := false
	err := c.raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && quiet && c.in.Buffered() == 0
}

// ask sends a request and reads the head of its answer, by a deadline. early is called for answers that precede it (1xx).
func (c *wire) ask(r *http.Request, deadline time.Time, early func(*http.Response)) (*http.Response, error) {
	if err := c.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	c.out = appendRequest(c.out[:0], r)
	if _, err := c.conn.Write(c.out); err != nil {
		return nil, err
	}
	for {
		c.limit.N = maxAnswerHead
		answer, err := http.ReadResponse(c.in, r)
		switch {
		case err != nil:
			return nil, err
		case answer.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("it changes to another protocol, and nobody asked it to")
		case answer.StatusCode >= 200:
			c.limit.N = math.MaxInt64
			return answer, c.conn.SetDeadline(time.Time{})
		}
		early(answer)
	}
}

// appendRequest writes a request without a body as HTTP/1.1. Its headers were checked by the server that read them.
func appendRequest(to []byte, r *http.Request) []byte {
	to = append(append(append(append(to, r.Method...), ' '), requestTarget(r)...), " HTTP/1.1\r\nHost: "...)
	to = append(append(to, r.Host...), "\r\n"...)
	for name, values := range r.Header {
		if hopByHop(name) || name == "Host" || name == "Content-Length" {
			continue
		}
		for _, v := range values {
			if strings.ContainsAny(v, "\r\n") {
				continue // set by no client: a server refuses such a request
			}
			to = append(append(append(append(to, name...), ": "...), v...), "\r\n"...)
		}
	}
	return append(to, "\r\n"...)
}

// requestTarget is path and query as they came, letter by letter.
func requestTarget(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		return r.RequestURI
	}
	return r.URL.RequestURI() // of a request in absolute form, or OPTIONS *
}
