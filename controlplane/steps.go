package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

const (
	stopGrace = 10 * time.Second
	quickRun  = 10 * time.Second // a program that ends sooner after its start is held back
)

// take carries a step out. Every engine verb is idempotent, so a step that was cut off is simply taken again.
func (cp *ControlPlane) take(ctx context.Context, w *world, s step) error {
	err := cp.takeOnce(ctx, w, s)
	if errors.Is(err, api.NotFound) && (s.verb == create || s.verb == start) && s.workload.Network != "" {
		cp.networks.drop(s.workload.Network) // it may be what is missing: it is made sure of before the next try
		cp.loop.bases.drop(s.workload.Image)
	}
	return err
}

func (cp *ControlPlane) takeOnce(ctx context.Context, w *world, s step) error {
	switch id := s.workload.ID; s.verb {
	case create:
		return cp.bringUp(ctx, w, s.workload)
	case start:
		return cp.startAgain(ctx, w, s)
	case stop:
		return cp.stopWorkload(ctx, id)
	case reboot:
		return cp.reboot(ctx, id)
	case remove:
		cp.guests.drop(id)
		return cp.letGo(ctx, w, s.observed)
	case replace:
		return cp.replace(ctx, id)
	case update:
		return cp.resize(ctx, w, s)
	case rebase:
		return cp.rebase(ctx, w, s)
	case joining:
		return cp.join(ctx, s)
	}
	return nil
}

// bringUp makes a workload with its network and volumes, and starts it where it shall run.
func (cp *ControlPlane) bringUp(ctx context.Context, w *world, l compute.Workload) error {
	if err := cp.prepare(ctx, w, l); err != nil {
		return err
	}
	if err := cp.Engine.Create(ctx, l); err != nil {
		return errors.Join(err, cp.lostRoot(ctx, w, l.ID, err))
	}
	if l.Running {
		if err := cp.Engine.Start(ctx, l.ID); err != nil {
			return err
		}
	}
	made, known := w.tracks[l.ID]
	m := w.machines[l.ID]
	switch {
	case known && m.Rebase != "":
		return cp.rebased(w, l, made, m.Rebase)
	case !known || !w.real: // the simulator begins empty each time
		return cp.placed(w, l)
	}
	return cp.broughtBack(w, l, made, "recreate", "its container was removed from outside; made again "+remainder(l.Kind, m))
}

// remainder says what is left of a workload whose container was removed.
func remainder(kind string, m machine) string {
	switch {
	case kind != compute.KindInstance:
		return "with its data"
	case m.Image != "":
		return "with its root disk as it was when its volumes changed last, the same address and host key"
	}
	return "with a fresh root disk, the same address and host key"
}

// prepare sees to the volumes of a workload. Its network is there: hold sees to that.
func (cp *ControlPlane) prepare(ctx context.Context, w *world, l compute.Workload) error {
	volumes, ok := cp.Engine.(compute.Volumes)
	for _, m := range l.Mounts {
		if m.Volume == "" {
			continue
		}
		if !ok {
			return api.Errorf(api.Unsupported, "cannot make a volume: engine %q has none", cp.loop.engine().Name)
		}
		if err := volumes.EnsureVolume(ctx, w.volumeOf(m.Volume, l)); err != nil {
			return err
		}
	}
	return nil
}

// volumeOf is a volume that a workload mounts, as the engine makes it: one of the project's, or the workload's own.
func (w *world) volumeOf(id string, l compute.Workload) compute.Volume {
	if v, ok := w.volumes[l.Project+"/"+w.by.diskNames[id]]; ok {
		return engineVolume(v)
	}
	return compute.Volume{ID: id, Project: l.Project, Name: l.Name}
}

// startAgain starts what is there and does not run: after its owner's stop, or because it ended by itself.
func (cp *ControlPlane) startAgain(ctx context.Context, w *world, s step) error {
	if err := cp.prepare(ctx, w, s.workload); err != nil {
		return err
	}
	if err := cp.Engine.Start(ctx, s.workload.ID); err != nil {
		return err
	}
	made := w.tracks[s.workload.ID]
	if !made.ended(s.observed) {
		return cp.Store.Update(func(tx *storage.Tx) error {
			return errors.Join(cp.booted(tx, w, s.workload.ID), cp.keepTrack(tx, made, s.workload))
		})
	}
	if s.observed.FinishedAt.Sub(s.observed.StartedAt) > quickRun {
		made.Quick = 0
	}
	return cp.broughtBack(w, s.workload, made, "restart", "it "+exitReason(s.observed)+" and was started again")
}

// ended tells that a program ended by itself: nobody of us stopped it.
func (t track) ended(o compute.Observed) bool { return o.State == compute.StateExited && !t.Halted }

// heldBack is until when a program that ends again and again is not started: back-off counts from its end.
func (t track) heldBack(o compute.Observed) time.Time {
	if !t.ended(o) || t.Quick == 0 || o.FinishedAt.Sub(o.StartedAt) > quickRun {
		return time.Time{}
	}
	return o.FinishedAt.Add(backOff(t.Quick))
}

// down is the phase of what shall run and does not.
func (t track) down(o compute.Observed) (api.Phase, string) {
	switch {
	case !t.ended(o):
		return api.Pending, "starting"
	case t.Quick < crashLimit:
		return api.Pending, "starting it again: it " + exitReason(o)
	}
	return api.Failed, fmt.Sprintf("it %s, and has ended %d times in a row; it is tried again", exitReason(o), t.Quick+1)
}

// booted notes that a machine has made the boots asked for when the pass read the world.
func (cp *ControlPlane) booted(tx *storage.Tx, w *world, id string) error {
	m, err := machineTable.Get(tx, id)
	if err != nil {
		return ignoreGone(err)
	}
	m.Boot, m.Rebase = max(m.Boot, w.by.boots[id]), ""
	return machineTable.Put(tx, m)
}

func (cp *ControlPlane) stopWorkload(ctx context.Context, id string) error {
	if err := cp.setTrack(id, func(t *track) { t.Halted = true }); err != nil {
		return err
	}
	return cp.Engine.Stop(ctx, id, stopGrace)
}

// reboot stops a machine and notes that the boot asked for is under way; the next pass starts it. Between the two the
// pass sees how long it ran.
func (cp *ControlPlane) reboot(ctx context.Context, id string) error {
	if err := cp.stopWorkload(ctx, id); err != nil {
		return err
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		i, err := instanceTable.Get(tx, id)
		if err != nil {
			return ignoreGone(err)
		}
		m, err := machineTable.Get(tx, id)
		if err != nil {
			return ignoreGone(err)
		}
		m.Boot = i.Spec.Boot
		return machineTable.Put(tx, m)
	})
}

// replace removes a container that is not as wanted; the next pass makes it anew.
func (cp *ControlPlane) replace(ctx context.Context, id string) error {
	if err := cp.Engine.Stop(ctx, id, stopGrace); err != nil && !errors.Is(err, api.NotFound) {
		return err
	}
	if err := cp.Engine.Remove(ctx, id); err != nil {
		return err
	}
	return cp.Store.Update(func(tx *storage.Tx) error { return ignoreGone(trackTable.Delete(tx, id)) })
}

func (cp *ControlPlane) resize(ctx context.Context, w *world, s step) error {
	if err := cp.Engine.Update(ctx, s.workload.ID, s.workload.Limits); err != nil {
		return err
	}
	m, noun := w.ownerOf(s.workload)
	if m != nil {
		cp.note("loop", noun, m, "resize", fmt.Sprintf("%d mCPU, %d MiB, without a restart", s.workload.Limits.MilliCPU, s.workload.Limits.MemoryBytes>>20))
	}
	return nil
}

// placed records the first making of a workload.
func (cp *ControlPlane) placed(w *world, l compute.Workload) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		return errors.Join(cp.booted(tx, w, l.ID), cp.recordPlaced(tx, w, l))
	})
}

func (cp *ControlPlane) recordPlaced(tx *storage.Tx, w *world, l compute.Workload) error {
	if err := trackTable.Put(tx, track{ID: l.ID, Owner: l.Owner}); err != nil {
		return err
	}
	m, noun := w.ownerOf(l)
	if m == nil {
		return nil
	}
	detail := "on this host"
	if l.Address != "" {
		detail = "address " + l.Address
	}
	return cp.record(tx, platform("loop"), noun, m, "place", detail)
}

// adopt puts right what a control plane that was ended in between could not write down: workloads that it had made, and
// that some it was about to stop run on.
func (cp *ControlPlane) adopt(w *world) []write {
	var writes []write
	first := cp.loop.first()
	for _, l := range w.planned {
		o, there := w.observed[l.ID]
		t, known := w.tracks[l.ID]
		if first && known && t.Halted && l.Running && o.State == compute.StateRunning && !cp.loop.busy(l.ID) {
			writes = append(writes, func(tx *storage.Tx) error { return cp.putTrack(tx, l.ID, func(t *track) { t.Halted = false }) })
		}
		if !there || known || cp.loop.busy(l.ID) {
			continue
		}
		writes = append(writes, func(tx *storage.Tx) error {
			if _, err := trackTable.Get(tx, l.ID); !errors.Is(err, api.NotFound) {
				return err // written since w was read
			}
			return cp.recordPlaced(tx, w, l)
		})
	}
	return writes
}

// broughtBack records that the platform repaired something.
func (cp *ControlPlane) broughtBack(w *world, l compute.Workload, t track, verb, why string) error {
	t.ID, t.Owner, t.Halted = l.ID, l.Owner, false
	t.Restarts++
	t.Quick++
	t.Reason = fmt.Sprintf("%s at %s", why, cp.Now().UTC().Format("15:04:05Z"))
	return cp.Store.Update(func(tx *storage.Tx) error {
		if err := errors.Join(cp.booted(tx, w, l.ID), trackTable.Put(tx, t)); err != nil {
			return err
		}
		m, noun := w.ownerOf(l)
		if m == nil {
			return nil
		}
		return cp.record(tx, platform("loop"), noun, m, verb, why)
	})
}

func (cp *ControlPlane) keepTrack(tx *storage.Tx, t track, l compute.Workload) error {
	return cp.putTrack(tx, l.ID, func(was *track) { *was = track{ID: l.ID, Owner: l.Owner, Restarts: t.Restarts} })
}

func (cp *ControlPlane) setTrack(id string, fn func(*track)) error {
	return cp.Store.Update(func(tx *storage.Tx) error { return cp.putTrack(tx, id, fn) })
}

// putTrack changes a track that is there.
func (cp *ControlPlane) putTrack(tx *storage.Tx, id string, fn func(*track)) error {
	t, err := trackTable.Get(tx, id)
	if err != nil {
		return ignoreGone(err)
	}
	fn(&t)
	return trackTable.Put(tx, t)
}

func ignoreGone(err error) error {
	if errors.Is(err, api.NotFound) {
		return nil
	}
	return err
}

// sweep cleans up after nouns that are gone: the volumes of deleted databases, images of deleted apps, and one-off
// containers that an earlier control plane left.
func (cp *ControlPlane) sweep(ctx context.Context, w *world) {
	for _, d := range w.databases {
		if _, there := w.observed[d.ID]; d.DeletedAt != nil && !there && !w.backingUp(d) && !cp.loop.busy(d.ID) && !cp.loop.busy(d.ID+archiveSuffix) {
			cp.loop.dispatch(ctx, d.ID+"/volume", time.Minute, func(ctx context.Context) error { return cp.dropDatabase(ctx, d, w.servers[d.ID].Volume) })
		}
	}
	for id, o := range w.observed {
		if left := o.Kind == compute.KindHelper || o.Kind == compute.KindBuilder; left && !cp.helpers.has(id) {
			cp.loop.dispatch(ctx, id, time.Minute, func(ctx context.Context) error { return cp.Engine.Remove(ctx, id) })
		}
	}
}
