package controlplane

import (
	"context"
	"slices"
	"strconv"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

// world is everything one pass of the loop knows: the store in one picture, the engine's list, and what guests, health
// checks and earlier steps say. Plans and statuses are functions of it.
type world struct {
	number      uint64                 // grows with each reading
	projects    map[string]api.Project // by name
	keys        map[string]api.Key     // by project/name
	groups      map[string]api.SecurityGroup
	networks    map[string]api.Network // by project/name
	images      map[string]api.Image   // by project/name
	volumes     map[string]api.Volume  // by project/name
	snapshots   []api.Snapshot
	balancers   []api.LoadBalancer
	fleets      []api.InstanceGroup
	instances   []api.Instance
	machines    map[string]machine // by id
	disks       map[string]disk    // by id
	apps        []api.App
	releases    map[string]release           // by releaseKey
	vaults      map[string]map[string]string // secrets of apps and functions, by vaultKey
	drains      map[string][]drain           // by app, oldest first
	appNetworks map[string]appNetwork        // by app
	comebacks   map[string]comeback          // splits that wait, by app
	databases   []api.Database
	servers     map[string]server // by id
	backups     []api.Backup
	dumps       map[string]dump          // by backup's id
	logins      map[string]login         // by database id: those that clients get
	numbered    map[string]map[int]login // all logins of databases, by database id and number; 0: that the server is made with
	archives    map[string]archive       // by database id
	pools       map[string]api.AuthPool  // by project/name
	secrets     map[string]string        // of the clients of pools, by their keys
	functions   []api.Function
	versions    []functionVersion
	triggers    []api.Trigger
	queues      []api.Queue
	topics      []api.Topic
	budgets     []api.Budget
	tracks      map[string]track // by workload
	runs        map[string]run
	findings    []finding       // vulnerable packages that were planted
	damaged     map[string]bool // ids of nouns of which something does not decode
	lostRuns    map[string]bool // keys of runs that do not decode

	by             lookup    // all of it by other keys
	at             time.Time // when the engine was asked
	planned        []compute.Workload
	wanted         map[string]bool // ids of planned
	observed       map[string]compute.Observed
	trouble        map[string]trouble
	leaving        map[string]bool // workloads that are being removed
	inFlight       map[string]bool // keys of steps that were under way when the engine was asked
	guests         map[string]guestState
	health         map[string]probe
	balancing      map[string]balancing // load balancers that listen, by id
	loads          map[string]float64   // use of cpu of members of instance groups, in percent
	real           bool                 // the engine really runs things
	routes         bool
	guestsPossible bool
	joins          bool             // the engine can put workloads into further networks
	standing       map[string]bool  // ids of networks that are there
	used           map[string]int64 // bytes in volumes, by id; vanished: there is no such volume
}

// read fills the world from the store.
func (cp *ControlPlane) read() (*world, error) {
	w := &world{
		number: cp.readings.Add(1), projects: map[string]api.Project{}, keys: map[string]api.Key{}, groups: map[string]api.SecurityGroup{},
		networks: map[string]api.Network{}, images: map[string]api.Image{}, volumes: map[string]api.Volume{}, machines: map[string]machine{}, disks: map[string]disk{},
		releases: map[string]release{}, vaults: map[string]map[string]string{}, drains: map[string][]drain{}, appNetworks: map[string]appNetwork{}, comebacks: map[string]comeback{}, servers: map[string]server{}, dumps: map[string]dump{}, logins: map[string]login{}, numbered: map[string]map[int]login{}, archives: map[string]archive{}, pools: map[string]api.AuthPool{}, secrets: map[string]string{},
		tracks: map[string]track{}, runs: map[string]run{}, damaged: map[string]bool{}, lostRuns: map[string]bool{},
	}
	err := cp.Store.View(func(tx *storage.Tx) error {
		for _, load := range []func() error{
			func() error { return index(tx, projectTable, w.projects, func(p api.Project) string { return p.Name }) },
			func() error { return index(tx, keyTable, w.keys, fullName) },
			func() error { return index(tx, groupTable, w.groups, fullName) },
			func() error { return index(tx, networkTable, w.networks, fullName) },
			func() error { return index(tx, imageTable, w.images, fullName) },
			func() error { return index(tx, volumeTable, w.volumes, fullName) },
			func() error { return all(tx, snapshotTable, &w.snapshots) },
			func() error { return all(tx, balancerTable, &w.balancers) },
			func() error { return all(tx, fleetTable, &w.fleets) },
			func() error { return all(tx, instanceTable, &w.instances) },
			func() error { return index(tx, machineTable, w.machines, func(m machine) string { return m.ID }) },
			func() error { return index(tx, diskTable, w.disks, func(d disk) string { return d.ID }) },
			func() error { return all(tx, appTable, &w.apps) },
			func() error {
				return index(tx, releaseTable, w.releases, func(r release) string { return releaseKey(r.App, r.Number) })
			},
			func() error {
				return drainTable.Each(tx, "", func(d drain) error { w.drains[d.App] = append(w.drains[d.App], d); return nil })
			},
			func() error {
				return index(tx, appNetworkTable, w.appNetworks, func(n appNetwork) string { return n.App })
			},
			func() error { return index(tx, comebackTable, w.comebacks, func(c comeback) string { return c.App }) },
			func() error { return all(tx, databaseTable, &w.databases) },
			func() error { return index(tx, serverTable, w.servers, func(s server) string { return s.ID }) },
			func() error { return all(tx, backupTable, &w.backups) },
			func() error { return index(tx, archiveTable, w.archives, func(a archive) string { return a.ID }) },
			func() error { return index(tx, dumpTable, w.dumps, func(d dump) string { return d.ID }) },
			func() error { return index(tx, poolTable, w.pools, fullName) },
			func() error { return all(tx, functionTable, &w.functions) },
			func() error { return all(tx, functionVersionTable, &w.versions) },
			func() error { return all(tx, triggerTable, &w.triggers) },
			func() error { return all(tx, queueTable, &w.queues) },
			func() error { return all(tx, topicTable, &w.topics) },
			func() error { return all(tx, budgetTable, &w.budgets) },
			func() error { return index(tx, trackTable, w.tracks, func(t track) string { return t.ID }) },
			func() error { return index(tx, runTable, w.runs, func(r run) string { return r.Key }) },
			func() error { return all(tx, findingTable, &w.findings) },
			func() error { return cp.readLogins(tx, w) },
			func() error { return cp.readSecrets(tx, w) },
			func() error { return cp.readVaults(tx, w) },
		} {
			if err := load(); err != nil {
				return err
			}
		}
		return nil
	})
	w.index()
	w.protect(cp.Store.Damaged()) // after the reading, which finds out
	return w, err
}

// readLogins opens the sealed passwords. A database whose password does not open is left alone, and says so.
func (cp *ControlPlane) readLogins(tx *storage.Tx, w *world) error {
	for _, d := range w.databases {
		s, err := serverTable.Get(tx, d.ID)
		if err == nil {
			w.numbered[d.ID], err = cp.openLogins(d, s)
		}
		if err != nil {
			cp.log.Error("password of a database does not open; its server is left alone", "database", d.Name, "error", err)
			continue
		}
		w.logins[d.ID] = w.numbered[d.ID][s.current().Number]
	}
	return nil
}

func all[T any](tx *storage.Tx, table *storage.Table[T], out *[]T) error {
	return table.Each(tx, "", func(t T) error { *out = append(*out, t); return nil })
}

func index[T any](tx *storage.Tx, table *storage.Table[T], out map[string]T, key func(T) string) error {
	return table.Each(tx, "", func(t T) error { out[key(t)] = t; return nil })
}

// fullName is project/name of a noun.
func fullName[T any](t T) string { return head(&t).Project + "/" + head(&t).Name }

// look adds what the engine, the guests and the health checks say now.
func (cp *ControlPlane) look(ctx context.Context, w *world) error {
	w.at, w.leaving, w.inFlight = cp.Now(), cp.loop.allLeaving(), cp.loop.allInFlight() // before the list: what is not in flight any more is not on it
	list, err := cp.Engine.List(ctx)
	if err != nil {
		return err
	}
	w.observed = make(map[string]compute.Observed, len(list))
	for _, o := range list {
		w.observed[o.ID] = o
	}
	w.indexObserved()
	info := cp.loop.engine()
	w.real, w.routes = info.Real, info.Routes
	_, w.guestsPossible = cp.Engine.(compute.Attacher)
	_, w.joins = cp.Engine.(compute.Joiner)
	w.standing, w.used = cp.networks.members(), cp.used.all()
	w.guests, w.health, w.trouble = cp.guests.states(), cp.health.results(), cp.loop.troubles()
	w.loads = cp.useOfCPU(w)
	w.planned = w.plan()
	w.wanted = make(map[string]bool, len(w.planned))
	for _, l := range w.planned {
		w.wanted[l.ID] = true
	}
	return nil
}

// plan is the union of all nouns' plans.
func (w *world) plan() []compute.Workload {
	var out []compute.Workload
	for _, i := range w.instances {
		out = append(out, w.planInstance(i)...)
	}
	for _, d := range w.databases {
		out = append(out, w.planDatabase(d)...)
	}
	for _, a := range w.apps {
		out = append(out, w.planApp(a)...)
	}
	return out
}

// reboots names the instances whose owner asked for a boot that has not been made.
func (w *world) reboots() map[string]bool {
	out := map[string]bool{}
	for _, i := range w.instances {
		if i.Spec.Boot != w.machines[i.ID].Boot {
			out[i.ID] = true
		}
	}
	return out
}

// network is the engine's name of a project's network.
func (w *world) network(project string) string {
	p, ok := w.projects[project]
	if !ok {
		return ""
	}
	return networkID(p)
}

// networkID is the id of a project's default network.
func networkID(p api.Project) string { return "net-" + lastHex(p.ID) }

func lastHex(id string) string {
	if i := slices.Index([]byte(id), '-'); i >= 0 {
		return id[i+1:]
	}
	return id
}

func itoa(n int) string { return strconv.Itoa(n) }
