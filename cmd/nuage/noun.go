package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nuage/api"
)

// noun is all that list, show and delete need to know of a noun of a project. T is the noun, S its spec.
type noun[T, S any] struct {
	kind[T]
	title string // for help: "an instance"
	of    func(api.Cloud) api.Resource[T, S]
	head  func(*T) *api.Meta
	state func(*T) *api.Status
	spec  func(*T) *S
	// parts is a table of what a thing consists of, below what show prints of it; nil: nothing.
	parts func(T) (heads []string, rows [][]string)
}

// common are the columns every noun has: first NAME, PHASE and REASON, last AGE and what only show tells.
func (n noun[T, S]) common(c *cli, own ...column[T]) []column[T] {
	columns := []column[T]{
		{head: "NAME", cell: func(x T) string { return n.head(&x).Name }},
		{head: "PHASE", cell: func(x T) string { return string(n.state(&x).Phase) }},
	}
	columns = append(columns, own...)
	return append(columns,
		column[T]{head: "AGE", cell: func(x T) string { return c.age(n.head(&x).CreatedAt) }},
		column[T]{head: "REASON", cell: func(x T) string { return n.state(&x).Reason }},
		column[T]{head: "ID", cell: func(x T) string { return n.head(&x).ID }, detail: true},
		column[T]{head: "PROJECT", cell: func(x T) string { return n.head(&x).Project }, detail: true},
		column[T]{head: "CREATED", cell: func(x T) string { return timeText(n.head(&x).CreatedAt) }, detail: true},
	)
}

// pageSize is how much of a list is asked for at once.
const pageSize = 1000

// all reads a list to its end.
func all[T any](fetch func(api.Page) (api.List[T], error)) (api.List[T], error) {
	whole := api.List[T]{Items: []T{}}
	page := api.Page{Limit: pageSize}
	for {
		part, err := fetch(page)
		if err != nil {
			return whole, err
		}
		whole.Items = append(whole.Items, part.Items...)
		if part.Next == "" || len(part.Items) == 0 {
			return whole, nil
		}
		page.After = part.Next
	}
}

func (n noun[T, S]) listCmd(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the " + n.word + "s of the project",
		Example: lines("nuage "+n.word+" list", "nuage "+n.word+" list -o json"),
		Args:    takes(0, 0),
		RunE: c.inCloud(func(ctx context.Context, s session, _ []string) error {
			list, err := all(func(p api.Page) (api.List[T], error) { return n.of(s.cloud).List(ctx, s.project, p) })
			if err != nil {
				return err
			}
			return printList(c, n.kind, list)
		}),
	}
}

func (n noun[T, S]) showCmd(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:               "show NAME",
		Short:             "Show " + n.title + " in full",
		Example:           lines("nuage "+n.word+" show NAME", "nuage "+n.word+" show NAME -o yaml"),
		Args:              takes(1, 1),
		ValidArgsFunction: n.complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			item, err := n.of(s.cloud).Get(ctx, s.project, args[0])
			if err != nil {
				return err
			}
			return n.printWhole(c, item)
		}),
	}
}

// printWhole prints a thing in full, with its parts.
func (n noun[T, S]) printWhole(c *cli, item T) error {
	if err := printDetail(c, n.kind, item); err != nil || n.parts == nil || c.machine() {
		return err
	}
	heads, rows := n.parts(item)
	if len(rows) == 0 {
		return nil
	}
	return c.printTable(heads, rows)
}

// createCmd completes a command that makes the thing its first argument names, waits and prints it.
func (n noun[T, S]) createCmd(c *cli, cmd *cobra.Command, spec func(ctx context.Context, s session, args []string) (S, error)) *cobra.Command {
	cmd.RunE = c.inCloud(func(ctx context.Context, s session, args []string) error {
		wanted, err := spec(ctx, s, args)
		if err != nil {
			return err
		}
		item, err := n.create(ctx, c, s, args[0], wanted)
		if err != nil {
			return err
		}
		return printItem(c, n.kind, item)
	})
	return c.noWaitFlag(cmd)
}

// changeCmd completes a command that edits the spec of the thing its first argument names, waits and prints it.
func (n noun[T, S]) changeCmd(c *cli, cmd *cobra.Command, edit func(spec *S) error) *cobra.Command {
	cmd.Args = takes(1, 1)
	cmd.ValidArgsFunction = n.complete(c)
	withoutDefaults(cmd)
	cmd.RunE = c.inCloud(func(ctx context.Context, s session, args []string) error {
		if err := anyGiven(cmd, n.word, args[0]); err != nil {
			return err
		}
		item, err := n.update(ctx, c, s, args[0], edit)
		if err != nil {
			return err
		}
		return printItem(c, n.kind, item)
	})
	return c.noWaitFlag(cmd)
}

// withoutDefaults takes the defaults out of the help of a change: what is not given stays as it is.
func withoutDefaults(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		f.DefValue = ""
		f.Usage, _, _ = strings.Cut(f.Usage, "; default: ")
	})
}

// anyGiven refuses a change without a flag that says what to change.
func anyGiven(cmd *cobra.Command, word, name string) error {
	given := false
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { given = given || f.Changed && f.Name != "no-wait" })
	if !given {
		return usagef("cannot change %s %q: give at least one flag that says what", word, name)
	}
	return nil
}

func (n noun[T, S]) deleteCmd(c *cli) *cobra.Command {
	return c.noWaitFlag(&cobra.Command{
		Use:               "delete NAME...",
		Aliases:           []string{"rm"},
		Short:             "Delete " + n.title + " for good, or several",
		Example:           lines("nuage "+n.word+" delete NAME", "nuage "+n.word+" delete ONE TWO --no-wait"),
		Args:              takes(1, -1),
		ValidArgsFunction: n.complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			var failed []error
			for _, name := range args {
				failed = append(failed, n.remove(ctx, c, s, name))
			}
			return errors.Join(failed...)
		}),
	})
}

func (n noun[T, S]) remove(ctx context.Context, c *cli, s session, name string) error {
	if err := n.of(s.cloud).Delete(ctx, s.project, name, 0); err != nil {
		return err
	}
	if !c.flags.noWait {
		if err := n.waitGone(ctx, c, s, name); err != nil {
			return err
		}
	}
	return c.removed(n.word, name)
}

// removed says that a thing was deleted.
func (c *cli) removed(word, name string) error {
	text := "deleted " + word + " " + name
	if c.flags.noWait {
		text = "deleting " + word + " " + name
	}
	return c.done(text, name)
}

// create makes a thing and waits until it is there.
func (n noun[T, S]) create(ctx context.Context, c *cli, s session, name string, spec S) (T, error) {
	item, err := n.of(s.cloud).Create(ctx, s.project, name, spec)
	if err != nil || c.flags.noWait {
		return item, err
	}
	return n.wait(ctx, c, s, name)
}

// updateTries is how often a change is tried again when somebody else changed the thing meanwhile.
const updateTries = 5

// update edits the spec of a thing and waits until the world has caught up.
func (n noun[T, S]) update(ctx context.Context, c *cli, s session, name string, edit func(*S) error) (T, error) {
	item, err := n.edit(ctx, s, name, edit)
	if err != nil || c.flags.noWait {
		return item, err
	}
	return n.wait(ctx, c, s, name)
}

func (n noun[T, S]) edit(ctx context.Context, s session, name string, edit func(*S) error) (item T, err error) {
	for range updateTries {
		if item, err = n.of(s.cloud).Get(ctx, s.project, name); err != nil {
			return item, err
		}
		spec := *n.spec(&item)
		if err = edit(&spec); err != nil {
			return item, err
		}
		item, err = n.of(s.cloud).Update(ctx, s.project, name, spec, n.head(&item).Generation)
		if !errors.Is(err, api.Conflict) {
			return item, err
		}
	}
	return item, err
}

// complete offers the names of the project's things to the shell.
func (n noun[T, S]) complete(c *cli) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		s, err := c.connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		list, err := n.of(s.cloud).List(cmd.Context(), s.project, api.Page{Limit: pageSize})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []string
		for i := range list.Items {
			names = append(names, n.head(&list.Items[i]).Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
