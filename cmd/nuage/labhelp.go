package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
	"nuage/controlplane/labs"
)

func (c *cli) labHintCmd() *cobra.Command {
	return &cobra.Command{
		Use: "hint [LAB] [TASK]", Short: "Help with a task: what is missing, and what to do",
		Long:              "Look at the task, say what is missing from what you actually have, then what to do. Hints are counted in nuage lab status.",
		Example:           lines("nuage lab hint", "nuage lab hint first-function deploy"),
		Args:              takes(0, 2),
		ValidArgsFunction: c.completeLabs,
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			name, rest, err := c.labArgs(ctx, s, args, 2)
			if err != nil {
				return err
			}
			hint, err := s.cloud.Labs.Hint(ctx, name, strings.Join(rest, ""))
			if err != nil {
				return err
			}
			if hint.Message, err = c.missing(ctx, s, name, hint.Task); err != nil {
				return err
			}
			if done, err := c.encode(hint); done {
				return err
			}
			text := hint.Task + ": "
			if hint.Message != "" {
				text += hint.Message + "\n"
			}
			return c.printText(text + hint.Hint + "\n")
		}),
	}
}

// missing is what a check finds missing of a task now.
func (c *cli) missing(ctx context.Context, s session, name, task string) (string, error) {
	lab, err := s.cloud.Labs.Get(ctx, name, "")
	if err != nil {
		return "", err
	}
	checked, err := c.checkLab(ctx, s, lab, api.LabCheck{Task: task})
	if err != nil || len(checked.Results) == 0 {
		return "", err
	}
	if checked.Results[0].OK {
		return "this is done; nuage lab check notes it.", nil
	}
	return checked.Results[0].Message, nil
}

func (c *cli) labSolveCmd() *cobra.Command {
	var run bool
	cmd := &cobra.Command{
		Use: "solve [LAB] [TASK]", Short: "Show how a task is done; with --run do it",
		Long:              "Show the solution of a task, or the answer of a question. That is noted in nuage lab status.",
		Example:           lines("nuage lab solve", "nuage lab solve first-function deploy --run"),
		Args:              takes(0, 2),
		ValidArgsFunction: c.completeLabs,
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			name, rest, err := c.labArgs(ctx, s, args, 2)
			if err != nil {
				return err
			}
			solution, err := s.cloud.Labs.Solve(ctx, name, strings.Join(rest, ""))
			if err != nil {
				return err
			}
			if done, err := c.encode(solution); done && !run {
				return err
			}
			if !run {
				return c.printText(solutionText(solution))
			}
			return c.runSolution(ctx, s, name, solution)
		}),
	}
	cmd.Flags().BoolVar(&run, "run", false, "run the solution on this computer; default: print it")
	return cmd
}

func solutionText(s api.LabSolution) string {
	if s.Shell == "" {
		return s.Task + ": " + s.Answer + "\n"
	}
	return "# " + s.Task + "\n" + s.Shell
}

// runSolution runs the script of a solution.
func (c *cli) runSolution(ctx context.Context, s session, name string, solution api.LabSolution) error {
	if solution.Shell == "" {
		return c.checkAndTell(ctx, s, name, api.LabCheck{Task: solution.Task, Answer: solution.Answer})
	}
	lab, err := s.cloud.Labs.Get(ctx, name, "")
	if err != nil {
		return err
	}
	exit, err := c.labScript(ctx, lab, lab.Run.Project, solution.Shell, solution.Env, c.err)
	if err == nil && exit != 0 {
		err = exitStatus(exit)
	}
	return err
}

func (c *cli) labMoveCmd(change api.LabChange, short string) *cobra.Command {
	return &cobra.Command{
		Use: string(change) + " [LAB]", Short: short,
		Example:           "nuage lab " + string(change) + " first-instance",
		Args:              takes(0, 1),
		ValidArgsFunction: c.completeLabs,
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			name, _, err := c.labArgs(ctx, s, args, 1)
			if err != nil {
				return err
			}
			run, err := s.cloud.Labs.Change(ctx, name, change)
			if err != nil {
				return err
			}
			if change == api.LabResume {
				err = c.useProject(run.Project)
			} else {
				err = c.leaveProject(run.Project)
			}
			return errors.Join(err, printItem(c, c.labRuns(), run))
		}),
	}
}

// leaveProject goes back to the cloud's first project where this one is in use.
func (c *cli) leaveProject(name string) error {
	conf, err := c.settings()
	if err != nil || conf.Project != name {
		return err
	}
	return c.useProject("default")
}

func (c *cli) labResetCmd() *cobra.Command {
	cmd := c.labMoveCmd(api.LabReset, "Delete all a lab has made, its project and your progress too")
	cmd.RunE = c.inCloud(func(ctx context.Context, s session, args []string) error {
		name, _, err := c.labArgs(ctx, s, args, 1)
		if err != nil {
			return err
		}
		if err := c.resetLab(ctx, s, name); err != nil {
			return err
		}
		return c.done("reset lab "+name+"; nuage lab start "+name+" begins anew", name)
	})
	return c.noWaitFlag(cmd)
}

// resetLab resets a lab, and waits until all of it is gone.
func (c *cli) resetLab(ctx context.Context, s session, name string) error {
	run, err := s.cloud.Labs.Change(ctx, name, api.LabReset)
	if err != nil {
		return err
	}
	if err := c.leaveProject(run.Project); err != nil || c.flags.noWait {
		return err
	}
	t := c.progress("lab " + name)
	defer t.stop()
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		lab, err := s.cloud.Labs.Get(ctx, name, "")
		if err != nil || lab.Run == nil || lab.Run.Project != run.Project {
			return err
		}
		t.show("removing project " + run.Project + " " + lab.Run.Reason)
		select {
		case <-ctx.Done():
			return interrupted(ctx, "the reset of lab "+name, "nuage lab status")
		case <-tick.C:
		}
	}
}

func (c *cli) labLintCmd() *cobra.Command {
	return &cobra.Command{
		Use: "lint [FOLDER]", Short: "Find what is wrong with the labs of a folder; exit status 1 where something is",
		Long: "Read all labs of a folder (NAME.en.md, NAME.fr.md) and say what is wrong: fields, checks, tasks that differ between languages, missing\n" +
			"translations. Without FOLDER, the labs that come with the cloud. nuage lab test then runs one against a cloud.",
		Example: lines("nuage lab lint ./my-labs", "nuage lab lint"),
		Args:    takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			folder := labs.Shipped()
			if len(args) > 0 {
				folder = os.DirFS(args[0])
			}
			found, err := labs.Lint(folder)
			if err != nil {
				return err
			}
			return c.printLabFindings(found)
		},
	}
}

func (c *cli) printLabFindings(found []labs.Finding) error {
	bad := false
	var rows [][]string
	for _, f := range found {
		word := "wrong"
		if f.Advice {
			word = "advice"
		}
		bad = bad || !f.Advice
		rows = append(rows, []string{f.File, word, f.Text})
	}
	done, err := c.encode(map[string]any{"items": found})
	if !done {
		err = c.printTable(nil, rows)
	}
	if err != nil {
		return err
	}
	if bad {
		return exitStatus(1)
	}
	if len(found) == 0 && !done {
		_, err = fmt.Fprintln(c.out, "nothing is wrong")
	}
	return err
}
