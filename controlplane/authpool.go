package controlplane

import (
	"context"
	"errors"
	"slices"
	"time"

	"nuage/api"
	"nuage/controlplane/identity"
	"nuage/storage"
)

// authHost is where all pools are served by the edge.
const authHost = "auth.localhost"

// kindAuth is the kind of its route.
const kindAuth = "auth"

// authPools adds to the verbs of every noun what is not stored with the pool: its users' number and its apps.
type authPools struct {
	resource[api.AuthPool, api.AuthPoolSpec]
}

func (cp *ControlPlane) authPools() resource[api.AuthPool, api.AuthPoolSpec] {
	return resource[api.AuthPool, api.AuthPoolSpec]{
		cp: cp, noun: "auth-pool", prefix: "pool", table: poolTable,
		status: func(p *api.AuthPool) *api.Status { return &p.Status.Status },
		spec:   func(p *api.AuthPool) *api.AuthPoolSpec { return &p.Spec },
		check:  checkPool,
		admit: func(_ *storage.Tx, _ api.Actor, _, next *api.AuthPool) error {
			ready(&next.Status.Status, next.Generation, "signs users in")
			next.Status.Issuer, next.Status.Apps = cp.issuer(*next), []string{}
			return nil
		},
		retire: retirePool,
		verb: func(old, next *api.AuthPool) (string, string) {
			if old == nil {
				return "create", "sign-up " + next.Spec.SignUp
			}
			return "update", "sign-up " + next.Spec.SignUp
		},
	}
}

// newIdentity makes the service that signs users in.
func (cp *ControlPlane) newIdentity() (*identity.Service, error) {
	return identity.New(identity.Options{Store: authStore{cp}, Sealer: cp.Sealer, Logger: cp.log, Registerer: cp.Metrics, Now: cp.Now, NewID: cp.NewID})
}

func checkPool(_ context.Context, _, next *api.AuthPool) error {
	next.Spec.SignUp = orElse(next.Spec.SignUp, "open")
	if next.Spec.SignUp != "open" && next.Spec.SignUp != "closed" {
		return api.Errorf(api.Invalid, "cannot use sign-up %q in auth pool %q: there are open and closed", next.Spec.SignUp, next.Name)
	}
	return nil
}

// issuer is the address of a pool's OpenID provider.
func (cp *ControlPlane) issuer(p api.AuthPool) string {
	return cp.scheme() + authHost + cp.edgePort() + "/" + p.Project + "/" + p.Name
}

// retirePool refuses to delete what apps use, earlier releases that still have replicas included. Users go with the pool.
func retirePool(tx *storage.Tx, p *api.AuthPool) (bool, error) {
	err := appTable.EachBy(tx, "name", p.Project+"/", func(a api.App) error {
		bound, err := inPool(tx, a, p.Name)
		if err == nil && bound {
			err = api.Errorf(api.Conflict, "cannot delete auth pool %q: app %q is bound to it; unbind it first", p.Name, a.Name)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	return true, identity.DropPool(authTx{tx: tx}, p.ID)
}

// inPool tells whether an app, or a release of it that has replicas, is bound to a pool.
func inPool(tx *storage.Tx, a api.App, pool string) (bool, error) {
	if a.DeletedAt != nil {
		return false, nil
	}
	bound := a.Spec.Auth.Pool == pool
	err := releaseTable.Each(tx, a.ID+"/", func(r release) error {
		live := r.State == serving || r.State == deploying || r.State == building || r.Number == a.Status.Release || r.Number == a.Status.Target
		if _, err := drainTable.Get(tx, releaseKey(a.ID, r.Number)); err == nil {
			live = true
		}
		bound = bound || live && r.Spec.Auth.Pool == pool
		return nil
	})
	return bound, err
}

// count adds what is not stored with the pool.
func (r authPools) count(pools ...*api.AuthPool) error {
	return r.cp.Store.View(func(tx *storage.Tx) error {
		for _, p := range pools {
			n, err := authUserTable.Count(tx, p.ID+"/")
			if err != nil {
				return err
			}
			p.Status.Users, p.Status.Apps = n, []string{}
			err = appTable.EachBy(tx, "name", p.Project+"/", func(a api.App) error {
				if a.Spec.Auth.Pool == p.Name && a.DeletedAt == nil {
					p.Status.Apps = append(p.Status.Apps, a.Name)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Get adds the number of users and the apps.
func (r authPools) Get(ctx context.Context, project, name string) (api.AuthPool, error) {
	p, err := r.resource.Get(ctx, project, name)
	if err == nil {
		err = r.count(&p)
	}
	return p, err
}

// Wait adds the number of users and the apps.
func (r authPools) Wait(ctx context.Context, project, name string, limit time.Duration) (api.AuthPool, error) {
	p, err := r.resource.Wait(ctx, project, name, limit)
	if err == nil {
		err = r.count(&p)
	}
	return p, err
}

// List adds the number of users and the apps.
func (r authPools) List(ctx context.Context, project string, page api.Page) (api.List[api.AuthPool], error) {
	all, err := r.resource.List(ctx, project, page)
	for i := range all.Items {
		err = errors.Join(err, r.count(&all.Items[i]))
	}
	return all, err
}

// Delete forgets what is in memory of the pool too.
func (r authPools) Delete(ctx context.Context, project, name string, generation int64) error {
	p, err := r.resource.Get(ctx, project, name)
	if err != nil {
		return err
	}
	if err := r.resource.Delete(ctx, project, name, generation); err != nil {
		return err
	}
	r.cp.identity.Forget(p.ID)
	return nil
}

// poolUsers implements api.PoolUsers.
type poolUsers struct{ cp *ControlPlane }

func (u poolUsers) Add(ctx context.Context, project, pool string, spec api.PoolUserSpec) (api.PoolUser, error) {
	var out api.PoolUser
	err := u.change(ctx, project, pool, func(tx *storage.Tx, p api.AuthPool) (verb, detail string, err error) {
		one, err := u.cp.identity.NewUser(p.ID, spec.Email, spec.Name, spec.Roles)
		if err != nil {
			return "", "", err
		}
		if _, err := authUserTable.GetBy(tx, "email", p.ID+"/"+one.Email); err == nil {
			return "", "", api.Errorf(api.Conflict, "cannot add user %q to auth pool %q: the address is taken", one.Email, pool)
		}
		one.Verified = true
		reset := u.reset(p, &one)
		out = publicUser(one)
		out.Reset = &reset
		return "add-user", "user " + one.ID, authUserTable.Insert(tx, one)
	})
	return out, err
}

// reset gives a user a code, and says where it is used.
func (u poolUsers) reset(p api.AuthPool, one *identity.User) api.PoolReset {
	code, expires := u.cp.identity.GiveReset(one)
	return api.PoolReset{Code: code, URL: u.cp.issuer(p) + "/reset", ExpiresAt: expires}
}

func publicUser(one identity.User) api.PoolUser {
	roles := one.Roles
	if roles == nil {
		roles = []string{}
	}
	return api.PoolUser{ID: one.ID, Email: one.Email, Name: one.Name, Roles: roles, Verified: one.Verified, SecondFactor: len(one.TOTP) > 0, CreatedAt: one.CreatedAt}
}

// change does something in a pool, and records it as the customer's work.
func (u poolUsers) change(ctx context.Context, project, pool string, do func(*storage.Tx, api.AuthPool) (verb, detail string, err error)) error {
	actor, err := u.cp.authorize(ctx, project)
	if err != nil {
		return err
	}
	return u.cp.Store.Update(func(tx *storage.Tx) error {
		p, err := u.cp.authPools().find(tx, project, pool)
		if err != nil {
			return err
		}
		verb, detail, err := do(tx, p)
		if err != nil {
			return err
		}
		return u.cp.record(tx, actor, "auth-pool", &p.Meta, verb, detail)
	})
}

func (u poolUsers) List(ctx context.Context, project, pool string, page api.Page) (api.List[api.PoolUser], error) {
	out := api.List[api.PoolUser]{Items: []api.PoolUser{}}
	if _, err := u.cp.authorize(ctx, project); err != nil {
		return out, err
	}
	limit, err := pageLimit(page)
	if err != nil {
		return out, err
	}
	err = u.cp.Store.View(func(tx *storage.Tx) error {
		p, err := u.cp.authPools().find(tx, project, pool)
		if err != nil {
			return err
		}
		found, err := authUserTable.ListBy(tx, "email", storage.Query{Prefix: p.ID + "/", After: page.After, Limit: limit})
		for _, one := range found.Items {
			out.Items = append(out.Items, publicUser(one))
		}
		out.Next = lastName(found.Next)
		return err
	})
	return out, err
}

func (u poolUsers) Remove(ctx context.Context, project, pool, email string) error {
	return u.change(ctx, project, pool, func(tx *storage.Tx, p api.AuthPool) (string, string, error) {
		one, err := findPoolUser(tx, p, email)
		if err != nil {
			return "", "", err
		}
		if err := identity.EndUser(authTx{tx: tx}, one); err != nil {
			return "", "", err
		}
		return "remove-user", "user " + one.ID, authUserTable.Delete(tx, one.Key())
	})
}

func (u poolUsers) Reset(ctx context.Context, project, pool, email string) (api.PoolReset, error) {
	var out api.PoolReset
	err := u.change(ctx, project, pool, func(tx *storage.Tx, p api.AuthPool) (string, string, error) {
		one, err := findPoolUser(tx, p, email)
		if err != nil {
			return "", "", err
		}
		out = u.reset(p, &one)
		return "reset-user", "a code for user " + one.ID, authUserTable.Put(tx, one)
	})
	return out, err
}

func findPoolUser(tx *storage.Tx, p api.AuthPool, email string) (identity.User, error) {
	clean, err := identity.CleanEmail(email)
	if err == nil {
		var one identity.User
		if one, err = authUserTable.GetBy(tx, "email", p.ID+"/"+clean); err == nil {
			return one, nil
		}
	}
	return identity.User{}, api.Errorf(api.NotFound, "cannot find user %q in auth pool %q", email, p.Name)
}

// tidySessions drops sessions and refresh tokens that have expired.
func (cp *ControlPlane) tidySessions() error {
	var pools []identity.Pool
	err := cp.Store.View(func(tx *storage.Tx) error {
		return poolTable.Each(tx, "", func(p api.AuthPool) error { pools = append(pools, cp.poolOf(p)); return nil })
	})
	for _, p := range pools {
		err = errors.Join(err, cp.identity.Sweep(p))
	}
	return err
}

// unplanned reports whether a commit has changed nothing that anybody waits for or that is planned: logs, or what a sign-in
// or an event leaves behind.
func unplanned(tables []string) bool {
	return !slices.ContainsFunc(tables, func(name string) bool {
		return name != authSessionTable.Name() && name != authGrantTable.Name() && name != authKeyTable.Name() && !passing(name)
	})
}
