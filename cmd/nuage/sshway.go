package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strings"

	"nuage/api"
)

// checkWay says why an instance can't be reached by SSH, where that can be known before it is tried.
func (c *cli) checkWay(ctx context.Context, s session, i api.Instance) error {
	refuse := func(format string, args ...any) error {
		return api.Errorf(api.Conflict, "cannot reach instance %q by SSH: %s", i.Name, fmt.Sprintf(format, args...))
	}
	switch {
	case i.Spec.Private:
		return refuse("it is private, so only network %q reaches it; use nuage instance exec %s -- sh, or log in from an instance in that network",
			cmp.Or(i.Spec.Network, "default"), i.Name)
	case i.Status.Phase == api.Stopped:
		return refuse("it is stopped; start it with nuage instance start %s", i.Name)
	case i.Status.SSH == nil || i.Status.HostKey == "":
		return refuse("it has no SSH address (%s); see nuage instance show %s", phaseText(&i.Status.Status), i.Name)
	}
	names, rules, err := c.rulesOf(ctx, s, i)
	if err != nil {
		return err
	}
	laptop, err := c.laptopAs(ctx, s, i)
	if err != nil {
		return err
	}
	if !letsLaptopIn(rules, 22, laptop) {
		return refuse("its security groups (%s) let nothing in on tcp/22 from this laptop; try nuage security-group allow %s --port 22, or nuage instance exec %s -- sh",
			strings.Join(names, ", "), names[len(names)-1], i.Name)
	}
	return nil
}

// rulesOf are the groups of an instance and all their rules.
func (c *cli) rulesOf(ctx context.Context, s session, i api.Instance) (names []string, rules []api.Rule, err error) {
	if names = i.Spec.SecurityGroups; len(names) == 0 {
		names = []string{"default"}
	}
	for _, name := range names {
		g, err := s.cloud.SecurityGroups.Get(ctx, i.Project, name)
		if err != nil {
			return names, rules, err
		}
		rules = append(rules, g.Spec.Rules...)
	}
	return names, rules, nil
}

// laptopAs is the address that the laptop's connections come from: its own in the instance's network where it dials the
// instance itself, and unknown where an engine passes them on.
func (c *cli) laptopAs(ctx context.Context, s session, i api.Instance) (laptop netip.Addr, err error) {
	if i.Status.SSH.Host != i.Status.Address {
		return laptop, nil
	}
	n, err := s.cloud.Networks.Get(ctx, i.Project, cmp.Or(i.Spec.Network, "default"))
	if err != nil || n.Status.Gateway == "" {
		return laptop, err
	}
	return netip.ParseAddr(n.Status.Gateway)
}

// letsLaptopIn reports whether rules let tcp in on a port from the laptop, whose address may be unknown. Members of a group
// are no laptops.
func letsLaptopIn(rules []api.Rule, port int, laptop netip.Addr) bool {
	for _, r := range rules {
		covers := r.Protocol == "all" || r.Protocol == "tcp" && r.FromPort <= port && port <= max(r.FromPort, r.ToPort)
		from, err := netip.ParsePrefix(r.CIDR)
		if covers && err == nil && (!laptop.IsValid() || from.Contains(laptop)) {
			return true
		}
	}
	return false
}
