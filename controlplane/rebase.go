package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

// A container's mounts can't change, so an instance with other volumes gets another container over the same root disk:
// the machine is stopped, its root disk committed to an image of its own, the container removed, and the next pass makes
// it from that image. Each line may be the last one before a kill:
//
//	the tag is stored          it names an image that may come to be, and is removed when it is not used
//	the root disk is committed as before: nothing refers to the image, and the container is still there
//	machine.Image is stored    the container is still there and is rebased once more: it may have run meanwhile
//	the container is removed   it comes back from machine.Image

// remounts tells that a machine's container mounts other volumes than wanted.
func remounts(l compute.Workload, o compute.Observed) bool {
	return l.Kind == compute.KindInstance && !slices.Equal(volumesOf(l.Mounts), volumesOf(o.Mounts))
}

// volumesOf are the volumes among mounts, by path.
func volumesOf(mounts []compute.Mount) []compute.Mount {
	var out []compute.Mount
	for _, m := range mounts {
		if m.Volume != "" {
			out = append(out, compute.Mount{Volume: m.Volume, Path: m.Path, ReadOnly: m.ReadOnly})
		}
	}
	slices.SortFunc(out, func(a, b compute.Mount) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// planMounts are the volumes of an instance as its container mounts them.
func (w *world) planMounts(i api.Instance) []compute.Mount {
	var out []compute.Mount
	for _, m := range i.Spec.Volumes {
		out = append(out, compute.Mount{Volume: w.volumes[i.Project+"/"+m.Volume].ID, Path: m.Path})
	}
	return volumesOf(out)
}

// lacks says what keeps a step of an instance waiting: its image or a volume is still being made, or another container
// still has a volume. "" for nothing.
func (w *world) lacks(l compute.Workload, v verb) string {
	if l.Kind != compute.KindInstance || v != create && v != rebase {
		return ""
	}
	i := w.by.instances[l.Project+"/"+l.Name]
	if own, ok := w.ownImage(i); ok && v == create && !w.disks[own.ID].Ready && w.machines[l.ID].Image == "" {
		return fmt.Sprintf("waiting for image %q: %s", own.Name, own.Status.Reason)
	}
	for _, m := range l.Mounts {
		name := w.by.diskNames[m.Volume]
		if !w.disks[m.Volume].Ready {
			return fmt.Sprintf("waiting for volume %q: %s", name, w.volumes[l.Project+"/"+name].Status.Reason)
		}
		if by := w.mountedBy(m.Volume); v == create && slices.ContainsFunc(by, func(id string) bool { return id != l.ID }) {
			return fmt.Sprintf("waiting for volume %q: %s still has it", name, w.nameOf(by[0]))
		}
	}
	return ""
}

// rebaseReason says for whom a machine boots again.
func (w *world) rebaseReason(l compute.Workload, o compute.Observed) string {
	var words []string
	had, wanted := volumesOf(o.Mounts), volumesOf(l.Mounts)
	for _, m := range wanted {
		if !slices.Contains(had, m) {
			words = append(words, fmt.Sprintf("attach volume %s at %s", orElse(w.by.diskNames[m.Volume], m.Volume), m.Path))
		}
	}
	for _, m := range had {
		if !slices.Contains(wanted, m) {
			words = append(words, fmt.Sprintf("detach volume %s from %s", orElse(w.by.diskNames[m.Volume], m.Volume), m.Path))
		}
	}
	return "to " + strings.Join(words, " and ") + "; root disk kept"
}

// remounting tells that an instance's container is to go for the sake of its volumes.
func (w *world) remounting(i api.Instance, o compute.Observed) bool {
	plan := w.planInstance(i)
	return len(plan) == 1 && remounts(plan[0], o)
}

// rebase takes an instance's container away and keeps its root disk as the image it is made from next.
func (cp *ControlPlane) rebase(ctx context.Context, w *world, s step) error {
	l := s.workload
	engine, ok := cp.Engine.(compute.Committer)
	if !ok {
		return api.Errorf(api.Unsupported, "cannot change the volumes of instance %q: engine %q can't keep its root disk", l.Name, cp.loop.engine().Name)
	}
	if err := cp.stopWorkload(ctx, l.ID); err != nil {
		return err
	}
	tag := fmt.Sprintf("nuage-root/%s:%s", l.ID, lastHex(cp.NewID("root")))
	err := cp.setMachine(l.ID, func(m *machine) { m.Commits = append(m.Commits, tag) })
	if err != nil {
		return err
	}
	if _, err := engine.Commit(ctx, l.ID, compute.Build{Tag: tag, Owner: l.ID, Project: l.Project, Name: l.Name}); err != nil {
		return err
	}
	reason := w.rebaseReason(l, s.observed)
	if err := cp.setMachine(l.ID, func(m *machine) { m.Image, m.Rebase = tag, reason }); err != nil {
		return err
	}
	cp.guests.drop(l.ID)
	return cp.Engine.Remove(ctx, l.ID)
}

// lostRoot has an instance made from what its spec names where the image of its root disk was removed from outside.
func (cp *ControlPlane) lostRoot(ctx context.Context, w *world, id string, why error) error {
	tag := w.machines[id].Image
	engine, ok := cp.Engine.(compute.Images)
	if !ok || tag == "" || !errors.Is(why, api.NotFound) {
		return nil
	}
	if _, err := engine.Image(ctx, tag, 0); !errors.Is(err, api.NotFound) {
		return nil // something else is missing
	}
	return cp.setMachine(id, func(m *machine) { m.Image, m.Rebase = "", "" })
}

// setMachine changes what is known of an instance that is to stay. NotFound: it is not.
func (cp *ControlPlane) setMachine(id string, change func(*machine)) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		i, err := instanceTable.Get(tx, id)
		if err != nil {
			return err
		}
		if i.DeletedAt != nil {
			return api.Errorf(api.NotFound, "cannot go on with instance %q: it is being deleted", i.Name)
		}
		m, err := machineTable.Get(tx, id)
		if err != nil {
			return err
		}
		change(&m)
		return machineTable.Put(tx, m)
	})
}

// rebased records that an instance is back from its root disk. It is no restart: its owner asked for it.
func (cp *ControlPlane) rebased(w *world, l compute.Workload, was track, why string) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		if err := errors.Join(cp.booted(tx, w, l.ID), cp.keepTrack(tx, was, l)); err != nil {
			return err
		}
		m, noun := w.ownerOf(l)
		if m == nil {
			return nil
		}
		return cp.record(tx, platform("loop"), noun, m, "rebase", why)
	})
}

// oldCommits names the images of an instance's root disk that nothing is made from any more: all but the present one
// once its container is there, also those of tries in vain to take it away; all when it is deleted.
func (w *world) oldCommits(i api.Instance) []string {
	m := w.machines[i.ID]
	_, there := w.observed[i.ID]
	if i.DeletedAt != nil {
		if there {
			return nil
		}
		return m.Commits
	}
	if !there || len(w.planInstance(i)) != 1 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(m.Commits), func(tag string) bool { return tag == m.Image })
}

// sweepCommits removes superseded images of root disks, but not while a step of their machine is under way.
func (cp *ControlPlane) sweepCommits(ctx context.Context, w *world) {
	for _, i := range w.instances {
		if old := w.oldCommits(i); len(old) > 0 && !cp.loop.busy(i.ID) {
			cp.loop.dispatch(ctx, i.ID+"/images", time.Minute, func(ctx context.Context) error { return cp.dropCommits(ctx, i.ID, old) })
		}
	}
}

// dropCommits removes images of a root disk, but not the one it is made from by now: a rebase may have ended after the pass
// that chose them had read the store.
func (cp *ControlPlane) dropCommits(ctx context.Context, instance string, tags []string) error {
	used, err := cp.rootOf(instance)
	if err != nil {
		return err
	}
	tags = slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return tag == used })
	if engine, ok := cp.Engine.(compute.Images); ok {
		for _, tag := range tags {
			if err := engine.RemoveImage(ctx, tag); err != nil {
				return err
			}
		}
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		m, err := machineTable.Get(tx, instance)
		if err != nil {
			return ignoreGone(err)
		}
		m.Commits = slices.DeleteFunc(m.Commits, func(tag string) bool { return slices.Contains(tags, tag) })
		return machineTable.Put(tx, m)
	})
}

// rootOf is the image that an instance is made from next, "" where it was never rebased or is on its way out.
func (cp *ControlPlane) rootOf(instance string) (tag string, err error) {
	err = cp.Store.View(func(tx *storage.Tx) error {
		i, err := instanceTable.Get(tx, instance)
		if err != nil || i.DeletedAt != nil {
			return ignoreGone(err)
		}
		m, err := machineTable.Get(tx, instance)
		tag = m.Image
		return ignoreGone(err)
	})
	return tag, err
}
