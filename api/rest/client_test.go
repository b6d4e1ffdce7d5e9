package rest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/api/client"
)

// dial returns a client of a server over the fake.
func dial(t *testing.T, token string) (api.Cloud, *rig) {
	t.Helper()
	r := newRig(t)
	server := httptest.NewServer(r.handler)
	t.Cleanup(server.Close)
	return client.New(server.URL, token), r
}

// What the fake answers must come through the wire as it is.
func TestClientCarriesValues(t *testing.T) {
	over, _ := dial(t, "all")
	direct := fakeCloud()
	when := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	ctx := api.WithIdempotencyKey(t.Context(), "key")
	calls := map[string]func(c api.Cloud) (any, error){
		"create": func(c api.Cloud) (any, error) {
			return c.Instances.Create(ctx, "p", "web", api.InstanceSpec{Type: "nano"})
		},
		"replay": func(c api.Cloud) (any, error) {
			return c.Instances.Create(ctx, "p", "web", api.InstanceSpec{Type: "nano"})
		},
		"project": func(c api.Cloud) (any, error) { return c.Projects.Create(ctx, "p", api.ProjectSpec{Description: "d"}) },
		"quota": func(c api.Cloud) (any, error) {
			return c.Projects.Update(ctx, "p", api.ProjectSpec{Quota: api.Quota{Volumes: 3, VolumeBytes: 1 << 40}}, 7)
		},
		"user":     func(c api.Cloud) (any, error) { return c.Users.Create(ctx, "ada", api.UserSpec{Project: "p"}) },
		"people":   func(c api.Cloud) (any, error) { return c.Users.List(ctx, api.Page{After: "a"}) },
		"person":   func(c api.Cloud) (any, error) { return c.Users.Get(ctx, "ada") },
		"farewell": func(c api.Cloud) (any, error) { return nil, c.Users.Delete(ctx, "ada") },
		"token":    func(c api.Cloud) (any, error) { return c.Tokens.Create(ctx, "t", api.TokenSpec{ExpiresAt: &when}) },
		"revoke":   func(c api.Cloud) (any, error) { return nil, c.Tokens.Revoke(ctx, "t") },
		"actor":    func(c api.Cloud) (any, error) { return c.Tokens.Authenticate(ctx, "shop-only") },
		"rollback": func(c api.Cloud) (any, error) { return c.Apps.Rollback(ctx, "p", "web", 4) },
		"split": func(c api.Cloud) (any, error) {
			sticky := true
			return c.Apps.Split(ctx, "p", "web", api.Split{Shares: []api.Share{{Release: 3, Percent: 10}, {Release: 2, Percent: 90}}, Sticky: &sticky})
		},
		"promote":  func(c api.Cloud) (any, error) { return c.Apps.Promote(ctx, "p", "web", "live") },
		"password": func(c api.Cloud) (any, error) { return c.Databases.Credentials(ctx, "p", "db") },
		"rotate":   func(c api.Cloud) (any, error) { return c.Databases.Rotate(ctx, "p", "db") },
		"calls":    func(c api.Cloud) (any, error) { return c.Functions.Calls(ctx, "p", "f", 3) },
		"activities": func(c api.Cloud) (any, error) {
			return c.Activities.List(ctx, api.ActivityQuery{Project: "p", Noun: "app", Verb: "route", Model: "paas", Layer: api.LayerData, Actor: api.Platform, By: "edge", Since: when, Until: when})
		},
		"usage": func(c api.Cloud) (any, error) {
			return c.Ledger.Usage(ctx, api.UsageQuery{Project: "p", Resource: "r", From: when, To: when, Page: api.Page{After: "9"}})
		},
		"clock":        func(c api.Cloud) (any, error) { return c.Clock.Get(ctx) },
		"change-clock": func(c api.Cloud) (any, error) { return c.Clock.Change(ctx, api.ClockChange{Speed: 5}) },
		"prices":       func(c api.Cloud) (any, error) { return c.Ledger.Prices(ctx, "aws") },
		"close":        func(c api.Cloud) (any, error) { return c.Ledger.Close(ctx, "2026-11") },
		"invoices":     func(c api.Cloud) (any, error) { return c.Ledger.Invoices(ctx, api.Page{After: "2026-10"}) },
		"retention":    func(c api.Cloud) (any, error) { return c.Ledger.Retention(ctx) },
		"keep":         func(c api.Cloud) (any, error) { return c.Ledger.SetRetention(ctx, api.Retention{Days: 9}) },
		"advisories":   func(c api.Cloud) (any, error) { return c.Advisories.Feed(ctx) },
		"findings":     func(c api.Cloud) (any, error) { return c.Advisories.Findings(ctx, "p") },
		"plant": func(c api.Cloud) (any, error) {
			return c.Advisories.Plant(ctx, "p", api.Planting{Advisory: "N-1", Subjects: []string{"a", "app/b"}})
		},
		"compare": func(c api.Cloud) (any, error) { return c.Comparisons.Compare(ctx, "p", []string{"a,b", "app/c"}) },
		"measure": func(c api.Cloud) (any, error) {
			return nil, c.Comparisons.Measure(ctx, "p", api.Measurement{Subject: "a", Name: "recovery", Value: "1"})
		},
		"shutdown": func(c api.Cloud) (any, error) { return nil, c.System.Shutdown(ctx) },
		"source":   func(c api.Cloud) (any, error) { return c.Sources.Put(ctx, "p", strings.NewReader("tar")) },
		"invoke": func(c api.Cloud) (any, error) {
			return c.Functions.Invoke(ctx, "p", "cold", api.Invocation{Payload: []byte("x"), ContentType: "text/plain"})
		},
		"failure": func(c api.Cloud) (any, error) {
			a, err := c.Functions.Invoke(ctx, "p", "bad", api.Invocation{})
			return a.FunctionError, err
		},
	}
	for name, call := range calls {
		want, err := call(direct)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := call(over); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v (%v)\nwant %+v", name, got, err, want)
		}
	}
}

func TestClientResource(t *testing.T) {
	c, _ := dial(t, "all")
	ctx, r := t.Context(), c.Instances
	for _, name := range []string{"a", "b", "c"} {
		if _, err := r.Create(ctx, "p", name, api.InstanceSpec{}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := r.List(ctx, "p", api.Page{Limit: 2})
	if err != nil || len(l.Items) != 2 || l.Items[1].Name != "b" || l.Next != "b" {
		t.Errorf("list: %+v, %v", l, err)
	}
	if _, err = r.Update(ctx, "p", "a", api.InstanceSpec{Type: "nano"}, 5); !errors.Is(err, api.Conflict) {
		t.Errorf("update another generation: %v", err)
	}
	if v, err := r.Update(ctx, "p", "a", api.InstanceSpec{Type: "nano"}, 1); err != nil || v.Generation != 2 || v.Spec.Type != "nano" {
		t.Errorf("update: %+v, %v", v, err)
	}
	if v, err := c.Instances.Power(ctx, "p", "a", api.PowerReboot); err != nil || v.Status.Reason != "reboot" {
		t.Errorf("power: %+v, %v", v, err)
	}
	if v, err := c.Instances.Reclaim(ctx, "p", "a", 90*time.Second); err != nil || v.Status.Reclaim == nil || v.Status.Reclaim.Sub(v.CreatedAt) != 90*time.Second {
		t.Errorf("reclaim: %+v, %v", v.Status, err)
	}
	if m, err := c.Instances.Metrics(ctx, "p", "a"); err != nil || m.CPUPercent != 12.5 || m.MemoryBytes != 7 {
		t.Errorf("metrics: %+v, %v", m, err)
	}
	if v, err := r.Wait(ctx, "p", "a", time.Hour); err != nil || v.Name != "a" {
		t.Errorf("wait for what is settled: %+v, %v", v, err)
	}
	if err := r.Delete(ctx, "p", "a", 2); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := r.Wait(ctx, "p", "a", time.Second); !errors.Is(err, api.NotFound) {
		t.Errorf("wait for what is gone: %v", err)
	}
}

func TestClientVolumes(t *testing.T) {
	c, _ := dial(t, "all")
	ctx := t.Context()
	if _, err := c.Volumes.Create(ctx, "p", "data", api.VolumeSpec{SizeBytes: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	to := api.Attachment{Instance: "web", Path: "/data"}
	for _, restart := range []bool{true, false} {
		if v, err := c.Volumes.Attach(ctx, "p", "data", to, restart); err != nil || v.Status.Attached == nil || *v.Status.Attached != to || v.Status.Enforced != restart {
			t.Errorf("attach with restart %t: %+v, %v", restart, v, err)
		}
		if v, err := c.Volumes.Detach(ctx, "p", "data", restart); err != nil || v.Status.Attached != nil || v.Status.Enforced != restart {
			t.Errorf("detach with restart %t: %+v, %v", restart, v, err)
		}
	}
}

func TestClientErrors(t *testing.T) {
	c, _ := dial(t, "all")
	_, err := c.Projects.Get(t.Context(), "secret")
	if !errors.Is(err, api.Internal) || err.Error() != "internal error" {
		t.Errorf("internal: %v", err)
	}
	err = c.Projects.Delete(t.Context(), "shop")
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.Conflict || e.Message != `cannot delete the project "shop": it is not empty` {
		t.Errorf("conflict: %#v", err)
	}
	stranger, _ := dial(t, "")
	if _, err := stranger.Projects.List(t.Context(), api.Page{}); !errors.Is(err, api.Unauthenticated) {
		t.Errorf("without a token: %v", err)
	}
	if _, err := c.Streams.Logs(t.Context(), "p", "keys", "k", api.LogQuery{}); !errors.Is(err, api.NotFound) {
		t.Errorf("logs of a key: %v", err)
	}
	if _, err := c.Functions.Invoke(t.Context(), "p", "f", api.Invocation{Payload: make([]byte, 6<<20+1)}); !errors.Is(err, api.Invalid) {
		t.Errorf("too large a payload: %v", err)
	}
}

func TestClientWithoutCloud(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	c := client.New(server.URL, "all")
	want := "cannot understand the answer of " + server.URL + ": it is HTTP 404 Not Found and no problem document; is this a nuage cloud?"
	if _, err := c.System.Status(t.Context()); err == nil || err.Error() != want || !errors.Is(err, api.NotFound) {
		t.Errorf("another server: %v", err)
	}
	server.Close()
	want = "cannot reach the cloud at " + server.URL + ": start it with `nuage up`"
	_, err := c.System.Status(t.Context())
	if !errors.Is(err, api.Unavailable) || err.Error() != want {
		t.Errorf("no server: %v", err)
	}
	if _, err := c.Streams.Exec(t.Context(), "p", "apps", "a", api.Command{}, api.Stdio{}); !errors.Is(err, api.Unavailable) || err.Error() != want {
		t.Errorf("exec without a server: %v", err)
	}
	if _, err := client.New("http://bad host", "").System.Status(t.Context()); !errors.Is(err, api.Invalid) {
		t.Errorf("a bad address: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.System.Status(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, api.Unavailable) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestClientBackup(t *testing.T) {
	c, _ := dial(t, "all")
	var b bytes.Buffer
	if err := c.System.Backup(t.Context(), &b); err != nil || b.String() != strings.Repeat("state", 1000) {
		t.Errorf("backup of %d bytes: %v", b.Len(), err)
	}
	limited, _ := dial(t, "shop-only")
	if err := limited.System.Backup(t.Context(), &b); !errors.Is(err, api.Forbidden) {
		t.Errorf("backup with a limited token: %v", err)
	}
}

// endless is a source that is larger than any may be.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.read += int64(len(p))
	return len(p), nil
}

func TestClientSourceTooLarge(t *testing.T) {
	c, _ := dial(t, "all")
	content := &endless{}
	_, err := c.Sources.Put(t.Context(), "p", content)
	if !errors.Is(err, api.Invalid) || content.read > api.MaxSourceBytes+1<<20 {
		t.Errorf("after %d bytes: %v", content.read, err)
	}
}

func TestSourceTooLarge(t *testing.T) {
	r := newRig(t)
	req := r.request("POST", "/v1/projects/p/sources", "")
	req.Body = io.NopCloser(io.LimitReader(&endless{}, api.MaxSourceBytes+1))
	w := r.serve(req)
	if want := problemText("Request Entity Too Large", 413, "invalid", "cannot take a body of more than 268435456 bytes"); strings.TrimSpace(w.Body.String()) != want {
		t.Errorf("got %s, want %s", w.Body, want)
	}
}

func TestClientLogs(t *testing.T) {
	c, _ := dial(t, "all")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lines, err := c.Streams.Logs(ctx, "p", "apps", "web", api.LogQuery{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 6)
	if _, err := io.ReadFull(lines, first); err != nil || string(first) != "first\n" {
		t.Errorf("the first line is %q before the log ends: %v", first, err)
	}
	if err := lines.Close(); err != nil {
		t.Error(err)
	}
	broken, err := c.Streams.Logs(ctx, "p", "apps", "broken", api.LogQuery{})
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	if text, err := io.ReadAll(broken); string(text) != "half" || err == nil {
		t.Errorf("a log that breaks off reads as %q without an error", text)
	}
}

func TestClientExec(t *testing.T) {
	c, _ := dial(t, "all")
	var out, errs bytes.Buffer
	sizes := make(chan api.WindowSize, 1)
	sizes <- api.WindowSize{Rows: 24, Cols: 80}
	large := strings.Repeat("0123456789", 30_000)
	status, err := c.Streams.Exec(t.Context(), "p", "instances", "web", api.Command{Words: []string{"a b", "c"}, TTY: true},
		api.Stdio{In: strings.NewReader(large), Out: &out, Err: &errs, Resize: sizes})
	if err != nil || status != 3 || out.String() != large || errs.String() != `24x80instances ["a b" "c"]` {
		t.Errorf("exec: status %d, %d bytes, %q, %v", status, out.Len(), &errs, err)
	}
	status, err = c.Streams.Exec(t.Context(), "p", "apps", "web", api.Command{Words: []string{"true"}}, api.Stdio{})
	if err != nil || status != 3 {
		t.Errorf("exec without streams: status %d, %v", status, err)
	}
	_, err = c.Streams.Exec(t.Context(), "p", "instances", "sim", api.Command{Words: []string{"true"}}, api.Stdio{})
	if !errors.Is(err, api.Unsupported) || err.Error() != `cannot run a command in "sim": the simulator has no guests` {
		t.Errorf("exec that cannot be: %v", err)
	}
	limited, _ := dial(t, "shop-only")
	if _, err = limited.Streams.Exec(t.Context(), "p", "instances", "web", api.Command{}, api.Stdio{}); !errors.Is(err, api.Forbidden) {
		t.Errorf("exec with a token for another project: %v", err)
	}
}

// signal is a writer that says when something was written.
type signal chan struct{}

func (s signal) Write(p []byte) (int, error) {
	select {
	case s <- struct{}{}:
	default:
	}
	return len(p), nil
}

// A client that goes away ends its command.
func TestClientExecEndsWithTheClient(t *testing.T) {
	c, r := dial(t, "all")
	ctx, cancel := context.WithCancel(t.Context())
	started, ended := make(signal, 1), make(chan error, 1)
	go func() {
		_, err := c.Streams.Exec(ctx, "p", "instances", "forever", api.Command{Words: []string{"sleep"}}, api.Stdio{Out: started})
		ended <- err
	}()
	<-started
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("exec ends with %v", err)
	}
	r.until(t, "route=/v1/projects/{project}/instances/{name}/exec status=101")
}
