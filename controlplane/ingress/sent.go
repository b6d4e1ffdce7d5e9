package ingress

import (
	"net"
	"sync"
	"sync/atomic"
)

// Sender is who answered: a route of the edge, or a load balancer.
type Sender struct{ Project, Name, Kind string }

// Sent counts the bytes that go out to callers in bodies of answers and over connections that were taken over; headers are free. Safe for
// concurrent use.
type Sent struct {
	mu    sync.Mutex
	bytes map[Sender]*atomic.Int64
}

// NewSent returns an empty count.
func NewSent() *Sent { return &Sent{bytes: map[Sender]*atomic.Int64{}} }

// of is the count of one sender, for good.
func (s *Sent) of(who Sender) *atomic.Int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.bytes[who]
	if n == nil {
		n = new(atomic.Int64)
		s.bytes[who] = n
	}
	return n
}

// Take returns what was sent since it was taken last, without those that have sent nothing.
func (s *Sent) Take() map[Sender]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[Sender]int64{}
	for who, n := range s.bytes {
		if bytes := n.Swap(0); bytes > 0 {
			out[who] = bytes
		}
	}
	return out
}

// Give counts again what was taken and could not be written down.
func (s *Sent) Give(back map[Sender]int64) {
	for who, bytes := range back {
		s.of(who).Add(bytes)
	}
}

// countedConn counts what is written to a connection.
type countedConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// CloseWrite ends one direction, where the connection can.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}
