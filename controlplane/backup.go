package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

func (cp *ControlPlane) backups() resource[api.Backup, api.BackupSpec] {
	return resource[api.Backup, api.BackupSpec]{
		cp: cp, noun: "backup", prefix: "bak", table: backupTable,
		status: func(b *api.Backup) *api.Status { return &b.Status.Status },
		spec:   func(b *api.Backup) *api.BackupSpec { return &b.Spec },
		check:  cp.checkBackup,
		admit:  cp.admitBackup,
		retire: retireBackup,
		verb:   func(_, next *api.Backup) (string, string) { return "create", "of database " + next.Spec.Database },
	}
}

func (cp *ControlPlane) checkBackup(_ context.Context, old, next *api.Backup) error {
	if old != nil {
		return api.Errorf(api.Unsupported, "cannot change backup %q: it is what its database was; make another one", next.Name)
	}
	if next.Spec.Database == "" {
		return api.Errorf(api.Invalid, "cannot make backup %q: name the database", next.Name)
	}
	return nil
}

func (cp *ControlPlane) admitBackup(tx *storage.Tx, _ api.Actor, _, next *api.Backup) error {
	d, err := databaseTable.GetBy(tx, "name", next.Project+"/"+next.Spec.Database)
	switch {
	case errors.Is(err, api.NotFound):
		return api.Errorf(api.NotFound, "cannot make backup %q: project %q has no database %q", next.Name, next.Project, next.Spec.Database)
	case err != nil:
		return err
	case d.DeletedAt != nil || d.Status.Phase != api.Running:
		return api.Errorf(api.Conflict, "cannot back up database %q: it is %s (%s)", d.Name, d.Status.Phase, d.Status.Reason)
	}
	next.Status.DatabaseID, next.Status.Engine, next.Status.Trigger = d.ID, d.Spec.Engine, api.BackupManual
	return dumpTable.Insert(tx, dump{ID: next.ID, Project: next.Project})
}

// retireBackup refuses to delete what a database is being made from.
func retireBackup(tx *storage.Tx, b *api.Backup) (bool, error) {
	return false, databaseTable.EachBy(tx, "name", b.Project+"/", func(d api.Database) error {
		s, err := serverTable.Get(tx, d.ID)
		if err == nil && s.From == b.ID && !s.Filled && d.DeletedAt == nil {
			return api.Errorf(api.Conflict, "cannot delete backup %q: database %q is being made from it", b.Name, d.Name)
		}
		return nil
	})
}

// addBackup stores a backup that the platform makes of its own accord.
func (cp *ControlPlane) addBackup(tx *storage.Tx, by api.Actor, d api.Database, trigger string) (api.Backup, error) {
	now := cp.Now().UTC()
	b := api.Backup{Meta: api.Meta{ID: cp.NewID("bak"), Project: d.Project, Generation: 1, CreatedAt: now}, Spec: api.BackupSpec{Database: d.Name},
		Status: api.BackupStatus{Status: api.Status{Phase: api.Pending, Reason: "accepted"}, DatabaseID: d.ID, Engine: d.Spec.Engine, Trigger: trigger}}
	for at := now; ; at = at.Add(time.Second) {
		b.Name = api.BackupName(d.Name, at)
		if _, err := backupTable.GetBy(tx, "name", b.Project+"/"+b.Name); errors.Is(err, api.NotFound) {
			break
		} else if err != nil {
			return b, err
		}
	}
	if err := errors.Join(backupTable.Insert(tx, b), dumpTable.Insert(tx, dump{ID: b.ID, Project: b.Project})); err != nil {
		return b, err
	}
	return b, cp.record(tx, by, "backup", &b.Meta, "create", "of database "+d.Name+", "+map[string]string{
		api.BackupSchedule: "on schedule", api.BackupDeletion: "the last one before its deletion"}[trigger])
}

// checkSchedule fills in how many scheduled backups stay.
func checkSchedule(next *api.Database) error {
	s := &next.Spec
	switch {
	case s.BackupSeconds == 0 && s.Keep != 0:
		return api.Errorf(api.Invalid, "cannot keep %d backups of database %q: say how often it is backed up", s.Keep, next.Name)
	case s.BackupSeconds != 0 && (s.BackupSeconds < 60 || s.BackupSeconds > 31*24*3600):
		return api.Errorf(api.Invalid, "cannot back database %q up every %d s: 60 s to 31 days is possible", next.Name, s.BackupSeconds)
	case s.Keep < 0 || s.Keep > 100:
		return api.Errorf(api.Invalid, "cannot keep %d backups of database %q: 1 to 100 are possible", s.Keep, next.Name)
	}
	if s.BackupSeconds != 0 && s.Keep == 0 {
		s.Keep = defaultKeep
	}
	return nil
}

func scheduleText(s api.DatabaseSpec) string {
	if s.BackupSeconds == 0 {
		return "no scheduled backups"
	}
	return fmt.Sprintf("a backup every %s, the newest %d stay", time.Duration(s.BackupSeconds)*time.Second, s.Keep)
}

// findRestore makes the origin of a new database definite: one backup, of which the engine is. NotFound, Invalid, Conflict.
func (cp *ControlPlane) findRestore(next *api.Database) error {
	from := *next.Spec.Restore // what the caller gave stays as it is
	next.Spec.Restore = &from
	if (from.Backup == "") == (from.Database == "") {
		return api.Errorf(api.Invalid, "cannot restore database %q: name either a backup or a database", next.Name)
	}
	return cp.Store.View(func(tx *storage.Tx) error {
		if from.Time != nil && from.Backup != "" {
			return api.Errorf(api.Invalid, "cannot restore database %q: name a time of a database, or a backup", next.Name)
		}
		if from.Time != nil {
			_, err := cp.findMoment(tx, next, from)
			return err
		}
		b, err := cp.findBackup(tx, next, from)
		if err != nil {
			return err
		}
		next.Spec.Restore.Backup, next.Spec.Engine = b.Name, orElse(next.Spec.Engine, b.Status.Engine)
		return cp.restorable(next, b)
	})
}

func (cp *ControlPlane) findBackup(tx *storage.Tx, next *api.Database, from api.Restore) (api.Backup, error) {
	if from.Backup != "" {
		b, err := backupTable.GetBy(tx, "name", next.Project+"/"+from.Backup)
		if errors.Is(err, api.NotFound) {
			err = api.Errorf(api.NotFound, "cannot restore database %q: project %q has no backup %q", next.Name, next.Project, from.Backup)
		}
		return b, err
	}
	var newest api.Backup
	err := backupTable.EachBy(tx, "name", next.Project+"/", func(b api.Backup) error {
		if b.Spec.Database == from.Database && cp.restorable(next, b) == nil && !b.CreatedAt.Before(newest.CreatedAt) {
			newest = b
		}
		return nil
	})
	if err == nil && newest.ID == "" {
		err = api.Errorf(api.NotFound, "cannot restore database %q: there is no verified backup of database %q; see nuage database backups %s", next.Name, from.Database, from.Database)
	}
	return newest, err
}

// restorable answers nil where a database may begin with a backup. Conflict, Invalid.
func (cp *ControlPlane) restorable(next *api.Database, b api.Backup) error {
	switch {
	case b.DeletedAt != nil:
		return api.Errorf(api.Conflict, "cannot restore database %q: backup %q is being deleted", next.Name, b.Name)
	case b.Status.Phase != api.Running:
		return api.Errorf(api.Conflict, "cannot restore database %q: backup %q is %s (%s)", next.Name, b.Name, b.Status.Phase, b.Status.Reason)
	case next.Spec.Engine != "" && next.Spec.Engine != b.Status.Engine:
		return api.Errorf(api.Invalid, "cannot restore database %q with engine %s: backup %q is of %s", next.Name, next.Spec.Engine, b.Name, b.Status.Engine)
	}
	return nil
}

// admitRestore returns the id of the backup that a new database begins with.
func admitRestore(tx *storage.Tx, next *api.Database) (string, error) {
	b, err := backupTable.GetBy(tx, "name", next.Project+"/"+next.Spec.Restore.Backup)
	if err != nil || b.DeletedAt != nil {
		return "", api.Errorf(api.Conflict, "cannot restore database %q: backup %q was deleted a moment ago", next.Name, next.Spec.Restore.Backup)
	}
	return b.ID, nil
}

// restoreSuffix makes the key of a restore's step from its database's id.
const restoreSuffix = "/restore"

// filling tells that a database does not hold yet what it begins with. The simulator's hold nothing.
func (w *world) filling(d api.Database) bool {
	s := w.servers[d.ID]
	return w.real && (s.From != "" || s.Source != "") && !s.Filled
}

// lastBackup is the one that a deleted database is kept for.
func (w *world) lastBackup(d api.Database) (api.Backup, bool) {
	for _, b := range w.by.backups[d.ID] {
		if d.DeletedAt != nil && b.Status.Trigger == api.BackupDeletion && b.DeletedAt == nil && !b.Status.Verified {
			return b, true
		}
	}
	return api.Backup{}, false
}

func (w *world) backingUp(d api.Database) bool {
	_, ok := w.lastBackup(d)
	return ok
}

func (w *world) leavingReason(d api.Database) string {
	if b, ok := w.lastBackup(d); ok {
		return "making its last backup " + b.Name + "; " + b.Status.Reason
	}
	return "removing the server and its data"
}

// tendBackups makes and removes backups, fills databases that begin with one, and keeps to the schedules.
func (cp *ControlPlane) tendBackups(ctx context.Context, w *world) {
	for _, b := range w.backups {
		switch {
		case w.damaged[b.ID]:
		case b.DeletedAt != nil:
			cp.loop.dispatch(ctx, b.ID, time.Minute, func(context.Context) error { return cp.dropBackup(b) })
		case w.real && !b.Status.Verified && w.dumps[b.ID].Failed == "":
			cp.loop.dispatch(ctx, b.ID, backupTimeout, func(ctx context.Context) error { return cp.makeBackup(ctx, w, b) })
		}
	}
	for _, d := range w.databases {
		if w.damaged[d.ID] || d.DeletedAt != nil || !w.real || !w.health[d.ID].ok {
			continue
		}
		if s := w.servers[d.ID]; w.filling(d) && s.Source != "" {
			if !w.archives[s.Source].Until.Before(s.Moment) {
				cp.loop.dispatch(ctx, d.ID+restoreSuffix, backupTimeout, func(ctx context.Context) error { return cp.fillMoment(ctx, w, d) })
			}
			continue
		}
		if w.filling(d) {
			cp.loop.dispatch(ctx, d.ID+restoreSuffix, backupTimeout, func(ctx context.Context) error { return cp.fill(ctx, w, d) })
			continue
		}
		cp.keepSchedule(ctx, w, d)
	}
}

// keepSchedule has a backup made when one is due, and removes those that are more than shall stay.
func (cp *ControlPlane) keepSchedule(ctx context.Context, w *world, d api.Database) {
	if d.Spec.BackupSeconds == 0 {
		return
	}
	last, old := w.scheduled(d)
	due := last.Add(time.Duration(d.Spec.BackupSeconds) * time.Second)
	if len(old) == 0 && cp.Now().Before(due) {
		cp.loop.dueAt(due)
		return
	}
	cp.loop.dispatch(ctx, d.ID+"/schedule", time.Minute, func(context.Context) error {
		return cp.Store.Update(func(tx *storage.Tx) error {
			for _, b := range old {
				if err := cp.retireOld(tx, b.ID); err != nil {
					return err
				}
			}
			if cp.Now().Before(due) {
				return nil
			}
			_, err := cp.addBackup(tx, platform("backup"), d, api.BackupSchedule)
			return err
		})
	})
}

// retireOld deletes a scheduled backup, unless somebody uses it just now.
func (cp *ControlPlane) retireOld(tx *storage.Tx, id string) error {
	b, err := backupTable.Get(tx, id)
	if err != nil || b.DeletedAt != nil {
		return ignoreGone(err)
	}
	err = cp.backups().leave(tx, platform("backup"), b, "delete", "newer ones are kept")
	if errors.Is(err, api.Conflict) {
		return nil
	}
	return err
}

// scheduled says when a database was backed up on schedule last (or made), and which of these backups are too many: those
// that come after the verified ones to keep, and failed ones that another followed.
func (w *world) scheduled(d api.Database) (last time.Time, old []api.Backup) {
	var all []api.Backup
	for _, b := range w.by.backups[d.ID] {
		if b.Status.Trigger == api.BackupSchedule && b.DeletedAt == nil {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b api.Backup) int { return b.CreatedAt.Compare(a.CreatedAt) })
	last, good := d.CreatedAt, 0
	for i, b := range all {
		if i == 0 {
			last = b.CreatedAt
		}
		failed := w.dumps[b.ID].Failed != ""
		if good >= d.Spec.Keep || failed && i > 0 {
			old = append(old, b)
		}
		if b.Status.Verified {
			good++
		}
	}
	return last, old
}

func (w *world) backupStatus(b api.Backup) api.BackupStatus {
	s := b.Status
	s.Generation = b.Generation
	t, troubled := w.trouble[b.ID]
	switch {
	case b.DeletedAt != nil:
		s.Phase, s.Reason = api.Deleting, "removing what is stored"
	case w.dumps[b.ID].Failed != "":
		s.Phase, s.Reason = api.Failed, w.dumps[b.ID].Failed
	case !w.real:
		s.Phase, s.Reason = api.Running, "simulated: no server holds any data"
	case s.Verified:
		s.Phase, s.Reason = api.Running, "verified by a restore: "+amountText(s.Engine, s.Tables, s.Rows)
	case troubled:
		s.Phase, s.Reason = api.Pending, t.reason()
	case s.TakenAt != nil:
		s.Phase, s.Reason = api.Pending, "stored; restoring it into a scratch server to verify it"
	default:
		s.Phase, s.Reason = api.Pending, "taking it"
	}
	return s
}

// fillingPhase says how the restore of a new database goes.
func (w *world) fillingPhase(d api.Database) (api.Phase, string) {
	t, troubled := w.trouble[d.ID+restoreSuffix]
	switch {
	case troubled && t.final():
		return api.Failed, t.reason()
	case troubled:
		return api.Pending, t.reason()
	}
	if s := w.servers[d.ID]; s.Source != "" {
		return w.momentPhase(d, s)
	}
	return api.Pending, "restoring backup " + d.Spec.Restore.Backup
}

// momentPhase says how the replay of a log for a new database goes.
func (w *world) momentPhase(d api.Database, s server) (api.Phase, string) {
	late := w.archives[s.Source].Until.Before(s.Moment)
	switch t, troubled := w.trouble[s.Source+archiveSuffix]; {
	case late && troubled:
		return api.Pending, t.reason()
	case late:
		return api.Pending, fmt.Sprintf("waiting until the log of database %s is archived up to %s", d.Spec.Restore.Database, momentText(s.Moment))
	}
	return api.Pending, fmt.Sprintf("replaying the log of database %s up to %s", d.Spec.Restore.Database, momentText(s.Moment))
}

// scratchOf is a server in a container of its own, out of every network, that lives for one verification.
func (cp *ControlPlane) scratchOf(b api.Backup, e databaseEngine, l login) compute.Workload {
	size, _ := api.SizeOf("small")
	if e.inMemory {
		size, _ = api.SizeOf("large") // as much as any database can have
	}
	return compute.Workload{
		ID: cp.NewID("verify"), Owner: b.ID, Kind: compute.KindHelper, Project: b.Project, Name: b.Name, Image: serverRef(e),
		Command: e.scratch, Hostname: "scratch", Env: e.env(l), Running: true,
		Limits: compute.Limits{MilliCPU: size.MilliCPU, MemoryBytes: size.MemoryBytes, Pids: 512},
	}
}
