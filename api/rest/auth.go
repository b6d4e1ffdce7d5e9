package rest

import (
	"context"
	"net/http"

	"nuage/api"
)

func (f *face) poolUserRoutes() []route {
	all := "/v1/projects/{project}/auth-pools/{name}/users"
	one := all + "/{email}"
	return []route{
		{post, all, anyToken, "auth-pools", "add-pool-user", "Add a user to a pool; the answer has the code with which they choose a password",
			handle(f.addPoolUser, example(api.PoolUserSpec{Email: "ada@example.com", Roles: []string{"admin"}}), status(http.StatusCreated))},
		{get, all, anyToken, "auth-pools", "list-pool-users", "List the users of a pool", handle(f.listPoolUsers)},
		{del, one, anyToken, "auth-pools", "remove-pool-user", "Remove a user, with all sessions", handle(f.removePoolUser, status(http.StatusNoContent))},
		{post, one + "/reset", anyToken, "auth-pools", "reset-pool-user", "Make a code with which a user chooses a password anew", handle(f.resetPoolUser)},
	}
}

type poolUserInput struct {
	Named
	Email string `path:"email" maxLength:"254" doc:"address of the user" example:"ada@example.com"`
}

type poolUserPage struct {
	Named
	Page
}

func (f *face) addPoolUser(ctx context.Context, in *struct {
	Named
	Body api.PoolUserSpec
}) (*body[api.PoolUser], error) {
	return one(f.Cloud.PoolUsers.Add(ctx, in.Project, in.Name, in.Body))
}

func (f *face) listPoolUsers(ctx context.Context, in *poolUserPage) (*body[api.List[api.PoolUser]], error) {
	return list(f.Cloud.PoolUsers.List(ctx, in.Project, in.Name, in.page()))
}

func (f *face) removePoolUser(ctx context.Context, in *poolUserInput) (*nothing, error) {
	return done(f.Cloud.PoolUsers.Remove(ctx, in.Project, in.Name, in.Email))
}

func (f *face) resetPoolUser(ctx context.Context, in *poolUserInput) (*body[api.PoolReset], error) {
	return one(f.Cloud.PoolUsers.Reset(ctx, in.Project, in.Name, in.Email))
}
