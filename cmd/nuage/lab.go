package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) labCmd() *cobra.Command {
	cmd := group("lab", "Labs: exercises that check themselves",
		lines("nuage lab list", "nuage lab start first-function", "nuage lab check", "nuage lab hint", "nuage lab status -o csv"),
		c.labListCmd(), c.labShowCmd(), c.labStartCmd(), c.labStatusCmd(), c.labCheckCmd(), c.labHintCmd(), c.labAnswerCmd(), c.labSolveCmd(),
		c.labMoveCmd(api.LabPause, "Hold a lab: its time stands and its machines stop"),
		c.labMoveCmd(api.LabResume, "Go on with a lab that is paused, with the machines that the pause stopped"),
		c.labResetCmd(), c.labLintCmd(), c.labTestCmd())
	cmd.Long = "A lab is a text with tasks, in a project of its own. You do a task with the commands you would use anyway; check looks at what is there, and\n" +
		"says what is missing. Questions are computed from your own bill and record. Where LAB is left out, it is the lab of the project you work in.\n" +
		"Some checks run commands on this computer, and solve --run and test run scripts of the lab: use labs of people you trust."
	return cmd
}

// labLanguage is the language asked for: the flag, else that of the surroundings where the lab has it.
func (c *cli) labLanguage(flag string, there []string) string {
	if flag != "" {
		return flag
	}
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := c.env[name]; v != "" {
			if language, _, _ := strings.Cut(v, "_"); slices.Contains(there, language) {
				return language
			}
			return ""
		}
	}
	return ""
}

func declareLanguage(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "lang", "", "language of the texts, as en or fr; default: the one the lab was started in, else that of LANG, else English")
}

// labArgs tells which lab is meant: the first argument where it names one, else the lab of the project. rest are the arguments after it.
func (c *cli) labArgs(ctx context.Context, s session, args []string, most int) (name string, rest []string, err error) {
	if len(args) == most {
		return args[0], args[1:], nil
	}
	runs, err := s.cloud.Labs.Runs(ctx)
	if err != nil {
		return "", nil, err
	}
	if len(args) > 0 {
		list, err := s.cloud.Labs.List(ctx, "")
		if err != nil {
			return "", nil, err
		}
		if slices.ContainsFunc(list.Items, func(l api.Lab) bool { return l.Name == args[0] }) {
			return args[0], args[1:], nil
		}
	}
	for _, r := range runs.Items {
		if r.Project == s.project {
			return r.Lab, args, nil
		}
	}
	if len(args) > 0 { // it is no lab, and the cloud says so
		return args[0], args[1:], nil
	}
	return "", nil, usagef("cannot tell which lab is meant: project %q is none of a lab; name one, as nuage lab list shows them", s.project)
}

func (c *cli) completeLabs(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := s.cloud.Labs.List(cmd.Context(), "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, l := range list.Items {
		names = append(names, l.Name+"\t"+l.Title)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (c *cli) labs() kind[api.Lab] {
	return kind[api.Lab]{
		word: "lab",
		name: func(l *api.Lab) string { return l.Name },
		columns: []column[api.Lab]{
			{head: "NAME", cell: func(l api.Lab) string { return l.Name }},
			{head: "MINUTES", cell: func(l api.Lab) string { return strconv.Itoa(l.Minutes) }},
			{head: "LEVEL", cell: func(l api.Lab) string { return l.Level }},
			{head: "NEEDS", cell: func(l api.Lab) string { return strings.Join(l.Needs, ",") }},
			{head: "LANGUAGES", cell: func(l api.Lab) string { return strings.Join(l.Languages, ",") }},
			{head: "STATE", cell: func(l api.Lab) string { return runText(l.Run) }},
			{head: "TITLE", cell: func(l api.Lab) string { return l.Title }},
		},
	}
}

// runText says how far a run is.
func runText(r *api.LabRun) string {
	if r == nil {
		return "-"
	}
	return fmt.Sprintf("%s %d/%d", r.Phase, r.Done, r.Total)
}

func (c *cli) labListCmd() *cobra.Command {
	var language string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the labs, with how far you are",
		Example: lines("nuage lab list", "nuage lab list --lang fr"),
		Args:    takes(0, 0),
		RunE: c.inCloud(func(ctx context.Context, s session, _ []string) error {
			list, err := s.cloud.Labs.List(ctx, c.labLanguage(language, []string{"en", "fr"}))
			if err != nil {
				return err
			}
			return printList(c, c.labs(), list)
		}),
	}
	declareLanguage(cmd, &language)
	return cmd
}

func (c *cli) labShowCmd() *cobra.Command {
	var language string
	cmd := &cobra.Command{
		Use: "show [LAB] [TASK]", Short: "Print the text of a lab, or of one task",
		Example:           lines("nuage lab show first-function", "nuage lab show first-function deploy --lang fr"),
		Args:              takes(0, 2),
		ValidArgsFunction: c.completeLabs,
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			name, rest, err := c.labArgs(ctx, s, args, 2)
			if err != nil {
				return err
			}
			lab, err := c.readLab(ctx, s, name, language)
			if err != nil {
				return err
			}
			if done, err := c.encode(lab); done {
				return err
			}
			if len(rest) == 0 {
				return c.printLab(lab)
			}
			i := slices.IndexFunc(lab.Tasks, func(t api.LabTask) bool { return t.Name == rest[0] })
			if i < 0 {
				return api.Errorf(api.NotFound, "cannot find task %q in lab %q: nuage lab show %s prints all", rest[0], name, name)
			}
			return c.printTask(lab, lab.Tasks[i])
		}),
	}
	declareLanguage(cmd, &language)
	return cmd
}

// readLab reads a lab in the language asked for; a started one is in that of its run unless the flag says otherwise.
func (c *cli) readLab(ctx context.Context, s session, name, language string) (api.Lab, error) {
	lab, err := s.cloud.Labs.Get(ctx, name, language)
	if err != nil || lab.Run != nil || language != "" {
		return lab, err
	}
	if own := c.labLanguage("", lab.Languages); own != "" && own != lab.Language {
		return s.cloud.Labs.Get(ctx, name, own)
	}
	return lab, nil
}

func (c *cli) printLab(lab api.Lab) error {
	if err := c.printText(fmt.Sprintf("# %s\n\n%s\n", lab.Title, lab.Text)); err != nil {
		return err
	}
	for _, t := range lab.Tasks {
		if err := c.printTask(lab, t); err != nil {
			return err
		}
	}
	if lab.Closing == "" {
		return nil
	}
	return c.printText("\n" + lab.Closing + "\n")
}

// printTask prints the text of a task, with where it is.
func (c *cli) printTask(lab api.Lab, t api.LabTask) error {
	state := ""
	if lab.Run != nil {
		for _, p := range lab.Run.Tasks {
			if p.Task == t.Name {
				state = ", " + string(p.State)
			}
		}
	}
	return c.printText(fmt.Sprintf("\n## %s (%s%s)\n\n%s\n", t.Title, t.Name, state, t.Text))
}

// printText prints a text of a lab, which may be a teacher's, without control characters.
func (c *cli) printText(text string) error {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, text)
	_, err := io.WriteString(c.out, clean)
	return err
}

func (c *cli) labStartCmd() *cobra.Command {
	var language, dir string
	cmd := &cobra.Command{
		Use: "start LAB", Short: "Start a lab, in a project of its own, and work in that",
		Long: "Start a lab: a project is made for it and becomes the one you work in, files that it brings along are written to a folder, and the\n" +
			"text of the first task is printed. nuage lab reset removes all it made.",
		Example:           lines("nuage lab start first-instance", "nuage lab start first-function --lang fr --dir ~/labs"),
		Args:              takes(1, 1),
		ValidArgsFunction: c.completeLabs,
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			lab, err := c.readLab(ctx, s, args[0], language)
			if err != nil {
				return err
			}
			if err := c.haveTools(lab); err != nil {
				return err
			}
			if lab, err = s.cloud.Labs.Start(ctx, lab.Name, lab.Language); err != nil {
				return err
			}
			return c.begun(lab, dir)
		}),
	}
	declareLanguage(cmd, &language)
	cmd.Flags().StringVar(&dir, "dir", ".", "where the folder with the lab's files is made, where it has some")
	return cmd
}

// haveTools. Unavailable: a program that the lab needs is not on this computer.
func (c *cli) haveTools(lab api.Lab) error {
	for _, tool := range lab.Needs {
		if tool == "engine" {
			continue
		}
		if _, err := exec.LookPath(tool); err != nil {
			return api.Errorf(api.Unavailable, "cannot start lab %q: it needs the program %q on this computer; install it first", lab.Name, tool)
		}
	}
	return nil
}

// begun says what to do in a lab that was just started.
func (c *cli) begun(lab api.Lab, dir string) error {
	if err := c.useProject(lab.Run.Project); err != nil {
		return err
	}
	if other := c.env["NUAGE_PROJECT"]; other != "" && other != lab.Run.Project {
		c.note("nuage: NUAGE_PROJECT=%s is set and goes before the lab's project %s", other, lab.Run.Project)
	}
	folder := filepath.Join(dir, lab.Name)
	if err := writeLabFiles(folder, lab.Files); err != nil {
		return err
	}
	if done, err := c.encode(lab); done {
		return err
	}
	text := fmt.Sprintf("# %s\n\n%s\n\nYou work in project %s now.", lab.Title, lab.Text, lab.Run.Project)
	if len(lab.Files) > 0 {
		text += " The files of the lab are in " + folder + "."
	}
	text += "\nnuage lab check looks at what you have done, nuage lab hint helps, nuage lab show prints all tasks.\n"
	if err := c.printText(text); err != nil {
		return err
	}
	return c.printNext(lab)
}

// writeLabFiles writes the files of a lab into a folder. What is there already stays as it is.
func writeLabFiles(folder string, files map[string][]byte) error {
	if len(files) == 0 {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return api.Errorf(api.Unavailable, "cannot write the files of the lab: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return api.Errorf(api.Unavailable, "cannot write the files of the lab: %w", err)
	}
	defer root.Close()
	for name, data := range files {
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return api.Errorf(api.Unavailable, "cannot write the files of the lab: %w", err)
		}
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err == nil {
			_, err = f.Write(data)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return api.Errorf(api.Unavailable, "cannot write %q of the lab: %w", name, err)
		}
	}
	return nil
}

// printNext prints the first open task, or the end.
func (c *cli) printNext(lab api.Lab) error {
	for i, p := range lab.Run.Tasks {
		if p.State == api.TaskOpen && i < len(lab.Tasks) {
			return c.printTask(lab, lab.Tasks[i])
		}
	}
	if lab.Run.Phase == api.LabDone {
		return c.printText(fmt.Sprintf("\n%s\n\nThe lab is done, in %s. nuage lab reset %s removes what it made.\n", lab.Closing, runTime(lab.Run.ActiveSeconds), lab.Name))
	}
	return nil
}

func runTime(s int64) string { return (time.Duration(s) * time.Second).String() }
