package main

import (
	"context"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// testSocketAcrossDeploy keeps a WebSocket open while its app is deployed: it is served by its own release for its grace, then it is closed
// as programs close one, and the next socket is the new release's.
func testSocketAcrossDeploy(t *testing.T, c *liveCloud) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c.do(t, "app", "deploy", "sockets", "--source", "testdata/sockets", "--socket-grace", "1s")
	before := c.socket(ctx, t)
	before.says(t, "release 1: hello")
	deployed := make(chan outcome, 1)
	go func() { deployed <- c.try("app", "config", "set", "sockets", "TURN=2") }()
	_, _, err := before.Read(ctx)
	if got := websocket.CloseStatus(err); got != websocket.StatusGoingAway {
		t.Errorf("the socket of the release before ends with %v, want a close frame with 1001", err)
	}
	if o := <-deployed; o.status != 0 {
		t.Fatal(o)
	}
	c.socket(ctx, t).says(t, "release 2: hello")
}

// socket is a WebSocket by a client that is not ours.
type socket struct {
	*websocket.Conn
	ctx context.Context
}

func (c *liveCloud) socket(ctx context.Context, t *testing.T) socket {
	t.Helper()
	conn, _, err := websocket.Dial(ctx, "ws://"+c.edge, &websocket.DialOptions{Host: appHost("sockets")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	return socket{conn, ctx}
}

// says asks for an echo.
func (s socket) says(t *testing.T, want string) {
	t.Helper()
	if err := s.Write(s.ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := s.Read(s.ctx); err != nil || string(got) != want {
		t.Fatalf("the socket says %q, %v; want %q", got, err, want)
	}
}
