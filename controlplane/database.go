package controlplane

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

const (
	defaultStorage  = 1 << 30
	databaseService = "databases"
	defaultKeep     = 7 // scheduled backups
)

// databases adds Credentials to the verbs of every noun.
type databases struct {
	resource[api.Database, api.DatabaseSpec]
}

func (cp *ControlPlane) databases() resource[api.Database, api.DatabaseSpec] {
	return resource[api.Database, api.DatabaseSpec]{
		cp: cp, noun: "database", prefix: "db", table: databaseTable,
		status: func(d *api.Database) *api.Status { return &d.Status.Status },
		spec:   func(d *api.Database) *api.DatabaseSpec { return &d.Spec },
		check:  cp.checkDatabase,
		admit:  cp.admitDatabase,
		retire: cp.retireDatabase,
		verb: func(old, next *api.Database) (string, string) {
			if old == nil {
				return "create", next.Spec.Engine + ", size " + next.Spec.Size
			}
			if old.Spec.Size == next.Spec.Size {
				return "schedule", scheduleText(next.Spec)
			}
			return "resize", old.Spec.Size + " to " + next.Spec.Size
		},
	}
}

func (cp *ControlPlane) checkDatabase(ctx context.Context, old, next *api.Database) error {
	s := &next.Spec
	s.Size = orElse(s.Size, "micro")
	if s.StorageBytes == 0 {
		s.StorageBytes = defaultStorage
	}
	if old == nil && s.Restore != nil {
		if err := cp.findRestore(next); err != nil {
			return err
		}
	}
	if _, err := api.SizeOf(s.Size); err != nil {
		return err
	}
	if err := checkSchedule(next); err != nil {
		return err
	}
	engine, err := databaseEngineOf(s.Engine)
	switch {
	case err != nil:
		return err
	case slices.Contains(engine.reserved, next.Name):
		return api.Errorf(api.Invalid, "cannot create database %q: a %s server has one of its own by that name; take another", next.Name, engine.name)
	case s.StorageBytes < 64<<20 || s.StorageBytes > 1<<40:
		return api.Errorf(api.Invalid, "cannot create database %q with %d bytes: 64 MiB to 1 TiB is possible", next.Name, s.StorageBytes)
	case old == nil:
		return cp.findServerImage(ctx, engine)
	case old.Spec.Engine != s.Engine || old.Spec.StorageBytes != s.StorageBytes || !same(old.Spec.Restore, s.Restore):
		return api.Errorf(api.Conflict, "cannot change engine, storage or origin of database %q: its size and its backups can change", next.Name)
	}
	return nil
}

func (cp *ControlPlane) admitDatabase(tx *storage.Tx, _ api.Actor, old, next *api.Database) error {
	if old != nil {
		return nil
	}
	host, err := cp.freeHost(tx, next.Project)
	if err != nil {
		return err
	}
	sealed, err := cp.newPassword(next.ID, 0)
	if err != nil {
		return err
	}
	s := server{ID: next.ID, Project: next.Project, Host: host, User: "nuage", Password: sealed, Volume: "vol-" + strings.TrimPrefix(next.ID, "db-")}
	if r := next.Spec.Restore; r != nil && r.Time != nil {
		source, err := cp.findMoment(tx, next, *r) // once more: what is archived may have become less
		if err != nil {
			return err
		}
		s.Source, s.Moment = source.ID, *r.Time
	} else if r != nil {
		if s.From, err = admitRestore(tx, next); err != nil {
			return err
		}
	}
	return serverTable.Insert(tx, s)
}

// retireDatabase refuses to delete what apps or functions use, replicas of an earlier release included. One that has served
// gets a last backup, which its server is kept for.
func (cp *ControlPlane) retireDatabase(tx *storage.Tx, d *api.Database) (bool, error) {
	if err := errors.Join(unused(tx, d), noSource(tx, d)); err != nil {
		return false, err
	}
	s, err := serverTable.Get(tx, d.ID)
	if err != nil || d.Status.Version == "" || (s.From != "" || s.Source != "") && !s.Filled {
		return false, ignoreGone(err)
	}
	_, err = cp.addBackup(tx, platform("backup"), *d, api.BackupDeletion)
	return false, err
}

// noSource answers a Conflict where a database is being made of what was archived of another.
func noSource(tx *storage.Tx, d *api.Database) error {
	return databaseTable.EachBy(tx, "name", d.Project+"/", func(other api.Database) error {
		if s, err := serverTable.Get(tx, other.ID); err == nil && s.Source == d.ID && !s.Filled && other.DeletedAt == nil {
			return api.Errorf(api.Conflict, "cannot delete database %q: database %q is being made from it", d.Name, other.Name)
		}
		return nil
	})
}

// unused answers a Conflict where an app or a function uses a database.
func unused(tx *storage.Tx, d *api.Database) error {
	used := func(noun, name string) error {
		return api.Errorf(api.Conflict, "cannot delete database %q: %s %q is bound to it; unbind it first", d.Name, noun, name)
	}
	err := appTable.EachBy(tx, "name", d.Project+"/", func(a api.App) error {
		if bound, err := boundTo(tx, a, d.Name); err != nil || !bound {
			return err
		}
		return used("app", a.Name)
	})
	if err != nil {
		return err
	}
	return functionTable.EachBy(tx, "name", d.Project+"/", func(f api.Function) error {
		if slices.Contains(f.Spec.Databases, d.Name) {
			return used("function", f.Name)
		}
		return functionVersionTable.Each(tx, f.ID+"/", func(v functionVersion) error {
			if slices.Contains(v.Spec.Databases, d.Name) {
				return api.Errorf(api.Conflict, "cannot delete database %q: version %d of function %q is bound to it; nuage function unpublish %s v%d first",
					d.Name, v.Version, f.Name, f.Name, v.Version)
			}
			return nil
		})
	})
}

// boundTo tells whether an app, or a release of it that has replicas, uses a database.
func boundTo(tx *storage.Tx, a api.App, database string) (bool, error) {
	if a.DeletedAt != nil {
		return false, nil
	}
	bound := a.Spec.Database == database
	err := releaseTable.Each(tx, a.ID+"/", func(r release) error {
		bound = bound || r.Spec.Database == database && hasReplicas(tx, a, r)
		return nil
	})
	return bound, err
}

// Credentials lets a client in. Who asks for them is recorded.
func (r databases) Credentials(ctx context.Context, project, name string) (api.Credentials, error) {
	actor, err := r.cp.authorize(ctx, project)
	if err != nil {
		return api.Credentials{}, err
	}
	var out api.Credentials
	err = r.cp.Store.Update(func(tx *storage.Tx) error {
		d, err := r.find(tx, project, name)
		if err != nil {
			return err
		}
		if d.Status.Host == "" {
			return api.Errorf(api.Conflict, "cannot give credentials of database %q: it is %s (%s)", name, d.Status.Phase, d.Status.Reason)
		}
		login, err := r.cp.login(tx, d)
		if err != nil {
			return err
		}
		out = credentialsOf(d, login)
		return r.cp.record(tx, actor, r.noun, &d.Meta, "credentials", "shown")
	})
	return out, err
}

// login is what a client of a database needs besides its address.
type login struct{ user, password, database string }

// url is the usual one of clients, with a scheme of the engine's.
func (l login) url(scheme, address, query string) string {
	u := url.URL{Scheme: scheme, User: url.UserPassword(l.user, l.password), Host: address, Path: "/" + l.database, RawQuery: query}
	return u.String()
}

// databaseURL is what lets a client in at an address; "" for an engine that nobody knows.
func databaseURL(d api.Database, l login, address string) string {
	engine, err := databaseEngineOf(d.Spec.Engine)
	if err != nil {
		return ""
	}
	return engine.url(l, address)
}

// internalURL is the one for what runs in the project's network.
func internalURL(d api.Database, l login) string {
	return databaseURL(d, l, hostPort(internalHost(d), databasePort(d)))
}

// databaseEnv is what a program gets that is bound to a database.
func databaseEnv(d api.Database, l login) map[string]string {
	url := internalURL(d, l)
	env := map[string]string{"DATABASE_URL": url}
	if engine, err := databaseEngineOf(d.Spec.Engine); err == nil && engine.variable != "" {
		env[engine.variable] = url
	}
	return env
}

// databasePort is where a database listens; 0 for an engine that nobody knows.
func databasePort(d api.Database) int {
	engine, err := databaseEngineOf(d.Spec.Engine)
	if err != nil {
		return 0
	}
	return engine.port
}

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// internalHost is a database's name in its project's network.
func internalHost(d api.Database) string { return d.Name + ".db.internal" }

// login is what clients of a database get.
func (cp *ControlPlane) login(tx *storage.Tx, d api.Database) (login, error) {
	s, err := serverTable.Get(tx, d.ID)
	if err != nil {
		return login{}, err
	}
	all, err := cp.openLogins(d, s)
	return all[s.current().Number], err
}

// planDatabase returns the server; its volume is made with it and goes only by an explicit delete.
func (w *world) planDatabase(d api.Database) []compute.Workload {
	size, wrong := api.SizeOf(d.Spec.Size)
	engine, unknown := databaseEngineOf(d.Spec.Engine)
	if d.DeletedAt != nil && !w.backingUp(d) || wrong != nil || unknown != nil || w.damaged[d.ID] {
		return nil
	}
	l, s := w.numbered[d.ID][0], w.servers[d.ID] // other logins come and go without another container
	return []compute.Workload{{
		ID: d.ID, Owner: d.ID, Kind: compute.KindDatabase, Project: d.Project, Name: d.Name, Generation: d.Generation,
		Image: serverRef(engine), Hostname: d.Name, Aliases: []string{internalHost(d)},
		Env:     engine.env(l),
		Network: w.network(d.Project), Address: hostAddress(w.projects[d.Project].Status.CIDR, s.Host), Ports: []int{engine.port},
		Mounts:  []compute.Mount{{Volume: s.Volume, Path: engine.data}},
		Limits:  compute.Limits{MilliCPU: size.MilliCPU, MemoryBytes: size.MemoryBytes, Pids: 512},
		Running: true, Joined: w.joined(d),
	}}
}

func (w *world) databaseStatus(d api.Database) api.DatabaseStatus {
	s := d.Status
	s.Status.Generation = d.Generation
	s.Restarts, s.Rotation = w.tracks[d.ID].Restarts, w.rotationStatus(d)
	s.Restorable = w.restorableWindow(d)
	s.InternalHost, s.InternalPort = internalHost(d), databasePort(d)
	o, there := w.observed[d.ID]
	filled := !w.filling(d)
	if e, ok := o.Endpoints[databasePort(d)]; ok && filled && o.State == compute.StateRunning {
		s.Host, s.Port = e.Host, e.Port
	}
	h, probed := w.health[d.ID]
	if probed && h.ok {
		s.Version, s.SizeBytes, s.Connections, s.MaxConnections = h.version, h.bytes, h.clients, h.most
	}
	trouble, troubled := w.trouble[d.ID]
	waits, why := w.imageReason(d)
	switch {
	case d.DeletedAt != nil:
		s.Phase, s.Reason = api.Deleting, w.leavingReason(d)
	case troubled && o.State == compute.StateRunning:
		s.Phase, s.Reason = changing(trouble)
	case troubled && trouble.final():
		s.Phase, s.Reason = api.Failed, trouble.reason()
	case troubled:
		s.Phase, s.Reason = api.Pending, trouble.reason()
	case !there && waits != "":
		s.Phase, s.Reason = waits, why
	case !there:
		s.Phase, s.Reason = api.Pending, w.making(w.network(d.Project), "making the server")
	case o.State != compute.StateRunning:
		s.Phase, s.Reason = w.tracks[d.ID].down(o)
	case resizing(w.planDatabase(d), o):
		s.Phase, s.Reason = api.Updating, "changing its limits"
	case !w.real:
		s.Phase, s.Reason = api.Running, "simulated: no server answers"
	case !probed || !h.ok:
		s.Phase, s.Reason = api.Pending, orElse(h.reason, "waiting for the server to accept connections")
	case !filled:
		s.Phase, s.Reason = w.fillingPhase(d)
	case s.Rotation != nil:
		s.Phase, s.Reason = api.Running, rotationText(*s.Rotation)
	default:
		s.Phase, s.Reason = api.Running, orElse(w.tracks[d.ID].Reason, "accepts connections")
	}
	return s
}

// dropDatabase removes the data of a deleted database, which its owner asked for, and forgets it.
func (cp *ControlPlane) dropDatabase(ctx context.Context, d api.Database, volume string) error {
	if volumes, ok := cp.Engine.(compute.Volumes); ok && volume != "" {
		if err := volumes.RemoveVolume(ctx, volume); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(cp.archiveDir(d.ID)); err != nil {
		return api.Errorf(api.Unavailable, "cannot remove what is archived of database %q: %w", d.Name, err)
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		if err := errors.Join(erase(tx, databaseTable, d.ID), erase(tx, serverTable, d.ID), erase(tx, archiveTable, d.ID), erase(tx, trackTable, d.ID)); err != nil {
			return err
		}
		return cp.record(tx, platform("loop"), "database", &d.Meta, "removed", "its server and data are gone")
	})
}
