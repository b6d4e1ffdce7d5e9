package main

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nuage/api"
)

// TestTraffic sends 10,000 requests to an app, evenly, while it is deployed five times and rolled back, and one of its replicas is
// killed. None may fail, and each must be answered by a release that serves at that time, of the app it was sent to.
func TestTraffic(t *testing.T) {
	needEngine(t)
	c := startCloud(t, buildProgram(t))
	c.do(t, "app", "deploy", "steady", "--source", rowsApp, "--health", "/health", "--env", "GREETING=steady", "--scale", "2")
	c.do(t, "app", "deploy", "other", "--source", rowsApp, "--health", "/health", "--env", "GREETING=other")
	s := sendSteadily(t, c, 10_000)
	for release := 2; release <= 6; release++ {
		s.change(int64(release), func() { c.do(t, "app", "config", "set", "steady", fmt.Sprint("TURN=", release)) })
	}
	s.change(7, func() { c.do(t, "app", "rollback", "steady") })
	victim := show[api.App](t, c, "app", "steady").Status.Replicas[0].ID
	dockerCLI(t, "kill", c.only(t, victim).ID)
	eventually(t, 20*time.Second, "the killed replica is back", func() error {
		if a := show[api.App](t, c, "app", "steady"); a.Status.Phase != api.Running || a.Status.Restarts != 1 {
			return fmt.Errorf("it is %s (%s) with %d restarts", a.Status.Phase, a.Status.Reason, a.Status.Restarts)
		}
		return nil
	})
	s.all.Wait()
	if n := s.sent.Load(); n < 10_000 {
		t.Errorf("only %d requests were sent", n)
	}
	t.Run("socket", func(t *testing.T) { testSocketAcrossDeploy(t, c) })
}

// steady is an even stream of requests, and between which releases their answers may come from.
type steady struct {
	all      sync.WaitGroup
	sent     atomic.Int64
	from, to atomic.Int64
}

// sendSteadily sends n requests, 250 a second where the machine is quick enough for that.
func sendSteadily(t *testing.T, c *liveCloud, n int64) *steady {
	s := &steady{}
	s.from.Store(1)
	s.to.Store(1)
	beat := time.NewTicker(4 * time.Millisecond)
	t.Cleanup(beat.Stop)
	for range 16 {
		s.all.Go(func() {
			for number := s.sent.Add(1); number <= n && !t.Failed(); number = s.sent.Add(1) {
				<-beat.C
				if err := s.send(c, number); err != nil {
					t.Errorf("request %d: %v", number, err)
				}
			}
		})
	}
	return s
}

// send makes one request; each tenth goes to the other app.
func (s *steady) send(c *liveCloud, number int64) error {
	app := "steady"
	if number%10 == 0 {
		app = "other"
	}
	from := s.from.Load()
	a, err := c.visit("GET", appHost(app), "/", "")
	if err != nil || a.status != 200 {
		return fmt.Errorf("app %s answers %d %q, %w", app, a.status, a.body, err)
	}
	var release int64
	if _, err := fmt.Sscanf(a.body, "release %d on "+app+"-", &release); err != nil || !strings.HasSuffix(a.body, " greets "+app) {
		return fmt.Errorf("%q is no answer of app %s", a.body, app)
	}
	if to := s.to.Load(); app == "steady" && (release < from || release > to) {
		return fmt.Errorf("release %d answered while %d to %d served", release, from, to)
	}
	return nil
}

// change makes a release serve: from when it is asked for it may answer, from when that is done no earlier one may.
func (s *steady) change(release int64, do func()) {
	s.to.Store(release)
	do()
	s.from.Store(release)
}
