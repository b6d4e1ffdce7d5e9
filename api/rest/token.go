package rest

import (
	"context"
	"net/http"

	"nuage/api"
)

func (f *face) tokenRoutes() []route {
	sample := CreateRequest[api.TokenSpec]{Name: "ci", Spec: api.TokenSpec{Project: "default"}}
	return []route{
		{post, "/v1/tokens", accountToken, "tokens", "create-token", "Create a token; the answer alone shows its secret",
			handle(f.createToken, example(sample), status(http.StatusCreated))},
		{get, "/v1/tokens", accountToken, "tokens", "list-tokens", "List tokens", handle(f.listTokens)},
		{del, "/v1/tokens/{name}", accountToken, "tokens", "revoke-token", "Revoke a token at once", handle(f.revokeToken)},
		{get, "/v1/identity", anyToken, "tokens", "get-identity", "Say who the token in use speaks for", handle(f.identity)},
	}
}

type newTokenInput struct {
	Idempotent
	Body CreateRequest[api.TokenSpec]
}

type tokenInput struct {
	Name string `path:"name" doc:"name of the token"`
}

func (f *face) createToken(ctx context.Context, in *newTokenInput) (*created[api.Token], error) {
	v, err := f.Cloud.Tokens.Create(in.context(ctx), in.Body.Name, in.Body.Spec)
	if err != nil {
		return nil, err
	}
	return &created[api.Token]{Location: "/v1/tokens/" + in.Body.Name, ETag: tag(&v), Body: v}, nil
}

func (f *face) listTokens(ctx context.Context, in *pageInput) (*body[api.List[api.Token]], error) {
	return list(f.Cloud.Tokens.List(ctx, in.page()))
}

func (f *face) revokeToken(ctx context.Context, in *tokenInput) (*nothing, error) {
	return done(f.Cloud.Tokens.Revoke(ctx, in.Name))
}

func (f *face) identity(ctx context.Context, _ *nothing) (*body[api.Identity], error) {
	actor, _ := api.ActorFrom(ctx)
	return &body[api.Identity]{api.Identity(actor)}, nil
}
