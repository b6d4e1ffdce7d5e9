package controlplane

import (
	"context"
	"slices"
	"strings"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

// appNetwork is an app's network, in which nothing is but its replicas, its one-off containers and the databases bound to it: so nobody
// reaches a replica but through the edge.
type appNetwork struct {
	App  string `json:"app"` // id
	CIDR string `json:"cidr"`
}

// appNetworkID is what the engine knows the network of an app by. In the order of text it comes behind those of projects, so that a
// database that joins it keeps its way out.
func appNetworkID(app string) string { return "netapp-" + lastHex(app) }

// addAppNetwork gives an app the range of its network.
func (cp *ControlPlane) addAppNetwork(tx *storage.Tx, a *api.App) error {
	cidr, err := cp.freeAppRange(tx, "")
	if err != nil {
		return err
	}
	return appNetworkTable.Insert(tx, appNetwork{App: a.ID, CIDR: cidr})
}

// addAppNetworks stores those that homes of an earlier version do not have.
func (cp *ControlPlane) addAppNetworks(tx *storage.Tx) error {
	return appTable.Each(tx, "", func(a api.App) error {
		if appNetworkTable.Has(tx, a.ID) {
			return nil
		}
		return cp.addAppNetwork(tx, &a)
	})
}

// moveAppNetwork gives an app another range where its own turned out to be somebody else's.
func (cp *ControlPlane) moveAppNetwork(n appNetwork) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		now, err := appNetworkTable.Get(tx, n.App)
		if err != nil || now.CIDR != n.CIDR {
			return ignoreGone(err)
		}
		if now.CIDR, err = cp.freeAppRange(tx, n.CIDR); err != nil {
			return err
		}
		return appNetworkTable.Put(tx, now)
	})
}

// planAppNetworks adds the networks of apps to those that shall be.
func (w *world) planAppNetworks(out map[string]compute.Network) {
	for _, a := range w.apps {
		if n := w.appNetworks[a.ID]; n.CIDR != "" && a.DeletedAt == nil {
			id := appNetworkID(a.ID)
			out[id] = compute.Network{ID: id, Project: a.Project, Name: a.Name, CIDR: n.CIDR}
		}
	}
}

// engineNetworkOf is the id of the network a workload is made in.
func (w *world) engineNetworkOf(o compute.Observed) string {
	if strings.HasPrefix(o.Owner, "app-") {
		return appNetworkID(o.Owner)
	}
	return orElse(w.machines[o.Owner].Network, w.network(o.Project))
}

// indexClients notes which apps use which database: by a release that serves, comes or drains.
func (w *world) indexClients() {
	w.by.clients = map[string]map[string]bool{}
	for _, a := range w.apps {
		if a.DeletedAt != nil {
			continue
		}
		for _, n := range w.live(a) {
			w.client(a.ID, n)
		}
	}
}

// client notes that a release of an app uses its database.
func (w *world) client(app string, release int) {
	d := w.releases[releaseKey(app, release)].Spec.Database
	o, known := w.by.owners[app]
	if d == "" || !known {
		return
	}
	key := o.meta.Project + "/" + d
	if w.by.clients[key] == nil {
		w.by.clients[key] = map[string]bool{}
	}
	w.by.clients[key][appNetworkID(app)] = true
}

// joined are the networks of the apps that use a database: those that are there, and those that a container which is there still
// may need: of a replica that ends, of a one-off command.
func (w *world) joined(d api.Database) []string {
	var out []string
	is := w.observed[d.ID].Joined
	for id := range w.by.clients[d.Project+"/"+d.Name] {
		if w.standing[id] || slices.Contains(is, id) {
			out = append(out, id)
		}
	}
	for _, id := range is {
		if w.by.commands[id] {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// awaitsDatabase tells that a replica has to wait until the server of its database is in its network.
func (w *world) awaitsDatabase(l compute.Workload) bool {
	number, _, replica := replicaNumbers(l.ID, l.Owner)
	if l.Kind != compute.KindApp || !replica || !w.joins {
		return false
	}
	d := w.releases[releaseKey(l.Owner, number)].Spec.Database
	server, there := w.observed[w.by.databases[l.Project+"/"+d].ID]
	return d != "" && there && server.State == compute.StateRunning && !slices.Contains(server.Joined, l.Network)
}

// join brings a server into the networks of the apps that use it, and out of the others.
func (cp *ControlPlane) join(ctx context.Context, s step) error {
	engine, ok := cp.Engine.(compute.Joiner)
	if !ok {
		return api.Errorf(api.Unsupported, "cannot bring %q into the networks of its apps: engine %q has no such verb", s.workload.ID, cp.loop.engine().Name)
	}
	for _, id := range s.workload.Joined {
		if slices.Contains(s.observed.Joined, id) {
			continue
		}
		if err := engine.Join(ctx, s.workload.ID, id, s.workload.Aliases); err != nil {
			cp.networks.drop(id) // it may be what is missing: it is made sure of before the next try
			return err
		}
	}
	for _, id := range s.observed.Joined {
		if slices.Contains(s.workload.Joined, id) {
			continue
		}
		if err := engine.Leave(ctx, s.workload.ID, id); err != nil {
			return err
		}
	}
	return nil
}
