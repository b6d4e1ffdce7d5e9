package controlplane

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

// deploySteps moves every app's deploy on: an image is found or built, then replicas come up, then traffic is switched.
func (cp *ControlPlane) deploySteps(ctx context.Context, w *world) {
	for _, a := range w.apps {
		if w.damaged[a.ID] {
			continue
		}
		if a.DeletedAt != nil {
			if cp.appGone(w, a) && !w.awaited(a) {
				cp.loop.dispatch(ctx, a.ID, time.Minute, func(ctx context.Context) error { return cp.removeApp(ctx, w, a) })
			}
			continue
		}
		if r, ok := w.releases[releaseKey(a.ID, a.Status.Target)]; ok {
			cp.deployStep(ctx, w, a, r)
		}
		if c, waits := w.comebacks[a.ID]; waits {
			cp.comebackStep(ctx, w, a, c)
		}
		for _, d := range w.drains[a.ID] {
			cp.loop.dispatch(ctx, releaseKey(a.ID, d.Release)+"/drain", time.Minute, func(ctx context.Context) error { return cp.endDrain(ctx, w, a, d) })
		}
		if old := w.oldImages(a); len(old) > 0 && !w.awaited(a) {
			cp.loop.dispatch(ctx, a.ID+"/images", time.Minute, func(ctx context.Context) error { return cp.dropImages(ctx, a, old) })
		}
	}
}

func (cp *ControlPlane) deployStep(ctx context.Context, w *world, a api.App, r release) {
	key := releaseKey(a.ID, r.Number)
	if r.State == building {
		cp.loop.dispatch(ctx, key, 15*time.Minute, func(ctx context.Context) error { return cp.makeReady(ctx, a, r) })
		return
	}
	why, over := cp.deployFailed(w, a, r)
	switch {
	case over:
		cp.loop.dispatch(ctx, key, time.Minute, func(ctx context.Context) error { return cp.failDeploy(ctx, a, r, why, cp.lastLines(ctx, w, a, r)) })
	case w.healthy(a, r):
		cp.loop.dispatch(ctx, key, time.Minute, func(context.Context) error { return cp.switchOver(a, r) })
	}
}

// healthy tells that all replicas of a release pass their checks.
func (w *world) healthy(a api.App, r release) bool {
	for n := range w.replicas(a, r.Number) {
		if phase, _ := w.replicaPhase(w.replica(a, r, n)); phase != api.Running {
			return false
		}
	}
	return true
}

// deployFailed tells whether a deploy is over without success, and why.
func (cp *ControlPlane) deployFailed(w *world, a api.App, r release) (why string, over bool) {
	last, limit := "", deadline(a)
	for n := range w.replicas(a, r.Number) {
		l := w.replica(a, r, n)
		o, there := w.observed[l.ID]
		if t := w.trouble[l.ID]; t.err != nil && t.final() {
			return t.reason(), true
		}
		if t := w.tracks[l.ID]; there && o.State == compute.StateExited && t.Restarts >= crashLimit-1 {
			return "its program " + exitReason(o) + ", " + itoa(t.Restarts+1) + " times in a row", true
		}
		if stray := w.health[l.ID].stray; stray != "" {
			return fmt.Sprintf("no replica accepts connections on port %d; %s", r.Spec.Port, stray), true
		}
		if phase, reason := w.replicaPhase(l); phase != api.Running {
			last = reason
		}
	}
	since := r.Since
	if steady := cp.loop.steadySince(); steady.After(since) { // nobody could have seen it come up before
		since = steady
	}
	if end := since.Add(limit); cp.Now().Before(end) {
		cp.loop.dueAt(end)
		return "", false
	}
	return fmt.Sprintf("no healthy replica on port %d within %s: %s", r.Spec.Port, limit, last), true
}

func (cp *ControlPlane) sayBuilding(a api.App, r release, reason string) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		now, err := releaseTable.Get(tx, releaseKey(a.ID, r.Number))
		if err != nil || now.State != building {
			return ignoreGone(err)
		}
		now.Reason = reason
		return releaseTable.Put(tx, now)
	})
}

// failDeploy ends a deploy without touching the release that serves.
func (cp *ControlPlane) failDeploy(_ context.Context, a api.App, r release, why string, log []string) error {
	return cp.finishDeploy(a, r, func(tx *storage.Tx, now *api.App, rel *release) error {
		rel.State, rel.Reason = failed, why
		now.Status.Failure = &api.Failure{Release: r.Number, Reason: why, Log: log, At: cp.Now().UTC()}
		now.Status.Reason = fmt.Sprintf("release %d failed: %s", r.Number, why)
		if now.Status.Release != 0 {
			now.Status.Reason = fmt.Sprintf("release %d serves; %s", now.Status.Release, now.Status.Reason)
		}
		now.Status.Generation = max(now.Status.Generation, rel.Generation) // what was asked for since is under way still
		return cp.record(tx, platform("deployer"), "app", &a.Meta, "deploy-failed", fmt.Sprintf("release %d: %s", r.Number, clip(why)))
	})
}

// switchOver makes a release serve; what it takes the requests of ends those it has.
func (cp *ControlPlane) switchOver(a api.App, r release) error {
	return cp.finishDeploy(a, r, func(tx *storage.Tx, now *api.App, rel *release) error {
		rel.State, rel.Reason, rel.Served = serving, "serves", true
		shares := []api.Share{{Release: r.Number, Percent: 100}}
		if before := mainShare(sharesOf(*now), r.Number); rel.Canary > 0 && before != 0 {
			shares = []api.Share{{Release: r.Number, Percent: rel.Canary}, {Release: before, Percent: 100 - rel.Canary}}
		}
		if err := cp.share(tx, now, shares, "served until the next release"); err != nil {
			return err
		}
		now.Status.Release, now.Status.Failure = r.Number, nil
		return cp.record(tx, platform("edge"), "app", &a.Meta, "route", routeText(shares))
	})
}

// finishDeploy applies fn if the release is still the one being deployed.
func (cp *ControlPlane) finishDeploy(a api.App, r release, fn func(*storage.Tx, *api.App, *release) error) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		now, err := appTable.Get(tx, a.ID)
		if err != nil || now.Status.Target != r.Number {
			return ignoreGone(err)
		}
		rel, err := releaseTable.Get(tx, releaseKey(a.ID, r.Number))
		if err != nil {
			return err
		}
		if err := fn(tx, &now, &rel); err != nil {
			return err
		}
		now.Status.Target = 0
		if err := releaseTable.Put(tx, rel); err != nil {
			return err
		}
		return appTable.Put(tx, now)
	})
}

// endDrain waits for the requests of the release before and lets it go.
func (cp *ControlPlane) endDrain(ctx context.Context, w *world, a api.App, d drain) error {
	for _, o := range w.by.observed[a.ID] {
		if !strings.HasPrefix(o.ID, fmt.Sprintf("%s-r%d-", a.ID, d.Release)) {
			continue
		}
		if err := cp.emptied(ctx, w, o, d.Since); err != nil {
			return err
		}
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		if err := drainTable.Delete(tx, releaseKey(a.ID, d.Release)); err != nil {
			return ignoreGone(err)
		}
		return cp.record(tx, platform("edge"), "app", &a.Meta, "drain", fmt.Sprintf("release %d ended its requests", d.Release))
	})
}

// letGo removes a replica that nobody wants any more. No route leads to it, so its requests come to an end; then its
// program has time to. With its app gone nothing is waited for.
func (cp *ControlPlane) letGo(ctx context.Context, w *world, o compute.Observed) error {
	if w.hasApp(o.Owner) {
		if err := cp.emptied(ctx, w, o, cp.Now()); err != nil {
			return err
		}
		if err := cp.Engine.Stop(ctx, o.ID, stopGrace); err != nil {
			return err
		}
	}
	return cp.Engine.Remove(ctx, o.ID)
}

func (w *world) hasApp(id string) bool {
	o, ok := w.by.owners[id]
	return ok && o.meta.DeletedAt == nil
}

// emptied waits until a replica has no request in flight, or has had its time to end them. WebSockets have a time of their own and are
// then closed.
func (cp *ControlPlane) emptied(ctx context.Context, w *world, o compute.Observed, since time.Time) error {
	sockets := since.Add(w.socketGrace(o.Owner))
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := since.Add(drainDeadline); cp.Edge.InFlight(o.ID) > 0 && cp.Now().Before(end); {
		if cp.Now().After(sockets) {
			cp.Edge.EndSockets(o.ID)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// socketGrace is how long WebSockets of an app's replicas that are to go may stay open.
func (w *world) socketGrace(app string) time.Duration {
	for _, a := range w.apps {
		if a.ID == app && a.Spec.Limits.SocketSeconds > 0 {
			return time.Duration(a.Spec.Limits.SocketSeconds) * time.Second
		}
	}
	return socketGrace
}

// removeApp removes the images that were built for an app whose replicas are gone, and its network, and forgets it.
func (cp *ControlPlane) removeApp(ctx context.Context, w *world, a api.App) error {
	if engine, ok := cp.Engine.(compute.Images); ok {
		for _, r := range w.by.releases[a.ID] {
			if r.Tag == "" {
				continue
			}
			if err := engine.RemoveImage(ctx, r.Tag); err != nil {
				return err
			}
		}
	}
	if err := cp.dropNetwork(ctx, appNetworkID(a.ID)); err != nil {
		return err
	}
	return cp.dropApp(w, a)
}

// lastLines reads what the first replica of a release that is not healthy printed last.
func (cp *ControlPlane) lastLines(ctx context.Context, w *world, a api.App, r release) []string {
	logger, ok := cp.Engine.(compute.Logger)
	if !ok {
		return nil
	}
	for n := range w.replicas(a, r.Number) {
		l := w.replica(a, r, n)
		if phase, _ := w.replicaPhase(l); phase == api.Running {
			continue
		}
		var log tail
		if out, err := logger.Logs(ctx, l.ID, compute.LogQuery{Tail: tailLines}); err == nil {
			_, _ = io.Copy(&log, out) // what could be read is shown
			out.Close()
		}
		return log.lines()
	}
	return nil
}
