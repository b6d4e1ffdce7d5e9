package rest

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestNewRefuses(t *testing.T) {
	reg := prometheus.NewRegistry()
	good := Options{Cloud: fakeCloud(), Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg, Ready: func() error { return nil }}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	silent, negative := good, good
	silent.Logger, negative.MaxBody = nil, -1
	for want, o := range map[string]Options{
		"cannot register the metrics of the HTTP API: ":                                 good,
		"cannot make the HTTP API: Logger, Registerer, Gatherer and Ready are required": silent,
		"cannot make the HTTP API: MaxBody -1 is negative":                              negative,
	} {
		if _, err := New(o); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestMaxBody(t *testing.T) {
	reg := prometheus.NewRegistry()
	h, err := New(Options{Cloud: fakeCloud(), Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg, Ready: func() error { return nil }, MaxBody: 20})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{handler: h}
	for body, want := range map[string]int{`{"name":"twenty-bt"}`: 201, `{"name":"twenty-one"}`: 413} {
		if w := r.do(t, "POST", "/v1/projects/default/instances", body); w.Code != want {
			t.Errorf("%d bytes: %d %s, want %d", len(body), w.Code, w.Body, want)
		}
	}
}

func TestHead(t *testing.T) {
	server := httptest.NewServer(newRig(t).handler)
	defer server.Close()
	answer, err := http.Head(server.URL + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 || answer.ContentLength < 10_000 || len(body) != 0 {
		t.Errorf("HEAD answers %d with a length of %d and %d bytes: %v", answer.StatusCode, answer.ContentLength, len(body), err)
	}
}
