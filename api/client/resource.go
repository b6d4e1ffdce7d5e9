package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"nuage/api"
)

// resource is one noun of a project over HTTP.
type resource[T, S any] struct {
	c    *conn
	noun string
}

// named is the body of a create, and without a name of an update.
type named[S any] struct {
	Name string `json:"name,omitempty"`
	Spec S      `json:"spec"`
}

func (r resource[T, S]) at(project string, more ...string) string {
	return path(append([]string{"projects", project, r.noun}, more...)...)
}

func (r resource[T, S]) Create(ctx context.Context, project, name string, spec S) (T, error) {
	return ask[T](ctx, r.c, request{method: http.MethodPost, path: r.at(project), in: named[S]{name, spec}})
}

func (r resource[T, S]) Get(ctx context.Context, project, name string) (T, error) {
	return ask[T](ctx, r.c, request{method: http.MethodGet, path: r.at(project, name)})
}

func (r resource[T, S]) List(ctx context.Context, project string, page api.Page) (api.List[T], error) {
	return ask[api.List[T]](ctx, r.c, request{method: http.MethodGet, path: r.at(project), query: pageQuery(page)})
}

func (r resource[T, S]) Update(ctx context.Context, project, name string, spec S, generation int64) (T, error) {
	return ask[T](ctx, r.c, request{method: http.MethodPut, path: r.at(project, name), in: named[S]{Spec: spec}, header: ifMatch(generation)})
}

func (r resource[T, S]) Delete(ctx context.Context, project, name string, generation int64) error {
	return r.c.call(ctx, request{method: http.MethodDelete, path: r.at(project, name), header: ifMatch(generation)}, nil)
}

func ifMatch(generation int64) http.Header {
	if generation == 0 {
		return nil
	}
	return http.Header{"If-Match": {strconv.Quote(strconv.FormatInt(generation, 10))}}
}

// waitOnce is the longest wait of one request: under the most the API takes, so that an answer is on time.
const waitOnce = 60 * time.Second

// Wait asks again as long as there is time: one request waits a minute at most.
func (r resource[T, S]) Wait(ctx context.Context, project, name string, limit time.Duration) (T, error) {
	deadline := time.Now().Add(limit)
	for {
		left := max(time.Until(deadline), 0)
		v, settled, err := r.wait(ctx, project, name, min(left, waitOnce))
		if err != nil || settled || left <= waitOnce {
			return v, err
		}
	}
}

func (r resource[T, S]) wait(ctx context.Context, project, name string, limit time.Duration) (v T, settled bool, err error) {
	var text json.RawMessage
	query := url.Values{"wait": {limit.String()}}
	if err := r.c.call(ctx, request{method: http.MethodGet, path: r.at(project, name), query: query}, &text); err != nil {
		return v, false, err
	}
	var head struct {
		api.Meta
		Status api.Status `json:"status"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return v, false, r.c.garbled(ctx, err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return v, false, r.c.garbled(ctx, err)
	}
	return v, api.Settled(head.Meta, head.Status), nil
}

type instances struct {
	resource[api.Instance, api.InstanceSpec]
}

func (i instances) Power(ctx context.Context, project, name string, action api.PowerAction) (api.Instance, error) {
	return ask[api.Instance](ctx, i.c, request{method: http.MethodPost, path: i.at(project, name, string(action))})
}

func (i instances) Reclaim(ctx context.Context, project, name string, notice time.Duration) (api.Instance, error) {
	in := struct {
		Notice string `json:"notice"`
	}{notice.String()}
	return ask[api.Instance](ctx, i.c, request{method: http.MethodPost, path: i.at(project, name, "reclaim"), in: in})
}

func (i instances) Metrics(ctx context.Context, project, name string) (api.InstanceMetrics, error) {
	return ask[api.InstanceMetrics](ctx, i.c, request{method: http.MethodGet, path: i.at(project, name, "metrics")})
}

type volumes struct {
	resource[api.Volume, api.VolumeSpec]
}

func (v volumes) Attach(ctx context.Context, project, name string, to api.Attachment, restart bool) (api.Volume, error) {
	in := struct {
		api.Attachment
		Restart bool `json:"restart"`
	}{to, restart}
	return ask[api.Volume](ctx, v.c, request{method: http.MethodPost, path: v.at(project, name, "attach"), in: in})
}

func (v volumes) Detach(ctx context.Context, project, name string, restart bool) (api.Volume, error) {
	in := struct {
		Restart bool `json:"restart"`
	}{restart}
	return ask[api.Volume](ctx, v.c, request{method: http.MethodPost, path: v.at(project, name, "detach"), in: in})
}

type apps struct {
	resource[api.App, api.AppSpec]
}

func (a apps) Releases(ctx context.Context, project, name string) (api.List[api.Release], error) {
	return ask[api.List[api.Release]](ctx, a.c, request{method: http.MethodGet, path: a.at(project, name, "releases")})
}

func (a apps) Rollback(ctx context.Context, project, name string, to int) (api.App, error) {
	in := struct {
		To int `json:"to,omitempty"`
	}{to}
	return ask[api.App](ctx, a.c, request{method: http.MethodPost, path: a.at(project, name, "rollback"), in: in})
}

func (a apps) Split(ctx context.Context, project, name string, split api.Split) (api.App, error) {
	return ask[api.App](ctx, a.c, request{method: http.MethodPost, path: a.at(project, name, "split"), in: split})
}

func (a apps) Promote(ctx context.Context, project, name, to string) (api.Promotion, error) {
	in := struct {
		To string `json:"to"`
	}{to}
	return ask[api.Promotion](ctx, a.c, request{method: http.MethodPost, path: a.at(project, name, "promote"), in: in})
}

type databases struct {
	resource[api.Database, api.DatabaseSpec]
}

func (d databases) Credentials(ctx context.Context, project, name string) (api.Credentials, error) {
	return ask[api.Credentials](ctx, d.c, request{method: http.MethodGet, path: d.at(project, name, "credentials")})
}

func (d databases) Rotate(ctx context.Context, project, name string) (api.Credentials, error) {
	return ask[api.Credentials](ctx, d.c, request{method: http.MethodPost, path: d.at(project, name, "rotate")})
}
