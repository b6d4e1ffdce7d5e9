package controlplane

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/controlplane/ingress"
)

// aim is one machine that a load balancer passes to.
type aim struct {
	id       string // of the backend: the instance's, and the port
	instance string // its name
	address  string // where the laptop reaches the port; "" where it can't
	why      string // why it gets nothing, whatever a health check says; "": it may
	waits    bool   // why will pass by itself: the machine is being made
	leaving  bool   // its group takes it away
	check    target // what its health check asks; only where why is ""
}

// checkupKey is under which name the health of a backend is asked for.
func checkupKey(balancer, backend string) string { return balancer + "/" + backend }

// aims lists the machines of a load balancer in the order of its targets, members of a group by name. No backend is twice.
func (w *world) aims(b api.LoadBalancer) []aim {
	var out []aim
	seen := map[string]bool{}
	add := func(a aim) {
		if !seen[a.id] {
			seen[a.id] = true
			out = append(out, a)
		}
	}
	for _, t := range b.Spec.Targets {
		if t.Group != "" {
			for _, i := range w.by.teams[w.by.fleets[b.Project+"/"+t.Group].ID] {
				if i.DeletedAt == nil {
					add(w.aim(b, i, t.Port))
				}
			}
			continue
		}
		i, ok := w.by.instances[b.Project+"/"+t.Instance]
		if !ok {
			add(aim{id: "/" + t.Instance + ":" + itoa(t.Port), instance: t.Instance, why: "no such instance"})
			continue
		}
		add(w.aim(b, i, t.Port))
	}
	return out
}

func (w *world) aim(b api.LoadBalancer, i api.Instance, port int) aim {
	a := aim{id: i.ID + ":" + itoa(port), instance: i.Name, leaving: w.machines[i.ID].Leaving != nil}
	if a.why, a.waits = w.idle(i); a.why != "" {
		return a
	}
	health := b.Spec.Health
	if health.Port == 0 {
		health.Port = port
	}
	a.address = w.dial(i, port)
	a.check = w.machineCheck(i, health)
	switch {
	case i.Spec.Private:
		a.why = "it is private: only its network reaches it, and a load balancer is outside"
	case !w.real:
	case a.address == "" || a.check.host == "":
		a.why = "this engine does not let the laptop reach that port of a machine"
	}
	return a
}

// idle says why nothing can be passed to an instance: it does not run; waits: it will.
func (w *world) idle(i api.Instance) (why string, waits bool) {
	o := w.observed[i.ID]
	switch {
	case i.DeletedAt != nil:
		return "it is being deleted", false
	case i.Spec.Stopped:
		return "it is stopped", false
	case o.State == compute.StateRunning:
		return "", false
	}
	phase := i.Status.Phase
	return fmt.Sprintf("it is %s: %s", phase, i.Status.Reason), phase == api.Pending && !w.tracks[i.ID].ended(o)
}

// dial is where the laptop reaches a port of a machine that runs, "" where it can't.
func (w *world) dial(i api.Instance, port int) string {
	o := w.observed[i.ID]
	if e, ok := o.Endpoints[port]; ok {
		return net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
	}
	if w.routes && o.Address != "" {
		return net.JoinHostPort(o.Address, strconv.Itoa(port))
	}
	return ""
}

// machineCheck is what a health check asks of a machine that runs; its host is "" where the laptop can't reach it.
func (w *world) machineCheck(i api.Instance, h api.HealthCheck) target {
	every := time.Duration(h.IntervalSeconds) * time.Second
	o := w.observed[i.ID]
	return target{id: i.ID, boot: o.Engine + o.StartedAt.String(), port: h.Port, host: w.dial(i, h.Port), path: h.Path,
		gateway: hostAddress(w.rangeOf(i), 1), rhythm: rhythm{every: every, soon: min(every, time.Second),
			patience: time.Duration(h.TimeoutSeconds) * time.Second, good: 2, bad: 2}}
}

// balancerTargets adds what the health checks of load balancers ask.
func (w *world) balancerTargets(out map[string]target) {
	for _, b := range w.balancers {
		for _, a := range w.aims(b) {
			if a.why == "" {
				out[checkupKey(b.ID, a.id)] = a.check
			}
		}
	}
}

// judge says how a machine is for a load balancer.
func (w *world) judge(b api.LoadBalancer, a aim) (health, reason string) {
	p, asked := w.health[checkupKey(b.ID, a.id)]
	switch {
	case a.leaving:
		return "draining", "its group takes it away; what it has begun may end"
	case a.waits:
		return "unknown", a.why
	case a.why != "":
		return "unhealthy", a.why
	case !w.real:
		return "healthy", "simulated"
	case !asked:
		return "unknown", "not asked yet"
	case !p.ok:
		return "unhealthy", p.reason
	}
	return "healthy", "answers"
}

// service is what a load balancer does now.
func (w *world) service(b api.LoadBalancer) ingress.Service {
	s := ingress.Service{Algorithm: ingress.Algorithm(b.Spec.Algorithm), Drain: time.Duration(b.Spec.DrainSeconds) * time.Second, ProxyProtocol: b.Spec.ProxyProtocol}
	var rows []api.TargetStatus
	for _, a := range w.aims(b) {
		row := api.TargetStatus{Instance: a.instance}
		if row.Health, row.Reason = w.judge(b, a); row.Health == "healthy" {
			s.Backends = append(s.Backends, ingress.Backend{ID: a.id, Address: a.address})
		}
		rows = append(rows, row)
	}
	s.Note = targetsReason(rows)
	return s
}

// balancerStatus says where a load balancer listens, and how its targets are.
func (w *world) balancerStatus(b api.LoadBalancer) api.LoadBalancerStatus {
	s, now := b.Status, w.balancing[b.ID]
	s.Generation, s.Targets = b.Generation, w.targetRows(b)
	if now.endpoint != nil {
		s.Endpoint = now.endpoint
	}
	s.Phase, s.Reason = balancerPhase(s.Targets), targetsReason(s.Targets)
	switch {
	case now.trouble != nil:
		s.Phase, s.Reason = api.Degraded, now.trouble.Error()
	case !w.real:
		s.Reason += "; simulated: nothing listens"
	case now.endpoint != nil && now.endpoint.Port != b.Spec.Port:
		s.Reason += fmt.Sprintf("; port %d was not free on this laptop, so it listens on %d", b.Spec.Port, now.endpoint.Port)
	}
	return s
}

// targetRows are the targets as the status shows them, those last that left and still end something.
func (w *world) targetRows(b api.LoadBalancer) []api.TargetStatus {
	rows, there := []api.TargetStatus{}, map[string]bool{}
	for _, a := range w.aims(b) {
		there[a.id] = true
		row := api.TargetStatus{Instance: a.instance, Address: a.address}
		row.Health, row.Reason = w.judge(b, a)
		rows = append(rows, row)
	}
	gone := slices.DeleteFunc(slices.Clone(w.balancing[b.ID].busy), func(a aim) bool { return there[a.id] })
	slices.SortFunc(gone, func(x, y aim) int { return cmp.Compare(x.id, y.id) })
	for _, a := range gone {
		rows = append(rows, api.TargetStatus{Instance: a.instance, Address: a.address, Health: "draining", Reason: "no target any more; what it has begun may end"})
	}
	return rows
}

// balancerPhase is the phase of a load balancer with such targets.
func balancerPhase(rows []api.TargetStatus) api.Phase {
	n := map[string]int{}
	for _, r := range rows {
		n[r.Health]++
	}
	switch {
	case n["unknown"] > 0 && n["healthy"] == 0:
		return api.Pending
	case n["unknown"] > 0:
		return api.Updating
	case n["unhealthy"] > 0:
		return api.Degraded
	}
	return api.Running
}

// targetsReason counts the healthy targets, and says of the first others what is wrong.
func targetsReason(rows []api.TargetStatus) string {
	var healthy, all int
	var wrong []string
	for _, r := range rows {
		switch r.Health {
		case "draining":
			continue
		case "healthy":
			healthy++
		default:
			wrong = append(wrong, r.Instance+": "+r.Reason)
		}
		all++
	}
	const most = 3
	if more := len(wrong) - most; more > 0 {
		wrong = append(wrong[:most], fmt.Sprintf("and %d more", more))
	}
	switch {
	case all == 0:
		return "it has no targets yet"
	case len(wrong) == 0:
		return fmt.Sprintf("%d of %d targets healthy", healthy, all)
	}
	return fmt.Sprintf("%d of %d targets healthy; %s", healthy, all, strings.Join(wrong, "; "))
}
