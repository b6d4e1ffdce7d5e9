package docker

import (
	"context"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"nuage/api"
)

// Join connects a container to a further network. One that is in it by that name only, because the network was removed and made
// again while the container did not run, is connected to the one that is there now.
func (e *Engine) Join(ctx context.Context, id, net string, aliases []string) error {
	c, err := e.cli.ContainerInspect(ctx, e.name(id))
	if err != nil {
		return failed(err, "put %q into network %q", id, net)
	}
	n, err := e.network(ctx, net)
	if err != nil {
		return failed(err, "put %q into network %q", id, net)
	}
	if own(c) == e.name(net) {
		return nil
	}
	if is := c.NetworkSettings.Networks[e.name(net)]; is != nil && (is.NetworkID == n.ID || is.NetworkID == "" && !c.State.Running) {
		return nil
	}
	defer e.seen.change(id)
	err = e.cli.NetworkConnect(ctx, n.ID, c.ID, &network.EndpointSettings{Aliases: slices.Clone(aliases)})
	if err != nil && !strings.Contains(err.Error(), "already exists in network") { // another caller was first
		return failed(err, "put %q into network %q", id, net)
	}
	return nil
}

// Leave disconnects a container from a network that it was not made in.
func (e *Engine) Leave(ctx context.Context, id, net string) error {
	c, err := e.cli.ContainerInspect(ctx, e.name(id))
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return failed(err, "take %q out of network %q", id, net)
	}
	if own(c) == e.name(net) {
		return api.Errorf(api.Conflict, "cannot take %q out of network %q: it was made in it", id, net)
	}
	if c.NetworkSettings.Networks[e.name(net)] == nil {
		return nil
	}
	defer e.seen.change(id)
	err = e.cli.NetworkDisconnect(ctx, e.name(net), c.ID, true)
	if err != nil && !cerrdefs.IsNotFound(err) && !strings.Contains(err.Error(), "is not connected to") {
		return failed(err, "take %q out of network %q", id, net)
	}
	return nil
}

// own is the engine's name of the network that a container was made in.
func own(c container.InspectResponse) string {
	if c.HostConfig == nil {
		return ""
	}
	return string(c.HostConfig.NetworkMode)
}

// joined is the ids of the further networks of this cloud that a container is in.
func (e *Engine) joined(c container.InspectResponse) []string {
	var all []string
	if c.NetworkSettings == nil {
		return nil
	}
	for name := range c.NetworkSettings.Networks {
		if id, ours := strings.CutPrefix(name, e.prefix); ours && name != own(c) {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}
