package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) loadBalancers() noun[api.LoadBalancer, api.LoadBalancerSpec] {
	n := noun[api.LoadBalancer, api.LoadBalancerSpec]{
		title: "a load balancer with its targets",
		of: func(cloud api.Cloud) api.Resource[api.LoadBalancer, api.LoadBalancerSpec] {
			return cloud.LoadBalancers
		},
		head:  (*api.LoadBalancer).Head,
		state: func(b *api.LoadBalancer) *api.Status { return &b.Status.Status },
		spec:  func(b *api.LoadBalancer) *api.LoadBalancerSpec { return &b.Spec },
		parts: targetRows,
	}
	n.word, n.name = "load-balancer", func(b *api.LoadBalancer) string { return b.Name }
	n.columns = n.common(c,
		column[api.LoadBalancer]{head: "PROTOCOL", cell: func(b api.LoadBalancer) string { return cmp.Or(b.Spec.Protocol, "http") }},
		column[api.LoadBalancer]{head: "ENDPOINT", cell: endpointText},
		column[api.LoadBalancer]{head: "HEALTHY", cell: healthyTargets},
		column[api.LoadBalancer]{head: "PORT", cell: func(b api.LoadBalancer) string { return strconv.Itoa(b.Spec.Port) }, detail: true},
		column[api.LoadBalancer]{head: "ALGORITHM", cell: func(b api.LoadBalancer) string { return cmp.Or(b.Spec.Algorithm, "round-robin") }, detail: true},
		column[api.LoadBalancer]{head: "TARGETS", cell: func(b api.LoadBalancer) string { return targetsText(b.Spec.Targets) }, detail: true},
		column[api.LoadBalancer]{head: "HEALTH", cell: func(b api.LoadBalancer) string { return healthText(b.Spec.Health) }, detail: true},
		column[api.LoadBalancer]{head: "PROXY PROTOCOL", cell: func(b api.LoadBalancer) string { return onOff(b.Spec.ProxyProtocol) }, detail: true},
		column[api.LoadBalancer]{head: "DRAIN", cell: func(b api.LoadBalancer) string { return secondsText(cmp.Or(b.Spec.DrainSeconds, 30)) }, detail: true},
	)
	return n
}

// endpointText is what the laptop dials: an address for HTTP, host and port for TCP.
func endpointText(b api.LoadBalancer) string {
	if b.Status.Endpoint == nil {
		return "-"
	}
	at := hostPort(b.Status.Endpoint.Host, b.Status.Endpoint.Port)
	if b.Spec.Protocol == "tcp" {
		return at
	}
	return "http://" + at
}

// healthyTargets is how many of the targets get requests: 2/3.
func healthyTargets(b api.LoadBalancer) string {
	healthy := 0
	for _, t := range b.Status.Targets {
		if t.Health == "healthy" {
			healthy++
		}
	}
	return fmt.Sprintf("%d/%d", healthy, len(b.Status.Targets))
}

func targetRows(b api.LoadBalancer) (heads []string, rows [][]string) {
	for _, t := range b.Status.Targets {
		rows = append(rows, []string{t.Instance, t.Address, t.Health, strconv.Itoa(t.Connections), t.Reason})
	}
	return []string{"TARGET", "ADDRESS", "HEALTH", "IN FLIGHT", "REASON"}, rows
}

func (c *cli) loadBalancerCmd() *cobra.Command {
	n := c.loadBalancers()
	return group("load-balancer", "One address for several instances, of which only healthy ones are used",
		lines("nuage load-balancer create web --port 80 --target web-1:8080 --target web-2:8080 --health /ready",
			"nuage load-balancer create site --port 80 --target group:fleet:8080", "nuage load-balancer update web --add-target web-3:8080",
			"nuage load-balancer show web"),
		c.loadBalancerCreateCmd(), n.listCmd(c), n.showCmd(c), c.loadBalancerUpdateCmd(), n.deleteCmd(c))
}

// balancerFlags are what a load balancer can be told. Only what was given changes a spec.
type balancerFlags struct {
	port                  int
	protocol, algorithm   string
	targets, add, removed targets
	health                healthFlags
	proxy                 bool
	drain                 span
}

func (b *balancerFlags) declare(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&b.port, "port", 80, "port it stands for; the laptop gets the same one on 127.0.0.1 where that is free, else another")
	f.Var(&b.targets, "target", "an INSTANCE:PORT, or group:GROUP:PORT for all members of an instance group; repeatable")
	b.protocol, b.algorithm = "http", "round-robin"
	f.Var(optional(&b.protocol, "http", "tcp"), "protocol", "what is balanced: http requests, which get X-Forwarded-For, or tcp connections")
	f.Var(optional(&b.algorithm, "round-robin", "least-connections"), "algorithm", "which healthy target is next: round-robin or least-connections")
	b.health.declare(cmd, "path that a healthy target answers with 200 to 399; default: accepting connections is enough", "port that is checked; default: the target's own")
	f.BoolVar(&b.proxy, "proxy-protocol", false, "begin each connection of --protocol tcp with a PROXY protocol v2 header that tells the client's address; default: no header")
	b.drain = span(30e9)
	f.Var(&b.drain, "drain", "how long a removed target may end what it has begun")
}

func (b *balancerFlags) apply(spec *api.LoadBalancerSpec, given func(string) bool) error {
	drain, err := wholeSeconds("drain", b.drain)
	if err != nil {
		return err
	}
	for flag, set := range map[string]func(){
		"port":           func() { spec.Port = b.port },
		"protocol":       func() { spec.Protocol = b.protocol },
		"algorithm":      func() { spec.Algorithm = b.algorithm },
		"target":         func() { spec.Targets = b.targets },
		"proxy-protocol": func() { spec.ProxyProtocol = b.proxy },
		"drain":          func() { spec.DrainSeconds = drain },
	} {
		if given(flag) {
			set()
		}
	}
	return b.health.apply(&spec.Health, given)
}

func (c *cli) loadBalancerCreateCmd() *cobra.Command {
	var flags balancerFlags
	cmd := &cobra.Command{
		Use: "create NAME --port P --target I:P...", Short: "Make a load balancer",
		Long: "Make a load balancer. It passes requests or connections on to those targets that are healthy: two good answers in a row\n" +
			"make a target so, two bad ones end it.",
		Example: lines("nuage load-balancer create web --port 80 --target web-1:8080 --target web-2:8080 --health /ready",
			"nuage load-balancer create db --port 5432 --protocol tcp --algorithm least-connections --target db-1:5432"),
		Args: takes(1, 1),
	}
	flags.declare(cmd)
	return c.loadBalancers().createCmd(c, cmd, func(_ context.Context, _ session, args []string) (spec api.LoadBalancerSpec, err error) {
		if len(flags.targets) == 0 {
			return spec, usagef("cannot create load balancer %q: give at least one target, as --target web:8080", args[0])
		}
		spec.Port = flags.port
		return spec, flags.apply(&spec, cmd.Flags().Changed)
	})
}

func (c *cli) loadBalancerUpdateCmd() *cobra.Command {
	var flags balancerFlags
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change targets or settings of a load balancer while it serves",
		Long: "Change a load balancer while it serves. What is not given stays. --target replaces all targets, --add-target and\n" +
			"--remove-target change the list. A removed target gets nothing new and may end what it has begun.",
		Example: lines("nuage load-balancer update web --add-target web-3:8080", "nuage load-balancer update web --remove-target web-1:8080 --drain 10s"),
	}
	flags.declare(cmd)
	cmd.Flags().Var(&flags.add, "add-target", "a target to add, written as for --target; repeatable")
	cmd.Flags().Var(&flags.removed, "remove-target", "a target to remove, written as for --target; repeatable")
	return c.loadBalancers().changeCmd(c, cmd, func(spec *api.LoadBalancerSpec) error {
		if err := flags.apply(spec, cmd.Flags().Changed); err != nil {
			return err
		}
		return flags.editTargets(spec)
	})
}

// editTargets adds and removes targets; one that is there already is not added again.
func (b *balancerFlags) editTargets(spec *api.LoadBalancerSpec) error {
	list := slices.Clone(spec.Targets)
	for _, t := range b.removed {
		at := slices.Index(list, t)
		if at < 0 {
			return api.Errorf(api.NotFound, "cannot remove target %q: the load balancer has %s", targetText(t), targetsText(spec.Targets))
		}
		list = slices.Delete(list, at, at+1)
	}
	for _, t := range b.add {
		if !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	spec.Targets = list
	return nil
}
