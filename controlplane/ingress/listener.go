package ingress

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// helloTimeout is how long a connection may take until its first byte.
const helloTimeout = 10 * time.Second

// recordHandshake is the first byte of a TLS connection: RFC 8446, section 5.1. No request begins with it.
const recordHandshake = 22

// Listener returns l as the edge's servers serve it: where the edge has an authority, connections that begin with TLS are
// TLS, and the others plain HTTP. Closing it closes l.
func (e *Edge) Listener(l net.Listener) net.Listener {
	if e.certificates == nil {
		return l
	}
	s := &sniffer{Listener: l, config: e.tlsConfig(), conns: make(chan net.Conn), errs: make(chan error), closed: make(chan struct{})}
	go s.run()
	return s
}

// sniffer tells connections apart by their first byte. Accept never waits for a caller that says nothing.
type sniffer struct {
	net.Listener
	config *tls.Config
	conns  chan net.Conn
	errs   chan error
	closed chan struct{}
	once   sync.Once
}

// Accept returns a connection that has said something, or what l says.
func (s *sniffer) Accept() (net.Conn, error) {
	select {
	case conn := <-s.conns:
		return conn, nil
	case err := <-s.errs:
		return nil, err
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *sniffer) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Listener.Close()
}

// run accepts until the listener is closed.
func (s *sniffer) run() {
	for {
		conn, err := s.Listener.Accept()
		if err == nil {
			go s.sniff(conn)
			continue
		}
		select {
		case s.errs <- err: // such as too many open files: the server waits a moment and asks again
		case <-s.closed:
			return
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// sniff reads the first byte of a connection and hands the connection on.
func (s *sniffer) sniff(conn net.Conn) {
	var first [1]byte
	err := conn.SetReadDeadline(time.Now().Add(helloTimeout))
	if err == nil {
		_, err = conn.Read(first[:])
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		_ = conn.Close() // it said nothing: nobody waits for an answer
		return
	}
	var out net.Conn = &begun{Conn: conn, first: first[:]}
	if first[0] == recordHandshake {
		out = tls.Server(out, s.config)
	}
	select {
	case s.conns <- out:
	case <-s.closed:
		_ = conn.Close() // as the listener that it came by
	}
}

// begun is a connection of which the first bytes have been read.
type begun struct {
	net.Conn
	first []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}
