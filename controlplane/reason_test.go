package controlplane

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/guest/link"
)

// bootedWorld has one instance, x, which runs with a guest that answers.
func bootedWorld(spec api.InstanceSpec) (*world, api.Instance) {
	at := time.Date(2026, 11, 3, 4, 5, 6, 0, time.UTC)
	spec.Image, spec.Type = "debian-12", "nano"
	i := api.Instance{Meta: api.Meta{ID: "i-1", Name: "x", Project: "p", Generation: 1}, Spec: spec}
	w := &world{
		instances: []api.Instance{i}, machines: map[string]machine{"i-1": {ID: "i-1", Project: "p", Host: 10, UserData: "none"}},
		projects: map[string]api.Project{"p": {Meta: api.Meta{Name: "p", ID: "prj-1"}, Status: api.ProjectStatus{CIDR: "10.130.0.0/20"}}},
		groups: map[string]api.SecurityGroup{"p/default": {Spec: api.SecurityGroupSpec{Rules: []api.Rule{{Protocol: "tcp", FromPort: 22, ToPort: 22, CIDR: "0.0.0.0/0"}}}},
			"p/web": {Spec: api.SecurityGroupSpec{Rules: []api.Rule{{Protocol: "tcp", FromPort: 80, ToPort: 80, CIDR: "0.0.0.0/0"}}}}},
		observed: map[string]compute.Observed{"i-1": {ID: "i-1", Owner: "i-1", State: compute.StateRunning, StartedAt: at,
			Limits: compute.Limits{MilliCPU: 250, MemoryBytes: 256 << 20, Pids: 2048}, Endpoints: map[int]compute.Endpoint{22: {Host: "127.0.0.1", Port: 2222}}}},
		guests: map[string]guestState{"i-1": {configured: true, firewall: "ok"}}, tracks: map[string]track{}, trouble: map[string]trouble{}, guestsPossible: true,
	}
	w.index()
	return w, i
}

// TestReasonOfEveryPhase: whatever a machine is, it says why, and what its owner can do.
func TestReasonOfEveryPhase(t *testing.T) {
	at := time.Date(2026, 11, 3, 4, 5, 6, 0, time.UTC)
	deleted := at.Add(time.Hour)
	known := func(fn func(*machine)) func(*world, *api.Instance) {
		return func(w *world, _ *api.Instance) {
			m := w.machines["i-1"]
			fn(&m)
			w.machines["i-1"] = m
		}
	}
	guest := func(g guestState) func(*world, *api.Instance) {
		return func(w *world, _ *api.Instance) { w.guests["i-1"] = g }
	}
	engine := func(fn func(*compute.Observed)) func(*world, *api.Instance) {
		return func(w *world, _ *api.Instance) {
			o := w.observed["i-1"]
			fn(&o)
			w.observed["i-1"] = o
		}
	}
	spec := func(fn func(*api.InstanceSpec)) func(*world, *api.Instance) {
		return func(_ *world, i *api.Instance) { fn(&i.Spec) }
	}
	both := func(all ...func(*world, *api.Instance)) func(*world, *api.Instance) {
		return func(w *world, i *api.Instance) {
			for _, fn := range all {
				fn(w, i)
			}
		}
	}
	for _, c := range []struct {
		name  string
		given func(*world, *api.Instance)
		want  string
	}{
		{"as it should be", both(), "running (SSH answers)"},
		{"private", spec(func(s *api.InstanceSpec) { s.Private = true }), "running (SSH answers in its network; it is private)"},
		{"no rule for SSH", spec(func(s *api.InstanceSpec) { s.SecurityGroups = []string{"web"} }), "running (its guest is ready; no security group of it lets SSH in)"},
		{"booting", guest(guestState{}), "pending (booting)"},
		{"silent guest", guest(guestState{problem: "its guest does not answer: EOF"}), "pending (its guest does not answer: EOF)"},
		{"bad rules", guest(guestState{configured: true, firewall: "nft: no"}), "degraded (its firewall could not be loaded: nft: no)"},
		{"user data runs", known(func(m *machine) { m.UserData = "pending" }), "pending (running user data)"},
		{"user data failed", known(func(m *machine) { m.UserData, m.Exit, m.Note = "failed", 2, "runcmd: exit status 2" }),
			"running (SSH answers; user data failed: runcmd: exit status 2, see `nuage instance console x`)"},
		{"user data failed without words", known(func(m *machine) { m.UserData, m.Exit = "failed", 2 }),
			"running (SSH answers; user data failed, exit status 2, see `nuage instance console x`)"},
		{"too small", both(guest(guestState{configured: true, firewall: "ok", oomKills: 3}), known(func(m *machine) { m.OOM = &at })),
			"running (SSH answers; the kernel killed 3 processes for want of memory, last at 04:05:06Z; a larger type has more (nuage instance resize x --type T))"},
		{"too small once", guest(guestState{configured: true, firewall: "ok", oomKills: 1}),
			"running (SSH answers; the kernel killed 1 process for want of memory; a larger type has more (nuage instance resize x --type T))"},
		{"brought back", func(w *world, _ *api.Instance) {
			w.tracks["i-1"] = track{ID: "i-1", Reason: "it exited with status 255 and was started again at 01:02:03Z"}
		},
			"running (it exited with status 255 and was started again at 01:02:03Z)"},
		{"ended", engine(func(o *compute.Observed) { o.State, o.OOMKilled = compute.StateExited, true }),
			"pending (starting it again: it was killed for taking more memory than its size allows)"},
		{"on notice", known(func(m *machine) { m.Reclaim = &at }), "running (spot: taken back at 04:05:06Z, its volumes are kept; SSH answers)"},
		{"being deleted", func(_ *world, i *api.Instance) { i.DeletedAt = &deleted }, "deleting (removing the container)"},
		{"taken back", both(known(func(m *machine) { m.Reclaim = &at }), func(_ *world, i *api.Instance) { i.DeletedAt = &deleted }),
			"deleting (taken back, as its notice said; removing the container)"},
		{"deletion in trouble", func(w *world, i *api.Instance) {
			i.DeletedAt, w.trouble["i-1"] = &deleted, trouble{err: errors.New("cannot remove it")}
		}, "deleting (removing the container: cannot remove it)"},
		{"stopped", both(spec(func(s *api.InstanceSpec) { s.Stopped = true }), engine(func(o *compute.Observed) { o.State = compute.StateExited }),
			func(w *world, i *api.Instance) { delete(w.guests, "i-1"); i.Status.OOMKills = 3 }), "stopped (stopped by its owner)"},
		{"stopping", spec(func(s *api.InstanceSpec) { s.Stopped = true }), "stopping (shutting down)"},
		{"rebooting", spec(func(s *api.InstanceSpec) { s.Boot = 1 }), "updating (rebooting)"},
		{"resizing", spec(func(s *api.InstanceSpec) { s.Type = "large" }), "updating (changing its limits)"},
	} {
		w, i := bootedWorld(api.InstanceSpec{})
		c.given(w, &i)
		s := w.instanceStatus(i)
		if s.OOMKills != w.guests["i-1"].oomKills {
			t.Errorf("%s: its status counts %d kills", c.name, s.OOMKills)
		}
		if got := string(s.Phase) + " (" + s.Reason + ")"; got != c.want {
			t.Errorf("%s: it is\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestMetadataOfAMachine(t *testing.T) {
	at := time.Date(2026, 11, 3, 4, 5, 6, 0, time.UTC)
	w, i := bootedWorld(api.InstanceSpec{Spot: true, Tags: map[string]string{"tier": "web"}, SecurityGroups: []string{"default", "web"}})
	m := w.machines["i-1"]
	m.Reclaim = &at
	w.machines["i-1"] = m
	want := link.Metadata{Image: "debian-12", Type: "nano", Address: "10.130.0.10", PublicAddress: "127.0.0.1", Project: "p", Region: "local", Zone: "local-a",
		SecurityGroups: []string{"default", "web"}, Tags: map[string]string{"tier": "web"}, Spot: true, Reclaim: &at}
	if diff := cmp.Diff(want, w.metadata(i)); diff != "" {
		t.Error(diff)
	}
	// A world without the engine's list, as a change of rules has it, says the same.
	i.Status.SSH = &api.Endpoint{Host: "127.0.0.1", Port: 2222}
	w.observed = nil
	if diff := cmp.Diff(want, w.metadata(i)); diff != "" {
		t.Error(diff)
	}
	i.Spec.Private = true
	if got := w.metadata(i).PublicAddress; got != "" {
		t.Errorf("a private machine has the public address %s", got)
	}
}
