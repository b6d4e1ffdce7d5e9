package controlplane

import (
	"context"
	"errors"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

// ensureNetworks makes the networks of all projects, once each, and removes those of projects that are gone.
func (cp *ControlPlane) ensureNetworks(ctx context.Context, w *world) {
	if _, ok := cp.Engine.(compute.Networks); !ok {
		return
	}
	wanted := map[string]bool{}
	for _, p := range w.projects {
		id := networkID(p)
		wanted[id] = true
		if !cp.networks.has(id) {
			cp.loop.dispatch(ctx, id, time.Minute, func(ctx context.Context) error { return cp.ensureNetwork(ctx, w, p) })
		}
	}
	for _, id := range cp.networks.except(wanted) {
		cp.loop.dispatch(ctx, id, time.Minute, func(ctx context.Context) error { return cp.dropNetwork(ctx, id) })
	}
}

// findNetworks learns which networks an earlier control plane has left.
func (cp *ControlPlane) findNetworks(ctx context.Context) error {
	networks, ok := cp.Engine.(compute.Networks)
	if !ok {
		return nil
	}
	list, err := networks.ListNetworks(ctx)
	for _, n := range list {
		cp.networks.add(n.ID)
	}
	return err
}

// ensureNetwork makes a project's network. Only one call at a time is made for a project, by the pass that has read it.
func (cp *ControlPlane) ensureNetwork(ctx context.Context, w *world, p api.Project) error {
	networks := cp.Engine.(compute.Networks)
	n := compute.Network{ID: networkID(p), Project: p.Name, Name: p.Name, CIDR: p.Status.CIDR, Range: engineRange(p.Status.CIDR)}
	err := networks.EnsureNetwork(ctx, n)
	switch {
	case err == nil:
		cp.networks.add(n.ID)
		return nil
	case !errors.Is(err, api.Conflict):
		return err
	case w.by.inUse[p.Name]: // addresses that are given out stay
		return err
	}
	// The range is in use on this host by somebody else, or an empty network of ours has another one.
	if gone := networks.RemoveNetwork(ctx, n.ID); gone != nil {
		return gone
	}
	if err := cp.moveNetwork(p); err != nil {
		return err
	}
	return api.Errorf(api.Unavailable, "cannot use range %s for project %q: %w; the next one is tried", p.Status.CIDR, p.Name, err)
}

func (cp *ControlPlane) moveNetwork(p api.Project) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		now, err := projectTable.Get(tx, p.ID)
		if err != nil || now.Status.CIDR != p.Status.CIDR {
			return ignoreGone(err)
		}
		now.Status.CIDR, err = cp.freeRange(tx, p.Status.CIDR)
		if err != nil {
			return err
		}
		return projectTable.Put(tx, now)
	})
}

func (cp *ControlPlane) dropNetwork(ctx context.Context, id string) error {
	if err := cp.Engine.(compute.Networks).RemoveNetwork(ctx, id); err != nil {
		return err
	}
	cp.networks.drop(id)
	return nil
}

// awaitsNetwork tells that a step needs a network which is not there yet.
func (cp *ControlPlane) awaitsNetwork(s step) bool {
	if _, ok := cp.Engine.(compute.Networks); !ok || s.workload.Network == "" {
		return false
	}
	return (s.verb == create || s.verb == start) && !cp.networks.has(s.workload.Network)
}

// making says what is under way for something that is not there yet, or why its project's network keeps it waiting.
func (w *world) making(project, otherwise string) string {
	if t, troubled := w.trouble[w.network(project)]; troubled {
		return t.reason()
	}
	return otherwise
}
