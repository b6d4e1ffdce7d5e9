package ingress

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// TestWhatGoesOutIsCounted: bodies of the edge by route, streams of a TCP balancer by its name, each once, also after a change of routes.
func TestWhatGoesOutIsCounted(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, strings.Repeat("x", 1000)) }))
	defer backend.Close()
	edge := New(Options{Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	routes := []Route{
		{Host: "a.localhost", Project: "p", Name: "a", Kind: KindApp, Backends: []Backend{{ID: "1", Address: backend.Listener.Addr().String()}}},
		{Host: "f.localhost", Project: "p", Name: "f", Kind: KindFunction, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })},
	}
	front := httptest.NewServer(edge)
	defer front.Close()
	get := func(host string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatal(err)
		}
	}
	edge.SetRoutes(routes)
	get("a.localhost")
	edge.SetRoutes(routes)
	get("a.localhost")
	get("f.localhost")
	get("nobody.localhost")
	want := map[Sender]int64{{"p", "a", KindApp}: 2000, {"p", "f", KindFunction}: 5}
	got := edge.Sent().Take()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if again := edge.Sent().Take(); len(again) > 0 {
		t.Errorf("it is counted twice: %v", again)
	}
	edge.Sent().Give(got)
	if diff := cmp.Diff(want, edge.Sent().Take()); diff != "" {
		t.Error(diff)
	}
	stream(t, edge.Sent())
	if diff := cmp.Diff(map[Sender]int64{{"p", "lb", KindBalancer}: 7}, edge.Sent().Take()); diff != "" {
		t.Error(diff)
	}
}

// stream lets a TCP balancer carry a greeting of 7 bytes to a caller.
func stream(t *testing.T, sent *Sent) {
	t.Helper()
	target, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	go func() {
		conn, err := target.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "welcome")
	}()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := OpenBalancer(l, BalancerOptions{Project: "p", Name: "lb", TCP: true, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Metrics: NewBalancerMetrics(prometheus.NewRegistry()), Sent: sent})
	b.Serve(Service{Backends: []Backend{{ID: "1", Address: target.Addr().String()}}})
	conn, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(bufio.NewReader(conn))
	if err != nil || string(text) != "welcome" {
		t.Errorf("the caller gets %q, %v", text, err)
	}
	conn.Close()
	b.Close(t.Context())
}
