package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) apps() noun[api.App, api.AppSpec] {
	n := noun[api.App, api.AppSpec]{
		title: "an app",
		of:    func(cloud api.Cloud) api.Resource[api.App, api.AppSpec] { return cloud.Apps },
		head:  (*api.App).Head,
		state: func(a *api.App) *api.Status { return &a.Status.Status },
		spec:  func(a *api.App) *api.AppSpec { return &a.Spec },
	}
	n.word, n.name = "app", func(a *api.App) string { return a.Name }
	n.columns = n.common(c, c.appColumns()...)
	return n
}

func (c *cli) appColumns() []column[api.App] {
	return []column[api.App]{
		{head: "RELEASE", cell: releasesText},
		{head: "REPLICAS", cell: replicasText},
		{head: "URL", cell: func(a api.App) string { return a.Status.URL }},
		{head: "SIZE", cell: func(a api.App) string { return a.Spec.Size }, detail: true},
		{head: "IMAGE", cell: func(a api.App) string { return a.Spec.Image }, detail: true},
		{head: "SOURCE", cell: func(a api.App) string { return a.Spec.Source }, detail: true},
		{head: "HEALTH", cell: func(a api.App) string { return a.Spec.Health }, detail: true},
		{head: "DATABASE", cell: func(a api.App) string { return a.Spec.Database }, detail: true},
		{head: "AUTH", cell: func(a api.App) string { return authText(a.Spec.Auth) }, detail: true},
		{head: "CONFIG", cell: func(a api.App) string { return pairsText(settings(a.Spec)) }, detail: true},
		{head: "SCALING", cell: scalingText, detail: true},
		{head: "RESTARTS", cell: func(a api.App) string { return strconv.Itoa(a.Status.Restarts) }, detail: true},
		{head: "LAST FAILURE", cell: failureText, detail: true},
	}
}

func releaseText(n int) string {
	if n == 0 {
		return "none"
	}
	return "v" + strconv.Itoa(n)
}

// replicasText is how many of the replicas wanted run: 2/3.
func replicasText(a api.App) string {
	running, wanted := 0, 1 // of each release that serves
	for _, r := range a.Status.Replicas {
		if r.Phase == api.Running {
			running++
		}
	}
	if a.Spec.Replicas != nil {
		wanted = *a.Spec.Replicas
	}
	if a.Spec.Scaling != nil {
		wanted = a.Status.Desired
	}
	wanted *= max(1, len(a.Status.Shares))
	return fmt.Sprintf("%d/%d", running, wanted)
}

func failureText(a api.App) string {
	if a.Status.Failure == nil {
		return ""
	}
	return fmt.Sprintf("v%d, %s: %s", a.Status.Failure.Release, timeText(a.Status.Failure.At), a.Status.Failure.Reason)
}

func (c *cli) appCmd() *cobra.Command {
	n := c.apps()
	return group("app", "Programs the platform builds, runs, scales and heals",
		lines("nuage app deploy shop --source ./shop --database orders", "nuage app logs shop -f", "nuage app scale shop 3", "nuage app rollback shop"),
		c.appDeployCmd(), n.listCmd(c), n.showCmd(c),
		c.logsCmd("logs", "app", "apps", "Print what the replicas of an app print", n.complete(c)),
		c.appRestartCmd(), c.appOpenCmd(), n.deleteCmd(c), c.appScaleCmd(),
		c.appReleasesCmd(), c.appRollbackCmd(), c.appSplitCmd(), c.appPromoteCmd(), c.appConfigCmd(), c.appRunCmd())
}

func (c *cli) appRestartCmd() *cobra.Command {
	return c.appChangeCmd(&cobra.Command{
		Use: "restart NAME", Short: "Replace the replicas of an app, one after the other",
		Example: "nuage app restart shop",
		Args:    takes(1, 1),
	}, func(spec *api.AppSpec, _ []string) error {
		spec.Restart++
		return nil
	})
}

// appChangeCmd completes a command that edits an app's spec and waits. Its first argument is the app.
func (c *cli) appChangeCmd(cmd *cobra.Command, edit func(spec *api.AppSpec, args []string) error) *cobra.Command {
	n := c.apps()
	cmd.ValidArgsFunction = n.complete(c)
	cmd.RunE = c.inCloud(func(ctx context.Context, s session, args []string) error {
		a, err := n.edit(ctx, s, args[0], func(spec *api.AppSpec) error { return edit(spec, args) })
		if err != nil {
			return err
		}
		return c.finishDeploy(ctx, s, a)
	})
	return c.noWaitFlag(cmd)
}

func (c *cli) appOpenCmd() *cobra.Command {
	return &cobra.Command{
		Use: "open NAME", Short: "Print an app's address and open it in a browser",
		Long:              "Print an app's address; on a terminal, open it in a browser too, where there is one.",
		Example:           lines("nuage app open shop", "curl $(nuage app open shop)"),
		Args:              takes(1, 1),
		ValidArgsFunction: c.apps().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			a, err := s.cloud.Apps.Get(ctx, s.project, args[0])
			if err != nil {
				return err
			}
			if a.Status.URL == "" {
				return api.Errorf(api.Conflict, "cannot open app %q: it has no address yet (%s)", a.Name, phaseText(&a.Status.Status))
			}
			if isTerminal(c.out) {
				c.browse(a.Status.URL)
			}
			_, err = fmt.Fprintln(c.out, a.Status.URL)
			return err
		}),
	}
}

// browse starts a browser where there is one; where there is none, the printed address has to do.
func (c *cli) browse(url string) {
	opener := map[string]string{"darwin": "open"}[runtime.GOOS]
	if opener == "" {
		opener = "xdg-open"
	}
	if path, err := exec.LookPath(opener); err == nil {
		if err := exec.Command(path, url).Start(); err != nil {
			c.note("nuage: cannot start a browser: %v", err)
		}
	}
}

func (c *cli) releases() kind[api.Release] {
	return kind[api.Release]{
		word: "release",
		name: func(r *api.Release) string { return releaseText(r.Number) },
		columns: []column[api.Release]{
			{head: "RELEASE", cell: func(r api.Release) string { return releaseText(r.Number) }},
			{head: "STATE", cell: func(r api.Release) string { return r.State }},
			{head: "SHARE", cell: func(r api.Release) string { return percentCell(r.Share) }},
			{head: "IMAGE", cell: func(r api.Release) string { return shortImage(r.Image) }},
			{head: "SIZE", cell: func(r api.Release) string { return r.Spec.Size }},
			{head: "HEALTH", cell: func(r api.Release) string { return passes(r.Spec.Health) }},
			{head: "AGE", cell: func(r api.Release) string { return c.age(r.CreatedAt) }},
			{head: "BY", cell: func(r api.Release) string { return r.By }},
			{head: "REASON", cell: func(r api.Release) string { return r.Reason }},
		},
	}
}

// passes is what a release has to pass before it gets requests: a path, or accepting connections.
func passes(path string) string {
	if path == "" {
		return "tcp"
	}
	return path
}

// shortImage cuts a content id to what people compare.
func shortImage(id string) string {
	if hex, ok := strings.CutPrefix(id, "sha256:"); ok && len(hex) > 12 {
		return hex[:12]
	}
	return id
}

func (c *cli) appReleasesCmd() *cobra.Command {
	return &cobra.Command{
		Use: "releases NAME", Short: "List the releases of an app, newest first",
		Example:           "nuage app releases shop",
		Args:              takes(1, 1),
		ValidArgsFunction: c.apps().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			list, err := s.cloud.Apps.Releases(ctx, s.project, args[0])
			if err != nil {
				return err
			}
			return printList(c, c.releases(), list)
		}),
	}
}

func (c *cli) appRollbackCmd() *cobra.Command {
	var to string
	cmd := c.noWaitFlag(&cobra.Command{
		Use: "rollback NAME", Short: "Deploy an earlier release of an app again",
		Long:              "Deploy the image and the settings of an earlier release again, as a new release. Releases that never served are skipped.",
		Example:           lines("nuage app rollback shop", "nuage app rollback shop --to v3"),
		Args:              takes(1, 1),
		ValidArgsFunction: c.apps().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			number, err := releaseNumber(to)
			if err != nil {
				return err
			}
			a, err := s.cloud.Apps.Rollback(ctx, s.project, args[0], number)
			if err != nil {
				return err
			}
			return c.finishDeploy(ctx, s, a)
		}),
	})
	cmd.Flags().StringVar(&to, "to", "", "number of the release, as 3 or v3; default: the newest that served before this one")
	return cmd
}

func releaseNumber(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(text, "v"))
	if err != nil || n < 1 {
		return 0, usagef("cannot use --to %q: give the number of a release, as 3 or v3", text)
	}
	return n, nil
}

func (c *cli) appRunCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "run NAME -- CMD...",
		Short: "Run a command in a fresh container of an app's release",
		Long: "Run a command in a fresh container of the release that serves, with the app's settings: a migration, a shell.\n" +
			"Several words keep their boundaries, one word is a shell line. The exit status is the command's.",
		Example:           lines("nuage app run shop -- python migrate.py", `nuage app run shop -- "env | sort"`),
		Args:              takes(2, -1),
		ValidArgsFunction: c.apps().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			return c.exec(ctx, s, "apps", args[0], api.Command{Words: args[1:]})
		}),
	}
}
