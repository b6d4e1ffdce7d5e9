package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
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

// ensureGuest sees that the volume holds the whole binary. An image is needed to make a container to copy
// through; any will do, as the container is never started.
func (e *Engine) ensureGuest(ctx context.Context, image string) error {
	if len(e.o.Guest) == 0 {
		return api.Errorf(api.Unsupported, "cannot run a guest: this build of nuage has no guest binary, run `make build`")
	}
	e.guest.Lock()
	defer e.guest.Unlock()
	_, err := e.cli.VolumeInspect(ctx, e.guestVolume())
	if err == nil && e.guestOK {
		return nil
	}
	if err != nil && !cerrdefs.IsNotFound(err) {
		return failed(err, "look for the guest's volume")
	}
	if err := e.fillGuest(ctx, image); err != nil {
		return err
	}
	e.guestOK = true
	return nil
}

func (e *Engine) fillGuest(ctx context.Context, image string) (err error) {
	labels := map[string]string{compute.LabelCloud: sharedness, compute.LabelKind: compute.KindHelper}
	if _, err := e.cli.VolumeCreate(ctx, volume.CreateOptions{Name: e.guestVolume(), Labels: labels}); err != nil {
		return failed(err, "make the guest's volume")
	}
	for _, l := range []string{compute.LabelID, compute.LabelTemplate} {
		labels[l] = "" // the image may carry them
	}
	box, err := e.cli.ContainerCreate(ctx,
		&container.Config{Image: image, Entrypoint: []string{guestPath}, Cmd: []string{}, Labels: labels},
		&container.HostConfig{NetworkMode: "none", Mounts: []mount.Mount{e.guestMount(false)}}, nil, nil, "")
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
	return strings.EqualFold(labels[labelGuest], string(compute.GuestMachine))
}
