package controlplane

import (
	"context"
	"fmt"
	"slices"
	"time"

	"nuage/api"
	"nuage/storage"
)

// rotation is what is left to do until the login before can be closed.
type rotation struct {
	open      bool      // the server does not know the new login yet
	functions bool      // functions are still to be deployed again
	apps      []api.App // that shall get a release with the new login
	waiting   []string  // what may still use the login before, in words
	stuck     bool      // one of these does not move by itself
	until     time.Time // when calls of functions that began before the move are over; zero: there are none
}

// done tells that nothing uses the login before any more.
func (r rotation) done() bool {
	return !r.open && !r.functions && len(r.apps) == 0 && len(r.waiting) == 0
}

// rotation looks at who still uses the login before of a database. ok: there is one.
func (w *world) rotation(d api.Database) (r rotation, ok bool) {
	s := w.servers[d.ID]
	if !s.rotating() || d.DeletedAt != nil {
		return r, false
	}
	newest := s.newest()
	if !newest.Opened {
		r.open, r.waiting = true, []string{"the server has taken the new ones"}
		return r, true
	}
	for _, a := range w.apps {
		if a.Project != d.Project || a.DeletedAt != nil {
			continue
		}
		move, why, stuck := w.appLogin(a, d, newest.Number)
		if move {
			r.apps = append(r.apps, a)
		}
		if why != "" {
			r.waiting = append(r.waiting, fmt.Sprintf("app %q has moved (%s)", a.Name, why))
		}
		r.stuck = r.stuck || stuck
	}
	w.functionLogins(d, newest, &r)
	return r, true
}

// appLogin says whether an app shall get a release with a login, or else what of it uses an earlier one; "" for nothing.
func (w *world) appLogin(a api.App, d api.Database, number int) (move bool, why string, stuck bool) {
	old := 0
	for _, n := range w.live(a) {
		if r := w.releases[releaseKey(a.ID, n)]; r.Spec.Database == d.Name && r.Login < number {
			old = n
		}
	}
	all := w.by.releases[a.ID]
	if old == 0 || len(all) == 0 {
		return false, "", false
	}
	shares, newest := sharesOf(a), all[len(all)-1]
	switch {
	case w.damaged[a.ID]:
		return false, "its record can't be read", true
	case a.Status.Target != 0:
		return false, fmt.Sprintf("release %d is being deployed", a.Status.Target), false
	case !serves(shares, old):
		return false, fmt.Sprintf("release %d ends its requests", old), false
	case len(shares) > 1:
		return false, fmt.Sprintf("its requests are split between releases %s; give one of them all", percentages(shares)), true
	case newest.State == failed && newest.Login >= number && newest.Spec.Database == d.Name:
		return false, fmt.Sprintf("release %d with the new ones failed: %s; deploy it again", newest.Number, clip(newest.Reason)), true
	}
	return true, fmt.Sprintf("release %d uses those before", old), false
}

// functionLogins adds what functions still have to do.
func (w *world) functionLogins(d api.Database, newest access, r *rotation) {
	longest := time.Duration(0)
	for _, f := range w.functions {
		call := w.longestCall(f, d)
		longest = max(longest, call)
		switch {
		case call == 0: // it does not use the database
		case newest.Moved == nil || f.Status.Generation < f.Generation:
			r.waiting = append(r.waiting, fmt.Sprintf("function %q has moved (it is being deployed again)", f.Name))
		case f.Status.Phase == api.Failed:
			r.waiting = append(r.waiting, fmt.Sprintf("function %q has moved (%s; deploy it again)", f.Name, clip(f.Status.Reason)))
			r.stuck = true
		}
	}
	if r.functions = longest > 0 && newest.Moved == nil; longest == 0 || r.functions {
		return
	}
	if r.until = newest.Moved.Add(longest); w.at.Before(r.until) {
		r.waiting = append(r.waiting, "calls of functions that began before have ended")
	}
}

// longestCall is how long a call of a function may take that uses a database, in its last or a published version; 0: none does.
func (w *world) longestCall(f api.Function, d api.Database) (longest time.Duration) {
	if f.Project != d.Project {
		return 0
	}
	use := func(s api.FunctionSpec) {
		if slices.Contains(s.Databases, d.Name) {
			longest = max(longest, time.Duration(s.TimeoutMs)*time.Millisecond)
		}
	}
	use(f.Spec)
	for _, v := range w.versions {
		if v.Function == f.ID {
			use(v.Spec)
		}
	}
	return longest
}

// rotationStatus is what users see of a rotation; nil: there is none.
func (w *world) rotationStatus(d api.Database) *api.Rotation {
	r, ok := w.rotation(d)
	if !ok {
		return nil
	}
	return &api.Rotation{Since: w.servers[d.ID].newest().Since, Waiting: append([]string{}, r.waiting...), Stuck: r.stuck}
}

// rotateLogins brings rotations on: the server takes the new login, apps and functions move, the login before is closed.
func (cp *ControlPlane) rotateLogins(ctx context.Context, w *world) {
	for _, d := range w.databases {
		r, ok := w.rotation(d)
		if !ok || w.damaged[d.ID] {
			continue
		}
		if !r.until.IsZero() {
			cp.loop.dueAt(r.until)
		}
		answers := !w.real || w.health[d.ID].ok
		var step func(context.Context) error
		switch {
		case r.open && answers:
			step = func(ctx context.Context) error { return cp.openLogin(ctx, w, d) }
		case r.functions || len(r.apps) > 0:
			step = func(context.Context) error { return cp.moveLogins(w, d, r) }
		case r.done() && answers:
			step = func(ctx context.Context) error { return cp.closeLogin(ctx, w, d) }
		default:
			continue
		}
		cp.loop.dispatch(ctx, d.ID+"/login", time.Minute, step)
	}
}

// openLogin has the server let the newest login in.
func (cp *ControlPlane) openLogin(ctx context.Context, w *world, d api.Database) error {
	s := w.servers[d.ID]
	number := s.newest().Number
	e, err := databaseEngineOf(d.Spec.Engine)
	if err != nil {
		return err
	}
	if w.real {
		what := fmt.Sprintf("give database %q its new credentials", d.Name)
		if _, _, err := cp.command(ctx, d.ID, what, e.open(w.numbered[d.ID][number], s.User)); err != nil {
			return err
		}
	}
	return cp.changeLogins(d, number, func(tx *storage.Tx, s *server) error {
		s.Logins[len(s.Logins)-1].Opened = true
		return cp.record(tx, platform("rotation"), "database", &d.Meta, "open-login", "user "+s.userName(number))
	})
}

// moveLogins has functions deployed again, and gives apps a release, with the newest login.
func (cp *ControlPlane) moveLogins(w *world, d api.Database, r rotation) error {
	number := w.servers[d.ID].newest().Number
	return cp.changeLogins(d, number, func(tx *storage.Tx, s *server) error {
		if r.functions {
			if err := cp.moveFunctions(tx, d); err != nil {
				return err
			}
			now := cp.Now().UTC()
			s.Logins[len(s.Logins)-1].Moved = &now
		}
		for _, a := range r.apps {
			if err := cp.moveApp(tx, d, a, number); err != nil {
				return err
			}
		}
		return nil
	})
}

// moveFunctions makes a generation of each function that uses a database, which is deployed with the login it has then.
func (cp *ControlPlane) moveFunctions(tx *storage.Tx, d api.Database) error {
	var all []api.Function
	err := functionTable.EachBy(tx, "name", d.Project+"/", func(f api.Function) error {
		bound := slices.Contains(f.Spec.Databases, d.Name)
		err := functionVersionTable.Each(tx, f.ID+"/", func(v functionVersion) error {
			bound = bound || slices.Contains(v.Spec.Databases, d.Name)
			return nil
		})
		if bound && f.DeletedAt == nil {
			all = append(all, f)
		}
		return err
	})
	for _, f := range all {
		f.Generation++
		if err := functionTable.Put(tx, f); err != nil {
			return err
		}
		if err := cp.record(tx, platform("rotation"), "function", &f.Meta, "configure", "the new credentials of database "+d.Name); err != nil {
			return err
		}
	}
	return err
}

// moveApp makes a release like the one that serves, which gets the newest login as every new release does. Nothing happens where
// the app has changed since it was read: the next pass looks again.
func (cp *ControlPlane) moveApp(tx *storage.Tx, d api.Database, read api.App, number int) error {
	a, err := appTable.Get(tx, read.ID)
	if err != nil || a.DeletedAt != nil || a.Status.Target != 0 || a.Status.Release != read.Status.Release {
		return ignoreGone(err)
	}
	serves, err := releaseTable.Get(tx, releaseKey(a.ID, a.Status.Release))
	if err != nil || serves.Spec.Database != d.Name || serves.Login >= number {
		return ignoreGone(err)
	}
	next := a
	next.Spec = operated(serves.Spec, a.Spec) // what its owner asked for since may be what failed
	if err := cp.addRelease(tx, platform("rotation"), &next, serves, 0); err != nil {
		return err
	}
	a.Status.Target = next.Status.Target
	if err := appTable.Put(tx, a); err != nil {
		return err
	}
	return cp.record(tx, platform("rotation"), "app", &a.Meta, "configure",
		fmt.Sprintf("release %d with the new credentials of database %s", a.Status.Target, d.Name))
}

// closeLogin has the server let the login before in no more, and ends its sessions. From the first commit on nothing can come to use it again.
func (cp *ControlPlane) closeLogin(ctx context.Context, w *world, d api.Database) error {
	e, err := databaseEngineOf(d.Spec.Engine)
	if err != nil {
		return err
	}
	number, before := w.servers[d.ID].newest().Number, w.servers[d.ID].accesses()[0]
	used := false
	err = cp.changeLogins(d, number, func(tx *storage.Tx, s *server) (err error) {
		used, err = usesLogin(tx, d, number)
		s.Logins[0].Closed = !used
		return err
	})
	if err != nil || used {
		return err
	}
	if w.real {
		what := fmt.Sprintf("close the former credentials of database %q", d.Name)
		if _, _, err := cp.command(ctx, d.ID, what, e.shut(w.numbered[d.ID][before.Number], w.servers[d.ID].User)); err != nil {
			return err
		}
	}
	return cp.changeLogins(d, number, func(tx *storage.Tx, s *server) error {
		s.Logins = s.Logins[1:]
		return cp.record(tx, platform("rotation"), "database", &d.Meta, "close-login", "user "+s.userName(before.Number)+": nothing uses it any more")
	})
}

// usesLogin tells whether a release that has replicas has an earlier login of a database than the one with a number.
func usesLogin(tx *storage.Tx, d api.Database, number int) (used bool, err error) {
	err = appTable.EachBy(tx, "name", d.Project+"/", func(a api.App) error {
		if a.DeletedAt != nil {
			return nil
		}
		return releaseTable.Each(tx, a.ID+"/", func(r release) error {
			used = used || r.Spec.Database == d.Name && r.Login < number && hasReplicas(tx, a, r)
			return nil
		})
	})
	return used, err
}

// hasReplicas tells that a release serves, is being deployed, or ends its requests.
func hasReplicas(tx *storage.Tx, a api.App, r release) bool {
	_, err := drainTable.Get(tx, releaseKey(a.ID, r.Number))
	return err == nil || serves(sharesOf(a), r.Number) || r.Number == a.Status.Target
}
