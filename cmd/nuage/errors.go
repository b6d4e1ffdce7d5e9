package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"

	"nuage/api"
)

// exitStatus ends the program with a status and says nothing: what had to be said was said.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usageError is a command line that can't be understood.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// isUsage reports whether err is about the command line: all that fails before a command's own code is.
func (c *cli) isUsage(err error) bool {
	var u usageError
	return errors.As(err, &u) || !c.started
}

// explain prints an error for people.
func (c *cli) explain(err error) {
	var status exitStatus
	if errors.As(err, &status) {
		return
	}
	text := err.Error()
	if errors.Is(err, context.Canceled) {
		text = "interrupted; what the cloud was asked to do goes on, see nuage status"
	}
	if c.isUsage(err) {
		text = c.usageText(text)
	}
	name := lipgloss.NewStyle().Foreground(lipgloss.Red).Bold(true).Render("nuage:")
	fmt.Fprintln(c.painted(c.err), name, text)
}

func (c *cli) usageText(text string) string {
	if !strings.HasPrefix(text, "cannot ") {
		text = "cannot understand the command line: " + text
	}
	return text + "; see " + c.path + " --help"
}

// takes accepts min to max arguments; max -1 sets no limit. The message shows the command's usage.
func takes(min, max int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < min:
			return usagef("cannot run %q: an argument is missing: %s", cmd.CommandPath(), usageLine(cmd))
		case max >= 0 && len(args) > max:
			return usagef("cannot run %q: %q is one argument too many: %s", cmd.CommandPath(), args[max], usageLine(cmd))
		}
		return nil
	}
}

func usageLine(cmd *cobra.Command) string {
	return strings.TrimSuffix(cmd.UseLine(), " [flags]")
}

// interrupted tells a user who pressed Ctrl-C during a wait that the cloud carries on.
func interrupted(ctx context.Context, what, look string) error {
	if ctx.Err() == nil {
		return nil
	}
	return api.Errorf(api.Unavailable, "cannot wait for %s any longer: interrupted; the work goes on, see %s", what, look)
}
