// Package wire is what a function sandbox and the control plane say to each other: frames over one connection, which
// the control plane opens and on whose end the sandbox ends.
//
//	sandbox                  control plane
//	Hello                                     the interpreter waits for its code
//	                         Bind             this is the code
//	Log* Ready | Failed | Exited              it is loaded
//	                         Invoke           one event; again and again
//	Accepted Log* Done | Exited               Accepted comes before the code sees the event
//
// All processes of the sandbox but PID 1 are stopped from Done to the next Invoke. After Failed, Exited and a Done
// that is not Reusable the sandbox is of no more use.
package wire

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// Kind says what a frame is.
type Kind byte

// The kinds of frames.
const (
	Hello    Kind = 'h' // no head
	Bind     Kind = 'b' // head Binding
	Ready    Kind = 'r' // head Usage
	Failed   Kind = 'f' // head Usage; body: the error document
	Invoke   Kind = 'i' // head Event; body: the payload
	Accepted Kind = 'a' // no head
	Log      Kind = 'l' // body: what the code printed
	Done     Kind = 'd' // head Result; body: the answer
	Exited   Kind = 'x' // head Exit
)

// MaxBody bounds a body: a payload and what the Runtime API allows over it.
const MaxBody = 6<<20 + 1<<10

// maxHead bounds a head; the environment of a function is in one.
const maxHead = 1 << 20

// Binding is the head of Bind: what makes a waiting interpreter a function.
type Binding struct {
	Handler string            `json:"handler"`
	Env     map[string]string `json:"env"`           // the whole environment the code adds to the interpreter's
	Check   bool              `json:"check"`         // only look whether the code can be parsed
	Command []string          `json:"command"`       // started now, where none was started ahead
	Dir     string            `json:"dir,omitempty"` // where it starts; /tmp when empty
}

// Event is the head of Invoke.
type Event struct {
	RequestID   string `json:"requestId"`
	ContentType string `json:"contentType"`
	FunctionARN string `json:"functionArn"`
	TimeoutMs   int64  `json:"timeoutMs"`
}

// Result is the head of Done.
type Result struct {
	Usage
	ContentType string `json:"contentType,omitempty"`
	Error       bool   `json:"error,omitempty"`    // the body is an error document
	TimedOut    bool   `json:"timedOut,omitempty"` // there is no body
	Reusable    bool   `json:"reusable"`
}

// Usage is what the code has used so far.
type Usage struct {
	MemoryBytes int64 `json:"memoryBytes"` // most at any time
}

// Exit is the head of Exited.
type Exit struct {
	Usage
	How         string `json:"how"` // as "exit status 3"
	OutOfMemory bool   `json:"outOfMemory,omitempty"`
}

// Frame is one message.
type Frame struct {
	Kind Kind
	Head []byte // JSON, or empty
	Body []byte
}

// Decode reads the head into v.
func (f Frame) Decode(v any) error {
	if err := json.Unmarshal(f.Head, v); err != nil {
		return fmt.Errorf("cannot read the head of a frame %q: %w", f.Kind, err)
	}
	return nil
}

// Write sends one frame. head is encoded as JSON; nil is no head.
func Write(w io.Writer, kind Kind, head any, body []byte) error {
	var h []byte
	if head != nil {
		var err error
		if h, err = json.Marshal(head); err != nil {
			return fmt.Errorf("cannot write the head of a frame %q: %w", kind, err)
		}
	}
	b := make([]byte, 9, 9+len(h)+len(body))
	b[0] = byte(kind)
	binary.BigEndian.PutUint32(b[1:], uint32(len(h)))
	binary.BigEndian.PutUint32(b[5:], uint32(len(body)))
	b = append(append(b, h...), body...)
	_, err := w.Write(b)
	return err
}

// Read receives one frame. io.EOF: the other side has gone, between two frames.
func Read(r *bufio.Reader) (Frame, error) {
	var prefix [9]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return Frame{}, err
	}
	f := Frame{Kind: Kind(prefix[0])}
	head, body := binary.BigEndian.Uint32(prefix[1:]), binary.BigEndian.Uint32(prefix[5:])
	if head > maxHead || body > MaxBody {
		return Frame{}, fmt.Errorf("cannot read a frame %q of %d and %d bytes: it is too large", f.Kind, head, body)
	}
	b := make([]byte, head+body)
	if _, err := io.ReadFull(r, b); err != nil {
		return Frame{}, fmt.Errorf("cannot read a frame %q: %w", f.Kind, err)
	}
	f.Head, f.Body = b[:head:head], b[head:]
	return f, nil
}
