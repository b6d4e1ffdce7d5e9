package controlplane

import (
	"maps"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/controlplane/billing"
	"nuage/storage"
)

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

// settleRuns opens and closes runs so that the open ones are what is metered now. All times of a pass are mapped to
// billing time by one state of its clock, so that the end of a run and the start of the next are one instant.
func (cp *ControlPlane) settleRuns(w *world) []write {
	wanted, clock := w.metered(), cp.clock.State()
	var writes []write
	for key, r := range w.runs {
		n, ok := wanted[key]
		if ok && n.Real.Equal(r.Real) && n.Meter == r.Meter || w.damaged[r.ResourceID] {
			continue
		}
		end := w.runEnd(r, n, ok, clock)
		writes = append(writes, func(tx *storage.Tx) error { return endRun(tx, r, end) })
	}
	for key, n := range wanted {
		r, ok := w.runs[key]
		switch {
		case w.lostRuns[key] || w.damaged[n.ResourceID]:
			continue
		case !ok || !n.Real.Equal(r.Real) || n.Meter != r.Meter:
			n.Run, n.Seen, n.Start = cp.NewID("run"), w.at, clock.At(n.Real)
			if ok && n.Real.Equal(r.Real) { // the meter changed while it ran
				n.Start = clock.At(w.at)
			}
			writes = append(writes, func(tx *storage.Tx) error { return runTable.Put(tx, n) })
		case w.at.Sub(r.Seen) >= seenEvery:
			writes = append(writes, func(tx *storage.Tx) error { return seeRun(tx, r, w.at) })
		}
	}
	return writes
}

// seeRun notes that a run goes on, unless it has ended since it was read.
func seeRun(tx *storage.Tx, r run, at time.Time) error {
	now, err := runTable.Get(tx, r.Key)
	if err != nil || now.Run != r.Run {
		return ignoreGone(err)
	}
	now.Seen = at
	return runTable.Put(tx, now)
}

// runEnd is when a run ended, in billing time: when its container stopped, or else when it was seen last. next is the
// run that follows it, where one does.
func (w *world) runEnd(r, next run, follows bool, clock billing.ClockState) time.Time {
	o, there := w.observed[r.Key]
	end := clock.At(r.Seen)
	switch owner, known := w.by.owners[r.ResourceID]; {
	case follows && next.Real.Equal(r.Real):
		return clock.At(w.at)
	case r.Bytes > 0 && known && owner.meta.DeletedAt != nil:
		end = clock.At(*owner.meta.DeletedAt)
	case r.Bytes > 0:
		end = clock.At(w.at)
	case there && o.FinishedAt.After(r.Real):
		end = clock.At(o.FinishedAt)
	case !there && w.at.Sub(r.Seen) < 2*seenEvery:
		end = clock.At(w.at)
	}
	if start := clock.At(next.Real); follows && start.Before(end) {
		return start
	}
	return end
}

// endRun turns a run into usage. The run goes first: where it can't, nothing is written.
func endRun(tx *storage.Tx, r run, end time.Time) error {
	u, err := r.usage(end)
	if err != nil {
		return err
	}
	if err := runTable.Delete(tx, r.Key); err != nil {
		return ignoreGone(err)
	}
	_, err = usageLog.Append(tx, u)
	return err
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
