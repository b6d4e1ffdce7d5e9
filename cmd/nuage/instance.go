package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) instances() noun[api.Instance, api.InstanceSpec] {
	n := noun[api.Instance, api.InstanceSpec]{
		title: "an instance",
		of:    func(cloud api.Cloud) api.Resource[api.Instance, api.InstanceSpec] { return cloud.Instances },
		head:  (*api.Instance).Head,
		state: func(i *api.Instance) *api.Status { return &i.Status.Status },
		spec:  func(i *api.Instance) *api.InstanceSpec { return &i.Spec },
	}
	n.word, n.name = "instance", func(i *api.Instance) string { return i.Name }
	n.columns = n.common(c, c.instanceColumns()...)
	return n
}

func (c *cli) instanceColumns() []column[api.Instance] {
	return []column[api.Instance]{
		{head: "TYPE", cell: func(i api.Instance) string { return i.Spec.Type }},
		{head: "IMAGE", cell: func(i api.Instance) string { return i.Spec.Image }},
		{head: "ADDRESS", cell: func(i api.Instance) string { return i.Status.Address }},
		{head: "PORTS", cell: portsText},
		{head: "SSH", cell: c.sshText, detail: true},
		{head: "KEY", cell: func(i api.Instance) string { return i.Spec.Key }, detail: true},
		{head: "HOST KEY", cell: func(i api.Instance) string { return i.Status.HostKey }, detail: true},
		{head: "NETWORK", cell: func(i api.Instance) string { return cmp.Or(i.Spec.Network, "default") }, detail: true},
		{head: "PUBLIC", cell: publicText, detail: true},
		{head: "VOLUMES", cell: func(i api.Instance) string { return mountsText(i.Spec.Volumes) }, detail: true},
		{head: "GROUP", cell: func(i api.Instance) string { return i.Status.Group }, detail: true},
		{head: "SPOT", cell: func(i api.Instance) string { return onlyYes(i.Spec.Spot) }, detail: true},
		{head: "RECLAIM", cell: reclaimText, detail: true},
		{head: "SECURITY GROUPS", cell: func(i api.Instance) string { return strings.Join(i.Spec.SecurityGroups, ",") }, detail: true},
		{head: "USER DATA", cell: func(i api.Instance) string { return i.Status.UserData }, detail: true},
		{head: "RESTARTS", cell: func(i api.Instance) string { return strconv.Itoa(i.Status.Restarts) }, detail: true},
		{head: "OOM KILLS", cell: oomText, detail: true},
		{head: "ENV", cell: func(i api.Instance) string { return pairsText(i.Spec.Env) }, detail: true},
		{head: "TAGS", cell: func(i api.Instance) string { return pairsText(i.Spec.Tags) }, detail: true},
	}
}

// portsText is where the laptop reaches the ports that are open: 127.0.0.1:32768->80.
func portsText(i api.Instance) string {
	var words []string
	for _, p := range i.Status.Ports {
		words = append(words, fmt.Sprintf("%s:%d->%d", p.Host, p.HostPort, p.Port))
	}
	return strings.Join(words, ", ")
}

// publicText says whether the laptop reaches the machine, and why not.
func publicText(i api.Instance) string {
	switch {
	case i.Spec.Private:
		return "no: it is private, only its network reaches it"
	case i.Status.Public:
		return "yes"
	}
	return "no"
}

// reclaimText is when a spot instance is taken back.
func reclaimText(i api.Instance) string {
	if i.Status.Reclaim == nil {
		return ""
	}
	return timeText(*i.Status.Reclaim)
}

// oomText is nothing as long as nothing was killed.
func oomText(i api.Instance) string {
	if i.Status.OOMKills == 0 {
		return ""
	}
	return fmt.Sprintf("%d since boot: out of memory, so the kernel killed a process", i.Status.OOMKills)
}

// sshText is the command with which any OpenSSH client gets in.
func (c *cli) sshText(i api.Instance) string {
	if i.Status.SSH == nil {
		return ""
	}
	path, err := c.keyPath(i.Project, i.Spec.Key)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("ssh -i %s -p %d root@%s", path, i.Status.SSH.Port, i.Status.SSH.Host)
}

func (c *cli) instanceCmd() *cobra.Command {
	n := c.instances()
	return group("instance", "Machines with a system, an address and SSH",
		lines("nuage instance create vm --type small", "nuage ssh vm", "nuage instance list", "nuage instance delete vm"),
		c.instanceCreateCmd(), n.listCmd(c), n.showCmd(c),
		c.powerCmd(api.PowerStart, "Switch an instance on"),
		c.powerCmd(api.PowerStop, "Switch an instance off; its disk stays"),
		c.powerCmd(api.PowerReboot, "Switch an instance off and on again"),
		c.instanceResizeCmd(), c.instanceUpdateCmd(), n.deleteCmd(c), c.instanceExecCmd(), c.instanceConsoleCmd(), c.instanceMetricsCmd(),
		c.instanceReclaimCmd(), c.instanceTypesCmd())
}

func (c *cli) instanceCreateCmd() *cobra.Command {
	flags := newMachineFlags()
	var volumes mounts
	n := c.instances()
	cmd := c.noWaitFlag(&cobra.Command{
		Use:   "create NAME",
		Short: "Make a machine",
		Long: "Make a machine. The command answers when SSH answers and user data has ended. You log in as root with the key;\n" +
			"without --key the project's default key is made on this laptop and used.",
		Example: lines("nuage instance create vm", "nuage instance create web --type micro --security-group default --security-group web --user-data setup.sh",
			"nuage instance create db --network backend --volume data:/srv --private"),
		Args: takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			spec, err := flags.fresh(ctx, c, s)
			if err != nil {
				return err
			}
			spec.Volumes = volumes
			i, err := n.create(ctx, c, s, args[0], spec)
			if err != nil {
				return err
			}
			return c.printMachine(n, i)
		}),
	})
	flags.declare(c, cmd)
	cmd.Flags().Var(&volumes, "volume", "a VOLUME:/PATH to attach, as data:/srv, repeatable; default: none")
	return cmd
}

// printMachine prints a machine that was made; user data that failed makes the command fail.
func (c *cli) printMachine(n noun[api.Instance, api.InstanceSpec], i api.Instance) error {
	if err := printItem(c, n.kind, i); err != nil {
		return err
	}
	if i.Status.UserData == "failed" {
		return api.Errorf(api.Unavailable, "cannot call instance %q ready: it runs, but its user data failed; see nuage instance console %s", i.Name, i.Name)
	}
	return nil
}

func (c *cli) instanceExecCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "exec NAME -- CMD...",
		Short: "Run a command in an instance, without SSH",
		Long: "Run a command in an instance as root, through the machine's own first process: it works without a key and whatever\n" +
			"the security groups say. Several words keep their boundaries, one word is a shell line. The exit status is the command's.",
		Example:           lines("nuage instance exec vm -- ls -l /etc", `nuage instance exec vm -- "ps aux | wc -l"`, "nuage instance exec vm -- bash"),
		Args:              takes(2, -1),
		ValidArgsFunction: c.instances().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			return c.exec(ctx, s, "instances", args[0], api.Command{Words: args[1:]})
		}),
	}
}

func (c *cli) instanceConsoleCmd() *cobra.Command {
	return c.logsCmd("console", "instance", "instances", "Print the boot log of an instance", c.instances().complete(c))
}

func (c *cli) instanceTypesCmd() *cobra.Command {
	k := kind[api.Size]{
		word: "type",
		name: func(s *api.Size) string { return s.Name },
		columns: []column[api.Size]{
			{head: "TYPE", cell: func(s api.Size) string { return s.Name }},
			{head: "VCPU", cell: func(s api.Size) string { return vcpuText(s.MilliCPU) }},
			{head: "MEMORY", cell: func(s api.Size) string { return bytesText(s.MemoryBytes) }},
		},
	}
	return &cobra.Command{
		Use: "types", Short: "List the types of instances with their limits, which are real",
		Example: lines("nuage instance types", "nuage prices"),
		Args:    takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			return printList(c, k, api.List[api.Size]{Items: api.Sizes()})
		},
	}
}

// vcpuText is thousandths of a vCPU as a decimal: 250 is 0.25.
func vcpuText(milli int64) string {
	text := fmt.Sprintf("%d.%03d", milli/1000, milli%1000)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
