package controlplane

import (
	"context"
	"errors"

	"nuage/api"
	"nuage/storage"
)

// users implements api.Users.
type users struct{ cp *ControlPlane }

func (u users) Create(ctx context.Context, name string, spec api.UserSpec) (api.User, error) {
	actor, err := u.cp.wholeCloud(ctx, "create a user")
	if err != nil {
		return api.User{}, err
	}
	if err := api.CheckName("user", name); err != nil {
		return api.User{}, err
	}
	now := u.cp.Now().UTC()
	made := api.User{Spec: spec, Meta: api.Meta{ID: u.cp.NewID("usr"), Name: name, Project: spec.Project, Generation: 1, CreatedAt: now},
		Status: api.Status{Phase: api.Running, Reason: "acts by tokens", Generation: 1, ObservedAt: &now}}
	return made, u.cp.Store.Update(func(tx *storage.Tx) error {
		if spec.Project != "" {
			if err := u.cp.projectExists(tx, spec.Project); err != nil {
				return err
			}
		}
		if _, err := userTable.GetBy(tx, "name", name); err == nil {
			return api.Errorf(api.Conflict, "cannot create user %q: the name is taken", name)
		}
		if t, err := tokenTable.GetBy(tx, "name", name); err == nil && t.Spec.User == "" {
			return api.Errorf(api.Conflict, "cannot create user %q: a token has that name, and activities show either", name)
		}
		if err := userTable.Insert(tx, made); err != nil {
			return err
		}
		return u.cp.record(tx, actor, "user", &made.Meta, "create", spec.Description)
	})
}

// findUser finds a user by name. NotFound.
func findUser(tx *storage.Tx, name string) (api.User, error) {
	found, err := userTable.GetBy(tx, "name", name)
	if errors.Is(err, api.NotFound) {
		return found, api.Errorf(api.NotFound, "cannot find user %q: `nuage user list` shows who there is", name)
	}
	return found, err
}

func (u users) Get(ctx context.Context, name string) (found api.User, err error) {
	if _, err := u.cp.wholeCloud(ctx, "look at a user"); err != nil {
		return found, err
	}
	err = u.cp.Store.View(func(tx *storage.Tx) (err error) {
		found, err = findUser(tx, name)
		return err
	})
	return found, err
}

func (u users) List(ctx context.Context, page api.Page) (api.List[api.User], error) {
	out := api.List[api.User]{Items: []api.User{}}
	if _, err := u.cp.wholeCloud(ctx, "list users"); err != nil {
		return out, err
	}
	limit, err := pageLimit(page)
	if err != nil {
		return out, err
	}
	err = u.cp.Store.View(func(tx *storage.Tx) error {
		found, err := userTable.ListBy(tx, "name", storage.Query{After: page.After, Limit: limit})
		out.Items, out.Next = append(out.Items, found.Items...), found.Next
		return err
	})
	return out, err
}

func (u users) Delete(ctx context.Context, name string) error {
	actor, err := u.cp.wholeCloud(ctx, "delete a user")
	if err != nil {
		return err
	}
	return u.cp.Store.Update(func(tx *storage.Tx) error {
		found, err := findUser(tx, name)
		switch {
		case err != nil:
			return err
		case actor.Kind == api.Customer && actor.Name == name:
			return api.Errorf(api.Conflict, "cannot delete user %q: they ask for it themselves, and would be locked out", name)
		}
		if err := u.cp.revokeAll(tx, actor, name); err != nil {
			return err
		}
		if err := u.cp.record(tx, actor, "user", &found.Meta, "delete", ""); err != nil {
			return err
		}
		return userTable.Delete(tx, found.ID)
	})
}

// revokeAll ends every token of a user.
func (cp *ControlPlane) revokeAll(tx *storage.Tx, actor api.Actor, user string) error {
	var theirs []tokenRecord
	err := tokenTable.Each(tx, "", func(t tokenRecord) error {
		if t.Spec.User == user {
			theirs = append(theirs, t)
		}
		return nil
	})
	for i := range theirs {
		err = errors.Join(err, cp.record(tx, actor, "token", &theirs[i].Meta, "revoke", "user "+user+" is deleted"), tokenTable.Delete(tx, theirs[i].ID))
	}
	return err
}

// forUser checks the user whom a new token is for, and limits it as they are. A token of nobody has a name no user has: activities show either.
func forUser(tx *storage.Tx, name string, spec *api.TokenSpec) error {
	if spec.User == "" {
		if _, err := userTable.GetBy(tx, "name", name); err == nil {
			return api.Errorf(api.Conflict, "cannot create token %q: a user has that name; make it theirs (--user %s), or name it otherwise", name, name)
		}
		return nil
	}
	user, err := findUser(tx, spec.User)
	switch {
	case err != nil:
		return err
	case user.Spec.Project != "" && spec.Project != "" && user.Spec.Project != spec.Project:
		return api.Errorf(api.Forbidden, "cannot create a token of user %q for project %q: they are limited to project %q", spec.User, spec.Project, user.Spec.Project)
	}
	spec.Project = orElse(spec.Project, user.Spec.Project)
	return nil
}
