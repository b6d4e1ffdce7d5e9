package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) volumeAttachCmd() *cobra.Command {
	var path string
	var restart bool
	cmd := c.noWaitFlag(&cobra.Command{
		Use:   "attach VOLUME INSTANCE --path P",
		Short: "Put a volume at a path of an instance",
		Long: "Put a volume at a path of an instance. A container can't be given a disk while it runs: a running instance has to be\n" +
			"restarted, which --restart allows; its root disk, address and host key stay.",
		Example:           lines("nuage volume attach data db --path /srv", "nuage volume attach data db --path /srv --restart"),
		Args:              takes(2, 2),
		ValidArgsFunction: inOrder(c.volumes().complete(c), c.instances().complete(c)),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if !strings.HasPrefix(path, "/") {
				return usagef("cannot attach volume %q at %q: give an absolute path inside the instance, as --path /data", args[0], path)
			}
			v, err := s.cloud.Volumes.Attach(ctx, s.project, args[0], api.Attachment{Instance: args[1], Path: path}, restart)
			return c.afterAttach(ctx, s, v, args[1], err)
		}),
	})
	cmd.Flags().StringVar(&path, "path", "", "where it appears in the instance, as /data; needed")
	cmd.Flags().BoolVar(&restart, "restart", false, "restart the instance if it runs; default: refuse then")
	return cmd
}

func (c *cli) volumeDetachCmd() *cobra.Command {
	var restart bool
	n := c.volumes()
	cmd := c.noWaitFlag(&cobra.Command{
		Use: "detach VOLUME", Short: "Take a volume from its instance; its data stays",
		Example:           lines("nuage volume detach data", "nuage volume detach data --restart"),
		Args:              takes(1, 1),
		ValidArgsFunction: n.complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			before, err := s.cloud.Volumes.Get(ctx, s.project, args[0])
			if err != nil {
				return err
			}
			instance := ""
			if at := before.Status.Attached; at != nil {
				instance = at.Instance
			}
			v, err := s.cloud.Volumes.Detach(ctx, s.project, args[0], restart)
			return c.afterAttach(ctx, s, v, instance, err)
		}),
	})
	cmd.Flags().BoolVar(&restart, "restart", false, "restart the instance if it runs; default: refuse then")
	return cmd
}

// afterAttach waits until the instance, where there is one, runs as it should with the volume or without, and prints the volume.
func (c *cli) afterAttach(ctx context.Context, s session, v api.Volume, instance string, err error) error {
	n := c.volumes()
	if err == nil && !c.flags.noWait && instance != "" {
		_, err = c.instances().wait(ctx, c, s, instance)
	}
	if err == nil && !c.flags.noWait {
		v, err = n.wait(ctx, c, s, v.Name)
	}
	if err != nil {
		return err
	}
	return printItem(c, n.kind, v)
}

// inOrder completes each argument by a function of its own.
func inOrder(each ...cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(each) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return each[len(args)](cmd, args, begun)
	}
}
