package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) advisoryCmd() *cobra.Command {
	return group("advisory", "Vulnerable packages: plant one, and see who patches it",
		lines("nuage advisory list", "nuage advisory plant NUAGE-2026-1 vm shop", "nuage advisory status"),
		c.advisoryListCmd(), c.advisoryPlantCmd(), c.advisoryStatusCmd())
}

func (c *cli) advisoryListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the advisories of the feed",
		Long:    "List the advisories. Their packages are made up and harmless: a file with a version in it.",
		Example: lines("nuage advisory list"), Args: takes(0, 0),
		RunE: c.inCloud(func(ctx context.Context, s session, _ []string) error {
			list, err := s.cloud.Advisories.Feed(ctx)
			if err != nil {
				return err
			}
			return printList(c, advisories(), list)
		}),
	}
}

func advisories() kind[api.Advisory] {
	text := func(head string, cell func(api.Advisory) string) column[api.Advisory] {
		return column[api.Advisory]{head: head, cell: cell}
	}
	return kind[api.Advisory]{
		word: "advisory", name: func(a *api.Advisory) string { return a.ID },
		columns: []column[api.Advisory]{
			text("ADVISORY", func(a api.Advisory) string { return a.ID }), text("SEVERITY", func(a api.Advisory) string { return a.Severity }),
			text("PACKAGE", func(a api.Advisory) string { return a.Package }), text("AFFECTED", func(a api.Advisory) string { return a.Affected }),
			text("FIXED", func(a api.Advisory) string { return a.Fixed }), text("FILE", func(a api.Advisory) string { return a.File }),
			text("TITLE", func(a api.Advisory) string { return a.Title }),
		},
	}
}

func (c *cli) advisoryPlantCmd() *cobra.Command {
	return &cobra.Command{
		Use: "plant ADVISORY NAME...", Short: "Put a vulnerable package into running instances, apps and databases",
		Long: "Put the vulnerable package of an advisory into the containers of instances, apps and databases, as if their image had come with\n" +
			"it. Then watch nuage advisory status: an instance stays vulnerable until its owner removes or upgrades the package inside\n" +
			"(write the fixed version to its file, or delete it); an app gets another image and a release from the platform, without\n" +
			"downtime; a database's server is made anew on its data. nuage compare shows who patched, and when.",
		Example: lines("nuage advisory plant NUAGE-2026-1 vm shop notes", "nuage advisory plant NUAGE-2026-1 instance/web app/web",
			"nuage ssh vm -- rm -r /usr/local/lib/libgrumble"),
		Args: takes(2, -1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			list, err := s.cloud.Advisories.Plant(ctx, s.project, api.Planting{Advisory: args[0], Subjects: args[1:]})
			if err != nil {
				return err
			}
			return printList(c, c.findings(), list)
		}),
	}
}

func (c *cli) advisoryStatusCmd() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "List what is vulnerable, and who patched what",
		Long:    "List each package that was planted: still vulnerable, or patched, by whom and after how long.",
		Example: lines("nuage advisory status", "nuage advisory status -o json"), Args: takes(0, 0),
		RunE: c.inCloud(func(ctx context.Context, s session, _ []string) error {
			list, err := s.cloud.Advisories.Findings(ctx, s.project)
			if err != nil {
				return err
			}
			return printList(c, c.findings(), list)
		}),
	}
}

func (c *cli) findings() kind[api.Finding] {
	text := func(head string, cell func(api.Finding) string) column[api.Finding] {
		return column[api.Finding]{head: head, cell: cell}
	}
	return kind[api.Finding]{
		word: "finding", name: func(f *api.Finding) string { return f.Noun + "/" + f.Resource },
		columns: []column[api.Finding]{
			text("ADVISORY", func(f api.Finding) string { return f.Advisory }), text("RESOURCE", func(f api.Finding) string { return f.Noun + "/" + f.Resource }),
			text("MODEL", func(f api.Finding) string { return f.Model }), text("STATE", func(f api.Finding) string { return f.State }),
			text("BY", func(f api.Finding) string { return string(f.By) }), text("AFTER", func(f api.Finding) string { return c.openFor(f) }),
			text("REASON", func(f api.Finding) string { return f.Reason }),
		},
	}
}

// openFor is how long something was, or has been, vulnerable.
func (c *cli) openFor(f api.Finding) string {
	end := c.now()
	if f.PatchedAt != nil {
		end = *f.PatchedAt
	}
	return end.Sub(f.PlantedAt).Round(time.Second).String()
}
