package controlplane

import (
	"context"
	"errors"
	"slices"
	"time"

	"nuage/api"
	"nuage/controlplane/labs"
	"nuage/storage"
)

// labTick is how often the runs of labs are looked after: a downtime of that length is seen.
const labTick = time.Second

// keepLabs looks after the runs until ctx ends: it watches their invariants, stops and starts machines for pauses, and clears what
// is reset. Everything it does is found in the store again after a kill.
func (cp *ControlPlane) keepLabs(ctx context.Context) {
	ctx = api.WithActor(ctx, platform("labs"))
	tick := time.NewTicker(labTick)
	defer tick.Stop()
	for {
		due := cp.labsDue.next()
		runs, err := cp.labRuns()
		if err != nil {
			cp.log.Error("cannot read the runs of labs", "error", err)
		}
		for _, run := range runs {
			if err := cp.keepLab(ctx, run); err != nil && ctx.Err() == nil && !errors.Is(err, api.Conflict) {
				cp.log.Warn("a lab is not as it should be", "lab", run.Lab, "user", run.User, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-due:
		}
	}
}

func (cp *ControlPlane) keepLab(ctx context.Context, run labRun) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	switch run.Phase {
	case api.LabRunning:
		if len(run.Resting) > 0 {
			return cp.wakeMachines(ctx, run)
		}
		l, err := cp.labOf(run)
		if err != nil {
			return nil //nolint:nilerr // its file is gone: nothing to watch
		}
		broken, err := cp.brokenIn(ctx, run, l)
		if err == nil && broken != "" {
			_, err = cp.failRun(run, broken)
		}
		return err
	case api.LabPaused:
		return cp.restMachines(ctx, run)
	case api.LabClearing:
		return cp.clearLab(ctx, run)
	}
	return nil
}

// brokenIn tells which invariant of the lab, or of a task that is open, is broken; "": none.
func (cp *ControlPlane) brokenIn(ctx context.Context, run labRun, l labs.Lab) (string, error) {
	fail := slices.Clone(l.Fail)
	for _, t := range l.Tasks {
		if run.state(t) == api.TaskOpen {
			fail = append(fail, t.Fail...)
		}
	}
	if len(fail) == 0 {
		return "", nil
	}
	return cp.examiner(run, nil).Broken(api.WithActor(ctx, platform("labs")), fail)
}

// failRun ends a run whose invariant is broken.
func (cp *ControlPlane) failRun(run labRun, why string) (labRun, error) {
	return cp.changeRun(run, func(r *labRun) error {
		if r.Phase != api.LabRunning {
			return nil
		}
		now := cp.Now().UTC()
		r.Phase, r.Reason, r.EndedAt = api.LabFailed, why, &now
		return nil
	})
}

// runningInstances are the names of those that are not stopped.
func (cp *ControlPlane) runningInstances(ctx context.Context, project string) ([]string, error) {
	list, err := cp.instances().List(ctx, project, api.Page{Limit: 1000})
	var names []string
	for _, i := range list.Items {
		if !i.Spec.Stopped && i.DeletedAt == nil {
			names = append(names, i.Name)
		}
	}
	return names, err
}

// restMachines stops the machines of a paused run.
func (cp *ControlPlane) restMachines(ctx context.Context, run labRun) error {
	var err error
	for _, name := range run.Resting {
		err = errors.Join(err, cp.power(ctx, run.Project, name, false))
	}
	return err
}

// wakeMachines starts those again that a pause stopped.
func (cp *ControlPlane) wakeMachines(ctx context.Context, run labRun) error {
	for _, name := range run.Resting {
		if err := cp.power(ctx, run.Project, name, true); err != nil {
			return err
		}
	}
	_, err := cp.changeRun(run, func(r *labRun) error { r.Resting = nil; return nil })
	return err
}

// power asks for an instance to be on or off; one that is gone is not missed.
func (cp *ControlPlane) power(ctx context.Context, project, name string, on bool) error {
	i, err := cp.instances().Get(ctx, project, name)
	if err != nil || i.DeletedAt != nil || i.Spec.Stopped == !on {
		return ignoreGone(err)
	}
	i.Spec.Stopped = !on
	_, err = cp.instances().Update(ctx, project, name, i.Spec, i.Generation)
	return ignoreGone(err)
}

// clearLab deletes what a run made, in as many passes as that takes, then its project and the run.
func (cp *ControlPlane) clearLab(ctx context.Context, run labRun) error {
	p, err := cp.Cloud().Projects.Get(ctx, run.Project)
	if err == nil && p.ID == run.ProjectID {
		left, inTheWay := cp.emptyLab(ctx, run.Project)
		if left > 0 {
			return cp.sayInTheWay(run, inTheWay)
		}
		err = cp.Cloud().Projects.Delete(ctx, run.Project)
	}
	if err := ignoreGone(err); err != nil {
		return errors.Join(err, cp.sayInTheWay(run, err))
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		now, err := labRunTable.Get(tx, run.Key)
		if err != nil || now.Project != run.Project {
			return ignoreGone(err)
		}
		return labRunTable.Delete(tx, run.Key)
	})
}

// sayInTheWay notes why a run is not cleared yet.
func (cp *ControlPlane) sayInTheWay(run labRun, why error) error {
	text := ""
	if why != nil {
		text = why.Error()
	}
	if text == run.Reason {
		return nil
	}
	_, err := cp.changeRun(run, func(r *labRun) error { r.Reason = text; return nil })
	return err
}

// emptyLab asks for the deletion of all that is in a project, and answers how much is still there and what refused to go. What is in use
// goes in a later pass.
func (cp *ControlPlane) emptyLab(ctx context.Context, project string) (left int, inTheWay error) {
	c := cp.Cloud()
	for _, empty := range []func() (int, error){
		func() (int, error) { return deleteAll(ctx, c.Triggers, project) },
		func() (int, error) { return deleteAll(ctx, c.LoadBalancers, project) },
		func() (int, error) { return deleteAll(ctx, c.InstanceGroups, project) },
		func() (int, error) { return deleteAll(ctx, c.Instances, project) },
		func() (int, error) { return deleteAll(ctx, c.Apps, project) },
		func() (int, error) { return deleteAll(ctx, c.Functions, project) },
		func() (int, error) { return deleteAll(ctx, c.Topics, project) },
		func() (int, error) { return deleteAll(ctx, c.Queues, project) },
		func() (int, error) { return deleteAll(ctx, c.Databases, project) },
		func() (int, error) { return deleteAll(ctx, c.Backups, project) },
		func() (int, error) { return deleteAll(ctx, c.AuthPools, project) },
		func() (int, error) { return deleteAll(ctx, c.Snapshots, project) },
		func() (int, error) { return deleteAll(ctx, c.Volumes, project) },
		func() (int, error) { return deleteAll(ctx, cp.images(), project) },
	} {
		n, err := empty()
		left += n
		inTheWay = errors.Join(inTheWay, err)
	}
	return left, inTheWay
}

// deleteAll asks for the deletion of all things of a noun, and answers how many there are still.
func deleteAll[T, S any](ctx context.Context, r api.Resource[T, S], project string) (left int, err error) {
	list, err := r.List(ctx, project, api.Page{Limit: 1000})
	if err != nil {
		return 1, err
	}
	for i := range list.Items {
		m := head(&list.Items[i])
		if m.DeletedAt == nil {
			err = errors.Join(err, ignoreGone(r.Delete(ctx, project, m.Name, 0)))
		}
	}
	if len(list.Items) == 0 {
		return 0, err
	}
	list, again := r.List(ctx, project, api.Page{Limit: 1000})
	return len(list.Items), errors.Join(err, again)
}
