package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"nuage/api"
)

const (
	execChunk   = 32 << 10
	execMessage = 1 << 20 // longest message of the cloud
	execClose   = 2 * time.Second
)

// Exec runs a command over a WebSocket. A Read of stdio.In that is under way when the command ends is left behind:
// nothing can take it back.
func (s streams) Exec(ctx context.Context, project, noun, name string, cmd api.Command, stdio api.Stdio) (int, error) {
	conn, err := s.dial(ctx, path("projects", project, noun, name, "exec"))
	if err != nil {
		return 0, err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(execMessage)
	text, err := json.Marshal(cmd)
	if err != nil {
		return 0, api.Errorf(api.Invalid, "cannot send the command: %w", err)
	}
	if err := conn.Write(ctx, websocket.MessageText, text); err != nil {
		return 0, s.c.failed(ctx, err)
	}
	feeding, stop := context.WithCancel(ctx)
	defer stop()
	go feed(feeding, conn, stdio.In)
	if stdio.Resize != nil {
		go resize(feeding, conn, stdio.Resize)
	}
	return s.receive(ctx, conn, stdio)
}

func (s streams) dial(ctx context.Context, path string) (*websocket.Conn, error) {
	header := s.c.header(ctx, request{method: http.MethodGet})
	conn, answer, err := websocket.Dial(ctx, s.c.base+path, &websocket.DialOptions{HTTPClient: s.c.http, HTTPHeader: header})
	if err == nil {
		return conn, nil
	}
	if answer != nil && answer.StatusCode >= 300 {
		return nil, s.c.refused(answer)
	}
	return nil, s.c.failed(ctx, err)
}

// receive hands the command's output on until it ends.
func (s streams) receive(ctx context.Context, conn *websocket.Conn, stdio api.Stdio) (int, error) {
	for {
		_, message, err := conn.Read(ctx)
		if err != nil {
			return 0, s.c.failed(ctx, err)
		}
		if len(message) == 0 {
			continue
		}
		switch message[0] {
		case api.ExecStdout:
			err = write(stdio.Out, message[1:])
		case api.ExecStderr:
			err = write(stdio.Err, message[1:])
		case api.ExecExit:
			return s.end(ctx, conn, message[1:])
		}
		if err != nil {
			return 0, api.Errorf(api.Internal, "cannot write the output of the command: %w", err)
		}
	}
}

// end reads how the command ended and closes the connection in order, without waiting long for the other side.
func (s streams) end(ctx context.Context, conn *websocket.Conn, text []byte) (int, error) {
	var result api.ExecResult
	if err := json.Unmarshal(text, &result); err != nil {
		return 0, s.c.failed(ctx, err)
	}
	closing, cancel := context.WithTimeout(ctx, execClose)
	defer cancel()
	_, _, _ = conn.Read(closing) // the cloud closes next; its close is answered by reading it
	if result.Problem != nil {
		return 0, problemError(*result.Problem)
	}
	return result.Status, nil
}

func write(w io.Writer, p []byte) error {
	if w == nil || len(p) == 0 {
		return nil
	}
	_, err := w.Write(p)
	return err
}

// feed sends stdin and its end.
func feed(ctx context.Context, conn *websocket.Conn, in io.Reader) {
	buf := make([]byte, 1+execChunk)
	buf[0] = api.ExecStdin
	for in != nil {
		n, err := in.Read(buf[1:])
		if n > 0 && conn.Write(ctx, websocket.MessageBinary, buf[:1+n]) != nil {
			return
		}
		if err != nil {
			break // whatever the reason, nothing more comes
		}
	}
	_ = conn.Write(ctx, websocket.MessageBinary, []byte{api.ExecStdinEOF})
}

func resize(ctx context.Context, conn *websocket.Conn, sizes <-chan api.WindowSize) {
	for {
		select {
		case <-ctx.Done():
			return
		case size, ok := <-sizes:
			if !ok {
				return
			}
			text, err := json.Marshal(size)
			if err != nil || conn.Write(ctx, websocket.MessageBinary, append([]byte{api.ExecResize}, text...)) != nil {
				return
			}
		}
	}
}
