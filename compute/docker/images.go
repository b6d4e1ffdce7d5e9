package docker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"

	"nuage/api"
	"nuage/compute"
)

// Image looks among the engine's images and, where wait is above zero, asks the registry of the reference. wait
// bounds how long the registry may take to answer at all; the transfer then takes what it takes. Only a whole id finds an image by
// its id.
func (e *Engine) Image(ctx context.Context, ref string, wait time.Duration) (compute.Image, error) {
	if _, err := compute.NormalizeImage(ref); err != nil {
		return compute.Image{}, err
	}
	img, err := e.inspectImage(ctx, ref)
	if cerrdefs.IsNotFound(err) {
		if wait <= 0 || compute.IsImageID(ref) {
			return compute.Image{}, api.Errorf(api.NotFound, "cannot find image %q: the engine has no such image, and no registry was asked", ref)
		}
		if err := e.pull(ctx, ref, wait); err != nil {
			return compute.Image{}, err
		}
		img, err = e.inspectImage(ctx, ref)
	}
	if err != nil {
		return compute.Image{}, failed(err, "find image %q", ref)
	}
	return imageOf(img), nil
}

// inspectImage asks for an image by its full reference: an engine takes a word without a tag for the beginning of an id too,
// and two letters may well be the beginning of another project's. The error is the client's, or Invalid.
func (e *Engine) inspectImage(ctx context.Context, ref string) (image.InspectResponse, error) {
	name, err := compute.NormalizeImage(ref)
	if err != nil {
		return image.InspectResponse{}, err
	}
	return e.cli.ImageInspect(ctx, name)
}

func imageOf(img image.InspectResponse) compute.Image {
	out := compute.Image{ID: img.ID, Size: img.Size}
	if img.Config == nil {
		return out
	}
	for word := range img.Config.ExposedPorts {
		number, tcp := strings.CutSuffix(word, "/tcp")
		if port, err := strconv.Atoi(number); err == nil && (tcp || !strings.Contains(word, "/")) {
			out.Ports = append(out.Ports, port)
		}
	}
	slices.Sort(out.Ports)
	return out
}

// pull fetches an image. The engine's first word says that a registry answered.
func (e *Engine) pull(ctx context.Context, ref string, wait time.Duration) error {
	name, err := compute.NormalizeImage(ref)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(wait, cancel)
	defer silence.Stop()
	stream, err := e.cli.ImagePull(ctx, name, image.PullOptions{})
	if err != nil {
		return pullFailed(ref, err, !silence.Stop())
	}
	defer func() { e.closed(stream, "image pull") }()
	return follow(stream, func(m message) error {
		if m.Error != "" {
			return pullFailed(ref, errors.New(m.Error), false)
		}
		if m.Status != "" {
			silence.Stop()
		}
		return nil
	}, func(err error) error { return pullFailed(ref, err, ctx.Err() != nil) })
}

// pullFailed tells a registry's no from the lack of a registry.
func pullFailed(ref string, err error, silent bool) error {
	text := err.Error()
	said := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	switch {
	case unreachable(err):
		return failed(err, "pull image %q", ref)
	case said("manifest unknown", "manifest for", "repository does not exist", "pull access denied", "not found: "):
		return api.Errorf(api.NotFound, "cannot find image %q: a registry answered that there is no such image", ref)
	case silent, said("no such host", "i/o timeout", "connection refused", "unreachable", "Timeout exceeded", "deadline exceeded",
		"name resolution", "server misbehaving", "proxyconnect", "TLS handshake", "EOF", "x509", "no route to host"):
		return &api.Error{Code: api.NotFound, Cause: err,
			Message: "cannot find image \"" + ref + "\": the engine does not have it and no registry answered; images of a registry need one that can be reached"}
	}
	return failed(err, "pull image %q", ref)
}

// RemoveImage removes an image that this cloud built, by id with all its tags, or one tag of it.
func (e *Engine) RemoveImage(ctx context.Context, ref string) error {
	img, err := e.cli.ImageInspect(ctx, ref)
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return failed(err, "remove image %q", ref)
	}
	if !e.made(img) {
		return api.Errorf(api.Conflict, "cannot remove image %q: this cloud did not make it", ref)
	}
	refs := []string{ref}
	if compute.IsImageID(ref) && len(img.RepoTags) > 0 {
		refs = img.RepoTags
	}
	for _, r := range refs {
		if _, err := e.cli.ImageRemove(ctx, r, image.RemoveOptions{PruneChildren: true}); err != nil && !cerrdefs.IsNotFound(err) {
			return failed(err, "remove image %q", r)
		}
	}
	return nil
}

// made tells that this cloud built an image.
func (e *Engine) made(img image.InspectResponse) bool {
	return img.Config != nil && img.Config.Labels[compute.LabelCloud] == e.o.CloudID
}

// TagImage gives an image that this cloud built another tag.
func (e *Engine) TagImage(ctx context.Context, id, tag string) error {
	img, err := e.cli.ImageInspect(ctx, id)
	if err != nil {
		return failed(err, "tag image %q", id)
	}
	if !e.made(img) {
		return api.Errorf(api.Conflict, "cannot tag image %q: this cloud did not make it", id)
	}
	if err := e.cli.ImageTag(ctx, id, tag); err != nil {
		return failed(err, "tag image %q as %q", id, tag)
	}
	return nil
}

// message is one line of the engine's progress streams.
type message struct {
	Stream string          `json:"stream"`
	Status string          `json:"status"`
	Error  string          `json:"error"`
	ID     string          `json:"id"`
	Aux    json.RawMessage `json:"aux"`
}

// follow gives each message to see, until the stream ends, see fails, or reading does.
func follow(stream io.Reader, see func(message) error, broken func(error) error) error {
	d := json.NewDecoder(stream)
	for {
		var m message
		switch err := d.Decode(&m); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return broken(err)
		}
		if err := see(m); err != nil {
			return err
		}
	}
}

// closed closes what was only read; a failure matters to nobody but the log.
func (e *Engine) closed(c io.Closer, what string) {
	if err := c.Close(); err != nil {
		e.log.Debug("closing failed", "what", what, "err", err)
	}
}
