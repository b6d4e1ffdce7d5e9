package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) networks() noun[api.Network, api.NetworkSpec] {
	n := noun[api.Network, api.NetworkSpec]{
		title: "a network",
		of:    func(cloud api.Cloud) api.Resource[api.Network, api.NetworkSpec] { return cloud.Networks },
		head:  (*api.Network).Head,
		state: func(n *api.Network) *api.Status { return &n.Status.Status },
		spec:  func(n *api.Network) *api.NetworkSpec { return &n.Spec },
	}
	n.word, n.name = "network", func(n *api.Network) string { return n.Name }
	n.columns = n.common(c,
		column[api.Network]{head: "CIDR", cell: func(n api.Network) string { return n.Spec.CIDR }},
		column[api.Network]{head: "NAT", cell: func(n api.Network) string { return onOff(!n.Spec.NoNAT) }},
		column[api.Network]{head: "INSTANCES", cell: func(n api.Network) string { return strconv.Itoa(n.Status.Instances) }},
		column[api.Network]{head: "GATEWAY", cell: func(n api.Network) string { return n.Status.Gateway }, detail: true},
	)
	return n
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func (c *cli) networkCmd() *cobra.Command {
	n := c.networks()
	return group("network", "Private ranges of addresses, apart from each other",
		lines("nuage network create backend --cidr 10.20.0.0/24 --no-nat", "nuage instance create db --network backend",
			"nuage network update backend --nat=on", "nuage network list"),
		c.networkCreateCmd(), n.listCmd(c), n.showCmd(c), c.networkUpdateCmd(), n.deleteCmd(c))
}

func (c *cli) networkCreateCmd() *cobra.Command {
	var spec api.NetworkSpec
	cmd := &cobra.Command{
		Use:   "create NAME --cidr C",
		Short: "Make a network",
		Long: "Make a network. Instances in it have addresses of its range and find each other by name. Nothing in another network\n" +
			"reaches them, nor they it. With --no-nat they reach nothing outside at all.",
		Example: lines("nuage network create backend --cidr 10.20.0.0/24", "nuage network create vault --cidr 10.30.0.0/28 --no-nat"),
		Args:    takes(1, 1),
	}
	cmd.Flags().StringVar(&spec.CIDR, "cidr", "", "private IPv4 range of /16 to /28, as 10.20.0.0/24; needed")
	cmd.Flags().BoolVar(&spec.NoNAT, "no-nat", false, "let its instances reach nothing outside; default: they do")
	return c.networks().createCmd(c, cmd, func(_ context.Context, _ session, args []string) (api.NetworkSpec, error) {
		if spec.CIDR == "" {
			return spec, usagef("cannot create network %q: give its range of addresses, as --cidr 10.20.0.0/24", args[0])
		}
		return spec, nil
	})
}

func (c *cli) networkUpdateCmd() *cobra.Command {
	var nat string
	cmd := &cobra.Command{
		Use: "update NAME --nat=on|off", Short: "Let the instances of a network reach the outside, or not; running ones follow at once",
		Example: lines("nuage network update backend --nat=off", "nuage network update backend --nat=on"),
	}
	cmd.Flags().Var(optional(&nat, "on", "off"), "nat", "on or off: whether its instances reach what is outside; default: as it is")
	return c.networks().changeCmd(c, cmd, func(spec *api.NetworkSpec) error {
		spec.NoNAT = nat == "off"
		return nil
	})
}
