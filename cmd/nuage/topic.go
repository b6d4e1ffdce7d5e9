package main

import (
	"context"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) topics() noun[api.Topic, api.TopicSpec] {
	n := noun[api.Topic, api.TopicSpec]{
		title: "a topic",
		of:    func(cloud api.Cloud) api.Resource[api.Topic, api.TopicSpec] { return cloud.Topics },
		head:  (*api.Topic).Head,
		state: func(t *api.Topic) *api.Status { return &t.Status.Status },
		spec:  func(t *api.Topic) *api.TopicSpec { return &t.Spec },
	}
	n.word, n.name = "topic", func(t *api.Topic) string { return t.Name }
	n.columns = n.common(c, column[api.Topic]{head: "DESCRIPTION", cell: func(t api.Topic) string { return t.Spec.Description }})
	return n
}

func (c *cli) topicCmd() *cobra.Command {
	n := c.topics()
	return group("topic", "What is published goes to all who have subscribed",
		lines("nuage topic create orders", "nuage trigger create mail --function mail --topic orders", `nuage topic publish orders '{"id":7}'`),
		c.topicCreateCmd(), n.listCmd(c), n.showCmd(c), c.topicPublishCmd(), n.deleteCmd(c))
}

func (c *cli) topicCreateCmd() *cobra.Command {
	var spec api.TopicSpec
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a topic; triggers subscribe to it",
		Example: lines("nuage topic create orders", "nuage topic create orders --description 'what happens to orders'"),
		Args:    takes(1, 1),
	}
	cmd.Flags().StringVar(&spec.Description, "description", "", "what it is for; default: nothing")
	return c.topics().createCmd(c, cmd, func(context.Context, session, []string) (api.TopicSpec, error) { return spec, nil })
}

func (c *cli) topicPublishCmd() *cobra.Command {
	e := api.CloudEvent{Extensions: pairs{}}
	var id, source string
	cmd := &cobra.Command{
		Use: "publish TOPIC DATA", Short: "Publish an event to all who have subscribed",
		Long: "Publish an event: DATA is text such as JSON, @FILE for a file's content, - for stdin; 256 KiB at most. Receivers get it as a\n" +
			"CloudEvent 1.0. Without --type it is a message of the topic; with it give --id and --source too, as CloudEvents need them.",
		Example: lines(`nuage topic publish orders '{"id":7}' --attribute kind=new`,
			`nuage topic publish orders @order.json --type shop.order.placed --source /shop --id 7`),
		Args:              takes(2, 2),
		ValidArgsFunction: c.topics().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			var err error
			if e.Data, err = c.payload(args[1]); err != nil {
				return err
			}
			e.ID, e.Source = id, source
			if (e.Type == "") != (id == "") || (e.Type == "") != (source == "") {
				return usagef("cannot publish to topic %q: give --type, --id and --source together, or none", args[0])
			}
			if e.DataContentType == "" {
				e.DataContentType = guessType(e.Data)
			}
			done, err := s.cloud.Topics.Publish(ctx, s.project, args[0], e)
			if err != nil {
				return err
			}
			if encoded, err := c.encode(done); encoded {
				return err
			}
			return c.done("published event "+done.ID, done.ID)
		}),
	}
	f := cmd.Flags()
	f.Var(pairs(e.Extensions), "attribute", "a NAME=VALUE for filters, repeatable; default: none")
	f.StringVar(&e.Type, "type", "", "type of the event; default: a message of the topic")
	f.StringVar(&id, "id", "", "its id, with --type; default: made")
	f.StringVar(&source, "source", "", "where it comes from, with --type; default: the topic")
	f.StringVar(&e.Subject, "subject", "", "what it is about, with --type; default: nothing")
	f.StringVar(&e.DataContentType, "content-type", "", "type of the data; default: application/json where it is JSON, else application/octet-stream")
	return cmd
}
