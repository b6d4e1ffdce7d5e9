package docker

import (
	"context"
	"errors"
	"io"
	"regexp"
	"strings"

	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/versions"

	"nuage/api"
	"nuage/compute"
)

// buildMemory is what one step of a build by the classic builder may use. BuildKit takes no such bound from a client.
const buildMemory = 2 << 30

// Build runs BuildKit where the engine has it, without a session: nothing is asked of this side. Else it runs the
// engine's classic builder. Neither needs a registry for what is here.
func (e *Engine) Build(ctx context.Context, b compute.Build, source io.Reader, log io.Writer) (compute.Image, error) {
	res, err := e.cli.ImageBuild(ctx, source, e.buildOptions(b))
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

// buildOptions choose the builder: BuildKit is in every engine from API 1.39 on.
func (e *Engine) buildOptions(b compute.Build) build.ImageBuildOptions {
	o := build.ImageBuildOptions{Version: build.BuilderV1, Tags: []string{b.Tag}, Remove: true, ForceRemove: true, Labels: e.imageLabels(b)}
	if !e.o.ClassicBuilder && versions.GreaterThanOrEqualTo(e.cli.ClientVersion(), "1.39") {
		o.Version = build.BuilderBuildKit
		return o
	}
	o.Memory, o.MemorySwap = buildMemory, buildMemory
	return o
}

// imageLabels say whose an image is.
func (e *Engine) imageLabels(b compute.Build) map[string]string {
	return map[string]string{
		compute.LabelCloud: e.o.CloudID, compute.LabelKind: compute.KindBuilder, compute.LabelOwner: b.Owner,
		compute.LabelProject: b.Project, compute.LabelName: b.Name,
	}
}

// readBuild copies the builder's words to log and remembers the step they are about.
func (e *Engine) readBuild(ctx context.Context, b compute.Build, stream io.Reader, log io.Writer) error {
	step, kit := "", newTrace()
	return follow(stream, func(m message) error {
		if m.Error != "" {
			return buildFailed(b, orElse(step, kit.failed), errors.New(m.Error))
		}
		if s, is := stepOf(m.Stream); is {
			step = s
		}
		line := buildLine(m)
		if m.ID == traceID {
			line = kit.text(m.Aux)
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

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// stepOf is the instruction of a line as "Step 2/7 : RUN make". The numbers count the labels we add, and say nothing.
func stepOf(line string) (string, bool) {
	if !strings.HasPrefix(line, "Step ") {
		return "", false
	}
	_, instruction, found := strings.Cut(strings.TrimSpace(line), " : ")
	return instruction, found
}

// buildLine is what a reader of the log wants to see: instructions and what they print, without the builder's own
// bookkeeping and our labels.
func buildLine(m message) string {
	if m.Status != "" {
		return strings.TrimSpace(m.ID+" "+m.Status) + "\n"
	}
	for _, noise := range []string{" ---> ", "Removing intermediate container ", "Successfully built ", "Successfully tagged "} {
		if strings.HasPrefix(m.Stream, noise) {
			return ""
		}
	}
	step, is := stepOf(m.Stream)
	switch {
	case m.Stream == "\n": // comes after each step
		return ""
	case is && strings.HasPrefix(step, "LABEL nuage."):
		return ""
	case is:
		return step + "\n"
	}
	return m.Stream
}

// exitStatus is how the builders of all engines end the message about a command that failed.
var exitStatus = regexp.MustCompile(`(?:exit code|non-zero code): (\d+)$`)

// buildFailed is Invalid, whatever the engine calls it, unless the engine was not reached.
func buildFailed(b compute.Build, step string, err error) error {
	if unreachable(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return failed(err, "build %q", b.Tag)
	}
	text := strings.TrimSpace(strings.TrimPrefix(err.Error(), "Error response from daemon: "))
	if strings.Contains(text, "no such host") || strings.Contains(text, "i/o timeout") {
		text += " (the image of a FROM line is not here and no registry answered)"
	}
	if status := exitStatus.FindStringSubmatch(text); status != nil && step != "" {
		text = "it ended with status " + status[1]
	}
	if step != "" {
		text = step + ": " + text
	}
	return &api.Error{Code: api.Invalid, Message: "cannot build \"" + b.Name + "\": " + text, Cause: err}
}
