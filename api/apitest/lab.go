package apitest

import (
	"slices"
	"testing"
	"time"

	"nuage/api"
)

// labs goes through a lab that comes with every cloud and needs nothing to run: all its tasks are questions.
func (s *suite) labs(t *testing.T) {
	const name = "break-even"
	labs, ctx := s.Cloud.Labs, s.Context
	list, err := labs.List(ctx, "fr")
	must(t, "list", err)
	i := slices.IndexFunc(list.Items, func(l api.Lab) bool { return l.Name == name })
	if i < 0 {
		t.Fatalf("there is no lab %s in %+v", name, list)
	}
	if l := list.Items[i]; l.Language != "fr" || l.Title == "" || l.Text != "" || l.Tasks != nil || l.Run != nil || !slices.Contains(l.Languages, "en") {
		t.Errorf("the list has %+v", l)
	}
	lab, err := labs.Get(ctx, name, "")
	must(t, "get", err)
	if lab.Language != "en" || lab.Text == "" || len(lab.Tasks) < 3 || !lab.Tasks[0].Question {
		t.Errorf("get answers %+v", lab)
	}
	_, err = labs.Get(ctx, fresh("lab"), "")
	wants(t, "get no lab", err, api.NotFound)
	_, err = labs.Get(ctx, name, "xx")
	wants(t, "get in no language", err, api.Invalid)
	_, err = labs.Check(ctx, name, api.LabCheck{})
	wants(t, "check what is not started", err, api.NotFound)
	lab, err = labs.Start(ctx, name, "fr")
	must(t, "start", err)
	s.labRun(t, lab)
	s.labLeft(t, name, lab.Run.Project)
}

// labRun answers the first question, after it was helped with, and pauses and resumes the run.
func (s *suite) labRun(t *testing.T, lab api.Lab) {
	t.Helper()
	labs, ctx, name, task := s.Cloud.Labs, s.Context, lab.Name, lab.Tasks[0].Name
	if lab.Run == nil || lab.Run.Phase != api.LabRunning || lab.Run.Language != "fr" || lab.Run.Total != len(lab.Tasks) || lab.Run.Tasks[0].State != api.TaskOpen {
		t.Fatalf("start answers %+v", lab.Run)
	}
	_, err := s.Cloud.Projects.Get(ctx, lab.Run.Project)
	must(t, "get the project", err)
	_, err = labs.Start(ctx, name, "en")
	wants(t, "start again", err, api.Conflict)
	_, err = labs.Check(ctx, name, api.LabCheck{Task: "nothing"})
	wants(t, "check no task", err, api.NotFound)
	_, err = labs.Check(ctx, name, api.LabCheck{Task: task, Answer: "many"})
	wants(t, "answer with a word", err, api.Invalid)
	checked, err := labs.Check(ctx, name, api.LabCheck{Task: task, Answer: "-1"})
	must(t, "answer wrongly", err)
	if checked.Run.Done != 0 || len(checked.Results) != 1 || checked.Results[0].OK || checked.Results[0].Message == "" {
		t.Errorf("a wrong answer comes to %+v", checked)
	}
	hint, err := labs.Hint(ctx, name, "")
	must(t, "hint", err)
	solution, err := labs.Solve(ctx, name, task)
	must(t, "solve", err)
	if hint.Task != task || hint.Hint == "" || solution.Answer == "" {
		t.Errorf("hint %+v, solution %+v", hint, solution)
	}
	_, err = labs.Change(ctx, name, api.LabPause)
	must(t, "pause", err)
	_, err = labs.Check(ctx, name, api.LabCheck{})
	wants(t, "check what is paused", err, api.Conflict)
	_, err = labs.Change(ctx, name, api.LabPause)
	wants(t, "pause again", err, api.Conflict)
	_, err = labs.Change(ctx, name, api.LabResume)
	must(t, "resume", err)
	checked, err = labs.Check(ctx, name, api.LabCheck{Task: task, Answer: solution.Answer})
	must(t, "answer", err)
	if p := checked.Run.Tasks[0]; p.State != api.TaskDone || p.DoneAt == nil || p.Hints != 1 || !p.Solved || p.Checks != 2 || checked.Run.Done != 1 {
		t.Errorf("the right answer comes to %+v", p)
	}
	runs, err := labs.Runs(ctx)
	must(t, "runs", err)
	if !slices.ContainsFunc(runs.Items, func(r api.LabRun) bool { return r.Lab == name && r.Project == lab.Run.Project && r.Done == 1 }) {
		t.Errorf("the runs are %+v", runs)
	}
}

// labLeft resets the run, and waits until nothing of it is left.
func (s *suite) labLeft(t *testing.T, name, project string) {
	t.Helper()
	_, err := s.Cloud.Labs.Change(s.Context, name, api.LabReset)
	must(t, "reset", err)
	for end := time.Now().Add(s.Patience); ; time.Sleep(20 * time.Millisecond) {
		lab, err := s.Cloud.Labs.Get(s.Context, name, "")
		must(t, "get", err)
		if lab.Run == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the run does not go: %+v", lab.Run)
		}
	}
	_, err = s.Cloud.Projects.Get(s.Context, project)
	wants(t, "get the project of a run that is reset", err, api.NotFound)
	limited := s.project(t)
	token, err := s.Cloud.Tokens.Create(s.Context, fresh("t"), api.TokenSpec{Project: limited})
	must(t, "create a limited token", err)
	c, ctx := s.Login(t, token.Secret)
	_, err = c.Labs.Start(ctx, name, "")
	wants(t, "start with a limited token", err, api.Forbidden)
	_, err = c.Labs.List(ctx, "")
	wants(t, "list with a limited token", err, api.Forbidden)
}
