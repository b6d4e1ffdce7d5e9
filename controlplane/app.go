package controlplane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

const (
	deployDeadline = 90 * time.Second // from the image's being there to all replicas healthy, where the app has no other
	drainDeadline  = 30 * time.Second
	socketGrace    = 10 * time.Second // of the WebSockets of a replica that is to go, where the app has no other
	crashLimit     = 3                // exits of one replica that fail a deploy
)

// States of a release.
const (
	building   = "building"
	deploying  = "deploying"
	serving    = "serving"
	superseded = "superseded"
	failed     = "failed"
)

// apps adds the verbs of releases.
type apps struct {
	resource[api.App, api.AppSpec]
}

func (cp *ControlPlane) apps() resource[api.App, api.AppSpec] {
	return resource[api.App, api.AppSpec]{
		cp: cp, noun: "app", prefix: "app", table: appTable,
		status: func(a *api.App) *api.Status { return &a.Status.Status },
		spec:   func(a *api.App) *api.AppSpec { return &a.Spec },
		check:  cp.checkApp,
		admit:  cp.admitApp,
		retire: func(*storage.Tx, *api.App) (bool, error) { return false, nil },
		verb:   appVerb,
	}
}

func (cp *ControlPlane) checkApp(ctx context.Context, old, next *api.App) error {
	s := &next.Spec
	s.Size = orElse(s.Size, "micro")
	if s.Port == 0 {
		s.Port = 8080
	}
	if s.Replicas == nil {
		one := 1
		s.Replicas = &one
	}
	if err := checkAppFields(next.Name, s); err != nil {
		return err
	}
	if s.Source != "" {
		return cp.checkSource(s.Source, old == nil || old.Spec.Source != s.Source)
	}
	if old != nil && old.Spec.Image == s.Image {
		return nil
	}
	_, err := cp.findImage(ctx, s.Image)
	return err
}

func checkAppFields(name string, s *api.AppSpec) error {
	switch _, err := api.SizeOf(s.Size); {
	case err != nil:
		return err
	case (s.Image == "") == (s.Source == ""):
		return api.Errorf(api.Invalid, "cannot deploy app %q: give either an image or a source", name)
	case s.Port < 1 || s.Port > 65535:
		return api.Errorf(api.Invalid, "cannot deploy app %q on port %d: ports are 1 to 65535", name, s.Port)
	case *s.Replicas < 0 || *s.Replicas > 50:
		return api.Errorf(api.Invalid, "cannot run %d replicas of app %q: 0 to 50 is possible", *s.Replicas, name)
	case s.DeadlineSeconds < 0 || s.DeadlineSeconds > 3600:
		return api.Errorf(api.Invalid, "cannot give a deploy of app %q %d seconds: 1 to 3600 is possible, and 0 for %s", name, s.DeadlineSeconds, deployDeadline)
	case s.Canary < 0 || s.Canary > 99:
		return api.Errorf(api.Invalid, "cannot give the new release of app %q %d%% of the requests: 1 to 99 is possible, and 0 for all", name, s.Canary)
	case s.Limits.BodyBytes < 0 || s.Limits.RPS < 0 || s.Limits.AnswerSeconds < 0 || s.Limits.AnswerSeconds > 60:
		return api.Errorf(api.Invalid, "cannot limit app %q so: bytes and requests are 0 or more, and an answer begins within 1 to 60 seconds, 0 for 60", name)
	case s.Limits.IdleSeconds < 0 || s.Limits.IdleSeconds > 3600 || s.Limits.SocketSeconds < 0 || s.Limits.SocketSeconds > int(drainDeadline/time.Second):
		return api.Errorf(api.Invalid, "cannot limit app %q so: a rest may last 1 to 3600 seconds, 0 for any; WebSockets of a release that goes 1 to 30, 0 for 10", name)
	case checkScaling(name, s.Scaling) != nil:
		return checkScaling(name, s.Scaling)
	case s.Health != "" && !strings.HasPrefix(s.Health, "/"):
		return api.Errorf(api.Invalid, "cannot check health of app %q at %q: the path starts with /", name, s.Health)
	}
	if err := checkAuth(name, s.Auth); err != nil {
		return err
	}
	return errors.Join(checkEnv(s.Env), checkSecrets("app", name, s.Secrets, s.Env))
}

// admitApp makes a release of every change of what a release keeps.
func (cp *ControlPlane) admitApp(tx *storage.Tx, by api.Actor, old, next *api.App) error {
	canary := next.Spec.Canary
	if err := cp.admitSettings(tx, old, next); err != nil {
		return err
	}
	if old == nil {
		return cp.addRelease(tx, by, next, release{}, 0)
	}
	if same(releaseSpec(old.Spec), releaseSpec(next.Spec)) {
		return nil
	}
	from := release{}
	if old.Spec.Source == next.Spec.Source && old.Spec.Image == next.Spec.Image {
		from = cp.builtBefore(tx, *old)
	}
	return cp.addRelease(tx, by, next, from, canary)
}

// admitSettings looks at what an app's settings name, and puts away what is not kept in them.
func (cp *ControlPlane) admitSettings(tx *storage.Tx, old, next *api.App) error {
	next.Spec.Canary = 0
	beginScaling(old, next)
	if db := next.Spec.Database; db != "" {
		if _, err := cp.databases().find(tx, next.Project, db); err != nil {
			return err
		}
	}
	if err := cp.bindPool(tx, next); err != nil {
		return err
	}
	var was api.AppSpec
	if old != nil {
		was = old.Spec
	}
	sealed, err := cp.sealSecrets(tx, "app", &next.Meta, secretSet{version: was.SecretsVersion}, secretSet{values: next.Spec.Secrets})
	if err != nil {
		return err
	}
	next.Spec.Secrets, next.Spec.SecretsVersion = sealed.values, sealed.version
	if old == nil {
		next.Status.Replicas = []api.Replica{}
		next.Status.URL = cp.url(next.Name, next.Project, "app")
		return cp.addAppNetwork(tx, next)
	}
	return nil
}

// releaseSpec is what a release keeps of a spec.
func releaseSpec(s api.AppSpec) api.AppSpec { return operated(s, api.AppSpec{}) }

// operated is what a release keeps of a spec, operated as another spec says: what of it makes no release.
func operated(s, as api.AppSpec) api.AppSpec {
	s.Replicas, s.DeadlineSeconds, s.Canary, s.Sticky, s.Limits, s.Scaling = as.Replicas, as.DeadlineSeconds, as.Canary, as.Sticky, as.Limits, as.Scaling
	return s
}

// deadline is how long a deploy of the app may take.
func deadline(a api.App) time.Duration {
	if a.Spec.DeadlineSeconds == 0 {
		return deployDeadline
	}
	return time.Duration(a.Spec.DeadlineSeconds) * time.Second
}

// builtBefore returns the newest release of the app that has its image, so that a change of settings builds nothing.
func (cp *ControlPlane) builtBefore(tx *storage.Tx, a api.App) release {
	for _, n := range []int{a.Status.Target, a.Status.Release, lastPromoted(tx, a)} {
		if r, err := releaseTable.Get(tx, releaseKey(a.ID, n)); n > 0 && err == nil && r.Image != "" &&
			r.Spec.Source == a.Spec.Source && r.Spec.Image == a.Spec.Image {
			r.Prepared = false // with other settings its release command runs again
			return r
		}
	}
	return release{}
}

// addRelease numbers a new release, which begins with an earlier one's image where it has one. canary is the percent of requests
// it gets when it serves, 0 for all.
func (cp *ControlPlane) addRelease(tx *storage.Tx, by api.Actor, a *api.App, from release, canary int) error {
	number := 1
	err := releaseTable.Each(tx, a.ID+"/", func(r release) error { number = r.Number + 1; return nil })
	if err != nil {
		return err
	}
	if was, err := releaseTable.Get(tx, releaseKey(a.ID, a.Status.Target)); err == nil && a.Status.Target > 0 {
		was.State, was.Reason = superseded, fmt.Sprintf("release %d came before it could serve", number)
		if err := releaseTable.Put(tx, was); err != nil {
			return err
		}
	}
	if err := erase(tx, comebackTable, a.ID); err != nil {
		return err
	}
	r := release{App: a.ID, Generation: a.Generation, Tag: from.Tag, Command: from.Command, Prepared: from.Prepared, Canary: canary,
		Release: api.Release{Number: number, Image: from.Image, Bytes: from.Bytes, Built: from.Built, Promoted: from.Promoted, Spec: releaseSpec(a.Spec),
			State: building, Reason: "accepted", CreatedAt: cp.Now().UTC(), By: by.Name}}
	if from.App != a.ID && from.Tag != "" {
		r.Tag = imageTag(a.ID, number)
	}
	if r.Image != "" && !r.held() && (r.Command == "" || r.Prepared) {
		r.State, r.Reason, r.Since = deploying, "starting its replicas", r.CreatedAt
	}
	a.Status.Target = number
	if r.Login, err = currentLogin(tx, a.Project, a.Spec.Database); err != nil {
		return err
	}
	return releaseTable.Insert(tx, r)
}

func appVerb(old, next *api.App) (verb, detail string) {
	switch {
	case old == nil:
		return "create", fmt.Sprintf("release %d from %s", next.Status.Target, orElse(next.Spec.Image, "source"))
	case !same(old.Spec.Scaling, next.Spec.Scaling) && same(releaseSpec(old.Spec), releaseSpec(next.Spec)):
		return "scale", scalingText(next.Spec)
	case same(releaseSpec(old.Spec), releaseSpec(next.Spec)) && *old.Spec.Replicas == *next.Spec.Replicas:
		return "configure", "how it is operated"
	case same(releaseSpec(old.Spec), releaseSpec(next.Spec)):
		return "scale", fmt.Sprintf("%d to %d replicas", *old.Spec.Replicas, *next.Spec.Replicas)
	case old.Spec.Restart != next.Spec.Restart:
		return "restart-all", ""
	case old.Spec.Image != next.Spec.Image || old.Spec.Source != next.Spec.Source:
		return "deploy", fmt.Sprintf("release %d", next.Status.Target)
	}
	return "configure", fmt.Sprintf("release %d", next.Status.Target)
}

func (r apps) Releases(ctx context.Context, project, name string) (api.List[api.Release], error) {
	out := api.List[api.Release]{Items: []api.Release{}}
	a, err := r.Get(ctx, project, name)
	if err != nil {
		return out, err
	}
	err = r.cp.Store.View(func(tx *storage.Tx) error {
		return releaseTable.Each(tx, a.ID+"/", func(rel release) error {
			rel.Share = shareOf(a, rel.Number)
			out.Items = append([]api.Release{rel.Release}, out.Items...)
			return nil
		})
	})
	return out, err
}

func (r apps) Rollback(ctx context.Context, project, name string, to int) (api.App, error) {
	actor, err := r.cp.authorize(ctx, project)
	if err != nil {
		return api.App{}, err
	}
	var out api.App
	err = r.cp.Store.Update(func(tx *storage.Tx) error {
		a, err := r.find(tx, project, name)
		if err != nil {
			return err
		}
		if err := r.generation(&a, 0); err != nil {
			return err
		}
		target, err := rollbackTarget(tx, a, to)
		if err != nil {
			return err
		}
		if db := target.Spec.Database; db != "" {
			if _, err := r.cp.databases().find(tx, project, db); err != nil {
				return api.Errorf(api.Conflict, "cannot roll app %q back to release %d: it was bound to database %q, which is gone", name, target.Number, db)
			}
		}
		was := a.Spec
		a.Spec = operated(target.Spec, was)
		if err := r.cp.bindPool(tx, &a); err != nil {
			return err
		}
		a.Generation++
		if err := r.cp.addRelease(tx, actor, &a, target, 0); err != nil {
			return err
		}
		out = a
		if err := appTable.Put(tx, a); err != nil {
			return err
		}
		return r.cp.record(tx, actor, r.noun, &a.Meta, "rollback", fmt.Sprintf("to release %d, as release %d", target.Number, a.Status.Target))
	})
	return out, err
}

// usable reads a release that requests may go to again. verb is what the app can't otherwise: roll back, split.
func usable(tx *storage.Tx, a api.App, number int, verb string) (release, error) {
	r, err := releaseTable.Get(tx, releaseKey(a.ID, number))
	switch {
	case err != nil:
		return r, api.Errorf(api.NotFound, "cannot %s release %d: there is no such release", verb, number)
	case !r.Served:
		return r, api.Errorf(api.Conflict, "cannot %s release %d: it never served (%s)", verb, number, r.Reason)
	case r.Image == "":
		return r, api.Errorf(api.Conflict, "cannot %s release %d: %s", verb, number, r.Reason)
	}
	return r, nil
}

// rollbackTarget finds the release to go back to: the one named, or the newest before the serving one that once served; while
// requests are split, the one that gets most of them beside that.
func rollbackTarget(tx *storage.Tx, a api.App, to int) (release, error) {
	if to == 0 && len(a.Status.Shares) > 0 {
		to = mainShare(a.Status.Shares, a.Status.Release)
	}
	if to > 0 {
		return usable(tx, a, to, fmt.Sprintf("roll app %q back to", a.Name))
	}
	var found release
	err := releaseTable.Each(tx, a.ID+"/", func(r release) error {
		if r.Number < a.Status.Release && r.Served && r.Image != "" {
			found = r
		}
		return nil
	})
	if err == nil && found.Number == 0 {
		err = api.Errorf(api.Conflict, "cannot roll app %q back: no earlier release ever served", a.Name)
	}
	return found, err
}

// replicaID names a replica: the app, the release, the number.
func replicaID(app string, release, n int) string { return fmt.Sprintf("%s-r%d-%d", app, release, n) }

// replicaNumbers reads the release and the number out of a replica's id; ok is false where it is none of the app's.
func replicaNumbers(id, app string) (release, n int, ok bool) {
	_, err := fmt.Sscanf(strings.TrimPrefix(id, app), "-r%d-%d", &release, &n)
	return release, n, err == nil && strings.HasPrefix(id, app)
}

// planApp returns the replicas of the releases that serve, of the one being deployed, and of those being drained.
func (w *world) planApp(a api.App) []compute.Workload {
	if a.DeletedAt != nil || w.damaged[a.ID] {
		return nil
	}
	var out []compute.Workload
	for _, n := range w.live(a) {
		r := w.releases[releaseKey(a.ID, n)]
		if r.Image == "" || r.State == building {
			continue
		}
		for i := range w.replicas(a, n) {
			out = append(out, w.replica(a, r, i))
		}
	}
	return out
}

// replicas is how many replicas a release shall have: a deploy from zero tries one all the same.
func (w *world) replicas(a api.App, release int) int {
	if release == a.Status.Target && replicasOf(a) == 0 {
		return 1
	}
	return replicasOf(a)
}

func (w *world) replica(a api.App, r release, n int) compute.Workload {
	size, _ := api.SizeOf(r.Spec.Size) // checked when the release was made
	return compute.Workload{
		ID: replicaID(a.ID, r.Number, n), Owner: a.ID, Kind: compute.KindApp, Project: a.Project, Name: a.Name, Generation: a.Generation,
		Image: r.Image, Env: w.appEnv(a, r), Hosts: w.authHosts(a, r.Spec.Auth), Hostname: fmt.Sprintf("%s-%d", a.Name, n), Network: appNetworkID(a.ID), Ports: []int{r.Spec.Port},
		Limits: compute.Limits{MilliCPU: size.MilliCPU, MemoryBytes: size.MemoryBytes, Pids: 512}, Running: true,
	}
}

func (w *world) appEnv(a api.App, r release) map[string]string {
	env := maps.Clone(r.Spec.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, w.vaults[vaultKey(a.ID, r.Spec.SecretsVersion)])
	env["PORT"] = itoa(r.Spec.Port)
	w.withAuth(a, r, env)
	env["NUAGE_APP"], env["NUAGE_RELEASE"] = a.Name, itoa(r.Number)
	if r.Spec.Database != "" {
		if d, ok := w.by.databases[a.Project+"/"+r.Spec.Database]; ok {
			maps.Copy(env, databaseEnv(d, w.numbered[d.ID][r.Login]))
		}
	}
	return env
}

// appStatus says how an app does. What a deploy's end changes is decided by deployStep, not here.
func (w *world) appStatus(a api.App) api.AppStatus {
	s := a.Status
	s.Replicas = w.replicaStatus(a)
	s.Restarts = w.restarts(a.ID)
	up, shares := 0, sharesOf(a)
	for _, r := range s.Replicas {
		if shareOf(a, r.Release) > 0 && r.Phase == api.Running {
			up++
		}
	}
	wanted := replicasOf(a) * len(shares)
	target := w.releases[releaseKey(a.ID, s.Target)]
	switch {
	case a.DeletedAt != nil:
		s.Phase, s.Reason = api.Deleting, "removing the replicas"
	case s.Target != 0:
		s.Phase, s.Reason = w.deployPhase(a, target)
	case w.comebacks[a.ID].App != "":
		s.Phase, s.Reason = api.Updating, w.comebackReason(a, w.comebacks[a.ID])
	case len(w.drains[a.ID]) > 0:
		s.Phase, s.Reason = api.Updating, fmt.Sprintf("%s; release %d ends its requests", sharesText(shares), w.drains[a.ID][0].Release)
	case s.Release == 0:
		s.Status.Generation, s.Phase = a.Generation, api.Failed
	case sleeps(a):
		s.Status.Generation, s.Phase, s.Reason = a.Generation, api.Stopped, "scaled to zero replicas: the next request wakes it"
	case wanted == 0:
		s.Status.Generation, s.Phase, s.Reason = a.Generation, api.Stopped, "scaled to zero replicas"
	case up == wanted && len(s.Replicas) == up:
		s.Status.Generation, s.Phase = a.Generation, api.Running
		s.Reason = fmt.Sprintf("%s with %d of %d replicas", sharesText(shares), up, up)
		if !w.real {
			s.Reason = fmt.Sprintf("simulated: %s with %d replicas, and nothing answers", sharesText(shares), up)
		}
	case s.Status.Generation == a.Generation && a.Spec.Scaling != nil && up > 0:
		s.Phase, s.Reason = api.Running, fmt.Sprintf("%s with %d of %d replicas", sharesText(shares), up, wanted)
	case s.Status.Generation == a.Generation:
		s.Phase, s.Reason = api.Degraded, fmt.Sprintf("%s with %d of %d replicas", sharesText(shares), up, wanted)
	default:
		s.Phase, s.Reason = api.Updating, fmt.Sprintf("%d of %d replicas are up", up, wanted)
	}
	if f := s.Failure; f != nil && s.Target == 0 && s.Release != 0 && a.DeletedAt == nil {
		s.Reason += fmt.Sprintf("; release %d failed: %s", f.Release, f.Reason)
	}
	return s
}

func (w *world) deployPhase(a api.App, target release) (api.Phase, string) {
	phase := api.Updating
	if a.Status.Release == 0 {
		phase = api.Pending
	}
	reason := target.Reason
	if t, troubled := w.trouble[releaseKey(a.ID, target.Number)]; troubled {
		reason = t.reason()
	}
	return phase, fmt.Sprintf("release %d: %s", target.Number, reason)
}

// replicaStatus lists the replicas there are or should be.
func (w *world) replicaStatus(a api.App) []api.Replica {
	out := []api.Replica{}
	for _, wl := range w.planApp(a) {
		number, _, _ := replicaNumbers(wl.ID, a.ID)
		r := api.Replica{ID: wl.ID, Release: number}
		r.Phase, r.Reason = w.replicaPhase(wl)
		out = append(out, r)
	}
	return out
}

func (w *world) replicaPhase(wl compute.Workload) (api.Phase, string) {
	o, there := w.observed[wl.ID]
	trouble, troubled := w.trouble[wl.ID]
	h, probed := w.health[wl.ID]
	switch {
	case troubled:
		return api.Pending, trouble.reason()
	case !there && w.awaitsDatabase(wl):
		return api.Pending, "waiting for the server of its database to be in its network"
	case !there:
		return api.Pending, w.making(wl.Network, "making the container")
	case w.leaving[wl.ID]:
		return api.Pending, "it ends, and is made again"
	case o.State == compute.StateExited:
		return api.Degraded, exitReason(o)
	case o.State != compute.StateRunning:
		return api.Pending, "starting"
	case !w.real:
		return api.Running, "simulated"
	case !probed:
		return api.Pending, "waiting for the first health check"
	case !h.ok:
		return api.Pending, h.reason
	}
	return api.Running, orElse(w.tracks[wl.ID].Reason, "healthy")
}

// exitReason says why a container ended.
func exitReason(o compute.Observed) string {
	if o.OOMKilled {
		return "was killed for taking more memory than its size allows"
	}
	return fmt.Sprintf("exited with status %d", o.ExitCode)
}
