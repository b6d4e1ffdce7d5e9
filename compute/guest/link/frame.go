package link

import (
	"encoding/binary"
	"io"
	"sync"

	"nuage/api"
)

// Once an exec is accepted its stream carries frames: a kind, a length (32 bits, big endian) and that many bytes.
const (
	frameStdin  = 'i' // host to guest, at most chunk bytes
	frameEOF    = 'e' // host to guest: stdin has ended
	frameResize = 'r' // host to guest: rows and cols, 16 bits each
	frameAck    = 'a' // guest to host: one stdin frame has reached the command
	frameStdout = 'o' // guest to host
	frameStderr = 'x' // guest to host
	frameExit   = 'q' // guest to host, the last one: exit status, 32 bits
	frameFail   = 'f' // guest to host, the last one: an error in JSON
)

const (
	chunk    = 16 << 10
	window   = 16 // stdin frames on their way at once; the guest can always take these, so resizes and the end are seen at once
	maxFrame = 1 << 20
)

// frameWriter writes whole frames; safe for concurrent use.
type frameWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (f *frameWriter) write(kind byte, p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := make([]byte, 5, 5+len(p))
	b[0] = kind
	binary.BigEndian.PutUint32(b[1:], uint32(len(p)))
	_, err := f.w.Write(append(b, p...))
	return err
}

// readFrame reads one frame. Its bytes are the caller's.
func readFrame(r io.Reader) (kind byte, p []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return 0, nil, api.Errorf(api.Internal, "cannot read a frame of %d bytes: %d is the most", n, maxFrame)
	}
	p = make([]byte, n)
	if _, err := io.ReadFull(r, p); err != nil {
		return 0, nil, noEOF(err)
	}
	return head[0], p, nil
}

// output is one of a command's two outputs on its way to the host.
type output struct {
	frames *frameWriter
	kind   byte
}

func (o output) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := min(len(p)-done, chunk)
		if err := o.frames.write(o.kind, p[done:done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return len(p), nil
}

func encodeSize(size [2]int) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(size[0]))
	return binary.BigEndian.AppendUint16(b, uint16(size[1]))
}

func decodeSize(p []byte) ([2]int, bool) {
	if len(p) != 4 {
		return [2]int{}, false
	}
	return [2]int{int(binary.BigEndian.Uint16(p)), int(binary.BigEndian.Uint16(p[2:]))}, true
}
