package controlplane

import (
	"context"
	"errors"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

func (cp *ControlPlane) snapshots() resource[api.Snapshot, api.SnapshotSpec] {
	return resource[api.Snapshot, api.SnapshotSpec]{
		cp: cp, noun: "snapshot", prefix: "snap", table: snapshotTable,
		status: func(s *api.Snapshot) *api.Status { return &s.Status.Status },
		spec:   func(s *api.Snapshot) *api.SnapshotSpec { return &s.Spec },
		check:  cp.checkSnapshot,
		admit:  admitSnapshot,
		retire: retireSnapshot,
		verb:   func(_, next *api.Snapshot) (string, string) { return "create", "of volume " + next.Spec.Volume },
	}
}

func (cp *ControlPlane) checkSnapshot(_ context.Context, old, next *api.Snapshot) error {
	if old != nil {
		return api.Errorf(api.Unsupported, "cannot change snapshot %q: it is what its volume was; make another one", next.Name)
	}
	if next.Spec.Volume == "" {
		return api.Errorf(api.Invalid, "cannot make snapshot %q: name the volume", next.Name)
	}
	if _, ok := cp.Engine.(compute.Copier); !ok {
		return api.Errorf(api.Unsupported, "cannot make snapshot %q: engine %q copies no volumes", next.Name, cp.loop.engine().Name)
	}
	return nil
}

func admitSnapshot(tx *storage.Tx, _ api.Actor, _, next *api.Snapshot) error {
	v, err := volumeTable.GetBy(tx, "name", next.Project+"/"+next.Spec.Volume)
	switch {
	case errors.Is(err, api.NotFound):
		return api.Errorf(api.NotFound, "cannot make snapshot %q: project %q has no volume %q", next.Name, next.Project, next.Spec.Volume)
	case err != nil:
		return err
	case v.DeletedAt != nil:
		return api.Errorf(api.Conflict, "cannot make snapshot %q: volume %q is being deleted", next.Name, v.Name)
	}
	next.Status.VolumeSize = v.Spec.SizeBytes
	return diskTable.Insert(tx, disk{ID: next.ID, Project: next.Project, From: v.ID})
}

func retireSnapshot(tx *storage.Tx, s *api.Snapshot) (bool, error) {
	return false, volumeTable.EachBy(tx, "name", s.Project+"/", func(v api.Volume) error {
		if d, err := diskTable.Get(tx, v.ID); err == nil && d.From == s.ID && !d.Ready && v.DeletedAt == nil {
			return api.Errorf(api.Conflict, "cannot delete snapshot %q: volume %q is being made from it", s.Name, v.Name)
		}
		return nil
	})
}

// makeSnapshot copies the volume and measures the copy.
func (cp *ControlPlane) makeSnapshot(ctx context.Context, s api.Snapshot, d disk) error {
	if _, err := cp.makeDisk(ctx, compute.Volume{ID: s.ID, Project: s.Project, Name: s.Name}, d); err != nil {
		return err
	}
	bytes, err := cp.Engine.(compute.Volumes).VolumeBytes(ctx, s.ID)
	if err != nil {
		return err
	}
	return cp.diskReady("snapshot", s.Meta, "volume "+s.Spec.Volume+" copied, "+sizeText(bytes), func(_ *storage.Tx, d *disk) error { d.Bytes = bytes; return nil })
}

func (cp *ControlPlane) dropSnapshot(ctx context.Context, s api.Snapshot) error {
	if err := cp.dropDisk(ctx, s.ID); err != nil {
		return err
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		if err := errors.Join(erase(tx, snapshotTable, s.ID), erase(tx, diskTable, s.ID)); err != nil {
			return err
		}
		return cp.record(tx, platform("loop"), "snapshot", &s.Meta, "removed", "its data is gone")
	})
}

func (w *world) snapshotStatus(n api.Snapshot) api.SnapshotStatus {
	s, d := n.Status, w.disks[n.ID]
	s.Generation, s.SizeBytes = n.Generation, d.Bytes
	t, troubled := w.trouble[n.ID]
	switch {
	case n.DeletedAt != nil:
		s.Phase, s.Reason = api.Deleting, "removing its data"
	case troubled && t.final():
		s.Phase, s.Reason = api.Failed, t.reason()
	case troubled:
		s.Phase, s.Reason = api.Pending, t.reason()
	case !d.Ready:
		s.Phase, s.Reason = api.Pending, orElse(w.awaits(d), "copying volume "+n.Spec.Volume)
	default:
		s.Phase, s.Reason = api.Running, "can be restored"
	}
	return s
}
