package controlplane

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"nuage/api"
	"nuage/storage"
)

// functionVerbs adds the calls to the verbs of every noun.
type functionVerbs struct {
	resource[api.Function, api.FunctionSpec]
}

func (cp *ControlPlane) functions() resource[api.Function, api.FunctionSpec] {
	return resource[api.Function, api.FunctionSpec]{
		cp: cp, noun: "function", prefix: "fn", table: functionTable,
		status: func(f *api.Function) *api.Status { return &f.Status.Status },
		spec:   func(f *api.Function) *api.FunctionSpec { return &f.Spec },
		check:  cp.checkFunction,
		admit:  cp.admitFunction,
		retire: cp.retireFunction,
		verb: func(old, next *api.Function) (string, string) {
			verb := "deploy"
			if old == nil {
				verb = "create"
			}
			return verb, next.Spec.Runtime + ", version " + itoa(next.Status.Version)
		},
		done: cp.functionChanged,
	}
}

func (cp *ControlPlane) checkFunction(ctx context.Context, old, next *api.Function) error {
	s := &next.Spec
	s.SecretsVersion = 0
	if old != nil {
		s.SecretsVersion = old.Spec.SecretsVersion
	}
	if s.MemoryMB == 0 {
		s.MemoryMB = api.DefaultMemoryMB
	}
	if s.TimeoutMs == 0 {
		s.TimeoutMs = api.DefaultTimeoutMs
	}
	if s.Network == "" {
		s.Network = "none"
		if len(s.Databases) > 0 {
			s.Network = "project"
		}
	}
	if err := cp.checkFunctionFields(next.Name, s); err != nil {
		return err
	}
	d, err := cp.deployment(next)
	if err != nil {
		return err
	}
	return cp.invoker.Check(ctx, d)
}

func (cp *ControlPlane) checkFunctionFields(name string, s *api.FunctionSpec) error {
	switch {
	case cp.Runtimes[s.Runtime] == nil:
		return api.Errorf(api.Invalid, "cannot deploy function %q with runtime %q: there are %s", name, s.Runtime, strings.Join(slices.Sorted(maps.Keys(cp.Runtimes)), ", "))
	case s.MemoryMB < api.MinFunctionMB || s.MemoryMB > api.MaxFunctionMB:
		return api.Errorf(api.Invalid, "cannot deploy function %q with %d MB: %d to %d is possible", name, s.MemoryMB, api.MinFunctionMB, api.MaxFunctionMB)
	case s.TimeoutMs < 1 || s.TimeoutMs > api.MaxFunctionMs:
		return api.Errorf(api.Invalid, "cannot deploy function %q with a time-out of %d ms: 1 to %d is possible", name, s.TimeoutMs, api.MaxFunctionMs)
	case s.Concurrency < 0 || s.Concurrency > api.MaxFunctionConcurrency:
		return api.Errorf(api.Invalid, "cannot deploy function %q with %d calls at once: 1 to %d is possible, 0 for all that the project has", name, s.Concurrency, api.MaxFunctionConcurrency)
	case s.Network != "none" && s.Network != "project" && s.Network != "internet":
		return api.Errorf(api.Invalid, "cannot deploy function %q with network %q: there are none, project and internet", name, s.Network)
	case s.Network != "none" && s.Runtime == "wasm":
		return api.Errorf(api.Invalid, "cannot deploy function %q with network %q: wasm functions have no network", name, s.Network)
	case len(s.Databases) > 0 && s.Network == "none":
		return api.Errorf(api.Invalid, "cannot deploy function %q with a database and network none: use network project", name)
	}
	if err := errors.Join(checkEnv(s.Env), checkSecrets("function", name, s.Secrets, s.Env)); err != nil {
		return err
	}
	if err := checkAsync(name, s.Async); err != nil {
		return err
	}
	return cp.checkSource(s.Source, true)
}

// admitFunction counts versions; the URL depends on a trigger.
func (cp *ControlPlane) admitFunction(tx *storage.Tx, _ api.Actor, old, next *api.Function) error {
	for _, name := range next.Spec.Databases {
		if _, err := cp.databases().find(tx, next.Project, name); err != nil {
			return err
		}
	}
	if err := errors.Join(cp.admitAsync(tx, next), admitOne(tx, "function", &next.Meta, old == nil, api.Quota{Functions: 1})); err != nil {
		return err
	}
	sealed, err := cp.sealSecrets(tx, "function", &next.Meta, secretSet{version: next.Spec.SecretsVersion}, secretSet{values: next.Spec.Secrets})
	if err != nil {
		return err
	}
	next.Spec.Secrets, next.Spec.SecretsVersion = sealed.values, sealed.version
	if old == nil || !sameCode(old.Spec, next.Spec) {
		next.Status.Version++
		next.Status.Phase, next.Status.Reason = api.Pending, "being deployed"
	}
	return nil
}

// sameCode compares what a version consists of.
func sameCode(a, b api.FunctionSpec) bool {
	a.Async, b.Async = api.AsyncSpec{}, api.AsyncSpec{}
	return same(a, b)
}

func (cp *ControlPlane) retireFunction(tx *storage.Tx, f *api.Function) (bool, error) {
	if err := inUse(tx, "function", &f.Meta); err != nil {
		return true, err
	}
	err := triggerTable.EachBy(tx, "name", f.Project+"/", func(t api.Trigger) error {
		if t.Spec.Function == f.Name {
			return api.Errorf(api.Conflict, "cannot delete function %q: trigger %q calls it; delete that first", f.Name, t.Name)
		}
		return nil
	})
	if err != nil {
		return true, err
	}
	return true, errors.Join(dropVersions(tx, f), dropVaults(tx, f.ID))
}
