package controlplane

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

// patch is what makes the image of a release that the platform patches: another image, with a package at the fixed version.
type patch struct {
	From    string `json:"from"` // tag or reference of the image it stands on
	File    string `json:"file"`
	Version string `json:"version"`
}

// tendFindings looks into what is vulnerable still, and patches what the platform manages. An instance is only looked at: its system is
// its owner's.
func (cp *ControlPlane) tendFindings(ctx context.Context, w *world) {
	for _, f := range w.findings {
		key := "finding/" + f.key()
		if f.Noun == "database" {
			key = f.ID // nothing else is done to its server meanwhile
		}
		if (f.State == api.Patched || !f.Planted) && w.hasOwner(f) || w.at.Before(cp.scanDue.of(f.key())) {
			continue
		}
		cp.loop.dispatch(ctx, key, time.Minute, func(ctx context.Context) error {
			defer cp.scanDue.set(f.key(), cp.Now().Add(scanEvery))
			if !w.hasOwner(f) {
				return cp.Store.Update(func(tx *storage.Tx) error { return ignoreGone(findingTable.Delete(tx, f.key())) })
			}
			return cp.tendFinding(ctx, w, f)
		})
	}
}

// hasOwner tells that what something was planted in is there.
func (w *world) hasOwner(f finding) bool {
	_, err := w.plantable(f.Project, f.Noun+"/"+f.Resource)
	return err == nil
}

func (cp *ControlPlane) tendFinding(ctx context.Context, w *world, f finding) error {
	a, err := advisory(f.Advisory)
	if err != nil {
		return err
	}
	switch f.Noun {
	case "app":
		return cp.patchApp(ctx, w, a, f)
	case "database":
		return cp.patchDatabase(ctx, w, a, f)
	}
	if clean, err := cp.clean(ctx, w, a, f); err != nil || !clean {
		return err
	}
	return cp.patched(f, api.Customer, "its owner removed or upgraded it", nil)
}

// clean looks whether the vulnerable version is in none of a resource's containers; of what does not run nothing is known.
func (cp *ControlPlane) clean(ctx context.Context, w *world, a api.Advisory, f finding) (bool, error) {
	places := w.containersOf(f)
	for _, id := range places {
		version, err := cp.inside(ctx, f.Noun, id, "cat "+a.File+" 2>/dev/null || true")
		if err != nil || version == a.Affected {
			return false, nil // one that is going, or booting, is looked at again
		}
	}
	return len(places) > 0, nil
}

// patched writes down that a resource is not vulnerable any more.
func (cp *ControlPlane) patched(f finding, by api.ActorKind, reason string, also func(*storage.Tx) error) error {
	return cp.changeFinding(f, func(tx *storage.Tx, now *finding) error {
		at := cp.Now().UTC()
		now.State, now.By, now.PatchedAt, now.Reason = api.Patched, by, &at, reason
		if also != nil {
			return also(tx)
		}
		return nil
	})
}

// changeFinding changes a finding that nobody has planted anew.
func (cp *ControlPlane) changeFinding(f finding, fn func(*storage.Tx, *finding) error) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		now, err := findingTable.Get(tx, f.key())
		if err != nil || !now.PlantedAt.Equal(f.PlantedAt) || now.State != api.Vulnerable {
			return ignoreGone(err)
		}
		if err := fn(tx, &now); err != nil {
			return err
		}
		return findingTable.Put(tx, now)
	})
}

// patchApp releases the app on an image with the fixed version, as any deploy: the replicas before serve until the new ones do.
func (cp *ControlPlane) patchApp(ctx context.Context, w *world, a api.Advisory, f finding) error {
	app, ok := w.appByID(f.ID)
	switch {
	case !ok || app.Status.Target != 0:
		return nil // a deploy is under way; the next look decides
	case f.Release > 0 && app.Status.Release >= f.Release:
		if clean, err := cp.clean(ctx, w, a, f); err != nil || !clean {
			return err
		}
		return cp.patched(f, api.Platform, fmt.Sprintf("release %d stands on an image with %s %s", f.Release, a.Package, a.Fixed), nil)
	case f.Release > 0:
		return cp.changeFinding(f, func(_ *storage.Tx, now *finding) error {
			now.Release, now.Reason = 0, fmt.Sprintf("release %d, which patches it, did not serve: %s; it is tried again", f.Release, w.releases[releaseKey(f.ID, f.Release)].Reason)
			return nil
		})
	}
	return cp.changeFinding(f, func(tx *storage.Tx, now *finding) error { return cp.releasePatched(tx, a, app, now) })
}

// releasePatched gives an app a release like the one that serves, whose image is still to be made from its.
func (cp *ControlPlane) releasePatched(tx *storage.Tx, a api.Advisory, read api.App, f *finding) error {
	app, err := appTable.Get(tx, read.ID)
	if err != nil || app.DeletedAt != nil || app.Status.Target != 0 || app.Status.Release != read.Status.Release {
		return ignoreGone(err)
	}
	serves, err := releaseTable.Get(tx, releaseKey(app.ID, app.Status.Release))
	if err != nil {
		return ignoreGone(err)
	}
	next, origin := app, serves
	next.Spec = operated(serves.Spec, app.Spec)
	origin.Image, origin.Tag, origin.Promoted, origin.Prepared = "", "", "", true
	origin.Built = fmt.Sprintf("release %d with %s %s", serves.Number, a.Package, a.Fixed)
	if err := cp.addRelease(tx, platform("patcher"), &next, origin, 0); err != nil {
		return err
	}
	r, err := releaseTable.Get(tx, releaseKey(app.ID, next.Status.Target))
	if err != nil {
		return err
	}
	r.Patch = &patch{From: orElse(serves.Tag, serves.Spec.Image), File: a.File, Version: a.Fixed}
	app.Status.Target, f.Release = r.Number, r.Number
	f.Reason = fmt.Sprintf("the platform makes release %d with %s %s", r.Number, a.Package, a.Fixed)
	if err := errors.Join(releaseTable.Put(tx, r), appTable.Put(tx, app)); err != nil {
		return err
	}
	return cp.record(tx, platform("patcher"), "app", &app.Meta, "patch", fmt.Sprintf("%s: release %d with %s %s", a.ID, r.Number, a.Package, a.Fixed))
}

// patchDatabase has a database's server made anew from its image, which never had the package. Its data stay in their volume.
func (cp *ControlPlane) patchDatabase(ctx context.Context, w *world, a api.Advisory, f finding) error {
	if f.Renewed {
		if clean, err := cp.clean(ctx, w, a, f); err != nil || !clean {
			return err
		}
		return cp.patched(f, api.Platform, "its server was made anew, on the same data", nil)
	}
	d, ok := w.databaseByID(f.ID)
	if _, runs := w.running(f.ID); !ok || !runs {
		return nil
	}
	if err := cp.replace(ctx, f.ID); err != nil {
		return err
	}
	return cp.changeFinding(f, func(tx *storage.Tx, now *finding) error {
		now.Renewed = true
		return cp.record(tx, platform("patcher"), "database", &d.Meta, "patch", a.ID+": its server is made anew without "+a.Package+" "+a.Affected)
	})
}

// buildPatch makes the image of a release that patches: the files of another one, and the fixed package.
func (cp *ControlPlane) buildPatch(ctx context.Context, a api.App, r release, log io.Writer) (compute.Image, error) {
	builder, ok := cp.Engine.(compute.Builder)
	if !ok {
		return compute.Image{}, api.Errorf(api.Unsupported, "cannot patch app %q: the %s engine builds no images", a.Name, cp.loop.engine().Name)
	}
	content, w := io.Pipe()
	defer content.Close()
	go func() {
		out := tar.NewWriter(w)
		file := "FROM " + r.Patch.From + "\nCOPY version " + r.Patch.File + "\n"
		err := errors.Join(addFile(out, "Dockerfile", 0o644, strings.NewReader(file), int64(len(file))),
			addFile(out, "version", 0o644, strings.NewReader(r.Patch.Version+"\n"), int64(len(r.Patch.Version)+1)))
		w.CloseWithError(errors.Join(err, out.Close()))
	}()
	return builder.Build(ctx, compute.Build{Tag: imageTag(a.ID, r.Number), Owner: a.ID, Project: a.Project, Name: a.Name}, content, log)
}

func (w *world) appByID(id string) (api.App, bool) {
	for _, a := range w.apps {
		if a.ID == id {
			return a, true
		}
	}
	return api.App{}, false
}
