package ingress

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// scripted is a backend that answers the requests of each connection with what its script says, byte for byte.
type scripted struct {
	Backend
	mu    sync.Mutex
	conns int
	heads []string // of requests, without the lines that differ from run to run
}

// script starts one. say returns what is written after a number of a connection's requests, and whether the connection then ends.
func script(t *testing.T, say func(conn, request int) (string, bool)) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &scripted{Backend: Backend{ID: "app-1", Address: l.Addr().String()}}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			number := s.conns
			s.mu.Unlock()
			t.Cleanup(func() { conn.Close() })
			go s.serve(conn, number, say)
		}
	}()
	return s
}

func (s *scripted) serve(conn net.Conn, number int, say func(conn, request int) (string, bool)) {
	defer conn.Close()
	buffer := make([]byte, 8192)
	for request := 1; ; request++ {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.heads = append(s.heads, string(buffer[:n]))
		s.mu.Unlock()
		text, over := say(number, request)
		io.WriteString(conn, text)
		if over {
			return
		}
	}
}

func (s *scripted) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestConnectionsAreKeptAndReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		say   func(conn, request int) (string, bool)
		conns int
	}{
		"kept":                   {func(int, int) (string, bool) { return okAnswer, false }, 1},
		"closed after an answer": {func(int, int) (string, bool) { return okAnswer, true }, 4},
		"closed as it says":      {func(int, int) (string, bool) { return "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", true }, 4},
		"HTTP/1.0":               {func(int, int) (string, bool) { return "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false }, 4},
		"closed instead of the second answer": {func(_, request int) (string, bool) {
			if request == 2 {
				return "", true
			}
			return okAnswer, false
		}, 4},
		"says more than it was asked": {func(int, int) (string, bool) {
			return okAnswer + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", false
		}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			backend := script(t, c.say)
			b.SetRoutes([]Route{shop(backend.Backend)})
			for range 4 {
				if status, body := b.get(t, "shop.app.localhost"); status != 200 || body != "ok" {
					t.Fatalf("it answers %d %q", status, body)
				}
			}
			if got := backend.connections(); got != c.conns {
				t.Errorf("%d connections were made, want %d", got, c.conns)
			}
		})
	}
}

// TestAnIdleConnectionThatSpokeIsNotUsed: what a backend says after a while, unasked, is nobody's answer.
func TestAnIdleConnectionThatSpokeIsNotUsed(t *testing.T) {
	spoke := make(chan struct{})
	backend := script(t, func(conn, _ int) (string, bool) { return okAnswer, false })
	l := newWires()
	defer l.close()
	one, err := l.take(t.Context(), backend.Address)
	if err != nil {
		t.Fatal(err)
	}
	close(spoke)
	l.put(one)
	if again, err := l.take(t.Context(), backend.Address); err != nil || again != one {
		t.Fatalf("a kept connection is not used again, %v", err)
	}
	l.put(one)
	io.WriteString(one.conn, "GET / HTTP/1.1\r\n\r\n") // its answer comes while the connection is idle
	eventually(t, "it spoke", func() bool { return !one.quiet() })
	one.used = time.Now().Add(-time.Second)
	if again, err := l.take(t.Context(), backend.Address); err != nil || again == one {
		t.Errorf("a connection with an answer on it is used for the next request, %v", err)
	}
	one.used = time.Now().Add(-idleTimeout)
	l.put(&wire{address: backend.Address, conn: one.conn})
	l.idle[backend.Address][0].used = one.used
	if l.sweep(); len(l.idle) != 0 {
		t.Errorf("%v is kept for longer than %s", l.idle, idleTimeout)
	}
}

// TestAnswersPassAsTheyAre: bodies, whatever their framing and coding, trailers and early answers.
func TestAnswersPassAsTheyAre(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, strings.Repeat("nuage ", 10_000))
	z.Close()
	long := strings.Repeat("x", 3*bufferSize+1)
	b := newBench(t, nil)
	one, _ := replica(t, "app-1", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(packed.Bytes())
		case "/long":
			io.WriteString(w, long)
		case "/sized":
			w.Header().Set("Content-Length", fmt.Sprint(len(long)))
			io.WriteString(w, long)
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/trailer":
			w.Header().Set("Trailer", "X-Sum")
			io.WriteString(w, "body")
			w.Header().Set("X-Sum", "4")
		case "/early":
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			io.WriteString(w, "late")
		case "/asked":
			fmt.Fprint(w, r.Header.Get("Accept-Encoding"), "|", r.Header.Get("User-Agent"))
		}
	})
	b.SetRoutes([]Route{shop(one)})
	for path, want := range map[string]string{"/gzip": packed.String(), "/long": long, "/sized": long, "/none": "", "/trailer": "body", "/early": "late", "/asked": "zstd|tester"} {
		var early []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			early = append(early, fmt.Sprint(code, " ", h.Get("Link")))
			return nil
		}}
		r := b.request(t, "GET", "shop.app.localhost", path, nil, "Accept-Encoding: zstd", "User-Agent: tester")
		response, body := b.do(t, r.WithContext(httptrace.WithClientTrace(t.Context(), trace)))
		if body != want {
			t.Errorf("%s answers %d bytes, want %d: %.50q", path, len(body), len(want), body)
		}
		if coding := response.Header.Get("Content-Encoding"); (coding == "gzip") != (path == "/gzip") {
			t.Errorf("%s is coded %q", path, coding)
		}
		if sum := response.Trailer.Get("X-Sum"); (sum == "4") != (path == "/trailer") {
			t.Errorf("%s ends with the trailer %v", path, response.Trailer)
		}
		if wantEarly := []string{"103 </style.css>; rel=preload"}; (path == "/early") != cmp.Equal(early, wantEarly) {
			t.Errorf("%s: early answers were %q", path, early)
		}
	}
	if response, body := b.do(t, b.request(t, "HEAD", "shop.app.localhost", "/sized", nil)); body != "" || response.ContentLength != int64(len(long)) {
		t.Errorf("HEAD answers a length of %d", response.ContentLength)
	}
}

func TestBrokenAnswersDoNotLookWhole(t *testing.T) {
	for name, c := range map[string]struct {
		say    string
		status int // 0: the answer breaks off
	}{
		"too short":        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 0},
		"chunks cut":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", 0},
		"no HTTP":          {"220 mail.example ESMTP\r\n", 502},
		"no status":        {"HTTP/1.1 banana\r\n\r\n", 502},
		"endless header":   {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxAnswerHead) + "\r\n\r\n", 502},
		"another protocol": {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", 502},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			backend := script(t, func(int, int) (string, bool) { return c.say, true })
			b.SetRoutes([]Route{shop(backend.Backend)})
			response, err := b.server.Client().Do(b.request(t, "GET", "shop.app.localhost", "/", nil))
			if err == nil {
				defer response.Body.Close()
				_, err = io.ReadAll(response.Body)
			}
			if c.status == 0 && err == nil || c.status != 0 && (err != nil || response.StatusCode != c.status) {
				t.Errorf("it ends with %v, %v; want status %d", response, err, c.status)
			}
			eventually(t, "nothing is in flight", func() bool { return b.InFlight("app-1") == 0 })
		})
	}
}

// TestARequestIsWrittenWhole: what a backend reads, line by line but in no order.
func TestARequestIsWrittenWhole(t *testing.T) {
	b := newBench(t, nil)
	backend := script(t, func(int, int) (string, bool) { return okAnswer, false })
	b.SetRoutes([]Route{shop(backend.Backend)})
	b.do(t, b.request(t, "GET", "shop.app.localhost:7080", "/a%20b?c=%zz;d", nil, "X-Request-Id: r-1", "Accept: a", "Accept: b", "Te: trailers", "Proxy-Authorization: x", "Accept-Encoding: br", "User-Agent: u"))
	lines := strings.Split(strings.TrimSuffix(backend.heads[0], "\r\n\r\n"), "\r\n")
	got := map[string]bool{}
	for _, line := range lines[2:] {
		got[line] = true
	}
	want := map[string]bool{"Accept: a": true, "Accept: b": true, "Accept-Encoding: br": true, "User-Agent: u": true, "X-Request-Id: r-1": true,
		"X-Forwarded-For: 127.0.0.1": true, "X-Forwarded-Host: shop.app.localhost:7080": true, "X-Forwarded-Proto: http": true}
	if first := "GET /a%20b?c=%zz;d HTTP/1.1, Host: shop.app.localhost:7080"; strings.Join(lines[:2], ", ") != first || !cmp.Equal(got, want) {
		t.Errorf("the backend read %q, want %s and\n%s", lines, first, cmp.Diff(want, got))
	}
}
