package controlplane

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"nuage/api"
)

// colour is the spec of an app that answers, with a setting that makes a release of it.
func colour(c string) api.AppSpec {
	s := behave("ok")
	s.DeadlineSeconds, s.Env["COLOR"] = 20, c
	return s
}

// canary deploys a release beside another one.
func (p *plane) canary(t *testing.T, c string, percent int) api.App {
	t.Helper()
	spec := colour(c)
	spec.Canary = percent
	return p.deploy(t, "web", spec)
}

// answers counts who answers n requests.
func (p *plane) answers(t *testing.T, n int) map[string]int {
	t.Helper()
	out := map[string]int{}
	for range n {
		code, body := p.get("web", "/")
		if code != http.StatusOK {
			t.Fatalf("the edge answers %d %q", code, body)
		}
		out[body]++
	}
	return out
}

func (p *plane) split(t *testing.T, shares ...api.Share) api.App {
	t.Helper()
	_, err := p.cloud.Apps.Split(asCustomer(), "default", "web", api.Split{Shares: shares})
	must(t, err)
	return p.appSettled(t, "web")
}

func TestCanaryGetsItsShareBesideTheReleaseBefore(t *testing.T) {
	p, _ := newLivePlane(t)
	p.deploy(t, "web", colour("red"))
	a := p.canary(t, "blue", 20)
	if want := "releases 2 (20%), 1 (80%) serve with 2 of 2 replicas"; a.Status.Phase != api.Running || a.Status.Reason != want || a.Spec.Canary != 0 {
		t.Fatalf("the app is %s (%s), want running (%s)", a.Status.Phase, a.Status.Reason, want)
	}
	const n, share = 1000, 0.2
	got := p.answers(t, n)
	if bound := 4.5 * math.Sqrt(n*share*(1-share)); math.Abs(float64(got["release 2"])-n*share) > bound || got["release 1"]+got["release 2"] != n {
		t.Errorf("of %d requests the releases got %v, want %.0f of release 2 within %.0f", n, got, n*share, bound)
	}
	if got := p.states(t, "web"); got != "1 serving, 2 serving" {
		t.Errorf("the releases are %q", got)
	}
	if a = p.split(t, api.Share{Release: 2, Percent: 100}); a.Status.Reason != "release 2 serves with 1 of 1 replicas" || a.Status.Shares != nil {
		t.Errorf("after the split it is %q with %v", a.Status.Reason, a.Status.Shares)
	}
	if got := p.answers(t, 50); got["release 2"] != 50 {
		t.Errorf("with all to release 2 the releases got %v", got)
	}
	eventually(t, "release 1 is gone", func() bool { return maps.Equal(p.replicas(t, a), map[int]int{2: 1}) })
	if got := p.states(t, "web"); got != "1 superseded, 2 serving" {
		t.Errorf("the releases are %q", got)
	}
}

// TestSplitBackToAnEarlierRelease: one whose replicas are gone serves again, and its settings are the app's when it has all.
func TestSplitBackToAnEarlierRelease(t *testing.T) {
	p, _ := newLivePlane(t)
	p.deploy(t, "web", colour("red"))
	a := p.deploy(t, "web", colour("blue"))
	eventually(t, "release 1 is gone", func() bool { return maps.Equal(p.replicas(t, a), map[int]int{2: 1}) })
	a = p.split(t, api.Share{Release: 1, Percent: 50}, api.Share{Release: 2, Percent: 50})
	if got := p.answers(t, 200); got["release 1"] == 0 || got["release 2"] == 0 || a.Spec.Env["COLOR"] != "blue" {
		t.Errorf("split in halves the releases got %v, and the app has the settings %v", got, a.Spec.Env)
	}
	if a = p.split(t, api.Share{Release: 1, Percent: 100}); a.Status.Release != 1 || a.Spec.Env["COLOR"] != "red" {
		t.Errorf("release %d serves with %v, want release 1 with its own", a.Status.Release, a.Spec.Env)
	}
	p.serves(t, "web", 1)
	a = p.deploy(t, "web", colour("green"))
	if got := p.states(t, "web"); got != "1 superseded, 2 superseded, 3 serving" || a.Status.Release != 3 {
		t.Errorf("after the next deploy the releases are %q", got)
	}
}

// TestSplitToWhatNoLongerStarts: requests go on as before, while it comes back and for good when it does not.
func TestSplitToWhatNoLongerStarts(t *testing.T) {
	p, l := newLivePlane(t)
	p.deploy(t, "web", colour("red"))
	a := p.deploy(t, "web", colour("blue"))
	eventually(t, "release 1 is gone", func() bool { return maps.Equal(p.replicas(t, a), map[int]int{2: 1}) })
	spoil := func(id string) { l.mu.Lock(); l.spoilt = id; l.mu.Unlock() }
	spoil("-r1-")
	failures, stop := p.visited(t)
	yes := true
	_, err := p.cloud.Apps.Split(asCustomer(), "default", "web", api.Split{Shares: []api.Share{{Release: 1, Percent: 100}}, Sticky: &yes})
	must(t, err)
	a = p.appSettled(t, "web")
	want := "release 2 serves with 1 of 1 replicas; release 1 failed: its program exited with status 3, 3 times in a row"
	if a.Status.Release != 2 || a.Status.Failure == nil || a.Spec.Sticky || a.Status.Reason != want {
		t.Fatalf("it is %s with %+v: %s, want %s", a.Status.Phase, a.Status.Failure, a.Status.Reason, want)
	}
	spoil("")
	if a = p.split(t, api.Share{Release: 1, Percent: 100}); a.Status.Release != 1 || a.Status.Failure != nil || a.Spec.Env["COLOR"] != "red" {
		t.Errorf("when it starts again release %d serves with %+v", a.Status.Release, a.Status.Failure)
	}
	p.serves(t, "web", 1)
	if stop(); failures() != 0 {
		t.Errorf("%d requests failed meanwhile", failures())
	}
	eventually(t, "release 2 is gone", func() bool { return maps.Equal(p.replicas(t, a), map[int]int{1: 1}) })
}

// visited sends one request after the other until stop is called, and counts those that failed.
func (p *plane) visited(t *testing.T) (failures func() int64, stop func()) {
	t.Helper()
	var failed atomic.Int64
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	all.Go(func() {
		for ctx.Err() == nil {
			if code, _ := p.get("web", "/"); code != http.StatusOK {
				failed.Add(1)
			}
		}
	})
	return failed.Load, func() { cancel(); all.Wait() }
}

// TestWhatEndsASplit: the next deploy, a canary beside the release that has most, a rollback.
func TestWhatEndsASplit(t *testing.T) {
	p, _ := newLivePlane(t)
	p.deploy(t, "web", colour("red"))
	p.canary(t, "blue", 10)
	a := p.canary(t, "green", 30)
	if got := fmt.Sprint(a.Status.Shares); got != "[{3 30} {1 70}]" {
		t.Fatalf("another canary gave the shares %s", got)
	}
	_, err := p.cloud.Apps.Rollback(asCustomer(), "default", "web", 0)
	must(t, err)
	if a = p.appSettled(t, "web"); a.Status.Release != 4 || a.Spec.Env["COLOR"] != "red" || a.Status.Shares != nil {
		t.Errorf("rolled back release %d serves with %v, want release 4 as release 1 was", a.Status.Release, a.Spec.Env)
	}
	p.canary(t, "white", 10)
	if a = p.deploy(t, "web", colour("black")); a.Status.Release != 6 || a.Status.Shares != nil {
		t.Errorf("release %d serves with the shares %v, want release 6 with all", a.Status.Release, a.Status.Shares)
	}
	if got := p.states(t, "web"); got != "1 superseded, 2 superseded, 3 superseded, 4 superseded, 5 superseded, 6 serving" {
		t.Errorf("the releases are %q", got)
	}
	eventually(t, "all others are gone", func() bool { return maps.Equal(p.replicas(t, a), map[int]int{6: 1}) })
}

// TestSplitScalesAndHeals: both releases have all replicas, a failed canary gets nothing, and one that dies comes back.
func TestSplitScalesAndHeals(t *testing.T) {
	p, _ := newLivePlane(t)
	p.deploy(t, "web", colour("red"))
	p.canary(t, "blue", 50)
	bad := colour("red")
	bad.Env["BEHAVE"], bad.DeadlineSeconds, bad.Canary = "ill", 2, 40
	if a := p.deploy(t, "web", bad); a.Status.Failure == nil || fmt.Sprint(a.Status.Shares) != "[{2 50} {1 50}]" {
		t.Errorf("a canary that failed left the shares %v and the failure %v", a.Status.Shares, a.Status.Failure)
	}
	a, err := p.cloud.Apps.Get(asCustomer(), "default", "web")
	must(t, err)
	a.Spec.Replicas = replicas(2)
	_, err = p.cloud.Apps.Update(asCustomer(), "default", "web", a.Spec, 0)
	must(t, err)
	a = p.appSettled(t, "web")
	if got := p.replicas(t, a); a.Status.Shares == nil && !maps.Equal(got, map[int]int{1: 2, 2: 2}) {
		t.Errorf("scaled it has the replicas %v", got)
	}
}

func TestSplitRefusals(t *testing.T) {
	p, _ := newLivePlane(t)
	p.deploy(t, "web", colour("red"))
	p.deploy(t, "web", behave("ill"))
	for want, shares := range map[string][]api.Share{
		`cannot send requests of app "web" to release 2: it never served (no healthy replica on port 8080 within 2s: its health path answers 503 Service Unavailable)`: {{Release: 2, Percent: 100}},
		`cannot send requests of app "web" to release 7: there is no such release`:                                                                                     {{Release: 1, Percent: 50}, {Release: 7, Percent: 50}},
		`cannot split app "web": the shares are 110% together, and must be 100%`:                                                                                       {{Release: 1, Percent: 60}, {Release: 2, Percent: 50}},
		`cannot split app "web": release 1 is named twice`:                                                                                                             {{Release: 1, Percent: 50}, {Release: 1, Percent: 50}},
		`cannot give release 1 of app "web" -1% of the requests: 0 to 100 is possible`:                                                                                 {{Release: 1, Percent: -1}},
	} {
		_, err := p.cloud.Apps.Split(asCustomer(), "default", "web", api.Split{Shares: shares})
		if textOf(err) != want {
			t.Errorf("split %v: %v, want %s", shares, err, want)
		}
	}
}

// TestStickySetsACookie: the setting reaches the edge.
func TestStickySetsACookie(t *testing.T) {
	p, _ := newLivePlane(t)
	p.deploy(t, "web", colour("red"))
	p.canary(t, "blue", 50)
	yes := true
	_, err := p.cloud.Apps.Split(asCustomer(), "default", "web", api.Split{Shares: []api.Share{{Release: 1, Percent: 50}, {Release: 2, Percent: 50}}, Sticky: &yes})
	must(t, err)
	p.appSettled(t, "web")
	r := httptest.NewRequest(http.MethodGet, "http://web.app.localhost/", nil)
	eventually(t, "a cookie is set", func() bool {
		w := httptest.NewRecorder()
		p.Edge.ServeHTTP(w, r)
		return w.Header().Get("Set-Cookie") != ""
	})
}
