package rest

import (
	"context"
	"net/http"

	"nuage/api"
)

func (f *face) projectRoutes() []route {
	all, single := "/v1/projects", "/v1/projects/{project}"
	sample := CreateRequest[api.ProjectSpec]{Name: "shop", Spec: api.ProjectSpec{Description: "the web shop"}}
	quota := api.ProjectSpec{Description: "the web shop", Quota: api.Quota{Instances: 4, MemoryBytes: 8 << 30}}
	return []route{
		{post, all, accountToken, "projects", "create-project", "Create a project", handle(f.createProject, example(sample), status(http.StatusCreated))},
		{get, all, anyToken, "projects", "list-projects", "List the projects that the token may see", handle(f.listProjects)},
		{get, single, anyToken, "projects", "get-project", "Show a project", handle(f.getProject)},
		{put, single, accountToken, "projects", "update-project", "Replace description and quota of a project", handle(f.updateProject, example(UpdateRequest[api.ProjectSpec]{quota}))},
		{del, single, accountToken, "projects", "delete-project", "Delete an empty project", handle(f.deleteProject)},
	}
}

type newProjectInput struct {
	Idempotent
	Body CreateRequest[api.ProjectSpec]
}

type projectUpdateInput struct {
	InProject
	IfMatching
	Body UpdateRequest[api.ProjectSpec]
}

type pageInput struct{ Page }

func (f *face) createProject(ctx context.Context, in *newProjectInput) (*created[api.Project], error) {
	v, err := f.Cloud.Projects.Create(in.context(ctx), in.Body.Name, in.Body.Spec)
	if err != nil {
		return nil, err
	}
	return &created[api.Project]{Location: "/v1/projects/" + in.Body.Name, ETag: tag(&v), Body: v}, nil
}

func (f *face) listProjects(ctx context.Context, in *pageInput) (*body[api.List[api.Project]], error) {
	return list(f.Cloud.Projects.List(ctx, in.page()))
}

func (f *face) getProject(ctx context.Context, in *struct{ InProject }) (*object[api.Project], error) {
	return answerObject(f.Cloud.Projects.Get(ctx, in.Project))
}

func (f *face) updateProject(ctx context.Context, in *projectUpdateInput) (*object[api.Project], error) {
	return answerObject(f.Cloud.Projects.Update(ctx, in.Project, in.Body.Spec, in.IfMatch.number))
}

func (f *face) deleteProject(ctx context.Context, in *struct{ InProject }) (*nothing, error) {
	return done(f.Cloud.Projects.Delete(ctx, in.Project))
}
