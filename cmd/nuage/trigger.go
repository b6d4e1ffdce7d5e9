package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
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
		column[api.Trigger]{head: "TARGET", cell: goesTo},
		column[api.Trigger]{head: "EVENTS", cell: triggerText},
	)
	return n
}

func goesTo(t api.Trigger) string {
	if t.Spec.ToQueue != "" {
		return "queue " + t.Spec.ToQueue
	}
	return qualified(t.Spec.Function, t.Spec.Qualifier)
}

// triggerText says which events a trigger is for.
func triggerText(t api.Trigger) string {
	s := t.Spec
	switch {
	case s.Queue != "":
		return fmt.Sprintf("queue %s, %d at once", s.Queue, s.Batch)
	case s.Topic != "":
		return "topic " + s.Topic + filterText(s.Filter)
	case s.Clock == api.BillingClock:
		return s.Schedule + ", by the billing clock"
	case s.Schedule != "":
		return s.Schedule
	case len(s.Events) > 0:
		return strings.Join(s.Events, ", ")
	}
	return t.Status.URL
}

func filterText(filter map[string]any) string {
	text, err := json.Marshal(filter)
	if err != nil || len(filter) == 0 {
		return ""
	}
	return " where " + string(text)
}

func (c *cli) triggerCmd() *cobra.Command {
	n := c.triggers()
	return group("trigger", "Events that call a function",
		lines("nuage trigger create web --function hello --http", "nuage trigger create work --function hello --queue orders",
			"nuage trigger create nightly --function report --schedule '0 3 * * *'", "nuage trigger list"),
		c.triggerCreateCmd(), n.listCmd(c), n.showCmd(c), n.deleteCmd(c))
}

// triggerFlags are what a trigger can be told.
type triggerFlags struct {
	spec   api.TriggerSpec
	window span
	filter string
}

func (c *cli) triggerCreateCmd() *cobra.Command {
	var flags triggerFlags
	cmd := &cobra.Command{
		Use:   "create NAME (--function F | --to-queue Q) (--http | --queue Q | --topic T | --schedule \"CRON\" | --events TYPE,...)",
		Short: "Let events call a function, or go to a queue",
		Long: "Let events call a function. With --http requests to http://FUNCTION.fn.localhost call it. With --queue it gets the messages of\n" +
			"a queue in batches, in the form of Amazon SQS: what it has dealt with is gone, what it names in batchItemFailures comes again.\n" +
			"With --topic, --schedule and --events it gets CloudEvents 1.0, one by one, as asynchronous calls: what is published to a\n" +
			"topic, ticks of a clock, or what happens to apps, databases, instances, functions and budgets of the project. These can go\n" +
			"to a queue too.",
		Example: lines("nuage trigger create web --function hello --http",
			"nuage trigger create work --function hello --queue orders --batch 100 --window 1s --concurrency 2",
			`nuage trigger create mail --function mail --topic orders --filter '{"kind":["new",{"prefix":"re"}]}'`,
			"nuage trigger create copy --to-queue archive --topic orders",
			"nuage trigger create nightly --function report --schedule '0 3 * * *' --missed skip",
			"nuage trigger create watch --function tell --events app.deployed,app.failed,backup.*"),
		Args: takes(1, 1),
	}
	flags.declare(cmd)
	return c.triggers().createCmd(c, cmd, func(_ context.Context, _ session, args []string) (api.TriggerSpec, error) { return flags.read(args[0]) })
}

func (t *triggerFlags) declare(cmd *cobra.Command) {
	f, spec := cmd.Flags(), &t.spec
	f.StringVar(&spec.Function, "function", "", "function to call, also as NAME:ALIAS; default: none")
	f.StringVar(&spec.ToQueue, "to-queue", "", "queue that gets the events, in place of a function; default: none")
	f.BoolVar(&spec.HTTP, "http", false, "requests to http://FUNCTION.fn.localhost call it; default: not")
	f.StringVar(&spec.Queue, "queue", "", "messages of this queue call it; default: none")
	f.IntVar(&spec.Batch, "batch", 0, "messages of a call at most, with --queue; default: 10")
	f.Var(&t.window, "window", "how long a batch waits to become full, up to 5m, with --queue; default: not at all")
	f.IntVar(&spec.Concurrency, "concurrency", 0, "calls at once, with --queue; default: 5")
	f.StringVar(&spec.Topic, "topic", "", "what is published to this topic; default: none")
	f.StringVar(&t.filter, "filter", "", "only events with such attributes, with --topic: a filter policy as JSON; default: all")
	f.StringVar(&spec.DeadLetter, "dead-letter", "", "queue for events that their target can't take, as when it is full; default: they are lost, and counted")
	f.StringVar(&spec.Schedule, "schedule", "", "five fields of cron in UTC, or rate(5 minutes); default: none")
	f.Var(optional(&spec.Clock, api.RealClock, api.BillingClock), "clock", "the clock that --schedule follows: real or billing, which nuage clock makes fast or puts forward; default: real")
	f.Var(optional(&spec.Missed, "once", "skip"), "missed", "what becomes of ticks while the cloud was down, or that the clock jumped over: once for all, or skip; default: once")
	f.StringSliceVar(&spec.Events, "events", nil, "what happens to things, as app.deployed, app.* or *; default: none")
}

func (t *triggerFlags) read(name string) (api.TriggerSpec, error) {
	s := t.spec
	s.WindowMs = time.Duration(t.window).Milliseconds()
	kinds := 0
	for _, given := range []bool{s.HTTP, s.Queue != "", s.Topic != "", s.Schedule != "", len(s.Events) > 0} {
		if given {
			kinds++
		}
	}
	if kinds != 1 || (s.Function == "") == (s.ToQueue == "") {
		return s, usagef("cannot make trigger %q: give --function F or --to-queue Q, and one of --http, --queue, --topic, --schedule and --events", name)
	}
	if t.filter != "" {
		if err := json.Unmarshal([]byte(t.filter), &s.Filter); err != nil {
			return s, usagef("cannot read --filter %s: it is no JSON object", t.filter)
		}
	}
	return s, nil
}
