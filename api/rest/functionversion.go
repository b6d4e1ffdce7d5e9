package rest

import (
	"context"
	"net/http"

	"nuage/api"
)

func (f *face) functionVersionRoutes() []route {
	single := "/v1/projects/{project}/functions/{name}/"
	return []route{
		{post, single + "versions", anyToken, "functions", "publish-function", "Publish what was deployed last as a version that never changes", handle(f.publishVersion)},
		{get, single + "versions", anyToken, "functions", "list-function-versions", "List the published versions of a function, newest first", handle(f.versions)},
		{del, single + "versions/{version}", anyToken, "functions", "unpublish-function", "Delete a published version", handle(f.unpublish, status(http.StatusNoContent))},
		{get, single + "aliases", anyToken, "functions", "list-function-aliases", "List the aliases of a function", handle(f.aliases)},
		{put, single + "aliases/{alias}", anyToken, "functions", "set-function-alias", "Let an alias lead to one published version, or to two by weight",
			handle(f.setAlias, example(AliasRequest{Versions: []api.VersionShare{{Version: 3, Percent: 90}, {Version: 4, Percent: 10}}}))},
		{del, single + "aliases/{alias}", anyToken, "functions", "delete-function-alias", "Delete an alias", handle(f.deleteAlias, status(http.StatusNoContent))},
	}
}

// AliasRequest is the body that sets an alias.
type AliasRequest struct {
	Versions []api.VersionShare `json:"versions" minItems:"1" maxItems:"2" doc:"together 100 percent; one may leave its percent 0 and gets the rest"`
}

type aliasInput struct {
	Named
	Alias string `path:"alias" maxLength:"40" doc:"name of the alias" example:"live"`
}

type setAliasInput struct {
	Named
	Alias string `path:"alias" maxLength:"40" doc:"name of the alias" example:"live"`
	Body  AliasRequest
}

func (f *face) publishVersion(ctx context.Context, in *struct{ Named }) (*body[api.FunctionVersion], error) {
	return one(f.Cloud.Versions.Publish(ctx, in.Project, in.Name))
}

func (f *face) versions(ctx context.Context, in *struct{ Named }) (*body[api.List[api.FunctionVersion]], error) {
	return list(f.Cloud.Versions.Versions(ctx, in.Project, in.Name))
}

func (f *face) unpublish(ctx context.Context, in *struct {
	Named
	Version int `path:"version" minimum:"1" doc:"number of the version"`
}) (*nothing, error) {
	return done(f.Cloud.Versions.Unpublish(ctx, in.Project, in.Name, in.Version))
}

func (f *face) aliases(ctx context.Context, in *struct{ Named }) (*body[api.List[api.FunctionAlias]], error) {
	return list(f.Cloud.Versions.Aliases(ctx, in.Project, in.Name))
}

func (f *face) setAlias(ctx context.Context, in *setAliasInput) (*body[api.FunctionAlias], error) {
	return one(f.Cloud.Versions.SetAlias(ctx, in.Project, in.Name, in.Alias, in.Body.Versions))
}

func (f *face) deleteAlias(ctx context.Context, in *aliasInput) (*nothing, error) {
	return done(f.Cloud.Versions.DeleteAlias(ctx, in.Project, in.Name, in.Alias))
}
