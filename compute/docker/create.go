package docker

import (
	"context"
	"slices"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"

	"nuage/api"
	"nuage/compute"
)

// Create makes the container. Several callers with the same workload make one.
func (e *Engine) Create(ctx context.Context, w compute.Workload) error {
	if err := w.Check(); err != nil {
		return err
	}
	what := "create \"" + w.ID + "\""
	return until(ctx, what, func(ctx context.Context) (bool, error) {
		if there, err := e.present(ctx, w); there || err != nil {
			return there, err
		}
		img, err := e.require(ctx, w)
		if err != nil {
			return false, err
		}
		return e.create(ctx, w, img)
	})
}

// present says whether the container exists as wanted. Conflict: it exists otherwise, or is half removed.
func (e *Engine) present(ctx context.Context, w compute.Workload) (bool, error) {
	c, err := e.cli.ContainerInspect(ctx, e.name(w.ID))
	if cerrdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, failed(err, "create %q", w.ID)
	}
	switch labels := c.Config.Labels; {
	case labels[compute.LabelCloud] != e.o.CloudID || labels[compute.LabelID] != w.ID:
		return false, api.Errorf(api.Conflict, "cannot create %q: a container %q is there that this cloud did not make; remove it", w.ID, e.name(w.ID))
	case c.State.Status == "removing":
		_, err := e.vanished(ctx, w.ID)
		return false, err
	case c.State.Dead:
		return false, api.Errorf(api.Conflict, "cannot create %q: it is half removed; remove it first", w.ID)
	case labels[compute.LabelTemplate] != w.Template():
		return false, api.Errorf(api.Conflict, "cannot create %q: it exists with other settings; remove it first", w.ID)
	}
	return true, nil
}

// require sees that all the workload refers to is there: an engine would make up missing volumes and notice
// a missing network or a taken address only at the start.
func (e *Engine) require(ctx context.Context, w compute.Workload) (image.InspectResponse, error) {
	img, err := e.inspectImage(ctx, w.Image)
	if cerrdefs.IsNotFound(err) {
		return img, api.Errorf(api.NotFound, "cannot create %q: the engine has no image %q", w.ID, w.Image)
	}
	if err != nil {
		return img, failed(err, "create %q from image %q", w.ID, w.Image)
	}
	for _, m := range w.Mounts {
		if err := e.requireMount(ctx, w.ID, m); err != nil {
			return img, err
		}
	}
	if w.Network != "" {
		if err := e.requireAddress(ctx, w); err != nil {
			return img, err
		}
	}
	if w.Guest != compute.GuestNone {
		return img, e.ensureGuest(ctx, w.Image)
	}
	return img, nil
}

func (e *Engine) requireMount(ctx context.Context, id string, m compute.Mount) error {
	if m.Host != "" {
		if !e.local() {
			return api.Errorf(api.Unsupported, "cannot create %q: the engine is on another machine and does not see directory %q", id, m.Host)
		}
		return nil
	}
	if _, err := e.volume(ctx, m.Volume); err != nil {
		return failed(err, "create %q with volume %q", id, m.Volume)
	}
	return nil
}

// requireAddress checks the network, and that no other workload was made with the address.
func (e *Engine) requireAddress(ctx context.Context, w compute.Workload) error {
	n, err := e.network(ctx, w.Network)
	if err != nil {
		return failed(err, "create %q in network %q", w.ID, w.Network)
	}
	if w.Address == "" {
		return nil
	}
	prefix, err := networkOf(n).Prefix()
	if err != nil {
		return err
	}
	if err := compute.CheckAddress(w.Address, prefix); err != nil {
		return err
	}
	by, err := e.holder(ctx, w)
	if err == nil && by != "" {
		err = api.Errorf(api.Conflict, "cannot create %q: address %s is in use by %q", w.ID, w.Address, by)
	}
	return err
}

// create asks the engine. done is false where somebody else was making or removing the same container.
func (e *Engine) create(ctx context.Context, w compute.Workload, img image.InspectResponse) (done bool, err error) {
	config, host := e.config(w, img), e.hostConfig(w)
	res, err := e.cli.ContainerCreate(ctx, config, host, e.endpoint(w), nil, e.name(w.ID))
	if cerrdefs.IsConflict(err) {
		return false, nil
	}
	if err != nil {
		return false, failed(err, "create %q", w.ID)
	}
	e.seen.made(e.asMade(w, res.ID), time.Now())
	for _, warning := range res.Warnings {
		e.log.Debug("engine warns", "workload", w.ID, "warning", warning)
	}
	return true, nil
}

// asMade is what an inspection would tell of a container that was just made.
func (e *Engine) asMade(w compute.Workload, id string) compute.Observed {
	return compute.Observed{
		ID: w.ID, Owner: w.Owner, Kind: w.Kind, Project: w.Project, Name: w.Name, Generation: w.Generation, Template: w.Template(),
		Engine: id, Image: w.Image, State: compute.StateCreated, Address: w.Address, Limits: w.Limits, Mounts: e.mountsOf(e.mounts(w)),
	}
}

// endpoint is how the container is in its network.
func (e *Engine) endpoint(w compute.Workload) *network.NetworkingConfig {
	if w.Network == "" {
		return nil
	}
	s := &network.EndpointSettings{Aliases: slices.Clone(w.Aliases)}
	if w.Address != "" {
		s.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: w.Address}
	}
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{e.name(w.Network): s}}
}

// containers lists this cloud's containers. Containers that others made from images of ours carry the image's
// labels, but neither a template nor the right name.
func (e *Engine) containers(ctx context.Context) ([]container.Summary, error) {
	all, err := e.cli.ContainerList(ctx, container.ListOptions{All: true, Filters: e.ours(compute.LabelTemplate)})
	if err != nil {
		return nil, failed(err, "list workloads")
	}
	return slices.DeleteFunc(all, func(c container.Summary) bool {
		return !slices.Contains(c.Names, "/"+e.name(c.Labels[compute.LabelID]))
	}), nil
}

// users lists this cloud's containers that were made in the network or have joined it. The engine's own filter knows only those
// that have been started.
func (e *Engine) users(ctx context.Context, network string) ([]container.Summary, error) {
	all, err := e.containers(ctx)
	return slices.DeleteFunc(all, func(c container.Summary) bool {
		joined := c.NetworkSettings != nil && c.NetworkSettings.Networks[e.name(network)] != nil
		return c.HostConfig.NetworkMode != e.name(network) && !joined
	}), err
}
