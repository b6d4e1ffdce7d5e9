package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"time"

	"nuage/api"
	"nuage/compute"
)

// Image answers from the images the engine was told of, or, where it was told of none, makes one up for any
// well-formed reference.
func (e *Engine) Image(ctx context.Context, ref string, _ time.Duration) (img compute.Image, err error) {
	err = e.do(ctx, "image", func() error {
		img, err = e.lookup(ref)
		return err
	})
	return img, err
}

// RemoveImage makes the engine forget the image, unless a workload was made from it.
func (e *Engine) RemoveImage(ctx context.Context, ref string) error {
	return e.do(ctx, "image", func() error {
		if name, err := compute.NormalizeImage(ref); err == nil {
			ref = name
		}
		img, there := e.known(ref)
		for k, b := range e.state.boxes {
			if k.cloud == e.cloud && there && b.image == img.ID {
				return api.Errorf(api.Conflict, "cannot remove image %q: workload %q was made from it", ref, k.id)
			}
		}
		if made := maps.Collect(e.committed(ref)); len(made) > 0 {
			for tag := range made {
				delete(e.state.commits, tag)
			}
			return nil
		}
		e.state.removed[ref] = true
		return nil
	})
}

// Commit makes up an image of the workload's root disk: another one each time.
func (e *Engine) Commit(ctx context.Context, id string, b compute.Build) (img compute.Image, err error) {
	tag, err := compute.NormalizeImage(b.Tag)
	if err != nil || compute.IsImageID(tag) {
		return img, errors.Join(err, api.Errorf(api.Invalid, "cannot make an image of %q: %q is no tag", id, b.Tag))
	}
	err = e.do(ctx, "commit", func() error {
		from, err := e.find("make an image of", id)
		if err != nil {
			return err
		}
		base, _ := e.known(from.spec.Image) // its size and ports, where it is still there
		e.state.serial++
		img = compute.Image{ID: made(fmt.Sprintf("%s %d", tag, e.state.serial)).ID, Size: base.Size, Ports: base.Ports}
		e.state.commits[tag] = img
		return nil
	})
	return img, err
}

// committed yields the committed images with that tag or id, by tag.
func (e *Engine) committed(ref string) iter.Seq2[string, compute.Image] {
	return func(yield func(string, compute.Image) bool) {
		for tag, img := range e.state.commits {
			if (tag == ref || img.ID == ref) && !yield(tag, img) {
				return
			}
		}
	}
}

func (e *Engine) lookup(ref string) (compute.Image, error) {
	name, err := compute.NormalizeImage(ref)
	if err != nil {
		return compute.Image{}, err
	}
	img, ok := e.known(name)
	if !ok || e.state.removed[name] || e.state.removed[img.ID] {
		return compute.Image{}, api.Errorf(api.NotFound, "cannot find image %q: the simulator was not told of it and asks no registry", ref)
	}
	return img, nil
}

func (e *Engine) known(name string) (compute.Image, bool) {
	for _, img := range e.committed(name) {
		return img, true
	}
	if e.images == nil {
		return made(name), true
	}
	if img, ok := e.images[name]; ok {
		return img, true
	}
	for _, img := range e.images {
		if img.ID == name {
			return img, true
		}
	}
	return compute.Image{}, false
}

// made is the image of a reference nobody described: the same one each time.
func made(name string) compute.Image {
	if compute.IsImageID(name) {
		return compute.Image{ID: name}
	}
	sum := sha256.Sum256([]byte(name))
	return compute.Image{ID: "sha256:" + hex.EncodeToString(sum[:])}
}

// normalized is images by full reference, each with an id.
func normalized(images map[string]compute.Image) map[string]compute.Image {
	if images == nil {
		return nil
	}
	full := map[string]compute.Image{}
	for ref, img := range images {
		name, err := compute.NormalizeImage(ref)
		if err != nil {
			name = ref
		}
		if img.ID == "" {
			img.ID = made(name).ID
		}
		full[name] = img
	}
	return full
}
