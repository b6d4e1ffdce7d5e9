package client

import (
	"context"
	"net/http"

	"nuage/api"
)

// poolUsers are the users of pools over HTTP.
type poolUsers struct{ c *conn }

func (u poolUsers) at(project, pool string, more ...string) string {
	return path(append([]string{"projects", project, "auth-pools", pool, "users"}, more...)...)
}

func (u poolUsers) Add(ctx context.Context, project, pool string, spec api.PoolUserSpec) (api.PoolUser, error) {
	return ask[api.PoolUser](ctx, u.c, request{method: http.MethodPost, path: u.at(project, pool), in: spec})
}

func (u poolUsers) List(ctx context.Context, project, pool string, page api.Page) (api.List[api.PoolUser], error) {
	return ask[api.List[api.PoolUser]](ctx, u.c, request{method: http.MethodGet, path: u.at(project, pool), query: pageQuery(page)})
}

func (u poolUsers) Remove(ctx context.Context, project, pool, email string) error {
	return u.c.call(ctx, request{method: http.MethodDelete, path: u.at(project, pool, email)}, nil)
}

func (u poolUsers) Reset(ctx context.Context, project, pool, email string) (api.PoolReset, error) {
	return ask[api.PoolReset](ctx, u.c, request{method: http.MethodPost, path: u.at(project, pool, email, "reset")})
}
