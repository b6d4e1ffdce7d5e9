package controlplane

import (
	"errors"
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"nuage/api"
	"nuage/compute/sim"
	"nuage/controlplane/labs"
)

// watchedLab wants a group, then a machine while the group stays; what costs more than a dollar is too much.
const watchedLab = `---
title: Watched
minutes: 5
level: beginner
needs: [%s]
fail:
  - {look: bill, sum: cost, count: "> 1", hint: "it has cost more than a dollar"}
tasks:
  - name: group
    check:
      - {look: security-groups/web, hint: no group yet}
      - {look: security-groups/web, each: spec.rules, where: {fromPort: 80}, save: {from: cidr}, hint: "port {fromPort} is open, not 80"}
    hint: Make it.
    solve: "true"
  - name: machine
    needs: [group]
    check:
      - {look: instances/web, where: {status.phase: running}, hint: "web is {status.phase}, for {from}"}
    fail:
      - {look: security-groups/web, count: "0", hint: the group has gone}
    hint: Make it.
    solve: "true"
---
Why.

## A group

Text of {project}.

## A machine

Text.
`

func labSetup(t *testing.T, needs string) setup {
	t.Helper()
	l, err := labs.Load(fstest.MapFS{"watched.en.md": {Data: fmt.Appendf(nil, watchedLab, needs)}})
	must(t, err)
	return setup{dir: t.TempDir(), host: sim.NewState(), labs: l}
}

func watchedPlane(t *testing.T, needs string) *plane {
	t.Helper()
	p := newPlane(t, labSetup(t, needs))
	eventually(t, "ready", func() bool { return p.Ready() == nil })
	return p
}

func TestALabIsChecked(t *testing.T) {
	p := watchedPlane(t, "")
	ctx, verbs := asCustomer(), p.cloud.Labs
	lab, err := verbs.Start(ctx, "watched", "")
	must(t, err)
	if lab.Run.Project != "lab-watched" || lab.Tasks[0].Text != "Text of lab-watched." {
		t.Errorf("the run begins as %+v", lab)
	}
	said := func() string {
		checked, err := verbs.Check(ctx, "watched", api.LabCheck{})
		must(t, err)
		text := string(checked.Run.Phase)
		for _, r := range checked.Results {
			text += fmt.Sprintf("; %s %t %s", r.Task, r.OK, r.Message)
		}
		return text
	}
	expect := func(want string) {
		t.Helper()
		if got := said(); got != want {
			t.Errorf("the check says %q, want %q", got, want)
		}
	}
	expect("running; group false no group yet")
	_, err = p.cloud.SecurityGroups.Create(ctx, lab.Run.Project, "web", api.SecurityGroupSpec{Rules: []api.Rule{{Protocol: "tcp", FromPort: 81, CIDR: "0.0.0.0/0"}}})
	must(t, err)
	expect("running; group false port 81 is open, not 80")
	_, err = p.cloud.SecurityGroups.Update(ctx, lab.Run.Project, "web", api.SecurityGroupSpec{Rules: []api.Rule{{Protocol: "tcp", FromPort: 80, CIDR: "0.0.0.0/0"}}}, 0)
	must(t, err)
	expect("running; group true ; machine false web is , for 0.0.0.0/0")
	_, err = p.cloud.Instances.Create(ctx, lab.Run.Project, "web", api.InstanceSpec{Image: "tiny", Type: "nano"})
	must(t, err)
	eventually(t, "the lab is done", func() bool { return said() == "done; machine true " || said() == "done" })
	grade, err := verbs.Runs(ctx)
	must(t, err)
	if r := grade.Items[0]; r.Done != 2 || r.EndedAt == nil || r.Tasks[0].Outputs["from"] != "0.0.0.0/0" || r.User != "me" {
		t.Errorf("the grade is %+v", r)
	}
}

func TestABrokenInvariantFailsALab(t *testing.T) {
	p := watchedPlane(t, "")
	ctx, verbs := asCustomer(), p.cloud.Labs
	lab, err := verbs.Start(ctx, "watched", "")
	must(t, err)
	_, err = p.cloud.SecurityGroups.Create(ctx, lab.Run.Project, "web", api.SecurityGroupSpec{Rules: []api.Rule{{Protocol: "tcp", FromPort: 80, CIDR: "0.0.0.0/0"}}})
	must(t, err)
	_, err = verbs.Check(ctx, "watched", api.LabCheck{})
	must(t, err)
	must(t, p.cloud.SecurityGroups.Delete(ctx, lab.Run.Project, "web", 0))
	eventually(t, "the lab has failed by itself", func() bool {
		lab, err := verbs.Get(ctx, "watched", "")
		must(t, err)
		return lab.Run.Phase == api.LabFailed && lab.Run.Reason == "the group has gone"
	})
	if _, err := verbs.Hint(ctx, "watched", ""); !errors.Is(err, api.Conflict) {
		t.Errorf("a hint in a failed lab: %v", err)
	}
	if _, err := verbs.Check(ctx, "watched", api.LabCheck{}); !errors.Is(err, api.Conflict) {
		t.Errorf("a check of a failed lab: %v", err)
	}
	resetLab(t, p, "watched")
	again, err := verbs.Start(ctx, "watched", "")
	must(t, err)
	if again.Run.Project != "lab-watched-2" || again.Run.Done != 0 {
		t.Errorf("the next run is %+v: it would have the bill of the one before", again.Run)
	}
}

func resetLab(t *testing.T, p *plane, name string) {
	t.Helper()
	_, err := p.cloud.Labs.Change(asCustomer(), name, api.LabReset)
	must(t, err)
	eventually(t, "the run is gone", func() bool {
		lab, err := p.cloud.Labs.Get(asCustomer(), name, "")
		must(t, err)
		return lab.Run == nil
	})
}

// TestALabIsHeld pauses a lab with a machine: that stops, comes back with the lab, and only what the pause stopped; none of it is lost by a restart.
func TestALabIsHeld(t *testing.T) {
	s := labSetup(t, "")
	p, err := s.start()
	must(t, err)
	ctx := asCustomer()
	lab, err := p.cloud.Labs.Start(ctx, "watched", "")
	must(t, err)
	for _, name := range []string{"on", "off"} {
		_, err = p.cloud.Instances.Create(ctx, lab.Run.Project, name, api.InstanceSpec{Image: "tiny", Type: "nano", Stopped: name == "off"})
		must(t, err)
	}
	phase := func(p *plane, name string, want api.Phase) func() bool {
		return func() bool {
			i, err := p.cloud.Instances.Get(ctx, lab.Run.Project, name)
			must(t, err)
			return i.Status.Phase == want
		}
	}
	eventually(t, "the machine runs", phase(p, "on", api.Running))
	_, err = p.cloud.Labs.Change(ctx, "watched", api.LabPause)
	must(t, err)
	eventually(t, "the machine is stopped", phase(p, "on", api.Stopped))
	must(t, p.stop())
	p = newPlane(t, s)
	held, err := p.cloud.Labs.Get(ctx, "watched", "")
	must(t, err)
	if held.Run.Phase != api.LabPaused {
		t.Errorf("after a restart it is %s", held.Run.Phase)
	}
	_, err = p.cloud.Labs.Change(ctx, "watched", api.LabResume)
	must(t, err)
	eventually(t, "the machine runs again", phase(p, "on", api.Running))
	if !phase(p, "off", api.Stopped)() {
		t.Error("a machine that was off before the pause was started")
	}
	resetLab(t, p, "watched")
	if _, err := p.cloud.Projects.Get(ctx, lab.Run.Project); !errors.Is(err, api.NotFound) {
		t.Errorf("the project of the run: %v", err)
	}
}

func TestALabThatNeedsAnEngine(t *testing.T) {
	p := watchedPlane(t, "engine")
	if _, err := p.cloud.Labs.Start(asCustomer(), "watched", ""); !errors.Is(err, api.Unsupported) {
		t.Errorf("it starts on the simulator: %v", err)
	}
}

func TestTimeOfARun(t *testing.T) {
	at := func(minutes int) *time.Time {
		when := time.Date(2026, 1, 2, 3, minutes, 0, 0, time.UTC)
		return &when
	}
	r := labRun{StartedAt: *at(0), PausedMs: 60_000}
	for _, test := range []struct {
		name          string
		paused, ended *time.Time
		want          time.Duration
	}{{"running", nil, nil, 9 * time.Minute}, {"paused", at(5), nil, 4 * time.Minute}, {"done", nil, at(7), 6 * time.Minute}} {
		r.PausedAt, r.EndedAt = test.paused, test.ended
		if got := r.active(*at(10)); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}
