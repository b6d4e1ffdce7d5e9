package controlplane

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

// defaultNetwork is the network made with each project. Its range is the project's, and changes with it.
const defaultNetwork = "default"

func (cp *ControlPlane) networkVerbs() resource[api.Network, api.NetworkSpec] {
	return resource[api.Network, api.NetworkSpec]{
		cp: cp, noun: "network", prefix: "net", table: networkTable,
		status: func(n *api.Network) *api.Status { return &n.Status.Status },
		spec:   func(n *api.Network) *api.NetworkSpec { return &n.Spec },
		check:  checkNetwork,
		admit:  admitNetwork,
		retire: retireNetwork,
		verb: func(old, next *api.Network) (string, string) {
			if old == nil {
				return "create", next.Spec.CIDR
			}
			return "update", "way out " + map[bool]string{true: "closed", false: "open"}[next.Spec.NoNAT]
		},
		done: func(ctx context.Context, n *api.Network) { cp.rulesChanged(ctx, "network "+n.Name) },
	}
}

// cloudRange is what the default networks are taken from.
func cloudRange() netip.Prefix { return netip.MustParsePrefix("10.128.0.0/9") }

// privateRanges are what nobody on the Internet has: RFC 1918 and RFC 6598.
func privateRanges() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10")}
}

func checkNetwork(_ context.Context, old, next *api.Network) error {
	if old != nil && next.Spec.CIDR == "" {
		next.Spec.CIDR = old.Spec.CIDR
	}
	p, err := netip.ParsePrefix(next.Spec.CIDR)
	if err != nil || !p.Addr().Is4() || p.Bits() < 16 || p.Bits() > 28 {
		return api.Errorf(api.Invalid, "cannot use %q as the range of network %q: give an IPv4 range of /16 to /28, as 10.20.0.0/24", next.Spec.CIDR, next.Name)
	}
	p = p.Masked()
	next.Spec.CIDR = p.String()
	switch {
	case old != nil && next.Spec.CIDR != old.Spec.CIDR:
		return api.Errorf(api.Conflict, "cannot change the range of network %q: addresses in it are given out; create another one", next.Name)
	case old != nil:
		return nil
	case !slices.ContainsFunc(privateRanges(), func(r netip.Prefix) bool { return r.Bits() <= p.Bits() && r.Contains(p.Addr()) }):
		return api.Errorf(api.Invalid, "cannot use %s as the range of network %q: it is not private; take one from 10.0.0.0/9, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10", p, next.Name)
	case p.Overlaps(cloudRange()):
		return api.Errorf(api.Conflict, "cannot use %s as the range of network %q: the cloud gives %s to default networks; take another one, as 10.20.0.0/24", p, next.Name, cloudRange())
	}
	return nil
}

// admitNetwork refuses a range of which another network of the cloud has a part. What is being deleted still has its own.
func admitNetwork(tx *storage.Tx, _ api.Actor, old, next *api.Network) error {
	if old != nil {
		return nil
	}
	p, err := netip.ParsePrefix(next.Spec.CIDR)
	if err != nil {
		return err
	}
	return networkTable.Each(tx, "", func(n api.Network) error {
		if !overlaps(p, n.Spec.CIDR) {
			return nil
		}
		return api.Errorf(api.Conflict, "cannot use %s as the range of network %q: network %q of project %q has %s", p, next.Name, n.Name, n.Project, n.Spec.CIDR)
	})
}

func retireNetwork(tx *storage.Tx, n *api.Network) (bool, error) {
	if n.Name == defaultNetwork {
		return false, api.Errorf(api.Conflict, "cannot delete network %q: it goes with project %q", n.Name, n.Project)
	}
	err := instanceTable.EachBy(tx, "name", n.Project+"/", func(i api.Instance) error {
		if i.Spec.Network == n.Name && i.DeletedAt == nil {
			return api.Errorf(api.Conflict, "cannot delete network %q: instance %q is in it; delete that first", n.Name, i.Name)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	return false, fleetTable.EachBy(tx, "name", n.Project+"/", func(g api.InstanceGroup) error {
		if g.Spec.Template.Network == n.Name && g.DeletedAt == nil {
			return api.Errorf(api.Conflict, "cannot delete network %q: instance group %q makes its members in it", n.Name, g.Name)
		}
		return nil
	})
}

// addDefaultNetwork stores the default network of a project; its id is the one the engine knows the network by.
func (cp *ControlPlane) addDefaultNetwork(tx *storage.Tx, p api.Project) error {
	n := api.Network{Meta: api.Meta{ID: networkID(p), Name: defaultNetwork, Project: p.Name, Generation: 1, CreatedAt: p.CreatedAt},
		Spec:   api.NetworkSpec{CIDR: p.Status.CIDR},
		Status: api.NetworkStatus{Status: api.Status{Phase: api.Pending, Reason: "accepted"}}}
	return networkTable.Insert(tx, n)
}

// addDefaultNetworks stores those that homes of an earlier version do not have.
func (cp *ControlPlane) addDefaultNetworks(tx *storage.Tx) error {
	return projectTable.Each(tx, "", func(p api.Project) error {
		if networkTable.Has(tx, networkID(p)) {
			return nil
		}
		return cp.addDefaultNetwork(tx, p)
	})
}

// dropNetworks forgets the networks of a project that goes. The loop removes what the engine has of them.
func dropNetworks(tx *storage.Tx, project string) error {
	err := networkTable.EachBy(tx, "name", project+"/", func(n api.Network) error { return erase(tx, settingTable, hostsKey(n.ID)) })
	if err != nil {
		return err
	}
	return dropAll(tx, networkTable, project)
}

// planNetworks are the networks that shall be, by id.
func (w *world) planNetworks() map[string]compute.Network {
	out := map[string]compute.Network{}
	for _, p := range w.projects {
		id := networkID(p)
		out[id] = compute.Network{ID: id, Project: p.Name, Name: p.Name, CIDR: p.Status.CIDR, Range: engineRange(p.Status.CIDR)}
	}
	w.planAppNetworks(out)
	for _, n := range w.networks {
		if n.Name != defaultNetwork && n.DeletedAt == nil {
			out[n.ID] = compute.Network{ID: n.ID, Project: n.Project, Name: n.Name, CIDR: n.Spec.CIDR}
		}
	}
	return out
}

// ensureNetworks makes the networks that shall be, once each, and removes the others of this cloud.
func (cp *ControlPlane) ensureNetworks(ctx context.Context, w *world) {
	wanted, kept := w.planNetworks(), map[string]bool{}
	for id, n := range wanted {
		kept[id] = true
		if !cp.networks.has(id) {
			cp.loop.dispatch(ctx, id, time.Minute, func(ctx context.Context) error { return cp.ensureNetwork(ctx, w, n) })
		}
	}
	for _, n := range w.networks {
		if n.DeletedAt == nil {
			continue
		}
		if kept[n.ID] = true; !w.by.inUse[n.ID] {
			cp.loop.dispatch(ctx, n.ID, time.Minute, func(ctx context.Context) error { return cp.forgetNetwork(ctx, n) })
		}
	}
	for _, a := range w.apps {
		kept[appNetworkID(a.ID)] = true // of one that is deleted it goes with the record
	}
	for _, id := range cp.networks.except(kept) {
		if w.damaged[id] || w.damaged["prj-"+lastHex(id)] || w.damaged["app-"+lastHex(id)] {
			continue
		}
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

// ensureNetwork makes a network. Only one call at a time is made for one, by the pass that has read it.
func (cp *ControlPlane) ensureNetwork(ctx context.Context, w *world, n compute.Network) error {
	networks, ok := cp.Engine.(compute.Networks)
	if !ok {
		cp.networks.add(n.ID)
		return nil
	}
	err := networks.EnsureNetwork(ctx, n)
	if err == nil {
		cp.networks.add(n.ID)
		return nil
	}
	move := w.mover(cp, n)
	if !errors.Is(err, api.Conflict) || move == nil || w.by.inUse[n.ID] { // addresses that are given out stay
		return err
	}
	// The range is in use on this host by somebody else, or an empty network of ours has another one.
	if gone := networks.RemoveNetwork(ctx, n.ID); gone != nil {
		return gone
	}
	if err := move(); err != nil {
		return err
	}
	return api.Errorf(api.Unavailable, "cannot use range %s for network %q of project %q: %w; the next one is tried", n.CIDR, n.Name, n.Project, err)
}

// mover is what gives a network another range; nil where its owner chose it.
func (w *world) mover(cp *ControlPlane, n compute.Network) func() error {
	if p, ok := w.projects[n.Project]; ok && n.ID == networkID(p) {
		return func() error {
			if err := cp.moveNetwork(p); err != nil {
				return err
			}
			return cp.redeployFunctions(p.Name)
		}
	}
	for _, of := range w.appNetworks {
		if n.ID == appNetworkID(of.App) {
			return func() error { return cp.moveAppNetwork(of) }
		}
	}
	return nil
}

// moveNetwork gives a project, and its default network, another range.
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
		if err := projectTable.Put(tx, now); err != nil {
			return err
		}
		n, err := networkTable.Get(tx, networkID(p))
		if err != nil {
			return ignoreGone(err)
		}
		n.Spec.CIDR = now.Status.CIDR
		n.Generation++
		return networkTable.Put(tx, n)
	})
}

// dropNetwork removes a network of which there is no record any more.
func (cp *ControlPlane) dropNetwork(ctx context.Context, id string) error {
	if networks, ok := cp.Engine.(compute.Networks); ok {
		if err := networks.RemoveNetwork(ctx, id); err != nil {
			return err
		}
	}
	cp.networks.drop(id)
	return nil
}

// forgetNetwork removes a network that its owner has deleted.
func (cp *ControlPlane) forgetNetwork(ctx context.Context, n api.Network) error {
	if err := cp.dropNetwork(ctx, n.ID); err != nil {
		return err
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		if err := errors.Join(erase(tx, networkTable, n.ID), erase(tx, settingTable, hostsKey(n.ID))); err != nil {
			return err
		}
		return cp.record(tx, platform("loop"), "network", &n.Meta, "removed", "")
	})
}

// awaitsNetwork tells that a step needs a network which is not there yet.
func (cp *ControlPlane) awaitsNetwork(s step) bool {
	if s.workload.Network == "" {
		return false
	}
	return (s.verb == create || s.verb == start) && !cp.networks.has(s.workload.Network)
}

// making says what is under way for something that is not there yet, or why its network keeps it waiting.
func (w *world) making(network, otherwise string) string {
	if t, troubled := w.trouble[network]; troubled {
		return t.reason()
	}
	return otherwise
}

// networkStatus says whether a network is there.
func (w *world) networkStatus(n api.Network) api.NetworkStatus {
	s := n.Status
	s.Generation, s.Gateway, s.Instances = n.Generation, hostAddress(n.Spec.CIDR, 1), w.by.inNetwork[n.ID]
	t, troubled := w.trouble[n.ID]
	switch {
	case n.DeletedAt != nil && w.by.inUse[n.ID]:
		s.Phase, s.Reason = api.Deleting, "waiting for the instances in it to go"
	case n.DeletedAt != nil:
		s.Phase, s.Reason = api.Deleting, "removing the network"
	case troubled && (t.final() || errors.Is(t.err, api.Conflict) && n.Name != defaultNetwork):
		s.Phase, s.Reason = api.Failed, t.reason()
	case troubled:
		s.Phase, s.Reason = api.Pending, t.reason()
	case !w.standing[n.ID]:
		s.Phase, s.Reason = api.Pending, "making the network"
	case n.Spec.NoNAT:
		s.Phase, s.Reason = api.Running, "can be used; instances in it reach nothing outside"
	default:
		s.Phase, s.Reason = api.Running, "can be used"
	}
	return s
}

// networkOf is the id of the network an instance is in.
func (w *world) networkOf(i api.Instance) string {
	return orElse(w.machines[i.ID].Network, w.network(i.Project))
}

// rangeOf is the range an instance has its address from.
func (w *world) rangeOf(i api.Instance) string {
	if id := w.machines[i.ID].Network; id != "" {
		return w.by.networks[id].Spec.CIDR
	}
	return w.projects[i.Project].Status.CIDR
}

// gateways are the laptop's addresses in all networks of the cloud, whether they are there already or not.
func (w *world) gateways() []string {
	var out []string
	for _, n := range w.planNetworks() {
		out = append(out, hostAddress(n.CIDR, 1))
	}
	return out
}
