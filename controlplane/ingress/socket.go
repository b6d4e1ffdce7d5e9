package ingress

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"
)

// farewell is how long both ends of a WebSocket may take to end it after the edge has said goodbye.
const farewell = time.Second

// The close frames that say "going away" (1001): RFC 6455, sections 5.2, 5.5.1 and 7.4.1. A client masks what it sends.
const (
	goingAway       = "\x88\x02\x03\xe9"
	goingAwayMasked = "\x88\x82\x00\x00\x00\x00\x03\xe9"
)

// socket is a WebSocket on its way through the edge: the caller's connection, which knows where frames begin, so that the edge can
// end it as either end would. One goroutine reads and one writes.
type socket struct {
	net.Conn        // the caller's
	in       frames // from the caller; of the reader alone
	told     bool   // the backend was sent a close frame; of the reader alone

	mu      sync.Mutex
	out     frames // to the caller
	leaving bool
	said    bool // the caller was sent a close frame: nothing may follow
}

// goodbye ends the socket at the next end of a frame in either direction.
func (s *socket) goodbye() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving {
		return
	}
	s.leaving = true
	if s.out.between() {
		_ = s.sayGoodbye() // a caller that is gone needs none
	}
	_ = s.Conn.SetReadDeadline(time.Now()) // wakes the reader; it fails where that has ended
}

// sayGoodbye sends the caller a close frame. The lock is held.
func (s *socket) sayGoodbye() error {
	s.said = true
	_, err := io.WriteString(s.Conn, goingAway)
	return err
}

// Write passes on what the backend says, up to a goodbye.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.said {
		return len(p), nil
	}
	end := 0
	for end < len(p) && (end == 0 || !s.leaving || !s.out.between()) {
		end += s.out.step(p[end:])
	}
	n, err := s.Conn.Write(p[:end])
	if err == nil && s.leaving && s.out.between() {
		err = s.sayGoodbye()
	}
	if err != nil {
		return n, err
	}
	return len(p), nil
}

// Read returns what the caller says and, after a goodbye, a close frame and the end.
func (s *socket) Read(p []byte) (int, error) {
	if s.told {
		s.drain()
		return 0, io.EOF
	}
	if s.isLeaving() && s.in.between() {
		return s.tell(p)
	}
	n, err := s.Conn.Read(p)
	for at := 0; at < n; {
		at += s.in.step(p[at:n])
	}
	if n == 0 && err != nil && s.isLeaving() {
		if s.in.between() {
			return s.tell(p)
		}
		_ = s.Conn.SetReadDeadline(time.Now().Add(farewell)) // for the rest of the frame
		n, err = s.Conn.Read(p)
		for at := 0; at < n; {
			at += s.in.step(p[at:n])
		}
	}
	return n, err
}

func (s *socket) isLeaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaving
}

// tell has the backend read a close frame. Buffers that sockets are copied with hold many.
func (s *socket) tell(p []byte) (int, error) {
	s.told = true
	return copy(p, goingAwayMasked), nil
}

// drain waits for the caller's end: closing on unread bytes would reset the connection, and the caller could miss the goodbye.
func (s *socket) drain() {
	if s.Conn.SetReadDeadline(time.Now().Add(farewell)) == nil {
		_, _ = io.Copy(io.Discard, s.Conn)
	}
}

// frames follows the frames of one direction.
type frames struct {
	head []byte // of the frame that has begun, as far as it came
	rest uint64 // bytes of its payload that are still to come
}

// between reports whether one frame has ended and the next has not begun.
func (f *frames) between() bool { return len(f.head) == 0 && f.rest == 0 }

// step takes note of bytes that pass, up to the end of a frame at most, and returns how many.
func (f *frames) step(p []byte) int {
	if f.rest > 0 {
		n := int(min(f.rest, uint64(len(p))))
		f.rest -= uint64(n)
		return n
	}
	for i, b := range p {
		f.head = append(f.head, b)
		if length, whole := payload(f.head); whole {
			f.head, f.rest = f.head[:0], length
			return i + 1
		}
	}
	return len(p)
}

// payload is the length of a frame's payload, when its head is whole.
func payload(head []byte) (length uint64, whole bool) {
	if len(head) < 2 {
		return 0, false
	}
	need := 2
	if head[1]&0x80 != 0 {
		need += 4 // the mask
	}
	switch short := head[1] & 0x7f; short {
	case 126:
		need += 2
	case 127:
		need += 8
	default:
		return uint64(short), len(head) >= need
	}
	if len(head) < need {
		return 0, false
	}
	if head[1]&0x7f == 126 {
		return uint64(binary.BigEndian.Uint16(head[2:])), true
	}
	return binary.BigEndian.Uint64(head[2:]), true
}
