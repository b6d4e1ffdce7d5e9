package controlplane

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/controlplane/ingress"
)

// url is where the edge serves something: NAME.KIND.localhost in the project default, NAME.PROJECT.KIND.localhost elsewhere.
func (cp *ControlPlane) url(name, project, kind string) string {
	return cp.scheme() + hostName(name, project, kind) + cp.edgePort()
}

// scheme is what addresses at the edge begin with.
func (cp *ControlPlane) scheme() string {
	if cp.EdgeTLS {
		return "https://"
	}
	return "http://"
}

// edgePort is the port of the edge, with its colon.
func (cp *ControlPlane) edgePort() string {
	_, port, err := net.SplitHostPort(cp.EdgeAddr)
	if err != nil {
		port = "7080"
	}
	return ":" + port
}

func hostName(name, project, kind string) string {
	if project == defaultProject {
		return fmt.Sprintf("%s.%s.localhost", name, kind)
	}
	return fmt.Sprintf("%s.%s.%s.localhost", name, project, kind)
}

// route tells the edge where requests go now.
func (cp *ControlPlane) route(w *world) {
	var routes []ingress.Route
	for _, a := range w.apps {
		if a.DeletedAt == nil {
			r := w.appRoute(a)
			r.Guard = cp.guard(w, a)
			routes = append(routes, r)
		}
	}
	for _, t := range w.triggers {
		if f, ok := w.by.functions[t.Project+"/"+t.Spec.Function]; ok && t.Spec.HTTP {
			routes = append(routes, ingress.Route{Host: hostName(f.Name, f.Project, "fn"), Project: f.Project, Name: f.Name, Kind: "function", Handler: cp.httpFunction(f.ID, t.Spec.Qualifier)})
		}
	}
	routes = append(routes, cp.authRoute())
	cp.Edge.SetRoutes(routes)
}

// appRoute sends requests to the healthy replicas of the releases that serve.
func (w *world) appRoute(a api.App) ingress.Route {
	r := ingress.Route{Host: hostName(a.Name, a.Project, "app"), Project: a.Project, Name: a.Name, Kind: "app", Note: a.Status.Reason, Sticky: a.Spec.Sticky, Limits: limitsOf(a)}
	if a.Spec.Scaling != nil && a.Spec.Scaling.Min == 0 && a.Status.Release != 0 {
		r.Hold = ingress.Hold{Most: holdMost, For: holdFor}
	}
	shares := sharesOf(a)
	for _, s := range shares {
		r.Backends = append(r.Backends, w.backends(a, s.Release)...)
		if len(shares) > 1 {
			r.Split = append(r.Split, ingress.Share{Group: releaseGroup(s.Release), Percent: s.Percent})
		}
	}
	return r
}

func limitsOf(a api.App) ingress.Limits {
	l := a.Spec.Limits
	return ingress.Limits{Body: l.BodyBytes, Rate: l.RPS, Idle: time.Duration(l.IdleSeconds) * time.Second, Answer: time.Duration(l.AnswerSeconds) * time.Second}
}

// releaseGroup is what the edge, and a client's cookie, call the replicas of a release.
func releaseGroup(release int) string { return "v" + itoa(release) }

// backends are the healthy replicas of a release.
func (w *world) backends(a api.App, release int) []ingress.Backend {
	var out []ingress.Backend
	rel := w.releases[releaseKey(a.ID, release)] // the zero release of one that can't be read has no endpoint
	for n := range w.replicas(a, release) {
		id := replicaID(a.ID, release, n)
		o := w.observed[id]
		e, reachable := o.Endpoints[rel.Spec.Port]
		if o.State == compute.StateRunning && reachable && w.health[id].ok && !w.leaving[id] {
			out = append(out, ingress.Backend{ID: id, Address: net.JoinHostPort(e.Host, strconv.Itoa(e.Port)), Group: releaseGroup(release)})
		}
	}
	return out
}
