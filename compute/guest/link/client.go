package link

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/yamux"

	"nuage/api"
)

// Client is the host's end of a link to one guest. Safe for concurrent use. Every method returns Unavailable once
// the link is lost; then Dial again over a new attachment.
type Client struct {
	session *yamux.Session
	http    *http.Client
}

// attached is what Dial reads through after the handshake.
type attached struct {
	io.Reader
	io.WriteCloser
}

// Dial opens a link over the stdin (Write) and stdout (Read) of a running guest, and takes the guest over from
// any host that had it before. The client owns rwc, and closes it even where Dial fails. ctx limits the dialling only.
// Unavailable: no guest answered within ctx.
func Dial(ctx context.Context, rwc io.ReadWriteCloser) (*Client, error) {
	r, err := greet(ctx, rwc)
	if err != nil {
		rwc.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, api.Errorf(api.Unavailable, "cannot reach the guest: %w", err)
	}
	session, err := yamux.Client(attached{r, rwc}, muxConfig(10*time.Second))
	if err != nil {
		rwc.Close()
		return nil, api.Errorf(api.Internal, "cannot open a session with the guest: %w", err)
	}
	dial := func(context.Context, string, string) (net.Conn, error) { return session.Open() }
	transport := &http.Transport{DialContext: dial, DisableCompression: true, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute}
	return &Client{session: session, http: &http.Client{Transport: transport}}, nil
}

// greet does the handshake; it ends early when ctx does.
func greet(ctx context.Context, rwc io.ReadWriteCloser) (*bufio.Reader, error) {
	stop := context.AfterFunc(ctx, func() { rwc.Close() })
	defer stop()
	hello, nonce := newHello()
	wrote := make(chan error, 1)
	go func() {
		_, err := rwc.Write(hello)
		wrote <- err
	}()
	r := bufio.NewReaderSize(rwc, 32<<10)
	if err := awaitReply(r, nonce); err != nil {
		return nil, err
	}
	if err := <-wrote; err != nil {
		return nil, err
	}
	if !stop() {
		return nil, context.Cause(ctx)
	}
	return r, nil
}

// maxAnswer bounds what a guest can make the host hold.
const maxAnswer = 16 << 20

func muxConfig(alive time.Duration) *yamux.Config {
	c := yamux.DefaultConfig()
	c.LogOutput = io.Discard
	c.KeepAliveInterval = alive
	c.ConnectionWriteTimeout = 30 * time.Second // also of a keep-alive: a small machine under load is slow to answer
	return c
}

// Done is closed when the link is lost or closed.
func (c *Client) Done() <-chan struct{} { return c.session.CloseChan() }

// Close ends the link. The machine goes on; commands started by Exec are killed.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return c.session.Close()
}

// Configure hands the guest a Config and returns when keys and firewall rules are in force. Calling it again with the
// same Config is fine. Invalid: a field is unusable. A firewall the kernel refuses is no error; State tells.
func (c *Client) Configure(ctx context.Context, config Config) error {
	return c.call(ctx, http.MethodPut, "/config", config, nil)
}

// State returns how the machine is.
func (c *Client) State(ctx context.Context) (State, error) {
	var s State
	err := c.call(ctx, http.MethodGet, "/state", nil, &s)
	return s, err
}

// Events sends what happened after the cursor, then what happens, in order, each once, until ctx ends or the link is
// lost; then it closes the channel. The guest keeps the last 1024 events; a cursor of an earlier boot means all it has.
func (c *Client) Events(ctx context.Context, after Cursor) <-chan Event {
	out := make(chan Event)
	go func() {
		defer close(out)
		for {
			var batch []Event
			if err := c.call(ctx, http.MethodPost, "/events", after, &batch); err != nil {
				return
			}
			for _, e := range batch {
				select {
				case out <- e:
					after = e.Cursor
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, method, path, in, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return remoteError(resp.Body)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return api.Errorf(api.Unavailable, "cannot read the guest's answer: %w", err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, in any, upgrade string) (*http.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, api.Errorf(api.Internal, "cannot encode a request to the guest: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://guest"+path, bytes.NewReader(body))
	if err != nil {
		return nil, api.Errorf(api.Internal, "cannot make a request to the guest: %w", err)
	}
	if upgrade != "" {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", upgrade)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, api.Errorf(api.Unavailable, "cannot reach the guest: %w", err)
	}
	return resp, nil
}

// problem is an error on the wire.
type problem struct {
	Code    api.Code `json:"code"`
	Message string   `json:"message"`
}

func remoteError(r io.Reader) error {
	var p problem
	if err := json.NewDecoder(io.LimitReader(r, 64<<10)).Decode(&p); err != nil {
		return api.Errorf(api.Unavailable, "cannot read the guest's answer: %w", err)
	}
	return api.Errorf(p.Code, "%s", p.Message)
}
