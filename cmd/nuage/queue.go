package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) queues() noun[api.Queue, api.QueueSpec] {
	n := noun[api.Queue, api.QueueSpec]{
		title: "a queue",
		of:    func(cloud api.Cloud) api.Resource[api.Queue, api.QueueSpec] { return cloud.Queues },
		head:  (*api.Queue).Head,
		state: func(q *api.Queue) *api.Status { return &q.Status.Status },
		spec:  func(q *api.Queue) *api.QueueSpec { return &q.Spec },
	}
	n.word, n.name = "queue", func(q *api.Queue) string { return q.Name }
	seconds := func(n int64) string { return (time.Duration(n) * time.Second).String() }
	n.columns = n.common(c,
		column[api.Queue]{head: "MESSAGES", cell: func(q api.Queue) string { return strconv.FormatInt(q.Status.Messages, 10) }},
		column[api.Queue]{head: "IN FLIGHT", cell: func(q api.Queue) string { return strconv.FormatInt(q.Status.InFlight, 10) }},
		column[api.Queue]{head: "DELAYED", cell: func(q api.Queue) string { return strconv.FormatInt(q.Status.Delayed, 10) }},
		column[api.Queue]{head: "OLDEST", cell: func(q api.Queue) string { return c.oldest(q.Status.OldestAt) }},
		column[api.Queue]{head: "SIZE", cell: func(q api.Queue) string { return bytesText(q.Status.Bytes) }, detail: true},
		column[api.Queue]{head: "VISIBILITY", cell: func(q api.Queue) string { return seconds(q.Spec.VisibilitySeconds) }, detail: true},
		column[api.Queue]{head: "DELAY", cell: func(q api.Queue) string { return seconds(q.Spec.DelaySeconds) }, detail: true},
		column[api.Queue]{head: "RETENTION", cell: func(q api.Queue) string { return seconds(q.Spec.RetentionSeconds) }, detail: true},
		column[api.Queue]{head: "DEAD LETTERS", cell: func(q api.Queue) string { return deadLetterText(q.Spec) }, detail: true},
	)
	return n
}

func (c *cli) oldest(at *time.Time) string {
	if at == nil {
		return ""
	}
	return c.age(*at)
}

func deadLetterText(s api.QueueSpec) string {
	if s.DeadLetter == "" {
		return ""
	}
	return fmt.Sprintf("%s, after %d receives", s.DeadLetter, s.MaxReceives)
}

func (c *cli) queueCmd() *cobra.Command {
	n := c.queues()
	return group("queue", "Messages that wait until somebody has dealt with them",
		lines("nuage queue create orders", `nuage queue send orders '{"id":7}'`, "nuage queue receive orders"),
		c.queueCreateCmd(), n.listCmd(c), n.showCmd(c), c.queueUpdateCmd(), c.queueSendCmd(), c.queueReceiveCmd(), c.queueAckCmd(),
		c.queueMoveCmd("purge", "Remove all messages of a queue", "removed", func(s session) mover { return s.cloud.Messages.Purge }),
		c.queueMoveCmd("redrive", "Move the messages of a dead-letter queue back to the queues they came from", "moved",
			func(s session) mover { return s.cloud.Messages.Redrive }),
		n.deleteCmd(c))
}

// queueFlags are what a queue can be told.
type queueFlags struct {
	visibility, delay, retention span
	deadLetter                   string
	maxReceives                  int
}

func (f *queueFlags) declare(cmd *cobra.Command) {
	f.visibility, f.retention = span(api.DefaultVisibilitySeconds*time.Second), span(api.DefaultRetentionSeconds*time.Second)
	fs := cmd.Flags()
	fs.Var(&f.visibility, "visibility", "a received message comes again after this time unless it is acknowledged, up to 12h")
	fs.Var(&f.delay, "delay", "a new message can be received after this time, up to 15m; default: at once")
	fs.Var(&f.retention, "retention", "a message is dropped after this time, 1m to 14d")
	fs.StringVar(&f.deadLetter, "dead-letter", "", "queue for messages that were received too often; default: none")
	fs.IntVar(&f.maxReceives, "max-receives", api.DefaultDeadLetterReceives, "how often a message is received at most, with --dead-letter")
}

// apply puts what was given into a spec; seconds are what the cloud counts in.
func (f *queueFlags) apply(spec *api.QueueSpec, given func(string) bool) error {
	for name, to := range map[string]struct {
		from span
		to   *int64
	}{"visibility": {f.visibility, &spec.VisibilitySeconds}, "delay": {f.delay, &spec.DelaySeconds}, "retention": {f.retention, &spec.RetentionSeconds}} {
		if !given(name) {
			continue
		}
		if time.Duration(to.from)%time.Second != 0 {
			return usagef("cannot use --%s %s: give whole seconds", name, time.Duration(to.from))
		}
		*to.to = int64(time.Duration(to.from) / time.Second)
	}
	if given("dead-letter") {
		spec.DeadLetter = f.deadLetter
		if f.deadLetter == "" {
			spec.MaxReceives = 0
		}
	}
	if given("max-receives") {
		spec.MaxReceives = f.maxReceives
	}
	return nil
}

func (c *cli) queueCreateCmd() *cobra.Command {
	flags := &queueFlags{}
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a queue",
		Example: lines("nuage queue create orders", "nuage queue create orders --visibility 1m --dead-letter lost --max-receives 3"),
		Args:    takes(1, 1),
	}
	flags.declare(cmd)
	return c.queues().createCmd(c, cmd, func(context.Context, session, []string) (api.QueueSpec, error) {
		var spec api.QueueSpec
		return spec, flags.apply(&spec, cmd.Flags().Changed)
	})
}

func (c *cli) queueUpdateCmd() *cobra.Command {
	flags := &queueFlags{}
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change how a queue treats its messages",
		Example: lines("nuage queue update orders --visibility 5m", "nuage queue update orders --dead-letter lost --max-receives 3"),
	}
	flags.declare(cmd)
	return c.queues().changeCmd(c, cmd, func(spec *api.QueueSpec) error { return flags.apply(spec, cmd.Flags().Changed) })
}

func (c *cli) messages() kind[api.Message] {
	return kind[api.Message]{
		word: "message",
		name: func(m *api.Message) string { return m.ID },
		columns: []column[api.Message]{
			{head: "ID", cell: func(m api.Message) string { return m.ID }},
			{head: "SENT", cell: func(m api.Message) string { return timeText(m.SentAt) }},
			{head: "RECEIVES", cell: func(m api.Message) string { return strconv.Itoa(m.Receives) }},
			{head: "HANDLE", cell: func(m api.Message) string { return m.ReceiptHandle }},
			{head: "ATTRIBUTES", cell: func(m api.Message) string { return pairsText(m.Attributes) }},
			{head: "BODY", cell: func(m api.Message) string { return m.Body }},
		},
	}
}

func (c *cli) queueSendCmd() *cobra.Command {
	m := api.NewMessage{Attributes: pairs{}}
	var delay span
	cmd := &cobra.Command{
		Use: "send QUEUE DATA", Short: "Send a message",
		Long: "Send a message: text of 256 KiB at most. DATA is the text itself, @FILE for a file's content, - for stdin.",
		Example: lines(`nuage queue send orders '{"id":7}'`, "nuage queue send orders @order.json --attribute kind=new --delay 30s",
			"date | nuage queue send orders -"),
		Args:              takes(2, 2),
		ValidArgsFunction: c.queues().complete(c),
	}
	cmd.RunE = c.inCloud(func(ctx context.Context, s session, args []string) error {
		body, err := c.payload(args[1])
		if err != nil {
			return err
		}
		m.Body = string(body)
		if cmd.Flags().Changed("delay") {
			seconds := int64(time.Duration(delay) / time.Second)
			m.DelaySeconds = &seconds
		}
		sent, err := s.cloud.Messages.Send(ctx, s.project, args[0], m)
		if err != nil {
			return err
		}
		if done, err := c.encode(sent); done {
			return err
		}
		return c.done("sent message "+sent.ID, sent.ID)
	})
	cmd.Flags().Var(pairs(m.Attributes), "attribute", "a NAME=VALUE beside the message, repeatable; default: none")
	cmd.Flags().Var(&delay, "delay", "it can be received after this time; default: the queue's")
	return cmd
}

func (c *cli) queueReceiveCmd() *cobra.Command {
	var q api.ReceiveQuery
	var wait, visibility span
	var keep bool
	cmd := &cobra.Command{
		Use: "receive QUEUE", Short: "Receive messages and print them",
		Long: "Receive messages, print their text, and acknowledge them: then they are gone. With --keep they are not acknowledged and come\n" +
			"again after the visibility timeout, unless nuage queue ack is given the handle that is printed.",
		Example: lines("nuage queue receive orders", "nuage queue receive orders --max 10 --wait 20s", "nuage queue receive orders --keep"),
		Args:    takes(1, 1), ValidArgsFunction: c.queues().complete(c),
	}
	cmd.RunE = c.inCloud(func(ctx context.Context, s session, args []string) error {
		q.WaitSeconds = int64(time.Duration(wait) / time.Second)
		if cmd.Flags().Changed("visibility") {
			seconds := int64(time.Duration(visibility) / time.Second)
			q.VisibilitySeconds = &seconds
		}
		list, err := s.cloud.Messages.Receive(ctx, s.project, args[0], q)
		if err != nil {
			return err
		}
		if err := c.printMessages(list, keep); err != nil || keep {
			return err
		}
		for _, m := range list.Items { // after they were printed: what fails before comes again
			if err := s.cloud.Messages.Acknowledge(ctx, s.project, args[0], m.ReceiptHandle); err != nil {
				return err
			}
		}
		return nil
	})
	f := cmd.Flags()
	f.IntVar(&q.Max, "max", 1, "how many at most, up to 10")
	f.Var(&wait, "wait", "how long to wait for a first one, up to 20s; default: do not wait")
	f.Var(&visibility, "visibility", "how long nobody else gets them; default: the queue's")
	f.BoolVar(&keep, "keep", false, "do not acknowledge them, and print all about them; default: acknowledge them")
	return cmd
}

// printMessages prints the texts alone, one a line, or all about messages that are kept.
func (c *cli) printMessages(list api.List[api.Message], keep bool) error {
	if keep || c.machine() {
		return printList(c, c.messages(), list)
	}
	if len(list.Items) == 0 {
		c.note("no message")
	}
	for _, m := range list.Items {
		if _, err := fmt.Fprintln(c.out, strings.TrimSuffix(m.Body, "\n")); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) queueAckCmd() *cobra.Command {
	return &cobra.Command{
		Use: "ack QUEUE HANDLE", Short: "Acknowledge a message that was received with --keep: it is gone then",
		Example: "nuage queue ack orders 0000000004-9f3a01c2d4e5f607",
		Args:    takes(2, 2), ValidArgsFunction: c.queues().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if err := s.cloud.Messages.Acknowledge(ctx, s.project, args[0], args[1]); err != nil {
				return err
			}
			return c.done("acknowledged "+args[1], args[1])
		}),
	}
}

// mover does something with all messages of a queue.
type mover = func(ctx context.Context, project, queue string) (int, error)

func (c *cli) queueMoveCmd(verb, short, did string, do func(session) mover) *cobra.Command {
	return &cobra.Command{
		Use: verb + " QUEUE", Short: short,
		Example: "nuage queue " + verb + " orders",
		Args:    takes(1, 1), ValidArgsFunction: c.queues().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			n, err := do(s)(ctx, s.project, args[0])
			if err != nil {
				return err
			}
			return c.done(did+" "+plural(n, "message"), strconv.Itoa(n))
		}),
	}
}
