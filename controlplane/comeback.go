package controlplane

import (
	"context"
	"fmt"
	"slices"
	"time"

	"nuage/api"
	"nuage/storage"
)

// comeback is a split that names releases which have no requests yet. Until they are healthy requests go where they went; where they do
// not come up in time, it stays so.
type comeback struct {
	App        string      `json:"app"` // id
	Generation int64       `json:"generation"`
	Shares     []api.Share `json:"shares"`
	Sticky     *bool       `json:"sticky,omitempty"`
	Releases   []int       `json:"releases"` // that come back
	Since      time.Time   `json:"since"`
}

// returning are the releases of a split that get no requests now, if they can have some again.
func (cp *ControlPlane) returning(tx *storage.Tx, a api.App, shares []api.Share) (out []int, err error) {
	for _, s := range shares {
		if serves(sharesOf(a), s.Release) {
			continue
		}
		if _, err := cp.revivable(tx, a, s.Release); err != nil {
			return nil, err
		}
		out = append(out, s.Release)
	}
	return out, nil
}

// awaitComeback notes a split down that waits for releases. changed is false where just that is under way.
func (cp *ControlPlane) awaitComeback(tx *storage.Tx, a *api.App, shares []api.Share, sticky *bool, releases []int) (changed bool, err error) {
	was, err := comebackTable.Get(tx, a.ID)
	if err == nil && same(was.Shares, shares) && same(was.Sticky, sticky) {
		return false, nil
	}
	if err := ignoreGone(err); err != nil {
		return false, err
	}
	for _, n := range releases {
		if err := cp.bringBack(tx, *a, n); err != nil {
			return false, err
		}
	}
	return true, comebackTable.Put(tx, comeback{App: a.ID, Generation: a.Generation + 1, Shares: shares, Sticky: sticky, Releases: releases, Since: cp.Now().UTC()})
}

// bringBack has the replicas of a release begin anew, with a login that is open.
func (cp *ControlPlane) bringBack(tx *storage.Tx, a api.App, number int) error {
	r, err := cp.revivable(tx, a, number)
	if err != nil {
		return err
	}
	if err := relogin(tx, a.Project, &r); err != nil {
		return err
	}
	if err := releaseTable.Put(tx, r); err != nil {
		return err
	}
	return freshTracks(tx, a, number)
}

// freshTracks forgets how often the replicas of a release that are gone were brought back: they begin anew.
func freshTracks(tx *storage.Tx, a api.App, release int) error {
	if _, err := drainTable.Get(tx, releaseKey(a.ID, release)); err == nil {
		return nil // they are there still
	}
	return trackTable.Each(tx, fmt.Sprintf("%s-r%d-", a.ID, release), func(t track) error { return trackTable.Delete(tx, t.ID) })
}

// comebackStep moves a split on that waits.
func (cp *ControlPlane) comebackStep(ctx context.Context, w *world, a api.App, c comeback) {
	key, up := a.ID+"/split", true
	for _, n := range c.Releases {
		r := w.releases[releaseKey(a.ID, n)]
		r.Since = c.Since
		if why, over := cp.deployFailed(w, a, r); over {
			cp.loop.dispatch(ctx, key, time.Minute, func(ctx context.Context) error { return cp.failSplit(a, c, r, why, cp.lastLines(ctx, w, a, r)) })
			return
		}
		up = up && w.healthy(a, r)
	}
	if up {
		cp.loop.dispatch(ctx, key, time.Minute, func(context.Context) error { return cp.doSplit(a, c) })
	}
}

// doSplit puts a split into force of which all releases are healthy.
func (cp *ControlPlane) doSplit(a api.App, c comeback) error {
	return cp.endComeback(a, c, func(tx *storage.Tx, now *api.App) error {
		if err := cp.admitSplit(tx, now, c.Shares, c.Sticky); err != nil {
			return err
		}
		return cp.record(tx, platform("edge"), "app", &a.Meta, "route", routeText(c.Shares))
	})
}

// failSplit leaves requests where they go.
func (cp *ControlPlane) failSplit(a api.App, c comeback, r release, why string, log []string) error {
	return cp.endComeback(a, c, func(tx *storage.Tx, now *api.App) error {
		now.Status.Failure = &api.Failure{Release: r.Number, Reason: why, Log: log, At: cp.Now().UTC()}
		now.Status.Generation = max(now.Status.Generation, c.Generation)
		return cp.record(tx, platform("deployer"), "app", &a.Meta, "split-failed", fmt.Sprintf("release %d: %s", r.Number, clip(why)))
	})
}

// endComeback applies fn if the split is still the one that waits.
func (cp *ControlPlane) endComeback(a api.App, c comeback, fn func(*storage.Tx, *api.App) error) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		now, err := appTable.Get(tx, a.ID)
		if err != nil {
			return ignoreGone(err)
		}
		waits, err := comebackTable.Get(tx, a.ID)
		if err != nil || waits.Generation != c.Generation || now.DeletedAt != nil {
			return ignoreGone(err)
		}
		if err := fn(tx, &now); err != nil {
			return err
		}
		if err := comebackTable.Delete(tx, a.ID); err != nil {
			return err
		}
		return appTable.Put(tx, now)
	})
}

// comebackReason says what a split waits for.
func (w *world) comebackReason(a api.App, c comeback) string {
	for _, l := range w.planApp(a) {
		n, _, _ := replicaNumbers(l.ID, a.ID)
		if phase, reason := w.replicaPhase(l); slices.Contains(c.Releases, n) && phase != api.Running {
			return fmt.Sprintf("%s; release %d comes back: %s", sharesText(sharesOf(a)), n, reason)
		}
	}
	return fmt.Sprintf("%s; release %d comes back", sharesText(sharesOf(a)), c.Releases[0])
}
