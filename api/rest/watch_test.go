package rest

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
)

// watcher reads the events of a watch.
type watcher struct {
	lines *bufio.Scanner
	cloud api.Cloud
	told  chan chan struct{}
}

// watchCloud watches a fake cloud that tells of a change when the test says so.
func watchCloud(t *testing.T, query string) *watcher {
	t.Helper()
	reg := prometheus.NewRegistry()
	x := &watcher{cloud: fakeCloud(), told: make(chan chan struct{}, 1)}
	changed := func() <-chan struct{} {
		next := make(chan struct{})
		x.told <- next
		return next
	}
	h, err := New(Options{Cloud: x.cloud, Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg, Ready: func() error { return nil }, Changed: changed})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(func() { cancel(); server.Close() })
	req, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/v1/projects/p/watch"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer all")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := answer.Body.Close(); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	if got := answer.Header.Get("Content-Type"); answer.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("the watch answers %s of type %q", answer.Status, got)
	}
	x.lines = bufio.NewScanner(answer.Body)
	return x
}

// next is the next event: its kind and its data.
func (x *watcher) next(t *testing.T) string {
	t.Helper()
	event := ""
	for x.lines.Scan() {
		if x.lines.Text() == "" {
			return strings.TrimSpace(event)
		}
		event += x.lines.Text() + "\n"
	}
	t.Fatalf("the watch ends after %q: %v", event, x.lines.Err())
	return ""
}

func (x *watcher) wants(t *testing.T, want string) {
	t.Helper()
	if got := x.next(t); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func (x *watcher) change(t *testing.T, change func(context.Context) error) {
	t.Helper()
	if err := change(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(<-x.told)
}

func TestWatch(t *testing.T) {
	x := watchCloud(t, "?noun=instances&noun=volumes")
	object := func(kind, generation, spec string) string {
		return "event: " + kind + `
data: {"noun":"instances","name":"web","object":{"id":"x-0123456789abcdef","name":"web","project":"p","generation":` + generation + `,"createdAt":"2026-01-02T03:04:05Z",` +
			`"spec":` + spec + `,"status":{"phase":"running","reason":"is there","generation":` + generation + `,"public":false,"userData":"","restarts":0}}}`
	}
	x.wants(t, "event: synced\ndata: {}")
	x.change(t, func(ctx context.Context) error {
		_, err := x.cloud.Instances.Create(ctx, "p", "web", api.InstanceSpec{Type: "nano"})
		return err
	})
	x.wants(t, object("added", "1", `{"type":"nano"}`))
	x.change(t, func(ctx context.Context) error { // of no noun that is watched
		_, err := x.cloud.Keys.Create(ctx, "p", "mine", api.KeySpec{})
		return err
	})
	x.change(t, func(ctx context.Context) error {
		_, err := x.cloud.Instances.Update(ctx, "p", "web", api.InstanceSpec{Type: "micro"}, 1)
		return err
	})
	x.wants(t, object("changed", "2", `{"type":"micro"}`))
	x.change(t, func(ctx context.Context) error { return x.cloud.Instances.Delete(ctx, "p", "web", 2) })
	x.wants(t, object("removed", "2", `{"type":"micro"}`))
}

func TestWatchRefusesUnknownNouns(t *testing.T) {
	newRig(t).steps(t, []step{{name: "an unknown noun", method: "GET", path: "/v1/projects/default/watch?noun=cheese", status: 400,
		want: problemText("Bad Request", 400, "invalid", `cannot watch "cheese": it is no noun of a project, as instances or apps`)}})
}

// Whatever a project has a list of can be watched.
func TestEveryNounCanBeWatched(t *testing.T) {
	known := map[string]bool{}
	for _, w := range watchable(fakeCloud()) {
		known[w.noun] = true
	}
	found := 0
	for _, r := range (&face{Options: Options{Cloud: fakeCloud()}}).routes() {
		noun := regexp.MustCompile(`^/v1/projects/\{project\}/([a-z-]+)$`).FindStringSubmatch(r.path)
		if noun == nil || r.method != get || !strings.HasPrefix(r.id, "list-") {
			continue
		}
		if found++; !known[noun[1]] {
			t.Errorf("%s can be listed and not watched", noun[1])
		}
	}
	if found != len(known) {
		t.Errorf("%d nouns can be listed, %d watched", found, len(known))
	}
}
