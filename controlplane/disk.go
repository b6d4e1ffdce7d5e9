package controlplane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

const (
	copyTimeout  = 30 * time.Minute // of a disk's whole content
	measureEvery = 20 * time.Second
)

// mountedBy are the workloads that mount a disk now, running or not.
func (w *world) mountedBy(disk string) []string { return w.by.mounts[disk] }

// awaits says what keeps a disk from being made: the one it begins as a copy of. "" for nothing.
func (w *world) awaits(d disk) string {
	if d.From == "" || w.disks[d.From].Ready {
		return ""
	}
	return "waiting for what it is a copy of"
}

// tendDisks makes, fills and removes the disks behind volumes and snapshots. A disk that is ready is never filled again,
// and nothing mounts one before it is ready.
func (cp *ControlPlane) tendDisks(ctx context.Context, w *world) {
	for _, v := range w.volumes {
		cp.tendDisk(ctx, w, v.Meta, func(ctx context.Context, d disk) error { return cp.makeVolume(ctx, v, d) },
			func(ctx context.Context) error { return cp.dropVolume(ctx, v) })
	}
	for _, s := range w.snapshots {
		cp.tendDisk(ctx, w, s.Meta, func(ctx context.Context, d disk) error { return cp.makeSnapshot(ctx, s, d) },
			func(ctx context.Context) error { return cp.dropSnapshot(ctx, s) })
	}
	cp.measureVolumes(ctx, w)
}

func (cp *ControlPlane) tendDisk(ctx context.Context, w *world, m api.Meta, fill func(context.Context, disk) error, drop func(context.Context) error) {
	d := w.disks[m.ID]
	switch {
	case w.damaged[m.ID]:
	case m.DeletedAt != nil && len(w.mountedBy(m.ID)) == 0:
		cp.loop.dispatch(ctx, m.ID, time.Minute, drop)
	case m.DeletedAt != nil:
	case !w.real && w.used[m.ID] == vanished: // the simulator begins empty each time
		cp.loop.dispatch(ctx, m.ID, time.Minute, func(ctx context.Context) error {
			return cp.remake(ctx, w.volumeOf(m.ID, compute.Workload{Project: m.Project, Name: m.Name}))
		})
	case !d.Ready && w.awaits(d) == "":
		cp.loop.dispatch(ctx, m.ID, copyTimeout, func(ctx context.Context) error { return fill(ctx, d) })
	}
}

// makeDisk makes a disk and fills it. Cut off anywhere it is called again, and copies anew.
func (cp *ControlPlane) makeDisk(ctx context.Context, v compute.Volume, d disk) (made compute.Volume, err error) {
	engine, ok := cp.Engine.(compute.Volumes)
	if !ok {
		return made, api.Errorf(api.Unsupported, "cannot make a volume: engine %q has none", cp.loop.engine().Name)
	}
	if err := engine.EnsureVolume(ctx, v); err != nil {
		return made, err
	}
	if d.From != "" {
		copier, ok := cp.Engine.(compute.Copier)
		if !ok {
			return made, api.Errorf(api.Unsupported, "cannot copy a volume: engine %q copies none", cp.loop.engine().Name)
		}
		if err := copier.CopyVolume(ctx, d.From, v.ID); err != nil {
			return made, err
		}
	}
	all, err := engine.ListVolumes(ctx)
	if err != nil {
		return made, err
	}
	at := slices.IndexFunc(all, func(is compute.Volume) bool { return is.ID == v.ID })
	if at < 0 {
		return made, api.Errorf(api.Unavailable, "cannot find volume %q, which was just made", v.ID)
	}
	return all[at], nil
}

// diskReady writes down that a disk is filled, and who did it, once.
func (cp *ControlPlane) diskReady(noun string, m api.Meta, detail string, change func(*storage.Tx, *disk) error) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		d, err := diskTable.Get(tx, m.ID)
		if err != nil || d.Ready {
			return ignoreGone(err)
		}
		d.Ready = true
		if err := change(tx, &d); err != nil {
			return err
		}
		if err := diskTable.Put(tx, d); err != nil {
			return err
		}
		return cp.record(tx, platform("loop"), noun, &m, "place", detail)
	})
}

// remake makes a disk that its engine forgot.
func (cp *ControlPlane) remake(ctx context.Context, v compute.Volume) error {
	engine, ok := cp.Engine.(compute.Volumes)
	if !ok {
		return nil
	}
	err := engine.EnsureVolume(ctx, v)
	if err == nil {
		cp.used.set(v.ID, 0)
	}
	return err
}

// dropDisk destroys the data of a disk that its owner deleted.
func (cp *ControlPlane) dropDisk(ctx context.Context, id string) error {
	engine, ok := cp.Engine.(compute.Volumes)
	if !ok {
		return nil
	}
	return engine.RemoveVolume(ctx, id)
}

// usage is what was measured of volumes last.
type usage struct {
	mu    sync.Mutex
	bytes map[string]int64 // by id; vanished: the engine has none
}

const vanished = -1

func (u *usage) all() map[string]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.bytes)
}

func (u *usage) set(id string, bytes int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bytes[id] = bytes
}

// keep forgets the volumes that are not among those given.
func (u *usage) keep(volumes []api.Volume) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(u.bytes, func(id string, _ int64) bool {
		return !slices.ContainsFunc(volumes, func(v api.Volume) bool { return v.ID == id })
	})
}

// measureVolumes looks now and then how much volumes hold.
func (cp *ControlPlane) measureVolumes(ctx context.Context, w *world) {
	var ready []api.Volume
	for _, v := range w.volumes {
		if w.disks[v.ID].Ready && v.DeletedAt == nil {
			ready = append(ready, v)
		}
	}
	if len(ready) == 0 || cp.Now().Before(cp.measureDue) {
		return
	}
	cp.measureDue = cp.Now().Add(measureEvery)
	cp.used.keep(ready)
	cp.loop.dispatch(ctx, "volumes", 5*time.Minute, func(ctx context.Context) error {
		var errs []error
		for _, v := range ready {
			errs = append(errs, cp.measureVolume(ctx, v))
		}
		return errors.Join(errs...)
	})
}

func (cp *ControlPlane) measureVolume(ctx context.Context, v api.Volume) error {
	engine, ok := cp.Engine.(compute.Volumes)
	if !ok {
		return nil
	}
	n, err := engine.VolumeBytes(ctx, v.ID)
	switch {
	case err == nil:
		cp.used.set(v.ID, n)
	case errors.Is(err, api.NotFound):
		cp.used.set(v.ID, vanished)
	case errors.Is(err, api.Unavailable): // not measured yet
		return nil
	default:
		return err
	}
	return nil
}

// sizeText is a number of bytes for people.
func sizeText(n int64) string {
	for _, unit := range []struct {
		bytes int64
		name  string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.bytes {
			return fmt.Sprintf("%.4g %s", float64(n)/float64(unit.bytes), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
