package controlplane

import (
	"context"
	"fmt"
	"time"

	"nuage/api"
	"nuage/storage"
)

const (
	defaultCooldown = 60 // seconds
	mostMembers     = 100
	longestGroup    = 34 // of a name: members are called NAME-xxxxx
)

// instanceGroups adds to the verbs of every noun what is not stored: the members' use of cpu.
type instanceGroups struct {
	resource[api.InstanceGroup, api.InstanceGroupSpec]
}

func (cp *ControlPlane) instanceGroups() resource[api.InstanceGroup, api.InstanceGroupSpec] {
	return resource[api.InstanceGroup, api.InstanceGroupSpec]{
		cp: cp, noun: "instance-group", prefix: "ig", table: fleetTable,
		status: func(g *api.InstanceGroup) *api.Status { return &g.Status.Status },
		spec:   func(g *api.InstanceGroup) *api.InstanceGroupSpec { return &g.Spec },
		check:  cp.checkFleet,
		admit:  admitFleet,
		retire: func(*storage.Tx, *api.InstanceGroup) (bool, error) { return false, nil }, // the loop deletes the members first
		verb:   fleetVerb,
	}
}

// Get adds the members' use of cpu.
func (r instanceGroups) Get(ctx context.Context, project, name string) (api.InstanceGroup, error) {
	g, err := r.resource.Get(ctx, project, name)
	return r.cp.measure(g), err
}

// List adds the members' use of cpu.
func (r instanceGroups) List(ctx context.Context, project string, page api.Page) (api.List[api.InstanceGroup], error) {
	all, err := r.resource.List(ctx, project, page)
	for i, g := range all.Items {
		all.Items[i] = r.cp.measure(g)
	}
	return all, err
}

// Wait adds the members' use of cpu.
func (r instanceGroups) Wait(ctx context.Context, project, name string, limit time.Duration) (api.InstanceGroup, error) {
	g, err := r.resource.Wait(ctx, project, name, limit)
	return r.cp.measure(g), err
}

// checkFleet refuses what no group can keep, and fills in defaults.
func (cp *ControlPlane) checkFleet(ctx context.Context, old, next *api.InstanceGroup) error {
	s := &next.Spec
	if s.CooldownSeconds == 0 {
		s.CooldownSeconds = defaultCooldown
	}
	switch {
	case old == nil && len(next.Name) > longestGroup:
		return api.Errorf(api.Invalid, "cannot use %q as the name of an instance group: it has more than %d characters, and its members are called %s-xxxxx", next.Name, longestGroup, next.Name)
	case s.Min < 0 || s.Max < 1 || s.Max > mostMembers || s.Min > s.Max:
		return api.Errorf(api.Invalid, "cannot keep %d to %d members in instance group %q: min is 0 to max, max is 1 to %d", s.Min, s.Max, next.Name, mostMembers)
	case s.CPU < 0 || s.CPU > 100:
		return api.Errorf(api.Invalid, "cannot aim at %d%% of cpu in instance group %q: 1 to 100 are possible, 0 is no scaling", s.CPU, next.Name)
	case s.CPU > 0 && s.Min == 0:
		return api.Errorf(api.Invalid, "cannot scale instance group %q on cpu from no members at all: give a min of 1 or more", next.Name)
	case s.CooldownSeconds < 0 || s.CooldownSeconds > 3600:
		return api.Errorf(api.Invalid, "cannot rest %d seconds after a scaling: 1 to 3600 are possible", s.CooldownSeconds)
	}
	if err := checkHealth(&s.Health); err != nil {
		return err
	}
	if s.Health.Path != "" && s.Health.Port == 0 {
		return api.Errorf(api.Invalid, "cannot check the health of instance group %q at %s: give the port too", next.Name, s.Health.Path)
	}
	return cp.checkTemplate(ctx, old, next)
}

// checkTemplate refuses what no member can be made from, and fills in defaults.
func (cp *ControlPlane) checkTemplate(ctx context.Context, old, next *api.InstanceGroup) error {
	t := &next.Spec.Template
	switch {
	case len(t.Volumes) > 0:
		return api.Errorf(api.Invalid, "cannot make members of instance group %q with volumes: a volume is attached to one instance only", next.Name)
	case t.Stopped || t.Boot != 0:
		return api.Errorf(api.Invalid, "cannot make members of instance group %q that are stopped or rebooted: leave stopped and boot out of the template", next.Name)
	}
	member := api.Instance{Meta: next.Meta, Spec: *t}
	if old == nil || !same(old.Spec.Template, *t) {
		if err := cp.checkInstance(ctx, nil, &member); err != nil {
			return err
		}
	}
	*t = member.Spec
	return nil
}

// admitFleet refuses a template that names what is not there. The first number of members is min.
func admitFleet(tx *storage.Tx, _ api.Actor, old, next *api.InstanceGroup) error {
	t := next.Spec.Template
	if old == nil {
		next.Status.Desired, next.Status.Members = next.Spec.Min, []api.GroupMember{}
	}
	if old != nil && same(old.Spec.Template, t) {
		return nil
	}
	if err := instanceRefs(tx, next.Project, t); err != nil {
		return err
	}
	n, err := networkTable.GetBy(tx, "name", next.Project+"/"+t.Network)
	if err != nil || n.DeletedAt != nil {
		return api.Errorf(api.NotFound, "cannot use network %q: project %q has no such network", t.Network, next.Project)
	}
	return nil
}

func fleetVerb(old, next *api.InstanceGroup) (verb, detail string) {
	s := next.Spec
	size := fmt.Sprintf("%d to %d members", s.Min, s.Max)
	if s.CPU > 0 {
		size += fmt.Sprintf(", %d%% of cpu", s.CPU)
	}
	switch {
	case old == nil:
		return "create", fmt.Sprintf("%s, image %s, type %s", size, s.Template.Image, s.Template.Type)
	case !same(old.Spec.Template, s.Template):
		return "update", size + "; another template: its members are replaced one after another"
	}
	return "update", size
}

// templateOf is the hash of a group's template: members made from another one are replaced.
func templateOf(g api.InstanceGroup) string { return requestHash("template", g.Spec.Template) }

// inTemplate refuses a deletion of what the template of a group names.
func inTemplate(tx *storage.Tx, noun string, m api.Meta, names func(api.InstanceSpec) bool) error {
	return fleetTable.EachBy(tx, "name", m.Project+"/", func(g api.InstanceGroup) error {
		if g.DeletedAt == nil && names(g.Spec.Template) {
			return api.Errorf(api.Conflict, "cannot delete %s %q: instance group %q makes its members with it", noun, m.Name, g.Name)
		}
		return nil
	})
}
