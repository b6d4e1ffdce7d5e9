package rest

import (
	"context"

	"nuage/api"
)

func (f *face) appRoutes() []route {
	single := "/v1/projects/{project}/apps/{name}/"
	return []route{
		{get, single + "releases", anyToken, "apps", "list-releases", "List the releases of an app, newest first", handle(f.releases)},
		{post, single + "rollback", anyToken, "apps", "rollback-app", "Deploy an earlier release again", handle(f.rollback, example(RollbackRequest{To: 3}))},
		{post, single + "split", anyToken, "apps", "split-app", "Share requests out between releases", handle(f.split, example(api.Split{Shares: []api.Share{{Release: 3, Percent: 10}, {Release: 2, Percent: 90}}}))},
		{post, single + "promote", anyToken, "apps", "promote-app", "Release the image that serves in another project", handle(f.promote, example(PromoteRequest{To: "production"}))},
	}
}

// RollbackRequest is the body of a rollback.
type RollbackRequest struct {
	To int `json:"to,omitempty" minimum:"0" doc:"number of the release; 0: the newest that served before this one"`
}

type rollbackInput struct {
	Named
	Waiting
	Body *RollbackRequest
}

func (f *face) releases(ctx context.Context, in *struct{ Named }) (*body[api.List[api.Release]], error) {
	return list(f.Cloud.Apps.Releases(ctx, in.Project, in.Name))
}

func (f *face) rollback(ctx context.Context, in *rollbackInput) (*object[api.App], error) {
	to := 0
	if in.Body != nil {
		to = in.Body.To
	}
	v, err := f.Cloud.Apps.Rollback(ctx, in.Project, in.Name, to)
	if err != nil {
		return nil, err
	}
	return answerObject(settle(ctx, f.Cloud.Apps, in.Named, in.Wait.limit, v))
}

type splitInput struct {
	Named
	Waiting
	Body api.Split
}

func (f *face) split(ctx context.Context, in *splitInput) (*object[api.App], error) {
	v, err := f.Cloud.Apps.Split(ctx, in.Project, in.Name, in.Body)
	if err != nil {
		return nil, err
	}
	return answerObject(settle(ctx, f.Cloud.Apps, in.Named, in.Wait.limit, v))
}

// PromoteRequest is the body of a promotion.
type PromoteRequest struct {
	To string `json:"to" minLength:"1" doc:"the other project"`
}

type promoteInput struct {
	Named
	Waiting
	Body PromoteRequest
}

func (f *face) promote(ctx context.Context, in *promoteInput) (*body[api.Promotion], error) {
	v, err := f.Cloud.Apps.Promote(ctx, in.Project, in.Name, in.Body.To)
	if err == nil && in.Wait.limit > 0 {
		v.App, err = f.Cloud.Apps.Wait(ctx, in.Body.To, in.Name, in.Wait.limit)
	}
	return one(v, err)
}

func (f *face) databaseRoutes() []route {
	return []route{
		{get, "/v1/projects/{project}/databases/{name}/credentials", anyToken, "databases", "get-credentials",
			"Show how to let a client into a database", handle(f.credentials)},
		{post, "/v1/projects/{project}/databases/{name}/rotate", anyToken, "databases", "rotate-credentials",
			"Make new credentials; those before are closed when every bound app and function has moved", handle(f.rotate)},
	}
}

func (f *face) credentials(ctx context.Context, in *struct{ Named }) (*body[api.Credentials], error) {
	return one(f.Cloud.Databases.Credentials(ctx, in.Project, in.Name))
}

func (f *face) rotate(ctx context.Context, in *struct{ Named }) (*body[api.Credentials], error) {
	return one(f.Cloud.Databases.Rotate(ctx, in.Project, in.Name))
}
