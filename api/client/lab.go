package client

import (
	"context"
	"net/http"
	"net/url"

	"nuage/api"
)

type labs struct{ c *conn }

func (l labs) List(ctx context.Context, language string) (api.List[api.Lab], error) {
	return ask[api.List[api.Lab]](ctx, l.c, request{method: http.MethodGet, path: path("labs"), query: inLanguage(language)})
}

func (l labs) Get(ctx context.Context, name, language string) (api.Lab, error) {
	return ask[api.Lab](ctx, l.c, request{method: http.MethodGet, path: path("labs", name), query: inLanguage(language)})
}

func inLanguage(language string) url.Values {
	query := url.Values{}
	setIf(query, "lang", language)
	return query
}

func (l labs) Runs(ctx context.Context) (api.List[api.LabRun], error) {
	return ask[api.List[api.LabRun]](ctx, l.c, request{method: http.MethodGet, path: path("lab-runs")})
}

func (l labs) Start(ctx context.Context, name, language string) (api.Lab, error) {
	return ask[api.Lab](ctx, l.c, request{method: http.MethodPost, path: path("labs", name, "start"), in: map[string]string{"language": language}})
}

func (l labs) Check(ctx context.Context, name string, check api.LabCheck) (api.LabChecked, error) {
	return ask[api.LabChecked](ctx, l.c, request{method: http.MethodPost, path: path("labs", name, "check"), in: check})
}

func (l labs) Hint(ctx context.Context, name, task string) (api.LabHint, error) {
	return ask[api.LabHint](ctx, l.c, request{method: http.MethodPost, path: path("labs", name, "hint"), in: map[string]string{"task": task}})
}

func (l labs) Solve(ctx context.Context, name, task string) (api.LabSolution, error) {
	return ask[api.LabSolution](ctx, l.c, request{method: http.MethodPost, path: path("labs", name, "solve"), in: map[string]string{"task": task}})
}

func (l labs) Change(ctx context.Context, name string, change api.LabChange) (api.LabRun, error) {
	return ask[api.LabRun](ctx, l.c, request{method: http.MethodPost, path: path("labs", name, string(change))})
}
