package controlplane

import (
	"errors"
	"iter"
	"maps"
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
	writes := slices.Concat(cp.adopt(w), cp.settleRuns(w), cp.settleTracks(w), cp.settleFleets(w), cp.settleInstances(w),
		statuses(cp, w, networkTable, maps.Values(w.networks), func(n *api.Network) *api.NetworkStatus { return &n.Status }, w.networkStatus),
		statuses(cp, w, balancerTable, slices.Values(w.balancers), func(b *api.LoadBalancer) *api.LoadBalancerStatus { return &b.Status }, w.balancerStatus),
		statuses(cp, w, volumeTable, maps.Values(w.volumes), func(v *api.Volume) *api.VolumeStatus { return &v.Status }, w.volumeStatus),
		statuses(cp, w, snapshotTable, slices.Values(w.snapshots), func(s *api.Snapshot) *api.SnapshotStatus { return &s.Status }, w.snapshotStatus),
		statuses(cp, w, imageTable, maps.Values(w.images), func(g *api.Image) *api.ImageStatus { return &g.Status }, w.imageStatus),
		statuses(cp, w, databaseTable, slices.Values(w.databases), func(d *api.Database) *api.DatabaseStatus { return &d.Status }, w.databaseStatus),
		statuses(cp, w, backupTable, slices.Values(w.backups), func(b *api.Backup) *api.BackupStatus { return &b.Status }, w.backupStatus),
		statuses(cp, w, appTable, slices.Values(w.apps), func(a *api.App) *api.AppStatus { return &a.Status }, w.appStatus),
	)
	return cp.writeAll(slices.DeleteFunc(writes, func(fn write) bool { return fn == nil }))
}

// statuses writes the statuses of a noun that say something else than before.
func statuses[T, S any](cp *ControlPlane, w *world, table *storage.Table[T], all iter.Seq[T], of func(*T) *S, find func(T) S) []write {
	var writes []write
	for one := range all {
		found := find(one)
		state := any(&found).(interface{ State() *api.Status }).State()
		writes = append(writes, writeStatus(cp, w, table, one, state, !reflect.DeepEqual(*of(&one), found), func(now *T) { *of(now) = found }))
	}
	return writes
}

// settleInstances forgets the instances that are gone and writes the statuses of the others.
func (cp *ControlPlane) settleInstances(w *world) []write {
	var drops []write
	var stay []api.Instance
	for _, i := range w.instances {
		if _, there := w.observed[i.ID]; i.DeletedAt != nil && !there && len(w.machines[i.ID].Commits) == 0 && !cp.loop.busy(i.ID) {
			drops = append(drops, cp.dropInstance(i))
			continue
		}
		stay = append(stay, i)
	}
	return append(drops, statuses(cp, w, instanceTable, slices.Values(stay), func(i *api.Instance) *api.InstanceStatus { return &i.Status }, w.instanceStatus)...)
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
		errs = append(errs, dropVaults(tx, a.ID))
		for _, d := range w.drains[a.ID] {
			errs = append(errs, erase(tx, drainTable, releaseKey(a.ID, d.Release)))
		}
		errs = append(errs, dropClients(tx, a.ID), erase(tx, appNetworkTable, a.ID), erase(tx, comebackTable, a.ID), erase(tx, appTable, a.ID))
		if err := errors.Join(errs...); err != nil {
			return err
		}
		return cp.record(tx, platform("loop"), "app", &a.Meta, "removed", "its replicas are gone")
	})
}
