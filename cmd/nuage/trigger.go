package main

import (
	"context"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) triggers() noun[api.Trigger, api.TriggerSpec] {
	n := noun[api.Trigger, api.TriggerSpec]{
		title: "a trigger",
		of:    func(cloud api.Cloud) api.Resource[api.Trigger, api.TriggerSpec] { return cloud.Triggers },
		head:  (*api.Trigger).Head,
		state: func(t *api.Trigger) *api.Status { return &t.Status.Status },
		spec:  func(t *api.Trigger) *api.TriggerSpec { return &t.Spec },
	}
	n.word, n.name = "trigger", func(t *api.Trigger) string { return t.Name }
	n.columns = n.common(c,
		column[api.Trigger]{head: "FUNCTION", cell: func(t api.Trigger) string { return t.Spec.Function }},
		column[api.Trigger]{head: "URL", cell: func(t api.Trigger) string { return t.Status.URL }},
	)
	return n
}

func (c *cli) triggerCmd() *cobra.Command {
	n := c.triggers()
	return group("trigger", "Events that call a function",
		lines("nuage trigger create web --function hello --http", "nuage trigger list"),
		c.triggerCreateCmd(), n.listCmd(c), n.showCmd(c), n.deleteCmd(c))
}

func (c *cli) triggerCreateCmd() *cobra.Command {
	var spec api.TriggerSpec
	n := c.triggers()
	cmd := c.noWaitFlag(&cobra.Command{
		Use:     "create NAME --function F --http",
		Short:   "Let HTTP requests call a function",
		Example: "nuage trigger create web --function hello --http",
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if spec.Function == "" || !spec.HTTP {
				return usagef("cannot make trigger %q: give --function F and --http", args[0])
			}
			t, err := n.create(ctx, c, s, args[0], spec)
			if err != nil {
				return err
			}
			return printItem(c, n.kind, t)
		}),
	})
	cmd.Flags().StringVar(&spec.Function, "function", "", "function to call; it must be given; default: none")
	cmd.Flags().BoolVar(&spec.HTTP, "http", false, "requests to http://FUNCTION.fn.localhost call it; it must be given; default: not given")
	return cmd
}
