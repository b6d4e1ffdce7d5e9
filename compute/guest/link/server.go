package link

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"nuage/api"
)

// Serve answers hosts over in and out, one after the other, until in ends or fails, and returns why (nil for its end).
// It blocks on nothing else: while no host is there it waits for a hello.
func Serve(ctx context.Context, in io.Reader, out io.Writer, m Machine) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &port{out: out, machine: m}
	defer p.drop()
	var scan scanner
	buf := make([]byte, 32<<10)
	for {
		n, err := in.Read(buf)
		piece := buf[:n]
		for len(piece) > 0 {
			nonce, rest, found := scan.next(piece)
			if !found {
				break
			}
			p.open(ctx, nonce)
			piece = piece[len(piece)-rest:]
		}
		p.feed(piece)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return api.Errorf(api.Unavailable, "cannot read from the host: %w", err)
		}
	}
}

// port is the guest's end: one output, at most one session on it.
type port struct {
	machine Machine
	mu      sync.Mutex // guards out and current
	out     io.Writer
	current *pipe
}

// open drops the session there was, answers the hello, and starts a new session.
func (p *port) open(ctx context.Context, nonce []byte) {
	p.drop()
	r, w := io.Pipe()
	conn := &pipe{port: p, r: r, w: w}
	p.mu.Lock()
	p.current = conn
	_, err := p.out.Write(reply(nonce))
	p.mu.Unlock()
	if err != nil {
		return // the host gets no answer and dials again
	}
	go serveSession(ctx, conn, p.machine)
}

func (p *port) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		p.current.end()
		p.current = nil
	}
}

// feed hands bytes to the session; without one, or when it has ended, they are noise.
func (p *port) feed(b []byte) {
	p.mu.Lock()
	conn := p.current
	p.mu.Unlock()
	if conn != nil && len(b) > 0 {
		conn.w.Write(b)
	}
}

// pipe is what a session reads and writes: the port, for as long as the session is the current one.
type pipe struct {
	port *port
	r    *io.PipeReader
	w    *io.PipeWriter
}

func (c *pipe) Read(b []byte) (int, error) { return c.r.Read(b) }

func (c *pipe) Write(b []byte) (int, error) {
	c.port.mu.Lock()
	defer c.port.mu.Unlock()
	if c.port.current != c {
		return 0, io.ErrClosedPipe
	}
	return c.port.out.Write(b)
}

func (c *pipe) Close() error {
	c.end()
	return nil
}

func (c *pipe) end() {
	c.r.CloseWithError(io.ErrClosedPipe)
	c.w.CloseWithError(io.ErrClosedPipe)
}

// serveSession answers one host until it goes away or is replaced; then everything it asked for is cancelled.
func serveSession(ctx context.Context, conn *pipe, m Machine) {
	defer conn.end()
	session, err := yamux.Server(conn, muxConfig(30*time.Second))
	if err != nil {
		return // the host's session fails the same way and says so
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{Handler: routes(m), BaseContext: func(net.Listener) context.Context { return ctx }}
	defer session.Close()
	server.Serve(session)
}

func routes(m Machine) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /config", func(w http.ResponseWriter, r *http.Request) {
		var c Config
		if read(w, r, &c) {
			answer(w, nil, m.Configure(r.Context(), c))
		}
	})
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, r *http.Request) { answer(w, m.State(), nil) })
	mux.HandleFunc("POST /events", func(w http.ResponseWriter, r *http.Request) {
		var after Cursor
		if read(w, r, &after) {
			ctx, cancel := context.WithTimeout(r.Context(), 25*time.Second)
			defer cancel()
			answer(w, m.Events(ctx, after), nil)
		}
	})
	mux.HandleFunc("POST /exec", func(w http.ResponseWriter, r *http.Request) { serveExec(w, r, m) })
	return mux
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 8<<20)).Decode(into)
	if err != nil {
		answer(w, nil, api.Errorf(api.Invalid, "cannot read the request: %w", err))
	}
	return err == nil
}

func answer(w http.ResponseWriter, out any, err error) {
	if err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		out = problem{api.CodeOf(err), err.Error()}
	}
	json.NewEncoder(w).Encode(out)
}

// serveExec turns the request's connection into frames and runs the command on it.
func serveExec(w http.ResponseWriter, r *http.Request, m Machine) {
	var cmd Command
	if !read(w, r, &cmd) {
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		answer(w, nil, api.Errorf(api.Internal, "cannot take the connection over: %w", err))
		return
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(r.Context()) // which ends with the session
	defer cancel()
	const accepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + execProtocol + "\r\n\r\n"
	if _, err := io.WriteString(conn, accepted); err != nil {
		return
	}
	frames := &frameWriter{w: conn}
	in := newInput(frames)
	go func() {
		defer cancel()
		in.receive(buffered.Reader)
	}()
	go in.pump(ctx)
	stdio := Stdio{Stdin: in.stdin, Stdout: output{frames, frameStdout}, Stderr: output{frames, frameStderr}, Resize: in.sizes}
	status, err := m.Exec(ctx, cmd, stdio)
	finish(frames, status, err)
}

func finish(frames *frameWriter, status int, err error) {
	if err != nil {
		b, _ := json.Marshal(problem{api.CodeOf(err), err.Error()}) // two strings always encode
		frames.write(frameFail, b)
		return
	}
	frames.write(frameExit, binary.BigEndian.AppendUint32(nil, uint32(int32(status))))
}
