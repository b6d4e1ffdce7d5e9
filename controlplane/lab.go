package controlplane

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"nuage/api"
	"nuage/controlplane/labs"
	"nuage/storage"
)

// labRun is one person's way through a lab.
type labRun struct {
	Key       string                     `json:"key"` // lab/user
	Lab       string                     `json:"lab"`
	User      string                     `json:"user"`
	Project   string                     `json:"project"`
	Language  string                     `json:"language"`
	Phase     api.LabPhase               `json:"phase"`
	Reason    string                     `json:"reason,omitempty"`
	StartedAt time.Time                  `json:"startedAt"`
	EndedAt   *time.Time                 `json:"endedAt,omitempty"`
	PausedAt  *time.Time                 `json:"pausedAt,omitempty"`
	PausedMs  int64                      `json:"pausedMs,omitempty"`  // in all, before PausedAt
	Resting   []string                   `json:"resting,omitempty"`   // instances that a pause stops; while the run runs: to be started again
	Tasks     map[string]api.LabProgress `json:"tasks,omitempty"`     // by name; one that is not there has not been looked at
	ProjectID string                     `json:"projectId,omitempty"` // so that a later project of the name is not taken for it
}

func labRunKey(lab, user string) string { return lab + "/" + user }

// active is how long the run has gone on, without pauses.
func (r labRun) active(now time.Time) time.Duration {
	end := now
	if r.EndedAt != nil {
		end = *r.EndedAt
	}
	if r.PausedAt != nil {
		end = *r.PausedAt
	}
	return max(0, end.Sub(r.StartedAt)-time.Duration(r.PausedMs)*time.Millisecond)
}

// outputs are what the checks of all tasks have saved.
func (r labRun) outputs() map[string]string {
	all := map[string]string{}
	for _, t := range r.Tasks {
		maps.Copy(all, t.Outputs)
	}
	return all
}

// state is where a task of the run is.
func (r labRun) state(t labs.Task) api.LabTaskState {
	if r.Tasks[t.Name].DoneAt != nil {
		return api.TaskDone
	}
	for _, need := range t.Needs {
		if r.Tasks[need].DoneAt == nil {
			return api.TaskWaiting
		}
	}
	return api.TaskOpen
}

// shown is the run as its owner and a teacher see it.
func (r labRun) shown(l labs.Lab, now time.Time) api.LabRun {
	out := api.LabRun{Lab: r.Lab, Title: l.Title, User: r.User, Project: r.Project, Language: r.Language, Phase: r.Phase, Reason: r.Reason,
		StartedAt: r.StartedAt, EndedAt: r.EndedAt, ActiveSeconds: int64(r.active(now) / time.Second), Total: len(l.Tasks), Tasks: []api.LabProgress{}}
	for _, t := range l.Tasks {
		p := r.Tasks[t.Name]
		p.Task, p.State = t.Name, r.state(t)
		if p.State == api.TaskDone {
			out.Done++
		}
		out.Tasks = append(out.Tasks, p)
	}
	return out
}

// labVerbs implements api.Labs.
type labVerbs struct{ cp *ControlPlane }

// mine finds the caller's run. NotFound: the lab, or it is not started.
func (v labVerbs) mine(ctx context.Context, name string) (run labRun, l labs.Lab, err error) {
	actor, err := v.cp.wholeCloud(ctx, "work on a lab")
	if err != nil {
		return run, l, err
	}
	if l, err = v.cp.Labs.Get(name, ""); err != nil {
		return run, l, err
	}
	err = v.cp.Store.View(func(tx *storage.Tx) (err error) {
		run, err = labRunTable.Get(tx, labRunKey(name, actor.Name))
		return err
	})
	if errors.Is(err, api.NotFound) {
		return run, l, api.Errorf(api.NotFound, "cannot find your run of lab %q: `nuage lab start %s` begins one", name, name)
	}
	if err != nil {
		return run, l, err
	}
	l, err = v.cp.labOf(run)
	return run, l, err
}

// labOf is the lab of a run in its language; another where that is not there any more.
func (cp *ControlPlane) labOf(run labRun) (labs.Lab, error) {
	l, err := cp.Labs.Get(run.Lab, run.Language)
	if errors.Is(err, api.Invalid) {
		l, err = cp.Labs.Get(run.Lab, "")
	}
	return l, err
}

func (v labVerbs) List(ctx context.Context, language string) (api.List[api.Lab], error) {
	out := api.List[api.Lab]{Items: []api.Lab{}}
	if _, err := v.cp.wholeCloud(ctx, "list labs"); err != nil {
		return out, err
	}
	for _, name := range v.cp.Labs.Names() {
		if !slices.Contains(v.cp.Labs.Languages(name), language) {
			l, err := v.Get(ctx, name, "")
			if err != nil {
				return out, err
			}
			out.Items = append(out.Items, brief(l))
			continue
		}
		l, err := v.Get(ctx, name, language)
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, brief(l))
	}
	return out, nil
}

// brief is a lab without its texts.
func brief(l api.Lab) api.Lab {
	l.Text, l.Closing, l.Tasks, l.Files = "", "", nil, nil
	return l
}

func (v labVerbs) Get(ctx context.Context, name, language string) (api.Lab, error) {
	run, l, err := v.mine(ctx, name)
	started := err == nil
	if err != nil && !errors.Is(err, api.NotFound) {
		return api.Lab{}, err
	}
	if language != "" || !started {
		if l, err = v.cp.Labs.Get(name, language); err != nil {
			return api.Lab{}, err
		}
	}
	return v.cp.lab(l, run, started), nil
}

// lab is a lab with its texts, in which {project} and {edge} stand for the run's project and the port of the edge.
func (cp *ControlPlane) lab(l labs.Lab, run labRun, started bool) api.Lab {
	project := "lab-" + l.Name
	if started {
		project = run.Project
	}
	fill := strings.NewReplacer("{project}", project, "{edge}", cp.edgePort(), "{api}", cp.API).Replace
	out := api.Lab{Name: l.Name, Title: l.Title, Language: l.Language, Languages: cp.Labs.Languages(l.Name), Minutes: l.Minutes, Level: l.Level,
		Needs: append([]string{}, l.Needs...), Text: fill(l.Intro), Closing: fill(l.Closing), Files: l.Files}
	for _, t := range l.Tasks {
		task := api.LabTask{Name: t.Name, Title: t.Title, Text: fill(t.Text), Needs: t.Needs, Question: t.Answer != nil}
		if t.Answer != nil {
			task.Unit = t.Answer.Unit
		}
		for _, w := range t.Wrong {
			task.Wrong = append(task.Wrong, api.LabMutant{Name: w.Name, Do: w.Do, Answer: string(w.Answer), Says: w.Says, Undo: w.Undo, Fails: w.Fails})
		}
		out.Tasks = append(out.Tasks, task)
	}
	if started {
		shown := run.shown(l, cp.Now())
		out.Run = &shown
	}
	return out
}

func (v labVerbs) Runs(ctx context.Context) (api.List[api.LabRun], error) {
	out := api.List[api.LabRun]{Items: []api.LabRun{}}
	if _, err := v.cp.wholeCloud(ctx, "list runs of labs"); err != nil {
		return out, err
	}
	runs, err := v.cp.labRuns()
	for _, run := range runs {
		l, err := v.cp.labOf(run)
		if err != nil {
			l = labs.Lab{Title: run.Lab} // its file is gone; the run is not
		}
		out.Items = append(out.Items, run.shown(l, v.cp.Now()))
	}
	return out, err
}

func (cp *ControlPlane) labRuns() (runs []labRun, err error) {
	err = cp.Store.View(func(tx *storage.Tx) error {
		return labRunTable.Each(tx, "", func(r labRun) error { runs = append(runs, r); return nil })
	})
	return runs, err
}

func (v labVerbs) Start(ctx context.Context, name, language string) (api.Lab, error) {
	actor, err := v.cp.wholeCloud(ctx, "start a lab")
	if err != nil {
		return api.Lab{}, err
	}
	l, err := v.cp.Labs.Get(name, language)
	if err != nil {
		return api.Lab{}, err
	}
	if err := v.cp.canRun(ctx, l); err != nil {
		return api.Lab{}, err
	}
	run := labRun{Key: labRunKey(name, actor.Name), Lab: name, User: actor.Name, Language: l.Language, Phase: api.LabRunning, StartedAt: v.cp.Now().UTC(), Tasks: map[string]api.LabProgress{}}
	err = v.cp.Store.Update(func(tx *storage.Tx) error {
		if old, err := labRunTable.Get(tx, run.Key); !errors.Is(err, api.NotFound) {
			return errors.Join(err, api.Errorf(api.Conflict, "cannot start lab %q: it is %s; `nuage lab status %s` shows how far it is, `nuage lab reset %s` begins anew", name, old.Phase, name, name))
		}
		p, err := v.cp.labProject(tx, actor, l)
		if err != nil {
			return err
		}
		run.Project, run.ProjectID = p.Name, p.ID
		return labRunTable.Put(tx, run)
	})
	return v.cp.lab(l, run, true), err
}

// canRun. Unsupported: the lab needs a real engine, and there is none.
func (cp *ControlPlane) canRun(ctx context.Context, l labs.Lab) error {
	if !slices.Contains(l.Needs, "engine") {
		return nil
	}
	info, err := cp.Engine.Info(ctx)
	if err == nil && !info.Real {
		err = api.Errorf(api.Unsupported, "cannot start lab %q: it needs a real engine, and this cloud simulates one; `nuage doctor` tells what is missing", l.Name)
	}
	return err
}

// labProject makes the project of a run. Its name was never that of an earlier run, so neither bill nor record begins with one.
func (cp *ControlPlane) labProject(tx *storage.Tx, actor api.Actor, l labs.Lab) (api.Project, error) {
	key := "lab-runs/" + l.Name
	n := 1
	s, err := settingTable.Get(tx, key)
	if err == nil {
		n, err = strconv.Atoi(string(s.Value))
	}
	if err := ignoreGone(err); err != nil {
		return api.Project{}, err
	}
	for ; ; n++ {
		name := "lab-" + l.Name
		if n > 1 {
			name += "-" + strconv.Itoa(n)
		}
		p, err := cp.addProject(tx, actor, name, api.ProjectSpec{Description: "lab " + l.Name})
		if errors.Is(err, api.Conflict) {
			continue
		}
		if err != nil {
			return p, err
		}
		return p, settingTable.Put(tx, setting{Key: key, Value: []byte(strconv.Itoa(n + 1))})
	}
}

// changeRun changes the run as it is in the store now. Conflict: it has begun anew meanwhile.
func (cp *ControlPlane) changeRun(run labRun, change func(*labRun) error) (labRun, error) {
	var now labRun
	err := cp.Store.Update(func(tx *storage.Tx) (err error) {
		now, err = labRunTable.Get(tx, run.Key)
		if errors.Is(err, api.NotFound) || err == nil && now.Project != run.Project {
			return api.Errorf(api.Conflict, "cannot go on with this run of lab %q: it was reset", run.Lab)
		}
		if err != nil {
			return err
		}
		if now.Tasks == nil {
			now.Tasks = map[string]api.LabProgress{}
		}
		if err := change(&now); err != nil {
			return err
		}
		return labRunTable.Put(tx, now)
	})
	return now, err
}

func (v labVerbs) Change(ctx context.Context, name string, change api.LabChange) (api.LabRun, error) {
	run, l, err := v.mine(ctx, name)
	if err != nil {
		return api.LabRun{}, err
	}
	var resting []string
	if change == api.LabPause {
		if resting, err = v.cp.runningInstances(ctx, run.Project); err != nil {
			return api.LabRun{}, err
		}
	}
	run, err = v.cp.changeRun(run, func(r *labRun) error { return r.move(change, v.cp.Now().UTC(), resting) })
	if err != nil {
		return api.LabRun{}, err
	}
	v.cp.labsDue.notify()
	return run.shown(l, v.cp.Now()), nil
}

// move pauses, resumes or clears a run.
func (r *labRun) move(change api.LabChange, now time.Time, resting []string) error {
	from := map[api.LabChange][]api.LabPhase{
		api.LabPause: {api.LabRunning}, api.LabResume: {api.LabPaused}, api.LabReset: {api.LabRunning, api.LabPaused, api.LabDone, api.LabFailed, api.LabClearing},
	}[change]
	switch {
	case from == nil:
		return api.Errorf(api.Invalid, "cannot %s a lab: there are pause, resume and reset", change)
	case !slices.Contains(from, r.Phase):
		return api.Errorf(api.Conflict, "cannot %s lab %q: it is %s", change, r.Lab, r.Phase)
	}
	switch change {
	case api.LabPause:
		r.Phase, r.PausedAt, r.Resting = api.LabPaused, &now, resting
	case api.LabResume:
		r.PausedMs += now.Sub(*r.PausedAt).Milliseconds()
		r.Phase, r.PausedAt = api.LabRunning, nil
	default:
		r.Phase, r.Reason = api.LabClearing, ""
	}
	return nil
}
