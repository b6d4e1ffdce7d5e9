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
	names := i.Spec.SecurityGroups
	if len(names) == 0 {
		names = []string{"default"}
	}
	var rules []api.Rule
	for _, name := range names {
		g, err := s.cloud.SecurityGroups.Get(ctx, i.Project, name)
		if err != nil {
			return err
		}
		rules = append(rules, g.Spec.Rules...)
	}
	if !letsLaptopIn(rules, 22) {
		return refuse("its security groups (%s) let nothing in on tcp/22 from this laptop; try nuage security-group allow %s --port 22, or nuage instance exec %s -- sh",
			strings.Join(names, ", "), names[len(names)-1], i.Name)
	}
	return nil
}

// letsLaptopIn reports whether rules let tcp in on a port from some range of addresses; members of a group are no laptops.
func letsLaptopIn(rules []api.Rule, port int) bool {
	for _, r := range rules {
		inRange := r.FromPort <= port && port <= max(r.FromPort, r.ToPort)
		if _, err := netip.ParsePrefix(r.CIDR); err == nil && (r.Protocol == "all" || r.Protocol == "tcp" && inRange) {
			return true
		}
	}
	return false
}
