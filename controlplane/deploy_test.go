package controlplane

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/controlplane/billing"
	"nuage/storage"
)

func replicas(n int) *int { return &n }

// behave is the spec of a program that does as told, in one replica.
func behave(how string) api.AppSpec {
	return api.AppSpec{Image: "web:1", Size: "nano", Health: "/health", DeadlineSeconds: 2, Replicas: replicas(1), Env: map[string]string{"BEHAVE": how}}
}

// deploy makes the app, or changes it, and waits for the end.
func (p *plane) deploy(t *testing.T, name string, spec api.AppSpec) api.App {
	t.Helper()
	p.ask(t, name, spec)
	return p.appSettled(t, name)
}

// ask makes the app, or changes it.
func (p *plane) ask(t *testing.T, name string, spec api.AppSpec) api.App {
	t.Helper()
	a, err := p.cloud.Apps.Create(asCustomer(), "default", name, spec)
	if errors.Is(err, api.Conflict) {
		a, err = p.cloud.Apps.Update(asCustomer(), "default", name, spec, 0)
	}
	must(t, err)
	return a
}

// states lists the releases of an app, oldest first.
func (p *plane) states(t *testing.T, name string) string {
	t.Helper()
	all, err := p.cloud.Apps.Releases(asCustomer(), "default", name)
	must(t, err)
	var out []string
	for _, r := range slices.Backward(all.Items) {
		out = append(out, fmt.Sprint(r.Number, " ", r.State))
	}
	return strings.Join(out, ", ")
}

func TestDeploySwitchesAndDrains(t *testing.T) {
	p, l := newLivePlane(t)
	spec := behave("ok")
	spec.Replicas = replicas(2)
	a := p.deploy(t, "web", spec)
	p.serves(t, "web", 1)
	slow := make(chan string)
	go func() { code, body := p.get("web", "/slow"); slow <- fmt.Sprint(code, " ", body) }()
	eventually(t, "the slow request is under way", func() bool {
		return p.Edge.InFlight(replicaID(a.ID, 1, 0))+p.Edge.InFlight(replicaID(a.ID, 1, 1)) > 0
	})
	spec.Env = map[string]string{"BEHAVE": "ok", "COLOR": "blue"}
	p.ask(t, "web", spec)
	p.serves(t, "web", 2)
	for range 20 {
		if code, body := p.get("web", "/"); code != http.StatusOK || body != "release 2" {
			t.Fatalf("after the switch the edge answers %d %q", code, body)
		}
	}
	eventually(t, "the app says that it drains", func() bool {
		now, err := p.cloud.Apps.Get(asCustomer(), "default", "web")
		return err == nil && now.Status.Phase == api.Updating && now.Status.Reason == "release 2 serves; release 1 ends its requests"
	})
	if got := p.replicas(t, a); got[1] != 2 || got[2] != 2 {
		t.Errorf("while the slow request runs there are replicas %v, want 2 of each release", got)
	}
	close(l.hold)
	if got := <-slow; got != "200 release 1" {
		t.Errorf("the slow request got %q, want the answer of release 1", got)
	}
	now := p.appSettled(t, "web")
	if want := "release 2 serves with 2 of 2 replicas"; now.Status.Phase != api.Running || now.Status.Reason != want {
		t.Errorf("the app is %s (%s), want running (%s)", now.Status.Phase, now.Status.Reason, want)
	}
	eventually(t, "the replicas of release 1 are gone", func() bool { return maps.Equal(p.replicas(t, a), map[int]int{2: 2}) })
	if got := p.states(t, "web"); got != "1 superseded, 2 serving" {
		t.Errorf("the releases are %q", got)
	}
}

func TestFailedDeployLeavesWhatServes(t *testing.T) {
	for how, want := range map[string]string{
		"ill":   "no healthy replica on port 8080 within 2s: its health path answers 503 Service Unavailable",
		"down":  "no healthy replica on port 8080 within 2s: its health path does not answer yet",
		"crash": "its program exited with status 3, 3 times in a row",
	} {
		t.Run(how, func(t *testing.T) {
			p, _ := newLivePlane(t)
			a := p.deploy(t, "web", behave("ok"))
			began := time.Now()
			now := p.deploy(t, "web", behave(how))
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("it took %s to give up", took)
			}
			f := now.Status.Failure
			if f == nil || f.Release != 2 || f.Reason != want || !slices.Equal(f.Log, []string{"it begins", "it goes wrong"}) {
				t.Errorf("the failure is %+v, want %q with the last lines", f, want)
			}
			if now.Status.Phase != api.Running || now.Status.Release != 1 || now.Status.Reason != "release 1 serves with 1 of 1 replicas; release 2 failed: "+want {
				t.Errorf("the app is %s with release %d (%s)", now.Status.Phase, now.Status.Release, now.Status.Reason)
			}
			p.serves(t, "web", 1)
			eventually(t, "the failed replicas are gone", func() bool { return maps.Equal(p.replicas(t, a), map[int]int{1: 1}) })
			spec := behave("ok")
			spec.Env["COLOR"] = "green"
			if now = p.deploy(t, "web", spec); now.Status.Failure != nil || now.Status.Release != 3 {
				t.Errorf("after a deploy that went well the status is %+v", now.Status)
			}
		})
	}
}

func TestFirstDeployFails(t *testing.T) {
	p, _ := newLivePlane(t)
	a := p.deploy(t, "web", behave("ill"))
	want := "release 1 failed: no healthy replica on port 8080 within 2s: its health path answers 503 Service Unavailable"
	if a.Status.Phase != api.Failed || a.Status.Reason != want || a.Status.Release != 0 {
		t.Errorf("the app is %s (%s) with release %d, want failed (%s)", a.Status.Phase, a.Status.Reason, a.Status.Release, want)
	}
	if code, _ := p.get("web", "/"); code != http.StatusServiceUnavailable {
		t.Errorf("the edge answers %d, want 503", code)
	}
}

func TestNextUpdateSupersedes(t *testing.T) {
	p, _ := newLivePlane(t)
	p.deploy(t, "web", behave("ok"))
	spec := behave("ill")
	spec.DeadlineSeconds = 600
	p.ask(t, "web", spec)
	eventually(t, "release 2 is being deployed", func() bool { return p.states(t, "web") == "1 serving, 2 deploying" })
	spec = behave("ok")
	spec.Env["COLOR"] = "blue"
	a := p.deploy(t, "web", spec)
	if got := p.states(t, "web"); got != "1 superseded, 2 superseded, 3 serving" || a.Status.Failure != nil {
		t.Errorf("the releases are %q, the failure is %v", got, a.Status.Failure)
	}
	_, err := p.cloud.Apps.Rollback(asCustomer(), "default", "web", 2)
	if want := `cannot roll app "web" back to release 2: it never served (release 3 came before it could serve)`; err == nil || err.Error() != want {
		t.Errorf("a rollback to what never served answers %v, want %s", err, want)
	}
}

func TestRollbackSkipsWhatNeverServed(t *testing.T) {
	p, _ := newLivePlane(t)
	colored := func(color string) api.AppSpec { s := behave("ok"); s.Env["COLOR"] = color; return s }
	p.deploy(t, "web", colored("red"))
	p.deploy(t, "web", behave("ill"))
	p.deploy(t, "web", colored("blue"))
	_, err := p.cloud.Apps.Rollback(asCustomer(), "default", "web", 0)
	must(t, err)
	a := p.appSettled(t, "web")
	if a.Status.Release != 4 || a.Spec.Env["COLOR"] != "red" {
		t.Errorf("release %d serves with %v, want 4 with the settings of release 1", a.Status.Release, a.Spec.Env)
	}
	if got := p.states(t, "web"); got != "1 superseded, 2 failed, 3 superseded, 4 serving" {
		t.Errorf("the releases are %q", got)
	}
	p.serves(t, "web", 4)
}

func TestScaleMakesNoRelease(t *testing.T) {
	p, _ := newLivePlane(t)
	a := p.deploy(t, "web", behave("ok"))
	for _, n := range []int{3, 1, 0, 2} {
		spec := behave("ok")
		spec.Replicas = replicas(n)
		now := p.deploy(t, "web", spec)
		want := map[int]int{1: n}
		if n == 0 {
			want = map[int]int{}
		}
		phase, code := api.Running, http.StatusOK
		if n == 0 {
			phase, code = api.Stopped, http.StatusServiceUnavailable
		}
		if now.Status.Phase != phase {
			t.Errorf("with %d replicas the app is %s (%s), want %s", n, now.Status.Phase, now.Status.Reason, phase)
		}
		eventually(t, fmt.Sprint(n, " replicas"), func() bool { return maps.Equal(p.replicas(t, a), want) })
		eventually(t, fmt.Sprint("the edge answers ", code), func() bool { got, _ := p.get("web", "/"); return got == code })
	}
	if got := p.states(t, "web"); got != "1 serving" {
		t.Errorf("the releases are %q", got)
	}
}

// TestScaledDownAndUp: a replica that ends its requests gets no new ones, though it is wanted again meanwhile.
func TestScaledDownAndUp(t *testing.T) {
	p, l := newLivePlane(t)
	spec := behave("ok")
	spec.Replicas = replicas(2)
	a := p.deploy(t, "web", spec)
	second := replicaID(a.ID, 1, 1)
	slow := make(chan string, 2)
	for range 2 {
		go func() { code, body := p.get("web", "/slow"); slow <- fmt.Sprint(code, " ", body) }()
	}
	eventually(t, "both replicas have a slow request", func() bool { return p.Edge.InFlight(second) == 1 && p.Edge.InFlight(replicaID(a.ID, 1, 0)) == 1 })
	spec.Replicas = replicas(1)
	p.ask(t, "web", spec)
	eventually(t, "the second replica leaves", func() bool { return p.loop.allLeaving()[second] })
	spec.Replicas = replicas(2)
	now := p.ask(t, "web", spec)
	p.loop.catchUp(asCustomer())
	for range 20 {
		if code, _ := p.get("web", "/"); code != http.StatusOK {
			t.Fatalf("the edge answers %d", code)
		}
	}
	l.mu.Lock()
	if n := l.asked[second]; n != 0 {
		t.Errorf("the replica that leaves got %d new requests", n)
	}
	l.mu.Unlock()
	got, err := p.cloud.Apps.Get(asCustomer(), "default", "web")
	must(t, err)
	if api.Settled(got.Meta, got.Status.Status) || got.Generation != now.Generation {
		t.Errorf("before the replica is made again the app is %s (%s)", got.Status.Phase, got.Status.Reason)
	}
	before := p.replicaEngine(t, second)
	close(l.hold)
	for range 2 {
		if answer := <-slow; answer != "200 release 1" {
			t.Errorf("a slow request got %q", answer)
		}
	}
	p.appSettled(t, "web")
	if after := p.replicaEngine(t, second); after == before || after == "" {
		t.Errorf("the second replica is container %q, was %q", after, before)
	}
}

// replicaEngine is the container of a replica.
func (p *plane) replicaEngine(t *testing.T, id string) string {
	t.Helper()
	list, err := p.Engine.List(asCustomer())
	must(t, err)
	for _, o := range list {
		if o.ID == id {
			return o.Engine
		}
	}
	return ""
}

// TestScaledWhileADeployFails: the end of the deploy says nothing about the scaling asked for later.
func TestScaledWhileADeployFails(t *testing.T) {
	p, _ := newLivePlane(t)
	p.deploy(t, "web", behave("ok"))
	p.ask(t, "web", behave("ill"))
	spec := behave("ill")
	spec.Replicas = replicas(3)
	p.ask(t, "web", spec)
	a := p.appSettled(t, "web")
	if a.Status.Phase != api.Running || len(a.Status.Replicas) != 3 || a.Status.Failure == nil {
		t.Errorf("settled, the app is %s (%s) with %d replicas, want 3 and the failure", a.Status.Phase, a.Status.Reason, len(a.Status.Replicas))
	}
}

func TestDeleteWhileDeploying(t *testing.T) {
	p, _ := newLivePlane(t)
	spec := behave("down")
	spec.DeadlineSeconds = 600
	a := p.ask(t, "web", spec)
	eventually(t, "it is being deployed", func() bool { return p.replicas(t, a)[1] == 1 })
	must(t, p.cloud.Apps.Delete(asCustomer(), "default", "web", 0))
	_, err := p.cloud.Apps.Wait(asCustomer(), "default", "web", 20*time.Second)
	if !errors.Is(err, api.NotFound) {
		t.Errorf("after its deletion the app answers %v", err)
	}
	if got := p.replicas(t, a); len(got) != 0 {
		t.Errorf("there are replicas %v", got)
	}
}

// source uploads a folder with one file.
func (p *plane) source(t *testing.T, name, content string) string {
	t.Helper()
	s, err := p.cloud.Sources.Put(asCustomer(), "default", bytes.NewReader(tarOf(t, tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, content)))
	must(t, err)
	return s.ID
}

// tarOf is a tar with one entry.
func tarOf(t *testing.T, h tar.Header, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h.Size = int64(len(content))
	must(t, w.WriteHeader(&h))
	_, err := w.Write([]byte(content))
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

// billed expects the minutes of so many builds of an app: failed ones cost nothing.
func (p *plane) billed(t *testing.T, a api.App, builds int) {
	t.Helper()
	n := 0
	must(t, p.Store.View(func(tx *storage.Tx) error {
		return usageLog.Each(tx, 0, 0, func(e storage.Entry[api.Usage]) error {
			if u := e.Value; u.Meter == billing.BuildMinutes && u.ResourceID == a.ID && u.Quantity == billing.Millis(u.Start, u.End) {
				n++
			}
			return nil
		})
	}))
	if n != builds {
		t.Errorf("%d builds are billed, want %d", n, builds)
	}
}

func TestBuilds(t *testing.T) {
	p, l := newLivePlane(t)
	spec := behave("ok")
	spec.Image, spec.Source = "", p.source(t, "app.py", "broken")
	a := p.deploy(t, "web", spec)
	if f := a.Status.Failure; f == nil || f.Reason != `cannot build "web": it is broken` || !slices.Equal(f.Log, []string{"building as Python (app.py)", "Step 1/1 : FROM scratch"}) {
		t.Errorf("the failure is %+v", f)
	}
	for n := range imagesKept + 2 {
		spec.Source = p.source(t, "app.py", fmt.Sprint("print(", n, ")"))
		p.deploy(t, "web", spec)
	}
	spec.Env = map[string]string{"BEHAVE": "ok", "COLOR": "blue"}
	p.deploy(t, "web", spec)
	tag := func(n int) string { return fmt.Sprintf("nuage-app/%s:r%d", a.ID, n) }
	built, _ := l.images()
	if want := []string{tag(2), tag(3), tag(4), tag(5), tag(6), tag(7), tag(8)}; !slices.Equal(built, want) {
		t.Errorf("built were %v, want %v: settings alone build nothing", built, want)
	}
	p.billed(t, a, len(built))
	eventually(t, "the oldest images are removed", func() bool {
		_, removed := l.images()
		return slices.Equal(removed, []string{tag(2), tag(3)}) || slices.Equal(removed, []string{tag(3), tag(2)})
	})
	_, err := p.cloud.Apps.Rollback(asCustomer(), "default", "web", 3)
	if want := `cannot roll app "web" back to release 3: its image is no longer kept: deploy the source again`; err == nil || err.Error() != want {
		t.Errorf("a rollback to an old image answers %v, want %s", err, want)
	}
	must(t, p.cloud.Apps.Delete(asCustomer(), "default", "web", 0))
	eventually(t, "all images are removed", func() bool {
		_, removed := l.images()
		slices.Sort(removed)
		return slices.Equal(slices.Compact(removed), built)
	})
}
