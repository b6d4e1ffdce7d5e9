package controlplane

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/images"
)

const imageTimeout = 20 * time.Minute

// Images of servers that few need are made when the first database needs one: the database waits, and says for what.

// serverImage is what a database engine's servers are made from, and whether that is made on first use.
func serverImage(name string) (image images.Image, later bool) {
	if image, ok := images.Lookup(name); ok {
		return image, false
	}
	all := images.OnFirstUse()
	if i := slices.IndexFunc(all, func(i images.Image) bool { return i.Name == name }); i >= 0 {
		return all[i], true
	}
	return images.Image{Name: name, Ref: name}, false
}

// serverRef is what the engine knows the image of a kind of servers by.
func serverRef(e databaseEngine) string {
	image, _ := serverImage(e.image)
	return image.Ref
}

// findServerImage sees that there will be an image. Unavailable: it can't be had on this machine.
func (cp *ControlPlane) findServerImage(ctx context.Context, e databaseEngine) error {
	if _, later := serverImage(e.image); later && cp.BaseImage != nil {
		return nil
	}
	_, err := cp.findImage(ctx, e.image)
	return err
}

// imageKey makes the key of the step that makes an image.
func imageKey(ref string) string { return "image/" + ref }

// tendServerImages makes the images that databases wait for.
func (cp *ControlPlane) tendServerImages(ctx context.Context, w *world) {
	for _, d := range w.databases {
		image, waits := w.awaitedImage(d)
		if !waits || cp.loop.bases.has(image.Ref) {
			continue
		}
		cp.loop.dispatch(ctx, imageKey(image.Ref), imageTimeout, func(ctx context.Context) error { return cp.makeServerImage(ctx, image) })
	}
}

// awaitedImage is the image that a database's server will be made from, where that is made on first use and the server is not there.
func (w *world) awaitedImage(d api.Database) (images.Image, bool) {
	e, err := databaseEngineOf(d.Spec.Engine)
	if err != nil || !w.real || d.DeletedAt != nil || w.damaged[d.ID] {
		return images.Image{}, false
	}
	_, there := w.observed[d.ID]
	image, later := serverImage(e.image)
	return image, later && !there
}

// makeServerImage makes an image, or brings it up to date. One that is there already will do where that fails.
func (cp *ControlPlane) makeServerImage(ctx context.Context, image images.Image) error {
	if cp.BaseImage != nil {
		if err := cp.BaseImage(ctx, image.Name, io.Discard); err != nil {
			if _, missing := cp.findImage(ctx, image.Ref); missing != nil {
				return err
			}
			cp.log.Warn("image not brought up to date; the one that is there is used", "image", image.Ref, "error", err)
		}
	}
	cp.loop.bases.add(image.Ref)
	return nil
}

// awaitsImage tells that a step has to wait until the image of a server is made.
func (cp *ControlPlane) awaitsImage(w *world, s step) bool {
	if s.verb != create || s.workload.Kind != compute.KindDatabase {
		return false
	}
	d, ok := w.databaseByID(s.workload.Owner)
	if !ok {
		return false
	}
	image, waits := w.awaitedImage(d)
	return waits && !cp.loop.bases.has(image.Ref)
}

// imageReason says why a database waits for its image; "" where it does not.
func (w *world) imageReason(d api.Database) (api.Phase, string) {
	image, waits := w.awaitedImage(d)
	if !waits {
		return "", ""
	}
	key := imageKey(image.Ref)
	t, troubled := w.trouble[key]
	switch {
	case troubled && t.final():
		return api.Failed, t.reason()
	case troubled:
		return api.Pending, t.reason()
	case w.inFlight[key]:
		return api.Pending, fmt.Sprintf("making image %s from Debian packages, once on this machine: about half a minute", image.Ref)
	}
	return "", ""
}
