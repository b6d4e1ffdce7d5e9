package docker

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/volume"

	"nuage/api"
	"nuage/compute"
)

// EnsureVolume makes a local volume, held to its size where the engine can: its data lies on xfs with project quotas.
func (e *Engine) EnsureVolume(ctx context.Context, v compute.Volume) error {
	if err := v.Check(); err != nil {
		return err
	}
	is, err := e.cli.VolumeCreate(ctx, e.volumeOptions(v, true))
	if err != nil && v.Bytes > 0 && withoutQuota(err) {
		is, err = e.cli.VolumeCreate(ctx, e.volumeOptions(v, false))
	}
	if err != nil {
		return failed(err, "make volume %q", v.ID)
	}
	if is.Labels[compute.LabelCloud] != e.o.CloudID {
		return api.Errorf(api.Conflict, "cannot make volume %q: there is a volume %q that this cloud did not make", v.ID, e.name(v.ID))
	}
	return nil
}

// optionSize is the local driver's option that holds a volume to a size.
const optionSize = "size"

func (e *Engine) volumeOptions(v compute.Volume, enforced bool) volume.CreateOptions {
	o := volume.CreateOptions{Name: e.name(v.ID), Labels: map[string]string{
		compute.LabelCloud: e.o.CloudID, compute.LabelID: v.ID, compute.LabelProject: v.Project, compute.LabelName: v.Name,
	}}
	if v.Bytes > 0 {
		o.Labels[labelBytes] = strconv.FormatInt(v.Bytes, 10)
	}
	if v.Bytes > 0 && enforced {
		o.DriverOpts = map[string]string{optionSize: strconv.FormatInt(v.Bytes, 10)}
	}
	return o
}

// withoutQuota recognizes what engines say where a volume can't be held to a size.
func withoutQuota(err error) bool {
	text := err.Error()
	return strings.Contains(text, "no quota support") || strings.Contains(text, "missing required option")
}

// volumeOf reads the size of a volume from a label, and from the driver's options whether it is held to it.
func volumeOf(v *volume.Volume) compute.Volume {
	out := compute.Volume{ID: v.Labels[compute.LabelID], Project: v.Labels[compute.LabelProject], Name: v.Labels[compute.LabelName]}
	if bytes, err := strconv.ParseInt(v.Labels[labelBytes], 10, 64); err == nil { // else it has none
		out.Bytes, out.Enforced = bytes, v.Options[optionSize] != ""
	}
	return out
}

// RemoveVolume destroys a volume that no container mounts, not even a stopped one.
func (e *Engine) RemoveVolume(ctx context.Context, id string) error {
	_, err := e.volume(ctx, id)
	if err == nil {
		err = e.cli.VolumeRemove(ctx, e.name(id), false)
	}
	if err != nil && !cerrdefs.IsNotFound(err) {
		return failed(err, "remove volume %q", id)
	}
	return nil
}

// ListVolumes returns this cloud's volumes, by id.
func (e *Engine) ListVolumes(ctx context.Context) ([]compute.Volume, error) {
	found, err := e.cli.VolumeList(ctx, volume.ListOptions{Filters: e.ours(compute.LabelID)})
	if err != nil {
		return nil, failed(err, "list volumes")
	}
	all := make([]compute.Volume, 0, len(found.Volumes))
	for _, v := range found.Volumes {
		all = append(all, volumeOf(v))
	}
	slices.SortFunc(all, func(a, b compute.Volume) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// VolumeBytes counts the volume's blocks where this program may read them, and else asks the engine, which is
// slow: its answer for all volumes is used for a while.
func (e *Engine) VolumeBytes(ctx context.Context, id string) (int64, error) {
	v, err := e.volume(ctx, id)
	if err != nil {
		return 0, failed(err, "measure volume %q", id)
	}
	if e.local() {
		if n, ok := diskUsage(ctx, v.Mountpoint); ok {
			return n, nil
		}
	}
	sizes, err := e.usage.get(ctx, e.askUsage)
	if err != nil {
		return 0, failed(err, "measure volume %q", id)
	}
	n, ok := sizes[v.Name]
	if !ok {
		return 0, api.Errorf(api.Unavailable, "cannot measure volume %q: the engine has not measured it yet, try again", id)
	}
	return n, nil
}

func (e *Engine) askUsage(ctx context.Context) (map[string]int64, error) {
	du, err := e.cli.DiskUsage(ctx, types.DiskUsageOptions{Types: []types.DiskUsageObject{types.VolumeObject}})
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	for _, v := range du.Volumes {
		if v.UsageData != nil && v.UsageData.Size >= 0 {
			sizes[v.Name] = v.UsageData.Size
		}
	}
	return sizes, nil
}

// volume finds a volume of ours. The error is the client's.
func (e *Engine) volume(ctx context.Context, id string) (volume.Volume, error) {
	v, err := e.cli.VolumeInspect(ctx, e.name(id))
	if err == nil && v.Labels[compute.LabelCloud] != e.o.CloudID {
		return v, absent{"volume", id}
	}
	return v, err
}

// usageCache keeps the engine's measurement of all volumes for usageAge.
type usageCache struct {
	mu    sync.Mutex
	at    time.Time
	sizes map[string]int64
}

const usageAge = 15 * time.Second

func (u *usageCache) get(ctx context.Context, ask func(context.Context) (map[string]int64, error)) (map[string]int64, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sizes != nil && time.Since(u.at) < usageAge {
		return u.sizes, nil
	}
	sizes, err := ask(ctx)
	if err != nil {
		return nil, err
	}
	u.sizes, u.at = sizes, time.Now()
	return sizes, nil
}
