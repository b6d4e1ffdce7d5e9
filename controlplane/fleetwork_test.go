package controlplane

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/sim"
)

// grouped runs a script over a group called web in fake time, and ends the cloud.
func grouped(t *testing.T, spec api.InstanceGroupSpec, script func(t *testing.T, s *scene)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := newScene(dir)
		must(t, err)
		spec.Template.Type = "nano"
		_, err = s.cloud.InstanceGroups.Create(asCustomer(), "default", "web", spec)
		must(t, err)
		script(t, s)
		must(t, s.end())
	})
}

func (p *plane) group(t *testing.T) api.InstanceGroup {
	t.Helper()
	g, err := p.cloud.InstanceGroups.Get(asCustomer(), "default", "web")
	must(t, err)
	return g
}

func (p *plane) changeGroup(t *testing.T, change func(*api.InstanceGroupSpec)) {
	t.Helper()
	g := p.group(t)
	change(&g.Spec)
	_, err := p.cloud.InstanceGroups.Update(asCustomer(), "default", "web", g.Spec, 0)
	must(t, err)
}

// groupSays waits until the group is as told.
func (p *plane) groupSays(t *testing.T, want string) api.InstanceGroup {
	t.Helper()
	var g api.InstanceGroup
	var got string
	for deadline := time.Now().Add(20 * time.Minute); got != want; time.Sleep(10 * time.Millisecond) {
		g = p.group(t)
		if got = fmt.Sprintf("%s: %s", g.Status.Phase, g.Status.Reason); time.Now().After(deadline) {
			t.Fatalf("the group is %q, want %q", got, want)
		}
	}
	return g
}

// decisions are the platform's activities about the group, with members called m1, m2 and so on in the order of their making.
func (p *plane) decisions(t *testing.T) []string {
	t.Helper()
	all, err := p.cloud.Activities.List(asCustomer(), api.ActivityQuery{Project: "default", Resource: "web", Actor: api.Platform, Page: api.Page{Limit: 1000}})
	must(t, err)
	var names, out []string
	for _, a := range all.Items {
		name, rest, ok := strings.Cut(a.Detail, ": ")
		if ok && strings.HasPrefix(name, "web-") {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
			a.Detail = fmt.Sprintf("m%d: %s", slices.Index(names, name)+1, rest)
		}
		out = append(out, a.Verb+" "+a.Detail)
	}
	return out
}

// load makes all members of all groups use so much of their type.
func (s *scene) load(t *testing.T, percent uint64) {
	t.Helper()
	w, err := s.read()
	must(t, err)
	for _, team := range w.by.teams {
		for _, i := range team {
			s.sim.Faults().Load(i.ID, compute.Stats{CPUNanos: percent * 2_500_000}) // a nano has 250 milliCPU
		}
	}
}

func TestAGroupFollowsItsLoad(t *testing.T) {
	grouped(t, api.InstanceGroupSpec{Min: 1, Max: 3, CPU: 60}, func(t *testing.T, s *scene) {
		s.groupSays(t, "running: 1 of 1 members healthy")
		s.load(t, 83)
		began := time.Now()
		s.groupSays(t, "running: 2 of 2 members healthy")
		if took := time.Since(began); took < 50*time.Second || took > 2*time.Minute {
			t.Errorf("it scaled out after %s, want about a minute", took)
		}
		if got := s.group(t).Status.CPUPercent; got < 40 || got > 84 {
			t.Errorf("the members use %.0f%%", got)
		}
		s.load(t, 42)
		time.Sleep(10 * time.Minute)
		s.groupSays(t, "running: 2 of 2 members healthy") // 42% of two is 84% of one
		s.load(t, 10)
		s.groupSays(t, "running: 1 of 1 members healthy")
		got := s.decisions(t)
		if len(got) > 3 { // how far the mean has come down by then depends on when the samples are taken
			got[3] = regexp.MustCompile(`cpu 2\d%`).ReplaceAllString(got[3], "cpu 2x%")
		}
		want := []string{"add m1: 0 of 1 members are there", "scale cpu 83% over 60% for 60 s: 1 to 2", "add m2: 1 of 2 members are there",
			"scale cpu 2x% under 60% for 60 s: 2 to 1", "retire m2: 1 of 2 members are too many"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the decisions are (-want +got):\n%s", diff)
		}
	})
}

func TestAGroupReplacesWhatFails(t *testing.T) {
	grouped(t, api.InstanceGroupSpec{Min: 2, Max: 3}, func(t *testing.T, s *scene) {
		g := s.groupSays(t, "running: 2 of 2 members healthy")
		_, err := s.cloud.Instances.Power(asCustomer(), "default", g.Status.Members[0].Instance, api.PowerStop)
		must(t, err)
		s.groupSays(t, "degraded: 1 of 2 members healthy; "+g.Status.Members[0].Instance+": it was stopped")
		g = s.groupSays(t, "running: 2 of 2 members healthy")
		must(t, s.cloud.Instances.Delete(asCustomer(), "default", g.Status.Members[0].Instance, 0))
		synctest.Wait()
		now := s.groupSays(t, "running: 2 of 2 members healthy")
		if now.Status.Members[0] == g.Status.Members[0] && now.Status.Members[1] == g.Status.Members[1] {
			t.Errorf("the members are %+v still", now.Status.Members)
		}
		got := s.decisions(t)
		if len(got) != 5 || !strings.HasSuffix(got[2], ": it is replaced: it was stopped") || !strings.HasSuffix(got[4], ": 1 of 2 members are there") {
			t.Errorf("the decisions are %q", got)
		}
	})
}

// TestARollingReplaceNeverGoesBelow: one after another, and at every moment as many are healthy as shall be.
func TestARollingReplaceNeverGoesBelow(t *testing.T) {
	grouped(t, api.InstanceGroupSpec{Min: 3, Max: 3}, func(t *testing.T, s *scene) {
		s.groupSays(t, "running: 3 of 3 members healthy")
		s.sim.Faults().Latency(100 * time.Millisecond)
		s.changeGroup(t, func(g *api.InstanceGroupSpec) { g.Template.Env = map[string]string{"VERSION": "2"} })
		g := s.group(t)
		for most := 0; ; time.Sleep(10 * time.Millisecond) {
			g = s.group(t)
			healthy := len(slices.DeleteFunc(slices.Clone(g.Status.Members), func(m api.GroupMember) bool { return m.Health != "healthy" }))
			if most = max(most, len(g.Status.Members)); healthy < 3 || most > 4 {
				t.Fatalf("%d of %d members are healthy: %+v", healthy, most, g.Status.Members)
			}
			if g.Status.Phase == api.Running && most == 4 {
				break
			}
		}
		for _, m := range g.Status.Members {
			i, err := s.cloud.Instances.Get(asCustomer(), "default", m.Instance)
			must(t, err)
			if i.Spec.Env["VERSION"] != "2" || !m.Current || i.Status.Group != "web" {
				t.Errorf("member %+v is %+v", m, i)
			}
		}
		var reasons []string
		for _, d := range s.decisions(t) {
			verb, rest, _ := strings.Cut(d, " ")
			_, reason, _ := strings.Cut(rest, ": ") // all were made at the same moment, so which goes first is chance
			reasons = append(reasons, verb+" "+reason)
		}
		earlier := "retire it is made from an earlier template"
		want := []string{"add 0 of 3 members are there", "add 0 of 3 members are there", "add 0 of 3 members are there",
			"add 3 of 3 members are made from an earlier template", earlier, "add 2 of 3 members are made from an earlier template", earlier,
			"add 1 of 3 members are made from an earlier template", earlier}
		if diff := cmp.Diff(want, reasons); diff != "" {
			t.Errorf("the decisions are (-want +got):\n%s", diff)
		}
	})
}

func TestAGroupBeyondItsQuotaSaysSoAndGoesOn(t *testing.T) {
	grouped(t, api.InstanceGroupSpec{Min: 1, Max: 3}, func(t *testing.T, s *scene) {
		s.groupSays(t, "running: 1 of 1 members healthy")
		_, err := s.cloud.Projects.Update(asCustomer(), "default", api.ProjectSpec{Quota: api.Quota{Instances: 2}}, 0)
		must(t, err)
		s.changeGroup(t, func(g *api.InstanceGroupSpec) { g.Min = 3 })
		time.Sleep(time.Minute)
		g := s.group(t)
		if !strings.HasPrefix(g.Status.Reason, "2 of 3 members healthy; cannot create instance \"web-") || g.Status.Phase != api.Degraded || !api.Settled(g.Meta, g.Status.Status) {
			t.Errorf("beyond the quota the group is %s: %s", g.Status.Phase, g.Status.Reason)
		}
		_, err = s.cloud.Projects.Update(asCustomer(), "default", api.ProjectSpec{}, 0)
		must(t, err)
		s.groupSays(t, "running: 3 of 3 members healthy")
	})
}

func TestADeletedGroupTakesItsMembersAlong(t *testing.T) {
	grouped(t, api.InstanceGroupSpec{Min: 3, Max: 3}, func(t *testing.T, s *scene) {
		s.groupSays(t, "running: 3 of 3 members healthy")
		_, err := s.cloud.Instances.Create(asCustomer(), "default", "web-other", api.InstanceSpec{Type: "nano"})
		must(t, err)
		must(t, s.cloud.InstanceGroups.Delete(asCustomer(), "default", "web", 0))
		_, err = s.cloud.InstanceGroups.Wait(asCustomer(), "default", "web", time.Minute)
		if api.CodeOf(err) != api.NotFound {
			t.Errorf("after its deletion the group answers %v", err)
		}
		left, err := s.cloud.Instances.List(asCustomer(), "default", api.Page{})
		must(t, err)
		if len(left.Items) != 1 || left.Items[0].Name != "web-other" {
			t.Errorf("left are %+v", left.Items)
		}
	})
}

// TestAGroupOfWhichAMemberIsUnreadableIsLeftAlone: nobody knows how many there are.
func TestAGroupOfWhichAMemberIsUnreadableIsLeftAlone(t *testing.T) {
	for _, table := range []interface{ Name() string }{machineTable, instanceTable} {
		grouped(t, api.InstanceGroupSpec{Min: 2, Max: 2}, func(t *testing.T, s *scene) {
			g := s.groupSays(t, "running: 2 of 2 members healthy")
			i, err := s.cloud.Instances.Get(asCustomer(), "default", g.Status.Members[0].Instance)
			must(t, err)
			s.damage(t, table, i.ID, i.Name)
			time.Sleep(time.Minute)
			if got := s.decisions(t); len(got) != 2 {
				t.Errorf("with a damaged %s it decided %q", table.Name(), got[2:])
			}
		})
	}
}

// TestHealthOfAMember is a table of what a group takes as healthy, and when it gives a member up.
func TestHealthOfAMember(t *testing.T) {
	at := noon()
	ago := func(d time.Duration) time.Time { return at.Add(-d) }
	for _, c := range []struct {
		name   string
		port   int
		state  compute.State
		booted time.Duration
		track  track
		probe  *probe
		want   string
	}{
		{"runs, no port", 0, compute.StateRunning, time.Hour, track{}, nil, "healthy lost=false: simulated: no guest, so no SSH"},
		{"starts", 0, compute.StateCreated, 0, track{}, nil, "unknown lost=false: pending: starting"},
		{"ends again and again", 0, compute.StateExited, 0, track{Quick: 9}, nil, "unhealthy lost=true: failed: it exited with status 1, and has ended 10 times in a row; it is tried again"},
		{"not asked", 80, compute.StateRunning, time.Minute, track{}, nil, "unknown lost=false: not asked yet"},
		{"answers", 80, compute.StateRunning, time.Minute, track{}, &probe{ok: true, once: true}, "healthy lost=false: answers"},
		{"boots", 80, compute.StateRunning, 2 * time.Minute, track{}, &probe{reason: "no", since: ago(2 * time.Minute)}, "unknown lost=false: booting: no"},
		{"never came up", 80, compute.StateRunning, 3 * time.Minute, track{}, &probe{reason: "no", since: ago(3 * time.Minute)}, "unhealthy lost=true: no"},
		{"was restarted a moment ago", 80, compute.StateRunning, 29 * time.Second, track{Restarts: 1}, &probe{reason: "no", since: ago(29 * time.Second)}, "unknown lost=false: booting: no"},
		{"did not come back after a restart", 80, compute.StateRunning, 30 * time.Second, track{Restarts: 1}, &probe{reason: "no", since: ago(30 * time.Second)}, "unhealthy lost=true: no"},
		{"does not answer since a moment", 80, compute.StateRunning, time.Minute, track{}, &probe{reason: "no", once: true, since: ago(14 * time.Second)}, "unhealthy lost=false: no"},
		{"does not answer any more", 80, compute.StateRunning, time.Minute, track{}, &probe{reason: "no", once: true, since: ago(15 * time.Second)}, "unhealthy lost=true: no"},
	} {
		w := sample()
		w.at, w.real = at, true
		w.observed = map[string]compute.Observed{"i-1": {ID: "i-1", State: c.state, ExitCode: 1, StartedAt: ago(c.booted), FinishedAt: at,
			Limits: w.planInstance(w.instances[0])[0].Limits, Endpoints: map[int]compute.Endpoint{80: {Host: "127.0.0.1", Port: 8}}}}
		w.by.tracks["i-1"] = []track{c.track}
		w.tracks["i-1"] = c.track
		w.health = map[string]probe{}
		if c.probe != nil {
			w.health[fleetCheck("ig-1", "i-1")] = *c.probe
		}
		g := api.InstanceGroup{Meta: api.Meta{ID: "ig-1", Name: "web", Project: "default"}, Spec: api.InstanceGroupSpec{Health: api.HealthCheck{Port: c.port}}}
		health, reason, _, lost := w.memberHealth(g, w.instances[0])
		if got := fmt.Sprintf("%s lost=%v: %s", health, lost, reason); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestAMemberDrainsBeforeItGoes: behind a load balancer it ends what it has begun; the balancer follows the group.
func TestAMemberDrainsBeforeItGoes(t *testing.T) {
	p, l := newLivePlane(t)
	_, err := p.cloud.InstanceGroups.Create(asCustomer(), "default", "web", api.InstanceGroupSpec{Min: 1, Max: 2, Template: api.InstanceSpec{Type: "nano"}, Health: api.HealthCheck{Port: 22, Path: "/health"}})
	must(t, err)
	b := p.front(t, api.LoadBalancerSpec{Port: freePort(t), Targets: []api.Target{{Group: "web", Port: 22}}, Health: api.HealthCheck{IntervalSeconds: 1}})
	one := p.groupSays(t, "running: 1 of 1 members healthy").Status.Members[0].Instance
	p.says(t, "running: 1 of 1 targets healthy", one+" healthy 0: answers")
	answers := make(chan int, 1)
	go func() {
		status, _, err := ask(b, "/slow")
		if err != nil {
			t.Error(err)
		}
		answers <- status
	}()
	p.says(t, "running: 1 of 1 targets healthy", one+" healthy 1: answers")
	p.changeGroup(t, func(g *api.InstanceGroupSpec) { g.Template.Env = map[string]string{"NUAGE_RELEASE": "2"} })
	var other string
	eventually(t, "a new member has taken the place of the one that drains", func() bool {
		front, err := p.cloud.LoadBalancers.Get(asCustomer(), "default", "front")
		must(t, err)
		rows := front.Status.Targets
		other = ""
		for _, r := range rows {
			if r.Health == "healthy" {
				other = r.Instance
			}
		}
		return len(rows) == 2 && other != "" && other != one && slices.ContainsFunc(rows, func(r api.TargetStatus) bool {
			return r.Instance == one && r.Health == "draining" && r.Connections == 1
		})
	})
	if status, body, err := ask(b, "/"); status != 200 || body != "release 2" || err != nil {
		t.Errorf("the new member answers %d %q, %v", status, body, err)
	}
	if _, err := p.cloud.Instances.Get(asCustomer(), "default", one); err != nil {
		t.Errorf("the member that still answers a request is %v", err)
	}
	close(l.hold)
	if got := <-answers; got != 200 {
		t.Errorf("what was in flight is answered %d", got)
	}
	p.says(t, "running: 1 of 1 targets healthy", other+" healthy 0: answers")
	eventually(t, "the empty member is gone", func() bool {
		_, err := p.cloud.Instances.Get(asCustomer(), "default", one)
		return errors.Is(err, api.NotFound)
	})
}

func TestWhatATemplateNamesIsNotDeleted(t *testing.T) {
	p := newPlane(t, setup{})
	ctx := asCustomer()
	_, err := p.cloud.Keys.Create(ctx, "default", "k", api.KeySpec{PublicKey: testKey})
	must(t, err)
	_, err = p.cloud.SecurityGroups.Create(ctx, "default", "s", api.SecurityGroupSpec{})
	must(t, err)
	_, err = p.cloud.InstanceGroups.Create(ctx, "default", "web", api.InstanceGroupSpec{Max: 1, Template: api.InstanceSpec{Type: "nano", Key: "k", SecurityGroups: []string{"s"}}})
	must(t, err)
	for want, err := range map[string]error{
		`cannot delete key "k": instance group "web" makes its members with it`:            p.cloud.Keys.Delete(ctx, "default", "k", 0),
		`cannot delete security group "s": instance group "web" makes its members with it`: p.cloud.SecurityGroups.Delete(ctx, "default", "s", 0),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("the deletion answers %v, want %s", err, want)
		}
	}
}

// fleetActs are what happens to groups in a random life.
func fleetActs() []string {
	return []string{"group", "group", "template", "template", "size", "size", "target", "load", "load", "stop-member", "delete-member", "strike-member", "strike-member", "delete-group", "quota"}
}

func (s *scene) fleetAct(a act) error {
	if !slices.Contains(fleetActs(), a.name) {
		return s.do(a)
	}
	return refused(s.groupAct(a))
}

func (s *scene) groupAct(a act) error {
	ctx, name := asCustomer(), fmt.Sprint("g", a.n%2)
	spec := api.InstanceGroupSpec{Min: a.n % 3, Max: 1 + max(a.n%3, a.m), Template: api.InstanceSpec{Type: "nano"}}
	switch a.name {
	case "group":
		_, err := s.cloud.InstanceGroups.Create(ctx, "default", name, spec)
		return err
	case "delete-group":
		return s.cloud.InstanceGroups.Delete(ctx, "default", name, 0)
	case "quota":
		_, err := s.cloud.Projects.Update(ctx, "default", api.ProjectSpec{Quota: api.Quota{Instances: int64(a.m)}}, 0)
		return err
	case "load":
		return s.loadAll(uint64(a.m * 25))
	}
	g, err := s.cloud.InstanceGroups.Get(ctx, "default", name)
	if err != nil {
		return err
	}
	switch a.name {
	case "template":
		g.Spec.Template.Env = map[string]string{"VERSION": fmt.Sprint(a.m)}
	case "size":
		g.Spec.Min, g.Spec.Max = max(spec.Min, min(1, g.Spec.CPU)), spec.Max
	case "target":
		g.Spec.CPU, g.Spec.Min = 50, max(1, g.Spec.Min)
	default:
		return s.memberAct(a, g)
	}
	_, err = s.cloud.InstanceGroups.Update(ctx, "default", name, g.Spec, 0)
	return err
}

func (s *scene) memberAct(a act, g api.InstanceGroup) error {
	if len(g.Status.Members) == 0 {
		return nil
	}
	i, err := s.cloud.Instances.Get(asCustomer(), "default", g.Status.Members[a.m%len(g.Status.Members)].Instance)
	if err != nil {
		return err
	}
	switch a.name {
	case "stop-member":
		_, err = s.cloud.Instances.Power(asCustomer(), "default", i.Name, api.PowerStop)
	case "delete-member":
		err = s.cloud.Instances.Delete(asCustomer(), "default", i.Name, 0)
	case "strike-member":
		s.sim.Faults().Crash(i.ID, 1)
	}
	return err
}

func (s *scene) loadAll(percent uint64) error {
	list, err := sim.New(sim.Options{CloudID: s.Store.CloudID(), State: s.host}).List(asCustomer())
	if err != nil {
		return err
	}
	for _, o := range list {
		s.sim.Faults().Load(o.ID, compute.Stats{CPUNanos: percent * 2_500_000})
	}
	return nil
}

// TestGroupsComeToRest: whatever load, faults, kills, templates and quotas do, in the end every group has min to max members, all
// of the present template and healthy.
func TestGroupsComeToRest(t *testing.T) {
	names := slices.Concat(fleetActs(), fleetActs(), faultActs, endActs)
	rapid.Check(t, func(rt *rapid.T) {
		acts := history(names...).Draw(rt, "life")
		dir, err := os.MkdirTemp(t.TempDir(), "life")
		must(t, err)
		synctest.Test(t, func(*testing.T) { err = fleetLife(dir, acts) })
		if err != nil {
			rt.Fatalf("%v", err)
		}
	})
}

func fleetLife(dir string, acts []act) error {
	s, err := newScene(dir)
	if err != nil {
		return err
	}
	for _, a := range acts {
		if err := s.fleetAct(a); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", a, err), s.end())
		}
	}
	_, err = s.cloud.Projects.Update(asCustomer(), "default", api.ProjectSpec{}, 0)
	s.calm()
	err = errors.Join(err, s.loadAll(0))
	s.calm()
	s.calm()
	return errors.Join(err, converged(s), s.groupsFit(), s.end())
}

// groupsFit: of every group at rest there are as many members as shall be, current and healthy, and no instance is left of others.
func (s *scene) groupsFit() error {
	w, err := s.read()
	if err != nil {
		return err
	}
	var errs []error
	for _, g := range w.fleets {
		st := g.Status
		n := len(w.by.teams[g.ID])
		fits := n >= g.Spec.Min && n <= g.Spec.Max && n == st.Desired && n == len(st.Members) && st.Phase == api.Running && g.DeletedAt == nil
		for _, m := range st.Members {
			fits = fits && m.Current && m.Health == "healthy"
		}
		if g.Spec.CPU > 0 {
			fits = fits && n == max(1, g.Spec.Min) // nothing has anything to do
		}
		if !fits {
			errs = append(errs, fmt.Errorf("group %s of %d to %d has %d members and is %+v", g.Name, g.Spec.Min, g.Spec.Max, n, st))
		}
	}
	for id, m := range w.machines {
		if _, there := w.by.teams[m.Group]; m.Group != "" && !slices.ContainsFunc(w.fleets, func(g api.InstanceGroup) bool { return g.ID == m.Group }) {
			errs = append(errs, fmt.Errorf("instance %s is left of a group that is gone (%v)", id, there))
		}
	}
	return errors.Join(errs...)
}

// TestAPlanOfAnEarlierGenerationMakesNothing: a change meanwhile is no trouble, no member of the earlier template is made, and none
// goes that may be wanted now.
func TestAPlanOfAnEarlierGenerationMakesNothing(t *testing.T) {
	grouped(t, api.InstanceGroupSpec{Min: 1, Max: 2}, func(t *testing.T, s *scene) {
		earlier := s.groupSays(t, "running: 1 of 1 members healthy")
		s.changeGroup(t, func(g *api.InstanceGroupSpec) { g.Max = 3 })
		member, err := s.memberID("default", earlier.Status.Members[0].Instance)
		must(t, err)
		todo := []action{{verb: fleetAdd, reason: "late"}, {verb: fleetScale, desired: 2, reason: "late"}, {verb: fleetRetire, member: member, reason: "late"}}
		must(t, s.doAll(asCustomer(), earlier, todo))
		if g := s.groupSays(t, "running: 1 of 1 members healthy"); g.Status.Desired != 1 {
			t.Errorf("the group is %+v", g.Status)
		}
		if got := s.decisions(t); len(got) != 1 {
			t.Errorf("the decisions are %q", got)
		}
	})
}
