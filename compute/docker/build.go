package docker

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/docker/docker/api/types/build"

	"nuage/api"
	"nuage/compute"
)

// buildMemory is what one step of a build may use.
const buildMemory = 2 << 30

// Build runs the engine's own builder: it is in every engine, and needs neither a session nor a registry.
func (e *Engine) Build(ctx context.Context, b compute.Build, source io.Reader, log io.Writer) (compute.Image, error) {
	res, err := e.cli.ImageBuild(ctx, source, build.ImageBuildOptions{
		Version: build.BuilderV1, Tags: []string{b.Tag}, Remove: true, ForceRemove: true,
		Memory: buildMemory, MemorySwap: buildMemory,
		Labels: map[string]string{
			compute.LabelCloud: e.o.CloudID, compute.LabelKind: compute.KindBuilder, compute.LabelOwner: b.Owner,
			compute.LabelProject: b.Project, compute.LabelName: b.Name,
		},
	})
	if err != nil {
		return compute.Image{}, buildFailed(b, "", err)
	}
	defer func() { e.closed(res.Body, "image build") }()
	if err := e.readBuild(ctx, b, res.Body, log); err != nil {
		return compute.Image{}, err
	}
	img, err := e.cli.ImageInspect(ctx, b.Tag)
	if err != nil {
		return compute.Image{}, failed(err, "build %q", b.Tag)
	}
	return imageOf(img), nil
}

// readBuild copies the builder's words to log and remembers the step they are about.
func (e *Engine) readBuild(ctx context.Context, b compute.Build, stream io.Reader, log io.Writer) error {
	step := ""
	return follow(stream, func(m message) error {
		if m.Error != "" {
			return buildFailed(b, step, errors.New(m.Error))
		}
		if strings.HasPrefix(m.Stream, "Step ") {
			step = strings.TrimSpace(m.Stream)
		}
		line := m.Stream
		if m.Status != "" {
			line = strings.TrimSpace(m.ID+" "+m.Status) + "\n"
		}
		if _, err := io.WriteString(log, line); err != nil {
			return api.Errorf(api.Internal, "cannot write the log of build %q: %w", b.Tag, err)
		}
		return nil
	}, func(err error) error {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return failed(err, "build %q", b.Tag)
	})
}

// buildFailed is Invalid, whatever the engine calls it, unless the engine was not reached.
func buildFailed(b compute.Build, step string, err error) error {
	if unreachable(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return failed(err, "build %q", b.Tag)
	}
	text := strings.TrimSpace(strings.TrimPrefix(err.Error(), "Error response from daemon: "))
	if strings.Contains(text, "no such host") || strings.Contains(text, "i/o timeout") {
		text += " (the image of a FROM line is not here and no registry answered)"
	}
	if step != "" {
		text = step + ": " + text
	}
	return &api.Error{Code: api.Invalid, Message: "cannot build \"" + b.Name + "\": " + text, Cause: err}
}
