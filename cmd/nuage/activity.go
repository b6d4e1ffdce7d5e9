package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

// followPause is how long following a record waits before it asks for more.
const followPause = time.Second

func (c *cli) activities() kind[api.Activity] {
	return kind[api.Activity]{
		word: "activity",
		name: func(a *api.Activity) string { return a.ID },
		columns: []column[api.Activity]{
			{head: "TIME", cell: func(a api.Activity) string { return timeText(a.Time) }},
			{head: "ACTOR", cell: func(a api.Activity) string { return string(a.Actor.Kind) + ":" + a.Actor.Name }},
			{head: "LAYER", cell: func(a api.Activity) string { return string(a.Layer) }},
			{head: "MODEL", cell: func(a api.Activity) string { return a.Model }},
			{head: "RESOURCE", cell: func(a api.Activity) string { return a.Noun + "/" + a.Resource }},
			{head: "VERB", cell: func(a api.Activity) string { return a.Verb }},
			{head: "DETAIL", cell: func(a api.Activity) string { return a.Detail }},
		},
	}
}

func (c *cli) activityCmd() *cobra.Command {
	return group("activity", "The record of who did what, you or the platform",
		lines("nuage activity list --since 1h", "nuage activity list --actor platform -f"),
		c.activityListCmd())
}

func (c *cli) activityListCmd() *cobra.Command {
	var q api.ActivityQuery
	var layer, actor string
	var since, before span
	var follow, everywhere bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List recorded work, oldest first",
		Long: "List recorded work, oldest first: every change with its time, who made it (customer or platform), on which\n" +
			"layer of the stack, of which resource. Filters add up: what is listed passes all of them.",
		Example: lines("nuage activity list --resource app/shop", "nuage activity list --layer operating-system --since 30m",
			"nuage activity list --kind instance --verb ssh", "nuage activity list --model paas --actor platform -f"),
		Args: takes(0, 0),
		RunE: c.inCloud(func(ctx context.Context, s session, _ []string) error {
			q.Layer, q.Actor = api.Layer(layer), api.ActorKind(actor)
			if noun, name, ok := strings.Cut(q.Resource, "/"); ok && (q.Noun == "" || q.Noun == noun) {
				q.Noun, q.Resource = noun, name
			}
			if !everywhere {
				q.Project = s.project
			}
			if since > 0 {
				q.Since = c.now().Add(-time.Duration(since)).UTC()
			}
			if before > 0 {
				q.Until = c.now().Add(-time.Duration(before)).UTC()
			}
			return c.listActivities(ctx, s.cloud.Activities, q, follow)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&q.Resource, "resource", "", "only of the resource with this name, also as app/shop; default: all")
	f.StringVar(&q.Noun, "kind", "", "only of resources of this kind, as instance, app, backup or project; default: all")
	f.StringVar(&q.Verb, "verb", "", "only this verb, as restart, ssh or build; default: all")
	f.Var(optional(&q.Model, "iaas", "paas", "faas"), "model", "only of this service model: iaas, paas or faas; default: all")
	f.Var(optional(&layer, layerNames()...), "layer", "only of this layer, as application or operating-system; default: all")
	f.Var(optional(&actor, string(api.Customer), string(api.Platform)), "actor", "only by customer or platform; default: both")
	f.StringVar(&q.By, "by", "", "only by the actor of this name, a user or a part of the platform as scaling; default: all")
	f.Var(&since, "since", "only of the last, as 1h or 30d; default: all that is kept")
	f.Var(&before, "before", "only what is longer ago than this, as 10m; default: up to now")
	f.BoolVarP(&follow, "follow", "f", false, "go on and print what is recorded from now on; default: end")
	f.BoolVarP(&everywhere, "all-projects", "A", false, "of all projects you may see; default: of the project")
	return cmd
}

func layerNames() []string {
	var names []string
	for _, l := range api.Layers() {
		names = append(names, string(l))
	}
	return names
}

func (c *cli) listActivities(ctx context.Context, record api.Activities, q api.ActivityQuery, follow bool) error {
	cursor := ""
	list, err := all(func(p api.Page) (api.List[api.Activity], error) {
		q.Page = p
		part, err := record.List(ctx, q)
		cursor = advance(cursor, part)
		return part, err
	})
	if err != nil {
		return err
	}
	if err := printList(c, c.activities(), list); err != nil || !follow {
		return err
	}
	return c.followActivities(ctx, record, q, cursor, c.activities().widths(list.Items))
}

// advance is where a list that was read up to cursor goes on after another part of it.
func advance(cursor string, part api.List[api.Activity]) string {
	switch n := len(part.Items); {
	case part.Next != "":
		return part.Next
	case n > 0:
		return part.Items[n-1].ID
	}
	return cursor
}

func (c *cli) followActivities(ctx context.Context, record api.Activities, q api.ActivityQuery, cursor string, widths []int) error {
	tick := time.NewTicker(followPause)
	defer tick.Stop()
	k := c.activities()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		q.Page = api.Page{Limit: pageSize, After: cursor}
		part, err := record.List(ctx, q)
		if err != nil {
			return ignoreCancel(ctx, err)
		}
		cursor = advance(cursor, part)
		if err := c.printMore(k, part, widths); err != nil {
			return err
		}
	}
}

// printMore prints a further part of a followed list, if there is anything in it, in columns as wide as before.
func (c *cli) printMore(k kind[api.Activity], part api.List[api.Activity], widths []int) error {
	if len(part.Items) == 0 {
		return nil
	}
	if c.machine() {
		return printList(c, k, part)
	}
	var rows [][]string
	for _, item := range part.Items {
		row := k.row(item)
		for i := range row {
			row[i] = fmt.Sprintf("%-*s", widths[i], row[i])
		}
		rows = append(rows, row)
	}
	return c.printTable(nil, rows)
}
