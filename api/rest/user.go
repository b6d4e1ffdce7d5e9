package rest

import (
	"context"
	"net/http"

	"nuage/api"
)

func (f *face) userRoutes() []route {
	sample := CreateRequest[api.UserSpec]{Name: "ada", Spec: api.UserSpec{Project: "default", Description: "Ada Lovelace"}}
	return []route{
		{post, "/v1/users", accountToken, "users", "create-user", "Create a user; a token lets them in",
			handle(f.createUser, example(sample), status(http.StatusCreated))},
		{get, "/v1/users", accountToken, "users", "list-users", "List users", handle(f.listUsers)},
		{get, "/v1/users/{name}", accountToken, "users", "get-user", "Get a user", handle(f.getUser)},
		{del, "/v1/users/{name}", accountToken, "users", "delete-user", "Delete a user and revoke all their tokens at once", handle(f.deleteUser)},
	}
}

type newUserInput struct {
	Idempotent
	Body CreateRequest[api.UserSpec]
}

type userInput struct {
	Name string `path:"name" doc:"name of the user"`
}

func (f *face) createUser(ctx context.Context, in *newUserInput) (*created[api.User], error) {
	v, err := f.Cloud.Users.Create(in.context(ctx), in.Body.Name, in.Body.Spec)
	if err != nil {
		return nil, err
	}
	return &created[api.User]{Location: "/v1/users/" + in.Body.Name, ETag: tag(&v), Body: v}, nil
}

func (f *face) listUsers(ctx context.Context, in *pageInput) (*body[api.List[api.User]], error) {
	return list(f.Cloud.Users.List(ctx, in.page()))
}

func (f *face) getUser(ctx context.Context, in *userInput) (*body[api.User], error) {
	v, err := f.Cloud.Users.Get(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return &body[api.User]{v}, nil
}

func (f *face) deleteUser(ctx context.Context, in *userInput) (*nothing, error) {
	return done(f.Cloud.Users.Delete(ctx, in.Name))
}
