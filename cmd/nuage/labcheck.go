package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) labCheckCmd() *cobra.Command {
	return &cobra.Command{
		Use: "check [LAB] [TASK]", Short: "Look which open tasks are done; exit status 1 while one is open",
		Long: "Look at what you have done: every task whose turn it is, and say what is missing. With TASK only that one; where it is not its turn yet, it\n" +
			"is looked at and not noted. Commands that a check needs run here, on your computer.",
		Example:           lines("nuage lab check", "nuage lab check first-function", "nuage lab check first-function deploy"),
		Args:              takes(0, 2),
		ValidArgsFunction: c.completeLabs,
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			name, rest, err := c.labArgs(ctx, s, args, 2)
			if err != nil {
				return err
			}
			return c.checkAndTell(ctx, s, name, api.LabCheck{Task: strings.Join(rest, "")})
		}),
	}
}

func (c *cli) labAnswerCmd() *cobra.Command {
	return &cobra.Command{
		Use: "answer [LAB] TASK NUMBER", Short: "Answer a question of a lab",
		Example:           lines("nuage lab answer cost 0.0034", "nuage lab answer billing-per-call cost 0.0034"),
		Args:              takes(2, 3),
		ValidArgsFunction: c.completeLabs,
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			name, rest, err := c.labArgs(ctx, s, args, 3)
			if err != nil {
				return err
			}
			if len(rest) != 2 {
				return usagef("cannot answer: give the task and a number, as nuage lab answer %s cost 0.0034", name)
			}
			return c.checkAndTell(ctx, s, name, api.LabCheck{Task: rest[0], Answer: rest[1]})
		}),
	}
}

// checkAndTell makes a check, says what came of it, and what is next.
func (c *cli) checkAndTell(ctx context.Context, s session, name string, ask api.LabCheck) error {
	lab, err := s.cloud.Labs.Get(ctx, name, "")
	if err != nil {
		return err
	}
	before := 0
	if lab.Run != nil {
		before = lab.Run.Done
	}
	checked, err := c.checkLab(ctx, s, lab, ask)
	if err != nil {
		return err
	}
	lab.Run = &checked.Run
	if err := c.printChecked(lab, checked, before); err != nil {
		return err
	}
	open := checked.Run.Phase != api.LabDone
	if ask.Task != "" {
		open = len(checked.Results) == 0 || !checked.Results[0].OK
	}
	if open {
		return exitStatus(1)
	}
	return nil
}

// checkLab makes a check, and runs here what it wants to be run, in a folder with the lab's files that is removed afterwards.
func (c *cli) checkLab(ctx context.Context, s session, lab api.Lab, ask api.LabCheck) (api.LabChecked, error) {
	t := c.progress("lab " + lab.Name)
	defer t.stop()
	t.show("checking")
	for {
		checked, err := s.cloud.Labs.Check(ctx, lab.Name, ask)
		if err != nil || len(checked.Commands) == 0 {
			return checked, err
		}
		for _, command := range checked.Commands {
			t.show("running " + firstLine(command.Shell))
			report, err := c.labCommand(ctx, lab, checked.Run.Project, command)
			if err != nil {
				return checked, err
			}
			ask.Reports = append(ask.Reports, report)
		}
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

const commandPause = time.Second // between two tries

// labCommand runs a command of a check until it succeeds or its tries are used up.
func (c *cli) labCommand(ctx context.Context, lab api.Lab, project string, command api.LabCommand) (api.LabReport, error) {
	report := api.LabReport{ID: command.ID}
	for try := 0; ; try++ {
		var out bytes.Buffer
		limited, cancel := context.WithTimeout(ctx, time.Duration(command.TimeoutSeconds)*time.Second)
		exit, err := c.labScript(limited, lab, project, command.Shell, command.Env, &out)
		cancel()
		if err != nil {
			return report, err
		}
		report.Exit, report.Output = exit, strings.ToValidUTF8(string(out.Bytes()[:min(out.Len(), 60_000)]), "?")
		if exit == 0 || try >= command.Retries {
			return report, nil
		}
		select {
		case <-ctx.Done():
			return report, ctx.Err()
		case <-time.After(commandPause):
		}
	}
}

// labScript runs a script of a lab by sh, in a new folder with the lab's files, with this program as nuage and this cloud's settings. One
// that takes too long is ended with all it began; its exit status is then 124.
func (c *cli) labScript(ctx context.Context, lab api.Lab, project, script string, env map[string]string, out io.Writer) (int, error) {
	folder, err := os.MkdirTemp("", "nuage-lab-")
	if err != nil {
		return 0, api.Errorf(api.Unavailable, "cannot make a folder to work in: %w", err)
	}
	defer os.RemoveAll(folder)
	settings, err := c.scriptEnv(folder, project, env)
	if err != nil {
		return 0, err
	}
	work := filepath.Join(folder, "work")
	if err := errors.Join(os.Mkdir(work, 0o700), writeLabFiles(work, lab.Files)); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", script)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = work, settings, out, out
	inGroup(cmd)
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 124, nil
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1), nil
	case err != nil:
		return 0, api.Errorf(api.Unavailable, "cannot run a script of lab %q: %w", lab.Name, err)
	}
	return 0, nil
}

// scriptEnv is the environment of a script: this one's, with the cloud's settings, the lab's project and what earlier checks found.
func (c *cli) scriptEnv(folder, project string, env map[string]string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, api.Errorf(api.Internal, "cannot find this program: %w", err)
	}
	bin := filepath.Join(folder, "bin")
	if err := errors.Join(os.Mkdir(bin, 0o700), os.Symlink(self, filepath.Join(bin, "nuage"))); err != nil {
		return nil, api.Errorf(api.Unavailable, "cannot make a folder to work in: %w", err)
	}
	conf, err := c.settings()
	if err != nil {
		return nil, err
	}
	home, err := c.home()
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, m := range []map[string]string{c.env, env, {"NUAGE_HOME": home, "NUAGE_URL": conf.URL, "NUAGE_TOKEN": conf.Token, "NUAGE_PROJECT": project,
		"PATH": bin + string(os.PathListSeparator) + c.env["PATH"], "NO_COLOR": "1"}} {
		for k, v := range m {
			all[k] = v
		}
	}
	return envLines(all), nil
}

// printChecked prints the tasks of a run after a check, and the next one where something was done.
func (c *cli) printChecked(lab api.Lab, checked api.LabChecked, before int) error {
	if done, err := c.encode(checked.Run); done {
		return err
	}
	r := checked.Run
	var rows [][]string
	for i, p := range r.Tasks {
		message := p.Message
		if p.State == api.TaskWaiting && i < len(lab.Tasks) {
			message = "needs " + strings.Join(lab.Tasks[i].Needs, ", ")
		}
		for _, result := range checked.Results {
			if result.Task == p.Task && p.State != api.TaskDone {
				message = notYet(p.State, result)
			}
		}
		rows = append(rows, []string{p.Task, string(p.State), message})
	}
	if err := c.printTable([]string{"TASK", "STATE", "WHAT"}, rows); err != nil {
		return err
	}
	if err := c.printText(runLine(r)); err != nil || r.Done == before {
		return err
	}
	return c.printNext(lab)
}

// notYet is what a check said of a task that is not done.
func notYet(state api.LabTaskState, r api.LabResult) string {
	if r.OK && state == api.TaskWaiting {
		return "would be done, and is noted when it is its turn"
	}
	return r.Message
}

func runLine(r api.LabRun) string {
	line := fmt.Sprintf("%d of %d tasks done", r.Done, r.Total)
	if r.Phase != api.LabRunning {
		line += "; the lab is " + string(r.Phase)
	}
	if r.Reason != "" {
		line += ": " + r.Reason
	}
	if r.Phase == api.LabFailed {
		line += "; nuage lab reset " + r.Lab + " begins anew"
	}
	return line + "\n"
}

func (c *cli) labStatusCmd() *cobra.Command {
	return &cobra.Command{
		Use: "status [LAB]", Short: "Show how far you are; -o json or csv is a grade that a teacher can collect",
		Long: "Show the runs of all labs, or the tasks of one. With -o csv a row a task, with times, checks, hints and whether the solution was shown; rows of\n" +
			"several students can be put together. The grade is what this cloud has noted, and who runs the cloud can change it.",
		Example:           lines("nuage lab status", "nuage lab status first-function", "nuage lab status -o csv > grade.csv"),
		Args:              takes(0, 1),
		ValidArgsFunction: c.completeLabs,
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			runs, err := s.cloud.Labs.Runs(ctx)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				return c.statusOfLab(ctx, s, args[0], runs)
			}
			if c.flags.output == "csv" {
				return c.writeGrades(runs.Items)
			}
			return printList(c, c.labRuns(), runs)
		}),
	}
}

func (c *cli) statusOfLab(ctx context.Context, s session, name string, runs api.List[api.LabRun]) error {
	lab, err := s.cloud.Labs.Get(ctx, name, "")
	if err != nil {
		return err
	}
	var own []api.LabRun
	for _, r := range runs.Items {
		if r.Lab == name {
			own = append(own, r)
		}
	}
	switch {
	case c.flags.output == "csv":
		return c.writeGrades(own)
	case lab.Run == nil || c.flags.output == "name":
		return printList(c, c.labRuns(), api.List[api.LabRun]{Items: own})
	}
	if done, err := c.encode(lab.Run); done {
		return err
	}
	if err := printList(c, c.labRuns(), api.List[api.LabRun]{Items: own}); err != nil {
		return err
	}
	return c.printChecked(lab, api.LabChecked{Run: *lab.Run}, lab.Run.Done)
}

func (c *cli) labRuns() kind[api.LabRun] {
	return kind[api.LabRun]{
		word: "lab",
		name: func(r *api.LabRun) string { return r.Lab },
		columns: []column[api.LabRun]{
			{head: "LAB", cell: func(r api.LabRun) string { return r.Lab }},
			{head: "USER", cell: func(r api.LabRun) string { return r.User }},
			{head: "PROJECT", cell: func(r api.LabRun) string { return r.Project }},
			{head: "PHASE", cell: func(r api.LabRun) string { return string(r.Phase) }},
			{head: "DONE", cell: func(r api.LabRun) string { return fmt.Sprintf("%d/%d", r.Done, r.Total) }},
			{head: "TIME", cell: func(r api.LabRun) string { return runTime(r.ActiveSeconds) }},
			{head: "STARTED", cell: func(r api.LabRun) string { return timeText(r.StartedAt) }},
			{head: "REASON", cell: func(r api.LabRun) string { return r.Reason }},
		},
	}
}

// writeGrades writes a row for each task of each run.
func (c *cli) writeGrades(runs []api.LabRun) error {
	w := csv.NewWriter(c.out)
	rows := [][]string{{"lab", "user", "language", "phase", "startedAt", "endedAt", "runSeconds", "task", "state", "doneAt", "seconds", "checks", "hints", "solutionShown"}}
	at := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	for _, r := range runs {
		for _, p := range r.Tasks {
			rows = append(rows, []string{r.Lab, r.User, r.Language, string(r.Phase), at(&r.StartedAt), at(r.EndedAt), strconv.FormatInt(r.ActiveSeconds, 10),
				p.Task, string(p.State), at(p.DoneAt), strconv.FormatInt(p.ActiveSeconds, 10), strconv.Itoa(p.Checks), strconv.Itoa(p.Hints), yesNo(p.Solved)})
		}
	}
	return w.WriteAll(rows)
}
