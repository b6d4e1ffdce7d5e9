package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) projects() kind[api.Project] {
	return kind[api.Project]{
		word: "project",
		name: func(p *api.Project) string { return p.Name },
		columns: slices.Concat([]column[api.Project]{
			{head: "NAME", cell: func(p api.Project) string { return p.Name }},
			{head: "PHASE", cell: func(p api.Project) string { return string(p.Status.Phase) }},
			{head: "NETWORK", cell: func(p api.Project) string { return p.Status.CIDR }},
		}, quotaColumns(), []column[api.Project]{
			{head: "AGE", cell: func(p api.Project) string { return c.age(p.CreatedAt) }},
			{head: "DESCRIPTION", cell: func(p api.Project) string { return p.Spec.Description }},
			{head: "REASON", cell: func(p api.Project) string { return p.Status.Reason }, detail: true},
			{head: "ID", cell: func(p api.Project) string { return p.ID }, detail: true},
			{head: "CREATED", cell: func(p api.Project) string { return timeText(p.CreatedAt) }, detail: true},
		}),
	}
}

func (c *cli) projectCmd() *cobra.Command {
	return group("project", "Projects keep things, networks and bills apart",
		lines("nuage project create shop", "nuage project use shop", "nuage project list"),
		c.projectCreateCmd(), c.projectListCmd(), c.projectShowCmd(), c.projectUpdateCmd(), c.projectUseCmd(), c.projectDeleteCmd())
}

func (c *cli) projectCreateCmd() *cobra.Command {
	var flags projectFlags
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Make a project with a network of its own",
		Example: lines(`nuage project create shop --description "the web shop"`, "nuage project create lab --instances 4 --memory 4GiB"),
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			var spec api.ProjectSpec
			flags.apply(&spec, func(string) bool { return true })
			p, err := s.cloud.Projects.Create(ctx, args[0], spec)
			if err != nil {
				return err
			}
			return printItem(c, c.projects(), p)
		}),
	}
	flags.declare(cmd)
	return cmd
}

func (c *cli) projectListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the projects you may see",
		Example: "nuage project list",
		Args:    takes(0, 0),
		RunE: c.inCloud(func(ctx context.Context, s session, _ []string) error {
			list, err := all(func(p api.Page) (api.List[api.Project], error) { return s.cloud.Projects.List(ctx, p) })
			if err != nil {
				return err
			}
			return printList(c, c.projects(), list)
		}),
	}
}

func (c *cli) projectShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show [NAME]", Short: "Show a project in full; without NAME the one you work in",
		Example:           lines("nuage project show", "nuage project show shop -o json"),
		Args:              takes(0, 1),
		ValidArgsFunction: c.completeProjects,
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			name := s.project
			if len(args) > 0 {
				name = args[0]
			}
			p, err := s.cloud.Projects.Get(ctx, name)
			if err != nil {
				return err
			}
			return printDetail(c, c.projects(), p)
		}),
	}
}

func (c *cli) projectUseCmd() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Work in a project from now on",
		Long:              "Work in a project from now on: it is noted in the home's config.json. NUAGE_PROJECT and --project go before it.",
		Example:           "nuage project use shop",
		Args:              takes(1, 1),
		ValidArgsFunction: c.completeProjects,
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if _, err := s.cloud.Projects.Get(ctx, args[0]); err != nil {
				return err
			}
			if err := c.useProject(args[0]); err != nil {
				return err
			}
			if other := c.env["NUAGE_PROJECT"]; other != "" && other != args[0] {
				c.note("nuage: NUAGE_PROJECT=%s is set and goes before it", other)
			}
			return c.done("using project "+args[0], args[0])
		}),
	}
}

func (c *cli) useProject(name string) error {
	home, err := c.ensureHome()
	if err != nil {
		return err
	}
	conf, err := loadConfig(home)
	if err != nil {
		return err
	}
	conf.Project = name
	return saveConfig(home, conf)
}

func (c *cli) projectDeleteCmd() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Delete an empty project",
		Example:           "nuage project delete shop",
		Args:              takes(1, 1),
		ValidArgsFunction: c.completeProjects,
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if err := s.cloud.Projects.Delete(ctx, args[0]); err != nil {
				return err
			}
			return c.done("deleted project "+args[0], args[0])
		}),
	}
}
