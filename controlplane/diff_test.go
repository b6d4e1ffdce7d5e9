package controlplane

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nuage/compute"
)

func TestChange(t *testing.T) {
	limits := compute.Limits{MilliCPU: 500, MemoryBytes: 512 << 20, Pids: 512}
	wanted := func(kind string, running bool) compute.Workload {
		return compute.Workload{ID: "w", Owner: "w", Kind: kind, Image: "debian", Limits: limits, Running: running}
	}
	as := func(w compute.Workload, state compute.State) compute.Observed {
		return compute.Observed{ID: "w", Kind: w.Kind, Template: w.Template(), State: state, Limits: limits}
	}
	other := func(o compute.Observed) compute.Observed { o.Template = "another"; return o }
	smaller := func(o compute.Observed) compute.Observed { o.Limits.MilliCPU = 250; return o }
	const instance, app, database = compute.KindInstance, compute.KindApp, compute.KindDatabase
	const absent = compute.State("absent")
	for _, c := range []struct {
		kind    string
		running bool
		state   compute.State
		twist   func(compute.Observed) compute.Observed
		reboot  bool
		want    verb
	}{
		{instance, true, absent, nil, false, create},
		{instance, false, absent, nil, false, create}, // its address and disk are kept while it is stopped
		{app, false, absent, nil, false, ""},
		{instance, true, compute.StateCreated, nil, false, start},
		{instance, true, compute.StateExited, nil, false, start},
		{instance, true, compute.StateExited, nil, true, start}, // a start is a boot
		{instance, true, compute.StateRunning, nil, false, ""},
		{instance, true, compute.StateRunning, nil, true, reboot},
		{instance, false, compute.StateRunning, nil, false, stop},
		{instance, false, compute.StateRunning, nil, true, stop},
		{instance, false, compute.StateExited, nil, false, ""},
		{instance, true, compute.StateDead, nil, false, remove},
		{instance, true, compute.StateRunning, other, false, ""}, // its root disk is data
		{instance, true, compute.StateExited, other, false, start},
		{app, true, compute.StateRunning, other, false, replace},
		{app, true, compute.StateExited, other, false, replace},
		{database, true, compute.StateRunning, other, false, replace},
		{database, true, compute.StateDead, other, false, remove},
		{instance, true, compute.StateRunning, smaller, false, update},
		{app, true, compute.StateRunning, smaller, false, update},
		{instance, false, compute.StateExited, smaller, false, update},
		{app, true, compute.StateExited, smaller, false, start},
	} {
		w := wanted(c.kind, c.running)
		o := as(w, c.state)
		if c.state == absent {
			o = compute.Observed{}
		}
		if c.twist != nil {
			o = c.twist(o)
		}
		if got := change(w, o, c.state != absent, c.reboot); got != c.want {
			t.Errorf("%s, running %v, is %s (as wanted: %v), reboot %v: the step is %q, want %q", c.kind, c.running, c.state, c.twist == nil, c.reboot, got, c.want)
		}
	}
}

func TestDiffLeavesAlone(t *testing.T) {
	kept := compute.Workload{ID: "i-1", Owner: "i-1", Kind: compute.KindInstance, Image: "debian", Running: true}
	observed := map[string]compute.Observed{
		"i-1":      {ID: "i-1", Owner: "i-1", Kind: compute.KindInstance, Template: kept.Template(), State: compute.StateRunning},
		"i-2":      {ID: "i-2", Owner: "i-2", Kind: compute.KindInstance, State: compute.StateRunning},
		"i-3":      {ID: "i-3", Owner: "i-3", Kind: compute.KindInstance, State: compute.StateExited},
		"app-1-r1": {ID: "app-1-r1", Owner: "app-1", Kind: compute.KindApp, State: compute.StateRunning},
		"app-2-r1": {ID: "app-2-r1", Owner: "app-2", Kind: compute.KindApp, State: compute.StateDead},
		"db-1":     {ID: "db-1", Owner: "db-1", Kind: compute.KindDatabase, State: compute.StateRunning},
		"sb-1":     {ID: "sb-1", Owner: "fn-1", Kind: compute.KindFunction, State: compute.StateRunning},
		"run-1":    {ID: "run-1", Owner: "app-1", Kind: compute.KindHelper, State: compute.StateRunning},
		"build-1":  {ID: "build-1", Owner: "app-1", Kind: compute.KindBuilder, State: compute.StateRunning},
	}
	protected := map[string]bool{"i-3": true, "app-1": true, "db-9": true}
	var got []string
	for _, s := range diff([]compute.Workload{kept}, observed, nil, protected) {
		got = append(got, fmt.Sprintf("%s %s of %s", s.verb, s.workload.ID, s.workload.Owner))
	}
	slices.Sort(got)
	if want := "remove app-2-r1 of app-2, remove db-1 of db-1, remove i-2 of i-2"; strings.Join(got, ", ") != want {
		t.Errorf("the steps are %s, want %s", strings.Join(got, ", "), want)
	}
}
