package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// newFor is how long something new may be pending before it counts as unhealthy.
const newFor = 20 * time.Second

// system implements api.System.
type system struct{ cp *ControlPlane }

// bootstrap makes the first project where the store has none. FirstToken makes the token.
func (cp *ControlPlane) bootstrap(context.Context) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		_, err := projectTable.GetBy(tx, "name", defaultProject)
		if !errors.Is(err, api.NotFound) { // one that does not decode is there too
			return errors.Join(cp.addDefaultNetworks(tx), cp.addAppNetworks(tx), cp.refreshURLs(tx), cp.refreshIssuers(tx))
		}
		_, err = cp.addProject(tx, platform("bootstrap"), defaultProject, api.ProjectSpec{Description: "the cloud's first project"})
		return err
	})
}

// refreshURLs writes the edge's address, which may be another one after a start, into what has a URL.
func (cp *ControlPlane) refreshURLs(tx *storage.Tx) error {
	err := appTable.Each(tx, "", func(a api.App) error {
		a.Status.URL = cp.url(a.Name, a.Project, "app")
		return appTable.Put(tx, a)
	})
	if err != nil {
		return err
	}
	return triggerTable.Each(tx, "", func(t api.Trigger) error {
		if !t.Spec.HTTP {
			return nil
		}
		t.Status.URL = cp.url(t.Spec.Function, t.Project, "fn")
		if err := cp.setFunctionURL(tx, &t, t.Status.URL); err != nil {
			return ignoreGone(err)
		}
		return triggerTable.Put(tx, t)
	})
}

// FirstToken returns the secret that lets the laptop's owner in: the one given if it is still good, else a new one
// named admin, which replaces any token of that name.
func (cp *ControlPlane) FirstToken(ctx context.Context, known string) (string, error) {
	if known != "" {
		if actor, err := (tokens{cp}).Authenticate(ctx, known); err == nil && actor.Project == "" {
			return known, nil
		}
	}
	var made api.Token
	err := cp.Store.Update(func(tx *storage.Tx) error {
		if old, err := tokenTable.GetBy(tx, "name", "admin"); err == nil {
			if err := tokenTable.Delete(tx, old.ID); err != nil {
				return err
			}
		}
		var err error
		made, err = cp.addToken(tx, platform("bootstrap"), "admin", api.TokenSpec{})
		return err
	})
	return made.Secret, err
}

const clockKey = "clock"

// openClock goes on with the stored billing clock.
func (cp *ControlPlane) openClock() error {
	var state billing.ClockState
	var newest time.Time
	err := cp.Store.View(func(tx *storage.Tx) error {
		if s, err := settingTable.Get(tx, clockKey); err == nil {
			if err := json.Unmarshal(s.Value, &state); err != nil {
				return api.Errorf(api.Internal, "cannot read the billing clock: %w", err)
			}
		}
		return runTable.Each(tx, "", func(r run) error {
			if r.Start.After(newest) {
				newest = r.Start
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	if cp.clock, err = billing.NewClock(state, cp.Now(), newest); err != nil {
		return err
	}
	return cp.keepClock(cp.clock.State(), func(*storage.Tx) error { return nil })
}

// keepClock stores the clock, and with it what record does.
func (cp *ControlPlane) keepClock(s billing.ClockState, record func(*storage.Tx) error) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		if err := settingTable.Put(tx, setting{Key: clockKey, Value: raw}); err != nil {
			return err
		}
		return record(tx)
	})
}

func (s system) Status(ctx context.Context) (api.CloudStatus, error) {
	actor, err := s.cp.actor(ctx)
	if err != nil {
		return api.CloudStatus{}, err
	}
	out := api.CloudStatus{CloudID: s.cp.Store.CloudID(), Version: s.cp.Version, API: s.cp.API, Edge: s.cp.EdgeAddr, StartedAt: s.cp.started.UTC(),
		Ready: s.cp.Ready() == nil, Unhealthy: []api.Unhealthy{}}
	out.Engine, out.EngineNote = s.engine(ctx)
	out.EdgeCA = string(s.cp.EdgeCA())
	bill, err := s.cp.bill(api.BillQuery{Project: actor.Project})
	if err != nil {
		return out, err
	}
	out.Spend = bill.Total
	out.Clock = s.cp.clockState()
	w, err := s.cp.read()
	if err != nil {
		return out, err
	}
	out.Counts = w.counts(actor.Project)
	out.Unhealthy = append(out.Unhealthy, w.unhealthy(actor.Project, s.cp.Now())...)
	return out, nil
}

// engine names the engine, and says what is wrong where it does not answer.
func (s system) engine(ctx context.Context) (name, note string) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	info, err := s.cp.Engine.Info(ctx)
	if err != nil {
		return orElse(s.cp.loop.engine().Name, "no engine"), err.Error()
	}
	note = s.cp.Note
	if info.Note != "" {
		note = orElse(note, info.Note)
	}
	return info.Name + " " + info.Version, note
}

func (w *world) counts(project string) map[string]int {
	out := map[string]int{"projects": 0, "instances": 0, "apps": 0, "databases": 0, "functions": 0, "triggers": 0, "queues": 0, "topics": 0}
	w.each(func(noun string, m api.Meta, _ api.Status) {
		if project == "" || m.Project == project {
			out[noun+"s"]++
		}
	})
	for name := range w.projects {
		if project == "" || name == project {
			out["projects"]++
		}
	}
	return out
}

// each visits every noun that has a phase of interest.
func (w *world) each(fn func(noun string, m api.Meta, s api.Status)) {
	for _, n := range w.networks {
		fn("network", n.Meta, n.Status.Status)
	}
	for _, v := range w.volumes {
		fn("volume", v.Meta, v.Status.Status)
	}
	for _, s := range w.snapshots {
		fn("snapshot", s.Meta, s.Status.Status)
	}
	for _, g := range w.images {
		fn("image", g.Meta, g.Status.Status)
	}
	for _, i := range w.instances {
		fn("instance", i.Meta, i.Status.Status)
	}
	for _, b := range w.balancers {
		fn("load-balancer", b.Meta, b.Status.Status)
	}
	for _, g := range w.fleets {
		fn("instance-group", g.Meta, g.Status.Status)
	}
	for _, a := range w.apps {
		fn("app", a.Meta, a.Status.Status)
	}
	for _, d := range w.databases {
		fn("database", d.Meta, d.Status.Status)
	}
	for _, b := range w.backups {
		fn("backup", b.Meta, b.Status.Status)
	}
	for _, p := range w.pools {
		fn("auth-pool", p.Meta, p.Status.Status)
	}
	for _, f := range w.functions {
		fn("function", f.Meta, f.Status.Status)
	}
	for _, t := range w.triggers {
		fn("trigger", t.Meta, t.Status.Status)
	}
	for _, q := range w.queues {
		fn("queue", q.Meta, q.Status.Status)
	}
	for _, t := range w.topics {
		fn("topic", t.Meta, t.Status.Status)
	}
	for _, b := range w.budgets {
		fn("budget", b.Meta, b.Status.Status)
	}
}

// unhealthy is what is not as it should be. What was asked for a moment ago is on its way, not unhealthy.
func (w *world) unhealthy(project string, now time.Time) []api.Unhealthy {
	var out []api.Unhealthy
	w.each(func(noun string, m api.Meta, s api.Status) {
		young := s.Phase == api.Pending && now.Sub(m.CreatedAt) < newFor
		if s.Phase != api.Running && s.Phase != api.Stopped && !young && (project == "" || m.Project == project) {
			out = append(out, api.Unhealthy{Noun: noun, Project: m.Project, Name: m.Name, Phase: s.Phase, Reason: s.Reason})
		}
	})
	return out
}

func (s system) Backup(ctx context.Context, w io.Writer) error {
	if _, err := s.cp.wholeCloud(ctx, "back the cloud up"); err != nil {
		return err
	}
	_, err := s.cp.Store.Backup(w)
	return err
}

// Shutdown stops every workload and then ends the process. What should run stays written down: the next start brings it back.
func (s system) Shutdown(ctx context.Context) error {
	actor, err := s.cp.wholeCloud(ctx, "stop the cloud")
	if err != nil {
		return err
	}
	err = s.cp.Store.Update(func(tx *storage.Tx) error {
		return s.cp.record(tx, actor, "cloud", &api.Meta{Name: s.cp.Store.CloudID()}, "shutdown", "every workload is stopped; data stays")
	})
	if err != nil {
		return err
	}
	err = s.cp.stopAll(context.WithoutCancel(ctx))
	s.cp.Options.Shutdown()
	return err
}

// stopAll stops everything of this cloud at once, and marks it as stopped by us.
func (cp *ControlPlane) stopAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cp.loop.halt(ctx, 20*time.Second)
	cp.events.stop()
	cp.balancers.close()
	if err := cp.invoker.Close(); err != nil { // calls under way end before their sandboxes go
		cp.log.Error("functions not stopped", "error", err)
	}
	list, err := cp.Engine.List(ctx)
	if err != nil {
		return err
	}
	err = cp.Store.Update(func(tx *storage.Tx) error {
		for _, o := range list {
			if err := cp.putTrack(tx, o.ID, func(t *track) { t.Halted = true }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make(chan error, len(list))
	for _, o := range list {
		wg.Go(func() { errs <- cp.halt(ctx, o) })
	}
	wg.Wait()
	close(errs)
	for e := range errs {
		if e != nil {
			err = e
		}
	}
	return err
}

// halt stops a workload; what nobody would start again is removed.
func (cp *ControlPlane) halt(ctx context.Context, o compute.Observed) error {
	if !swept(o.Kind) {
		return cp.Engine.Remove(ctx, o.ID)
	}
	return cp.Engine.Stop(ctx, o.ID, stopGrace)
}
