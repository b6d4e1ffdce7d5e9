package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The headings of the help.
const (
	groupCloud = "cloud"
	groupIaaS  = "iaas"
	groupPaaS  = "paas"
	groupFaaS  = "faas"
	groupMoney = "money"
)

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "nuage",
		Short: "A whole small cloud on a laptop",
		Long: "nuage is a whole small cloud on a laptop, to learn with. It sells the three service models side by side:\n" +
			"instances (IaaS), apps with managed databases (PaaS) and functions billed per call (FaaS).\n" +
			"It meters everything and records who did each piece of work, you or the platform.",
		Example: lines(
			"# start the cloud in the background, then look at it",
			"nuage up --detach",
			"nuage status",
			"# the same program three ways",
			"nuage instance create vm",
			"nuage app deploy shop --source ./shop",
			"nuage function deploy hello --runtime python --source ./hello",
			"# who did the work, and what it costs",
			"nuage compare",
			"nuage bill",
		),
		Args: noVerb,
		RunE: showHelp,
	}
	addGroups(root)
	c.globalFlags(root)
	c.addCommands(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		c.path = cmd.CommandPath()
		return usagef("cannot run %q: %s", c.path, err)
	})
	addCompletion(root)
	c.mark(root)
	return root
}

// addCompletion makes cobra's completion command refuse a shell it does not know.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	if cmd, _, err := root.Find([]string{"completion"}); err == nil && cmd != root {
		cmd.Args, cmd.RunE = noVerb, showHelp
	}
}

func addGroups(root *cobra.Command) {
	root.AddGroup(
		&cobra.Group{ID: groupCloud, Title: "the cloud itself"},
		&cobra.Group{ID: groupIaaS, Title: "instances (IaaS): machines you look after"},
		&cobra.Group{ID: groupPaaS, Title: "apps and databases (PaaS): the platform looks after them"},
		&cobra.Group{ID: groupFaaS, Title: "functions (FaaS): code that runs when called"},
		&cobra.Group{ID: groupMoney, Title: "the bill, the comparison, the labs"},
	)
	root.SetHelpCommandGroupID(groupCloud)
	root.SetCompletionCommandGroupID(groupCloud)
}

func (c *cli) globalFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&c.flags.home, "home", "", "folder of the cloud's state and settings; default: $NUAGE_HOME, else ~/.nuage")
	f.StringVar(&c.flags.url, "url", "", "address of the cloud; default: $NUAGE_URL, else config.json")
	f.StringVar(&c.flags.token, "token", "", "bearer token; default: $NUAGE_TOKEN, else config.json")
	f.StringVarP(&c.flags.project, "project", "p", "", "project to work in; default: $NUAGE_PROJECT, else config.json")
	f.VarP(newChoice(&c.flags.output, "table", "json", "yaml", "name", "csv", "focus", "html"), "output", "o",
		"how to print: table, json, yaml or name; csv or focus (FOCUS 1.2) for bills, html for comparisons")
}

func (c *cli) addCommands(root *cobra.Command) {
	add := func(group string, commands ...*cobra.Command) {
		for _, cmd := range commands {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	add(groupCloud, c.upCmd(), c.downCmd(), c.resetCmd(), c.statusCmd(), c.doctorCmd(), c.backupCmd(), c.restoreCmd(),
		c.versionCmd(), c.projectCmd(), c.userCmd(), c.tokenCmd(), c.activityCmd())
	add(groupIaaS, c.instanceCmd(), c.sshCmd(), c.imageCmd(), c.keyCmd(), c.volumeCmd(), c.snapshotCmd(), c.networkCmd(), c.securityGroupCmd(),
		c.loadBalancerCmd(), c.instanceGroupCmd())
	add(groupPaaS, c.appCmd(), c.databaseCmd(), c.authCmd())
	add(groupFaaS, c.functionCmd(), c.triggerCmd(), c.queueCmd(), c.topicCmd())
	add(groupMoney, c.billCmd(), c.pricesCmd(), c.budgetCmd(), c.clockCmd(), c.compareCmd(), c.advisoryCmd(), c.labCmd())
}

// mark makes every command note that its own code has begun, so that what fails before is known as wrong usage. An
// error is noted too and not returned: fang would ask the terminal for its colours before it lets anybody print it.
func (c *cli) mark(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		c.mark(sub)
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if choice, ok := f.Value.(*choice); ok {
			offer(cmd, f.Name, words(choice.allowed))
		}
	})
	if args := cmd.Args; args != nil {
		cmd.Args = func(cmd *cobra.Command, words []string) error {
			c.path = cmd.CommandPath()
			return args(cmd, words)
		}
	}
	if body := cmd.RunE; body != nil {
		cmd.RunE = func(cmd *cobra.Command, words []string) error {
			c.path, c.started = cmd.CommandPath(), true
			c.failure = body(cmd, words)
			return nil
		}
	}
}

// group makes a noun's command, which only holds verbs.
func group(use, short, example string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example,
		Args: noVerb,
		RunE: showHelp,
	}
	cmd.AddCommand(verbs...)
	return cmd
}

// noVerb refuses a word that is no verb of a command that only holds verbs.
func noVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	near := ""
	if words := cmd.SuggestionsFor(args[0]); len(words) > 0 {
		near = ", but " + strings.Join(words, " and ")
	}
	return usagef("cannot run %q: there is no %q%s", cmd.CommandPath()+" "+args[0], args[0], near)
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// lines joins the lines of a help text.
func lines(text ...string) string { return strings.Join(text, "\n") }
