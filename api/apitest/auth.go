package apitest

import (
	"slices"
	"strings"
	"testing"

	"nuage/api"
)

// poolUsers checks the users of a pool, and that one with an app stays.
func (s *suite) poolUsers(t *testing.T) {
	x := trial[api.AuthPool, api.AuthPoolSpec]{authPools(), s, s.Context, s.project(t), s.Cloud.AuthPools}
	x.create(t, "one")
	users := s.Cloud.PoolUsers
	added, err := users.Add(x.ctx, x.project, "one", api.PoolUserSpec{Email: "Ada@Example.com", Name: "Ada", Roles: []string{"editor", "admin", "admin"}})
	must(t, "add a user", err)
	if added.Email != "ada@example.com" || !slices.Equal(added.Roles, []string{"admin", "editor"}) || !added.Verified || added.Reset == nil || added.Reset.Code == "" ||
		!strings.HasSuffix(added.Reset.URL, "/"+x.project+"/one/reset") {
		t.Errorf("the added user is %+v, its reset %+v", added, added.Reset)
	}
	_, err = users.Add(x.ctx, x.project, "one", api.PoolUserSpec{Email: "ADA@example.com"})
	wants(t, "add a taken address", err, api.Conflict)
	for _, email := range []string{"", "ada", "Ada <ada@example.com>", "a b@example.com", "a/b@example.com"} {
		_, err = users.Add(x.ctx, x.project, "one", api.PoolUserSpec{Email: email})
		wants(t, "add "+email, err, api.Invalid)
	}
	_, err = users.Add(x.ctx, x.project, "one", api.PoolUserSpec{Email: "bob@example.com", Roles: []string{"no role"}})
	wants(t, "add with a bad role", err, api.Invalid)
	_, err = users.Add(x.ctx, x.project, "one", api.PoolUserSpec{Email: "bob@example.com"})
	must(t, "add another user", err)
	first, err := users.List(x.ctx, x.project, "one", api.Page{Limit: 1})
	must(t, "list", err)
	second, err := users.List(x.ctx, x.project, "one", api.Page{Limit: 1, After: first.Next})
	must(t, "list the rest", err)
	if len(first.Items) != 1 || len(second.Items) != 1 || first.Items[0].ID != added.ID || second.Items[0].Email != "bob@example.com" || second.Next != "" {
		t.Errorf("the pages are %+v and %+v", first, second)
	}
	if p := x.settled(t, "one"); p.Status.Users != 2 || !strings.HasSuffix(p.Status.Issuer, "/"+x.project+"/one") {
		t.Errorf("the pool says %+v, want 2 users", p.Status)
	}
	reset, err := users.Reset(x.ctx, x.project, "one", "ada@example.com")
	must(t, "reset", err)
	if reset.Code == added.Reset.Code || !reset.ExpiresAt.After(added.CreatedAt) {
		t.Errorf("the reset is %+v", reset)
	}
	_, err = users.Add(x.ctx, x.project, "one", api.PoolUserSpec{Email: "b+c?d%e@example.com"})
	must(t, "add an address with signs", err)
	must(t, "remove an address with signs", users.Remove(x.ctx, x.project, "one", "b+c?d%e@example.com"))
	s.noSuchUser(t, x.project)
	must(t, "remove", users.Remove(x.ctx, x.project, "one", "ada@example.com"))
	wants(t, "remove again", users.Remove(x.ctx, x.project, "one", "ada@example.com"), api.NotFound)
	s.boundPool(t, x)
}

func (s *suite) noSuchUser(t *testing.T, project string) {
	t.Helper()
	_, err := s.Cloud.PoolUsers.Reset(s.Context, project, "one", "nobody@example.com")
	wants(t, "reset nobody", err, api.NotFound)
	_, err = s.Cloud.PoolUsers.Add(s.Context, project, "nowhere", api.PoolUserSpec{Email: "ada@example.com"})
	wants(t, "add to no pool", err, api.NotFound)
	_, err = s.Cloud.PoolUsers.List(s.Context, project, "nowhere", api.Page{})
	wants(t, "list no pool", err, api.NotFound)
}

// boundPool checks that a pool an app is bound to can't be deleted.
func (s *suite) boundPool(t *testing.T, x trial[api.AuthPool, api.AuthPoolSpec]) {
	t.Helper()
	a := trial[api.App, api.AppSpec]{apps(s.Image), s, s.Context, x.project, s.Cloud.Apps}
	_, err := a.r.Create(x.ctx, x.project, "shop", api.AppSpec{Image: s.Image, Size: "nano", Auth: api.AppAuth{Pool: "one", Required: true}})
	must(t, "bind an app", err)
	wants(t, "delete a bound pool", x.r.Delete(x.ctx, x.project, "one", 0), api.Conflict)
	p, err := x.r.Get(x.ctx, x.project, "one")
	must(t, "get", err)
	if !slices.Equal(p.Status.Apps, []string{"shop"}) {
		t.Errorf("the pool names the apps %q, want shop", p.Status.Apps)
	}
	a.remove(t, "shop")
}
