package apitest

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"nuage/api"
)

// specField reads the field spec of a noun, whichever it is.
func specField[S any](v any) (spec S, err error) {
	text, err := json.Marshal(v)
	if err != nil {
		return spec, err
	}
	var holder struct {
		Spec S `json:"spec"`
	}
	err = json.Unmarshal(text, &holder)
	return holder.Spec, err
}

func (s *suite) projects(t *testing.T) {
	p, ctx, name := s.Cloud.Projects, s.Context, fresh("shop")
	made, err := p.Create(ctx, name, api.ProjectSpec{Description: "of a test"})
	must(t, "create", err)
	checkMeta(t, made.Meta, name, name)
	if made.Spec.Description != "of a test" || made.Status.CIDR == "" {
		t.Errorf("create answers %+v, want the description and a range", made)
	}
	got, err := p.Get(ctx, name)
	must(t, "get", err)
	if got.ID != made.ID {
		t.Errorf("get answers %s, want %s", got.ID, made.ID)
	}
	_, err = p.Create(ctx, name, api.ProjectSpec{})
	wants(t, "create with a taken name", err, api.Conflict)
	_, err = p.Create(ctx, "Shop", api.ProjectSpec{})
	wants(t, "create with a bad name", err, api.Invalid)
	if names := s.projectNames(t); !slices.Contains(names, name) || !slices.Contains(names, "default") || !slices.IsSorted(names) {
		t.Errorf("list answers %q, want %q and \"default\" in order", names, name)
	}
	group, err := s.Cloud.SecurityGroups.Get(ctx, name, "default")
	must(t, "get the default group", err)
	if len(group.Spec.Rules) != 2 {
		t.Errorf("group default has the rules %+v, want SSH and its own members", group.Spec.Rules)
	}
	s.projectScope(t, name)
	wants(t, "delete", p.Delete(ctx, name), "")
	_, err = p.Get(ctx, name)
	wants(t, "get what is deleted", err, api.NotFound)
	wants(t, "delete what is deleted", p.Delete(ctx, name), api.NotFound)
	wants(t, "delete the first project", p.Delete(ctx, "default"), api.Conflict)
}

func (s *suite) projectNames(t *testing.T) (names []string) {
	t.Helper()
	for page := (api.Page{Limit: 1}); ; {
		l, err := s.Cloud.Projects.List(s.Context, page)
		must(t, "list projects", err)
		for _, p := range l.Items {
			names = append(names, p.Name)
		}
		if page.After = l.Next; l.Next == "" {
			return names
		}
	}
}

// projectScope checks what a limited token sees of projects, and that what is in use stays.
func (s *suite) projectScope(t *testing.T, name string) {
	t.Helper()
	c, ctx := s.limited(t, name)
	l, err := c.Projects.List(ctx, api.Page{})
	must(t, "list with a limited token", err)
	if len(l.Items) != 1 || l.Items[0].Name != name {
		t.Errorf("a token limited to %s sees %+v", name, l.Items)
	}
	_, err = c.Projects.Get(ctx, "default")
	wants(t, "get with a limited token", err, api.Forbidden)
	_, err = c.Projects.Create(ctx, fresh("more"), api.ProjectSpec{})
	wants(t, "create with a limited token", err, api.Forbidden)
	wants(t, "delete with a limited token", c.Projects.Delete(ctx, name), api.Forbidden)
	x := trial[api.Function, api.FunctionSpec]{functions(), s, s.Context, name, s.Cloud.Functions}
	x.create(t, "left")
	wants(t, "delete what is not empty", s.Cloud.Projects.Delete(s.Context, name), api.Conflict)
	x.remove(t, "left")
}

func (s *suite) tokens(t *testing.T) {
	tokens, ctx, name := s.Cloud.Tokens, s.Context, fresh("ci")
	project := s.project(t)
	made, err := tokens.Create(ctx, name, api.TokenSpec{Project: project})
	must(t, "create", err)
	if made.Secret == "" || made.Name != name || made.Spec.Project != project {
		t.Errorf("create answers %+v, want a secret", made)
	}
	actor, err := tokens.Authenticate(ctx, made.Secret)
	must(t, "authenticate", err)
	if want := (api.Actor{Kind: api.Customer, Name: name, Project: project, Token: name}); actor != want {
		t.Errorf("the token speaks for %+v, want %+v", actor, want)
	}
	_, err = tokens.Create(ctx, name, api.TokenSpec{})
	wants(t, "create with a taken name", err, api.Conflict)
	_, err = tokens.Create(ctx, "No", api.TokenSpec{})
	wants(t, "create with a bad name", err, api.Invalid)
	_, err = tokens.Create(ctx, fresh("t"), api.TokenSpec{Project: fresh("nowhere")})
	wants(t, "create for no project", err, api.NotFound)
	past := time.Now().Add(-time.Hour)
	_, err = tokens.Create(ctx, fresh("t"), api.TokenSpec{ExpiresAt: &past})
	wants(t, "create one that has expired", err, api.Invalid)
	s.tokenSecrets(t, name)
	s.tokenScope(t, made.Secret)
	wants(t, "revoke", tokens.Revoke(ctx, name), "")
	_, err = tokens.Authenticate(ctx, made.Secret)
	wants(t, "authenticate with a revoked token", err, api.Unauthenticated)
	_, err = tokens.Authenticate(ctx, "nonsense")
	wants(t, "authenticate with nonsense", err, api.Unauthenticated)
	wants(t, "revoke what is revoked", tokens.Revoke(ctx, name), api.NotFound)
}

// tokenSecrets checks that a list shows a token but no secret.
func (s *suite) tokenSecrets(t *testing.T, name string) {
	t.Helper()
	found := false
	for page := (api.Page{Limit: 2}); ; {
		l, err := s.Cloud.Tokens.List(s.Context, page)
		must(t, "list tokens", err)
		for _, token := range l.Items {
			found = found || token.Name == name
			if token.Secret != "" {
				t.Errorf("list shows the secret of %s", token.Name)
			}
		}
		if page.After = l.Next; l.Next == "" {
			break
		}
	}
	if !found {
		t.Errorf("list lacks %s", name)
	}
}

// tokenScope checks that a limited token cannot make itself more.
func (s *suite) tokenScope(t *testing.T, secret string) {
	t.Helper()
	c, ctx := s.Login(t, secret)
	_, err := c.Tokens.Create(ctx, fresh("more"), api.TokenSpec{})
	wants(t, "create with a limited token", err, api.Forbidden)
	_, err = c.Tokens.List(ctx, api.Page{})
	wants(t, "list with a limited token", err, api.Forbidden)
	wants(t, "revoke with a limited token", c.Tokens.Revoke(ctx, "any"), api.Forbidden)
}

// allActivities reads the record to its end.
func (s *suite) allActivities(t *testing.T, q api.ActivityQuery) (all []api.Activity) {
	t.Helper()
	for {
		l, err := s.Cloud.Activities.List(s.Context, q)
		must(t, "list activities", err)
		all = append(all, l.Items...)
		if len(l.Items) == 0 || l.Next == "" {
			return all
		}
		q.After = l.Next
	}
}

func checkActivity(t *testing.T, a api.Activity) {
	t.Helper()
	if a.ID == "" || a.Time.IsZero() || a.Actor.Name == "" || a.Verb == "" || !slices.Contains(api.Layers(), a.Layer) {
		t.Errorf("the activity %+v lacks something", a)
	}
}

func (s *suite) activities(t *testing.T) {
	began := time.Now().Add(-time.Second)
	project := s.project(t)
	x := trial[api.Key, api.KeySpec]{keys(), s, s.Context, project, s.Cloud.Keys}
	x.create(t, "one")
	x.create(t, "two")
	if all := s.allActivities(t, api.ActivityQuery{Project: project, Since: began, Page: api.Page{Limit: 1}}); len(all) != 3 {
		t.Errorf("pages of 1 answer %+v, want the creation of a project and of two keys", all)
	}
	if all := s.allActivities(t, api.ActivityQuery{Project: project, Resource: "two"}); len(all) != 1 || all[0].Noun != "key" || all[0].Actor.Kind != api.Customer {
		t.Errorf("the record of key two is %+v", all)
	}
	if all := s.allActivities(t, api.ActivityQuery{Project: project, Layer: api.LayerPhysical}); len(all) != 0 {
		t.Errorf("work on the physical layer: %+v", all)
	}
	if all := s.allActivities(t, api.ActivityQuery{Project: project, Since: time.Now().Add(time.Hour)}); len(all) != 0 {
		t.Errorf("work in the future: %+v", all)
	}
	for what, c := range map[string]struct {
		q    api.ActivityQuery
		want int
	}{
		"keys":                {api.ActivityQuery{Noun: "key"}, 2},
		"project":             {api.ActivityQuery{Noun: "project"}, 1},
		"creations":           {api.ActivityQuery{Verb: "create", Model: "iaas"}, 2},
		"paas":                {api.ActivityQuery{Model: "paas"}, 0},
		"by nobody":           {api.ActivityQuery{By: "nobody"}, 0},
		"until the beginning": {api.ActivityQuery{Until: began}, 0},
		"until now":           {api.ActivityQuery{Until: time.Now().Add(time.Second)}, 3},
	} {
		c.q.Project = project
		if all := s.allActivities(t, c.q); len(all) != c.want {
			t.Errorf("%s: %+v, want %d", what, all, c.want)
		}
	}
	_, err := s.Cloud.Activities.List(s.Context, api.ActivityQuery{Model: "saas"})
	wants(t, "list with a bad model", err, api.Invalid)
	_, err = s.Cloud.Activities.List(s.Context, api.ActivityQuery{Page: api.Page{Limit: 1001}})
	wants(t, "list with a bad limit", err, api.Invalid)
	_, err = s.Cloud.Activities.List(s.Context, api.ActivityQuery{Layer: "cheese"})
	wants(t, "list with a bad layer", err, api.Invalid)
	c, ctx := s.limited(t, s.project(t))
	_, err = c.Activities.List(ctx, api.ActivityQuery{Project: project})
	wants(t, "list with a token for another project", err, api.Forbidden)
}
