package controlplane

import (
	"slices"
	"strings"

	"nuage/api"
	"nuage/compute"
)

// lookup is the world by other keys, so that a pass stays linear in what there is. It is built once a pass.
type lookup struct {
	owners    map[string]owned        // by id
	databases map[string]api.Database // by project/name
	backups   map[string][]api.Backup // by database's id, which may be gone
	functions map[string]api.Function // by project/name
	releases  map[string][]release    // by app, oldest first
	tracks    map[string][]track      // by owner
	observed  map[string][]compute.Observed
	members   map[string][]string          // addresses of the instances in a group, by project/name
	boots     map[string]int64             // boots asked for, by instance
	inUse     map[string]bool              // ids of networks that have workloads
	networks  map[string]api.Network       // by id
	attached  map[string]*api.Attachment   // by project/name of the volume
	diskNames map[string]string            // of volumes, by id
	images    map[string]api.Image         // by id
	mounts    map[string][]string          // workloads that mount a volume, by its id
	inNetwork map[string]int               // how many instances are in a network, by its id
	instances map[string]api.Instance      // by project/name
	fleets    map[string]api.InstanceGroup // by project/name
	teams     map[string][]api.Instance    // members, by instance group's id and in the order of their names
	clients   map[string]map[string]bool   // networks of the apps that use a database, by project/name of it
	commands  map[string]bool              // networks of apps in which one-off commands run
}

// owned is a noun that has workloads.
type owned struct {
	meta *api.Meta
	noun string
}

// index fills the lookup of what the store holds.
func (w *world) index() {
	n := len(w.instances) + len(w.apps) + len(w.databases)
	w.by = lookup{owners: make(map[string]owned, n), databases: map[string]api.Database{}, backups: map[string][]api.Backup{}, functions: map[string]api.Function{},
		releases: map[string][]release{}, tracks: map[string][]track{}, observed: map[string][]compute.Observed{}, members: map[string][]string{}, boots: map[string]int64{}, inUse: map[string]bool{}, networks: map[string]api.Network{}, inNetwork: map[string]int{},
		attached: map[string]*api.Attachment{}, diskNames: map[string]string{}, images: map[string]api.Image{}, mounts: map[string][]string{}}
	for _, n := range w.networks {
		w.by.networks[n.ID] = n
	}
	for _, v := range w.volumes {
		w.by.diskNames[v.ID] = v.Name
	}
	for i, one := range w.instances {
		w.by.inNetwork[w.networkOf(one)]++
		w.by.owners[one.ID] = owned{&w.instances[i].Meta, "instance"}
		w.by.boots[one.ID] = one.Spec.Boot
		for _, m := range one.Spec.Volumes {
			w.by.attached[one.Project+"/"+m.Volume] = &api.Attachment{Instance: one.Name, Path: m.Path}
		}
	}
	for i := range w.apps {
		w.by.owners[w.apps[i].ID] = owned{&w.apps[i].Meta, "app"}
	}
	for i, d := range w.databases {
		w.by.owners[d.ID] = owned{&w.databases[i].Meta, "database"}
		w.by.databases[d.Project+"/"+d.Name] = d
	}
	for _, b := range w.backups {
		w.by.backups[b.Status.DatabaseID] = append(w.by.backups[b.Status.DatabaseID], b)
	}
	for _, g := range w.images {
		w.by.images[g.ID] = g
	}
	for _, f := range w.functions {
		w.by.functions[f.Project+"/"+f.Name] = f
	}
	for _, r := range w.releases {
		w.by.releases[r.App] = append(w.by.releases[r.App], r)
	}
	for _, all := range w.by.releases {
		slices.SortFunc(all, func(a, b release) int { return a.Number - b.Number })
	}
	for _, t := range w.tracks {
		w.by.tracks[t.Owner] = append(w.by.tracks[t.Owner], t)
	}
	w.indexMembers()
	w.indexTeams()
	w.indexClients()
}

// indexTeams finds instances by name, and the members of instance groups.
func (w *world) indexTeams() {
	w.by.instances, w.by.fleets, w.by.teams = make(map[string]api.Instance, len(w.instances)), map[string]api.InstanceGroup{}, map[string][]api.Instance{}
	for _, g := range w.fleets {
		w.by.fleets[g.Project+"/"+g.Name] = g
	}
	for _, i := range w.instances {
		w.by.instances[i.Project+"/"+i.Name] = i
		if group := w.machines[i.ID].Group; group != "" {
			w.by.teams[group] = append(w.by.teams[group], i)
		}
	}
	for _, team := range w.by.teams {
		slices.SortFunc(team, func(a, b api.Instance) int { return strings.Compare(a.Name, b.Name) })
	}
}

// indexMembers lists the members of each group as ranges, in a stable order.
func (w *world) indexMembers() {
	for _, i := range w.instances {
		address := w.address(i) + "/32"
		for _, g := range groupsOf(i) {
			key := i.Project + "/" + g
			w.by.members[key] = append(w.by.members[key], address)
		}
	}
	for key, all := range w.by.members {
		slices.Sort(all)
		w.by.members[key] = slices.Compact(all)
	}
}

// indexObserved adds what the engine lists.
func (w *world) indexObserved() {
	w.by.commands = map[string]bool{}
	for _, o := range w.observed {
		w.by.observed[o.Owner] = append(w.by.observed[o.Owner], o)
		for _, m := range o.Mounts {
			w.by.mounts[m.Volume] = append(w.by.mounts[m.Volume], o.ID)
		}
		network := w.engineNetworkOf(o)
		w.by.inUse[network] = true
		for _, id := range o.Joined {
			w.by.inUse[id] = true
		}
		if number, _, replica := replicaNumbers(o.ID, o.Owner); replica {
			w.client(o.Owner, number)
		} else if o.Kind == compute.KindHelper {
			w.by.commands[network] = true
		}
	}
}

// ownerOf returns the noun a workload belongs to.
func (w *world) ownerOf(l compute.Workload) (*api.Meta, string) {
	o := w.by.owners[l.Owner]
	return o.meta, o.noun
}

// restarts is how often the workloads of a noun were brought back.
func (w *world) restarts(owner string) int {
	n := 0
	for _, t := range w.by.tracks[owner] {
		n += t.Restarts
	}
	return n
}
