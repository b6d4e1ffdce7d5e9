package sim

import (
	"context"
	"slices"
	"strings"

	"nuage/api"
	"nuage/compute"
)

// EnsureVolume notes the volume down.
func (e *Engine) EnsureVolume(ctx context.Context, v compute.Volume) error {
	return e.do(ctx, "volume", func() error {
		if err := compute.CheckID(v.ID); err != nil {
			return err
		}
		e.state.volumes[e.key(v.ID)] = v
		return nil
	})
}

// RemoveVolume forgets a volume that no workload mounts.
func (e *Engine) RemoveVolume(ctx context.Context, id string) error {
	return e.do(ctx, "volume", func() error {
		for k, b := range e.state.boxes {
			mounts := func(m compute.Mount) bool { return m.Volume == id }
			if k.cloud == e.cloud && slices.ContainsFunc(b.spec.Mounts, mounts) {
				return api.Errorf(api.Conflict, "cannot remove volume %q: workload %q mounts it", id, k.id)
			}
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
