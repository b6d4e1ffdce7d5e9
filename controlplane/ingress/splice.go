package ingress

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// What nuage_load_balancer_requests_total has as the code of a TCP connection.
const (
	codeConnected = "connected" // a backend took it
	codeFailed    = "failed"    // none did
)

// accept takes connections until the listener is closed.
func (b *Balancer) accept() {
	for {
		conn, err := b.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // such as too many open files: others must end first
			b.o.Logger.Warn("load balancer cannot accept", "project", b.o.Project, "name", b.o.Name, "error", err)
			select {
			case <-b.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		b.running.Go(func() { b.carry(conn.(*net.TCPConn)) })
	}
}

// carry passes one connection on to a backend and back until both sides have ended it.
func (b *Balancer) carry(client *net.TCPConn) {
	defer client.Close()
	code := codeFailed
	defer b.o.Metrics.begin(b.o, func() string { return code })()
	route, proxyProtocol := b.route()
	f := b.fly(b.ctx, route)
	defer f.land()
	target, err := dial(f)
	if err != nil {
		b.o.Logger.Warn("no backend took a connection", "project", b.o.Project, "name", b.o.Name, "error", err)
		abort(client)
		return
	}
	defer target.Close()
	defer context.AfterFunc(f.ctx, func() { abort(client, target) })()
	if proxyProtocol {
		_, err = target.Write(proxyHeader(client.RemoteAddr(), client.LocalAddr()))
	}
	if err != nil {
		abort(client)
		return
	}
	code = codeConnected
	if n := splice(client, target); b.o.Sent != nil {
		b.sent().Add(n)
	}
}

// dial connects to the flight's next backend, and to the one after where that does not answer.
func dial(f *flight) (*net.TCPConn, error) {
	dialer := newDialer()
	var last error
	for {
		b, err := f.next()
		if err != nil {
			return nil, cmp.Or(last, err)
		}
		conn, err := dialer.DialContext(f.ctx, "tcp", b.Address)
		if err == nil {
			return conn.(*net.TCPConn), nil
		}
		if f.ctx.Err() != nil {
			return nil, context.Cause(f.ctx)
		}
		f.dead(err)
		last = err
	}
}

// splice copies both ways until both sides have ended. A side that ends its stream may still be answered; where a
// connection breaks, the other one breaks too, so that nobody takes half of an answer for all of it. It returns how many bytes went to a.
func splice(a, b *net.TCPConn) (toA int64) {
	pass := func(to, from *net.TCPConn) {
		n, err := io.Copy(to, from)
		if to == a {
			toA = n
		}
		switch {
		case err == nil:
			_ = to.CloseWrite() // fails where it has closed already: then the other direction ends as well
		case errors.Is(err, syscall.EPIPE): // it said all it had to say before it stopped reading: that is still on its way
		default:
			abort(a, b)
		}
	}
	var back sync.WaitGroup
	back.Go(func() { pass(a, b) })
	pass(b, a)
	back.Wait()
	return toA
}

// abort ends connections with a reset. Closing one that is broken or closed already can fail, and nothing follows from that.
func abort(conns ...*net.TCPConn) {
	for _, c := range conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// proxyHeader is a PROXY protocol version 2 header: a connection from client came in at local.
// https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, section 2.2.
func proxyHeader(client, local net.Addr) []byte {
	const v2, proxied, tcp4, tcp6 = 0x20, 0x01, 0x11, 0x21
	from, to := addrPort(client), addrPort(local)
	family := byte(tcp4)
	if !from.Addr().Is4() || !to.Addr().Is4() {
		family = tcp6
		from, to = netip.AddrPortFrom(netip.AddrFrom16(from.Addr().As16()), from.Port()), netip.AddrPortFrom(netip.AddrFrom16(to.Addr().As16()), to.Port())
	}
	var body []byte
	body = append(body, from.Addr().AsSlice()...)
	body = append(body, to.Addr().AsSlice()...)
	body = binary.BigEndian.AppendUint16(body, from.Port())
	body = binary.BigEndian.AppendUint16(body, to.Port())
	out := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), v2|proxied, family)
	out = binary.BigEndian.AppendUint16(out, uint16(len(body)))
	return append(out, body...)
}

func addrPort(a net.Addr) netip.AddrPort {
	p := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
