package ingress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// front is a balancer that listens, and what it has told.
type front struct {
	*Balancer
	reg     *prometheus.Registry
	dead    atomic.Int64
	drained atomic.Int64
}

func newFront(t *testing.T, tcp bool) *front {
	t.Helper()
	f := &front{reg: prometheus.NewRegistry()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.Balancer = OpenBalancer(l, BalancerOptions{Project: "default", Name: "web", TCP: tcp, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		Metrics: NewBalancerMetrics(f.reg), OnDead: func(string, error) { f.dead.Add(1) }, OnDrained: func() { f.drained.Add(1) }})
	t.Cleanup(func() { f.close(time.Second) })
	return f
}

func (f *front) close(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	f.Close(ctx)
}

func (f *front) url() string { return "http://" + f.Addr().String() }

// get asks over a connection of its own.
func (f *front) get(t *testing.T, path string) (int, string) {
	t.Helper()
	status, body, err := fetch(f.url() + path)
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}

func fetch(url string) (int, string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// dialFront opens a TCP connection to a balancer.
func (f *front) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", f.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// speaker is a TCP backend that does serve with each connection.
func speaker(t *testing.T, id string, serve func(*net.TCPConn)) (Backend, net.Listener) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			}()
		}
	}()
	return Backend{ID: id, Address: l.Addr().String()}, l
}

// greets says its name to whom it accepts, and echoes until the end.
func greets(name string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		fmt.Fprintln(c, name)
		io.Copy(c, c)
	}
}

func line(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	text, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("read %q, %v", text, err)
	}
	return strings.TrimSuffix(text, "\n")
}

func TestABalancerAnswersForAnyHostAndSaysWhoAsked(t *testing.T) {
	f := newFront(t, false)
	show := func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "X-Request-Id"} {
			fmt.Fprintf(w, "%s=%s\n", name, strings.Join(r.Header.Values(name), ","))
		}
	}
	one, _ := replica(t, "i-1:80", show)
	f.Serve(Service{Backends: []Backend{one}})
	r, err := http.NewRequest("GET", f.url()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "www.example.org"
	for name, value := range map[string]string{"X-Forwarded-For": "6.6.6.6", "X-Real-Ip": "6.6.6.6", "X-Request-Id": "mine-1"} {
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	want := "X-Forwarded-For=127.0.0.1\nX-Forwarded-Host=www.example.org\nX-Forwarded-Proto=http\nX-Real-Ip=\nX-Request-Id=mine-1\n"
	if diff := cmp.Diff(want, string(body)); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
}

func TestBalancerPages(t *testing.T) {
	f := newFront(t, false)
	for _, c := range []struct {
		service Service
		status  int
		body    string
	}{
		{Service{}, 503, "cannot reach load balancer \"web\": no target is ready\n"},
		{Service{Note: "0 of 1 targets healthy; a: nothing listens on port 80"}, 503, "cannot reach load balancer \"web\": 0 of 1 targets healthy; a: nothing listens on port 80\n"},
		{Service{Backends: []Backend{{ID: "i-1:80", Address: deadAddress(t)}}}, 502,
			"cannot get an answer from load balancer \"web\": every target refused, did not take or broke the connection; see `nuage load-balancer show web`\n"},
	} {
		f.Serve(c.service)
		if status, body := f.get(t, "/"); status != c.status || body != c.body {
			t.Errorf("answered %d %q, want %d %q", status, body, c.status, c.body)
		}
	}
}

func TestBalancersGoRound(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		f := newFront(t, tcp)
		var one, two Backend
		if tcp {
			one, _ = speaker(t, "i-1:80", greets("1"))
			two, _ = speaker(t, "i-2:80", greets("2"))
		} else {
			one, _ = replica(t, "i-1:80", says("1"))
			two, _ = replica(t, "i-2:80", says("2"))
		}
		var got strings.Builder
		for range 4 {
			f.Serve(Service{Backends: []Backend{one, two}})
			if tcp {
				got.WriteString(line(t, bufio.NewReader(f.dial(t))))
				continue
			}
			_, body := f.get(t, "/")
			got.WriteString(body)
		}
		if got.String() != "1212" {
			t.Errorf("tcp %v: targets answered in the order %s, want 1212", tcp, got.String())
		}
	}
}

func TestLeastConnectionsGoesWhereLeastIsInFlight(t *testing.T) {
	f := newFront(t, true)
	one, _ := speaker(t, "i-1:80", greets("1"))
	two, _ := speaker(t, "i-2:80", greets("2"))
	f.Serve(Service{Backends: []Backend{one, two}, Algorithm: LeastConnections})
	names := map[string]int{}
	var held []*net.TCPConn
	for range 6 {
		c := f.dial(t)
		names[line(t, bufio.NewReader(c))]++
		held = append(held, c)
	}
	if want := map[string]int{"1": 3, "2": 3}; !cmp.Equal(names, want) {
		t.Fatalf("connections are spread as %v, want %v", names, want)
	}
	for _, c := range []*net.TCPConn{held[0], held[2], held[4]} { // all of the first
		c.Close()
	}
	eventually(t, "the first has none", func() bool { return f.InFlight("i-1:80") == 0 })
	for range 3 {
		if name := line(t, bufio.NewReader(f.dial(t))); name != "1" {
			t.Errorf("%s took a connection, want the one with less to do", name)
		}
	}
}

func TestTCPPassesBothWaysAndHalfClose(t *testing.T) {
	f := newFront(t, true)
	counts, _ := speaker(t, "i-1:80", func(c *net.TCPConn) {
		all, err := io.ReadAll(c) // until the client has ended its side
		fmt.Fprintf(c, "%d bytes, %v", len(all), err)
	})
	f.Serve(Service{Backends: []Backend{counts}})
	c := f.dial(t)
	if _, err := c.Write(bytes.Repeat([]byte("x"), 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); string(got) != "1048576 bytes, <nil>" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	eventually(t, "ended", func() bool { return f.Total() == 0 })
}

func TestHalfOfAnAnswerIsNotTakenForAllOfIt(t *testing.T) {
	f := newFront(t, true)
	breaks, _ := speaker(t, "i-1:80", func(c *net.TCPConn) {
		fmt.Fprint(c, "half of")
		bufio.NewReader(c).ReadByte() // until it was read
		c.SetLinger(0)
		c.Close()
	})
	f.Serve(Service{Backends: []Backend{breaks}})
	c := f.dial(t)
	half := make([]byte, len("half of"))
	if _, err := io.ReadFull(c, half); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client reads %q, %v; want a reset", rest, err)
	}
}

func TestProxyProtocolHeader(t *testing.T) {
	f := newFront(t, true)
	heard := make(chan []byte, 1)
	one, _ := speaker(t, "i-1:80", func(c *net.TCPConn) {
		all, _ := io.ReadAll(c)
		heard <- all
	})
	f.Serve(Service{Backends: []Backend{one}, ProxyProtocol: true})
	c := f.dial(t)
	fmt.Fprint(c, "hello")
	c.CloseWrite()
	from, to := c.LocalAddr().(*net.TCPAddr).Port, f.Addr().Port
	want := append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01"), byte(from>>8), byte(from), byte(to>>8), byte(to))
	if diff := cmp.Diff(string(want)+"hello", string(<-heard)); diff != "" {
		t.Errorf("the target read (-want +got):\n%s", diff)
	}
	six := proxyHeader(&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 258}, &net.TCPAddr{IP: net.ParseIP("127.0.0.1"), Port: 80})
	tail := "\x21\x21\x00\x24" + string(net.ParseIP("2001:db8::1")) + string(net.ParseIP("127.0.0.1").To16()) + "\x01\x02\x00\x50"
	if want := "\r\n\r\n\x00\r\nQUIT\n" + tail; string(six) != want {
		t.Errorf("for IPv6 the header is %q, want %q", six, want)
	}
}

func TestADeadTargetIsTakenOutAtOnceAndAskedAgainSoon(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		f := newFront(t, tcp)
		live, _ := replica(t, "i-2:80", says("ok"))
		back, server := replica(t, "i-1:80", says("ok"))
		server.Close()
		f.Serve(Service{Backends: []Backend{back, live}})
		for range 50 {
			if status, body := f.get(t, "/"); status != 200 || body != "ok" {
				t.Fatalf("tcp %v: answered %d %q", tcp, status, body)
			}
		}
		if n := f.dead.Load(); n < 1 || n > 3 {
			t.Errorf("tcp %v: the dead target was dialled %d times by 50 requests, want once a second", tcp, n)
		}
		eventually(t, "it is asked again", func() bool { before := f.dead.Load(); f.get(t, "/"); f.get(t, "/"); return f.dead.Load() > before })
	}
}

func TestARemovedTargetDrains(t *testing.T) {
	f := newFront(t, true)
	one, _ := speaker(t, "i-1:80", greets("1"))
	two, _ := speaker(t, "i-2:80", greets("2"))
	f.Serve(Service{Backends: []Backend{one}})
	c := f.dial(t)
	r := bufio.NewReader(c)
	line(t, r)
	f.Serve(Service{Backends: []Backend{two}, Drain: 300 * time.Millisecond})
	if name := line(t, bufio.NewReader(f.dial(t))); name != "2" {
		t.Errorf("after its removal %s took a connection", name)
	}
	if want := (map[string]Traffic{"i-1:80": {Count: 1, Leaving: true}, "i-2:80": {Count: 1}}); !cmp.Equal(f.Traffic(), want) {
		t.Errorf("in flight is %v, want %v", f.Traffic(), want)
	}
	fmt.Fprintln(c, "still here")
	if got := line(t, r); got != "still here" {
		t.Errorf("the connection of the removed target says %q", got)
	}
	if _, err := r.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the drain the connection ends with %v, want a reset", err)
	}
	eventually(t, "it was told", func() bool { return f.drained.Load() == 1 && f.InFlight("i-1:80") == 0 })
}

func TestATargetThatComesBackIsNotCut(t *testing.T) {
	f := newFront(t, true)
	one, _ := speaker(t, "i-1:80", greets("1"))
	f.Serve(Service{Backends: []Backend{one}})
	c := f.dial(t)
	r := bufio.NewReader(c)
	line(t, r)
	f.Serve(Service{Drain: 50 * time.Millisecond})
	f.Serve(Service{Backends: []Backend{one}, Drain: 50 * time.Millisecond})
	c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := r.ReadByte(); !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(fmt.Sprint(err), "timeout") {
		t.Errorf("the connection ended with %v", err)
	}
}

func TestADrainEndsRequestsAndUpgradesToo(t *testing.T) {
	f := newFront(t, false)
	began := make(chan bool, 2)
	hangs, _ := replica(t, "i-1:80", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			began <- true
			<-r.Context().Done()
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		began <- true
		io.Copy(io.Discard, conn)
	})
	f.Serve(Service{Backends: []Backend{hangs}})
	answers := make(chan int, 1)
	go func() {
		status, _, err := fetch(f.url())
		if err != nil {
			t.Error(err)
		}
		answers <- status
	}()
	c := f.dial(t)
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	<-began
	<-began
	f.Serve(Service{Drain: 20 * time.Millisecond})
	if got := <-answers; got != 502 {
		t.Errorf("the request that was cut off is answered %d, want 502", got)
	}
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the upgraded connection ended with %v", err)
	}
	eventually(t, "nothing is in flight", func() bool { return f.Total() == 0 })
}

func TestCloseFreesThePortAndWaits(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		f := newFront(t, tcp)
		release := make(chan struct{})
		slow, _ := replica(t, "i-1:80", func(w http.ResponseWriter, _ *http.Request) {
			<-release
			io.WriteString(w, "whole")
		})
		f.Serve(Service{Backends: []Backend{slow}})
		bodies := make(chan string, 1)
		go func() {
			_, body, err := fetch(f.url())
			if err != nil {
				t.Error(err)
			}
			bodies <- body
		}()
		eventually(t, "a request is in flight", func() bool { return f.Total() == 1 })
		f.Unlisten()
		if l, err := net.Listen("tcp", f.Addr().String()); err != nil {
			t.Errorf("tcp %v: the port is not free: %v", tcp, err)
		} else {
			l.Close()
		}
		done := make(chan bool)
		go func() { f.close(5 * time.Second); close(done) }()
		close(release)
		<-done
		if got := <-bodies; got != "whole" {
			t.Errorf("tcp %v: the request in flight got %q", tcp, got)
		}
	}
}

func TestCloseCutsWhatDoesNotEnd(t *testing.T) {
	f := newFront(t, true)
	one, _ := speaker(t, "i-1:80", greets("1"))
	f.Serve(Service{Backends: []Backend{one}})
	c := f.dial(t)
	r := bufio.NewReader(c)
	line(t, r)
	f.close(20 * time.Millisecond)
	if _, err := r.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ends with %v, want a reset", err)
	}
}

// TestAKillUnderLoad kills one of three targets while many ask: only what was in flight on it at that moment may fail.
func TestAKillUnderLoad(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		f := newFront(t, tcp)
		var backends []Backend
		var servers []*httptest.Server
		for i := range 3 {
			b, s := replica(t, fmt.Sprintf("i-%d:80", i), says("ok"))
			backends, servers = append(backends, b), append(servers, s)
		}
		f.Serve(Service{Backends: backends})
		const callers = 16
		var failed, answered atomic.Int64
		stop := make(chan struct{})
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if status, body, err := fetch(f.url()); err != nil || status != 200 || body != "ok" {
						failed.Add(1)
					} else {
						answered.Add(1)
					}
				}
			})
		}
		eventually(t, "load", func() bool { return answered.Load() > 100 })
		servers[0].Listener.Close()
		servers[0].CloseClientConnections()
		atKill := answered.Load()
		eventually(t, "load after the kill", func() bool { return answered.Load() > atKill+300 })
		close(stop)
		all.Wait()
		if failed.Load() > callers/3+1 {
			t.Errorf("tcp %v: %d of %d requests failed, want those in flight on the target at most", tcp, failed.Load(), answered.Load())
		}
		t.Logf("tcp %v: %d answered, %d failed", tcp, answered.Load(), failed.Load())
	}
}

func TestBalancerMetrics(t *testing.T) {
	f := newFront(t, false)
	one, _ := replica(t, "i-1:80", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	f.Serve(Service{Backends: []Backend{one}})
	f.get(t, "/")
	want := `# HELP nuage_load_balancer_connections Requests and connections in flight.
# TYPE nuage_load_balancer_connections gauge
nuage_load_balancer_connections{load_balancer="web",project="default"} 0
# HELP nuage_load_balancer_healthy_targets Targets that get requests and connections.
# TYPE nuage_load_balancer_healthy_targets gauge
nuage_load_balancer_healthy_targets{load_balancer="web",project="default"} 1
# HELP nuage_load_balancer_requests_total Requests answered, by status; of TCP, connections that a target took (connected) or none did (failed).
# TYPE nuage_load_balancer_requests_total counter
nuage_load_balancer_requests_total{code="418",load_balancer="web",project="default"} 1
`
	eventually(t, "counted", func() bool { return testutil.GatherAndCompare(f.reg, strings.NewReader(want)) == nil })
	if problems, err := testutil.GatherAndLint(f.reg); len(problems) != 0 || err != nil {
		t.Error(problems, err)
	}
	f.o.Metrics.Forget("default", "web")
	if n, err := testutil.GatherAndCount(f.reg); n != 0 || err != nil {
		t.Errorf("%d series are left, %v", n, err)
	}
}
