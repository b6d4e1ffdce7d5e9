package controlplane

import (
	"maps"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// addressSuffix makes the key of an address' run from its instance's id.
const addressSuffix = "/address"

// metered is what is billed by time now and how, by the key of its run. Real is when it began, in real time.
func (w *world) metered() map[string]run {
	out := map[string]run{}
	enter := func(r run) { out[r.Key] = r }
	for _, i := range w.instances {
		w.meterInstance(i, enter)
	}
	for _, d := range w.databases {
		w.meterDatabase(d, enter)
	}
	for _, a := range w.apps {
		w.meterApp(a, enter)
	}
	w.meterRecords(enter)
	return out
}

// running is since when a workload runs.
func (w *world) running(id string) (since time.Time, ok bool) {
	o, there := w.observed[id]
	return o.StartedAt, there && o.State == compute.StateRunning && !o.StartedAt.IsZero()
}

// meterInstance meters a machine while it runs, and its public address with it.
func (w *world) meterInstance(i api.Instance, enter func(run)) {
	at, ok := w.running(i.ID)
	if !ok {
		return
	}
	r := run{Key: i.ID, Project: i.Project, Service: "instances", Resource: i.Name, ResourceID: i.ID, Meter: billing.InstanceHours(i.Spec.Type), Real: at, Tags: i.Spec.Tags}
	if i.Spec.Spot {
		r.Meter = billing.SpotHours(i.Spec.Type)
	}
	enter(r)
	if !i.Spec.Private {
		r.Key, r.Service, r.Meter = i.ID+addressSuffix, "networks", billing.PublicAddressHours
		enter(r)
	}
}

// meterDatabase meters a server while it runs, and its disk as long as it is there.
func (w *world) meterDatabase(d api.Database, enter func(run)) {
	r := run{Key: d.ID, Project: d.Project, Service: databaseService, Resource: d.Name, ResourceID: d.ID, Meter: billing.DatabaseHours(d.Spec.Size)}
	if at, ok := w.running(d.ID); ok {
		r.Real = at
		enter(r)
	}
	if a := w.archives[d.ID]; a.Bytes > 0 && d.DeletedAt == nil {
		enter(run{Key: d.ID + archiveSuffix, Project: d.Project, Service: databaseService, Resource: d.Name, ResourceID: d.ID, Meter: billing.BackupStorage, Real: a.Since, Bytes: a.Bytes})
	}
	if volume := w.servers[d.ID].Volume; volume != "" && d.DeletedAt == nil {
		r.Key, r.Meter, r.Real, r.Bytes = volume, billing.DatabaseStorage, d.CreatedAt, d.Spec.StorageBytes
		enter(r)
	}
}

// meterApp meters each replica while it runs, by the size of its release.
func (w *world) meterApp(a api.App, enter func(run)) {
	for _, o := range w.by.observed[a.ID] {
		at, ok := w.running(o.ID)
		if r, known := w.releases[releaseKey(a.ID, releaseOf(a.ID, o.ID))]; ok && known {
			enter(run{Key: o.ID, Project: a.Project, Service: "apps", Resource: a.Name, ResourceID: a.ID, Meter: billing.AppHours(r.Spec.Size), Real: at})
		}
	}
}

// meterRecords meters what costs as long as it exists: volumes by the size declared, snapshots and images by the size
// measured, backups by what is stored, load balancers by time alone. What is being deleted costs nothing any more.
func (w *world) meterRecords(enter func(run)) {
	record := func(m api.Meta, service, meter string, bytes int64) {
		if m.DeletedAt == nil {
			enter(run{Key: m.ID, Project: m.Project, Service: service, Resource: m.Name, ResourceID: m.ID, Meter: meter, Real: m.CreatedAt, Bytes: bytes})
		}
	}
	for _, v := range w.volumes {
		if v.Spec.SizeBytes > 0 {
			record(v.Meta, "volumes", billing.VolumeStorage, v.Spec.SizeBytes)
		}
	}
	for _, s := range w.snapshots {
		if s.Status.SizeBytes > 0 {
			record(s.Meta, "snapshots", billing.SnapshotStorage, s.Status.SizeBytes)
		}
	}
	for _, i := range w.images {
		if i.Status.SizeBytes > 0 && !i.Status.Catalog {
			record(i.Meta, "images", billing.ImageStorage, i.Status.SizeBytes)
		}
	}
	for _, b := range w.backups {
		if b.Status.SizeBytes > 0 && w.dumps[b.ID].Failed == "" {
			record(b.Meta, databaseService, billing.BackupStorage, b.Status.SizeBytes)
		}
	}
	for _, b := range w.balancers {
		record(b.Meta, "load-balancers", billing.LoadBalancerHours, 0)
	}
}

// deletions says since when nouns that cost as long as they exist are being deleted, by id.
func (w *world) deletions() map[string]time.Time {
	out := map[string]time.Time{}
	note := func(m api.Meta) {
		if m.DeletedAt != nil {
			out[m.ID] = *m.DeletedAt
		}
	}
	for _, d := range w.databases {
		note(d.Meta)
	}
	for _, v := range w.volumes {
		note(v.Meta)
	}
	for _, s := range w.snapshots {
		note(s.Meta)
	}
	for _, i := range w.images {
		note(i.Meta)
	}
	for _, b := range w.backups {
		note(b.Meta)
	}
	for _, b := range w.balancers {
		note(b.Meta)
	}
	return out
}

// seenEvery is how exactly the end of a run is known where its container vanished while nobody looked.
const seenEvery = 10 * time.Second

// settleRuns opens and closes runs so that the open ones are what is metered now. All times of a pass are mapped to
// billing time by one state of its clock, so that the end of a run and the start of the next are one instant.
func (cp *ControlPlane) settleRuns(w *world) []write {
	wanted, deleted, clock := w.metered(), w.deletions(), cp.clock.State()
	var writes []write
	for key, r := range w.runs {
		n, ok := wanted[key]
		if ok && n.goesOn(r) || w.damaged[r.ResourceID] {
			continue
		}
		end := w.runEnd(r, n, ok, deleted, clock)
		writes = append(writes, func(tx *storage.Tx) error { return endRun(tx, r, end) })
	}
	for key, n := range wanted {
		r, ok := w.runs[key]
		switch {
		case w.lostRuns[key] || w.damaged[n.ResourceID]:
			continue
		case !ok || !n.goesOn(r):
			n.Run, n.Seen, n.Start = cp.NewID("run"), w.at, clock.At(w.runStart(n))
			writes = append(writes, func(tx *storage.Tx) error { return runTable.Put(tx, n) })
		case w.at.Sub(r.Seen) >= seenEvery:
			writes = append(writes, func(tx *storage.Tx) error { return seeRun(tx, r, w.at) })
		}
	}
	return writes
}

// goesOn tells that what is metered now is a run that is open already.
func (r run) goesOn(open run) bool {
	return r.Real.Equal(open.Real) && r.Meter == open.Meter && r.Bytes == open.Bytes
}

// workload is the container that a run is about, if it is about one.
func (r run) workload() string { return strings.TrimSuffix(r.Key, addressSuffix) }

// ofRecord tells that a run lasts as long as a noun exists, and not as long as a container runs.
func (r run) ofRecord() bool {
	m, known := billing.MeterOf(r.Meter)
	return known && !m.PerRun
}

// runStart is when a run began, in real time: with its container or its noun, or now where that was metered otherwise
// until now.
func (w *world) runStart(n run) time.Time {
	for _, key := range []string{n.Key, n.workload()} {
		if r, open := w.runs[key]; open && r.Real.Equal(n.Real) {
			return w.at
		}
	}
	return n.Real
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

// runEnd is when a run ended, in billing time: when its container stopped or its noun's deletion was asked for, or else
// when it was seen last. next is the run that follows it, where one does.
func (w *world) runEnd(r, next run, follows bool, deleted map[string]time.Time, clock billing.ClockState) time.Time {
	o, there := w.observed[r.workload()]
	asked, leaving := deleted[r.ResourceID]
	end := clock.At(r.Seen)
	switch {
	case follows && next.Real.Equal(r.Real):
		return clock.At(w.at)
	case r.ofRecord() && leaving:
		end = clock.At(asked)
	case !r.ofRecord() && there && o.State == compute.StateRunning && o.StartedAt.Equal(r.Real): // only its metering ended
		end = clock.At(w.at)
	case !r.ofRecord() && there && o.FinishedAt.After(r.Real):
		end = clock.At(o.FinishedAt)
	case (r.ofRecord() || !there) && w.at.Sub(r.Seen) < 2*seenEvery:
		end = clock.At(w.at)
	}
	if start := clock.At(next.Real); follows && start.Before(end) {
		return start
	}
	return end
}

// endRunOf ends the run of a noun whose record goes, in the transaction in which it goes.
func (cp *ControlPlane) endRunOf(tx *storage.Tx, id string) error {
	r, err := runTable.Get(tx, id)
	if err != nil || !r.ofRecord() {
		return ignoreGone(err)
	}
	return endRun(tx, r, cp.billingNow())
}

// endRun turns a run into usage. The run goes first: where it can't, nothing is written. One that has ended since it was
// read has its usage already.
func endRun(tx *storage.Tx, r run, end time.Time) error {
	u, err := r.usage(end)
	if err != nil {
		return err
	}
	now, err := runTable.Get(tx, r.Key)
	if err != nil || now.Run != r.Run {
		return ignoreGone(err)
	}
	if err := runTable.Delete(tx, r.Key); err != nil {
		return err
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
