package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"nuage/api"
	"nuage/storage"
)

const (
	balancerHTTP = "http"
	balancerTCP  = "tcp"

	defaultInterval = 2  // seconds between health checks
	defaultTimeout  = 2  // seconds that one may take
	defaultDrain    = 30 // seconds
	mostTargets     = 100
)

// loadBalancers adds to the verbs of every noun what is not stored: how much is in flight.
type loadBalancers struct {
	resource[api.LoadBalancer, api.LoadBalancerSpec]
}

func (cp *ControlPlane) loadBalancers() resource[api.LoadBalancer, api.LoadBalancerSpec] {
	return resource[api.LoadBalancer, api.LoadBalancerSpec]{
		cp: cp, noun: "load-balancer", prefix: "lb", table: balancerTable,
		status: func(b *api.LoadBalancer) *api.Status { return &b.Status.Status },
		spec:   func(b *api.LoadBalancer) *api.LoadBalancerSpec { return &b.Spec },
		check:  checkBalancer,
		admit:  admitBalancer,
		retire: func(*storage.Tx, *api.LoadBalancer) (bool, error) { return true, nil },
		verb:   balancerVerb,
	}
}

// Get adds what is in flight on each target.
func (r loadBalancers) Get(ctx context.Context, project, name string) (api.LoadBalancer, error) {
	b, err := r.resource.Get(ctx, project, name)
	return r.cp.balancers.count(b), err
}

// List adds what is in flight on each target.
func (r loadBalancers) List(ctx context.Context, project string, page api.Page) (api.List[api.LoadBalancer], error) {
	all, err := r.resource.List(ctx, project, page)
	for i, b := range all.Items {
		all.Items[i] = r.cp.balancers.count(b)
	}
	return all, err
}

// Wait adds what is in flight on each target.
func (r loadBalancers) Wait(ctx context.Context, project, name string, limit time.Duration) (api.LoadBalancer, error) {
	b, err := r.resource.Wait(ctx, project, name, limit)
	return r.cp.balancers.count(b), err
}

// Delete stops listening before it answers. What is in flight may end for drainSeconds.
func (r loadBalancers) Delete(ctx context.Context, project, name string, generation int64) error {
	b, err := r.Get(ctx, project, name)
	if err != nil {
		return err
	}
	if err := r.resource.Delete(ctx, project, name, generation); err != nil {
		return err
	}
	r.cp.balancers.drop(b.ID)
	return nil
}

// checkBalancer refuses what no load balancer can do, and fills in defaults.
func checkBalancer(_ context.Context, _, next *api.LoadBalancer) error {
	s := &next.Spec
	s.Protocol = orElse(s.Protocol, balancerHTTP)
	s.Algorithm = orElse(s.Algorithm, "round-robin")
	if s.DrainSeconds == 0 {
		s.DrainSeconds = defaultDrain
	}
	if s.Targets = slices.Clone(s.Targets); s.Targets == nil {
		s.Targets = []api.Target{}
	}
	switch {
	case !isPort(s.Port):
		return api.Errorf(api.Invalid, "cannot use port %d for load balancer %q: ports are 1 to 65535", s.Port, next.Name)
	case s.Protocol != balancerHTTP && s.Protocol != balancerTCP:
		return api.Errorf(api.Invalid, "cannot use protocol %q for load balancer %q: there are http and tcp", s.Protocol, next.Name)
	case s.Algorithm != "round-robin" && s.Algorithm != "least-connections":
		return api.Errorf(api.Invalid, "cannot use algorithm %q for load balancer %q: there are round-robin and least-connections", s.Algorithm, next.Name)
	case s.ProxyProtocol && s.Protocol != balancerTCP:
		return api.Errorf(api.Invalid, "cannot use the PROXY protocol in load balancer %q: it is for tcp; http has X-Forwarded-For", next.Name)
	case s.DrainSeconds < 0 || s.DrainSeconds > 3600:
		return api.Errorf(api.Invalid, "cannot drain for %d seconds: 1 to 3600 are possible", s.DrainSeconds)
	case len(s.Targets) > mostTargets:
		return api.Errorf(api.Invalid, "cannot use load balancer %q: it has %d targets, %d are the most", next.Name, len(s.Targets), mostTargets)
	}
	if err := checkHealth(&s.Health); err != nil {
		return err
	}
	return checkTargets(s.Targets)
}

func isPort(n int) bool { return n >= 1 && n <= 65535 }

// checkHealth refuses checks that can't be made, and fills in defaults.
func checkHealth(h *api.HealthCheck) error {
	if h.IntervalSeconds == 0 {
		h.IntervalSeconds = defaultInterval
	}
	if h.TimeoutSeconds == 0 {
		h.TimeoutSeconds = defaultTimeout
	}
	switch {
	case h.Path != "" && (!strings.HasPrefix(h.Path, "/") || strings.ContainsFunc(h.Path, func(r rune) bool { return r <= ' ' || r > '~' })):
		return api.Errorf(api.Invalid, "cannot use %q as the path of a health check: it begins with / and has no spaces", h.Path)
	case h.Port != 0 && !isPort(h.Port):
		return api.Errorf(api.Invalid, "cannot use port %d for a health check: ports are 1 to 65535", h.Port)
	case h.IntervalSeconds < 1 || h.IntervalSeconds > 300:
		return api.Errorf(api.Invalid, "cannot check health every %d seconds: 1 to 300 are possible", h.IntervalSeconds)
	case h.TimeoutSeconds < 1 || h.TimeoutSeconds > 60:
		return api.Errorf(api.Invalid, "cannot wait %d seconds for a health check: 1 to 60 are possible", h.TimeoutSeconds)
	}
	return nil
}

func checkTargets(targets []api.Target) error {
	seen := map[api.Target]bool{}
	for _, t := range targets {
		switch {
		case (t.Instance == "") == (t.Group == ""):
			return api.Errorf(api.Invalid, "cannot use a target that is not exactly one instance or one instance group: give one name")
		case !isPort(t.Port):
			return api.Errorf(api.Invalid, "cannot use port %d of target %q: ports are 1 to 65535", t.Port, t.Instance+t.Group)
		case seen[t]:
			return api.Errorf(api.Invalid, "cannot use target %q twice with port %d: remove one", t.Instance+t.Group, t.Port)
		}
		seen[t] = true
	}
	return nil
}

// admitBalancer refuses new targets that are not there. One whose instance was deleted may stay.
func admitBalancer(tx *storage.Tx, _ api.Actor, old, next *api.LoadBalancer) error {
	for _, t := range next.Spec.Targets {
		if old != nil && slices.Contains(old.Spec.Targets, t) {
			continue
		}
		if err := targetExists(tx, next.Project, t); err != nil {
			return err
		}
	}
	if old != nil && old.Spec.Port != next.Spec.Port {
		next.Status.Endpoint = nil // it is given another one
	}
	if old == nil {
		next.Status.Targets = []api.TargetStatus{}
	}
	return nil
}

func targetExists(tx *storage.Tx, project string, t api.Target) error {
	if t.Group != "" {
		if _, err := fleetTable.GetBy(tx, "name", project+"/"+t.Group); err != nil {
			return api.Errorf(api.NotFound, "cannot use instance group %q as a target: project %q has no such group", t.Group, project)
		}
		return nil
	}
	if _, err := instanceTable.GetBy(tx, "name", project+"/"+t.Instance); err != nil {
		return api.Errorf(api.NotFound, "cannot use instance %q as a target: project %q has no such instance", t.Instance, project)
	}
	return nil
}

func balancerVerb(old, next *api.LoadBalancer) (verb, detail string) {
	detail = fmt.Sprintf("%s port %d to %s", next.Spec.Protocol, next.Spec.Port, targetsText(next.Spec.Targets))
	if old == nil {
		return "create", detail
	}
	return "update", detail
}

func targetsText(targets []api.Target) string {
	var names []string
	for _, t := range targets {
		name := t.Instance
		if t.Group != "" {
			name = "group " + t.Group
		}
		names = append(names, fmt.Sprintf("%s:%d", name, t.Port))
	}
	return orElse(strings.Join(names, ", "), "no targets")
}
