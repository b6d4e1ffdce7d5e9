package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"nuage/api"
	"nuage/storage"
)

// resource implements api.Resource for one noun. What is special to the noun are its hooks.
type resource[T, S any] struct {
	cp     *ControlPlane
	noun   string // instance
	prefix string // i
	table  *storage.Table[T]
	status func(*T) *api.Status
	spec   func(*T) *S

	// check asks the world outside (engine, blobs) whether next can be; old is nil on create. It may fill in defaults.
	check func(ctx context.Context, old, next *T) error
	// admit looks at the store: references, changes that are not allowed; it may fill in more and write side records.
	admit func(tx *storage.Tx, by api.Actor, old, next *T) error
	// retire refuses the deletion of what is in use. gone: nothing in the world to clean, the record goes at once.
	retire func(tx *storage.Tx, t *T) (gone bool, err error)
	// verb names an update for the activity record; "" is "update".
	verb func(old, next *T) (verb, detail string)
	// done runs after a change is committed.
	done func(ctx context.Context, t *T)
}

func (r resource[T, S]) Create(ctx context.Context, project, name string, spec S) (T, error) {
	var none, next T
	actor, err := r.cp.authorize(ctx, project)
	if err != nil {
		return none, err
	}
	if err := api.CheckName(r.noun, name); err != nil {
		return none, err
	}
	m := head(&next)
	*m = api.Meta{ID: r.cp.NewID(r.prefix), Name: name, Project: project, Generation: 1, CreatedAt: r.cp.Now().UTC()}
	*r.spec(&next) = spec
	*r.status(&next) = api.Status{Phase: api.Pending, Reason: "accepted"}
	if made, ok, err := r.madeBefore(ctx, project, name, spec); ok || err != nil {
		return made, err
	}
	if err := r.free(project, name); err != nil {
		if made, ok, _ := r.madeBefore(ctx, project, name, spec); ok { // by a call that came first
			return made, nil
		}
		return none, err
	}
	if err := r.check(ctx, nil, &next); err != nil {
		return none, err
	}
	again := false
	err = r.cp.Store.Update(func(tx *storage.Tx) error {
		made, ok, err := r.replayed(ctx, tx, project, name, spec) // another call with this key may have come first
		if again = ok; ok || err != nil {
			next = made
			return err
		}
		return r.insert(ctx, tx, actor, &next, spec)
	})
	if err != nil {
		return none, err
	}
	if r.done != nil && !again {
		r.done(ctx, &next)
	}
	return next, nil
}

func (r resource[T, S]) insert(ctx context.Context, tx *storage.Tx, actor api.Actor, next *T, spec S) error {
	m := head(next)
	if err := r.cp.projectExists(tx, m.Project); err != nil {
		return err
	}
	if _, err := r.table.GetBy(tx, "name", m.Project+"/"+m.Name); err == nil {
		return r.taken(m.Project, m.Name)
	}
	if err := r.admit(tx, actor, nil, next); err != nil {
		return err
	}
	if err := r.table.Insert(tx, *next); err != nil {
		return err
	}
	if err := r.remember(ctx, tx, m.Project, m.Name, spec, m.ID); err != nil {
		return err
	}
	return r.cp.record(tx, actor, r.noun, m, "create", r.detail(next))
}

// detail of a creation, in the noun's own words.
func (r resource[T, S]) detail(next *T) string {
	if r.verb == nil {
		return ""
	}
	_, detail := r.verb(nil, next)
	return detail
}

func (r resource[T, S]) taken(project, name string) error {
	return api.Errorf(api.Conflict, "cannot create %s %q: the name is taken in project %q", r.noun, name, project)
}

// free answers early, before costly checks, where the name is taken or the project missing. insert decides.
func (r resource[T, S]) free(project, name string) error {
	return r.cp.Store.View(func(tx *storage.Tx) error {
		if err := r.cp.projectExists(tx, project); err != nil {
			return err
		}
		if _, err := r.table.GetBy(tx, "name", project+"/"+name); err == nil {
			return r.taken(project, name)
		}
		return nil
	})
}

func (r resource[T, S]) Get(ctx context.Context, project, name string) (T, error) {
	var found T
	if _, err := r.cp.authorize(ctx, project); err != nil {
		return found, err
	}
	err := r.cp.Store.View(func(tx *storage.Tx) (err error) {
		found, err = r.find(tx, project, name)
		return err
	})
	return found, err
}

// find reads by project and name, with an error in the noun's words.
func (r resource[T, S]) find(tx *storage.Tx, project, name string) (T, error) {
	t, err := r.table.GetBy(tx, "name", project+"/"+name)
	if api.CodeOf(err) == api.NotFound {
		if err := r.cp.projectExists(tx, project); err != nil {
			return t, err
		}
		return t, api.Errorf(api.NotFound, "cannot find %s %q in project %q", r.noun, name, project)
	}
	return t, err
}

func (r resource[T, S]) List(ctx context.Context, project string, page api.Page) (api.List[T], error) {
	out := api.List[T]{Items: []T{}}
	if _, err := r.cp.authorize(ctx, project); err != nil {
		return out, err
	}
	limit, err := pageLimit(page)
	if err != nil {
		return out, err
	}
	err = r.cp.Store.View(func(tx *storage.Tx) error {
		if err := r.cp.projectExists(tx, project); err != nil {
			return err
		}
		p, err := r.table.ListBy(tx, "name", storage.Query{Prefix: project + "/", After: page.After, Limit: limit})
		if err != nil {
			return err
		}
		if p.Items != nil {
			out.Items = p.Items
		}
		out.Next = lastName(p.Next)
		return nil
	})
	return out, err
}

// pageLimit is the number of items asked for. Invalid: less than 0 or more than 1000.
func pageLimit(p api.Page) (int, error) {
	switch {
	case p.Limit == 0:
		return 100, nil
	case p.Limit < 0 || p.Limit > 1000:
		return 0, api.Errorf(api.Invalid, "cannot list %d at once: limit is 1 to 1000", p.Limit)
	}
	return p.Limit, nil
}

// lastName takes the name out of project/name.
func lastName(key string) string {
	for i := len(key) - 1; i >= 0; i-- {
		if key[i] == '/' {
			return key[i+1:]
		}
	}
	return key
}

func (r resource[T, S]) Update(ctx context.Context, project, name string, spec S, generation int64) (T, error) {
	old, err := r.Get(ctx, project, name)
	if err != nil {
		return old, err
	}
	next := old
	*r.spec(&next) = spec
	return r.change(ctx, old, next, generation)
}

// change commits next in place of old, which was read before the check of the outside world; a change by somebody else
// in between is a conflict.
func (r resource[T, S]) change(ctx context.Context, old, next T, generation int64) (T, error) {
	var none T
	actor, err := r.cp.authorize(ctx, head(&old).Project)
	if err != nil {
		return none, err
	}
	if err := r.generation(&old, generation); err != nil {
		return none, err
	}
	if err := r.check(ctx, &old, &next); err != nil {
		return none, err
	}
	err = r.cp.Store.Update(func(tx *storage.Tx) error {
		now, err := r.find(tx, head(&old).Project, head(&old).Name)
		if err != nil {
			return err
		}
		if err := r.generation(&now, head(&old).Generation); err != nil {
			return err
		}
		return r.write(tx, actor, now, &next)
	})
	if err != nil {
		return none, err
	}
	if r.done != nil {
		r.done(ctx, &next)
	}
	return next, nil
}

// write stores next over now: the status that the loop wrote meanwhile stays, the generation grows if the spec differs.
func (r resource[T, S]) write(tx *storage.Tx, actor api.Actor, now T, next *T) error {
	spec := *r.spec(next)
	*next = now
	*r.spec(next) = spec
	head(next).Generation++ // before admit, which may declare the new generation reached
	if err := r.admit(tx, actor, &now, next); err != nil {
		return err
	}
	if same(r.spec(&now), r.spec(next)) {
		*next = now
		return nil
	}
	verb, detail := "update", ""
	if r.verb != nil {
		verb, detail = r.verb(&now, next)
	}
	if err := r.table.Put(tx, *next); err != nil {
		return err
	}
	return r.cp.record(tx, actor, r.noun, head(next), verb, detail)
}

// same compares two specs by what would be stored.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// generation refuses a noun that is another than the caller saw, or on its way out.
func (r resource[T, S]) generation(t *T, want int64) error {
	m := head(t)
	if want != 0 && m.Generation != want {
		return api.Errorf(api.Conflict, "cannot change %s %q: it is at generation %d, not %d; read it again", r.noun, m.Name, m.Generation, want)
	}
	if m.DeletedAt != nil {
		return api.Errorf(api.Conflict, "cannot change %s %q: it is being deleted", r.noun, m.Name)
	}
	return nil
}

func (r resource[T, S]) Delete(ctx context.Context, project, name string, generation int64) error {
	actor, err := r.cp.authorize(ctx, project)
	if err != nil {
		return err
	}
	return r.cp.Store.Update(func(tx *storage.Tx) error {
		t, err := r.find(tx, project, name)
		if err != nil || head(&t).DeletedAt != nil {
			return err
		}
		if err := r.generation(&t, generation); err != nil {
			return err
		}
		return r.leave(tx, actor, t, "delete", "")
	})
}

// leave marks a noun for its deletion, or lets its record go where nothing is to be cleaned; verb is how that is recorded.
func (r resource[T, S]) leave(tx *storage.Tx, actor api.Actor, t T, verb, detail string) error {
	m := head(&t)
	gone, err := r.retire(tx, &t)
	if err != nil {
		return err
	}
	if err := r.cp.record(tx, actor, r.noun, m, verb, detail); err != nil {
		return err
	}
	if gone {
		if err := r.cp.endRunOf(tx, m.ID); err != nil {
			return err
		}
		return r.table.Delete(tx, m.ID)
	}
	now := r.cp.Now().UTC()
	m.DeletedAt = &now
	*r.status(&t) = api.Status{Phase: api.Deleting, Reason: "deletion asked for", Generation: r.status(&t).Generation, ObservedAt: &now}
	return r.table.Put(tx, t)
}

func (r resource[T, S]) Wait(ctx context.Context, project, name string, limit time.Duration) (T, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		changed := r.cp.changes.next()
		t, err := r.Get(ctx, project, name)
		if err != nil || api.Settled(*head(&t), *r.status(&t)) {
			return t, err
		}
		select {
		case <-changed:
		case <-timer.C:
			return t, nil
		case <-ctx.Done():
			return t, nil
		}
	}
}

// madeBefore answers early, before costly checks, what an earlier create with the same idempotency key made.
func (r resource[T, S]) madeBefore(ctx context.Context, project, name string, spec S) (made T, ok bool, err error) {
	err = r.cp.Store.View(func(tx *storage.Tx) error {
		made, ok, err = r.replayed(ctx, tx, project, name, spec)
		return err
	})
	return made, ok, err
}

// replayed answers what an earlier create with the same idempotency key made.
func (r resource[T, S]) replayed(ctx context.Context, tx *storage.Tx, project, name string, spec S) (made T, ok bool, err error) {
	key := r.replayKey(ctx, project)
	if key == "" {
		return made, false, nil
	}
	was, err := replayTable.Get(tx, key)
	if err != nil || r.cp.Now().Sub(was.At) >= keepReplays {
		return made, false, ignoreGone(err)
	}
	if was.Hash != requestHash(name, spec) {
		return made, false, api.Errorf(api.Conflict, "cannot create %s %q: its idempotency key was used with other arguments", r.noun, name)
	}
	made, err = r.table.Get(tx, was.ID)
	return made, err == nil, ignoreGone(err) // made anew where it was deleted since
}

func (r resource[T, S]) remember(ctx context.Context, tx *storage.Tx, project, name string, spec S, id string) error {
	key := r.replayKey(ctx, project)
	if key == "" {
		return nil
	}
	return replayTable.Put(tx, replay{Key: key, Hash: requestHash(name, spec), ID: id, At: r.cp.Now().UTC()})
}

func (r resource[T, S]) replayKey(ctx context.Context, project string) string {
	key := api.IdempotencyKeyFrom(ctx)
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return project + "/" + r.noun + "/" + hex.EncodeToString(sum[:16])
}

func requestHash(name string, spec any) string {
	b, err := json.Marshal(spec)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(append([]byte(name+"\x00"), b...))
	return hex.EncodeToString(sum[:16])
}
