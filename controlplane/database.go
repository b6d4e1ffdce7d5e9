package controlplane

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

const (
	postgresPort    = 5432
	postgresImage   = "postgres-15"
	postgresData    = "/var/lib/postgresql/data"
	defaultStorage  = 1 << 30
	databaseService = "databases"
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
		retire: retireDatabase,
		verb: func(old, next *api.Database) (string, string) {
			if old == nil {
				return "create", next.Spec.Engine + ", size " + next.Spec.Size
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
	switch _, err := api.SizeOf(s.Size); {
	case err != nil:
		return err
	case s.Engine != "postgres":
		return api.Errorf(api.Invalid, "cannot create database %q with engine %q: postgres is what there is", next.Name, s.Engine)
	case s.StorageBytes < 64<<20 || s.StorageBytes > 1<<40:
		return api.Errorf(api.Invalid, "cannot create database %q with %d bytes: 64 MiB to 1 TiB is possible", next.Name, s.StorageBytes)
	}
	if old == nil {
		_, err := cp.findImage(ctx, postgresImage)
		return err
	}
	if old.Spec.Engine != s.Engine || old.Spec.StorageBytes != s.StorageBytes {
		return api.Errorf(api.Conflict, "cannot change engine or storage of database %q: only its size can change", next.Name)
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
	var raw [24]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return err
	}
	sealed := cp.Sealer.Seal([]byte(base64.RawURLEncoding.EncodeToString(raw[:])), next.ID+"/password")
	return serverTable.Insert(tx, server{ID: next.ID, Project: next.Project, Host: host, User: "nuage", Password: sealed,
		Volume: "vol-" + strings.TrimPrefix(next.ID, "db-")})
}

// retireDatabase refuses to delete what apps or functions use, replicas of an earlier release included.
func retireDatabase(tx *storage.Tx, d *api.Database) (bool, error) {
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
		return false, err
	}
	return false, functionTable.EachBy(tx, "name", d.Project+"/", func(f api.Function) error {
		if slices.Contains(f.Spec.Databases, d.Name) {
			return used("function", f.Name)
		}
		return nil
	})
}

// boundTo tells whether an app, or a release of it that has replicas, uses a database.
func boundTo(tx *storage.Tx, a api.App, database string) (bool, error) {
	if a.DeletedAt != nil {
		return false, nil
	}
	bound := a.Spec.Database == database
	err := releaseTable.Each(tx, a.ID+"/", func(r release) error {
		live := serves(sharesOf(a), r.Number) || r.Number == a.Status.Target
		if _, err := drainTable.Get(tx, releaseKey(a.ID, r.Number)); err == nil {
			live = true
		}
		bound = bound || live && r.Spec.Database == database
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
		out = api.Credentials{User: login.user, Password: login.password,
			URL: login.url(d.Status.Host, d.Status.Port), InternalURL: login.url(internalHost(d), postgresPort)}
		return r.cp.record(tx, actor, r.noun, &d.Meta, "credentials", "shown")
	})
	return out, err
}

// login is what a client of a database needs besides its address.
type login struct{ user, password, database string }

func (l login) url(host string, port int) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(l.user, l.password), Host: fmt.Sprintf("%s:%d", host, port),
		Path: "/" + l.database, RawQuery: "sslmode=disable"}
	return u.String()
}

// internalHost is a database's name in its project's network.
func internalHost(d api.Database) string { return d.Name + ".db.internal" }

// login opens the sealed password of a database.
func (cp *ControlPlane) login(tx *storage.Tx, d api.Database) (login, error) {
	s, err := serverTable.Get(tx, d.ID)
	if err != nil {
		return login{}, err
	}
	password, err := cp.Sealer.Open(s.Password, d.ID+"/password")
	if err != nil {
		return login{}, err
	}
	return login{user: s.User, password: string(password), database: strings.ReplaceAll(d.Name, "-", "_")}, nil
}

// planDatabase returns the server; its volume is made with it and goes only by an explicit delete.
func (w *world) planDatabase(d api.Database) []compute.Workload {
	size, err := api.SizeOf(d.Spec.Size)
	if d.DeletedAt != nil || err != nil || w.damaged[d.ID] {
		return nil
	}
	l, s := w.logins[d.ID], w.servers[d.ID]
	return []compute.Workload{{
		ID: d.ID, Owner: d.ID, Kind: compute.KindDatabase, Project: d.Project, Name: d.Name, Generation: d.Generation,
		Image: imageRef(postgresImage), Hostname: d.Name, Aliases: []string{internalHost(d)},
		Env:     map[string]string{"POSTGRES_USER": l.user, "POSTGRES_PASSWORD": l.password, "POSTGRES_DB": l.database},
		Network: w.network(d.Project), Address: hostAddress(w.projects[d.Project].Status.CIDR, s.Host), Ports: []int{postgresPort},
		Mounts:  []compute.Mount{{Volume: s.Volume, Path: postgresData}},
		Limits:  compute.Limits{MilliCPU: size.MilliCPU, MemoryBytes: size.MemoryBytes, Pids: 512},
		Running: true,
	}}
}

func (w *world) databaseStatus(d api.Database) api.DatabaseStatus {
	s := d.Status
	s.Status.Generation = d.Generation
	s.Restarts = w.tracks[d.ID].Restarts
	s.InternalHost, s.InternalPort = internalHost(d), postgresPort
	o, there := w.observed[d.ID]
	if e, ok := o.Endpoints[postgresPort]; ok && o.State == compute.StateRunning {
		s.Host, s.Port = e.Host, e.Port
	}
	h, probed := w.health[d.ID]
	if probed && h.ok {
		s.Version, s.SizeBytes = h.version, h.bytes
	}
	trouble, troubled := w.trouble[d.ID]
	switch {
	case d.DeletedAt != nil:
		s.Phase, s.Reason = api.Deleting, "removing the server and its data"
	case troubled && o.State == compute.StateRunning:
		s.Phase, s.Reason = changing(trouble)
	case troubled && trouble.final():
		s.Phase, s.Reason = api.Failed, trouble.reason()
	case troubled:
		s.Phase, s.Reason = api.Pending, trouble.reason()
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
	return cp.Store.Update(func(tx *storage.Tx) error {
		if err := errors.Join(erase(tx, databaseTable, d.ID), erase(tx, serverTable, d.ID), erase(tx, trackTable, d.ID)); err != nil {
			return err
		}
		return cp.record(tx, platform("loop"), "database", &d.Meta, "removed", "its server and data are gone")
	})
}
