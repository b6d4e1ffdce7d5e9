package main

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

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

func (c *cli) instanceUpdateCmd() *cobra.Command {
	var groups, without []string
	tags := pairs{}
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change security groups and tags of an instance while it runs",
		Long: "Change security groups and tags of an instance while it runs. --security-group replaces all its groups, --tag adds to its\n" +
			"tags. Its type is changed by nuage instance resize, its volumes by nuage volume attach and detach.",
		Example: lines("nuage instance update vm --security-group default --security-group web", "nuage instance update vm --tag course=cloud --remove-tag old"),
	}
	f := cmd.Flags()
	f.StringSliceVar(&groups, "security-group", nil, "group whose rules apply from now on, repeatable; default: as it is")
	f.Var(tags, "tag", "a NAME=VALUE to add or change, repeatable; default: none")
	f.StringSliceVar(&without, "remove-tag", nil, "NAME of a tag to remove, repeatable; default: none")
	offer(cmd, "security-group", c.securityGroups().complete(c))
	return c.instances().changeCmd(c, cmd, func(spec *api.InstanceSpec) error {
		if f.Changed("security-group") {
			spec.SecurityGroups = groups
		}
		spec.Tags = maps.Clone(spec.Tags)
		for _, name := range without {
			delete(spec.Tags, name)
		}
		spec.Tags = tags.into(spec.Tags)
		return nil
	})
}

func (c *cli) instanceReclaimCmd() *cobra.Command {
	notice := span(2 * time.Minute)
	n := c.instances()
	cmd := &cobra.Command{
		Use: "reclaim NAME", Short: "Take a spot instance back, as a cloud does that needs the room",
		Long: "Take a spot instance back, as a cloud does that needs the room. The notice is in its metadata at once, under\n" +
			"spot/instance-action; when it has passed the instance is deleted. Its volumes are kept. The command answers when the notice\n" +
			"is given. A second call with a shorter notice hastens the end.",
		Example:           lines("nuage instance reclaim worker", "nuage instance reclaim worker --notice 10s"),
		Args:              takes(1, 1),
		ValidArgsFunction: n.complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			i, err := s.cloud.Instances.Reclaim(ctx, s.project, args[0], time.Duration(notice))
			if err != nil {
				return err
			}
			return printItem(c, n.kind, i)
		}),
	}
	cmd.Flags().Var(&notice, "notice", "how long it still has, 0s to 1h")
	return c.noWaitFlag(cmd)
}

func (c *cli) instanceMetricsCmd() *cobra.Command {
	k := kind[api.InstanceMetrics]{
		word: "metrics",
		name: func(m *api.InstanceMetrics) string { return timeText(m.At) },
		columns: []column[api.InstanceMetrics]{
			{head: "CPU", cell: func(m api.InstanceMetrics) string { return fmt.Sprintf("%.1f%% of its type", m.CPUPercent) }},
			{head: "CPU TIME", cell: func(m api.InstanceMetrics) string { return fmt.Sprintf("%.1f s", m.CPUSeconds) }},
			{head: "MEMORY", cell: func(m api.InstanceMetrics) string {
				return bytesText(int64(m.MemoryBytes)) + " of " + bytesText(m.MemoryLimit)
			}},
			{head: "RECEIVED", cell: func(m api.InstanceMetrics) string { return bytesText(int64(m.ReceiveBytes)) }},
			{head: "SENT", cell: func(m api.InstanceMetrics) string { return bytesText(int64(m.TransmitBytes)) }},
			{head: "READ", cell: func(m api.InstanceMetrics) string { return bytesText(int64(m.ReadBytes)) }},
			{head: "WRITTEN", cell: func(m api.InstanceMetrics) string { return bytesText(int64(m.WriteBytes)) }},
			{head: "PROCESSES", cell: func(m api.InstanceMetrics) string { return fmt.Sprintf("%d of %d", m.Processes, m.ProcessLimit) }},
			{head: "AT", cell: func(m api.InstanceMetrics) string { return timeText(m.At) }},
		},
	}
	return &cobra.Command{
		Use: "metrics NAME", Short: "Show what an instance uses",
		Long: "Show what an instance uses: CPU over the last minute, and counters since its start. A sample is taken every few seconds;\n" +
			"Prometheus finds the same at /metrics of the control address.",
		Example:           lines("nuage instance metrics vm", "nuage instance metrics vm -o json"),
		Args:              takes(1, 1),
		ValidArgsFunction: c.instances().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			m, err := s.cloud.Instances.Metrics(ctx, s.project, args[0])
			if err != nil {
				return err
			}
			return printDetail(c, k, m)
		}),
	}
}
