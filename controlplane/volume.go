package controlplane

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

const (
	leastVolume = 1 << 20
	mostVolume  = 16 << 40
	mostMounts  = 16 // of one instance
)

// volumes adds Attach and Detach to the verbs of every noun.
type volumes struct {
	resource[api.Volume, api.VolumeSpec]
}

func (cp *ControlPlane) volumes() resource[api.Volume, api.VolumeSpec] {
	return resource[api.Volume, api.VolumeSpec]{
		cp: cp, noun: "volume", prefix: "vol", table: volumeTable,
		status: func(v *api.Volume) *api.Status { return &v.Status.Status },
		spec:   func(v *api.Volume) *api.VolumeSpec { return &v.Spec },
		check:  cp.checkVolume,
		admit: func(tx *storage.Tx, by api.Actor, old, next *api.Volume) error {
			if err := admitVolume(tx, by, old, next); err != nil { // it fills in the size of a restored one
				return err
			}
			return admitVolumeAmount(tx, old, next)
		},
		retire: retireVolume,
		verb: func(old, next *api.Volume) (string, string) {
			switch {
			case old != nil:
				return "resize", sizeText(old.Spec.SizeBytes) + " to " + sizeText(next.Spec.SizeBytes)
			case next.Spec.Snapshot != "":
				return "create", sizeText(next.Spec.SizeBytes) + ", from snapshot " + next.Spec.Snapshot
			}
			return "create", sizeText(next.Spec.SizeBytes)
		},
	}
}

func (cp *ControlPlane) checkVolume(_ context.Context, old, next *api.Volume) error {
	s := &next.Spec
	if old != nil && s.SizeBytes == 0 {
		s.SizeBytes = old.Spec.SizeBytes
	}
	_, makes := cp.Engine.(compute.Volumes)
	_, copies := cp.Engine.(compute.Copier)
	switch {
	case s.SizeBytes == 0 && s.Snapshot != "": // the snapshot's
	case s.SizeBytes < leastVolume || s.SizeBytes > mostVolume:
		return api.Errorf(api.Invalid, "cannot make volume %q of %d bytes: 1 MiB to 16 TiB is possible", next.Name, s.SizeBytes)
	}
	switch {
	case old == nil && (!makes || s.Snapshot != "" && !copies):
		return api.Errorf(api.Unsupported, "cannot make volume %q: engine %q can't", next.Name, cp.loop.engine().Name)
	case old != nil && old.Spec.Snapshot != s.Snapshot:
		return api.Errorf(api.Conflict, "cannot change the snapshot of volume %q: restore it to another volume", next.Name)
	case old != nil && s.SizeBytes < old.Spec.SizeBytes:
		return api.Errorf(api.Conflict, "cannot shrink volume %q from %s to %s: volumes only grow", next.Name, sizeText(old.Spec.SizeBytes), sizeText(s.SizeBytes))
	}
	return nil
}

func admitVolume(tx *storage.Tx, _ api.Actor, old, next *api.Volume) error {
	if old != nil {
		return admitGrowth(tx, old, next)
	}
	d := disk{ID: next.ID, Project: next.Project}
	if next.Spec.Snapshot == "" {
		return diskTable.Insert(tx, d)
	}
	s, err := snapshotTable.GetBy(tx, "name", next.Project+"/"+next.Spec.Snapshot)
	switch {
	case errors.Is(err, api.NotFound):
		return api.Errorf(api.NotFound, "cannot use snapshot %q: project %q has no such snapshot", next.Spec.Snapshot, next.Project)
	case err != nil:
		return err
	case s.DeletedAt != nil:
		return api.Errorf(api.Conflict, "cannot use snapshot %q: it is being deleted", s.Name)
	case next.Spec.SizeBytes == 0:
		next.Spec.SizeBytes = s.Status.VolumeSize
	case next.Spec.SizeBytes < s.Status.VolumeSize:
		return api.Errorf(api.Invalid, "cannot restore snapshot %q to %s: it was made of a volume of %s", s.Name, sizeText(next.Spec.SizeBytes), sizeText(s.Status.VolumeSize))
	}
	d.From = s.ID
	return diskTable.Insert(tx, d)
}

// admitGrowth lets a volume grow where its size is but a word.
func admitGrowth(tx *storage.Tx, old, next *api.Volume) error {
	if old.Spec.SizeBytes == next.Spec.SizeBytes {
		return nil
	}
	d, err := diskTable.Get(tx, next.ID)
	switch {
	case err != nil:
		return err
	case !d.Ready:
		return api.Errorf(api.Conflict, "cannot grow volume %q: it is still being made; try again", next.Name)
	case d.Enforced:
		return api.Errorf(api.Unsupported, "cannot grow volume %q: the engine holds it to the size it was made with; snapshot it and restore that with a larger size", next.Name)
	}
	return nil
}

func retireVolume(tx *storage.Tx, v *api.Volume) (bool, error) {
	i, err := holder(tx, v.Project, v.Name)
	if err != nil {
		return false, err
	}
	if i != nil {
		return false, api.Errorf(api.Conflict, "cannot delete volume %q: it is attached to instance %q; detach it first", v.Name, i.Name)
	}
	return false, snapshotTable.EachBy(tx, "name", v.Project+"/", func(s api.Snapshot) error {
		if d, err := diskTable.Get(tx, s.ID); err == nil && d.From == v.ID && !d.Ready && s.DeletedAt == nil {
			return api.Errorf(api.Conflict, "cannot delete volume %q: snapshot %q of it is being made", v.Name, s.Name)
		}
		return nil
	})
}

// holder is the instance a volume is attached to, one that is being deleted too; nil: none.
func holder(tx *storage.Tx, project, volume string) (*api.Instance, error) {
	var found *api.Instance
	err := instanceTable.EachBy(tx, "name", project+"/", func(i api.Instance) error {
		if slices.ContainsFunc(i.Spec.Volumes, func(m api.VolumeMount) bool { return m.Volume == volume }) {
			found = &i
		}
		return nil
	})
	return found, err
}

// Attach puts a volume at a path of an instance.
func (r volumes) Attach(ctx context.Context, project, name string, to api.Attachment, restart bool) (api.Volume, error) {
	return r.move(ctx, project, name, func(tx *storage.Tx, actor api.Actor, v *api.Volume) error {
		i, err := r.cp.instances().find(tx, project, to.Instance)
		if err != nil {
			return err
		}
		i.Spec.Volumes = append(slices.Clone(i.Spec.Volumes), api.VolumeMount{Volume: name, Path: to.Path})
		if err := r.remount(tx, i, restart); err != nil {
			return err
		}
		v.Status.Attached = &api.Attachment{Instance: i.Name, Path: to.Path}
		v.Status.Phase, v.Status.Reason = api.Updating, fmt.Sprintf("attaching it to instance %q", i.Name)
		return r.cp.record(tx, actor, r.noun, &v.Meta, "attach", fmt.Sprintf("to instance %s at %s", i.Name, to.Path))
	})
}

// Detach takes a volume from its instance.
func (r volumes) Detach(ctx context.Context, project, name string, restart bool) (api.Volume, error) {
	return r.move(ctx, project, name, func(tx *storage.Tx, actor api.Actor, v *api.Volume) error {
		i, err := holder(tx, project, name)
		if err != nil || i == nil {
			return err
		}
		i.Spec.Volumes = slices.DeleteFunc(slices.Clone(i.Spec.Volumes), func(m api.VolumeMount) bool { return m.Volume == name })
		if err := r.remount(tx, *i, restart); err != nil {
			return err
		}
		v.Status.Attached = nil
		v.Status.Phase, v.Status.Reason = api.Updating, fmt.Sprintf("detaching it from instance %q", i.Name)
		return r.cp.record(tx, actor, r.noun, &v.Meta, "detach", "from instance "+i.Name)
	})
}

// move changes where a volume is attached: what is told of it changes with its instance, in one commit.
func (r volumes) move(ctx context.Context, project, name string, change func(*storage.Tx, api.Actor, *api.Volume) error) (api.Volume, error) {
	var v api.Volume
	actor, err := r.cp.authorize(ctx, project)
	if err != nil {
		return v, err
	}
	err = r.cp.Store.Update(func(tx *storage.Tx) error {
		if v, err = r.find(tx, project, name); err != nil {
			return err
		}
		if err := r.generation(&v, 0); err != nil {
			return err
		}
		before := v
		if err := change(tx, actor, &v); err != nil || same(before, v) {
			return err
		}
		return r.table.Put(tx, v)
	})
	return v, err
}

// remount stores an instance with other volumes. Conflict: it runs and may not boot again.
func (r volumes) remount(tx *storage.Tx, i api.Instance, restart bool) error {
	if err := r.cp.instances().generation(&i, 0); err != nil {
		return err
	}
	if err := checkMounts(&i.Spec); err != nil {
		return err
	}
	if !i.Spec.Stopped && !restart {
		return api.Errorf(api.Conflict, "cannot change the volumes of instance %q while it runs: it has to boot again; ask for that (--restart), or stop it first", i.Name)
	}
	if err := admitMounts(tx, &i); err != nil {
		return err
	}
	i.Generation++
	return instanceTable.Put(tx, i)
}

// checkMounts refuses paths that an instance can't do without or that hide one another.
func checkMounts(s *api.InstanceSpec) error {
	if len(s.Volumes) > mostMounts {
		return api.Errorf(api.Invalid, "cannot attach %d volumes to an instance: %d are the most", len(s.Volumes), mostMounts)
	}
	for n, m := range s.Volumes {
		if err := checkMountPath(m.Path); err != nil {
			return err
		}
		for _, other := range s.Volumes[:n] {
			switch {
			case other.Volume == m.Volume:
				return api.Errorf(api.Conflict, "cannot attach volume %q at %s: it is attached at %s already", m.Volume, m.Path, other.Path)
			case within(m.Path, other.Path) || within(other.Path, m.Path):
				return api.Errorf(api.Conflict, "cannot attach volume %q at %s: volume %q is at %s", m.Volume, m.Path, other.Volume, other.Path)
			}
		}
	}
	return nil
}

func checkMountPath(p string) error {
	const odd = ":,\\\"'"
	printable := !strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(odd, r) })
	if !path.IsAbs(p) || path.Clean(p) != p || !printable || len(p) > 255 {
		return api.Errorf(api.Invalid, "cannot attach a volume at %q: give a clean absolute path, as /data", p)
	}
	for _, taken := range []string{"/proc", "/sys", "/dev", "/etc", "/.nuage"} {
		if p == "/" || within(p, taken) {
			return api.Errorf(api.Invalid, "cannot attach a volume at %q: the instance needs what is there; take another path, as /data", p)
		}
	}
	return nil
}

// within tells that a clean path is another one or lies below it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// admitMounts refuses volumes that are not there or are attached to another instance.
func admitMounts(tx *storage.Tx, i *api.Instance) error {
	for _, m := range i.Spec.Volumes {
		v, err := volumeTable.GetBy(tx, "name", i.Project+"/"+m.Volume)
		switch {
		case errors.Is(err, api.NotFound):
			return api.Errorf(api.NotFound, "cannot use volume %q: project %q has no such volume", m.Volume, i.Project)
		case err != nil:
			return err
		case v.DeletedAt != nil:
			return api.Errorf(api.Conflict, "cannot use volume %q: it is being deleted", m.Volume)
		}
		other, err := holder(tx, i.Project, m.Volume)
		if err != nil {
			return err
		}
		if other != nil && other.ID != i.ID {
			return api.Errorf(api.Conflict, "cannot attach volume %q: it is attached to instance %q", m.Volume, other.Name)
		}
	}
	return nil
}

// admitRemount lets the volumes of an instance change with its spec only while it shall be off.
func admitRemount(tx *storage.Tx, old, next *api.Instance) error {
	switch {
	case same(old.Spec.Volumes, next.Spec.Volumes):
		return nil
	case !old.Spec.Stopped:
		return api.Errorf(api.Conflict, "cannot change the volumes of instance %q while it runs: stop it first, or attach and detach them with a restart", next.Name)
	}
	return admitMounts(tx, next)
}

// engineVolume is a volume as the engine makes it.
func engineVolume(v api.Volume) compute.Volume {
	return compute.Volume{ID: v.ID, Project: v.Project, Name: v.Name, Bytes: v.Spec.SizeBytes}
}

func (cp *ControlPlane) makeVolume(ctx context.Context, v api.Volume, d disk) error {
	made, err := cp.makeDisk(ctx, engineVolume(v), d)
	if err != nil {
		return err
	}
	detail := sizeText(v.Spec.SizeBytes)
	if v.Spec.Snapshot != "" {
		detail += ", filled from snapshot " + v.Spec.Snapshot
	}
	return cp.diskReady("volume", v.Meta, detail, func(_ *storage.Tx, d *disk) error { d.Enforced = made.Enforced; return nil })
}

func (cp *ControlPlane) dropVolume(ctx context.Context, v api.Volume) error {
	if err := cp.dropDisk(ctx, v.ID); err != nil {
		return err
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		if err := errors.Join(erase(tx, volumeTable, v.ID), erase(tx, diskTable, v.ID)); err != nil {
			return err
		}
		return cp.record(tx, platform("loop"), "volume", &v.Meta, "removed", "its data is gone")
	})
}

// volumeStatus says where a volume is, and whether it holds more than it may.
func (w *world) volumeStatus(v api.Volume) api.VolumeStatus {
	s, d := v.Status, w.disks[v.ID]
	s.Generation, s.Enforced, s.Attached = v.Generation, d.Enforced, w.by.attached[v.Project+"/"+v.Name]
	n, measured := w.used[v.ID]
	if measured && n != vanished {
		s.UsedBytes = n
	}
	t, troubled := w.trouble[v.ID]
	switch {
	case v.DeletedAt != nil:
		s.Phase, s.Reason = api.Deleting, "removing its data"
	case troubled && t.final():
		s.Phase, s.Reason = api.Failed, t.reason()
	case troubled:
		s.Phase, s.Reason = api.Pending, t.reason()
	case !d.Ready:
		s.Phase, s.Reason = api.Pending, orElse(w.awaits(d), "making the volume")
	case measured && n == vanished && w.real:
		s.Phase, s.Reason = api.Degraded, "its data was removed from outside the cloud"
	case s.UsedBytes > v.Spec.SizeBytes:
		s.Phase, s.Reason = api.Degraded, fmt.Sprintf("it holds %s, more than its size of %s: this engine can't hold it to that; remove data, or let it grow", sizeText(s.UsedBytes), sizeText(v.Spec.SizeBytes))
	default:
		s.Phase, s.Reason = w.attachment(v, s.Attached)
	}
	return s
}

// attachment tells whether the world has a volume where it shall be.
func (w *world) attachment(v api.Volume, at *api.Attachment) (api.Phase, string) {
	wanted := ""
	if at != nil {
		wanted = w.by.instances[v.Project+"/"+at.Instance].ID
	}
	for _, id := range w.mountedBy(v.ID) {
		if id != wanted {
			return api.Updating, "detaching it from " + w.nameOf(id)
		}
	}
	o, there := w.observed[wanted]
	_, made := w.tracks[wanted]
	switch {
	case at == nil:
		return api.Running, "can be attached"
	case made && w.trouble[wanted].err == nil && (!there || !hasMount(o.Mounts, v.ID)):
		return api.Updating, fmt.Sprintf("attaching it to instance %q", at.Instance)
	}
	return api.Running, fmt.Sprintf("attached to instance %q at %s", at.Instance, at.Path)
}

func hasMount(mounts []compute.Mount, volume string) bool {
	return slices.ContainsFunc(mounts, func(m compute.Mount) bool { return m.Volume == volume })
}

// nameOf names a workload by its noun.
func (w *world) nameOf(workload string) string {
	o := w.observed[workload]
	return fmt.Sprintf("%s %q", o.Kind, o.Name)
}
