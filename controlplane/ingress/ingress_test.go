package ingress

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// bench is an edge behind a real listener.
type bench struct {
	*Edge
	server *httptest.Server
	reg    *prometheus.Registry
}

func newBench(t *testing.T, onAnswer func(Route, int)) *bench {
	t.Helper()
	b := &bench{reg: prometheus.NewRegistry()}
	b.Edge = New(Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: b.reg, Now: time.Now, OnAnswer: onAnswer})
	b.server = httptest.NewServer(b.Edge)
	t.Cleanup(func() {
		b.server.Close()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// request makes a request for host with header lines "Name: value".
func (b *bench) request(t *testing.T, method, host, path string, body io.Reader, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, b.server.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// do sends a request and returns the answer with its whole body.
func (b *bench) do(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := b.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

func (b *bench) get(t *testing.T, host string, header ...string) (int, string) {
	t.Helper()
	response, body := b.do(t, b.request(t, "GET", host, "/", nil, header...))
	return response.StatusCode, body
}

// replica starts a backend.
func replica(t *testing.T, id string, h http.HandlerFunc) (Backend, *httptest.Server) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return Backend{ID: id, Address: s.Listener.Addr().String()}, s
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

// deadAddress is a loopback address that refuses connections.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func shop(backends ...Backend) Route {
	return Route{Host: "shop.app.localhost", Project: "default", Name: "shop", Kind: KindApp, Backends: backends}
}

// eventually polls until ok, for five seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 5 s: %s", what)
		}
	}
}

func TestHostsAreFoundWhateverTheirSpelling(t *testing.T) {
	b := newBench(t, nil)
	one, _ := replica(t, "app-1", says("shop"))
	b.SetRoutes([]Route{shop(one), {Host: "Hello.fn.localhost", Kind: KindFunction, Name: "hello", Handler: says("hello")}})
	for host, want := range map[string]string{
		"shop.app.localhost": "shop", "SHOP.App.localhost": "shop", "shop.app.localhost:7080": "shop", "shop.app.localhost.": "shop",
		"hello.fn.localhost": "hello",
	} {
		if _, got := b.get(t, host); got != want {
			t.Errorf("%s answered %q, want %q", host, got, want)
		}
	}
}

func TestPages(t *testing.T) {
	b := newBench(t, nil)
	b.SetRoutes([]Route{
		{Host: "empty.app.localhost", Project: "default", Name: "empty", Kind: KindApp, Note: "release 1 is <starting>"},
		{Host: "dead.app.localhost", Project: "default", Name: "dead", Kind: KindApp, Backends: []Backend{{ID: "app-1", Address: deadAddress(t)}, {ID: "app-2", Address: deadAddress(t)}}},
	})
	cases := []struct {
		host, accept string
		status       int
		contentType  string
		body         string
	}{
		{"shop.app.localhost", "*/*", 404, "text/plain; charset=utf-8",
			"cannot find anything that serves \"shop.app.localhost\": deploy it with `nuage app deploy shop --source DIR`\n"},
		{"hi.demo.fn.localhost:80", "*/*", 404, "text/plain; charset=utf-8",
			"cannot find anything that serves \"hi.demo.fn.localhost\": deploy it with `nuage --project demo trigger create hi --function hi --http`\n"},
		{"example.org", "application/json", 404, "application/problem+json",
			`{"title":"Nothing answers here","status":404,"detail":"cannot find anything that serves \"example.org\": deploy an app or a function, then use the address that ` +
				"`nuage app show` or `nuage trigger show`" + ` prints","code":"not_found","requestId":"r-1"}` + "\n"},
		{"empty.app.localhost", "text/html,*/*;q=0.8", 503, "text/html; charset=utf-8", `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>empty is not serving</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em;color-scheme:light dark}</style>
<h1>empty is not serving</h1>
<p>cannot reach app &#34;empty&#34;: release 1 is &lt;starting&gt;</p>
<p><small>nuage edge, status 503, request r-1</small></p>
</html>
`},
		{"dead.app.localhost", "*/*", 502, "text/plain; charset=utf-8",
			"cannot get an answer from app \"dead\": every replica refused, did not take or broke the connection; see `nuage app logs dead`\n"},
	}
	for _, c := range cases {
		response, body := b.do(t, b.request(t, "GET", c.host, "/", nil, "Accept: "+c.accept, "X-Request-Id: r-1"))
		if response.StatusCode != c.status || response.Header.Get("Content-Type") != c.contentType {
			t.Errorf("%s answered %d %s, want %d %s", c.host, response.StatusCode, response.Header.Get("Content-Type"), c.status, c.contentType)
		}
		if diff := cmp.Diff(c.body, body); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.host, diff)
		}
	}
}

func TestNobodyButTheEdgeSaysWhoAUserIs(t *testing.T) {
	b := newBench(t, nil)
	var got http.Header
	one, _ := replica(t, "one", func(_ http.ResponseWriter, r *http.Request) { got = r.Header })
	open := shop(one)
	closed := shop(one)
	closed.Guard = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Nuage-User") != "" || r.URL.Path == "/closed" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			r.Header.Set("X-Nuage-User", "ada")
			next.ServeHTTP(w, r)
		})
	}
	for user, route := range map[string]Route{"": open, "ada": closed} {
		b.SetRoutes([]Route{route})
		r := b.request(t, "GET", route.Host, "/", nil)
		for _, name := range []string{"X-Nuage-User", "x-nuage-email", "X_Nuage_User", "X-Nuage_Roles", "X-NUAGE-TOKEN", "X_Forwarded_For"} {
			r.Header[name] = []string{"forged"}
		}
		if response, _ := b.do(t, r); response.StatusCode != http.StatusOK || got.Get("X-Nuage-User") != user {
			t.Errorf("the answer is %d, the user %q, want %q", response.StatusCode, got.Get("X-Nuage-User"), user)
		}
		for name, values := range got {
			if slices.Contains(values, "forged") {
				t.Errorf("%s came through: %q", name, values)
			}
		}
	}
	b.SetRoutes([]Route{closed})
	got = nil
	if response, _ := b.do(t, b.request(t, "GET", closed.Host, "/closed", nil)); response.StatusCode != http.StatusUnauthorized || got != nil {
		t.Errorf("what the guard refuses is answered %d, and the app got %v", response.StatusCode, got)
	}
}

func TestForgedHeadersAreReplacedForAppsAndFunctions(t *testing.T) {
	b := newBench(t, nil)
	show := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "the program's own")
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "Forwarded", "X-Real-Ip",
			"X-Request-Id", "Connection", "X-Secret-Hop", "X-Kept"} {
			fmt.Fprintf(w, "%s=%s\n", name, strings.Join(r.Header.Values(name), ","))
		}
		fmt.Fprintf(w, "Host=%s\nURL=%s\n", r.Host, r.URL.RequestURI())
	}
	one, _ := replica(t, "app-1", show)
	b.SetRoutes([]Route{shop(one), {Host: "shop.fn.localhost", Name: "shop", Kind: KindFunction, Handler: http.HandlerFunc(show)}})
	for _, host := range []string{"shop.app.localhost", "shop.fn.localhost"} {
		response, got := b.do(t, b.request(t, "GET", host, "/a%2Fb/?q=1;2&x=%zz", nil, "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil", "X-Forwarded-Proto: https",
			"X-Forwarded-Port: 443", "Forwarded: for=6.6.6.6", "X-Real-Ip: 6.6.6.6", "X-Request-Id: mine-1", "Connection: X-Secret-Hop", "X-Secret-Hop: s", "X-Kept: yes"))
		want := "X-Forwarded-For=127.0.0.1\nX-Forwarded-Host=" + host + "\nX-Forwarded-Proto=http\nX-Forwarded-Port=\nForwarded=\nX-Real-Ip=\n" +
			"X-Request-Id=mine-1\nConnection=\nX-Secret-Hop=\nX-Kept=yes\nHost=" + host + "\nURL=/a%2Fb/?q=1;2&x=%zz\n"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", host, diff)
		}
		if got := response.Header.Values("X-Request-Id"); host == "shop.app.localhost" && !cmp.Equal(got, []string{"mine-1"}) {
			t.Errorf("the answer's X-Request-Id is %q", got)
		}
	}
}

func TestRequestIDIsMadeWhereTheGivenOneIsNotSane(t *testing.T) {
	for given, kept := range map[string]bool{"a1-B2_c.3": true, "": false, "two words": false, strings.Repeat("x", 129): false, "a\"b": false} {
		got := requestID(given)
		if kept != (got == given) || !kept && len(got) != 32 {
			t.Errorf("requestID(%q) = %q", given, got)
		}
	}
}

func TestRequestsGoRound(t *testing.T) {
	b := newBench(t, nil)
	one, _ := replica(t, "app-1", says("1"))
	two, _ := replica(t, "app-2", says("2"))
	b.SetRoutes([]Route{shop(one, two)})
	var got strings.Builder
	for range 4 {
		_, body := b.get(t, "shop.app.localhost")
		got.WriteString(body)
		b.SetRoutes([]Route{shop(one, two)}) // a swap does not begin the round again
	}
	if got.String() != "1212" {
		t.Errorf("replicas answered in the order %s, want 1212", got.String())
	}
}

func TestAnotherReplicaAnswersForADeadOne(t *testing.T) {
	b := newBench(t, nil)
	live, _ := replica(t, "app-2", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	b.SetRoutes([]Route{shop(Backend{ID: "app-1", Address: deadAddress(t)}, live)})
	for range 4 { // a refused connection took nothing: any method goes on, body and all
		response, got := b.do(t, b.request(t, "POST", "shop.app.localhost", "/", strings.NewReader("entry")))
		if response.StatusCode != 200 || got != "entry" {
			t.Fatalf("answered %d %q, want 200 entry", response.StatusCode, got)
		}
	}
}

func TestAReplicaThatBreaksOffIsReplacedForGetOnly(t *testing.T) {
	b := newBench(t, nil)
	breaks, _ := replica(t, "app-1", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	})
	live, _ := replica(t, "app-2", says("ok"))
	for _, c := range []struct {
		method string
		want   int
	}{{"GET", 200}, {"POST", 502}} {
		b.SetRoutes(nil) // the round begins at the first
		b.SetRoutes([]Route{shop(breaks, live)})
		response, _ := b.do(t, b.request(t, c.method, "shop.app.localhost", "/", nil))
		if response.StatusCode != c.want {
			t.Errorf("%s answered %d, want %d", c.method, response.StatusCode, c.want)
		}
	}
}

func TestSwapUnderLoadLosesNothing(t *testing.T) {
	b := newBench(t, nil)
	first, _ := replica(t, "app-1", says("old"))
	second, _ := replica(t, "app-2", says("new"))
	b.SetRoutes([]Route{shop(first)})
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if status, body := b.get(t, "shop.app.localhost"); status != 200 || body != "old" && body != "new" {
					t.Errorf("answered %d %q", status, body)
					return
				}
			}
		})
	}
	for i := range 200 {
		to := []Backend{first, second}[i%2]
		from := []Backend{second, first}[i%2]
		b.SetRoutes([]Route{shop(to)})
		eventually(t, from.ID+" drained", func() bool { return b.InFlight(from.ID) == 0 })
	}
	close(stop)
	callers.Wait()
}

func TestDrainCountsUntilTheLastByte(t *testing.T) {
	b := newBench(t, nil)
	release := make(chan struct{})
	slow, _ := replica(t, "app-1", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "begin ")
		http.NewResponseController(w).Flush()
		<-release
		io.WriteString(w, "end")
	})
	next, _ := replica(t, "app-2", says("next"))
	b.SetRoutes([]Route{shop(slow)})
	response, err := b.server.Client().Do(b.request(t, "GET", "shop.app.localhost", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b.SetRoutes(nil) // a route that is gone counts on
	if got := b.InFlight("app-1"); got != 1 {
		t.Errorf("without its route %d requests are in flight on the replica, want 1", got)
	}
	b.SetRoutes([]Route{shop(next)})
	if _, got := b.get(t, "shop.app.localhost"); got != "next" {
		t.Errorf("after the swap %q answered", got)
	}
	if got := b.InFlight("app-1"); got != 1 {
		t.Errorf("%d requests in flight on the replica that left, want 1", got)
	}
	close(release)
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "begin end" {
		t.Errorf("the request in flight got %q, %v", body, err)
	}
	eventually(t, "drained", func() bool { return b.InFlight("app-1") == 0 })
}

func TestEventsStreamAsTheyCome(t *testing.T) {
	b := newBench(t, nil)
	more := make(chan struct{})
	events, _ := replica(t, "app-1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			http.NewResponseController(w).Flush()
			<-more
		}
	})
	b.SetRoutes([]Route{shop(events)})
	response, err := b.server.Client().Do(b.request(t, "GET", "shop.app.localhost", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for i := range 3 { // the next event is made only after this one was read
		lines.Scan()
		if want := fmt.Sprintf("data: %d", i); lines.Text() != want {
			t.Fatalf("event %q, want %q", lines.Text(), want)
		}
		lines.Scan()
		more <- struct{}{}
	}
}

func TestWebSocketsPass(t *testing.T) {
	var mu sync.Mutex
	var statuses []int
	b := newBench(t, func(_ Route, status int) {
		mu.Lock()
		defer mu.Unlock()
		statuses = append(statuses, status)
	})
	echo, _ := replica(t, "app-1", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			t.Errorf("Upgrade is %q", r.Header.Get("Upgrade"))
		}
		conn, buffer, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := buffer.ReadString('\n')
		io.WriteString(conn, "echo "+line)
	})
	b.SetRoutes([]Route{shop(echo)})
	u, err := url.Parse(b.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: shop.app.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != 101 || response.Header.Get("X-Request-Id") == "" {
		t.Fatalf("answered %+v, %v", response, err)
	}
	if got := b.InFlight("app-1"); got != 1 {
		t.Errorf("%d in flight while upgraded, want 1", got)
	}
	fmt.Fprint(conn, "hi\n")
	if line, err := reader.ReadString('\n'); line != "echo hi\n" {
		t.Errorf("got %q, %v", line, err)
	}
	conn.Close()
	eventually(t, "the connection ended", func() bool { return b.InFlight("app-1") == 0 })
	mu.Lock()
	defer mu.Unlock()
	if !cmp.Equal(statuses, []int{101}) {
		t.Errorf("OnAnswer heard %v, want [101]", statuses)
	}
}

func TestACallerThatLeavesFreesItsReplica(t *testing.T) {
	b := newBench(t, nil)
	hangs, _ := replica(t, "app-1", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	b.SetRoutes([]Route{shop(hangs)})
	client := &http.Client{Timeout: 50 * time.Millisecond}
	if _, err := client.Do(b.request(t, "GET", "shop.app.localhost", "/", nil)); err == nil {
		t.Fatal("the hanging replica answered")
	}
	eventually(t, "freed", func() bool { return b.InFlight("app-1") == 0 })
	eventually(t, "counted", func() bool {
		return testutil.ToFloat64(b.metrics.requests.WithLabelValues("default", "shop", "app", "499")) == 1
	})
}

func TestMetricsAndOnAnswer(t *testing.T) {
	heard := make(chan string, 10)
	b := newBench(t, func(r Route, status int) { heard <- fmt.Sprint(r.Name, " ", status) })
	one, _ := replica(t, "app-1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	b.SetRoutes([]Route{shop(one)})
	b.get(t, "shop.app.localhost")
	b.get(t, "nobody.example")
	if got := <-heard; got != "shop 418" || len(heard) != 0 {
		t.Errorf("OnAnswer heard %q and %d more, want shop 418", got, len(heard))
	}
	want := `# HELP nuage_edge_requests_total Requests answered by the edge.
# TYPE nuage_edge_requests_total counter
nuage_edge_requests_total{code="404",kind="none",name="",project=""} 1
nuage_edge_requests_total{code="418",kind="app",name="shop",project="default"} 1
`
	eventually(t, "counted", func() bool {
		return testutil.GatherAndCompare(b.reg, strings.NewReader(want), "nuage_edge_requests_total") == nil
	})
	if n, err := testutil.GatherAndCount(b.reg, "nuage_edge_request_duration_seconds"); n != 2 || err != nil {
		t.Errorf("%d series of the histogram, %v; want 2", n, err)
	}
	if problems, err := testutil.GatherAndLint(b.reg); len(problems) != 0 || err != nil {
		t.Error(problems, err)
	}
}
