package docker

import (
	"context"
	"errors"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"golang.org/x/sync/errgroup"

	"nuage/api"
	"nuage/compute"
)

// RemoveAll removes this cloud's containers, networks, volumes and images. What fails does not stop the rest; the
// volume with the guest belongs to all clouds and stays.
func (e *Engine) RemoveAll(ctx context.Context) error {
	return errors.Join(e.removeUsers(ctx), e.removeVolumes(ctx), e.removeImages(ctx))
}

// removeUsers removes containers and networks, again where the engine was still making or removing a container for a
// process that was killed.
func (e *Engine) removeUsers(ctx context.Context) error {
	return until(ctx, "remove all of the cloud", func(ctx context.Context) (bool, error) {
		err := errors.Join(e.removeContainers(ctx), e.removeNetworks(ctx))
		if errors.Is(err, api.Conflict) {
			e.log.Debug("something is still in use", "err", err)
			return false, nil
		}
		return true, err
	})
}

func (e *Engine) removeContainers(ctx context.Context) error {
	all, err := e.containers(ctx)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(inspections)
	g.Go(func() error { return e.remove(ctx, e.name(guestCopier), guestCopier) })
	for _, c := range all {
		g.Go(func() error { return e.Remove(ctx, c.Labels[compute.LabelID]) })
	}
	return g.Wait()
}

func (e *Engine) removeNetworks(ctx context.Context) error {
	all, err := e.ListNetworks(ctx)
	for _, n := range all {
		err = errors.Join(err, e.RemoveNetwork(ctx, n.ID))
	}
	return err
}

func (e *Engine) removeVolumes(ctx context.Context) error {
	all, err := e.ListVolumes(ctx)
	for _, v := range all {
		err = errors.Join(err, e.RemoveVolume(ctx, v.ID))
	}
	return err
}

func (e *Engine) removeImages(ctx context.Context) error {
	all, err := e.cli.ImageList(ctx, image.ListOptions{Filters: e.ours()})
	if err != nil {
		return failed(err, "list images")
	}
	for _, img := range all {
		_, gone := e.cli.ImageRemove(ctx, img.ID, image.RemoveOptions{Force: true, PruneChildren: true})
		if gone != nil && !cerrdefs.IsNotFound(gone) {
			err = errors.Join(err, failed(gone, "remove image %q", img.ID))
		}
	}
	return err
}
