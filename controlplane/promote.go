package controlplane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

// Promote releases the image of the release that serves as the app of that name in another project. What is the image's goes
// with it (where it came from, port, health path, release command); all else is the other project's own.
func (r apps) Promote(ctx context.Context, project, name, to string) (api.Promotion, error) {
	var out api.Promotion
	if _, err := r.cp.authorize(ctx, project); err != nil {
		return out, err
	}
	actor, err := r.cp.authorize(ctx, to)
	if err != nil {
		return out, err
	}
	if project == to {
		return out, api.Errorf(api.Invalid, "cannot promote app %q from project %q to itself: name the next stage's project", name, to)
	}
	err = r.cp.Store.Update(func(tx *storage.Tx) error {
		from, serves, err := r.promotable(tx, project, name)
		if err != nil {
			return err
		}
		out.App, err = r.promoteTo(tx, actor, from, serves, to)
		out.Missing = missing(from.Spec, out.App.Spec)
		return err
	})
	return out, err
}

// promotable reads an app and the release of it that serves.
func (r apps) promotable(tx *storage.Tx, project, name string) (api.App, release, error) {
	a, err := r.find(tx, project, name)
	if err != nil {
		return a, release{}, err
	}
	if err := r.generation(&a, 0); err != nil {
		return a, release{}, err
	}
	if a.Status.Release == 0 {
		return a, release{}, api.Errorf(api.Conflict, "cannot promote app %q of project %q: no release serves yet", name, project)
	}
	rel, err := usable(tx, a, a.Status.Release, fmt.Sprintf("promote app %q with", name))
	return a, rel, err
}

// promoteTo makes the release in the other project, and the app where it is not there yet.
func (r apps) promoteTo(tx *storage.Tx, actor api.Actor, from api.App, serves release, to string) (api.App, error) {
	if err := r.cp.projectExists(tx, to); err != nil {
		return api.App{}, err
	}
	now, err := r.find(tx, to, from.Name)
	isNew := errors.Is(err, api.NotFound)
	switch {
	case isNew:
		now = r.stage(from.Name, to)
	case err != nil:
		return now, err
	default:
		if err := r.generation(&now, 0); err != nil {
			return now, err
		}
	}
	next := now
	next.Spec.Image, next.Spec.Source = serves.Spec.Image, serves.Spec.Source
	next.Spec.Port, next.Spec.Health = serves.Spec.Port, serves.Spec.Health
	if !isNew && r.servesAlready(tx, now, next, serves) {
		return now, nil
	}
	if err := checkAppFields(next.Name, &next.Spec); err != nil {
		return now, err
	}
	return next, r.putPromoted(tx, actor, isNew, now, &next, from, serves)
}

// stage is an app as it is made by its first promotion, with defaults.
func (r apps) stage(name, project string) api.App {
	one := 1
	return api.App{Meta: api.Meta{ID: r.cp.NewID(r.prefix), Name: name, Project: project, CreatedAt: r.cp.Now().UTC()},
		Spec: api.AppSpec{Size: "micro", Replicas: &one}, Status: api.AppStatus{Status: api.Status{Phase: api.Pending, Reason: "accepted"}}}
}

// servesAlready tells that an app has that very image in service, with the settings it would get.
func (r apps) servesAlready(tx *storage.Tx, now, next api.App, serves release) bool {
	if now.Status.Target != 0 || !same(now.Spec, next.Spec) {
		return false
	}
	rel, err := releaseTable.Get(tx, releaseKey(now.ID, now.Status.Release))
	return err == nil && rel.Image == serves.Image
}

// putPromoted stores the app with its new release.
func (r apps) putPromoted(tx *storage.Tx, actor api.Actor, isNew bool, now api.App, next *api.App, from api.App, serves release) error {
	next.Generation++
	var before *api.App
	if !isNew {
		before = &now
	}
	if err := r.cp.admitSettings(tx, before, next); err != nil {
		return err
	}
	origin := serves
	origin.Prepared, origin.Promoted = false, fmt.Sprintf("%s/%d", from.Project, serves.Number)
	if err := r.cp.addRelease(tx, actor, next, origin, 0); err != nil {
		return err
	}
	put := appTable.Put
	if isNew {
		put = appTable.Insert
	}
	if err := put(tx, *next); err != nil {
		return err
	}
	return r.cp.record(tx, actor, r.noun, &next.Meta, "promote",
		fmt.Sprintf("release %d of project %s, image %s, as release %d", serves.Number, from.Project, short(serves.Image), next.Status.Target))
}

// missing names what the settings of one app have that those of another lack.
func missing(from, to api.AppSpec) []string {
	out := []string{}
	has := func(name string) bool {
		_, plain := to.Env[name]
		_, secret := to.Secrets[name]
		return plain || secret
	}
	for _, name := range slices.Sorted(maps.Keys(from.Env)) {
		if !has(name) {
			out = append(out, "setting "+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(from.Secrets)) {
		if !has(name) {
			out = append(out, "secret "+name)
		}
	}
	if from.Database != "" && to.Database == "" {
		out = append(out, "database "+from.Database)
	}
	if from.Auth.Pool != "" && to.Auth.Pool == "" {
		out = append(out, "auth pool "+from.Auth.Pool)
	}
	return out
}

// holdImage gives a promoted image a tag of its new app, so that it stays when the app it was built for goes.
func (cp *ControlPlane) holdImage(ctx context.Context, a api.App, r release) error {
	engine, ok := cp.Engine.(compute.Tagger)
	if !ok {
		return api.Errorf(api.Unsupported, "cannot promote app %q: the %s engine keeps no images", a.Name, cp.loop.engine().Name)
	}
	err := engine.TagImage(ctx, r.Image, r.Tag)
	if errors.Is(err, api.NotFound) {
		return api.Errorf(api.NotFound, "cannot release app %q: the image promoted from %s is gone; deploy it there again, then promote", a.Name, r.Promoted)
	}
	return err
}

// lastPromoted is the number of the newest release where its image was promoted, though it may have failed: a setting that it lacked
// makes another release of that very image. 0: it is none.
func lastPromoted(tx *storage.Tx, a api.App) int {
	var newest release
	err := releaseTable.Each(tx, a.ID+"/", func(r release) error { newest = r; return nil })
	if err != nil || newest.Promoted == "" {
		return 0
	}
	return newest.Number
}

// awaited tells that a promotion is about to hold an image of an app: until then the app keeps its tags.
func (w *world) awaited(a api.App) bool {
	images := map[string]bool{}
	for _, r := range w.by.releases[a.ID] {
		images[r.Image] = r.Tag != ""
	}
	for _, r := range w.releases {
		if r.App != a.ID && r.State == building && r.Promoted != "" && images[r.Image] {
			return true
		}
	}
	return false
}
