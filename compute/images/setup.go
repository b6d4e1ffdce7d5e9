package images

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"nuage/api"
)

// The parts of the set-up.
const (
	All        = "all"    // the engine, then the images
	EngineOnly = "engine" // an engine that answers
	ImagesOnly = "images" // the base images, in an engine that is there or can be had
)

// noEngineStatus is setup.sh's exit status when no engine can be had.
const noEngineStatus = 3

// Options say what Setup sees to.
type Options struct {
	Part string // All (also when empty), EngineOnly, ImagesOnly, or the name of an image of OnFirstUse
}

// Script returns the set-up script. Alone it can see to an engine; for images it
// needs the recipes beside it, which Setup writes.
func Script() []byte {
	script, _ := files.ReadFile("setup.sh") // embedded, always there
	return script
}

// Setup sees to an engine and to the base images, writing a line per step to out; it
// writes one line when all is there. It may install packages where it runs as root.
//
// Unavailable: no engine can be had here; the message says what to install, and the
// caller goes on with the simulator. Internal: a step failed; the message holds its last lines.
func Setup(ctx context.Context, out io.Writer, opts Options) error {
	dir, err := os.MkdirTemp("", "nuage-images-")
	if err != nil {
		return api.Errorf(api.Internal, "cannot set up an engine: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, files); err != nil {
		return api.Errorf(api.Internal, "cannot write the image recipes: %w", err)
	}
	part := opts.Part
	if part == "" {
		part = All
	}
	return runScript(ctx, out, filepath.Join(dir, "setup.sh"), part)
}

// runScript runs setup.sh in a process group of its own, which a cancelled ctx ends as a
// whole. An engine that the script started is in another session and lives on.
func runScript(ctx context.Context, out io.Writer, script, part string) error {
	var complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, "bash", script, part)
	cmd.Stdout, cmd.Stderr = out, &complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return api.Errorf(api.Unavailable, "cannot finish the set-up of an engine: %w", context.Cause(ctx))
	}
	if status := new(exec.ExitError); errors.As(err, &status) && status.ExitCode() == noEngineStatus {
		return api.Errorf(api.Unavailable, "cannot have an engine here. %s", strings.Join(strings.Fields(complaint.String()), " "))
	}
	return api.Errorf(api.Internal, "cannot set up an engine and its images: %s (%w)", strings.TrimSpace(complaint.String()), err)
}
