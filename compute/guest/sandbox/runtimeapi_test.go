package sandbox

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// watcher notes what an observer is told.
type watcher chan string

func (w watcher) initialized()        { w <- "initialized" }
func (w watcher) initFailed(r result) { w <- fmt.Sprintf("init failed %s", r.body) }
func (w watcher) answered()           {}
func (w watcher) ended(r result) {
	w <- fmt.Sprintf("ended failed=%v %s %s", r.failed, r.contentType, r.body)
}

func (w watcher) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-w:
		if got != want {
			t.Fatalf("the observer was told %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("the observer was not told %q", want)
	}
}

type apiTest struct {
	*testing.T
	api    *runtimeAPI
	told   watcher
	server *httptest.Server
}

func newAPITest(t *testing.T) *apiTest {
	told := make(watcher, 10)
	api := newRuntimeAPI(told)
	server := httptest.NewServer(api.handler())
	t.Cleanup(server.Close)
	return &apiTest{t, api, told, server}
}

const base = "/2018-06-01/runtime/"

// do sends a request and returns "status body".
func (t *apiTest) do(method, path, body string, header ...string) string {
	t.Helper()
	r, err := http.NewRequest(method, t.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", answer.StatusCode, b)
}

func (t *apiTest) expect(want, method, path, body string, header ...string) {
	t.Helper()
	if got := t.do(method, path, body, header...); got != want {
		t.Errorf("%s %s: got %q\nwant %q", method, path, got, want)
	}
}

// next asks for an event in the background; nil: it got no answer, as one that is still parked when the test ends.
func (t *apiTest) next() <-chan *http.Response {
	got := make(chan *http.Response, 1)
	go func() {
		r, err := http.Get(t.server.URL + base + "invocation/next")
		if err != nil {
			r = nil
		}
		got <- r
	}()
	return got
}

var deadline = time.UnixMilli(1767323045123)

func (t *apiTest) run(id string) {
	t.Helper()
	got := t.next()
	if id == "first" {
		t.told.expect(t.T, "initialized")
	}
	t.waitReady()
	if !t.api.invoke(event{id: id, arn: "arn:f", contentType: "application/json", payload: []byte(`{"a":1}`), deadline: deadline}) {
		t.Fatal("the event was not taken")
	}
	r := <-got
	if r == nil {
		t.Fatal("/next was not answered")
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	h := r.Header
	is := fmt.Sprint(r.StatusCode, " ", string(body), err, h["Lambda-Runtime-Aws-Request-Id"], h["Lambda-Runtime-Invoked-Function-Arn"],
		h["Lambda-Runtime-Deadline-Ms"], h["Content-Type"], h["Lambda-Runtime-Trace-Id"])
	if want := `200 {"a":1}<nil> [` + id + `] [arn:f] [1767323045123] [application/json] []`; is != want {
		t.Fatalf("got  %s\nwant %s", is, want)
	}
}

// waitReady waits until the runtime is parked at /next.
func (t *apiTest) waitReady() {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		t.api.mu.Lock()
		ok := t.api.state == ready && t.api.waiter != nil
		t.api.mu.Unlock()
		if ok {
			return
		}
	}
	t.Fatal("the runtime does not wait")
}

const (
	accepted  = "202 {\"status\":\"OK\"}\n"
	invalidID = "400 {\"errorMessage\":\"Invalid request ID\",\"errorType\":\"InvalidRequestID\"}\n"
)

func refused(from, to state) string {
	return fmt.Sprintf("403 {\"errorMessage\":\"State transition from %s to %s failed for runtime. Error: State transition is not allowed\",\"errorType\":\"InvalidStateTransition\"}\n", from, to)
}

func TestLife(t *testing.T) {
	a := newAPITest(t)
	a.expect("200 pong", "GET", "/2018-06-01/ping", "")
	a.expect(invalidID, "POST", base+"invocation/first/response", "too early")
	if a.api.invoke(event{id: "early"}) {
		t.Error("an event was taken before the runtime was there")
	}
	a.run("first")
	a.expect(`200 {"a":1}`, "GET", base+"invocation/next", "") // asking again while it runs
	a.expect(invalidID, "POST", base+"invocation/other/response", "x")
	a.expect(refused(running, initError), "POST", base+"init/error", "{}")
	a.expect(accepted, "POST", base+"invocation/first/response", `{"b":2}`, "Content-Type", "application/json")
	a.expect(invalidID, "POST", base+"invocation/first/response", "twice")
	a.expect(invalidID, "POST", base+"invocation/first/error", "{}")
	if r, ok := a.api.settled(); !ok || string(r.body) != `{"b":2}` {
		t.Errorf("settled: %v %s", ok, r.body)
	}
	got := a.next()
	a.told.expect(t, `ended failed=false application/json {"b":2}`)
	a.waitReady()
	a.expect(refused(ready, ready), "GET", base+"invocation/next", "")
	a.api.invoke(event{id: "second"})
	(<-got).Body.Close()
	a.expect(accepted, "POST", base+"invocation/second/error", `{"errorMessage":"m","errorType":"T"}`, "Lambda-Runtime-Function-Error-Type", "Function.Wrong")
	a.next()
	a.told.expect(t, `ended failed=true application/json {"errorMessage":"m","errorType":"T"}`)
	a.waitReady()
	a.api.invoke(event{id: "last"}) // so that the server can close
}

func TestInitError(t *testing.T) {
	a := newAPITest(t)
	a.expect(accepted, "POST", base+"init/error", `{"errorMessage":"m","errorType":"Runtime.ImportModuleError"}`, "Lambda-Runtime-Function-Error-Type", "Runtime.ImportModuleError")
	a.told.expect(t, `init failed {"errorMessage":"m","errorType":"Runtime.ImportModuleError"}`)
	a.expect(refused(initError, ready), "GET", base+"invocation/next", "")
	a.expect(refused(initError, initError), "POST", base+"init/error", "{}")
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name, verb, body string
		header           []string
		want, told       string
	}{
		{"streaming", "response", "abc", []string{"Lambda-Runtime-Function-Response-Mode", "streaming", "Content-Type", "text/plain"}, accepted,
			"ended failed=false text/plain abc"},
		{"bad mode", "response", "abc", []string{"Lambda-Runtime-Function-Response-Mode", "fast"},
			"400 {\"errorMessage\":\"Invalid function response mode\",\"errorType\":\"InvalidFunctionResponseMode\"}\n",
			`ended failed=true application/json {"errorMessage":"Invalid function response mode","errorType":"Runtime.InvalidResponseModeHeader"}`},
		{"largest", "response", strings.Repeat("x", maxAnswer), nil, accepted, "ended failed=false  " + strings.Repeat("x", maxAnswer)},
		{"too large", "response", strings.Repeat("x", maxAnswer+1), nil,
			"413 {\"errorMessage\":\"Exceeded maximum allowed payload size (6291556 bytes).\",\"errorType\":\"RequestEntityTooLarge\"}\n",
			`ended failed=true application/json {"errorMessage":"Exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}`},
		{"error without a document", "error", "not JSON", []string{"Lambda-Runtime-Function-Error-Type", "Runtime.NoSuchHandler"}, accepted,
			`ended failed=true application/json {"errorMessage":"Invalid error body","errorType":"Runtime.NoSuchHandler"}`},
		{"error of no known type", "error", "", []string{"Lambda-Runtime-Function-Error-Type", "Runtime.no<such"}, accepted,
			`ended failed=true application/json {"errorMessage":"Invalid error body","errorType":"Runtime.Unknown"}`},
		{"error of the function's", "error", "", []string{"Lambda-Runtime-Function-Error-Type", "Function.no such"}, accepted,
			`ended failed=true application/json {"errorMessage":"Invalid error body","errorType":"Function.Unknown"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAPITest(t)
			a.run("first")
			a.expect(tt.want, "POST", base+"invocation/first/"+tt.verb, tt.body, tt.header...)
			a.next()
			a.told.expect(t, tt.told)
			a.waitReady()
			a.api.invoke(event{id: "last"})
		})
	}
}

// raw sends bytes and returns the status line.
func (t *apiTest) raw(request string, half bool) string {
	t.Helper()
	conn, err := net.Dial("tcp", t.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if half {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func TestTruncated(t *testing.T) {
	a := newAPITest(t)
	a.run("first")
	got := a.raw("POST "+base+"invocation/first/response HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", true)
	if got != "HTTP/1.1 400 Bad Request" {
		t.Errorf("got %s", got)
	}
	a.next()
	a.told.expect(t, `ended failed=true application/json {"errorMessage":"HTTP request detected as truncated","errorType":"Runtime.TruncatedResponse"}`)
	a.waitReady()
	a.api.invoke(event{id: "last"})
}

// A stream that fails half way says so in its trailers.
func TestTrailers(t *testing.T) {
	a := newAPITest(t)
	a.run("first")
	got := a.raw("POST "+base+"invocation/first/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"+
		"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n3\r\nabc\r\n0\r\n"+
		"Lambda-Runtime-Function-Error-Type: Function.Broke\r\nLambda-Runtime-Function-Error-Body: eyJlcnJvclR5cGUiOiJCcm9rZSJ9\r\n\r\n", false)
	if got != "HTTP/1.1 202 Accepted" {
		t.Errorf("got %s", got)
	}
	a.next()
	a.told.expect(t, `ended failed=true application/json {"errorType":"Broke"}`)
	a.waitReady()
	a.api.invoke(event{id: "last"})
}

// A runtime that hangs up while it waits and asks again gets the event.
func TestHangUp(t *testing.T) {
	a := newAPITest(t)
	conn, err := net.Dial("tcp", a.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET "+base+"invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	a.waitReady()
	<-a.told
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		a.api.mu.Lock()
		gone := a.api.waiter == nil
		a.api.mu.Unlock()
		if gone {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the waiter stays")
		}
	}
	a.run("again")
}

// Whatever a function sends, the API answers it as HTTP and stays usable.
func FuzzRuntimeAPI(f *testing.F) {
	f.Add("POST", "invocation/first/response", "body", "streaming", "Function.X")
	f.Add("POST", "invocation/first/error", `{"errorType":1}`, "", "Runtime.X")
	f.Add("POST", "init/error", "null", "", "")
	f.Fuzz(func(t *testing.T, method, path, body, mode, kind string) {
		a := newRuntimeAPI(make(watcher, 10))
		a.state, a.current = running, event{id: "first"}
		r, err := http.NewRequest(method, "http://x"+base+path, strings.NewReader(body))
		if err != nil {
			return
		}
		r.Header.Set("Lambda-Runtime-Function-Response-Mode", mode)
		r.Header.Set("Lambda-Runtime-Function-Error-Type", kind)
		w := httptest.NewRecorder()
		a.handler().ServeHTTP(w, r)
		if w.Code < 200 || w.Code > 599 || a.state != running && a.state != responseSent {
			t.Fatalf("status %d, state %s", w.Code, a.state)
		}
	})
}
