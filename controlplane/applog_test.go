package controlplane

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/sim"
)

// printers is the live simulator whose programs have printed what the test says.
type printers struct {
	*live
	mu    sync.Mutex
	said  map[string][]printed // by workload
	gone  map[string]bool
	grown chan struct{} // closed when any of it changes
}

// say lets a workload print a line, so many seconds after an hour.
func (p *printers) say(id string, second int, text string) {
	p.change(func() {
		p.said[id] = append(p.said[id], printed{text: text, at: printTime.Add(time.Duration(second) * time.Second)})
	})
}

var printTime = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

func (p *printers) change(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn()
	close(p.grown)
	p.grown = make(chan struct{})
}

func (p *printers) Remove(ctx context.Context, id string) error {
	p.change(func() { p.gone[id] = true })
	return p.live.Remove(ctx, id)
}

func (p *printers) Logs(ctx context.Context, id string, q compute.LogQuery) (io.ReadCloser, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone[id] {
		return nil, api.Errorf(api.NotFound, "cannot read the log of %q: it is gone", id)
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(p.print(ctx, w, id, q)) }()
	return r, nil
}

// print writes what was asked for; a container that goes ends its log.
func (p *printers) print(ctx context.Context, w io.Writer, id string, q compute.LogQuery) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	from := 0
	if q.Tail > 0 {
		from = max(0, len(p.said[id])-q.Tail)
	}
	for {
		lines, grown, ends := p.said[id][from:], p.grown, p.gone[id] || !q.Follow
		from += len(lines)
		p.mu.Unlock()
		err := printLines(w, lines, q)
		if err == nil && !ends {
			select {
			case <-grown:
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		p.mu.Lock()
		if err != nil || ends {
			return err
		}
	}
}

func printLines(w io.Writer, lines []printed, q compute.LogQuery) error {
	for _, l := range lines {
		if l.at.Before(q.Since) {
			continue
		}
		if _, err := fmt.Fprintln(w, l.at.Format(time.RFC3339Nano), l.text); err != nil {
			return err
		}
	}
	return nil
}

func newPrinters(t *testing.T) (*plane, *printers) {
	t.Helper()
	var p *printers
	plane := newPlane(t, setup{wrap: func(e *sim.Engine) compute.Engine {
		if p == nil {
			p = &printers{live: newLive(e), said: map[string][]printed{}, gone: map[string]bool{}, grown: make(chan struct{})}
		}
		return p
	}})
	t.Cleanup(p.shut)
	return plane, p
}

func (p *plane) appLog(t *testing.T, q api.LogQuery) io.ReadCloser {
	t.Helper()
	log, err := p.cloud.Streams.Logs(asCustomer(), "default", "apps", "web", q)
	must(t, err)
	t.Cleanup(func() { log.Close() })
	return log
}

func TestLogsAreMergedByTime(t *testing.T) {
	p, out := newPrinters(t)
	spec := behave("ok")
	spec.Replicas = replicas(2)
	a := p.deploy(t, "web", spec)
	one, two := replicaID(a.ID, 1, 0), replicaID(a.ID, 1, 1)
	out.say(one, 1, "a")
	out.say(two, 2, "b")
	out.say(one, 3, "c")
	out.say(two, 4, strings.Repeat("d", 100<<10))
	out.say(one, 5, "e")
	const first = 64<<10 - len("2030-05-01T12:00:04Z ") // what of a very long line is read at once
	begins, rest := strings.Repeat("d", first), strings.Repeat("d", 100<<10-first)
	for _, c := range []struct {
		tail int
		want string
	}{
		{0, "r1-0 | a\nr1-1 | b\nr1-0 | c\nr1-1 | " + begins + "\nr1-1 | " + rest + "\nr1-0 | e\n"},
		{1, "r1-0 | e\n"},
		{2, "r1-1 | " + rest + "\nr1-0 | e\n"},
	} {
		got, err := io.ReadAll(p.appLog(t, api.LogQuery{Tail: c.tail}))
		if must(t, err); string(got) != c.want {
			t.Errorf("the last %d lines are %.200q, want %.200q", c.tail, got, c.want)
		}
	}
}

// TestLongLogsAreCut keeps one answer small, whatever the engine has kept: the newest lines are in it.
func TestLongLogsAreCut(t *testing.T) {
	p, out := newPrinters(t)
	a := p.deploy(t, "web", behave("ok"))
	id := replicaID(a.ID, 1, 0)
	for i := range 300 {
		out.say(id, i, strings.Repeat("x", 60<<10)+fmt.Sprint(i))
	}
	got, err := io.ReadAll(p.appLog(t, api.LogQuery{}))
	must(t, err)
	if len(got) > maxHistory || len(got) < maxHistory-2*(60<<10) || !strings.HasSuffix(string(got), "x299\n") {
		t.Errorf("the answer has %d bytes and ends in %q", len(got), got[len(got)-10:])
	}
}

// TestLogsAreFollowed through a deploy: replicas that come are read, those that go end nothing, and no line comes twice.
func TestLogsAreFollowed(t *testing.T) {
	p, out := newPrinters(t)
	a := p.deploy(t, "web", behave("ok"))
	out.say(replicaID(a.ID, 1, 0), 1, "old")
	out.say(replicaID(a.ID, 1, 0), 2, "last")
	lines := bufio.NewScanner(p.appLog(t, api.LogQuery{Follow: true, Tail: 1}))
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the next line is %q (%v), want %q", lines.Text(), lines.Err(), want)
		}
	}
	next("r1-0 | last")
	out.say(replicaID(a.ID, 1, 0), 3, "new")
	next("r1-0 | new")
	spec := behave("ok")
	spec.Env["COLOR"] = "blue"
	p.deploy(t, "web", spec)
	eventually(t, "the old replica is gone", func() bool { return p.replicas(t, a)[1] == 0 })
	out.say(replicaID(a.ID, 2, 0), 4, "the new release")
	next("r2-0 | the new release")
	must(t, p.cloud.Apps.Delete(asCustomer(), "default", "web", 0))
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("after the app has gone comes %q, %v", lines.Text(), lines.Err())
	}
}
