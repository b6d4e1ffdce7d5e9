package controlplane

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/controlplane/ingress"
)

func TestDesiredReplicas(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	long := now.Add(-time.Hour)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	rps := api.AppScaling{Min: 1, Max: 5, RPS: 50}
	cpu := api.AppScaling{Min: 1, Max: 5, CPU: 50}
	zero := api.AppScaling{Min: 0, Max: 3, RPS: 50, IdleSeconds: 60}
	load := func(rate float64, up int) appDemand {
		return appDemand{Demand: ingress.Demand{Rate: rate, Last: now, Since: long}, up: up}
	}
	for _, c := range []struct {
		name    string
		scaling api.AppScaling
		was     int
		scaled  *time.Time
		demand  appDemand
		want    string
	}{
		{"out to all that is needed", rps, 1, nil, load(160, 1), "4: 160 requests/s over 50 a replica, of 1"},
		{"no further than max", rps, 1, nil, load(900, 1), "5: 900 requests/s over 50 a replica, of 1"},
		{"not while it rests", rps, 1, ago(59 * time.Second), load(160, 1), "1: "},
		{"in by one", rps, 4, ago(3 * time.Minute), load(20, 4), "3: 20 requests/s under 50 a replica, of 4"},
		{"in rests longer", rps, 4, ago(2 * time.Minute), load(20, 4), "4: "},
		{"not in while one is missing", rps, 4, nil, load(20, 3), "4: "},
		{"not to where it would be out again", rps, 2, nil, load(46, 2), "2: "},
		{"never under min", rps, 1, nil, load(0, 1), "1: "},
		{"cpu out", cpu, 2, nil, appDemand{Demand: ingress.Demand{Last: now, Since: long}, cpu: 180, measured: 2, up: 2}, "4: cpu 90% over 50% for 60 s"},
		{"cpu in", cpu, 2, nil, appDemand{Demand: ingress.Demand{Last: now, Since: long}, cpu: 10, measured: 2, up: 2}, "1: cpu 5% under 50% for 60 s"},
		{"cpu unknown", cpu, 2, nil, appDemand{Demand: ingress.Demand{Last: now, Since: long}, up: 2}, "2: "},
		{"to zero when idle", zero, 3, nil, appDemand{Demand: ingress.Demand{Last: now.Add(-time.Minute), Since: long}, up: 3}, "0: no request for 1m0s"},
		{"not while one is in flight", zero, 1, nil, appDemand{Demand: ingress.Demand{Last: now.Add(-time.Hour), InFlight: 1, Since: long}, up: 1}, "1: "},
		{"not before", zero, 1, nil, appDemand{Demand: ingress.Demand{Last: now.Add(-59 * time.Second), Since: long}, up: 1}, "1: "},
		{"a request wakes it", zero, 0, nil, appDemand{Demand: ingress.Demand{Last: now, Held: 3, InFlight: 3, Since: long}}, "1: a request waits"},
		{"asleep", zero, 0, nil, appDemand{Demand: ingress.Demand{Last: long, Since: long}}, "0: min is 0"},
		{"without a target", api.AppScaling{Min: 0, Max: 3}, 2, nil, load(500, 2), "1: without a target min is kept"},
	} {
		a := api.App{Spec: api.AppSpec{Scaling: &c.scaling}, Status: api.AppStatus{Desired: c.was, ScaledAt: c.scaled}}
		n, reason := desiredReplicas(a, c.demand, now)
		if got := fmt.Sprintf("%d: %s", n, reason); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestAppSleepsAndWakes: without requests nothing of it is there or billed; the first request waits and is answered.
func TestAppSleepsAndWakes(t *testing.T) {
	p, _ := newLivePlane(t)
	spec := colour("red")
	spec.Scaling = &api.AppScaling{Min: 0, Max: 2, IdleSeconds: 1}
	a := p.deploy(t, "web", spec)
	eventually(t, "it sleeps", func() bool {
		now, err := p.cloud.Apps.Get(asCustomer(), "default", "web")
		return err == nil && now.Status.Phase == api.Stopped && now.Status.Reason == "scaled to zero replicas: the next request wakes it"
	})
	eventually(t, "no replica is left", func() bool { return len(p.replicas(t, a)) == 0 })
	eventually(t, "nothing runs that is metered", func() bool {
		w, err := p.read()
		must(t, err)
		return len(w.runs) == 0
	})
	if code, body := p.get("web", "/"); code != http.StatusOK || body != "release 1" {
		t.Errorf("the first request got %d %q", code, body)
	}
	scalings := p.scalings(t)
	if want := "no request for 1s: 1 to 0 replicas\na request waits: 0 to 1 replicas"; !strings.HasPrefix(scalings, want) {
		t.Errorf("the activities are\n%s\nwant them to begin\n%s", scalings, want)
	}
	a.Spec.Scaling = nil
	_, err := p.cloud.Apps.Update(asCustomer(), "default", "web", a.Spec, 0)
	must(t, err)
	p.appSettled(t, "web")
	eventually(t, "it has its number of replicas again", func() bool { return maps.Equal(p.replicas(t, a), map[int]int{1: 1}) })
}

// scalings are what the platform recorded of scaling, one a line.
func (p *plane) scalings(t *testing.T) string {
	t.Helper()
	all, err := p.cloud.Activities.List(asCustomer(), api.ActivityQuery{Layer: api.LayerScaling, Actor: api.Platform})
	must(t, err)
	var out []string
	for _, a := range all.Items {
		out = append(out, a.Detail)
	}
	return strings.Join(out, "\n")
}

// TestAppScalesOutByRequests: the edge counts them.
func TestAppScalesOutByRequests(t *testing.T) {
	p, _ := newLivePlane(t)
	spec := colour("red")
	spec.Scaling = &api.AppScaling{Min: 1, Max: 3, RPS: 5}
	a := p.deploy(t, "web", spec)
	eventually(t, "it has max replicas", func() bool {
		for range 30 {
			p.get("web", "/")
		}
		p.loop.wake()
		return maps.Equal(p.replicas(t, a), map[int]int{1: 3})
	})
	if got := p.scalings(t); !strings.Contains(got, "requests/s over 5 a replica, of 1: 1 to 3 replicas") {
		t.Errorf("the activities are\n%s", got)
	}
}

func TestScalingRefusals(t *testing.T) {
	p, _ := newLivePlane(t)
	for want, s := range map[string]api.AppScaling{
		`cannot scale app "web" between 3 and 2 replicas: 0 to 50 is possible, and max is at least 1 and min`: {Min: 3, Max: 2},
		`cannot scale app "web" by requests and by cpu: give one of them`:                                     {Max: 2, RPS: 1, CPU: 1},
	} {
		spec := colour("red")
		spec.Scaling = &s
		if _, err := p.cloud.Apps.Create(asCustomer(), "default", "web", spec); textOf(err) != want {
			t.Errorf("%+v: %v, want %s", s, err, want)
		}
	}
}
