package main

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show the cloud at a glance: engine, addresses, counts, spend, what is unhealthy",
		Example: lines("nuage status", "nuage status -o json"),
		Args:    takes(0, 0),
		RunE: c.inCloud(func(ctx context.Context, s session, _ []string) error {
			status, err := s.cloud.System.Status(ctx)
			if err != nil {
				return err
			}
			if done, err := c.encode(status); done {
				return err
			}
			return c.printStatus(status, s.project)
		}),
	}
}

func (c *cli) printStatus(s api.CloudStatus, project string) error {
	rows := [][]string{{"engine", engineText(s)}, {"api", "http://" + s.API}}
	rows = append(append(rows, c.edgeRows(s)...), [][]string{{"ready", yesNo(s.Ready)}, {"up", c.age(s.StartedAt)}, {"version", s.Version}, {"cloud", s.CloudID}, {"project", project},
		{"things", countsText(s.Counts)}, {"spend", amount(s.Spend, 6) + " this month"}}...)
	if s.Clock.Speed > 1 || s.Clock.AheadSeconds > 0 {
		rows = append(rows, []string{"billing clock", timeText(s.Clock.Now) + ", " + clockText(s.Clock)})
	}
	if s.EngineNote != "" {
		rows = slices.Insert(rows, 1, []string{"", s.EngineNote})
	}
	if err := c.printTable(nil, rows); err != nil {
		return err
	}
	if len(s.Unhealthy) == 0 {
		_, err := fmt.Fprintln(c.out, "nothing is unhealthy")
		return err
	}
	var sick [][]string
	for _, u := range s.Unhealthy {
		sick = append(sick, []string{u.Noun + "/" + u.Name, u.Project, string(u.Phase), u.Reason})
	}
	return c.printTable([]string{"UNHEALTHY", "PROJECT", "PHASE", "REASON"}, sick)
}

// engineText says in a word more that nothing really runs.
func engineText(s api.CloudStatus) string {
	if firstWord(s.Engine) == "sim" {
		return s.Engine + " (simulated: only wasm functions really run)"
	}
	return s.Engine
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// countsText is "2 apps, 1 instance" in the order of the nouns. The cloud counts by noun, in the plural or not.
func countsText(counts map[string]int) string {
	var words []string
	for _, noun := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[noun]; n > 0 {
			words = append(words, plural(n, strings.TrimSuffix(noun, "s")))
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func (c *cli) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: lines("nuage version", "nuage version -o json"),
		Args:    takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if done, err := c.encode(map[string]string{"version": version()}); done {
				return err
			}
			_, err := fmt.Fprintln(c.out, "nuage "+version())
			return err
		},
	}
}

// buildVersion is set by the linker (-X main.buildVersion=...) and by nothing else.
var buildVersion string

// version is the linker's, else what the Go toolchain noted about the source this program was built from.
func version() string {
	if buildVersion != "" {
		return buildVersion
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) > 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
