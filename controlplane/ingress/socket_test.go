package ingress

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// frame is a WebSocket frame with a payload, of a client where masked.
func frame(opcode byte, payload string, masked bool) string {
	var b bytes.Buffer
	b.WriteByte(0x80 | opcode)
	mask := byte(0)
	if masked {
		mask = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b.WriteByte(mask | byte(n))
	case n < 1<<16:
		b.Write([]byte{mask | 126, byte(n >> 8), byte(n)})
	default:
		b.Write([]byte{mask | 127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	if masked {
		b.WriteString("\x00\x00\x00\x00")
	}
	return b.String() + payload
}

func TestFramesAreFollowed(t *testing.T) {
	sizes := []int{0, 1, 125, 126, 127, 65535, 65536, 70000}
	for _, piece := range []int{1, 2, 3, 7, 4096, 1 << 20} {
		for _, masked := range []bool{false, true} {
			var all string
			ends := map[int]bool{0: true}
			for _, n := range sizes {
				all += frame(2, strings.Repeat("x", n), masked)
				ends[len(all)] = true
			}
			var f frames
			for at := 0; at < len(all); {
				at += f.step([]byte(all[at:min(at+piece, len(all))]))
				if f.between() != ends[at] {
					t.Fatalf("pieces of %d, masked %t: at byte %d it is between frames: %t", piece, masked, at, f.between())
				}
			}
		}
	}
}

// upgraded is a backend that takes WebSockets over and shows what they bring.
func upgraded(t *testing.T) (backend Backend, conns chan net.Conn) {
	conns = make(chan net.Conn, 1)
	backend, _ = replica(t, "app-1", func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		conns <- conn
	})
	return backend, conns
}

// call opens a WebSocket by the edge.
func (b *bench) call(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", b.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: shop.app.localhost\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n")
	in := bufio.NewReader(conn)
	if answer, err := http.ReadResponse(in, nil); err != nil || answer.StatusCode != 101 {
		t.Fatalf("answered %+v, %v", answer, err)
	}
	return conn, in
}

// reads fails unless exactly this comes next.
func reads(t *testing.T, who string, from io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(from, got); err != nil || string(got) != want {
		t.Fatalf("%s reads %q, %v; want %q", who, got, err, want)
	}
}

// TestSocketsEndBetweenFrames: both ends get the rest of what was on its way and a close frame, then nothing.
func TestSocketsEndBetweenFrames(t *testing.T) {
	b := newBench(t, nil)
	backend, conns := upgraded(t)
	b.SetRoutes([]Route{shop(backend)})
	caller, in := b.call(t)
	app := <-conns
	defer app.Close()
	down, up := frame(1, "from the app", false), frame(1, "from the caller", true)
	io.WriteString(app, down+down[:5])
	reads(t, "the caller", in, down+down[:5])
	io.WriteString(caller, up+up[:9])
	reads(t, "the app", app, up+up[:9])
	b.SetRoutes(nil)
	b.EndSockets("app-1")
	b.EndSockets("app-1")                                               // as the control plane does until it is over
	io.WriteString(app, down[5:]+down)                                  // the second one is too late
	io.WriteString(caller, up[9:])                                      //
	reads(t, "the caller", in, down[5:]+"\x88\x02\x03\xe9")             // 1001: going away
	reads(t, "the app", app, up[9:]+"\x88\x82\x00\x00\x00\x00\x03\xe9") // masked, as a client's
	io.WriteString(caller, frame(8, "\x03\xe9", true))
	app.Close()
	if rest, err := io.ReadAll(in); err != nil || len(rest) != 0 {
		t.Errorf("after the goodbye the caller reads %q, %v", rest, err)
	}
	eventually(t, "it ended", func() bool { return b.InFlight("app-1") == 0 })
}

// TestRequestsOutliveTheEndOfSockets: what is no WebSocket goes on; a socket whose ends do not answer the goodbye is cut.
func TestRequestsOutliveTheEndOfSockets(t *testing.T) {
	b := newBench(t, nil)
	backend, conns := upgraded(t)
	release := make(chan struct{})
	slow, _ := replica(t, "app-2", func(w http.ResponseWriter, _ *http.Request) { <-release; io.WriteString(w, "done") })
	b.SetRoutes([]Route{shop(backend)})
	_, in := b.call(t)
	app := <-conns
	defer app.Close()
	b.SetRoutes([]Route{shop(slow)})
	answers := make(chan string, 1)
	go func() {
		response, err := b.server.Client().Do(b.request(t, "GET", "shop.app.localhost", "/", nil))
		if err != nil {
			answers <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answers <- string(body)
	}()
	eventually(t, "the request is there", func() bool { return b.InFlight("app-2") == 1 })
	b.EndSockets("app-1")
	b.EndSockets("app-2")
	reads(t, "the caller", in, goingAway)
	eventually(t, "the socket was cut", func() bool { return b.InFlight("app-1") == 0 })
	close(release)
	if got := <-answers; got != "done" {
		t.Errorf("the request got %q", got)
	}
}

func TestWhatRestsForTooLongEnds(t *testing.T) {
	b := newBench(t, nil)
	backend, conns := upgraded(t)
	stalls, _ := replica(t, "app-2", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/thinks": // longer than anything may rest, but before its answer
			time.Sleep(700 * time.Millisecond)
		case "/halts":
			io.WriteString(w, "half")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/moves":
			for range 24 {
				io.WriteString(w, ".")
				http.NewResponseController(w).Flush()
				time.Sleep(30 * time.Millisecond)
			}
		default:
			io.Copy(w, r.Body)
		}
	})
	route := shop(stalls)
	route.Limits.Idle = 500 * time.Millisecond
	b.SetRoutes([]Route{route})
	for path, want := range map[string]string{"/thinks": "", "/moves": strings.Repeat(".", 24)} {
		if response, body := b.do(t, b.request(t, "GET", "shop.app.localhost", path, nil)); response.StatusCode != 200 || body != want {
			t.Errorf("%s is answered %d %q", path, response.StatusCode, body)
		}
	}
	response, err := b.server.Client().Do(b.request(t, "GET", "shop.app.localhost", "/halts", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err == nil || string(body) != "half" {
		t.Errorf("an answer that came to a halt ends with %q, %v", body, err)
	}
	body, write := io.Pipe()
	defer write.Close()
	go io.WriteString(write, "half")
	answer, text := b.do(t, b.request(t, "POST", "shop.app.localhost", "/", body))
	if want := "cannot pass the request on to app \"shop\": nothing of its body came for 500ms\n"; answer.StatusCode != 408 || text != want {
		t.Errorf("a body that came to a halt is answered %d %q, want 408 %q", answer.StatusCode, text, want)
	}
	route.Backends = []Backend{backend}
	b.SetRoutes([]Route{route})
	_, in := b.call(t)
	app := <-conns
	defer app.Close()
	reads(t, "the caller", in, goingAway)
	eventually(t, "nothing is in flight", func() bool { return b.InFlight("app-1")+b.InFlight("app-2") == 0 })
}
