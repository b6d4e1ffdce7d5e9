package sim

import (
	"context"
	"slices"
	"strings"

	"nuage/api"
	"nuage/compute"
)

// EnsureVolume notes the volume down. Nothing holds it to its size.
func (e *Engine) EnsureVolume(ctx context.Context, v compute.Volume) error {
	return e.do(ctx, "volume", func() error {
		if err := v.Check(); err != nil {
			return err
		}
		if _, there := e.state.volumes[e.key(v.ID)]; !there {
			v.Enforced = false
			e.state.volumes[e.key(v.ID)] = v
		}
		return nil
	})
}

// CopyVolume makes to as full as from.
func (e *Engine) CopyVolume(ctx context.Context, from, to string) error {
	if from == to {
		return api.Errorf(api.Invalid, "cannot copy volume %q to itself", from)
	}
	return e.do(ctx, "copy", func() error {
		for _, id := range []string{from, to} {
			if _, ok := e.state.volumes[e.key(id)]; !ok {
				return api.Errorf(api.NotFound, "cannot copy volume %q to %q: there is no volume %s", from, to, id)
			}
		}
		if id := e.mounter(to); id != "" {
			return api.Errorf(api.Conflict, "cannot copy to volume %q: workload %q mounts it; remove that first", to, id)
		}
		e.state.filled[e.key(to)] = e.state.filled[e.key(from)]
		return nil
	})
}

// mounter is a workload that mounts the volume, or "".
func (e *Engine) mounter(volume string) string {
	for k, b := range e.state.boxes {
		mounts := func(m compute.Mount) bool { return m.Volume == volume }
		if k.cloud == e.cloud && slices.ContainsFunc(b.spec.Mounts, mounts) {
			return k.id
		}
	}
	return ""
}

// RemoveVolume forgets a volume that no workload mounts.
func (e *Engine) RemoveVolume(ctx context.Context, id string) error {
	return e.do(ctx, "volume", func() error {
		if by := e.mounter(id); by != "" {
			return api.Errorf(api.Conflict, "cannot remove volume %q: workload %q mounts it", id, by)
		}
		delete(e.state.volumes, e.key(id))
		delete(e.state.filled, e.key(id))
		return nil
	})
}

// ListVolumes returns this cloud's volumes, by id.
func (e *Engine) ListVolumes(ctx context.Context) ([]compute.Volume, error) {
	all := []compute.Volume{}
	err := e.do(ctx, "volume", func() error {
		for k, v := range e.state.volumes {
			if k.cloud == e.cloud {
				all = append(all, v)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b compute.Volume) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// VolumeBytes is 0, or what Faults.Fill said.
func (e *Engine) VolumeBytes(ctx context.Context, id string) (int64, error) {
	var bytes int64
	err := e.do(ctx, "volume", func() error {
		if _, ok := e.state.volumes[e.key(id)]; !ok {
			return api.Errorf(api.NotFound, "cannot measure volume %q: the engine has no such volume", id)
		}
		bytes = e.state.filled[e.key(id)]
		return nil
	})
	return bytes, err
}
