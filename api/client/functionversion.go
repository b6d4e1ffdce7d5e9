package client

import (
	"context"
	"net/http"
	"strconv"

	"nuage/api"
)

type functionVersions struct{ functions }

func (v functionVersions) Publish(ctx context.Context, project, function string) (api.FunctionVersion, error) {
	return ask[api.FunctionVersion](ctx, v.c, request{method: http.MethodPost, path: v.at(project, function, "versions")})
}

func (v functionVersions) Versions(ctx context.Context, project, function string) (api.List[api.FunctionVersion], error) {
	return ask[api.List[api.FunctionVersion]](ctx, v.c, request{method: http.MethodGet, path: v.at(project, function, "versions")})
}

func (v functionVersions) Unpublish(ctx context.Context, project, function string, version int) error {
	return v.c.call(ctx, request{method: http.MethodDelete, path: v.at(project, function, "versions", strconv.Itoa(version))}, nil)
}

func (v functionVersions) Aliases(ctx context.Context, project, function string) (api.List[api.FunctionAlias], error) {
	return ask[api.List[api.FunctionAlias]](ctx, v.c, request{method: http.MethodGet, path: v.at(project, function, "aliases")})
}

func (v functionVersions) SetAlias(ctx context.Context, project, function, alias string, versions []api.VersionShare) (api.FunctionAlias, error) {
	in := struct {
		Versions []api.VersionShare `json:"versions"`
	}{versions}
	return ask[api.FunctionAlias](ctx, v.c, request{method: http.MethodPut, path: v.at(project, function, "aliases", alias), in: in})
}

func (v functionVersions) DeleteAlias(ctx context.Context, project, function, alias string) error {
	return v.c.call(ctx, request{method: http.MethodDelete, path: v.at(project, function, "aliases", alias)}, nil)
}
