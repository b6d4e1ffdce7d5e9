package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"nuage/api"
	"nuage/compute"
)

// recipe is the configuration of an image, as its specification writes it.
type recipe struct {
	Architecture string    `json:"architecture"`
	Variant      string    `json:"variant,omitempty"`
	OS           string    `json:"os"`
	Created      time.Time `json:"created"`
	Config       any       `json:"config"`
	RootFS       rootFS    `json:"rootfs"`
	History      []history `json:"history"`
}

type rootFS struct {
	Type   string   `json:"type"`
	Layers []string `json:"diff_ids"`
}

type history struct {
	Created time.Time `json:"created"`
	By      string    `json:"created_by"`
}

// load makes an image and tags it. Of its layers only those need to be given, by their id, that the engine does not have
// in this order already.
func (e *Engine) load(ctx context.Context, tag string, r recipe, layers map[string][]byte) (image.InspectResponse, error) {
	for range r.RootFS.Layers {
		r.History = append(r.History, history{Created: r.Created, By: "nuage"})
	}
	archive, err := archiveOf(tag, r, layers)
	if err != nil {
		return image.InspectResponse{}, api.Errorf(api.Internal, "cannot pack image %q: %w", tag, err)
	}
	res, err := e.cli.ImageLoad(ctx, archive, client.ImageLoadWithQuiet(true))
	if err != nil {
		return image.InspectResponse{}, failed(err, "make image %q", tag)
	}
	defer func() { e.closed(res.Body, "image load") }()
	err = follow(res.Body, func(m message) error {
		if m.Error != "" {
			return failed(errors.New(m.Error), "make image %q", tag)
		}
		return nil
	}, func(err error) error { return failed(err, "make image %q", tag) })
	if err != nil {
		return image.InspectResponse{}, err
	}
	img, err := e.cli.ImageInspect(ctx, tag)
	if err != nil {
		return img, failed(err, "find image %q", tag)
	}
	return img, nil
}

// archiveOf is what `docker load` reads.
func archiveOf(tag string, r recipe, layers map[string][]byte) (*bytes.Buffer, error) {
	config, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(config)
	name := hex.EncodeToString(sum[:]) + ".json"
	var paths []string
	for _, id := range r.RootFS.Layers {
		paths = append(paths, layerPath(id))
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": name, "RepoTags": []string{tag}, "Layers": paths}})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	err = errors.Join(put(t, name, config), put(t, "manifest.json", manifest))
	for id, layer := range layers {
		err = errors.Join(err, put(t, layerPath(id), layer))
	}
	return &b, errors.Join(err, t.Close())
}

func layerPath(id string) string { return id[len("sha256:"):] + ".tar" }

func put(t *tar.Writer, name string, content []byte) error {
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err := t.Write(content)
	return err
}

// helperImage is an empty image of this cloud, for containers that run nothing but the guest binary.
func (e *Engine) helperImage(ctx context.Context) (string, error) {
	tag := e.prefix + "helper:1"
	img, err := e.cli.ImageInspect(ctx, tag)
	if err == nil {
		return img.ID, nil
	}
	if !cerrdefs.IsNotFound(err) {
		return "", failed(err, "find image %q", tag)
	}
	empty := make([]byte, 1024) // a tar without anything
	sum := sha256.Sum256(empty)
	layer := "sha256:" + hex.EncodeToString(sum[:])
	img, err = e.load(ctx, tag, recipe{
		Architecture: goArch(e.arch), OS: "linux", Created: time.Unix(0, 0).UTC(), RootFS: rootFS{Type: "layers", Layers: []string{layer}},
		Config: map[string]any{"Labels": map[string]string{compute.LabelCloud: e.o.CloudID, compute.LabelKind: compute.KindHelper}},
	}, map[string][]byte{layer: empty})
	return img.ID, err
}

// goArch is what images call the architecture that an engine reports.
func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return machine
}
