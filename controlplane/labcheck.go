package controlplane

import (
	"context"
	"strings"

	"nuage/api"
	"nuage/controlplane/labs"
)

// labCheck is one check of a run that is under way.
type labCheck struct {
	cp      *ControlPlane
	run     labRun
	lab     labs.Lab
	ask     api.LabCheck
	checked api.LabChecked
}

func (v labVerbs) Check(ctx context.Context, name string, ask api.LabCheck) (api.LabChecked, error) {
	run, l, err := v.mine(ctx, name)
	if err != nil {
		return api.LabChecked{}, err
	}
	c := &labCheck{cp: v.cp, run: run, lab: l, ask: ask, checked: api.LabChecked{Results: []api.LabResult{}, Commands: []api.LabCommand{}}}
	if err := c.all(ctx); err != nil {
		return api.LabChecked{}, err
	}
	c.checked.Run = c.run.shown(l, v.cp.Now())
	return c.checked, nil
}

// all looks at what was asked for.
func (c *labCheck) all(ctx context.Context) error {
	if c.ask.Task != "" {
		t, ok := find(c.lab, c.ask.Task)
		if !ok {
			return noTask(c.lab, c.ask.Task)
		}
		if err := c.watch(ctx); err != nil || c.run.Phase == api.LabFailed {
			return err
		}
		return c.one(ctx, t)
	}
	if err := c.run.goesOn("check"); err != nil && c.run.Phase != api.LabDone {
		return err
	}
	if err := c.watch(ctx); err != nil {
		return err
	}
	for _, t := range c.lab.Tasks { // a task needs only those above it
		if c.run.Phase != api.LabRunning || c.run.state(t) != api.TaskOpen || t.Answer != nil {
			continue
		}
		if err := c.one(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func find(l labs.Lab, name string) (labs.Task, bool) {
	for _, t := range l.Tasks {
		if t.Name == name {
			return t, true
		}
	}
	return labs.Task{}, false
}

func noTask(l labs.Lab, name string) error {
	var names []string
	for _, t := range l.Tasks {
		names = append(names, t.Name)
	}
	return api.Errorf(api.NotFound, "cannot find task %q in lab %q: there are %s", name, l.Name, strings.Join(names, ", "))
}

// goesOn. Conflict: nothing can be done in the run.
func (r labRun) goesOn(what string) error {
	switch r.Phase {
	case api.LabRunning:
		return nil
	case api.LabPaused:
		return api.Errorf(api.Conflict, "cannot %s lab %q: it is paused; `nuage lab resume %s` goes on", what, r.Lab, r.Lab)
	case api.LabFailed:
		return api.Errorf(api.Conflict, "cannot %s lab %q: it has failed, as %s; `nuage lab reset %s` begins anew", what, r.Lab, r.Reason, r.Lab)
	}
	return api.Errorf(api.Conflict, "cannot %s lab %q: it is %s", what, r.Lab, r.Phase)
}

// watch fails the run where an invariant is broken.
func (c *labCheck) watch(ctx context.Context) error {
	if c.run.Phase != api.LabRunning {
		return nil
	}
	broken, err := c.cp.brokenIn(ctx, c.run, c.lab)
	if err != nil || broken == "" {
		return err
	}
	c.run, err = c.cp.failRun(c.run, broken)
	return err
}

// examiner makes checks of the run.
func (cp *ControlPlane) examiner(run labRun, reports []api.LabReport) labs.Examiner {
	by := map[string]api.LabReport{}
	for _, r := range reports {
		by[r.ID] = r
	}
	return labs.Examiner{World: labWorld{cp: cp, project: run.Project, since: run.StartedAt}, Outputs: run.outputs(), Reports: by}
}

// one looks at a task, and notes what came of it where it is open.
func (c *labCheck) one(ctx context.Context, t labs.Task) error {
	ctx = api.WithActor(ctx, platform("labs"))
	e := c.cp.examiner(c.run, c.ask.Reports)
	var o labs.Outcome
	var err error
	if t.Answer != nil {
		o, err = judge(ctx, e, *t.Answer, c.ask.Answer)
	} else {
		o, err = e.Examine(ctx, t)
	}
	if err != nil {
		return err
	}
	if o.Command != nil {
		c.checked.Commands = append(c.checked.Commands, *o.Command)
		return nil
	}
	c.checked.Results = append(c.checked.Results, api.LabResult{Task: t.Name, OK: o.OK, Message: o.Message})
	if c.run.Phase != api.LabRunning || c.run.state(t) != api.TaskOpen {
		return nil
	}
	c.run, err = c.cp.changeRun(c.run, func(r *labRun) error { r.note(t, o, c.lab, c.cp); return nil })
	return err
}

// judge looks whether an answer is right.
func judge(ctx context.Context, e labs.Examiner, a labs.Answer, given string) (labs.Outcome, error) {
	if strings.TrimSpace(given) == "" {
		return labs.Outcome{Message: a.Hint}, nil
	}
	right, err := e.Right(ctx, a)
	if err != nil {
		return labs.Outcome{}, err
	}
	ok, err := a.Judge(given, right)
	if !ok {
		return labs.Outcome{Message: a.Hint}, err
	}
	return labs.Outcome{OK: true, Saved: map[string]string{}}, err
}

// note writes down what a check of an open task came to. The last one ends the run.
func (r *labRun) note(t labs.Task, o labs.Outcome, l labs.Lab, cp *ControlPlane) {
	if r.Phase != api.LabRunning || r.state(t) != api.TaskOpen {
		return
	}
	now := cp.Now().UTC()
	p := r.Tasks[t.Name]
	p.Checks++
	p.Message = o.Message
	if o.OK {
		p.DoneAt, p.ActiveSeconds, p.Outputs = &now, int64(r.active(now).Seconds()), o.Saved
	}
	r.Tasks[t.Name] = p
	for _, t := range l.Tasks {
		if r.state(t) != api.TaskDone {
			return
		}
	}
	r.Phase, r.EndedAt = api.LabDone, &now
}

func (v labVerbs) Hint(ctx context.Context, name, task string) (api.LabHint, error) {
	run, t, err := v.open(ctx, name, task, "help with")
	if err != nil {
		return api.LabHint{}, err
	}
	run, err = v.cp.changeRun(run, func(r *labRun) error {
		p := r.Tasks[t.Name]
		p.Hints++
		r.Tasks[t.Name] = p
		return nil
	})
	return api.LabHint{Task: t.Name, Message: run.Tasks[t.Name].Message, Hint: t.Hint}, err
}

// open finds a task to help with; "" is the first open one.
func (v labVerbs) open(ctx context.Context, name, task, what string) (labRun, labs.Task, error) {
	run, l, err := v.mine(ctx, name)
	if err == nil {
		err = run.goesOn(what)
	}
	if err != nil {
		return run, labs.Task{}, err
	}
	if task != "" {
		t, ok := find(l, task)
		if !ok {
			err = noTask(l, task)
		}
		return run, t, err
	}
	for _, t := range l.Tasks {
		if run.state(t) == api.TaskOpen {
			return run, t, nil
		}
	}
	return run, labs.Task{}, api.Errorf(api.Conflict, "cannot %s lab %q: none of its tasks is open", what, name)
}

func (v labVerbs) Solve(ctx context.Context, name, task string) (api.LabSolution, error) {
	run, t, err := v.open(ctx, name, task, "solve")
	if err != nil {
		return api.LabSolution{}, err
	}
	out := api.LabSolution{Task: t.Name, Shell: t.Solve, Env: labs.Env(run.outputs())}
	if t.Answer != nil {
		right, err := v.cp.examiner(run, nil).Right(api.WithActor(ctx, platform("labs")), *t.Answer)
		if err != nil {
			return out, err
		}
		out.Answer = labs.Decimal(right)
	}
	_, err = v.cp.changeRun(run, func(r *labRun) error {
		p := r.Tasks[t.Name]
		p.Solved = p.Solved || p.DoneAt == nil
		r.Tasks[t.Name] = p
		return nil
	})
	return out, err
}
