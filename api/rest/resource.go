package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"nuage/api"
)

// noun is how a kind of thing is called: in paths and in sentences.
type noun struct{ plural, singular string }

func (n noun) path() string { return "/v1/projects/{project}/" + n.plural }

// resourceRoutes are the verbs that every noun within a project has.
func resourceRoutes[T, S any](n noun, r api.Resource[T, S], spec S) []route {
	x := resource[T, S]{n, r}
	sample := map[string]any{"name": "web", "spec": spec}
	all, single := n.path(), n.path()+"/{name}"
	a := article(n.singular)
	return []route{
		{post, all, anyToken, n.plural, "create-" + n.plural, "Create " + a, handle(x.create, example(sample), status(http.StatusCreated))},
		{get, all, anyToken, n.plural, "list-" + n.plural, "List " + strings.ReplaceAll(n.plural, "-", " "), handle(x.list)},
		{get, single, anyToken, n.plural, "get-" + n.plural, "Show " + a, handle(x.get)},
		{put, single, anyToken, n.plural, "update-" + n.plural, "Replace the spec of " + a, handle(x.update, example(map[string]any{"spec": spec}))},
		{del, single, anyToken, n.plural, "delete-" + n.plural, "Delete " + a, handle(x.delete, deletion)},
	}
}

func article(singular string) string {
	if strings.ContainsRune("aeiou", rune(singular[0])) {
		return "an " + singular
	}
	return "a " + singular
}

// resource serves one noun.
type resource[T, S any] struct {
	noun noun
	api.Resource[T, S]
}

// CreateRequest is the body of a create.
type CreateRequest[S any] struct {
	Name string `json:"name" doc:"DNS label, 1 to 40 characters"`
	Spec S      `json:"spec,omitempty"`
}

// UpdateRequest is the body of an update.
type UpdateRequest[S any] struct {
	Spec S `json:"spec"`
}

type createInput[S any] struct {
	InProject
	Waiting
	Idempotent
	Body CreateRequest[S]
}

type Idempotent struct {
	Key string `header:"Idempotency-Key" maxLength:"255" doc:"a create with the same key and body within a day answers what the first one made"`
}

func (i Idempotent) context(ctx context.Context) context.Context {
	if i.Key == "" {
		return ctx
	}
	return api.WithIdempotencyKey(ctx, i.Key)
}

type oneInput struct {
	Named
	Waiting
}

type updateInput[S any] struct {
	Named
	Waiting
	IfMatching
	Body UpdateRequest[S]
}

type deleteInput struct {
	Named
	Waiting
	IfMatching
}

type listInput struct {
	InProject
	Page
}

// IfMatching is the header If-Match.
type IfMatching struct {
	IfMatch generation `header:"If-Match" doc:"do it only while this is the generation" example:"3"`
}

// generation is an entity tag: a generation with or without quotes, or * for any.
type generation struct{ number int64 }

// UnmarshalText parses it.
func (g *generation) UnmarshalText(text []byte) error {
	word := strings.Trim(string(text), `"`)
	if word == "*" {
		return nil
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil || n < 1 {
		return errors.New("expected a generation: a whole number from 1")
	}
	g.number = n
	return nil
}

// object is an answer with a noun in it.
type object[T any] struct {
	ETag string `header:"ETag" doc:"the generation, for If-Match"`
	Body T
}

type created[T any] struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag" doc:"the generation, for If-Match"`
	Body     T
}

type deleted[T any] struct {
	Status int
	Body   *T
}

func (x resource[T, S]) create(ctx context.Context, in *createInput[S]) (*created[T], error) {
	v, err := x.Create(in.context(ctx), in.Project, in.Body.Name, in.Body.Spec)
	if err == nil && in.Wait.limit > 0 {
		v, err = x.Wait(ctx, in.Project, in.Body.Name, in.Wait.limit)
	}
	if err != nil {
		return nil, err
	}
	return &created[T]{Location: fmt.Sprintf("/v1/projects/%s/%s/%s", in.Project, x.noun.plural, in.Body.Name), ETag: tag(&v), Body: v}, nil
}

func (x resource[T, S]) list(ctx context.Context, in *listInput) (*body[api.List[T]], error) {
	return list(x.List(ctx, in.Project, in.page()))
}

func (x resource[T, S]) get(ctx context.Context, in *oneInput) (*object[T], error) {
	if in.Wait.limit > 0 {
		return answerObject(x.Wait(ctx, in.Project, in.Name, in.Wait.limit))
	}
	return answerObject(x.Get(ctx, in.Project, in.Name))
}

func (x resource[T, S]) update(ctx context.Context, in *updateInput[S]) (*object[T], error) {
	v, err := x.Update(ctx, in.Project, in.Name, in.Body.Spec, in.IfMatch.number)
	if err != nil {
		return nil, err
	}
	return answerObject(settle(ctx, x.Resource, in.Named, in.Wait.limit, v))
}

// delete answers 204 when the record is gone and 202 with the noun while its deletion is under way.
func (x resource[T, S]) delete(ctx context.Context, in *deleteInput) (*deleted[T], error) {
	if err := x.Delete(ctx, in.Project, in.Name, in.IfMatch.number); err != nil {
		return nil, err
	}
	v, err := x.Wait(ctx, in.Project, in.Name, in.Wait.limit)
	if errors.Is(err, api.NotFound) {
		return &deleted[T]{Status: http.StatusNoContent}, nil
	}
	if err != nil {
		return nil, err
	}
	if h := head(&v); h != nil && h.DeletedAt == nil { // somebody has made a new one by that name
		return &deleted[T]{Status: http.StatusNoContent}, nil
	}
	return &deleted[T]{Status: http.StatusAccepted, Body: &v}, nil
}

// deletion documents both ends of a deletion.
func deletion(op *huma.Operation) {
	op.DefaultStatus = http.StatusAccepted
	op.Responses["202"] = &huma.Response{Description: "The deletion is under way."}
	op.Responses["204"] = &huma.Response{Description: "Gone."}
}

// settle waits after a change where the caller asked for it.
func settle[T, S any](ctx context.Context, r api.Resource[T, S], at Named, limit time.Duration, v T) (T, error) {
	if limit <= 0 {
		return v, nil
	}
	return r.Wait(ctx, at.Project, at.Name, limit)
}

func answerObject[T any](v T, err error) (*object[T], error) {
	if err != nil {
		return nil, err
	}
	return &object[T]{ETag: tag(&v), Body: v}, nil
}

// head finds the Meta that every noun embeds.
func head(v any) *api.Meta {
	if h, ok := v.(interface{ Head() *api.Meta }); ok {
		return h.Head()
	}
	return nil
}

func tag(v any) string {
	if h := head(v); h != nil {
		return strconv.Quote(strconv.FormatInt(h.Generation, 10))
	}
	return ""
}
