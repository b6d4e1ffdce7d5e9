package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"nuage/api"
)

func (f *face) labRoutes() []route {
	one := "/v1/labs/{lab}"
	moved := func(change api.LabChange, summary string, set ...func(*huma.Operation)) route {
		return route{post, one + "/" + string(change), accountToken, "labs", string(change) + "-lab", summary, handle(f.changeLab(change), set...)}
	}
	return []route{
		{get, "/v1/labs", accountToken, "labs", "list-labs", "List the labs, with how far you are", handle(f.listLabs)},
		{get, "/v1/lab-runs", accountToken, "labs", "list-lab-runs", "List how far everybody is: the grades", handle(f.listLabRuns)},
		{get, one, accountToken, "labs", "get-lab", "Show a lab with its texts", handle(f.getLab)},
		{post, one + "/start", accountToken, "labs", "start-lab", "Start a lab, in a project of its own", handle(f.startLab, example(LabStart{Language: "en"}))},
		{post, one + "/check", accountToken, "labs", "check-lab", "Look which open tasks are done", handle(f.checkLab, example(api.LabCheck{Task: "cost", Answer: "0.0034"}))},
		{post, one + "/hint", accountToken, "labs", "hint-lab", "Help with a task", handle(f.hintLab, example(LabTaskName{Task: "create"}))},
		{post, one + "/solve", accountToken, "labs", "solve-lab", "Show how a task is done", handle(f.solveLab, example(LabTaskName{Task: "create"}))},
		moved(api.LabPause, "Hold a lab: its time stands and its machines stop"),
		moved(api.LabResume, "Go on with a lab that is paused"),
		moved(api.LabReset, "Delete all a lab has made; it can be started anew then", status(http.StatusAccepted)),
	}
}

// InLab, InLanguage, LabStart and LabTaskName are exported because huma reads no others.
type InLab struct {
	Lab string `path:"lab" doc:"name of the lab" example:"first-instance"`
}

type InLanguage struct {
	Language string `query:"lang" pattern:"^([a-z][a-z])?$" doc:"of the texts; English when absent"`
}

// LabStart is the body of a start.
type LabStart struct {
	Language string `json:"language,omitempty" pattern:"^([a-z][a-z])?$" doc:"of the texts; English when absent"`
}

// LabTaskName is the body of what is about one task.
type LabTaskName struct {
	Task string `json:"task,omitempty" doc:"the first open one when absent"`
}

type labInput struct {
	InLab
	InLanguage
}

type labStartInput struct {
	InLab
	Body LabStart `required:"false"`
}

type labCheckInput struct {
	InLab
	Body api.LabCheck `required:"false"`
}

type labTaskInput struct {
	InLab
	Body LabTaskName `required:"false"`
}

func (f *face) listLabs(ctx context.Context, in *struct{ InLanguage }) (*body[api.List[api.Lab]], error) {
	return list(f.Cloud.Labs.List(ctx, in.Language))
}

func (f *face) listLabRuns(ctx context.Context, _ *nothing) (*body[api.List[api.LabRun]], error) {
	return list(f.Cloud.Labs.Runs(ctx))
}

func (f *face) getLab(ctx context.Context, in *labInput) (*body[api.Lab], error) {
	return one(f.Cloud.Labs.Get(ctx, in.Lab, in.Language))
}

func (f *face) startLab(ctx context.Context, in *labStartInput) (*body[api.Lab], error) {
	return one(f.Cloud.Labs.Start(ctx, in.Lab, in.Body.Language))
}

func (f *face) checkLab(ctx context.Context, in *labCheckInput) (*body[api.LabChecked], error) {
	return one(f.Cloud.Labs.Check(ctx, in.Lab, in.Body))
}

func (f *face) hintLab(ctx context.Context, in *labTaskInput) (*body[api.LabHint], error) {
	return one(f.Cloud.Labs.Hint(ctx, in.Lab, in.Body.Task))
}

func (f *face) solveLab(ctx context.Context, in *labTaskInput) (*body[api.LabSolution], error) {
	return one(f.Cloud.Labs.Solve(ctx, in.Lab, in.Body.Task))
}

func (f *face) changeLab(change api.LabChange) func(context.Context, *struct{ InLab }) (*body[api.LabRun], error) {
	return func(ctx context.Context, in *struct{ InLab }) (*body[api.LabRun], error) {
		return one(f.Cloud.Labs.Change(ctx, in.Lab, change))
	}
}
