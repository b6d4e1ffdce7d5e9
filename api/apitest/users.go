package apitest

import (
	"slices"
	"testing"

	"nuage/api"
)

func (s *suite) users(t *testing.T) {
	users, ctx, name := s.Cloud.Users, s.Context, fresh("ada")
	project := s.project(t)
	made, err := users.Create(ctx, name, api.UserSpec{Project: project, Description: "Ada"})
	must(t, "create", err)
	if made.Name != name || made.Spec.Project != project || made.ID == "" {
		t.Errorf("create answers %+v", made)
	}
	_, err = users.Create(ctx, name, api.UserSpec{})
	wants(t, "create with a taken name", err, api.Conflict)
	_, err = users.Create(ctx, "No", api.UserSpec{})
	wants(t, "create with a bad name", err, api.Invalid)
	_, err = users.Create(ctx, fresh("u"), api.UserSpec{Project: fresh("nowhere")})
	wants(t, "create for no project", err, api.NotFound)
	found, err := users.Get(ctx, name)
	must(t, "get", err)
	if found.ID != made.ID || found.Spec != made.Spec {
		t.Errorf("get answers %+v, want %+v", found, made)
	}
	_, err = users.Get(ctx, fresh("nobody"))
	wants(t, "get nobody", err, api.NotFound)
	if names := s.userNames(t); !slices.Contains(names, name) {
		t.Errorf("the list has %q, not %s", names, name)
	}
	s.userTokens(t, name, project)
	wants(t, "delete once more", users.Delete(ctx, name), api.NotFound)
}

// userNames reads the list to its end, a user at a time.
func (s *suite) userNames(t *testing.T) (names []string) {
	t.Helper()
	for page := (api.Page{Limit: 1}); ; {
		l, err := s.Cloud.Users.List(s.Context, page)
		must(t, "list users", err)
		for _, u := range l.Items {
			names = append(names, u.Name)
		}
		if page.After = l.Next; l.Next == "" {
			return names
		}
	}
}

// userTokens checks that tokens of a user act in the user's name, no further than the user may, and end with the user, who it deletes.
func (s *suite) userTokens(t *testing.T, user, project string) {
	t.Helper()
	tokens, ctx, name := s.Cloud.Tokens, s.Context, fresh("laptop")
	token, err := tokens.Create(ctx, name, api.TokenSpec{User: user})
	must(t, "create a token of the user", err)
	actor, err := tokens.Authenticate(ctx, token.Secret)
	must(t, "authenticate", err)
	if want := (api.Actor{Kind: api.Customer, Name: user, Project: project, Token: name}); actor != want {
		t.Errorf("the user's token speaks for %+v, want %+v", actor, want)
	}
	_, err = tokens.Create(ctx, fresh("t"), api.TokenSpec{User: user, Project: "default"})
	wants(t, "create a token that may more than its user", err, api.Forbidden)
	_, err = tokens.Create(ctx, fresh("t"), api.TokenSpec{User: fresh("nobody")})
	wants(t, "create a token of nobody", err, api.NotFound)
	_, err = tokens.Create(ctx, user, api.TokenSpec{})
	wants(t, "create a token that has a user's name", err, api.Conflict)
	robot := fresh("robot")
	_, err = tokens.Create(ctx, robot, api.TokenSpec{})
	must(t, "create a token of nobody", err)
	_, err = s.Cloud.Users.Create(ctx, robot, api.UserSpec{})
	wants(t, "create a user who has a token's name", err, api.Conflict)
	c, limited := s.Login(t, token.Secret)
	_, err = c.Users.Create(limited, fresh("u"), api.UserSpec{})
	wants(t, "create with a limited token", err, api.Forbidden)
	_, err = c.SecurityGroups.Create(limited, project, "theirs", api.SecurityGroupSpec{})
	must(t, "act", err)
	wants(t, "delete", s.Cloud.Users.Delete(ctx, user), "")
	_, err = tokens.Authenticate(ctx, token.Secret)
	wants(t, "authenticate after the user's end", err, api.Unauthenticated)
	for _, a := range s.allActivities(t, api.ActivityQuery{Project: project}) {
		if a.Verb == "create" && a.Noun == "security-group" && a.Resource == "theirs" && a.Actor.Name != user {
			t.Errorf("the user's work is recorded as that of %+v", a.Actor)
		}
	}
}
