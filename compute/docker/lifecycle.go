package docker

import (
	"context"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"nuage/api"
	"nuage/compute"
)

// Start starts the container. One whose network was removed and made again is put into the new one first.
func (e *Engine) Start(ctx context.Context, id string) error {
	if err := e.uncovered(ctx, id); err != nil {
		return err
	}
	defer e.seen.start(id)()
	err := e.cli.ContainerStart(ctx, e.name(id), container.StartOptions{})
	if err != nil && networkGone(err) {
		if err := e.reconnect(ctx, id); err != nil {
			return err
		}
		err = e.cli.ContainerStart(ctx, e.name(id), container.StartOptions{})
	}
	if err != nil {
		return failed(err, "start %q", id)
	}
	return nil
}

// networkGone recognizes that a container was made in a network of which the id is unknown now.
func networkGone(err error) bool {
	text := err.Error()
	return cerrdefs.IsNotFound(err) && strings.Contains(text, "network ") && strings.HasSuffix(text, " not found")
}

// reconnect puts a stopped container into the network that has the name of its own now, with the same address and
// names. To the engine that is one change. NotFound: there is no such network.
func (e *Engine) reconnect(ctx context.Context, id string) error {
	c, err := e.cli.ContainerInspect(ctx, e.name(id))
	if err != nil {
		return failed(err, "start %q", id)
	}
	for name, was := range c.NetworkSettings.Networks {
		netID, ours := strings.CutPrefix(name, e.prefix)
		if !ours {
			continue
		}
		n, err := e.network(ctx, netID)
		if cerrdefs.IsNotFound(err) && name != own(c) { // one that it had joined: who wants it there joins it again
			if err := e.Leave(ctx, id, netID); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return failed(err, "start %q in network %q", id, netID)
		}
		aliases := slices.DeleteFunc(slices.Clone(was.Aliases), func(a string) bool { return strings.HasPrefix(c.ID, a) })
		to := &network.EndpointSettings{IPAMConfig: was.IPAMConfig, Aliases: aliases}
		if err := e.cli.NetworkConnect(ctx, n.ID, c.ID, to); err != nil {
			return failed(err, "put %q into network %q", id, netID)
		}
	}
	return nil
}

// Stop sends the container's stop signal and kills after grace, in whole seconds.
func (e *Engine) Stop(ctx context.Context, id string, grace time.Duration) error {
	defer e.seen.change(id)
	seconds := int(max(0, grace+time.Second-1) / time.Second)
	err := e.cli.ContainerStop(ctx, e.name(id), container.StopOptions{Timeout: &seconds})
	if err != nil && !cerrdefs.IsNotFound(err) {
		return failed(err, "stop %q", id)
	}
	return nil
}

// Remove kills and removes the container, and the volumes that its image made without a name.
func (e *Engine) Remove(ctx context.Context, id string) error {
	defer e.seen.change(id)
	if err := e.started(ctx, id); err != nil {
		return err
	}
	e.unused()
	return e.remove(ctx, e.name(id), id)
}

const (
	startTime = 5 * time.Second        // an engine may take to start a container
	freshTime = 300 * time.Millisecond // a start that was asked for shows within that
)

// started waits for the end of a start that may be under way, as one that a killed process has asked for is: engines
// that remove a container while they start it count it in its network for ever, which then can't be removed.
func (e *Engine) started(ctx context.Context, id string) error {
	begin := time.Now()
	return until(ctx, "remove \""+id+"\"", func(ctx context.Context) (bool, error) {
		c, err := e.cli.ContainerInspect(ctx, e.name(id))
		if cerrdefs.IsNotFound(err) {
			return true, nil
		}
		if err != nil {
			return false, failed(err, "remove %q", id)
		}
		begun := time.Since(timeOf(c.Created)) < freshTime || c.NetworkSettings != nil && c.NetworkSettings.SandboxID != ""
		starting := stateOf(c.State) == compute.StateCreated && c.State.Error == "" && begun
		return !starting || time.Since(begin) > startTime, nil
	})
}

func (e *Engine) remove(ctx context.Context, ref, id string) error {
	return until(ctx, "remove \""+id+"\"", func(ctx context.Context) (bool, error) {
		err := e.cli.ContainerRemove(ctx, ref, container.RemoveOptions{Force: true, RemoveVolumes: true})
		switch {
		case err == nil, cerrdefs.IsNotFound(err):
			return true, nil
		case cerrdefs.IsConflict(err) && strings.Contains(err.Error(), "already in progress"):
			return e.vanished(ctx, id)
		}
		return false, failed(err, "remove %q", id)
	})
}

// vanished says whether the container is gone.
func (e *Engine) vanished(ctx context.Context, id string) (bool, error) {
	_, err := e.cli.ContainerInspect(ctx, e.name(id))
	if cerrdefs.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, failed(err, "see whether %q is gone", id)
	}
	return false, nil
}

// Update changes limits of a container, running or not. A zero field is left as it is.
func (e *Engine) Update(ctx context.Context, id string, limits compute.Limits) error {
	if err := limits.Check(); err != nil {
		return err
	}
	c, err := e.cli.ContainerInspect(ctx, e.name(id))
	if err != nil {
		return failed(err, "update %q", id)
	}
	if c.State.Running && limits.MemoryBytes > 0 && limits.MemoryBytes < c.HostConfig.Memory {
		if err := e.fits(ctx, id, limits.MemoryBytes); err != nil {
			return err
		}
	}
	defer e.seen.change(id)
	if _, err := e.cli.ContainerUpdate(ctx, e.name(id), container.UpdateConfig{Resources: resources(limits)}); err != nil {
		return failed(err, "update %q", id)
	}
	return nil
}

// fits refuses a memory limit below what is in use: cgroup v2 would kill instead of refusing.
func (e *Engine) fits(ctx context.Context, id string, bytes int64) error {
	s, err := e.Stats(ctx, id)
	if err != nil {
		return err
	}
	if s.MemoryBytes > uint64(bytes) {
		return api.Errorf(api.Conflict, "cannot update %q: it uses %d bytes of memory, more than the %d asked for; stop it first", id, s.MemoryBytes, bytes)
	}
	return nil
}
