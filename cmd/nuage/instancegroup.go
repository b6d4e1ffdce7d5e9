package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) instanceGroups() noun[api.InstanceGroup, api.InstanceGroupSpec] {
	n := noun[api.InstanceGroup, api.InstanceGroupSpec]{
		title: "an instance group with its members",
		of: func(cloud api.Cloud) api.Resource[api.InstanceGroup, api.InstanceGroupSpec] {
			return cloud.InstanceGroups
		},
		head:  (*api.InstanceGroup).Head,
		state: func(g *api.InstanceGroup) *api.Status { return &g.Status.Status },
		spec:  func(g *api.InstanceGroup) *api.InstanceGroupSpec { return &g.Spec },
		parts: memberRows,
	}
	n.word, n.name = "instance-group", func(g *api.InstanceGroup) string { return g.Name }
	n.columns = n.common(c, groupColumns()...)
	return n
}

func groupColumns() []column[api.InstanceGroup] {
	return []column[api.InstanceGroup]{
		{head: "DESIRED", cell: func(g api.InstanceGroup) string { return strconv.Itoa(g.Status.Desired) }},
		{head: "HEALTHY", cell: healthyMembers},
		{head: "RANGE", cell: func(g api.InstanceGroup) string { return fmt.Sprintf("%d-%d", g.Spec.Min, g.Spec.Max) }},
		{head: "CPU", cell: groupCPU},
		{head: "COOLDOWN", cell: func(g api.InstanceGroup) string { return secondsText(cmp.Or(g.Spec.CooldownSeconds, 60)) }, detail: true},
		{head: "SCALED", cell: scaledText, detail: true},
		{head: "HEALTH", cell: groupHealth, detail: true},
		{head: "TYPE", cell: func(g api.InstanceGroup) string { return g.Spec.Template.Type }, detail: true},
		{head: "IMAGE", cell: func(g api.InstanceGroup) string { return g.Spec.Template.Image }, detail: true},
		{head: "NETWORK", cell: func(g api.InstanceGroup) string { return cmp.Or(g.Spec.Template.Network, "default") }, detail: true},
		{head: "SPOT", cell: func(g api.InstanceGroup) string { return onlyYes(g.Spec.Template.Spot) }, detail: true},
		{head: "KEY", cell: func(g api.InstanceGroup) string { return g.Spec.Template.Key }, detail: true},
		{head: "ENV", cell: func(g api.InstanceGroup) string { return pairsText(g.Spec.Template.Env) }, detail: true},
		{head: "TAGS", cell: func(g api.InstanceGroup) string { return pairsText(g.Spec.Template.Tags) }, detail: true},
	}
}

// healthyMembers is how many of the members there are do well: 2/3.
func healthyMembers(g api.InstanceGroup) string {
	healthy := 0
	for _, m := range g.Status.Members {
		if m.Health == "healthy" {
			healthy++
		}
	}
	return fmt.Sprintf("%d/%d", healthy, len(g.Status.Members))
}

// groupCPU is what the members use, and what is aimed at: 35% of 60%.
func groupCPU(g api.InstanceGroup) string {
	if g.Spec.CPU == 0 {
		return fmt.Sprintf("%.0f%%", g.Status.CPUPercent)
	}
	return fmt.Sprintf("%.0f%%, aim %d%%", g.Status.CPUPercent, g.Spec.CPU)
}

func scaledText(g api.InstanceGroup) string {
	if g.Status.ScaledAt == nil {
		return ""
	}
	return timeText(*g.Status.ScaledAt)
}

func groupHealth(g api.InstanceGroup) string {
	if g.Spec.Health.Port == 0 {
		return "while it runs"
	}
	return healthText(g.Spec.Health)
}

// onlyYes is yes or nothing, so that show leaves out what is not so.
func onlyYes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func memberRows(g api.InstanceGroup) (heads []string, rows [][]string) {
	for _, m := range g.Status.Members {
		template := "former"
		if m.Current {
			template = "present"
		}
		rows = append(rows, []string{m.Instance, m.Health, template, m.Reason})
	}
	return []string{"MEMBER", "HEALTH", "TEMPLATE", "REASON"}, rows
}

func (c *cli) instanceGroupCmd() *cobra.Command {
	n := c.instanceGroups()
	return group("instance-group", "Like instances, as many as their load asks for (auto-scaling)",
		lines("nuage instance-group create fleet --min 1 --max 4 --cpu 60 --type nano --user-data serve.sh --health /ready --health-port 8080",
			"nuage instance-group update fleet --min 2", "nuage instance-group show fleet", "nuage activity list --resource fleet"),
		c.instanceGroupCreateCmd(), n.listCmd(c), n.showCmd(c), c.instanceGroupUpdateCmd(), n.deleteCmd(c))
}

// groupFlags are what a group can be told. Only what was given changes a spec.
type groupFlags struct {
	min, max, cpu int
	cooldown      span
	health        healthFlags
	machine       *machineFlags
}

func (g *groupFlags) declare(c *cli, cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&g.min, "min", 1, "fewest members")
	f.IntVar(&g.max, "max", 1, "most members")
	f.IntVar(&g.cpu, "cpu", 0, "use of CPU to aim at, in percent of the members' type; default: no scaling, the fewest members")
	g.cooldown = span(time.Minute)
	f.Var(&g.cooldown, "cooldown", "rest after a scaling")
	g.health.declare(cmd, "path that a healthy member answers with 200 to 399, on --health-port; default: a member is healthy while it runs",
		"port of the members that is checked; default: none")
	g.machine = newMachineFlags()
	g.machine.declare(c, cmd)
}

func (g *groupFlags) apply(spec *api.InstanceGroupSpec, given func(string) bool) error {
	cooldown, err := wholeSeconds("cooldown", g.cooldown)
	if err != nil {
		return err
	}
	for flag, set := range map[string]func(){
		"min":      func() { spec.Min = g.min },
		"max":      func() { spec.Max = g.max },
		"cpu":      func() { spec.CPU = g.cpu },
		"cooldown": func() { spec.CooldownSeconds = cooldown },
	} {
		if given(flag) {
			set()
		}
	}
	if err := g.health.apply(&spec.Health, given); err != nil {
		return err
	}
	if spec.Health.Path != "" && spec.Health.Port == 0 {
		return usagef("cannot check %q of the members: say on which port, as --health-port 8080", spec.Health.Path)
	}
	return nil
}

func (c *cli) instanceGroupCreateCmd() *cobra.Command {
	var flags groupFlags
	cmd := &cobra.Command{
		Use: "create NAME --min N --max N [--cpu PERCENT]", Short: "Make a group of like instances",
		Long: "Make a group of like instances: --min of them at first, more when they use more CPU than --cpu says, fewer when less.\n" +
			"Members that fail are replaced. All flags of nuage instance create but --volume say what a member is made from.",
		Example: lines("nuage instance-group create fleet --min 1 --max 4 --cpu 60 --type nano --user-data serve.sh",
			"nuage instance-group create fleet --min 2 --max 2 --health /ready --health-port 8080 --image golden"),
		Args: takes(1, 1),
	}
	flags.declare(c, cmd)
	return c.instanceGroups().createCmd(c, cmd, func(ctx context.Context, s session, _ []string) (spec api.InstanceGroupSpec, err error) {
		given := cmd.Flags().Changed
		if !given("max") {
			flags.max = max(flags.min, 1)
		}
		spec.Min, spec.Max = flags.min, flags.max
		if err = flags.apply(&spec, given); err != nil {
			return spec, err
		}
		spec.Template, err = flags.machine.fresh(ctx, c, s)
		return spec, err
	})
}

func (c *cli) instanceGroupUpdateCmd() *cobra.Command {
	var flags groupFlags
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change the numbers or the template of a group",
		Long: "Change a group. What is not given stays; --env and --tag add to what is there. A change of the template replaces the\n" +
			"members one after another: the next one goes when the one before is healthy.",
		Example: lines("nuage instance-group update fleet --min 2 --max 6", "nuage instance-group update fleet --image golden-2"),
	}
	flags.declare(c, cmd)
	return c.instanceGroups().changeCmd(c, cmd, func(spec *api.InstanceGroupSpec) error {
		if err := flags.machine.load(c); err != nil {
			return err
		}
		flags.machine.apply(&spec.Template, cmd.Flags().Changed)
		return flags.apply(spec, cmd.Flags().Changed)
	})
}
