package link

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"nuage/api"
)

// machine is a Machine for tests: exec words are little programs.
type machine struct {
	mu     sync.Mutex
	config Config
	// the names of commands that wait to be cancelled
	started, ended chan string
}

func (m *machine) Configure(_ context.Context, c Config) error {
	if c.Hostname == "bad" {
		return api.Errorf(api.Invalid, "cannot use host name %q", c.Hostname)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.config = c
	return nil
}

func (m *machine) State() State { return State{Boot: "b1", Firewall: FirewallOK} }

func (m *machine) Events(ctx context.Context, after Cursor) []Event {
	if after.Seq >= 3 {
		<-ctx.Done()
		return nil
	}
	return []Event{{Cursor: Cursor{"b1", after.Seq + 1}, Type: EventBooted}}
}

func (m *machine) Exec(ctx context.Context, c Command, s Stdio) (int, error) {
	switch c.Args[0] {
	case "cat":
		n, err := io.Copy(s.Stdout, s.Stdin)
		if err != nil {
			return 1, nil
		}
		return int(n % 251), nil
	case "size":
		size := <-s.Resize
		_, err := io.WriteString(s.Stderr, string(rune('0'+size[0]))+string(rune('0'+size[1])))
		return -1, err
	case "sleep":
		m.started <- c.Args[0]
		<-ctx.Done()
		m.ended <- c.Args[0]
		return 137, nil
	}
	return 0, api.Errorf(api.Conflict, "cannot run %q", c.Args[0])
}

// guest runs Serve with pipes in place of stdin and stdout. attach connects to it as a host's engine would.
type guest struct {
	m         *machine
	stdin     *io.PipeWriter
	mu        sync.Mutex
	listeners map[*attachment]bool
}

// attachment is one docker attach: it sees what is printed while it is open.
type attachment struct {
	*io.PipeReader
	g   *guest
	out *io.PipeWriter
}

func (a *attachment) Write(b []byte) (int, error) { return a.g.stdin.Write(b) }

func (a *attachment) Close() error {
	a.PipeReader.CloseWithError(io.ErrClosedPipe)
	a.g.mu.Lock()
	defer a.g.mu.Unlock()
	delete(a.g.listeners, a)
	return nil
}

// Write is the guest's stdout: copied to whoever is attached, thrown away otherwise.
func (g *guest) Write(b []byte) (int, error) {
	g.mu.Lock()
	var all []*attachment
	for a := range g.listeners {
		all = append(all, a)
	}
	g.mu.Unlock()
	for _, a := range all {
		a.out.Write(b)
	}
	return len(b), nil
}

func (g *guest) attach() *attachment {
	r, w := io.Pipe()
	a := &attachment{r, g, w}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners[a] = true
	return a
}

func newGuest(t *testing.T) *guest {
	t.Helper()
	r, w := io.Pipe()
	g := &guest{m: &machine{started: make(chan string, 10), ended: make(chan string, 10)}, stdin: w, listeners: map[*attachment]bool{}}
	done := make(chan error, 1)
	go func() { done <- Serve(context.Background(), r, g, g.m) }()
	t.Cleanup(func() {
		w.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return g
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (g *guest) dial(t *testing.T) *Client {
	t.Helper()
	c, err := Dial(within(t), g.attach())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestConfigureAndState(t *testing.T) {
	g := newGuest(t)
	c := g.dial(t)
	if err := c.Configure(within(t), Config{Hostname: "web", Rules: []Rule{{Protocol: "tcp", FromPort: 22, Sources: []string{"0.0.0.0/0"}}}}); err != nil {
		t.Fatal(err)
	}
	if g.m.config.Hostname != "web" || g.m.config.Rules[0].FromPort != 22 {
		t.Errorf("config arrived as %+v", g.m.config)
	}
	if s, err := c.State(within(t)); err != nil || s.Boot != "b1" || s.Firewall != "ok" {
		t.Errorf("State() = %+v, %v", s, err)
	}
	err := c.Configure(within(t), Config{Hostname: "bad"})
	if api.CodeOf(err) != api.Invalid || err.Error() != `cannot use host name "bad"` {
		t.Errorf("bad config: %v", err)
	}
}

func TestExec(t *testing.T) {
	c := newGuest(t).dial(t)
	var out, errs bytes.Buffer
	status, err := c.Exec(within(t), Command{Args: []string{"cat"}}, Stdio{Stdin: strings.NewReader("hello"), Stdout: &out})
	if status != 5 || err != nil || out.String() != "hello" {
		t.Errorf("cat: %d, %v, %q", status, err, &out)
	}
	sizes := make(chan [2]int, 1)
	sizes <- [2]int{2, 8}
	status, err = c.Exec(within(t), Command{Args: []string{"size"}}, Stdio{Stderr: &errs, Resize: sizes})
	if status != -1 || err != nil || errs.String() != "28" {
		t.Errorf("size: %d, %v, %q", status, err, &errs)
	}
	_, err = c.Exec(within(t), Command{Args: []string{"nothing"}}, Stdio{})
	if api.CodeOf(err) != api.Conflict || err.Error() != `cannot run "nothing"` {
		t.Errorf("refused: %v", err)
	}
}

func TestExecsAtOnce(t *testing.T) {
	c := newGuest(t).dial(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			sent := bytes.Repeat([]byte{byte(i)}, 1<<20+i)
			var got bytes.Buffer
			status, err := c.Exec(within(t), Command{Args: []string{"cat"}}, Stdio{Stdin: bytes.NewReader(sent), Stdout: &got})
			if err != nil || status != len(sent)%251 || !bytes.Equal(got.Bytes(), sent) {
				t.Errorf("exec %d: %d, %v, %d bytes", i, status, err, got.Len())
			}
		})
	}
	all.Wait()
}

func TestExecIsKilledWhenItsContextEnds(t *testing.T) {
	g := newGuest(t)
	c := g.dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	flood := readerFunc(func(p []byte) (int, error) { return len(p), nil }) // fills the window: nobody reads it
	result := make(chan error, 1)
	go func() {
		_, err := c.Exec(ctx, Command{Args: []string{"sleep"}}, Stdio{Stdin: flood})
		result <- err
	}()
	<-g.m.started
	if _, err := c.State(within(t)); err != nil { // the link is not blocked by the flood
		t.Fatal(err)
	}
	cancel()
	if err := <-result; api.CodeOf(err) != api.Unavailable {
		t.Errorf("Exec: %v", err)
	}
	select {
	case <-g.m.ended:
	case <-within(t).Done():
		t.Fatal("the command was not killed")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// dieMidFrame attaches as a host that is killed while it writes: part of a frame is left in the pipe.
func dieMidFrame(t *testing.T, g *guest) {
	t.Helper()
	a := g.attach()
	c, err := Dial(within(t), a)
	if err != nil {
		t.Fatal(err)
	}
	go c.Exec(context.Background(), Command{Args: []string{"sleep"}}, Stdio{})
	<-g.m.started
	a.Write([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 4, 0, 0, 'h', 'a', 'l', 'f'}) // header of a 256 KiB data frame
	a.Close()
}

func TestANewHostTakesOver(t *testing.T) {
	g := newGuest(t)
	for range 5 {
		dieMidFrame(t, g)
	}
	g.stdin.Write([]byte("noise " + mark + mark[:5]))
	c := g.dial(t)
	var out bytes.Buffer
	if _, err := c.Exec(within(t), Command{Args: []string{"cat"}}, Stdio{Stdin: strings.NewReader("again"), Stdout: &out}); err != nil || out.String() != "again" {
		t.Fatalf("after the takeover: %v, %q", err, &out)
	}
	old := c
	c = g.dial(t) // while the old one is still there
	if _, err := c.State(within(t)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-old.Done():
	case <-within(t).Done():
		t.Fatal("the old host's client did not end")
	}
	if _, err := old.State(within(t)); api.CodeOf(err) != api.Unavailable {
		t.Errorf("old client: %v", err)
	}
}

func TestCommandsEndWithTheLink(t *testing.T) {
	g := newGuest(t)
	dieMidFrame(t, g)
	g.dial(t)
	select {
	case <-g.m.ended:
	case <-within(t).Done():
		t.Fatal("the command outlived its host")
	}
}

func TestAFileWithTheMarkPassesThrough(t *testing.T) {
	c := newGuest(t).dial(t)
	hello, _ := newHello()
	hello[len(hello)-1]++
	sent := strings.Repeat(string(hello), 100)
	var got bytes.Buffer
	if _, err := c.Exec(within(t), Command{Args: []string{"cat"}}, Stdio{Stdin: strings.NewReader(sent), Stdout: &got}); err != nil || got.String() != sent {
		t.Errorf("%v, %d bytes of %d", err, got.Len(), len(sent))
	}
}

func TestEvents(t *testing.T) {
	c := newGuest(t).dial(t)
	ctx, cancel := context.WithCancel(within(t))
	events := c.Events(ctx, Cursor{"b1", 1})
	for seq := uint64(2); seq <= 3; seq++ {
		if e := <-events; e.Seq != seq || e.Type != EventBooted {
			t.Errorf("event %d is %+v", seq, e)
		}
	}
	cancel()
	if e, ok := <-events; ok {
		t.Errorf("event %+v after the end", e)
	}
}

func TestDialGivesUp(t *testing.T) {
	host, silent := net.Pipe()
	go io.Copy(io.Discard, silent)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := Dial(ctx, host)
	if api.CodeOf(err) != api.Unavailable || err.Error() != "cannot reach the guest: context deadline exceeded" {
		t.Errorf("Dial: %v", err)
	}
	if _, err := host.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("the attachment was left open: %v", err)
	}
}

func TestScannerFindsHellosInPieces(t *testing.T) {
	hello, want := newHello()
	second, want2 := newHello()
	stream := append([]byte("frame"+mark[:7]), hello...)
	stream = append(append(append(stream, "ab"...), second...), "rest"...)
	for size := 1; size <= len(stream); size++ {
		var s scanner
		var found [][]byte
		for at := 0; at < len(stream); at += size {
			piece := stream[at:min(at+size, len(stream))]
			for {
				nonce, rest, ok := s.next(piece)
				if !ok {
					break
				}
				found = append(found, nonce)
				piece = piece[len(piece)-rest:]
			}
		}
		if len(found) != 2 || !bytes.Equal(found[0], want) || !bytes.Equal(found[1], want2) {
			t.Fatalf("pieces of %d: found %x", size, found)
		}
	}
}
