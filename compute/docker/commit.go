package docker

import (
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"nuage/api"
	"nuage/compute"
)

// mostLayers is how many layers an image may have before a commit makes one of all: engines refuse more than about 125, and
// a commit adds one.
const mostLayers = 100

// Commit has the engine commit the container, and then makes an image of the same layers with the configuration of the
// image that the container was made from: the engine's own would carry the container's environment and labels.
func (e *Engine) Commit(ctx context.Context, id string, b compute.Build) (compute.Image, error) {
	if _, err := compute.NormalizeImage(b.Tag); err != nil || compute.IsImageID(b.Tag) {
		return compute.Image{}, errors.Join(err, api.Errorf(api.Invalid, "cannot make an image of %q: %q is no tag", id, b.Tag))
	}
	c, err := e.cli.ContainerInspect(ctx, e.name(id))
	if err == nil && c.Config.Labels[compute.LabelCloud] != e.o.CloudID {
		err = absent{"workload", id}
	}
	if err != nil {
		return compute.Image{}, failed(err, "make an image of %q", id)
	}
	base, err := e.cli.ImageInspect(ctx, c.Image)
	if err != nil {
		return compute.Image{}, failed(err, "make an image of %q, as the image it was made from can't be read", id)
	}
	half, err := e.freeze(ctx, c.ID, len(base.RootFS.Layers))
	if err != nil {
		return compute.Image{}, failed(err, "make an image of %q", id)
	}
	defer e.removeHalfImage(context.WithoutCancel(ctx), half.ID)
	former, err := e.cli.ImageInspect(ctx, b.Tag)
	if err != nil && !cerrdefs.IsNotFound(err) {
		return compute.Image{}, failed(err, "make image %q", b.Tag)
	}
	img, err := e.load(ctx, b.Tag, recipe{
		Architecture: base.Architecture, Variant: base.Variant, OS: base.Os, Created: time.Now().UTC(),
		Config: e.imageConfig(base, b), RootFS: rootFS{Type: "layers", Layers: half.RootFS.Layers},
	}, nil)
	if err != nil {
		return compute.Image{}, err
	}
	e.removeFormer(ctx, former, img.ID)
	return imageOf(img), nil
}

// freeze makes an image of the container's root disk at one moment, with what configuration ever. The error is the client's.
func (e *Engine) freeze(ctx context.Context, id string, layers int) (image.InspectResponse, error) {
	if err := e.hold(ctx, id); err != nil {
		return image.InspectResponse{}, err
	}
	defer e.release(ctx, id)
	half, err := "", error(nil)
	if layers < e.mostLayers {
		half, err = e.commit(ctx, id)
	} else {
		half, err = e.squash(ctx, id)
	}
	if err != nil {
		return image.InspectResponse{}, err
	}
	return e.cli.ImageInspect(ctx, half)
}

// halfLabels mark an image that a commit makes on its way.
func (e *Engine) halfLabels() map[string]string {
	return map[string]string{compute.LabelCloud: e.o.CloudID, compute.LabelKind: compute.KindHelper, compute.LabelTemplate: ""}
}

func (e *Engine) commit(ctx context.Context, id string) (string, error) {
	made, err := e.cli.ContainerCommit(ctx, id, container.CommitOptions{Config: &container.Config{Labels: e.halfLabels()}})
	return made.ID, err
}

// squash makes one layer of all that the container sees as its root disk.
func (e *Engine) squash(ctx context.Context, id string) (made string, err error) {
	root, err := e.cli.ContainerExport(ctx, id)
	if err != nil {
		return "", err
	}
	defer func() { e.closed(root, "export") }()
	var changes []string
	for k, v := range e.halfLabels() {
		changes = append(changes, "LABEL "+k+`="`+v+`"`)
	}
	progress, err := e.cli.ImageImport(ctx, image.ImportSource{Source: root, SourceName: "-"}, "", image.ImportOptions{Changes: changes})
	if err != nil {
		return "", err
	}
	defer func() { e.closed(progress, "import") }()
	err = follow(progress, func(m message) error {
		if m.Error != "" {
			return errors.New(m.Error)
		}
		if compute.IsImageID(m.Status) {
			made = m.Status
		}
		return nil
	}, func(err error) error { return err })
	if err == nil && made == "" {
		err = io.ErrUnexpectedEOF
	}
	return made, err
}

// imageConfig is what the image says of itself, without what setups of ours have noted about it, and whose the new one is.
func (e *Engine) imageConfig(base image.InspectResponse, b compute.Build) dockerspec.DockerOCIImageConfig {
	var c dockerspec.DockerOCIImageConfig
	if base.Config != nil {
		c = *base.Config
	}
	labels := maps.Clone(c.Labels)
	maps.DeleteFunc(labels, func(k, _ string) bool { return strings.HasPrefix(k, "nuage.") })
	c.Labels = e.imageLabels(b)
	maps.Copy(c.Labels, labels)
	return c
}

// removeFormer removes the image of ours that had the tag until now, as one of a commit whose answer was lost.
func (e *Engine) removeFormer(ctx context.Context, former image.InspectResponse, now string) {
	if former.ID == "" || former.ID == now || former.Config == nil || former.Config.Labels[compute.LabelCloud] != e.o.CloudID || len(former.RepoTags) > 1 {
		return
	}
	if _, err := e.cli.ImageRemove(ctx, former.ID, image.RemoveOptions{}); err != nil && !cerrdefs.IsNotFound(err) {
		e.log.Debug("the image that had the tag before stays", "image", former.ID, "err", err)
	}
}
