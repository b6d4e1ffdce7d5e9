package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"

	"nuage/api"
	"nuage/compute"
)

const (
	guestDir   = "/.nuage"
	guestFile  = "nuage-guest"
	guestPath  = guestDir + "/" + guestFile
	sharedness = "shared" // the label nuage.cloud of what all clouds of an engine use
)

// guestVolume names the volume with the guest binary. All clouds on this engine share it; its content never
// changes, another binary has another version.
func (e *Engine) guestVolume() string {
	if e.o.GuestVolume != "" {
		return e.o.GuestVolume
	}
	return "nuage-guest-" + e.o.GuestVersion + "-" + e.arch
}

func (e *Engine) guestMount(readOnly bool) mount.Mount {
	return mount.Mount{
		Type: mount.TypeVolume, Source: e.guestVolume(), Target: guestDir, ReadOnly: readOnly,
		VolumeOptions: &mount.VolumeOptions{NoCopy: true},
	}
}

// sameSecond is how old a volume must be before its time of creation, in whole seconds, tells it from one that was there
// before under the same name.
const sameSecond = 2 * time.Second

// guestTrust is how long a volume that was found whole is not looked at again: many machines are made at once.
const guestTrust = time.Second

// ensureGuest sees that the volume holds the whole binary. An image is needed to make a container to copy
// through; any will do, as the container is never started.
func (e *Engine) ensureGuest(ctx context.Context, image string) error {
	if len(e.o.Guest) == 0 {
		return api.Errorf(api.Unsupported, "cannot run a guest: this build of nuage has no guest binary, run `make build`")
	}
	e.guest.Lock()
	defer e.guest.Unlock()
	if time.Since(e.whole) < guestTrust {
		return nil
	}
	labels := map[string]string{compute.LabelCloud: sharedness, compute.LabelKind: compute.KindHelper}
	v, err := e.cli.VolumeCreate(ctx, volume.CreateOptions{Name: e.guestVolume(), Labels: labels})
	if err != nil {
		return failed(err, "make the guest's volume")
	}
	if v.CreatedAt != "" && v.CreatedAt == e.filled && time.Since(timeOf(v.CreatedAt)) > sameSecond {
		e.whole = time.Now()
		return nil
	}
	if err := e.fillGuest(ctx, image); err != nil {
		return err
	}
	e.filled, e.whole = v.CreatedAt, time.Now()
	e.removeOldGuests(ctx)
	return nil
}

// unused notes that the guest's volume may have lost its last user, and with that what keeps it from being removed.
func (e *Engine) unused() {
	e.guest.Lock()
	defer e.guest.Unlock()
	e.whole = time.Time{}
}

// guestCopier is the container through which the guest is copied, one a cloud: one that is there was left by a process
// that was killed.
const guestCopier = "guest"

// fillGuest copies the binary into the volume unless it is there. What an interrupted copy left has another size.
func (e *Engine) fillGuest(ctx context.Context, image string) (err error) {
	if err := e.remove(ctx, e.name(guestCopier), guestCopier); err != nil {
		return err
	}
	box, err := e.cli.ContainerCreate(ctx,
		&container.Config{Image: image, Entrypoint: []string{guestPath}, Cmd: []string{}, Labels: map[string]string{
			compute.LabelCloud: sharedness, compute.LabelKind: compute.KindHelper, compute.LabelTemplate: "", // over the image's
		}},
		&container.HostConfig{NetworkMode: "none", Mounts: []mount.Mount{e.guestMount(false)}}, nil, nil, e.name(guestCopier))
	if err != nil {
		return failed(err, "copy the guest")
	}
	defer func() {
		gone := e.cli.ContainerRemove(context.WithoutCancel(ctx), box.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		if gone != nil && err == nil {
			err = failed(gone, "remove the container that copied the guest")
		}
	}()
	stat, err := e.cli.ContainerStatPath(ctx, box.ID, guestPath)
	if err == nil && stat.Size == int64(len(e.o.Guest)) {
		return nil
	}
	content, err := guestTar(e.o.Guest)
	if err != nil {
		return err
	}
	if err := e.cli.CopyToContainer(ctx, box.ID, guestDir, content, container.CopyToContainerOptions{}); err != nil {
		return failed(err, "copy the guest")
	}
	return nil
}

// guestAge is how long an unused guest of another version is kept.
const guestAge = 24 * time.Hour

// removeOldGuests removes the volumes of earlier versions that no container mounts any more. Another cloud that
// still has such a version fills it again when it needs it.
func (e *Engine) removeOldGuests(ctx context.Context) {
	f := filters.NewArgs(filters.Arg("label", compute.LabelCloud+"="+sharedness), filters.Arg("dangling", "true"))
	all, err := e.cli.VolumeList(ctx, volume.ListOptions{Filters: f})
	if err != nil {
		e.log.Debug("cannot look for guests of earlier versions", "err", err)
		return
	}
	for _, v := range all.Volumes {
		made, err := time.Parse(time.RFC3339, v.CreatedAt)
		if err != nil || time.Since(made) < guestAge || v.Name == e.guestVolume() {
			continue
		}
		if err := e.cli.VolumeRemove(ctx, v.Name, false); err != nil {
			e.log.Debug("cannot remove the guest of an earlier version", "volume", v.Name, "err", err)
		}
	}
}

func guestTar(binary []byte) (*bytes.Buffer, error) {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	err := t.WriteHeader(&tar.Header{Name: guestFile, Mode: 0o555, Size: int64(len(binary)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = t.Write(binary)
	}
	if err == nil {
		err = t.Close()
	}
	if err != nil {
		return nil, api.Errorf(api.Internal, "cannot pack the guest: %w", err)
	}
	return &b, nil
}

// isMachine says whether the labels are of a workload whose PID 1 speaks on stdin and stdout.
func isMachine(labels map[string]string) bool {
	return labels[labelGuest] == string(compute.GuestMachine)
}
