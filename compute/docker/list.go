package docker

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"golang.org/x/sync/errgroup"

	"nuage/compute"
)

const inspections = 8 // at once

// List inspects the containers of this cloud: a listing lacks exit codes, times and limits. What was inspected lately and is
// listed as it was then is not asked for again. What copies volumes just now is not shown; what a process that was killed
// has left of that is.
func (e *Engine) List(ctx context.Context) ([]compute.Observed, error) {
	found, err := e.containers(ctx)
	if err != nil {
		return nil, err
	}
	e.resumeLeft(ctx, found)
	found = slices.DeleteFunc(found, func(c container.Summary) bool { return e.copies.has(c.Labels[compute.LabelID]) })
	seen := make([]*compute.Observed, len(found))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inspections)
	for i, c := range found {
		g.Go(func() (err error) { seen[i], err = e.look(ctx, c); return err })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	e.seen.only(found, time.Now())
	all := make([]compute.Observed, 0, len(seen))
	for _, o := range seen {
		if o != nil {
			all = append(all, *o)
		}
	}
	slices.SortFunc(all, func(a, b compute.Observed) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// look says how a listed container is; nil: it is gone.
func (e *Engine) look(ctx context.Context, c container.Summary) (*compute.Observed, error) {
	now := time.Now()
	is, known, epoch := e.seen.recall(c, now)
	if known {
		return &is, nil
	}
	full, err := e.cli.ContainerInspect(ctx, c.ID)
	if cerrdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, failed(err, "look at %q", c.Labels[compute.LabelID])
	}
	o := e.observed(full)
	e.seen.remember(c, *o, epoch, now)
	return o, nil
}

func (e *Engine) observed(c container.InspectResponse) *compute.Observed {
	l := c.Config.Labels
	generation, err := strconv.ParseInt(l[compute.LabelGeneration], 10, 64)
	if err != nil {
		e.log.Warn("container has a strange label", "container", c.Name, "label", compute.LabelGeneration, "err", err)
	}
	o := &compute.Observed{
		ID: l[compute.LabelID], Owner: l[compute.LabelOwner], Kind: l[compute.LabelKind], Project: l[compute.LabelProject],
		Name: l[compute.LabelName], Generation: generation, Template: l[compute.LabelTemplate],
		Engine: c.ID, Image: c.Config.Image, State: stateOf(c.State), ExitCode: c.State.ExitCode, OOMKilled: c.State.OOMKilled,
		StartedAt: timeOf(c.State.StartedAt), FinishedAt: timeOf(c.State.FinishedAt),
		Address: e.addressOf(c), Limits: limitsOf(c.HostConfig.Resources), Mounts: e.mountsOf(c.HostConfig.Mounts),
		Joined: e.joined(c),
	}
	if o.State == compute.StateRunning {
		o.Endpoints = e.endpoints(c, o.Address)
	}
	return o
}

func stateOf(s *container.State) compute.State {
	switch s.Status {
	case "created":
		return compute.StateCreated
	case "running", "paused", "restarting":
		return compute.StateRunning
	case "dead", "removing":
		return compute.StateDead
	}
	return compute.StateExited
}

// timeOf reads the engine's times; year one means never.
func timeOf(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t.UTC()
}

// addressOf is the address the container has, or will have when it starts, in the network it was made in.
func (e *Engine) addressOf(c container.InspectResponse) string {
	if c.NetworkSettings == nil {
		return ""
	}
	n := c.NetworkSettings.Networks[own(c)]
	switch {
	case n == nil:
		return ""
	case n.IPAddress == "" && n.IPAMConfig != nil:
		return n.IPAMConfig.IPv4Address
	}
	return n.IPAddress
}

// endpoints is where a program on this machine dials the workload's ports.
func (e *Engine) endpoints(c container.InspectResponse, address string) map[int]compute.Endpoint {
	all := map[int]compute.Endpoint{}
	for _, word := range strings.Split(c.Config.Labels[labelPorts], ",") {
		port, err := strconv.Atoi(word)
		if err != nil {
			continue // no ports
		}
		bound := c.NetworkSettings.Ports[tcp(port)]
		switch {
		case len(bound) > 0:
			if host, err := strconv.Atoi(bound[0].HostPort); err == nil {
				all[port] = compute.Endpoint{Host: "127.0.0.1", Port: host}
			}
		case e.routes && address != "":
			all[port] = compute.Endpoint{Host: address, Port: port}
		}
	}
	return all
}

// mountsOf is the volumes of this cloud that the container was made with, by path.
func (e *Engine) mountsOf(made []mount.Mount) []compute.Mount {
	var all []compute.Mount
	for _, m := range made {
		if id, ours := strings.CutPrefix(m.Source, e.prefix); ours && m.Type == mount.TypeVolume {
			all = append(all, compute.Mount{Volume: id, Path: m.Target, ReadOnly: m.ReadOnly})
		}
	}
	slices.SortFunc(all, func(a, b compute.Mount) int { return strings.Compare(a.Path, b.Path) })
	return all
}

func limitsOf(r container.Resources) compute.Limits {
	l := compute.Limits{MemoryBytes: r.Memory}
	if r.CPUQuota > 0 && r.CPUPeriod > 0 {
		l.MilliCPU = r.CPUQuota * 1000 / r.CPUPeriod
	}
	if r.PidsLimit != nil && *r.PidsLimit > 0 {
		l.Pids = *r.PidsLimit
	}
	return l
}
