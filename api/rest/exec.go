package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"

	"nuage/api"
)

// Times and sizes of an exec's connection.
const (
	execStart     = 10 * time.Second // for the command to come, and for the end to be sent
	execHeartbeat = 15 * time.Second
	execChunk     = 32 << 10
	execMessage   = 1 << 20 // longest message of a client
	execAhead     = 16      // messages of input that wait for the command to read
)

// webSocket documents the protocol.
func webSocket(op *huma.Operation) {
	op.DefaultStatus = http.StatusSwitchingProtocols
	op.Responses["101"] = &huma.Response{Description: "A WebSocket."}
	op.Description = "The client's first message is a text: the command as JSON, `{\"words\": [\"ls\", \"-l\"], \"tty\": false}`. " +
		"All others are binary and begin with a byte that names their channel: 0 stdin, 1 stdout, 2 stderr, " +
		"3 the end as JSON (`{\"status\": 0}`, or `{\"problem\": {...}}` where nothing ran), 4 the terminal's size as JSON " +
		"(`{\"rows\": 24, \"cols\": 80}`), 5 the end of stdin. An empty message on channel 1 shows that the connection lives."
}

func (f *face) exec(n noun) func(http.ResponseWriter, *http.Request, *struct{ Named }) error {
	return func(w http.ResponseWriter, r *http.Request, in *struct{ Named }) error {
		up := &upgrade{ResponseWriter: w}
		conn, err := websocket.Accept(up, r, nil)
		if err != nil {
			return up.explain(err)
		}
		conn.SetReadLimit(execMessage)
		defer conn.CloseNow()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		s := &session{conn: conn, cancel: cancel, resize: make(chan api.WindowSize, 1)}
		result := f.runExec(ctx, s, func(cmd api.Command, stdio api.Stdio) (int, error) {
			return f.Cloud.Streams.Exec(ctx, in.Project, n.plural, in.Name, cmd, stdio)
		})
		s.end(ctx, result)
		return nil
	}
}

// runExec reads the command, runs it with the connection as its streams and says how it ended.
func (f *face) runExec(ctx context.Context, s *session, run func(api.Command, api.Stdio) (int, error)) api.ExecResult {
	cmd, err := s.command(ctx)
	if err != nil {
		return f.execProblem(ctx, err)
	}
	stdin, feed := io.Pipe()
	defer stdin.Close()
	go s.receive(ctx, feed)
	go s.beat(ctx)
	status, err := run(cmd, api.Stdio{
		In: stdin, Out: s.writer(ctx, api.ExecStdout), Err: s.writer(ctx, api.ExecStderr), Resize: s.resize,
	})
	if err != nil {
		return f.execProblem(ctx, err)
	}
	return api.ExecResult{Status: status}
}

func (f *face) execProblem(ctx context.Context, err error) api.ExecResult {
	p := f.problemOf(ctx, err).Problem
	p.RequestID = requestID(ctx)
	return api.ExecResult{Problem: &p}
}

// session is one exec's connection.
type session struct {
	conn   *websocket.Conn
	cancel context.CancelFunc
	resize chan api.WindowSize
}

func (s *session) command(ctx context.Context) (cmd api.Command, err error) {
	ctx, cancel := context.WithTimeout(ctx, execStart)
	defer cancel()
	kind, text, err := s.conn.Read(ctx)
	if err != nil {
		return cmd, api.Errorf(api.Invalid, "cannot run a command: the connection brought none")
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&cmd); err != nil || kind != websocket.MessageText {
		return cmd, api.Errorf(api.Invalid, "cannot run a command: the first message must be a text as {\"words\": [\"ls\"]}")
	}
	return cmd, nil
}

// receive hands the client's messages on until the connection ends, which ends the command too.
func (s *session) receive(ctx context.Context, stdin *io.PipeWriter) {
	defer s.cancel()
	input := make(chan []byte, execAhead)
	defer close(input)
	go feed(stdin, input)
	for {
		_, message, err := s.conn.Read(ctx)
		if err != nil {
			return
		}
		if len(message) > 0 {
			s.accept(ctx, message[0], message[1:], input)
		}
	}
}

func (s *session) accept(ctx context.Context, channel byte, data []byte, input chan<- []byte) {
	switch channel {
	case api.ExecStdin:
		if len(data) > 0 {
			ahead(ctx, input, data)
		}
	case api.ExecStdinEOF:
		ahead(ctx, input, nil)
	case api.ExecResize:
		var size api.WindowSize
		if json.Unmarshal(data, &size) == nil {
			s.offer(size)
		}
	}
}

// ahead queues input, so that what comes behind it is heard although the command does not read yet.
func ahead(ctx context.Context, input chan<- []byte, data []byte) {
	select {
	case input <- data:
	case <-ctx.Done():
	}
}

// feed writes queued input to the command; nil is its end. It fails when the command reads no more, which is its right.
func feed(stdin *io.PipeWriter, input <-chan []byte) {
	for data := range input {
		if data == nil {
			stdin.Close()
		}
		_, _ = stdin.Write(data)
	}
	stdin.CloseWithError(io.ErrUnexpectedEOF)
}

// offer keeps the newest size only: a slow reader shall not stop stdin.
func (s *session) offer(size api.WindowSize) {
	select {
	case <-s.resize:
	default:
	}
	s.resize <- size // receive is the only sender, so there is room
}

// beat finds out that the client has gone even while the command neither reads nor writes.
func (s *session) beat(ctx context.Context) {
	tick := time.NewTicker(execHeartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if s.conn.Write(ctx, websocket.MessageBinary, []byte{api.ExecStdout}) != nil {
				s.cancel()
				return
			}
		}
	}
}

// end sends how it ended and closes in order. A client that has gone already needs neither.
func (s *session) end(ctx context.Context, result api.ExecResult) {
	text, err := json.Marshal(result)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), execStart)
	defer cancel()
	if s.conn.Write(ctx, websocket.MessageBinary, append([]byte{api.ExecExit}, text...)) == nil {
		_ = s.conn.Close(websocket.StatusNormalClosure, "")
	}
}

func (s *session) writer(ctx context.Context, channel byte) io.Writer {
	return &channelWriter{ctx: ctx, conn: s.conn, channel: channel}
}

// channelWriter sends what is written as messages of one channel.
type channelWriter struct {
	ctx     context.Context
	conn    *websocket.Conn
	channel byte
}

func (c *channelWriter) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		piece := p[sent:min(len(p), sent+execChunk)]
		if err := c.conn.Write(c.ctx, websocket.MessageBinary, append([]byte{c.channel}, piece...)); err != nil {
			return sent, err
		}
		sent += len(piece)
	}
	return sent, nil
}

// upgrade lets only a switch of protocols through: a refusal is worded by us, as a problem.
type upgrade struct {
	http.ResponseWriter
	refused int
}

func (u *upgrade) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		u.ResponseWriter.WriteHeader(status)
		return
	}
	u.refused = status
}

func (u *upgrade) Write(p []byte) (int, error) {
	if u.refused != 0 {
		return len(p), nil
	}
	return u.ResponseWriter.Write(p)
}

// Unwrap leads to the connection.
func (u *upgrade) Unwrap() http.ResponseWriter { return u.ResponseWriter }

func (u *upgrade) explain(err error) error {
	if u.refused == 0 {
		return err
	}
	return refuse(u.refused, fmt.Sprintf("cannot run a command without a WebSocket: %v", err))
}
