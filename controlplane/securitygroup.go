package controlplane

import (
	"context"
	"net/netip"
	"slices"

	"nuage/api"
	"nuage/compute/guest/link"
	"nuage/storage"
)

func (cp *ControlPlane) securityGroups() resource[api.SecurityGroup, api.SecurityGroupSpec] {
	return resource[api.SecurityGroup, api.SecurityGroupSpec]{
		cp: cp, noun: "security-group", prefix: "sg", table: groupTable,
		status: func(g *api.SecurityGroup) *api.Status { return &g.Status },
		spec:   func(g *api.SecurityGroup) *api.SecurityGroupSpec { return &g.Spec },
		check:  checkGroup,
		admit:  admitGroup,
		retire: cp.retireGroup,
		done:   func(ctx context.Context, g *api.SecurityGroup) { cp.rulesChanged(ctx, "security group "+g.Name) },
	}
}

// rulesChanged hands the rules to the machines at once: when the change is answered they are in force.
func (cp *ControlPlane) rulesChanged(ctx context.Context, by string) {
	w, err := cp.read()
	if err != nil {
		cp.log.Warn("rules are left to the next pass", "changed", by, "error", err)
		return
	}
	cp.guests.refresh(context.WithoutCancel(ctx), w)
}

func checkGroup(_ context.Context, _, next *api.SecurityGroup) error {
	if len(next.Spec.Rules) > 100 {
		return api.Errorf(api.Invalid, "cannot use security group %q: it has %d rules, 100 are the most", next.Name, len(next.Spec.Rules))
	}
	next.Spec.Rules = slices.Clone(next.Spec.Rules)
	if next.Spec.Rules == nil {
		next.Spec.Rules = []api.Rule{}
	}
	for i := range next.Spec.Rules {
		if err := checkRule(&next.Spec.Rules[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkRule(r *api.Rule) error {
	switch r.Protocol {
	case "tcp", "udp":
		if r.ToPort == 0 {
			r.ToPort = r.FromPort
		}
		if r.FromPort < 1 || r.ToPort < r.FromPort || r.ToPort > 65535 {
			return api.Errorf(api.Invalid, "cannot use ports %d-%d in a rule: ports are 1 to 65535, the first not above the last", r.FromPort, r.ToPort)
		}
	case "icmp", "all":
		if r.FromPort != 0 || r.ToPort != 0 {
			return api.Errorf(api.Invalid, "cannot use ports in a rule for %s: only tcp and udp have them", r.Protocol)
		}
	default:
		return api.Errorf(api.Invalid, "cannot use protocol %q in a rule: there are tcp, udp, icmp and all", r.Protocol)
	}
	if (r.CIDR == "") == (r.Group == "") {
		return api.Errorf(api.Invalid, "cannot use a rule without exactly one source: give a range (cidr) or a group")
	}
	if r.CIDR != "" {
		p, err := netip.ParsePrefix(r.CIDR)
		if err != nil || !p.Addr().Is4() {
			return api.Errorf(api.Invalid, "cannot use %q as the source of a rule: a range looks like 10.0.0.0/8, anywhere is 0.0.0.0/0", r.CIDR)
		}
		r.CIDR = p.Masked().String()
	}
	return nil
}

func admitGroup(tx *storage.Tx, _ api.Actor, _, next *api.SecurityGroup) error {
	for _, r := range next.Spec.Rules {
		if r.Group == "" || r.Group == next.Name {
			continue
		}
		if _, err := groupTable.GetBy(tx, "name", next.Project+"/"+r.Group); err != nil {
			return api.Errorf(api.NotFound, "cannot use group %q in a rule: project %q has no such security group", r.Group, next.Project)
		}
	}
	ready(&next.Status, next.Generation, "in force")
	return nil
}

func (cp *ControlPlane) retireGroup(tx *storage.Tx, g *api.SecurityGroup) (bool, error) {
	if g.Name == "default" {
		return false, api.Errorf(api.Conflict, "cannot delete security group %q: instances without a group of their own are in it", g.Name)
	}
	err := instanceTable.EachBy(tx, "name", g.Project+"/", func(i api.Instance) error {
		if slices.Contains(groupsOf(i), g.Name) {
			return api.Errorf(api.Conflict, "cannot delete security group %q: instance %q is in it", g.Name, i.Name)
		}
		return nil
	})
	if err == nil {
		err = inTemplate(tx, "security group", g.Meta, func(t api.InstanceSpec) bool { return slices.Contains(t.SecurityGroups, g.Name) })
	}
	if err != nil {
		return false, err
	}
	return true, groupTable.EachBy(tx, "name", g.Project+"/", func(other api.SecurityGroup) error {
		for _, r := range other.Spec.Rules {
			if r.Group == g.Name && other.Name != g.Name {
				return api.Errorf(api.Conflict, "cannot delete security group %q: a rule of group %q names it", g.Name, other.Name)
			}
		}
		return nil
	})
}

// groupsOf returns the groups an instance is in.
func groupsOf(i api.Instance) []string {
	if len(i.Spec.SecurityGroups) == 0 {
		return []string{"default"}
	}
	return i.Spec.SecurityGroups
}

// firewall returns what the guest of an instance shall let in: the rules of its groups, groups replaced by their members' addresses.
func (w *world) firewall(i api.Instance) []link.Rule {
	rules := []link.Rule{}
	for _, name := range groupsOf(i) {
		for _, r := range w.groups[i.Project+"/"+name].Spec.Rules {
			sources := []string{r.CIDR}
			if r.Group != "" {
				sources = w.by.members[i.Project+"/"+r.Group]
			}
			if len(sources) > 0 {
				rules = append(rules, link.Rule{Protocol: r.Protocol, FromPort: r.FromPort, ToPort: r.ToPort, Sources: sources})
			}
		}
	}
	return rules
}

// openPorts returns the single TCP ports that an instance's groups open to a range, at most 20 of them.
func (w *world) openPorts(i api.Instance) []int {
	var ports []int
	for _, name := range groupsOf(i) {
		for _, r := range w.groups[i.Project+"/"+name].Spec.Rules {
			if r.Protocol != "tcp" || r.CIDR == "" {
				continue
			}
			for p := r.FromPort; p <= r.ToPort && len(ports) < 20; p++ {
				ports = append(ports, p)
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
