package controlplane

import (
	"errors"
	"reflect"
	"slices"

	"nuage/api"
	"nuage/storage"
)

// write is one thing to store, whole or not at all.
type write func(tx *storage.Tx) error

// settle writes down what a pass has found: workloads that are there without a record, statuses that changed, deletions
// that are complete, runs that began or ended. All of it is one commit.
func (cp *ControlPlane) settle(w *world) error {
	writes := slices.Concat(cp.adopt(w), cp.settleRuns(w), cp.settleTracks(w), cp.settleFleets(w))
	for _, n := range w.networks {
		found := w.networkStatus(n)
		writes = append(writes, writeStatus(cp, w, networkTable, n, &found.Status, !reflect.DeepEqual(n.Status, found), func(now *api.Network) { now.Status = found }))
	}
	for _, b := range w.balancers {
		found := w.balancerStatus(b)
		writes = append(writes, writeStatus(cp, w, balancerTable, b, &found.Status, !reflect.DeepEqual(b.Status, found), func(now *api.LoadBalancer) { now.Status = found }))
	}
	for _, v := range w.volumes {
		found := w.volumeStatus(v)
		writes = append(writes, writeStatus(cp, w, volumeTable, v, &found.Status, !reflect.DeepEqual(v.Status, found), func(now *api.Volume) { now.Status = found }))
	}
	for _, s := range w.snapshots {
		found := w.snapshotStatus(s)
		writes = append(writes, writeStatus(cp, w, snapshotTable, s, &found.Status, !reflect.DeepEqual(s.Status, found), func(now *api.Snapshot) { now.Status = found }))
	}
	for _, g := range w.images {
		found := w.imageStatus(g)
		writes = append(writes, writeStatus(cp, w, imageTable, g, &found.Status, !reflect.DeepEqual(g.Status, found), func(now *api.Image) { now.Status = found }))
	}
	for _, i := range w.instances {
		if _, there := w.observed[i.ID]; i.DeletedAt != nil && !there && len(w.machines[i.ID].Commits) == 0 && !cp.loop.busy(i.ID) {
			writes = append(writes, cp.dropInstance(i))
			continue
		}
		found := w.instanceStatus(i)
		writes = append(writes, writeStatus(cp, w, instanceTable, i, &found.Status, !reflect.DeepEqual(i.Status, found), func(now *api.Instance) { now.Status = found }))
	}
	for _, d := range w.databases {
		found := w.databaseStatus(d)
		writes = append(writes, writeStatus(cp, w, databaseTable, d, &found.Status, !reflect.DeepEqual(d.Status, found), func(now *api.Database) { now.Status = found }))
	}
	for _, a := range w.apps {
		found := w.appStatus(a)
		writes = append(writes, writeStatus(cp, w, appTable, a, &found.Status, !reflect.DeepEqual(a.Status, found), func(now *api.App) { now.Status = found }))
	}
	return cp.writeAll(slices.DeleteFunc(writes, func(fn write) bool { return fn == nil }))
}

// writeAll makes one commit of all writes. Where one of them fails it must not hold up the others, so each gets its own.
func (cp *ControlPlane) writeAll(writes []write) error {
	if len(writes) == 0 {
		return nil
	}
	err := cp.Store.Update(func(tx *storage.Tx) error {
		for _, fn := range writes {
			if err := fn(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil || errors.Is(err, api.Unavailable) {
		return err
	}
	var errs []error
	for _, fn := range writes {
		errs = append(errs, cp.Store.Update(fn))
	}
	return errors.Join(errs...)
}

// writeStatus stores a status that says something else than before, unless the noun changed since it was read: the
// next pass looks again. What is damaged keeps the status it had.
func writeStatus[T any](cp *ControlPlane, w *world, table *storage.Table[T], read T, found *api.Status, changed bool, put func(*T)) write {
	id := head(&read).ID
	if !changed || w.damaged[id] {
		return nil
	}
	now := cp.Now().UTC()
	found.ObservedAt = &now
	return func(tx *storage.Tx) error {
		stored, err := table.Get(tx, id)
		if err != nil || !same(stored, read) {
			return ignoreGone(err)
		}
		put(&stored)
		return table.Put(tx, stored)
	}
}

// settleTracks forgets what was made and is neither wanted nor there any more, such as replicas of releases before.
func (cp *ControlPlane) settleTracks(w *world) []write {
	var writes []write
	for id, t := range w.tracks {
		if _, there := w.observed[id]; there || w.wanted[id] || w.damaged[t.Owner] || cp.loop.busy(id) {
			continue
		}
		writes = append(writes, func(tx *storage.Tx) error { return erase(tx, trackTable, id) })
	}
	return writes
}

// dropInstance forgets an instance whose container is gone.
func (cp *ControlPlane) dropInstance(i api.Instance) write {
	return func(tx *storage.Tx) error {
		err := errors.Join(erase(tx, instanceTable, i.ID), erase(tx, machineTable, i.ID), erase(tx, trackTable, i.ID), erase(tx, cursorTable, i.ID))
		if err != nil {
			return err
		}
		return cp.record(tx, platform("loop"), "instance", &i.Meta, "removed", "its container and root disk are gone")
	}
}

// erase removes a record that may be gone or damaged.
func erase[T any](tx *storage.Tx, table *storage.Table[T], key string) error {
	err := table.Delete(tx, key)
	if api.CodeOf(err) == api.Internal {
		err = table.Discard(tx, key)
	}
	return ignoreGone(err)
}

// appGone tells that no replica is left, and none is under way.
func (cp *ControlPlane) appGone(w *world, a api.App) bool {
	return len(w.by.observed[a.ID]) == 0 && !cp.loop.busyWith(a.ID+"-r")
}

// dropApp forgets an app without replicas, its releases and tracks.
func (cp *ControlPlane) dropApp(w *world, a api.App) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		var errs []error
		for _, r := range w.by.releases[a.ID] {
			errs = append(errs, erase(tx, releaseTable, releaseKey(a.ID, r.Number)))
		}
		for _, t := range w.by.tracks[a.ID] {
			errs = append(errs, erase(tx, trackTable, t.ID))
		}
		for _, d := range w.drains[a.ID] {
			errs = append(errs, erase(tx, drainTable, releaseKey(a.ID, d.Release)))
		}
		errs = append(errs, erase(tx, appTable, a.ID))
		if err := errors.Join(errs...); err != nil {
			return err
		}
		return cp.record(tx, platform("loop"), "app", &a.Meta, "removed", "its replicas are gone")
	})
}
