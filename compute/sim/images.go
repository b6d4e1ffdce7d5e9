package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// RemoveImage makes the engine forget the image.
func (e *Engine) RemoveImage(ctx context.Context, ref string) error {
	return e.do(ctx, "image", func() error {
		if name, err := compute.NormalizeImage(ref); err == nil {
			ref = name
		}
		e.state.removed[ref] = true
		return nil
	})
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
