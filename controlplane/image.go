package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/images"
	"nuage/storage"
)

const (
	pullWait    = time.Minute      // for a registry's first word
	pullTimeout = 30 * time.Minute // for all of an image
)

// imageVerbs adds the catalog's images to those that are stored.
type imageVerbs struct {
	resource[api.Image, api.ImageSpec]
}

func (cp *ControlPlane) images() resource[api.Image, api.ImageSpec] {
	return resource[api.Image, api.ImageSpec]{
		cp: cp, noun: "image", prefix: "img", table: imageTable,
		status: func(i *api.Image) *api.Status { return &i.Status.Status },
		spec:   func(i *api.Image) *api.ImageSpec { return &i.Spec },
		check:  cp.checkOwnImage,
		admit:  admitImage,
		retire: retireImage,
		verb: func(_, next *api.Image) (string, string) {
			if next.Spec.Instance != "" {
				return "create", "from instance " + next.Spec.Instance
			}
			return "create", "pull " + next.Spec.Ref
		},
	}
}

func (cp *ControlPlane) checkOwnImage(_ context.Context, old, next *api.Image) error {
	s := &next.Spec
	_, commits := cp.Engine.(compute.Committer)
	_, pulls := cp.Engine.(compute.Images)
	_, listed := images.Lookup(next.Name)
	switch {
	case old != nil:
		return api.Errorf(api.Unsupported, "cannot change image %q: make another one", next.Name)
	case listed:
		return api.Errorf(api.Conflict, "cannot create image %q: the catalog has an image of that name", next.Name)
	case (s.Instance == "") == (s.Ref == ""):
		return api.Errorf(api.Invalid, "cannot create image %q: give either the instance to make it from or the reference to pull", next.Name)
	case s.Instance != "" && !commits, s.Ref != "" && !pulls:
		return api.Errorf(api.Unsupported, "cannot create image %q: engine %q can't", next.Name, cp.loop.engine().Name)
	case s.Ref == "":
		return nil
	}
	ref, err := compute.NormalizeImage(s.Ref)
	switch {
	case err != nil:
		return err
	case compute.IsImageID(ref):
		return api.Errorf(api.Invalid, "cannot pull image %q: give a reference as nginx:1.27", s.Ref)
	}
	if err := checkOutside(ref); err != nil {
		return err
	}
	next.Status.Ref = ref
	return nil
}

// checkOutside refuses references that the cloud gives to root disks, to images of instances and to built apps: those
// are a project's own.
func checkOutside(ref string) error {
	ref, err := compute.NormalizeImage(ref)
	if err != nil {
		return err
	}
	if strings.HasPrefix(ref, "nuage-") {
		return api.Errorf(api.Invalid, "cannot use image %q: the cloud made it for its own use; `nuage image list` shows what there is", ref)
	}
	return nil
}

func admitImage(tx *storage.Tx, _ api.Actor, _, next *api.Image) error {
	d := disk{ID: next.ID, Project: next.Project}
	if next.Spec.Instance != "" {
		i, err := instanceTable.GetBy(tx, "name", next.Project+"/"+next.Spec.Instance)
		switch {
		case errors.Is(err, api.NotFound):
			return api.Errorf(api.NotFound, "cannot create image %q: project %q has no instance %q", next.Name, next.Project, next.Spec.Instance)
		case err != nil:
			return err
		case i.DeletedAt != nil:
			return api.Errorf(api.Conflict, "cannot create image %q: instance %q is being deleted", next.Name, i.Name)
		}
		d.From, next.Status.Ref = i.ID, "nuage-image/"+next.ID+":1"
	}
	return diskTable.Insert(tx, d)
}

func retireImage(tx *storage.Tx, g *api.Image) (bool, error) {
	used := func(noun, name string) error {
		return api.Errorf(api.Conflict, "cannot delete image %q: %s %q is made from it; delete that first", g.Name, noun, name)
	}
	err := instanceTable.EachBy(tx, "name", g.Project+"/", func(i api.Instance) error {
		m, err := machineTable.Get(tx, i.ID)
		if err == nil && m.From == g.ID && i.DeletedAt == nil {
			return used("instance", i.Name)
		}
		return ignoreGone(err)
	})
	if err != nil {
		return false, err
	}
	return false, fleetTable.EachBy(tx, "name", g.Project+"/", func(f api.InstanceGroup) error {
		if f.Spec.Template.Image == g.Name && f.DeletedAt == nil {
			return used("instance group", f.Name)
		}
		return nil
	})
}

// Get returns an image of the project or of the catalog.
func (r imageVerbs) Get(ctx context.Context, project, name string) (api.Image, error) {
	known, listed := images.Lookup(name)
	if !listed {
		return r.resource.Get(ctx, project, name)
	}
	if err := r.may(ctx, project); err != nil {
		return api.Image{}, err
	}
	return r.cp.catalogImage(ctx, project, known), nil
}

// may tells whether the actor may act on the project, and that there is one.
func (r imageVerbs) may(ctx context.Context, project string) error {
	if _, err := r.cp.authorize(ctx, project); err != nil {
		return err
	}
	return r.cp.Store.View(func(tx *storage.Tx) error { return r.cp.projectExists(tx, project) })
}

// List merges the catalog into the project's own images.
func (r imageVerbs) List(ctx context.Context, project string, page api.Page) (api.List[api.Image], error) {
	out, err := r.resource.List(ctx, project, page)
	if err != nil {
		return out, err
	}
	limit, err := pageLimit(page)
	if err != nil {
		return out, err
	}
	for _, known := range images.Catalog() {
		if known.Name > page.After {
			out.Items = append(out.Items, r.cp.catalogImage(ctx, project, known))
		}
	}
	slices.SortFunc(out.Items, func(a, b api.Image) int { return strings.Compare(a.Name, b.Name) })
	if len(out.Items) > limit {
		out.Items = out.Items[:limit]
		out.Next = out.Items[limit-1].Name
	}
	return out, nil
}

// Update is Unsupported.
func (r imageVerbs) Update(ctx context.Context, project, name string, spec api.ImageSpec, generation int64) (api.Image, error) {
	if _, listed := images.Lookup(name); listed {
		g, err := r.Get(ctx, project, name)
		if err == nil {
			err = api.Errorf(api.Unsupported, "cannot change image %q: it is part of the cloud", name)
		}
		return g, err
	}
	return r.resource.Update(ctx, project, name, spec, generation)
}

// Delete refuses images of the catalog.
func (r imageVerbs) Delete(ctx context.Context, project, name string, generation int64) error {
	if _, listed := images.Lookup(name); listed {
		if err := r.may(ctx, project); err != nil {
			return err
		}
		return api.Errorf(api.Conflict, "cannot delete image %q: it is part of the cloud", name)
	}
	return r.resource.Delete(ctx, project, name, generation)
}

// Wait does not wait for images of the catalog: what they need is not for the cloud to bring.
func (r imageVerbs) Wait(ctx context.Context, project, name string, limit time.Duration) (api.Image, error) {
	if _, listed := images.Lookup(name); listed {
		return r.Get(ctx, project, name)
	}
	return r.resource.Wait(ctx, project, name, limit)
}

// catalogImage tells of an image of the catalog, and whether this engine has it already.
func (cp *ControlPlane) catalogImage(ctx context.Context, project string, known images.Image) api.Image {
	sum := sha256.Sum256([]byte(known.Name))
	out := api.Image{Meta: api.Meta{ID: "img-" + hex.EncodeToString(sum[:8]), Name: known.Name, Project: project, Generation: 1, CreatedAt: cp.started.UTC()}}
	out.Status = api.ImageStatus{Ref: known.Ref, Catalog: true, Purpose: known.Purpose}
	ready(&out.Status.Status, 1, "can be used")
	engine, ok := cp.Engine.(compute.Images)
	if !ok {
		return out
	}
	found, err := engine.Image(ctx, known.Ref, 0)
	switch {
	case err == nil:
		out.Status.Digest, out.Status.SizeBytes = found.ID, found.Size
	case errors.Is(err, api.NotFound):
		out.Status.Needs = strings.Join(known.Needs, ", ")
		out.Status.Phase, out.Status.Reason = api.Pending, "not here yet; its first instance fetches it from an image registry"
		if known.Made() {
			out.Status.Reason = "not here yet; run `nuage doctor --fix`"
		}
	default:
		out.Status.Phase, out.Status.Reason = api.Degraded, err.Error()
	}
	return out
}

// tendImages makes, pulls and removes the images of projects.
func (cp *ControlPlane) tendImages(ctx context.Context, w *world) {
	for _, g := range w.images {
		d := w.disks[g.ID]
		switch {
		case w.damaged[g.ID] || w.lostItsMachine(g):
		case g.DeletedAt != nil:
			cp.loop.dispatch(ctx, g.ID, time.Minute, func(ctx context.Context) error { return cp.dropImage(ctx, g) })
		case d.Ready || w.awaitsMachine(d):
		case d.From != "":
			cp.loop.dispatch(ctx, g.ID, copyTimeout, func(ctx context.Context) error { return cp.commitImage(ctx, g, d.From) })
		default:
			cp.loop.dispatch(ctx, g.ID, pullTimeout, func(ctx context.Context) error { return cp.pullImage(ctx, g) })
		}
	}
}

// awaitsMachine tells that an image can't be made of its instance now: it has no container.
func (w *world) awaitsMachine(d disk) bool {
	_, there := w.observed[d.From]
	return d.From != "" && !there
}

// lostItsMachine tells that an image can't be made any more: its instance went before.
func (w *world) lostItsMachine(g api.Image) bool {
	d := w.disks[g.ID]
	_, known := w.by.owners[d.From]
	return g.DeletedAt == nil && !d.Ready && d.From != "" && !known
}

func (cp *ControlPlane) commitImage(ctx context.Context, g api.Image, instance string) error {
	engine, ok := cp.Engine.(compute.Committer)
	if !ok {
		return api.Errorf(api.Unsupported, "cannot make image %q: engine %q makes none of instances", g.Name, cp.loop.engine().Name)
	}
	made, err := engine.Commit(ctx, instance, compute.Build{Tag: g.Status.Ref, Owner: g.ID, Project: g.Project, Name: g.Name})
	if errors.Is(err, api.NotFound) {
		return api.Errorf(api.Unavailable, "cannot make image %q yet: its instance has no container: %w", g.Name, err)
	}
	if err != nil {
		return err
	}
	return cp.imageReady(g, made, "from the root disk of instance "+g.Spec.Instance)
}

func (cp *ControlPlane) pullImage(ctx context.Context, g api.Image) error {
	engine, ok := cp.Engine.(compute.Images)
	if !ok {
		return api.Errorf(api.Unsupported, "cannot pull image %q: engine %q has no images", g.Name, cp.loop.engine().Name)
	}
	wait := pullWait
	if strings.HasPrefix(g.Status.Ref, images.LocalPrefix) {
		wait = 0 // made on this machine: a registry may have something else by that name
	}
	found, err := engine.Image(ctx, g.Status.Ref, wait)
	if err != nil {
		return err
	}
	return cp.imageReady(g, found, "pulled "+g.Status.Ref)
}

// imageReady writes down what an image is.
func (cp *ControlPlane) imageReady(g api.Image, is compute.Image, detail string) error {
	return cp.diskReady("image", g.Meta, detail, func(tx *storage.Tx, _ *disk) error {
		now, err := imageTable.Get(tx, g.ID)
		if err != nil {
			return err
		}
		now.Status.Digest, now.Status.SizeBytes = is.ID, is.Size
		return imageTable.Put(tx, now)
	})
}

// dropImage forgets an image, and removes it from the engine where it was made here. What a registry has stays in the
// engine: others may use it.
func (cp *ControlPlane) dropImage(ctx context.Context, g api.Image) error {
	if engine, ok := cp.Engine.(compute.Images); ok && g.Spec.Instance != "" {
		if err := engine.RemoveImage(ctx, g.Status.Ref); err != nil {
			return err
		}
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		if err := errors.Join(erase(tx, imageTable, g.ID), erase(tx, diskTable, g.ID)); err != nil {
			return err
		}
		return cp.record(tx, platform("loop"), "image", &g.Meta, "removed", "")
	})
}

func (w *world) imageStatus(g api.Image) api.ImageStatus {
	s, d := g.Status, w.disks[g.ID]
	s.Generation = g.Generation
	t, troubled := w.trouble[g.ID]
	switch {
	case g.DeletedAt != nil:
		s.Phase, s.Reason = api.Deleting, "removing the image"
	case d.Ready:
		s.Phase, s.Reason = api.Running, "can be used"
	case troubled && t.final():
		s.Phase, s.Reason = api.Failed, t.reason()
	case troubled:
		s.Phase, s.Reason = api.Pending, t.reason()
	case w.lostItsMachine(g):
		s.Phase, s.Reason = api.Failed, fmt.Sprintf("instance %q was deleted before its root disk was copied: delete this image and make another one", g.Spec.Instance)
	case w.awaitsMachine(d):
		s.Phase, s.Reason = api.Pending, "waiting for its instance to be made"
	case d.From != "":
		s.Phase, s.Reason = api.Pending, "copying the root disk of its instance"
	default:
		s.Phase, s.Reason = api.Pending, "pulling it"
	}
	return s
}

// imageOf is what the engine makes an instance of: its root disk as it was committed last, an image of the project, or one
// of the catalog or a registry.
func (w *world) imageOf(i api.Instance) string {
	if m := w.machines[i.ID]; m.Image != "" {
		return m.Image
	}
	if own, ok := w.ownImage(i); ok {
		return own.Status.Ref
	}
	return imageRef(i.Spec.Image)
}

// ownImage is the image of the project that an instance was made from. One that got the name later is another.
func (w *world) ownImage(i api.Instance) (api.Image, bool) {
	own, ok := w.by.images[w.machines[i.ID].From]
	return own, ok
}

// checkImage asks whether an instance can be made from an image; one of the project's own may still be made.
func (cp *ControlPlane) checkImage(ctx context.Context, project, name string) error {
	var own api.Image
	err := cp.Store.View(func(tx *storage.Tx) (err error) {
		own, err = imageTable.GetBy(tx, "name", project+"/"+name)
		return err
	})
	switch {
	case errors.Is(err, api.NotFound):
		_, err := cp.findImage(ctx, name)
		return err
	case err != nil:
		return err
	case own.DeletedAt != nil || own.Status.Phase == api.Failed:
		return api.Errorf(api.Conflict, "cannot use image %q: it is %s (%s)", name, own.Status.Phase, own.Status.Reason)
	}
	return nil
}

// admitOwnImage returns the id of the image of the project that an instance is to be made from, "" where it is none of the
// project. Conflict: it went since it was checked.
func admitOwnImage(tx *storage.Tx, i *api.Instance) (string, error) {
	own, err := imageTable.GetBy(tx, "name", i.Project+"/"+i.Spec.Image)
	if err == nil && own.DeletedAt != nil {
		return "", api.Errorf(api.Conflict, "cannot use image %q: it is being deleted", own.Name)
	}
	return own.ID, ignoreGone(err)
}
