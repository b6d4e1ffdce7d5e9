package api

import (
	"context"
	"io"
)

// Command is what Exec runs. One word is a shell line, several words keep their boundaries.
type Command struct {
	Words []string          `json:"words"`
	TTY   bool              `json:"tty,omitempty"`
	Rows  int               `json:"rows,omitempty"`
	Cols  int               `json:"cols,omitempty"`
	Env   map[string]string `json:"env,omitempty"`
}

// Stdio are the streams of an Exec. In may be nil. With a TTY all output goes to Out. Resize, where not nil, carries
// window sizes.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
	Resize   <-chan WindowSize
}

// WindowSize is the size of a terminal in characters.
type WindowSize struct {
	Rows int `json:"rows"`
	Cols int `json:"cols"`
}

// LogQuery says which log lines. Tail 0 means all that is kept.
type LogQuery struct {
	Tail    int
	Follow  bool
	Request string // of a function: only what this call has printed, by its request id
	Build   int    // of an app: the log of the build of this release, and of its release command, whole; Follow goes on to its end. 0: what its replicas print
}

// Streams are the verbs that stream, for any noun that has them; noun is a plural as in the HTTP API.
type Streams interface {
	// Exec runs a command in an instance (through its guest), a fresh container of an app's release, or a database's container, and
	// returns its exit status. NotFound; Conflict: not running; Unsupported: the engine has no real guest; Invalid: no command.
	Exec(ctx context.Context, project, noun, name string, cmd Command, stdio Stdio) (status int, err error)
	// Logs returns the boot console of an instance or the merged logs of an app, a database or a function.
	// The caller closes it. NotFound; Unsupported.
	Logs(ctx context.Context, project, noun, name string, q LogQuery) (io.ReadCloser, error)
}
