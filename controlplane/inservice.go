package controlplane

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"nuage/api"
	"nuage/functions"
	"nuage/storage"
)

// inService knows which generation of each function was handed to the invoker. It is empty at a start: then all are
// deployed again.
type inService struct {
	mu    sync.Mutex
	done  map[string]int64 // generation by function, deployed or refused for good
	locks map[string]*turn // by function: one deploy at a time
	slots chan struct{}    // bounds the deploys of the loop
}

// turn is a lock with the number of those that hold it or wait for it.
type turn struct {
	taken chan struct{}
	users int
}

const deploysAtOnce = 4

func newInService() *inService {
	return &inService{done: map[string]int64{}, locks: map[string]*turn{}, slots: make(chan struct{}, deploysAtOnce)}
}

// lock lets one deploy or removal of a function through at a time.
func (s *inService) lock(id string) (unlock func()) {
	s.mu.Lock()
	t := s.locks[id]
	if t == nil {
		t = &turn{taken: make(chan struct{}, 1)}
		s.locks[id] = t
	}
	t.users++
	s.mu.Unlock()
	t.taken <- struct{}{}
	return func() {
		<-t.taken
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(s.locks, id)
		}
	}
}

func (s *inService) has(f api.Function) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done[f.ID] == f.Generation
}

func (s *inService) set(id string, generation int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done[id] = generation
}

// drop forgets a function, so that it is deployed at the next occasion.
func (s *inService) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.done, id)
}

// serveFunctions deploys the functions that the invoker does not have yet: all after a start, and those whose deploy the
// engine could not make.
func (cp *ControlPlane) serveFunctions(ctx context.Context, w *world) {
	for _, f := range w.functions {
		if cp.inService.has(f) {
			continue
		}
		cp.loop.dispatch(ctx, f.ID, 15*time.Minute, func(ctx context.Context) error {
			select {
			case cp.inService.slots <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			defer func() { <-cp.inService.slots }()
			_, err := cp.deployFunction(ctx, f.ID)
			return err
		})
	}
}

// functionChanged deploys what was committed at once, so that the caller sees how it ends.
func (cp *ControlPlane) functionChanged(ctx context.Context, f *api.Function) {
	if f.Status.Phase == api.Failed { // deployed again as it is
		cp.inService.drop(f.ID)
	}
	now, err := cp.deployFunction(context.WithoutCancel(ctx), f.ID)
	if err != nil {
		cp.log.Warn("function not deployed; it is tried again", "function", f.Name, "error", err)
	}
	if now.ID != "" {
		*f = now
	}
}

// deployFunction puts the newest version of a function into service and returns it with the outcome in its status; one
// that is gone is taken out of service. Unavailable: the engine does not answer, so it is worth another try.
func (cp *ControlPlane) deployFunction(ctx context.Context, id string) (api.Function, error) {
	defer cp.inService.lock(id)()
	f, err := cp.functionByID(id)
	if errors.Is(err, api.NotFound) {
		cp.inService.drop(id)
		cp.invoker.Remove(id)
		return api.Function{}, nil
	}
	if err != nil || cp.inService.has(f) {
		return f, err
	}
	d, err := cp.deployment(&f)
	if err == nil {
		d.Checked = true
		err = errors.Join(cp.invoker.Deploy(ctx, d), cp.refreshVersions(ctx, f))
	}
	if err != nil && ctx.Err() != nil {
		return f, err // the cloud is stopping: the next start deploys it
	}
	retry := errors.Is(err, api.Unavailable)
	if !retry {
		cp.inService.set(id, f.Generation)
	}
	f, stored := cp.deployEnded(f, err)
	if stored != nil || !retry {
		return f, stored
	}
	return f, err
}

func (cp *ControlPlane) functionByID(id string) (api.Function, error) {
	return cp.callable.get(id, func() (f api.Function, err error) {
		err = cp.Store.View(func(tx *storage.Tx) error {
			f, err = functionTable.Get(tx, id)
			return err
		})
		return f, err
	})
}

// deployEnded writes the outcome of a deploy into the status of the generation it was of.
func (cp *ControlPlane) deployEnded(f api.Function, outcome error) (api.Function, error) {
	now := cp.Now().UTC()
	status := api.Status{Phase: api.Running, Reason: "can be called", Generation: f.Generation, ObservedAt: &now}
	lastError := ""
	switch {
	case errors.Is(outcome, api.Unavailable):
		status = api.Status{Phase: api.Pending, Reason: outcome.Error(), Generation: f.Status.Generation, ObservedAt: &now}
	case outcome != nil:
		status.Phase, status.Reason, lastError = api.Failed, outcome.Error(), outcome.Error()
	}
	err := cp.Store.Update(func(tx *storage.Tx) error {
		stored, err := functionTable.Get(tx, f.ID)
		if err != nil || stored.Generation != f.Generation {
			return ignoreGone(err) // deleted or deployed again meanwhile
		}
		if stored.Status.Phase == status.Phase && stored.Status.Reason == status.Reason && stored.Status.Generation == status.Generation {
			f = stored
			return nil
		}
		stored.Status.Status, stored.Status.LastError = status, lastError
		f = stored
		return functionTable.Put(tx, stored)
	})
	return f, err
}

// Delete takes the code out of service too. Calls under way finish.
func (r functionVerbs) Delete(ctx context.Context, project, name string, generation int64) error {
	f, err := r.Get(ctx, project, name)
	if err != nil {
		return err
	}
	if err := r.resource.Delete(ctx, project, name, generation); err != nil {
		return err
	}
	_, err = r.cp.deployFunction(context.WithoutCancel(ctx), f.ID)
	return err
}

// deployment is a function as the invoker takes it.
func (cp *ControlPlane) deployment(f *api.Function) (functions.Deployment, error) {
	dir, err := cp.unpack(f.Spec.Source)
	if err != nil {
		return functions.Deployment{}, err
	}
	d := functions.Deployment{
		FunctionID: f.ID, Project: f.Project, Name: f.Name, Version: f.Status.Version, Runtime: f.Spec.Runtime, Handler: f.Spec.Handler,
		CodeDir: dir, Digest: f.Spec.Source, MemoryMB: f.Spec.MemoryMB, TimeoutMs: f.Spec.TimeoutMs, Env: map[string]string{},
		Concurrency: f.Spec.Concurrency,
	}
	for k, v := range f.Spec.Env {
		d.Env[k] = v
	}
	return d, cp.bindDatabases(f, &d)
}

// bindDatabases adds what a function needs to reach its databases.
func (cp *ControlPlane) bindDatabases(f *api.Function, d *functions.Deployment) error {
	return cp.Store.View(func(tx *storage.Tx) error {
		if err := cp.bindNetwork(tx, f, d); err != nil {
			return err
		}
		secrets, err := cp.openSecrets(tx, f.ID, f.Spec.SecretsVersion)
		if err != nil {
			return err
		}
		maps.Copy(d.Env, secrets)
		for i, name := range f.Spec.Databases {
			db, err := cp.databases().find(tx, f.Project, name)
			if err != nil {
				return err
			}
			l, err := cp.login(tx, db)
			if err != nil {
				return err
			}
			d.Env["DATABASE_URL_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = internalURL(db, l)
			for variable, url := range databaseEnv(db, l) {
				if _, set := d.Env[variable]; i == 0 && variable == "DATABASE_URL" || !set {
					d.Env[variable] = url
				}
			}
		}
		return nil
	})
}
