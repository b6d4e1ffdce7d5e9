package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) appPromoteCmd() *cobra.Command {
	var to string
	cmd := c.noWaitFlag(&cobra.Command{
		Use: "promote NAME --to PROJECT", Short: "Release the image that serves in another project",
		Long: "Release the very image that serves an app as the app of that name in another project: a stage, as staging or production,\n" +
			"is a project. Port and health path come with the image; settings, secrets, database, auth pool and scale are the other\n" +
			"project's own. An app that is not there yet is made with defaults, and what it lacks is printed. It is a deploy like any\n" +
			"other: when it fails, what served there goes on serving. Nothing is built.",
		Example:           lines("nuage app promote shop --to production", "nuage app promote shop --to production && nuage app show shop --project production"),
		Args:              takes(1, 1),
		ValidArgsFunction: c.apps().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			p, err := s.cloud.Apps.Promote(ctx, s.project, args[0], to)
			if err != nil {
				return err
			}
			c.sayMissing(s.project, p)
			s.project = to
			return c.finishDeploy(ctx, s, p.App)
		}),
	})
	cmd.Flags().StringVar(&to, "to", "", "the other project")
	if err := cmd.MarkFlagRequired("to"); err != nil {
		panic(err) // the flag is declared in the line above
	}
	return cmd
}

// sayMissing names what an app had before its promotion and has not any more.
func (c *cli) sayMissing(from string, p api.Promotion) {
	if len(p.Missing) > 0 {
		c.note("app %q of project %q lacks what it has in project %q: %s", p.App.Name, p.App.Project, from, strings.Join(p.Missing, ", "))
	}
}
