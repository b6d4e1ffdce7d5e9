package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nuage/api"
	"nuage/storage"
)

// archive is what the control plane alone knows of the archived log of a database. A gap begins it anew.
type archive struct {
	ID       string    `json:"id"` // of the database
	Project  string    `json:"project"`
	System   string    `json:"system"`   // which cluster it is of
	Timeline string    `json:"timeline"` // of that
	First    uint64    `json:"first"`    // place of the log that it begins with; all of its segment is there
	Place    uint64    `json:"place"`    // up to where the log is archived
	Tail     int64     `json:"tail"`     // bytes stored of the segment that Place is in
	XMax     string    `json:"xmax"`     // of the newest mark
	Until    time.Time `json:"until"`    // all that was committed until then is in it
	Bases    []base    `json:"bases,omitempty"`
	Bytes    int64     `json:"bytes,omitempty"` // of all that is stored, in steps of billedStep
	Since    time.Time `json:"since"`           // when it was begun
}

// base is a copy of a server's files, from which the log is replayed.
type base struct {
	ID       string    `json:"id"`
	Since    uint64    `json:"since"` // the log is needed from there on, with all of its segment
	Mark     time.Time `json:"mark"`  // what was committed until then is before Since
	At       time.Time `json:"at"`    // the first moment it can be brought to
	SHA256   string    `json:"sha256"`
	Bytes    int64     `json:"bytes"`
	Verified bool      `json:"verified,omitempty"` // replayed in a scratch server
	Failed   string    `json:"failed,omitempty"`   // why it can't be
}

const (
	archiveSuffix = "/archive"
	shipEvery     = 30 * time.Second // how often the log is archived at least, where there is something new
	idleEvery     = 10 * time.Minute // how often without
	billedStep    = 16 << 20
	archiveFactor = 4 // the archive is held under so many times the database's storage
)

// archived tells that a database's log is to be archived: it has scheduled backups.
func archived(d api.Database) bool {
	e, err := databaseEngineOf(d.Spec.Engine)
	return err == nil && e.archived && d.Spec.BackupSeconds > 0 && d.DeletedAt == nil
}

// baseEvery is how often a base is made: as often as backups, between an hour and a day, that a replay is not too long.
func baseEvery(s api.DatabaseSpec) time.Duration {
	return min(max(time.Duration(s.BackupSeconds)*time.Second, time.Hour), 24*time.Hour)
}

// baseDue tells whether another base is to be made: after its time, much sooner where the last one was of no use, or when the log since
// the last one is longer than the storage.
func (a archive) baseDue(s api.DatabaseSpec, now time.Time) bool {
	if len(a.Bases) == 0 {
		return true
	}
	last := a.Bases[len(a.Bases)-1]
	pause := baseEvery(s)
	if last.Failed != "" {
		pause /= 12
	}
	return !now.Before(last.At.Add(pause)) || last.Failed == "" && a.Place-last.Since > uint64(s.StorageBytes)
}

// keep says which bases stay: those that moments of the last keep pauses between backups begin with, newest last.
func (a archive) keep(s api.DatabaseSpec, now time.Time) []base {
	cut := now.Add(-time.Duration(s.BackupSeconds) * time.Duration(s.Keep) * time.Second)
	from := 0
	for i, b := range a.Bases {
		if b.Verified && !b.At.After(cut) {
			from = i
		}
	}
	var out []base
	for i, b := range a.Bases[from:] {
		if b.Failed == "" || from+i == len(a.Bases)-1 {
			out = append(out, b)
		}
	}
	return out
}

// window is what can be restored, from a whole second on, as people write times; ok: anything.
func (a archive) window() (from, until time.Time, ok bool) {
	for _, b := range a.Bases {
		if b.Verified {
			return b.At.Add(time.Second - 1).Truncate(time.Second), a.Until, !a.Until.Before(b.At)
		}
	}
	return from, until, false
}

// baseFor is the base to replay from to a moment, and the place up to where the log is needed.
func (a archive) baseFor(at time.Time) (found base, end uint64, ok bool) {
	end = a.Place
	for _, b := range a.Bases {
		if b.Verified && !b.At.After(at) {
			found, ok = b, true
		}
		if !b.Mark.Before(at) {
			end = min(end, b.Since)
		}
	}
	return found, end, ok
}

// restorableWindow is what users see of it; nil: nothing.
func (w *world) restorableWindow(d api.Database) *api.Window {
	from, until, ok := w.archives[d.ID].window()
	if !ok {
		return nil
	}
	return &api.Window{From: from, Until: until}
}

// awaitedMoment is the latest moment up to where a database's log is needed for those being made from it; zero: none is.
func (w *world) awaitedMoment(d api.Database) (at time.Time) {
	for _, other := range w.databases {
		if s := w.servers[other.ID]; s.Source == d.ID && other.DeletedAt == nil && !s.Filled && s.Moment.After(at) {
			at = s.Moment
		}
	}
	return at
}

// tendArchives archives the logs of databases, makes bases, and removes what is too old or of no use.
func (cp *ControlPlane) tendArchives(ctx context.Context, w *world) {
	for _, d := range w.databases {
		a, there := w.archives[d.ID]
		awaited := w.awaitedMoment(d)
		if w.damaged[d.ID] || d.DeletedAt != nil || !w.real || !w.health[d.ID].ok || w.filling(d) || !archived(d) && !there {
			continue
		}
		if !archived(d) {
			if awaited.IsZero() {
				cp.loop.dispatch(ctx, d.ID+archiveSuffix, time.Minute, func(ctx context.Context) error { return cp.endArchive(ctx, d) })
			}
			continue
		}
		forced := awaited.After(a.Until)
		if due := cp.shipDue.of(d.ID); there && !forced && cp.Now().Before(due) {
			cp.loop.dueAt(due)
			continue
		}
		cp.loop.dispatch(ctx, d.ID+archiveSuffix, backupTimeout, func(ctx context.Context) error {
			if err := cp.keepArchive(ctx, d, forced); err != nil {
				return err
			}
			cp.shipDue.set(d.ID, cp.Now().Add(shipEvery))
			return nil
		})
	}
}

// findMoment returns the database of which another is to hold what it held at a time, where that is possible, and makes the other's engine
// definite. NotFound, Invalid, Conflict, Unsupported.
func (cp *ControlPlane) findMoment(tx *storage.Tx, next *api.Database, from api.Restore) (api.Database, error) {
	d, err := databaseTable.GetBy(tx, "name", next.Project+"/"+from.Database)
	if err != nil || d.DeletedAt != nil {
		return d, api.Errorf(api.NotFound, "cannot restore database %q: project %q has no database %q; what it held at a time goes with it, its backups stay",
			next.Name, next.Project, from.Database)
	}
	e, err := databaseEngineOf(d.Spec.Engine)
	if err != nil {
		return d, err
	}
	a, err := archiveTable.Get(tx, d.ID)
	if err := errors.Join(ignoreGone(err), cp.reachable(d, e, a, *next, *from.Time)); err != nil {
		return d, err
	}
	next.Spec.Engine = e.name
	return d, nil
}

// reachable answers nil where a database can begin with what is archived of another up to a moment.
func (cp *ControlPlane) reachable(d api.Database, e databaseEngine, a archive, next api.Database, at time.Time) error {
	refuse := func(code api.Code, format string, args ...any) error {
		return api.Errorf(code, "cannot restore database %q: %s", next.Name, fmt.Sprintf(format, args...))
	}
	text := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	start, until, ok := a.window()
	switch {
	case !e.archived:
		return refuse(api.Unsupported, "database %q runs %s, of which backups alone can be restored", d.Name, e.name)
	case d.Spec.BackupSeconds == 0:
		return refuse(api.Conflict, "the log of database %q is archived only with scheduled backups; nuage database update %s --backup 24h begins that", d.Name, d.Name)
	case next.Spec.Engine != "" && next.Spec.Engine != e.name:
		return refuse(api.Invalid, "database %q is of %s", d.Name, e.name)
	case at.After(cp.Now()):
		return refuse(api.Invalid, "%s is in the future", text(at))
	case at.Before(d.CreatedAt):
		return refuse(api.Invalid, "%s is too early: database %q was made at %s", text(at), d.Name, text(d.CreatedAt))
	case !ok:
		return refuse(api.Conflict, "there is no copy of database %q yet from which its log can be replayed; nuage database show %s says when there is", d.Name, d.Name)
	case at.Before(start):
		return refuse(api.Invalid, "%s is too early: database %q can be brought back to what it was from %s to %s", text(at), d.Name, text(start), text(until))
	}
	return nil
}
