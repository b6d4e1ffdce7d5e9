package main

import (
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
		{head: "GROUPS", cell: func(i api.Instance) string { return strings.Join(i.Spec.SecurityGroups, ",") }, detail: true},
		{head: "USER DATA", cell: func(i api.Instance) string { return i.Status.UserData }, detail: true},
		{head: "RESTARTS", cell: func(i api.Instance) string { return strconv.Itoa(i.Status.Restarts) }, detail: true},
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
		c.instanceResizeCmd(), n.deleteCmd(c), c.instanceExecCmd(), c.instanceConsoleCmd(), c.instanceTypesCmd())
}

func (c *cli) instanceCreateCmd() *cobra.Command {
	var spec api.InstanceSpec
	var userData string
	env, tags := pairs{}, pairs{}
	n := c.instances()
	cmd := c.noWaitFlag(&cobra.Command{
		Use:   "create NAME",
		Short: "Make a machine",
		Long: "Make a machine. The command answers when SSH answers and user data has ended. You log in as root with the key;\n" +
			"without --key the project's default key is made on this laptop and used.",
		Example: lines("nuage instance create vm", "nuage instance create web --type micro --security-group default --security-group web --user-data setup.sh"),
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			spec.Env, spec.Tags = env.into(nil), tags.into(nil)
			if err := c.completeInstance(ctx, s, &spec, userData); err != nil {
				return err
			}
			i, err := n.create(ctx, c, s, args[0], spec)
			if err != nil {
				return err
			}
			return c.printMachine(n, i)
		}),
	})
	f := cmd.Flags()
	f.StringVar(&spec.Image, "image", "debian-12", "name from the catalog, or an image reference")
	spec.Type = "small"
	f.Var(optional(&spec.Type, sizeNames()...), "type", "nano, micro, small, medium or large; see nuage instance types")
	f.StringVar(&spec.Key, "key", "", "key that is let in; default: the project's default key, made if need be")
	f.StringVar(&userData, "user-data", "", "file with a shell script, run once as root at first boot; - reads stdin; default: none")
	f.StringSliceVar(&spec.SecurityGroups, "security-group", nil, "group whose rules apply, repeatable; default: the group default, which allows SSH")
	f.Var(env, "env", "a NAME=VALUE in the machine's environment, repeatable; default: none")
	f.Var(tags, "tag", "a NAME=VALUE noted on the machine and its bill, repeatable; default: none")
	return cmd
}

// completeInstance reads the user data and sees to the default key.
func (c *cli) completeInstance(ctx context.Context, s session, spec *api.InstanceSpec, userData string) error {
	if userData != "" {
		text, err := c.readText(userData)
		if err != nil {
			return err
		}
		spec.UserData = text
	}
	if spec.Key != "" {
		return nil
	}
	spec.Key = defaultKey
	return c.ensureDefaultKey(ctx, s)
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

func (c *cli) powerCmd(action api.PowerAction, short string) *cobra.Command {
	n := c.instances()
	return c.noWaitFlag(&cobra.Command{
		Use:               string(action) + " NAME",
		Short:             short,
		Example:           "nuage instance " + string(action) + " vm",
		Args:              takes(1, 1),
		ValidArgsFunction: n.complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			i, err := s.cloud.Instances.Power(ctx, s.project, args[0], action)
			if err == nil && !c.flags.noWait {
				i, err = n.wait(ctx, c, s, args[0])
			}
			if err != nil {
				return err
			}
			return printItem(c, n.kind, i)
		}),
	})
}

func (c *cli) instanceResizeCmd() *cobra.Command {
	var size string
	n := c.instances()
	cmd := c.noWaitFlag(&cobra.Command{
		Use:   "resize NAME --type T",
		Short: "Give an instance another type, without a restart",
		Long: "Give an instance the CPU and memory of another type while it runs. Memory that is in use is not taken away: that is\n" +
			"refused until the machine uses less or is stopped.",
		Example:           "nuage instance resize vm --type medium",
		Args:              takes(1, 1),
		ValidArgsFunction: n.complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if size == "" {
				return usagef("cannot resize instance %q: give --type", args[0])
			}
			i, err := n.update(ctx, c, s, args[0], func(spec *api.InstanceSpec) error {
				spec.Type = size
				return nil
			})
			if err == nil && i.Status.Phase == api.Degraded {
				err = api.Errorf(api.Unavailable, "cannot resize instance %q: %s", i.Name, i.Status.Reason)
			}
			if err != nil {
				return err
			}
			return printItem(c, n.kind, i)
		}),
	})
	cmd.Flags().Var(optional(&size, sizeNames()...), "type", "nano, micro, small, medium or large; needed")
	return cmd
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
