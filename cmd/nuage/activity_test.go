package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nuage/api"
)

// diary is a record that grows: each List answers what it has after the cursor, at most one entry at a time.
type diary struct {
	mu      sync.Mutex
	entries []api.Activity
	last    api.ActivityQuery
}

func (d *diary) add(actor api.ActorKind, verb string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.entries) + 1
	d.entries = append(d.entries, api.Activity{ID: fmt.Sprintf("act-%d", n), Time: time.Date(2026, 1, 2, 3, 4, n, 0, time.UTC),
		Actor: api.Actor{Kind: actor, Name: "somebody"}, Layer: api.LayerRuntime, Model: "iaas", Noun: "instance", Resource: "vm", Verb: verb, Detail: "two\nlines\x1b[31m"})
}

func (d *diary) List(_ context.Context, q api.ActivityQuery) (api.List[api.Activity], error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = q
	for i, a := range d.entries {
		if a.ID > q.After {
			list := api.List[api.Activity]{Items: d.entries[i : i+1]}
			if i+1 < len(d.entries) {
				list.Next = a.ID
			}
			return list, nil
		}
	}
	return api.List[api.Activity]{}, nil
}

func TestActivityFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d := newWorld(t, ""), &diary{}
		d.add(api.Customer, "create")
		d.add(api.Platform, "start")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		w.flags.output = "table"
		go func() { done <- w.listActivities(ctx, d, api.ActivityQuery{Project: "default"}, true) }()
		time.Sleep(3 * followPause / 2)
		d.add(api.Platform, "heal")
		time.Sleep(2 * followPause)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		want := `TIME                  ACTOR               LAYER     MODEL   RESOURCE      VERB     DETAIL
2026-01-02 03:04:01   customer:somebody   runtime   iaas    instance/vm   create   two lines [31m
2026-01-02 03:04:02   platform:somebody   runtime   iaas    instance/vm   start    two lines [31m
2026-01-02 03:04:03   platform:somebody   runtime   iaas    instance/vm   heal     two lines [31m
`
		if got := w.out.String(); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
		if d.last.After != "act-3" {
			t.Errorf("it goes on after %q, want act-3", d.last.After)
		}
	})
}

func TestSpinnerTellsPhaseAndTimeAndCleansUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		p := &tracker{w: &b, title: `app "shop"`, mode: trackTerminal, now: time.Now, since: time.Now(), width: 60, quit: make(chan struct{}), done: make(chan struct{})}
		go p.spin()
		p.show("pending: building,\na line longer than the terminal is wide and more")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		p.stop()
		frames := strings.Split(b.String(), "\r\x1b[2K")
		if last := frames[len(frames)-1]; last != "" {
			t.Errorf("the line is left with %q", last)
		}
		shown := frames[len(frames)-2]
		if !strings.Contains(shown, `app "shop" pending: building, a line`) || strings.Contains(shown, "\n") || !strings.Contains(shown, "…") {
			t.Errorf("shown: %q", shown)
		}
	})
}
