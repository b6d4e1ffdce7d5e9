package controlplane

import (
	"errors"
	"maps"
	"reflect"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// settle writes down what a pass has found: statuses that changed, deletions that are complete, runs that began or ended.
func (cp *ControlPlane) settle(w *world) error {
	errs := []error{cp.adopt(w), cp.settleRuns(w)}
	for _, i := range w.instances {
		if _, there := w.observed[i.ID]; i.DeletedAt != nil && !there && !cp.loop.busy(i.ID) {
			errs = append(errs, cp.dropInstance(i))
			continue
		}
		found := w.instanceStatus(i)
		errs = append(errs, writeStatus(cp, instanceTable, i, &found.Status, !reflect.DeepEqual(i.Status, found), func(now *api.Instance) { now.Status = found }))
	}
	for _, d := range w.databases {
		found := w.databaseStatus(d)
		errs = append(errs, writeStatus(cp, databaseTable, d, &found.Status, !reflect.DeepEqual(d.Status, found), func(now *api.Database) { now.Status = found }))
	}
	for _, a := range w.apps {
		if a.DeletedAt != nil && w.appGone(a) {
			errs = append(errs, cp.dropApp(w, a))
			continue
		}
		found := w.appStatus(a)
		errs = append(errs, writeStatus(cp, appTable, a, &found.Status, !reflect.DeepEqual(a.Status, found), func(now *api.App) { now.Status = found }))
	}
	return errors.Join(errs...)
}

// writeStatus stores a status that says something else than before, unless the noun changed since it was read: the
// next pass looks again.
func writeStatus[T any](cp *ControlPlane, table *storage.Table[T], read T, found *api.Status, changed bool, put func(*T)) error {
	if !changed {
		return nil
	}
	now := cp.Now().UTC()
	found.ObservedAt = &now
	return cp.Store.Update(func(tx *storage.Tx) error {
		stored, err := table.Get(tx, head(&read).ID)
		if err != nil || !same(stored, read) {
			return ignoreGone(err)
		}
		put(&stored)
		return table.Put(tx, stored)
	})
}

// dropInstance forgets an instance whose container is gone.
func (cp *ControlPlane) dropInstance(i api.Instance) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		for _, err := range []error{instanceTable.Delete(tx, i.ID), machineTable.Delete(tx, i.ID), trackTable.Delete(tx, i.ID), cursorTable.Delete(tx, i.ID)} {
			if ignoreGone(err) != nil {
				return err
			}
		}
		return cp.record(tx, platform("loop"), "instance", &i.Meta, "removed", "its container and root disk are gone")
	})
}

// appGone tells that no replica is left.
func (w *world) appGone(a api.App) bool {
	return len(w.by.observed[a.ID]) == 0
}

// dropApp forgets an app without replicas, its releases and tracks. Its images are removed by removeImages.
func (cp *ControlPlane) dropApp(w *world, a api.App) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		for _, r := range w.by.releases[a.ID] {
			if err := ignoreGone(releaseTable.Delete(tx, releaseKey(a.ID, r.Number))); err != nil {
				return err
			}
		}
		for _, t := range w.by.tracks[a.ID] {
			if err := ignoreGone(trackTable.Delete(tx, t.ID)); err != nil {
				return err
			}
		}
		for _, err := range []error{drainTable.Delete(tx, a.ID), appTable.Delete(tx, a.ID)} {
			if ignoreGone(err) != nil {
				return err
			}
		}
		return cp.record(tx, platform("loop"), "app", &a.Meta, "removed", "its replicas are gone")
	})
}

// metered is what runs now and how it is metered. real is when it began, in real time.
func (w *world) metered() map[string]run {
	out := map[string]run{}
	running := func(id string) (time.Time, bool) {
		o, there := w.observed[id]
		return o.StartedAt, there && o.State == compute.StateRunning && !o.StartedAt.IsZero()
	}
	for _, i := range w.instances {
		if at, ok := running(i.ID); ok {
			out[i.ID] = run{Key: i.ID, Project: i.Project, Service: "instances", Resource: i.Name, ResourceID: i.ID, Meter: billing.InstanceHours(i.Spec.Type), Real: at, Tags: i.Spec.Tags}
		}
	}
	for _, d := range w.databases {
		if at, ok := running(d.ID); ok {
			out[d.ID] = run{Key: d.ID, Project: d.Project, Service: databaseService, Resource: d.Name, ResourceID: d.ID, Meter: billing.DatabaseHours(d.Spec.Size), Real: at}
		}
		if volume := w.servers[d.ID].Volume; volume != "" && d.DeletedAt == nil {
			out[volume] = run{Key: volume, Project: d.Project, Service: databaseService, Resource: d.Name, ResourceID: d.ID, Meter: billing.DatabaseStorage, Real: d.CreatedAt, Bytes: d.Spec.StorageBytes}
		}
	}
	for _, a := range w.apps {
		for _, o := range w.by.observed[a.ID] {
			at, ok := running(o.ID)
			if r, known := w.releases[releaseKey(a.ID, releaseOf(a.ID, o.ID))]; ok && known {
				out[o.ID] = run{Key: o.ID, Project: a.Project, Service: "apps", Resource: a.Name, ResourceID: a.ID, Meter: billing.AppHours(r.Spec.Size), Real: at}
			}
		}
	}
	return out
}

// seenEvery is how exactly the end of a run is known where its container vanished while nobody looked.
const seenEvery = 10 * time.Second

// settleRuns opens and closes runs so that the open ones are what is metered now, in one commit.
func (cp *ControlPlane) settleRuns(w *world) error {
	now := cp.Now()
	wanted := w.metered()
	var ended, begun []run
	for key, r := range w.runs {
		if n, ok := wanted[key]; !ok || !n.Real.Equal(r.Real) || n.Meter != r.Meter {
			ended = append(ended, r)
		}
	}
	for key, n := range wanted {
		r, ok := w.runs[key]
		switch {
		case !ok || !n.Real.Equal(r.Real) || n.Meter != r.Meter:
			n.Run, n.Seen, n.Start = cp.NewID("run"), now, cp.clock.State().At(n.Real)
			if ok && n.Real.Equal(r.Real) { // the meter changed while it ran
				n.Start = cp.clock.Now(now)
			}
			begun = append(begun, n)
		case now.Sub(r.Seen) >= seenEvery:
			r.Seen = now
			begun = append(begun, r)
		}
	}
	if len(ended)+len(begun) == 0 {
		return nil
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		for _, r := range ended {
			if err := cp.endRun(tx, r, cp.runEnd(w, r, wanted, now)); err != nil {
				return err
			}
		}
		for _, r := range begun {
			if err := runTable.Put(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// runEnd is when a run ended, in billing time: when its container stopped, or else when it was seen last.
func (cp *ControlPlane) runEnd(w *world, r run, wanted map[string]run, now time.Time) time.Time {
	o, there := w.observed[r.Key]
	n, goesOn := wanted[r.Key]
	switch {
	case goesOn && n.Real.Equal(r.Real):
		return cp.clock.Now(now)
	case r.Bytes > 0 && !goesOn:
		return cp.clock.Now(now)
	case there && o.State != compute.StateRunning && o.FinishedAt.After(r.Real):
		return cp.clock.State().At(o.FinishedAt)
	case !there && now.Sub(r.Seen) < 2*seenEvery:
		return cp.clock.Now(now)
	}
	return cp.clock.State().At(r.Seen)
}

// endRun turns a run into usage.
func (cp *ControlPlane) endRun(tx *storage.Tx, r run, end time.Time) error {
	u, err := r.usage(end)
	if err != nil {
		return err
	}
	if _, err := usageLog.Append(tx, u); err != nil {
		return err
	}
	return runTable.Delete(tx, r.Key)
}

// usage is what a run has used until end, in billing time.
func (r run) usage(end time.Time) (api.Usage, error) {
	if end.Before(r.Start) {
		end = r.Start
	}
	u := api.Usage{ID: r.Run, Run: r.Run, Project: r.Project, Service: r.Service, Resource: r.Resource, ResourceID: r.ResourceID,
		Meter: r.Meter, Quantity: billing.Millis(r.Start, end), Start: r.Start, End: end, Tags: maps.Clone(r.Tags)}
	if r.Bytes > 0 {
		q, err := billing.MiBMillis(r.Bytes, r.Start, end)
		if err != nil {
			return u, err
		}
		u.Quantity = q
	}
	return u, billing.CheckUsage(u)
}
