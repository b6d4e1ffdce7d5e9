package main

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

// appFlags are what app deploy can be told. Only what was given changes an app that exists.
type appFlags struct {
	image, source  string
	port, replicas int
	size, health   string
	database       string
	env            pairs
	auth           string
	callbacks      []string
	deadline       span
	canary         percent
	sticky         bool
	body           size
	rate           int
	answer         span
	idle, sockets  span
}

func (c *cli) appDeployCmd() *cobra.Command {
	flags := appFlags{env: pairs{}}
	cmd := c.noWaitFlag(&cobra.Command{
		Use:   "deploy NAME (--image REF | --source DIR)",
		Short: "Deploy an app: build it, start it, and switch over when it answers",
		Long: "Deploy an app. A folder is uploaded (without .git and what .dockerignore names) and built on the platform: by its\n" +
			"Dockerfile, or as what it looks like: Go (go.mod), Python (requirements.txt, pyproject.toml, app.py, main.py), Node.js\n" +
			"(package.json) or static files (index.html). A Procfile says how to start it (web: COMMAND), and what is to run once before\n" +
			"a release gets requests (release: COMMAND). The log of the build is printed as it comes. The command answers when the new\n" +
			"release serves and the old one is drained. When that fails, the old release goes on serving, and the cause and the last log lines are printed.\n" +
			"An app that exists keeps what is not given; --env adds to its settings.",
		Example: lines("nuage app deploy shop --source ./shop", "nuage app deploy shop --source ./shop --database orders --env MODE=production --scale 2",
			"nuage app deploy web --image nuage/python:1 --port 8000 --health /ready",
			"nuage app deploy shop --source ./shop --canary 10%"),
		Args: takes(1, 1),
	})
	cmd.RunE = c.inCloud(func(ctx context.Context, s session, args []string) error {
		return c.deployApp(ctx, s, args[0], flags, cmd.Flags().Changed)
	})
	flags.declare(cmd)
	return cmd
}

func (a *appFlags) declare(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.image, "image", "", "image to run; default: build --source")
	f.StringVar(&a.source, "source", "", "folder to build; default: run --image")
	f.IntVar(&a.port, "port", 8080, "where the program listens; it is told in PORT")
	a.size = "micro"
	f.Var(optional(&a.size, sizeNames()...), "size", "nano, micro, small, medium or large, for each replica")
	f.IntVar(&a.replicas, "scale", 1, "number of replicas")
	f.StringVar(&a.health, "health", "", "path that answers 2xx or 3xx when the app is ready; default: accepting connections is enough")
	f.Var(a.env, "env", "a NAME=VALUE in the app's environment, repeatable; default: none")
	f.StringVar(&a.database, "database", "", "database the app gets as DATABASE_URL; default: none")
	f.StringVar(&a.auth, "auth", "", "auth POOL the app gets as OIDC_ISSUER and so on; with POOL:required the edge lets only signed-in users through; default: none")
	f.StringArrayVar(&a.callbacks, "auth-callback", nil, "path that a sign-in may come back to, repeatable; default: /callback and other usual ones")
	a.deadline = span(90 * time.Second)
	f.Var(&a.deadline, "deadline", "how long the new release may take until it answers, 1s to 1h")
	f.Var(&a.canary, "canary", "part of the requests that the new release gets, as 10%; the one before keeps the others until app split or the next deploy; default: all")
	f.Var(&a.body, "max-body", "most bytes of a request's body, as 10MiB; others are refused with 413; default: no limit")
	f.IntVar(&a.rate, "max-rate", 0, "most requests per second; others are refused with 429; 0: no limit")
	a.answer = span(time.Minute)
	f.Var(&a.answer, "answer-within", "how long the app may take until its answer begins, 1s to 60s; then it is a 504")
	f.Var(&a.idle, "idle-timeout", "how long a body, an answer or a WebSocket may rest without a byte either way, 1s to 1h; then it is a 408, or cut off; default: no limit")
	a.sockets = span(10 * time.Second)
	f.Var(&a.sockets, "socket-grace", "how long WebSockets stay open with a release that is followed by another, 1s to 30s; then they are closed (1001)")
	f.BoolVar(&a.sticky, "sticky", false, "while requests are split, a client stays with the release that answered it first, by a cookie")
	cmd.MarkFlagsMutuallyExclusive("image", "source")
}

func (c *cli) deployApp(ctx context.Context, s session, name string, flags appFlags, given func(string) bool) error {
	if err := api.CheckName("app", name); err != nil {
		return err
	}
	if err := checkAuthFlag(flags.auth); err != nil {
		return err
	}
	found, err := s.cloud.Apps.Get(ctx, s.project, name)
	isNew := errors.Is(err, api.NotFound)
	if err != nil && !isNew {
		return err
	}
	if isNew && flags.image == "" && flags.source == "" {
		return usagef("cannot deploy app %q: it is new, so give --source DIR or --image REF", name)
	}
	if flags.source != "" {
		if flags.source, err = c.uploadSource(ctx, s, flags.source, ""); err != nil {
			return err
		}
	}
	n := c.apps()
	if isNew {
		flags.apply(&found.Spec, given)
		found, err = s.cloud.Apps.Create(ctx, s.project, name, found.Spec)
	} else {
		found, err = n.edit(ctx, s, name, func(spec *api.AppSpec) error {
			flags.apply(spec, given)
			return nil
		})
	}
	if err != nil {
		return err
	}
	return c.finishDeploy(ctx, s, found)
}

// apply puts what was given into the spec.
func (a appFlags) apply(spec *api.AppSpec, given func(string) bool) {
	if a.image != "" || a.source != "" {
		spec.Image, spec.Source = a.image, a.source
	}
	if given("port") {
		spec.Port = a.port
	}
	if given("size") {
		spec.Size = a.size
	}
	if given("scale") {
		spec.Replicas = &a.replicas
	}
	if given("health") {
		spec.Health = a.health
	}
	if given("database") {
		spec.Database = a.database
	}
	if given("auth") {
		spec.Auth = authOf(a.auth, spec.Auth)
	}
	if given("auth-callback") {
		spec.Auth.Callbacks = a.callbacks
	}
	if given("deadline") {
		spec.DeadlineSeconds = a.deadline.seconds()
	}
	if given("max-body") {
		spec.Limits.BodyBytes = int64(a.body)
	}
	if given("max-rate") {
		spec.Limits.RPS = a.rate
	}
	if given("answer-within") {
		spec.Limits.AnswerSeconds = a.answer.seconds()
	}
	if given("idle-timeout") {
		spec.Limits.IdleSeconds = a.idle.seconds()
	}
	if given("socket-grace") {
		spec.Limits.SocketSeconds = a.sockets.seconds()
	}
	if given("sticky") {
		spec.Sticky = a.sticky
	}
	spec.Canary = int(a.canary)
	spec.Env = a.env.into(maps.Clone(spec.Env))
}

// finishDeploy waits for a change of an app to serve, and says why it does not.
func (c *cli) finishDeploy(ctx context.Context, s session, a api.App) (err error) {
	n := c.apps()
	if c.flags.noWait {
		return printItem(c, n.kind, a)
	}
	seen, err := c.followBuild(ctx, s, a)
	if err != nil {
		return err
	}
	if a, err = n.settle(ctx, c, s, a.Name); err != nil {
		return err
	}
	if f := a.Status.Failure; f != nil && f.Release > a.Status.Release {
		c.failureLog(f, seen)
		return api.Errorf(api.Unavailable, "cannot deploy app %q: release %s failed: %s%s", a.Name, releaseText(f.Release), f.Reason, serving(a))
	}
	if a.Status.Phase == api.Failed {
		return api.Errorf(api.Unavailable, "cannot get app %q going: %s; see nuage app logs %s", a.Name, reason(&a.Status.Status), a.Name)
	}
	return printItem(c, n.kind, a)
}

func serving(a api.App) string {
	if a.Status.Release == 0 {
		return ""
	}
	return "; release " + releaseText(a.Status.Release) + " goes on serving"
}
