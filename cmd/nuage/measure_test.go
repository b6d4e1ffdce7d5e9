package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nuage/api"
)

// realTime lets a world measure: its clock goes.
func (w *world) realTime() *world {
	w.cli.now = time.Now
	return w
}

func TestMeasureAnswers(t *testing.T) {
	var requests atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) <= 3 {
			http.Error(rw, "starting", http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	w := newWorld(t, "").realTime()
	got := w.run("compare", "measure", "shop", "--url", srv.URL, "--requests", "25", "-o", "name")
	if want := "first answer\nlatency p50\nlatency p99\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := requests.Load(); n != 3+1+25 {
		t.Errorf("%d requests, want 3 refused, the first answer and 25", n)
	}
	decimal := regexp.MustCompile(`^\d+\.\d{3}$`)
	for _, m := range w.compared.kept {
		if m.Subject != "shop" || m.Unit != "ms" || !decimal.MatchString(m.Value) {
			t.Errorf("kept %+v", m)
		}
	}
	if first := w.compared.kept[0]; len(first.Value) < len("40.000") {
		t.Errorf("the first answer took %s ms, but three refusals came first, 20 ms apart", first.Value)
	}
}

func TestMeasureRecovery(t *testing.T) {
	var requests atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if n := requests.Add(1); n > 5 && n <= 10 {
			http.Error(rw, "gone", http.StatusBadGateway)
		}
	}))
	defer srv.Close()
	w := newWorld(t, "").realTime()
	w.check(t, "recovery after kill\n! killed\n", "compare", "measure", "shop", "--url", srv.URL, "--recovery", "--kill-cmd", "echo killed", "-o", "name")
	m := w.compared.kept[0]
	if m.Unit != "s" || m.Value < "0.060" || m.Value > "9" {
		t.Errorf("kept %+v, want about five times 20 ms", m)
	}
}

func TestMeasureRecoveryFailures(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	w := newWorld(t, "").realTime()
	for _, c := range []struct {
		want string
		line []string
	}{
		{"! nuage: cannot measure the recovery of URL: no failure within 100ms: it answered all the time\nexit 1\n", []string{"--deadline", "100ms"}},
		{"! nuage: cannot kill the subject: \"exit 3\" failed: exit status 3\nexit 1\n", []string{"--kill-cmd", "exit 3"}},
	} {
		got := w.run(append([]string{"compare", "measure", "shop", "--url", srv.URL, "--recovery", "-o", "name"}, c.line...)...)
		if got = strings.ReplaceAll(got, srv.URL, "URL"); got != c.want {
			t.Errorf("%q: got %q, want %q", c.line, got, c.want)
		}
	}
	if len(w.compared.kept) > 0 {
		t.Errorf("kept %+v", w.compared.kept)
	}
}

func TestMeasureUsage(t *testing.T) {
	w := newWorld(t, "")
	for want, line := range map[string][]string{
		"cannot measure without --url":                           {},
		`cannot measure --url "ftp://x": it is no http address`:  {"--url", "ftp://x"},
		"cannot send 0 requests: give a number from 1 to 100000": {"--url", "http://x", "--requests", "0"},
		"cannot use --kill-cmd without --recovery":               {"--url", "http://x", "--kill-cmd", "true"},
		"cannot use --deadline 0: give a duration such as 60s":   {"--url", "http://x", "--deadline", "0s"},
	} {
		w.check(t, "! nuage: "+want+"; see nuage compare measure --help\nexit 2\n", append([]string{"compare", "measure", "shop"}, line...)...)
	}
}

func TestProbeFindsNamesUnderLocalhost(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Host, "shop.app.localhost:") {
			http.Error(rw, r.Host, http.StatusNotFound)
		}
	}))
	defer srv.Close()
	w := newWorld(t, "").realTime()
	url := strings.Replace(srv.URL, "127.0.0.1", "shop.app.localhost", 1)
	w.check(t, "first answer\nlatency p50\nlatency p99\n", "compare", "measure", "shop", "--url", url, "--requests", "1", "--deadline", "1s", "-o", "name")
}

func TestBackup(t *testing.T) {
	w := newWorld(t, "")
	path := t.TempDir() + "/b"
	w.check(t, "saved the state in "+path+"\n", "backup", path)
	w.check(t, "! nuage: cannot write \""+path+"\": it exists; choose another name or add --force\nexit 1\n", "backup", path)
	w.system.backup = api.Errorf(api.Unavailable, "cannot back up: no disk")
	w.check(t, "! nuage: cannot back up: no disk\nexit 1\n", "backup", path, "--force")
	if text, err := w.readText(path); err != nil || text != "the state" {
		t.Errorf("a failed backup left %q, %v", text, err)
	}
	w.system.backup = nil
	w.check(t, path+"\n", "backup", path, "--force", "-o", "name")
}

func TestMeasureConnects(t *testing.T) {
	for _, c := range []struct {
		line []string
		want int64
	}{{nil, 1}, {[]string{"--connect"}, 11}} {
		var connections atomic.Int64
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}
		srv.Start()
		w := newWorld(t, "").realTime()
		w.check(t, "first answer\nlatency p50\nlatency p99\n", append([]string{"compare", "measure", "vm", "--url", srv.URL, "--requests", "10", "-o", "name"}, c.line...)...)
		srv.Close()
		if got := connections.Load(); got != c.want {
			t.Errorf("%q: %d connections, want %d", c.line, got, c.want)
		}
	}
}

// TestMeasureLoad: the load is sent whether it is answered or not; what fails is counted, and the rest is timed.
func TestMeasureLoad(t *testing.T) {
	var requests atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if n := requests.Add(1); n > 1 && n%2 == 0 {
			http.Error(rw, "too much", http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	w := newWorld(t, "").realTime()
	got := w.run("compare", "measure", "shop", "--url", srv.URL, "--load", "--rate", "2", "--lasting", "1s", "-o", "name")
	want := ""
	for _, times := range []string{"1", "10", "50"} {
		want += "failed at " + times + "x load\nlatency p50 at " + times + "x load\nlatency p99 at " + times + "x load\n"
	}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := requests.Load(); n != 1+2+20+100 {
		t.Errorf("%d requests, want the first answer and 2, 20 and 100", n)
	}
	for i, m := range w.compared.kept {
		if i%3 == 0 && (m.Unit != "%" || m.Value != "50.0") {
			t.Errorf("kept %+v, want half of them failed", m)
		}
	}
	w.check(t, "! nuage: cannot send 0 requests a second for 3s: give a rate from 1 to 200 and a time from 1s to 1m; see nuage compare measure --help\nexit 2\n",
		"compare", "measure", "shop", "--url", srv.URL, "--load", "--rate", "0")
}

// TestCompareMeasures: what can be reached is measured, the rest is named.
func TestCompareMeasures(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	w := newWorld(t, "").realTime()
	w.compared.comparison = api.Comparison{Subjects: []api.Subject{{Name: "shop", Noun: "app", Model: "paas"}, {Name: "default", Noun: "project"}}}
	w.apps.items["shop"] = &api.App{Meta: api.Meta{Name: "shop", Project: "default"}, Status: api.AppStatus{URL: srv.URL}}
	out := w.run("compare", "--measure", "--rate", "1", "--lasting", "1s", "-o", "json")
	if !strings.Contains(out, "! default is not measured: it has no address\n") || len(w.compared.kept) != 3+9 || w.compared.kept[0].Subject != "app/shop" {
		t.Errorf("kept %+v: %s", w.compared.kept, out)
	}
}
