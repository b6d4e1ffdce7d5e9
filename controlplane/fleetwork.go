package controlplane

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

// fleetCheck is under which name the health of a member is asked for.
func fleetCheck(group, instance string) string { return group + "/" + instance }

// fleetTargets adds what the health checks of instance groups ask.
func (w *world) fleetTargets(out map[string]target) {
	for _, g := range w.fleets {
		if g.Spec.Health.Port == 0 {
			continue
		}
		for _, i := range w.by.teams[g.ID] {
			if why, _ := w.idle(i); why != "" {
				continue
			}
			if t := w.machineCheck(i, g.Spec.Health); t.host != "" {
				out[fleetCheck(g.ID, i.ID)] = t
			}
		}
	}
}

// fleet is a group with its members as they are now.
func (w *world) fleet(g api.InstanceGroup) fleet {
	f := fleet{group: g}
	template := templateOf(g)
	for _, i := range w.by.teams[g.ID] {
		f.members = append(f.members, w.member(g, i, template))
	}
	return f
}

func (w *world) member(g api.InstanceGroup, i api.Instance, template string) member {
	own := w.machines[i.ID]
	m := member{id: i.ID, name: i.Name, made: i.CreatedAt, current: own.Made == template, leaving: own.Leaving, empty: w.emptied(i.ID), drain: w.drainOf(g)}
	m.gone = i.DeletedAt != nil || own.Reclaim != nil
	var since time.Time
	m.health, m.reason, since, m.lost = w.memberHealth(g, i)
	switch {
	case i.DeletedAt != nil:
		m.health, m.reason = "leaving", "it is being deleted"
	case own.Leaving != nil:
		m.health, m.reason = "leaving", "it ends what it has begun"
	case own.Reclaim != nil:
		m.health, m.reason = "leaving", "spot: it is taken back"
	case m.health == "healthy":
		m.health, m.reason = w.servedBy(g, i, m.reason)
	}
	cpu, known := w.loads[i.ID]
	m.cpu, m.measured = cpu, known && m.health == "healthy" && !w.at.Before(since.Add(time.Duration(g.Spec.CooldownSeconds)*time.Second))
	return m
}

// memberHealth says how a member is, since when it is healthy, and whether it will not become so by itself.
func (w *world) memberHealth(g api.InstanceGroup, i api.Instance) (health, reason string, since time.Time, lost bool) {
	s, o := w.instanceStatus(i), w.observed[i.ID]
	why := fmt.Sprintf("%s: %s", s.Phase, s.Reason)
	switch {
	case i.Spec.Stopped:
		return "unhealthy", "it was stopped", since, true
	case s.Phase == api.Failed:
		return "unhealthy", why, since, true
	case s.Phase == api.Degraded:
		return "unhealthy", why, since, w.overdue(i)
	case s.Phase != api.Running:
		return "unknown", why, since, false
	case g.Spec.Health.Port == 0 || !w.real:
		return "healthy", s.Reason, o.StartedAt, false
	}
	p, asked := w.health[fleetCheck(g.ID, i.ID)]
	switch {
	case !asked && w.dial(i, g.Spec.Health.Port) == "":
		return "unhealthy", fmt.Sprintf("this engine does not let the laptop reach port %d of a machine", g.Spec.Health.Port), since, false
	case !asked:
		return "unknown", "not asked yet", since, false
	case p.ok:
		return "healthy", "answers", p.since, false
	case !p.once && !w.overdue(i):
		return "unknown", "booting: " + p.reason, since, false
	}
	return "unhealthy", p.reason, since, w.overdue(i) || p.once && !w.at.Before(p.since.Add(lostAfter))
}

// overdue tells that a member has had its time to boot.
func (w *world) overdue(i api.Instance) bool {
	grace := bootGrace
	if w.restarts(i.ID) > 0 {
		grace = againGrace
	}
	o := w.observed[i.ID]
	return o.State == compute.StateRunning && !w.at.Before(o.StartedAt.Add(grace))
}

// servedBy says whether the load balancers of a group, too, find a healthy member healthy: before that no earlier one makes
// room for it. It is not replaced for that: the load balancer may be what is wrong.
func (w *world) servedBy(g api.InstanceGroup, i api.Instance, otherwise string) (health, reason string) {
	for _, b := range w.balancers {
		if b.Project != g.Project {
			continue
		}
		for _, t := range b.Spec.Targets {
			if t.Group != g.Name {
				continue
			}
			if health, why := w.judge(b, w.aim(b, i, t.Port)); health != "healthy" {
				return "unknown", fmt.Sprintf("load balancer %s: %s", b.Name, why)
			}
		}
	}
	return "healthy", otherwise
}

// drainOf is the longest time that load balancers give a removed target.
func (w *world) drainOf(g api.InstanceGroup) time.Duration {
	longest := 0
	for _, b := range w.balancers {
		if b.Project == g.Project {
			longest = max(longest, b.Spec.DrainSeconds)
		}
	}
	return time.Duration(longest) * time.Second
}

// fleetStatus says how a group is.
func (w *world) fleetStatus(g api.InstanceGroup) api.InstanceGroupStatus {
	f, s := w.fleet(g), g.Status
	s.Generation, s.Members = g.Generation, []api.GroupMember{}
	for _, m := range f.members {
		s.Members = append(s.Members, api.GroupMember{Instance: m.name, Health: m.health, Reason: m.reason, Current: m.current})
	}
	s.Phase, s.Reason = w.fleetPhase(f)
	return s
}

func (w *world) fleetPhase(f fleet) (api.Phase, string) {
	live, desired := f.live(), f.group.Status.Desired
	healthy, leaving := countHealthy(live), len(f.members)-len(live)
	count := fmt.Sprintf("%d of %d members healthy", healthy, desired)
	trouble, troubled := w.trouble[f.group.ID]
	switch {
	case f.group.DeletedAt != nil:
		return api.Deleting, fmt.Sprintf("deleting its members: %d left", len(f.members))
	case troubled:
		return api.Degraded, count + "; " + trouble.reason()
	}
	for _, m := range live {
		if m.health == "unhealthy" {
			return api.Degraded, fmt.Sprintf("%s; %s: %s", count, m.name, m.reason)
		}
	}
	for _, m := range live {
		switch {
		case m.health == "unknown" && healthy == 0:
			return api.Pending, fmt.Sprintf("%s; %s: %s", count, m.name, m.reason)
		case m.health == "unknown":
			return api.Updating, fmt.Sprintf("%s; %s: %s", count, m.name, m.reason)
		}
	}
	switch stale := countStale(live); {
	case stale > 0:
		return api.Updating, fmt.Sprintf("%s; %d made from an earlier template", count, stale)
	case len(live) != desired || len(f.plan(w.at)) > 0:
		return api.Updating, fmt.Sprintf("%s; %d are there", count, len(live))
	case leaving > 0:
		return api.Updating, fmt.Sprintf("%s; %d leaving", count, leaving)
	}
	return api.Running, count
}

// measure adds the mean use of cpu over the last minute.
func (cp *ControlPlane) measure(g api.InstanceGroup) api.InstanceGroup {
	var sum float64
	n := 0
	for _, m := range g.Status.Members {
		i, err := cp.memberID(g.Project, m.Instance)
		if err != nil { // gone since
			continue
		}
		if cpu, ok := cp.samples.percent(i); ok {
			sum, n = sum+cpu, n+1
		}
	}
	if n > 0 {
		g.Status.CPUPercent = sum / float64(n)
	}
	return g
}

func (cp *ControlPlane) memberID(project, name string) (id string, err error) {
	err = cp.Store.View(func(tx *storage.Tx) error {
		i, err := instanceTable.GetBy(tx, "name", project+"/"+name)
		id = i.ID
		return err
	})
	return id, err
}

// useOfCPU is that of all members of groups.
func (cp *ControlPlane) useOfCPU(w *world) map[string]float64 {
	out := map[string]float64{}
	for _, team := range w.by.teams {
		for _, i := range team {
			if percent, ok := cp.samples.percent(i.ID); ok {
				out[i.ID] = percent
			}
		}
	}
	return out
}

// keepFleets does what the plans of the groups say.
func (cp *ControlPlane) keepFleets(ctx context.Context, w *world) {
	for _, g := range w.fleets {
		if w.damaged[g.ID] {
			continue
		}
		f := w.fleet(g)
		cp.awaitFleet(f)
		todo := f.plan(w.at)
		if len(todo) == 0 {
			continue
		}
		cp.loop.about(g.ID, fmt.Sprintf("keep generation %d with %d of %d", g.Generation, len(f.live()), g.Status.Desired))
		cp.loop.dispatch(ctx, g.ID, 2*time.Minute, func(ctx context.Context) error { return cp.doAll(ctx, g, todo) })
	}
}

// awaitFleet has a pass made when a retired member has had its time, of which no event tells.
func (cp *ControlPlane) awaitFleet(f fleet) {
	for _, m := range f.members {
		if m.leaving != nil && !m.gone {
			cp.loop.dueAt(m.leaving.Add(m.drain))
		}
	}
}

// doAll does one thing after another, each a commit of its own. What is refused does not keep the others from being done.
func (cp *ControlPlane) doAll(ctx context.Context, g api.InstanceGroup, todo []action) error {
	var errs []error
	refused := false
	for _, a := range todo {
		if refused && a.verb == fleetAdd {
			continue // what one is refused for, the next one is too
		}
		err := cp.do(ctx, g, a)
		refused = refused || err != nil && a.verb == fleetAdd
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (cp *ControlPlane) do(ctx context.Context, g api.InstanceGroup, a action) error {
	switch a.verb {
	case fleetAdd:
		return cp.addMember(ctx, g, a.reason)
	case fleetScale:
		return cp.Store.Update(func(tx *storage.Tx) error { return cp.scaleFleet(tx, g, a) })
	case fleetRetire:
		return cp.Store.Update(func(tx *storage.Tx) error { return cp.retireMember(tx, g, a) })
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		i, err := instanceTable.Get(tx, a.member)
		if err != nil || i.DeletedAt != nil {
			return ignoreGone(err)
		}
		return cp.instances().leave(tx, platform("scaling"), i, "delete", a.reason)
	})
}

// scaleFleet writes down that another number of members is wanted, unless the group changed since that was found.
func (cp *ControlPlane) scaleFleet(tx *storage.Tx, g api.InstanceGroup, a action) error {
	stored, err := fleetTable.Get(tx, g.ID)
	if err != nil || stored.Generation != g.Generation || stored.DeletedAt != nil || stored.Status.Desired != g.Status.Desired {
		return ignoreGone(err)
	}
	now := cp.Now().UTC()
	stored.Status.Desired, stored.Status.ScaledAt = a.desired, &now
	if err := fleetTable.Put(tx, stored); err != nil {
		return err
	}
	return cp.record(tx, platform("scaling"), "instance-group", &g.Meta, a.verb, a.reason)
}

// retireMember has load balancers take a member away, unless the group changed since that was found: it may be wanted now. It is
// deleted when it is empty.
func (cp *ControlPlane) retireMember(tx *storage.Tx, g api.InstanceGroup, a action) error {
	stored, err := fleetTable.Get(tx, g.ID)
	if err != nil || stored.Generation != g.Generation {
		return ignoreGone(err)
	}
	m, err := machineTable.Get(tx, a.member)
	if err != nil || m.Leaving != nil {
		return ignoreGone(err)
	}
	now := cp.Now().UTC()
	m.Leaving = &now
	if err := machineTable.Put(tx, m); err != nil {
		return err
	}
	return cp.record(tx, platform("scaling"), "instance-group", &g.Meta, a.verb, a.name+": "+a.reason)
}

// addMember creates an instance from the template. That it is a member, and of which template, is in the same commit. For a
// group that has changed since it was planned nothing is made: the next pass plans again.
func (cp *ControlPlane) addMember(ctx context.Context, g api.InstanceGroup, reason string) error {
	r := cp.instances()
	admit, changed := r.admit, false
	r.admit = func(tx *storage.Tx, by api.Actor, old, next *api.Instance) error {
		stored, err := fleetTable.Get(tx, g.ID)
		if changed = err != nil || stored.DeletedAt != nil || stored.Generation != g.Generation; changed {
			return api.Errorf(api.Conflict, "cannot add a member: instance group %q has changed", g.Name)
		}
		next.Status.Group = g.Name
		if err := admit(tx, by, old, next); err != nil {
			return err
		}
		m, err := machineTable.Get(tx, next.ID)
		if err != nil {
			return err
		}
		m.Group, m.Made = g.ID, templateOf(g)
		if err := machineTable.Put(tx, m); err != nil {
			return err
		}
		return cp.record(tx, by, "instance-group", &g.Meta, fleetAdd, next.Name+": "+reason)
	}
	name := g.Name + "-" + lastHex(cp.NewID("m"))[:5]
	_, err := r.Create(api.WithActor(ctx, platform("scaling")), g.Project, name, g.Spec.Template)
	if changed {
		return nil
	}
	return err
}

// dropFleet forgets a deleted group without members.
func (cp *ControlPlane) dropFleet(g api.InstanceGroup) write {
	return func(tx *storage.Tx) error {
		if err := erase(tx, fleetTable, g.ID); err != nil {
			return err
		}
		return cp.record(tx, platform("scaling"), "instance-group", &g.Meta, "removed", "its members are gone")
	}
}

// protectFleets leaves groups alone of which a member can't be read: how many there are is not known.
func (w *world) protectFleets() {
	unknown := map[string]bool{}
	for id, m := range w.machines {
		if m.Group != "" && w.by.owners[id].meta == nil {
			unknown[m.Group] = true
		}
	}
	for _, i := range w.instances {
		if _, known := w.machines[i.ID]; !known && i.Status.Group != "" {
			unknown[w.by.fleets[i.Project+"/"+i.Status.Group].ID] = true
		}
	}
	for _, g := range w.fleets {
		w.keepSafe(g.Meta, !unknown[g.ID])
	}
}

// settleFleets writes down how groups are, and forgets deleted ones without members.
func (cp *ControlPlane) settleFleets(w *world) []write {
	var writes []write
	for _, g := range w.fleets {
		if g.DeletedAt != nil && len(w.by.teams[g.ID]) == 0 && !cp.loop.busy(g.ID) {
			writes = append(writes, cp.dropFleet(g))
			continue
		}
		found := w.fleetStatus(g)
		writes = append(writes, writeStatus(cp, w, fleetTable, g, &found.Status, !reflect.DeepEqual(g.Status, found), func(now *api.InstanceGroup) { now.Status = found }))
	}
	return writes
}
