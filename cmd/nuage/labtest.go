package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) labTestCmd() *cobra.Command {
	var language string
	cmd := &cobra.Command{
		Use: "test LAB...", Short: "Test labs: checks fail at the start and after wrong solutions, and pass after the solution",
		Long: "Run a lab in this cloud as its file says it: at the start no task may be done; each wrong solution must fail the check it is listed at, and say\n" +
			"what it should; after the solution the check must pass. It begins anew, so there may be no run of yours; all it made is removed at the end.",
		Example:           lines("nuage lab test first-function", "nuage lab test first-function --lang fr"),
		Args:              takes(1, -1),
		ValidArgsFunction: c.completeLabs,
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			for _, name := range args {
				if err := c.testLab(ctx, s, name, language); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	declareLanguage(cmd, &language)
	return cmd
}

// labTest is a lab under test.
type labTest struct {
	c       *cli
	s       session
	lab     api.Lab
	mutants int
}

const (
	labPatience  = 2 * time.Minute // for what a solution has begun to be there
	failPatience = 20 * time.Second
)

func (c *cli) testLab(ctx context.Context, s session, name, language string) (err error) {
	begin := c.now()
	t := &labTest{c: c, s: s}
	if t.lab, err = s.cloud.Labs.Get(ctx, name, language); err != nil {
		return err
	}
	if err := c.haveTools(t.lab); err != nil {
		return err
	}
	if t.lab, err = s.cloud.Labs.Start(ctx, name, language); err != nil {
		return err
	}
	defer func() {
		if gone := c.resetLab(context.WithoutCancel(ctx), s, name); err == nil {
			err = gone
		}
	}()
	for _, step := range []func(context.Context) error{t.untouched, t.walk, t.broken} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(c.out, "lab %s (%s): %d tasks, %d wrong solutions, as they should be, in %s\n", name, t.lab.Language, len(t.lab.Tasks), t.mutants, c.now().Sub(begin).Round(time.Second))
	return err
}

func (t *labTest) fails(format string, args ...any) error {
	return api.Errorf(api.Conflict, "cannot pass lab %q: "+format, append([]any{t.lab.Name}, args...)...)
}

// look checks one task.
func (t *labTest) look(ctx context.Context, ask api.LabCheck) (api.LabResult, api.LabRun, error) {
	checked, err := t.c.checkLab(ctx, t.s, t.lab, ask)
	if err != nil {
		return api.LabResult{}, api.LabRun{}, err
	}
	if len(checked.Results) == 0 {
		return api.LabResult{}, checked.Run, t.fails("task %q was not looked at; the lab is %s %s", ask.Task, checked.Run.Phase, checked.Run.Reason)
	}
	return checked.Results[0], checked.Run, nil
}

// untouched wants no task to be done at the start.
func (t *labTest) untouched(ctx context.Context) error {
	for _, task := range t.lab.Tasks {
		r, _, err := t.look(ctx, api.LabCheck{Task: task.Name})
		if err != nil {
			return err
		}
		if r.OK {
			return t.fails("task %q is done before anything was", task.Name)
		}
	}
	return nil
}

// walk goes through the tasks: the wrong solutions of each, then the right one.
func (t *labTest) walk(ctx context.Context) error {
	for _, task := range t.lab.Tasks {
		for _, w := range task.Wrong {
			if w.Fails {
				continue
			}
			if err := t.wrong(ctx, task, w); err != nil {
				return err
			}
		}
		if err := t.right(ctx, task); err != nil {
			return err
		}
	}
	return nil
}

// wrong wants a wrong solution to be refused, in the words it should be.
func (t *labTest) wrong(ctx context.Context, task api.LabTask, w api.LabMutant) error {
	if err := t.run(ctx, fmt.Sprintf("wrong solution %q of task %q", w.Name, task.Name), w.Do); err != nil {
		return err
	}
	r, _, err := t.look(ctx, api.LabCheck{Task: task.Name, Answer: w.Answer})
	switch {
	case err != nil:
		return err
	case r.OK:
		return t.fails("task %q is done by the wrong solution %q", task.Name, w.Name)
	case !strings.Contains(r.Message, w.Says):
		return t.fails("of the wrong solution %q the check of task %q says %q, and not %q", w.Name, task.Name, r.Message, w.Says)
	}
	t.mutants++
	return t.run(ctx, fmt.Sprintf("the undoing of wrong solution %q of task %q", w.Name, task.Name), w.Undo)
}

// run runs a script of the lab, which has to end well.
func (t *labTest) run(ctx context.Context, what, script string) error {
	if script == "" {
		return nil
	}
	var out bytes.Buffer
	limited, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	run, err := t.s.cloud.Labs.Get(ctx, t.lab.Name, "")
	if err != nil {
		return err
	}
	exit, err := t.c.labScript(limited, t.lab, t.lab.Run.Project, script, outputsOf(run.Run), &out)
	if err == nil && exit != 0 {
		err = t.fails("%s ended with status %d:\n%s", what, exit, out.String())
	}
	return err
}

// outputsOf is what scripts get of what checks have saved.
func outputsOf(r *api.LabRun) map[string]string {
	env := map[string]string{}
	for _, p := range r.Tasks {
		for k, v := range p.Outputs {
			env["LAB_"+strings.ToUpper(k)] = v
		}
	}
	return env
}

// right wants the solution of a task to pass its check, as soon as what it has begun is there.
func (t *labTest) right(ctx context.Context, task api.LabTask) error {
	solution, err := t.s.cloud.Labs.Solve(ctx, t.lab.Name, task.Name)
	if err != nil {
		return err
	}
	if err := t.run(ctx, fmt.Sprintf("the solution of task %q", task.Name), solution.Shell); err != nil {
		return err
	}
	for end := t.c.now().Add(labPatience); ; {
		r, run, err := t.look(ctx, api.LabCheck{Task: task.Name, Answer: solution.Answer})
		switch {
		case err != nil:
			return err
		case run.Phase == api.LabFailed:
			return t.fails("it failed with the solution of task %q: %s", task.Name, run.Reason)
		case r.OK:
			return nil
		case t.c.now().After(end):
			return t.fails("task %q is not done by its solution: %s", task.Name, r.Message)
		}
		if err := t.rest(ctx); err != nil {
			return err
		}
	}
}

func (t *labTest) rest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(500 * time.Millisecond):
		return nil
	}
}

// broken wants each wrong solution that breaks an invariant to fail the lab, each in a run of its own.
func (t *labTest) broken(ctx context.Context) error {
	for i, task := range t.lab.Tasks {
		for _, w := range task.Wrong {
			if !w.Fails {
				continue
			}
			if err := t.anew(ctx); err != nil {
				return err
			}
			for _, before := range t.lab.Tasks[:i] {
				if err := t.right(ctx, before); err != nil {
					return err
				}
			}
			if err := t.breaks(ctx, task, w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *labTest) anew(ctx context.Context) (err error) {
	if err := t.c.resetLab(ctx, t.s, t.lab.Name); err != nil {
		return err
	}
	t.lab, err = t.s.cloud.Labs.Start(ctx, t.lab.Name, t.lab.Language)
	return err
}

// breaks wants a wrong solution to fail the lab.
func (t *labTest) breaks(ctx context.Context, task api.LabTask, w api.LabMutant) error {
	if err := t.run(ctx, fmt.Sprintf("wrong solution %q of task %q", w.Name, task.Name), w.Do); err != nil {
		return err
	}
	for end := t.c.now().Add(failPatience); ; {
		lab, err := t.s.cloud.Labs.Get(ctx, t.lab.Name, "")
		switch {
		case err != nil:
			return err
		case lab.Run.Phase == api.LabFailed && strings.Contains(lab.Run.Reason, w.Says):
			t.mutants++
			return nil
		case lab.Run.Phase == api.LabFailed:
			return t.fails("with wrong solution %q it failed as %q, and not %q", w.Name, lab.Run.Reason, w.Says)
		case t.c.now().After(end):
			return t.fails("wrong solution %q of task %q did not fail it", w.Name, task.Name)
		}
		if err := t.rest(ctx); err != nil {
			return err
		}
	}
}
