package main

import (
	"context"
	"fmt"
	"time"

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
		column[api.Trigger]{head: "FUNCTION", cell: func(t api.Trigger) string { return qualified(t.Spec.Function, t.Spec.Qualifier) }},
		column[api.Trigger]{head: "EVENTS", cell: triggerText},
	)
	return n
}

// triggerText says which events a trigger is for.
func triggerText(t api.Trigger) string {
	s := t.Spec
	if s.Queue != "" {
		return fmt.Sprintf("queue %s, %d at once", s.Queue, s.Batch)
	}
	return t.Status.URL
}

func (c *cli) triggerCmd() *cobra.Command {
	n := c.triggers()
	return group("trigger", "Events that call a function",
		lines("nuage trigger create web --function hello --http", "nuage trigger create work --function hello --queue orders", "nuage trigger list"),
		c.triggerCreateCmd(), n.listCmd(c), n.showCmd(c), n.deleteCmd(c))
}

func (c *cli) triggerCreateCmd() *cobra.Command {
	var spec api.TriggerSpec
	var window span
	cmd := &cobra.Command{
		Use:   "create NAME --function F (--http | --queue Q)",
		Short: "Let events call a function",
		Long: "Let events call a function. With --http requests to http://FUNCTION.fn.localhost call it. With --queue it gets the messages of\n" +
			"a queue in batches, in the form of Amazon SQS: what it has dealt with is gone, what it names in batchItemFailures comes again.",
		Example: lines("nuage trigger create web --function hello --http",
			"nuage trigger create work --function hello --queue orders --batch 100 --window 1s --concurrency 2"),
		Args: takes(1, 1),
	}
	f := cmd.Flags()
	f.StringVar(&spec.Function, "function", "", "function to call, also as NAME:ALIAS; it must be given; default: none")
	f.BoolVar(&spec.HTTP, "http", false, "requests to http://FUNCTION.fn.localhost call it; default: not")
	f.StringVar(&spec.Queue, "queue", "", "messages of this queue call it; default: none")
	f.IntVar(&spec.Batch, "batch", 0, "messages of a call at most, with --queue; default: 10")
	f.Var(&window, "window", "how long a batch waits to become full, up to 5m, with --queue; default: not at all")
	f.IntVar(&spec.Concurrency, "concurrency", 0, "calls at once, with --queue; default: 5")
	return c.triggers().createCmd(c, cmd, func(_ context.Context, _ session, args []string) (api.TriggerSpec, error) {
		if spec.Function == "" || spec.HTTP == (spec.Queue != "") {
			return spec, usagef("cannot make trigger %q: give --function F and one of --http and --queue Q", args[0])
		}
		spec.WindowMs = time.Duration(window).Milliseconds()
		return spec, nil
	})
}
