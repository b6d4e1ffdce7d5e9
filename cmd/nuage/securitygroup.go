package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) securityGroups() noun[api.SecurityGroup, api.SecurityGroupSpec] {
	n := noun[api.SecurityGroup, api.SecurityGroupSpec]{
		title: "a security group with its rules",
		of: func(cloud api.Cloud) api.Resource[api.SecurityGroup, api.SecurityGroupSpec] {
			return cloud.SecurityGroups
		},
		head:  (*api.SecurityGroup).Head,
		state: func(g *api.SecurityGroup) *api.Status { return &g.Status },
		spec:  func(g *api.SecurityGroup) *api.SecurityGroupSpec { return &g.Spec },
	}
	n.word, n.name = "security-group", func(g *api.SecurityGroup) string { return g.Name }
	n.columns = []column[api.SecurityGroup]{
		{head: "NAME", cell: func(g api.SecurityGroup) string { return g.Name }},
		{head: "ALLOWS", cell: func(g api.SecurityGroup) string { return rulesText(g.Spec.Rules) }},
		{head: "AGE", cell: func(g api.SecurityGroup) string { return c.age(g.CreatedAt) }},
		{head: "DESCRIPTION", cell: func(g api.SecurityGroup) string { return g.Spec.Description }},
		{head: "REASON", cell: func(g api.SecurityGroup) string { return g.Status.Reason }, detail: true},
		{head: "ID", cell: func(g api.SecurityGroup) string { return g.ID }, detail: true},
	}
	return n
}

func rulesText(rules []api.Rule) string {
	if len(rules) == 0 {
		return "nothing"
	}
	var words []string
	for _, r := range rules {
		words = append(words, ruleText(r))
	}
	return strings.Join(words, ", ")
}

// ruleText is tcp/80 from 0.0.0.0/0, udp/5000-5010 from group:web, all from group:default.
func ruleText(r api.Rule) string {
	text := r.Protocol
	if r.FromPort > 0 {
		text += "/" + strconv.Itoa(r.FromPort)
	}
	if r.ToPort > r.FromPort {
		text += "-" + strconv.Itoa(r.ToPort)
	}
	if r.Group != "" {
		return text + " from group:" + r.Group
	}
	return text + " from " + r.CIDR
}

func (c *cli) securityGroupCmd() *cobra.Command {
	n := c.securityGroups()
	return group("security-group", "Rules for what may reach an instance",
		lines("nuage security-group create web", "nuage security-group allow web --port 80",
			"nuage security-group allow web --port 5432 --from group:web", "nuage security-group list"),
		c.securityGroupCreateCmd(), c.ruleCmd("allow", "Let traffic in", addRule), c.ruleCmd("revoke", "Take a rule back", dropRule), n.listCmd(c), n.showCmd(c), n.deleteCmd(c))
}

func (c *cli) securityGroupCreateCmd() *cobra.Command {
	var spec api.SecurityGroupSpec
	cmd := c.noWaitFlag(&cobra.Command{
		Use:     "create NAME",
		Short:   "Make a group that lets nothing in yet",
		Example: `nuage security-group create web --description "web servers"`,
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			n := c.securityGroups()
			spec.Rules = []api.Rule{}
			g, err := n.create(ctx, c, s, args[0], spec)
			if err != nil {
				return err
			}
			return printItem(c, n.kind, g)
		}),
	})
	cmd.Flags().StringVar(&spec.Description, "description", "", "what the group is for; default: nothing")
	return cmd
}

// ruleFlags are how a rule is typed.
type ruleFlags struct{ protocol, port, from string }

func (c *cli) ruleCmd(verb, short string, edit func(*api.SecurityGroupSpec, api.Rule) error) *cobra.Command {
	var flags ruleFlags
	n := c.securityGroups()
	cmd := c.noWaitFlag(&cobra.Command{
		Use:               verb + " NAME",
		Short:             short + "; running instances follow at once",
		Example:           lines("nuage security-group "+verb+" web --port 80", "nuage security-group "+verb+" web --port 8000-8010 --from 10.0.0.0/8", "nuage security-group "+verb+" web --protocol all --from group:web"),
		Args:              takes(1, 1),
		ValidArgsFunction: n.complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			rule, err := flags.rule()
			if err != nil {
				return err
			}
			g, err := n.update(ctx, c, s, args[0], func(spec *api.SecurityGroupSpec) error { return edit(spec, rule) })
			if err != nil {
				return err
			}
			return printItem(c, n.kind, g)
		}),
	})
	f := cmd.Flags()
	f.Var(newChoice(&flags.protocol, "tcp", "udp", "icmp", "all"), "protocol", "tcp, udp, icmp or all")
	f.StringVar(&flags.port, "port", "", "port, or range as 8000-8010; needed for tcp and udp; default: none")
	f.StringVar(&flags.from, "from", "0.0.0.0/0", "where from: a range of addresses, or group:NAME for a group's members")
	return cmd
}

func (f ruleFlags) rule() (api.Rule, error) {
	rule := api.Rule{Protocol: f.protocol}
	if name, ok := strings.CutPrefix(f.from, "group:"); ok {
		rule.Group = name
	} else {
		rule.CIDR = f.from
	}
	if f.protocol == "icmp" || f.protocol == "all" {
		if f.port != "" {
			return rule, usagef("cannot use --port with --protocol %s: only tcp and udp have ports", f.protocol)
		}
		return rule, nil
	}
	low, high, isRange := strings.Cut(f.port, "-")
	var err error
	if rule.FromPort, err = portNumber(low); err == nil && isRange {
		rule.ToPort, err = portNumber(high)
	}
	if err == nil && isRange && rule.ToPort < rule.FromPort {
		err = fmt.Errorf("the last port is below the first")
	}
	if err != nil {
		return rule, usagef("cannot use --port %q: %s; give a port as 80 or a range as 8000-8010", f.port, err)
	}
	return rule, nil
}

func portNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		return 0, fmt.Errorf("a port is a number from 1 to 65535")
	}
	return n, nil
}

// sameRule compares rules by what they mean: a last port of 0 is the first.
func sameRule(a, b api.Rule) bool {
	a.ToPort, b.ToPort = max(a.ToPort, a.FromPort), max(b.ToPort, b.FromPort)
	return a == b
}

func addRule(spec *api.SecurityGroupSpec, rule api.Rule) error {
	if !slices.ContainsFunc(spec.Rules, func(r api.Rule) bool { return sameRule(r, rule) }) {
		spec.Rules = append(slices.Clone(spec.Rules), rule)
	}
	return nil
}

func dropRule(spec *api.SecurityGroupSpec, rule api.Rule) error {
	rest := slices.DeleteFunc(slices.Clone(spec.Rules), func(r api.Rule) bool { return sameRule(r, rule) })
	if len(rest) == len(spec.Rules) {
		return api.Errorf(api.NotFound, "cannot revoke %q: the group has no such rule; it allows %s", ruleText(rule), rulesText(spec.Rules))
	}
	spec.Rules = rest
	return nil
}
