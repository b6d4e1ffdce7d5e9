// Package functions runs code that is paid for by the call. The Invoker owns the hot path: concurrency, time-outs,
// receipts and logs; a Runtime (packages wasm and sandbox) runs the code. The package stores nothing: what a call
// used goes to a Journal before its answer leaves.
package functions

import (
	"context"
	"io"
	"time"

	"nuage/api"
)

// Deployment is one version of a function, ready to be run.
type Deployment struct {
	FunctionID string
	Project    string
	Name       string
	Version    int
	Runtime    string            // key of Options.Runtimes
	Handler    string            // module.function; unused by wasm
	CodeDir    string            // absolute path of the unpacked code on the host; never written to
	Digest     string            // of the code: equal digests hold equal code
	MemoryMB   int64             // MiB; api.DefaultMemoryMB when 0
	TimeoutMs  int64             // api.DefaultTimeoutMs when 0
	Env        map[string]string // the runtime's own variables win over these
	Network    string            // id of an engine network, or "" for none
	Reach      []string          // what may be reached in Network: "+10.0.0.0/8" or "-10.0.0.1"; the first that fits counts; nothing comes in
	Internet   bool              // Reach lets out of Network: then what a Runtime has to close is closed first
	Hosts      map[string]string // extra host names: name -> address
	// Concurrency bounds the calls of this function at once; 0: only the Invoker's own bound.
	Concurrency int
	// Published says that the version never changes and is called by its number: it does not take the other calls.
	Published bool
	// Checked says that the same code was checked before, as at a boot: Deploy then skips Runtime.Check.
	Checked bool
}

// Runtime runs one kind of code. All methods are safe for concurrent use.
type Runtime interface {
	// Check reads the code without running it. Invalid: it can not run, with the compiler's or interpreter's text.
	// Unavailable: the engine does not answer. Unsupported: the engine can not run such code.
	Check(ctx context.Context, d Deployment) error
	// Open makes the deployment ready for calls. Errors as for Check.
	Open(ctx context.Context, d Deployment) (Program, error)
	// Close frees everything. Programs are closed before.
	Close() error
}

// Program is a deployment that can be called, by many callers at once.
type Program interface {
	// Call runs the code once and returns within the event's time-out, or soon after ctx ends. What the code does wrong
	// is in the Outcome. An error says that the code did not run to an end for which its owner pays; then nothing is charged.
	// Exhausted: no room for one more. Unavailable: the engine does not answer, or ctx ended. Invalid: an event this runtime can not take.
	Call(ctx context.Context, e Event) (Outcome, error)
	// Close frees what the program holds. It is called once, after the last Call has returned.
	Close() error
}

// Event is one call as a Program sees it.
type Event struct {
	RequestID   string
	Payload     []byte
	ContentType string
	Timeout     time.Duration // the time the code has, initialization left out
	Log         io.Writer     // takes what the code prints; never fails
}

// Outcome is what came of a call. Times are measured outside the code.
type Outcome struct {
	Payload     []byte
	ContentType string        // application/json when empty
	Status      Status        // how it ended
	Cold        bool          // the code had to be loaded for this call
	Init        time.Duration // making the instance, or loading the code, where this call did so
	Duration    time.Duration // the code's own run
	MaxMemoryMB int64         // MiB used at most, rounded up
}

// Status says how a call ended.
type Status string

// The statuses. All but OK carry an error document as payload.
const (
	OK      Status = "ok"
	Error   Status = "error"   // the code said that it failed
	Timeout Status = "timeout" // the code was stopped
	Crash   Status = "crash"   // the code ended without an answer
)

// Journal makes calls durable.
type Journal interface {
	// Finish stores the receipt and the usage of a call in one commit and returns, when that is durable, the rated
	// receipt. On an error the caller gets no answer. Unavailable: the store can not be written.
	Finish(ctx context.Context, r Record) (api.Receipt, error)
}

// Record is what a call used: integers only, so that it can be rated again under any price book.
type Record struct {
	RequestID    string
	Project      string
	Function     string // name
	FunctionID   string
	Version      int
	StartedAt    time.Time // real time
	Cold         bool
	Duration     time.Duration // whole microseconds
	Init         time.Duration // whole microseconds
	BilledMs     int64         // Duration and Init, rounded up to 1 ms; at least 1
	MemoryMB     int64         // as deployed
	MaxMemoryMB  int64
	PayloadBytes int64
	AnswerBytes  int64
	Status       Status
	Answer       []byte // the payload; it is no part of the usage
}

// Call is one call of a function.
type Call struct {
	Payload     []byte
	ContentType string
	Version     int    // a published version; 0: what was deployed last
	RequestID   string // from NewRequestID; "" makes one
}
