package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"nuage/api"
)

type projects struct{ c *conn }

func (p projects) Create(ctx context.Context, name string, spec api.ProjectSpec) (api.Project, error) {
	return ask[api.Project](ctx, p.c, request{method: http.MethodPost, path: path("projects"), in: named[api.ProjectSpec]{name, spec}})
}

func (p projects) Get(ctx context.Context, name string) (api.Project, error) {
	return ask[api.Project](ctx, p.c, request{method: http.MethodGet, path: path("projects", name)})
}

func (p projects) List(ctx context.Context, page api.Page) (api.List[api.Project], error) {
	return ask[api.List[api.Project]](ctx, p.c, request{method: http.MethodGet, path: path("projects"), query: pageQuery(page)})
}

func (p projects) Update(ctx context.Context, name string, spec api.ProjectSpec, generation int64) (api.Project, error) {
	return ask[api.Project](ctx, p.c, request{method: http.MethodPut, path: path("projects", name), in: named[api.ProjectSpec]{Spec: spec}, header: ifMatch(generation)})
}

func (p projects) Delete(ctx context.Context, name string) error {
	return p.c.call(ctx, request{method: http.MethodDelete, path: path("projects", name)}, nil)
}

type users struct{ c *conn }

func (u users) Create(ctx context.Context, name string, spec api.UserSpec) (api.User, error) {
	return ask[api.User](ctx, u.c, request{method: http.MethodPost, path: path("users"), in: named[api.UserSpec]{name, spec}})
}

func (u users) Get(ctx context.Context, name string) (api.User, error) {
	return ask[api.User](ctx, u.c, request{method: http.MethodGet, path: path("users", name)})
}

func (u users) List(ctx context.Context, page api.Page) (api.List[api.User], error) {
	return ask[api.List[api.User]](ctx, u.c, request{method: http.MethodGet, path: path("users"), query: pageQuery(page)})
}

func (u users) Delete(ctx context.Context, name string) error {
	return u.c.call(ctx, request{method: http.MethodDelete, path: path("users", name)}, nil)
}

type tokens struct{ c *conn }

func (t tokens) Create(ctx context.Context, name string, spec api.TokenSpec) (api.Token, error) {
	return ask[api.Token](ctx, t.c, request{method: http.MethodPost, path: path("tokens"), in: named[api.TokenSpec]{name, spec}})
}

func (t tokens) List(ctx context.Context, page api.Page) (api.List[api.Token], error) {
	return ask[api.List[api.Token]](ctx, t.c, request{method: http.MethodGet, path: path("tokens"), query: pageQuery(page)})
}

func (t tokens) Revoke(ctx context.Context, name string) error {
	return t.c.call(ctx, request{method: http.MethodDelete, path: path("tokens", name)}, nil)
}

// Authenticate asks with the secret instead of the client's own token.
func (t tokens) Authenticate(ctx context.Context, secret string) (api.Actor, error) {
	c := *t.c
	c.token = secret
	id, err := ask[api.Identity](ctx, &c, request{method: http.MethodGet, path: path("identity")})
	return api.Actor(id), err
}

type activities struct{ c *conn }

func (a activities) List(ctx context.Context, q api.ActivityQuery) (api.List[api.Activity], error) {
	query := pageQuery(q.Page)
	setIf(query, "project", q.Project)
	setIf(query, "resource", q.Resource)
	setIf(query, "layer", string(q.Layer))
	setIf(query, "noun", q.Noun)
	setIf(query, "verb", q.Verb)
	setIf(query, "model", q.Model)
	setIf(query, "actor", string(q.Actor))
	setIf(query, "by", q.By)
	setTime(query, "since", q.Since)
	setTime(query, "until", q.Until)
	return ask[api.List[api.Activity]](ctx, a.c, request{method: http.MethodGet, path: path("activities"), query: query})
}

type ledger struct{ c *conn }

func (l ledger) Usage(ctx context.Context, q api.UsageQuery) (api.List[api.Usage], error) {
	query := pageQuery(q.Page)
	setIf(query, "project", q.Project)
	setIf(query, "resource", q.Resource)
	setTime(query, "from", q.From)
	setTime(query, "to", q.To)
	return ask[api.List[api.Usage]](ctx, l.c, request{method: http.MethodGet, path: path("usage"), query: query})
}

func (l ledger) Bill(ctx context.Context, q api.BillQuery) (api.Bill, error) {
	query := url.Values{}
	setIf(query, "project", q.Project)
	setIf(query, "by", q.By)
	setIf(query, "book", q.Book)
	setTime(query, "from", q.From)
	setTime(query, "to", q.To)
	return ask[api.Bill](ctx, l.c, request{method: http.MethodGet, path: path("bill"), query: query})
}

func (l ledger) Close(ctx context.Context, period string) (api.Bill, error) {
	in := struct {
		Period string `json:"period,omitempty"`
	}{period}
	return ask[api.Bill](ctx, l.c, request{method: http.MethodPost, path: path("invoices"), in: in})
}

func (l ledger) Invoices(ctx context.Context, page api.Page) (api.List[api.Invoice], error) {
	return ask[api.List[api.Invoice]](ctx, l.c, request{method: http.MethodGet, path: path("invoices"), query: pageQuery(page)})
}

func (l ledger) Retention(ctx context.Context) (api.Retention, error) {
	return ask[api.Retention](ctx, l.c, request{method: http.MethodGet, path: path("retention")})
}

func (l ledger) SetRetention(ctx context.Context, r api.Retention) (api.Retention, error) {
	in := struct {
		Days int64 `json:"days"`
	}{r.Days}
	return ask[api.Retention](ctx, l.c, request{method: http.MethodPut, path: path("retention"), in: in})
}

func (l ledger) Prices(ctx context.Context, book string) (api.PriceBook, error) {
	query := url.Values{}
	setIf(query, "book", book)
	return ask[api.PriceBook](ctx, l.c, request{method: http.MethodGet, path: path("prices"), query: query})
}

type clock struct{ c *conn }

func (k clock) Get(ctx context.Context) (api.ClockState, error) {
	return ask[api.ClockState](ctx, k.c, request{method: http.MethodGet, path: path("clock")})
}

func (k clock) Change(ctx context.Context, change api.ClockChange) (api.ClockState, error) {
	return ask[api.ClockState](ctx, k.c, request{method: http.MethodPost, path: path("clock"), in: change})
}

type advisories struct{ c *conn }

func (a advisories) Feed(ctx context.Context) (api.List[api.Advisory], error) {
	return ask[api.List[api.Advisory]](ctx, a.c, request{method: http.MethodGet, path: path("advisories")})
}

func (a advisories) Findings(ctx context.Context, project string) (api.List[api.Finding], error) {
	return ask[api.List[api.Finding]](ctx, a.c, request{method: http.MethodGet, path: path("projects", project, "findings")})
}

func (a advisories) Plant(ctx context.Context, project string, p api.Planting) (api.List[api.Finding], error) {
	return ask[api.List[api.Finding]](ctx, a.c, request{method: http.MethodPost, path: path("projects", project, "findings"), in: p})
}

type comparisons struct{ c *conn }

func (x comparisons) Compare(ctx context.Context, project string, names []string) (api.Comparison, error) {
	query := url.Values{}
	for _, n := range names {
		query.Add("name", n)
	}
	return ask[api.Comparison](ctx, x.c, request{method: http.MethodGet, path: path("projects", project, "compare"), query: query})
}

func (x comparisons) Measure(ctx context.Context, project string, m api.Measurement) error {
	return x.c.call(ctx, request{method: http.MethodPost, path: path("projects", project, "measurements"), in: m}, nil)
}

func setTime(q url.Values, name string, t time.Time) {
	if !t.IsZero() {
		q.Set(name, t.Format(time.RFC3339Nano))
	}
}
