package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"nuage/api"
)

// failed makes an api error of what the client answered: "cannot WHAT: the engine's words".
func failed(err error, what string, args ...any) error {
	text := strings.TrimPrefix(err.Error(), "Error response from daemon: ")
	code := codeOf(err, text)
	if code == api.Unavailable && unreachable(err) {
		text = reason(text)
	}
	return &api.Error{Code: code, Message: "cannot " + fmt.Sprintf(what, args...) + ": " + text, Cause: err}
}

// reason says in our words why the engine does not answer.
func reason(text string) string {
	if strings.Contains(text, "permission denied") {
		return "this user may not use the Docker engine's socket; join the group docker or run as root"
	}
	return "the Docker engine does not answer; start Docker, or run `make engine`"
}

func codeOf(err error, text string) api.Code {
	if known := api.CodeOf(err); known != api.Internal {
		return known
	}
	switch {
	case unreachable(err), cerrdefs.IsUnavailable(err),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return api.Unavailable
	case taken(text), cerrdefs.IsConflict(err):
		return api.Conflict
	case cerrdefs.IsNotFound(err), strings.Contains(text, "received 404"):
		return api.NotFound
	case cerrdefs.IsInvalidArgument(err), cerrdefs.IsPermissionDenied(err):
		return api.Invalid
	case cerrdefs.IsNotImplemented(err):
		return api.Unsupported
	}
	return api.Internal
}

// taken recognizes what engines say, under various status codes, of something that is in use.
func taken(text string) bool {
	text = strings.ToLower(text)
	for _, s := range []string{
		"already in use", "already allocated", "already exists", "overlaps with other", "has active endpoints",
		"device or resource busy", "is being used by", "volume is in use", "must be removed before", "received 409",
	} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// unreachable says whether err comes of the connection and not of the engine.
func unreachable(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var op *net.OpError
	return client.IsErrConnectionFailed(err) || errors.As(err, &op) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		strings.Contains(err.Error(), "cannot connect to the Docker daemon")
}

// closing closes c and returns err, with what closing said.
func closing(c io.Closer, err error) error { return errors.Join(err, c.Close()) }

const (
	patience  = 30 * time.Second // for what the engine is about to finish, where ctx has no earlier end
	firstWait = 10 * time.Millisecond
	longWait  = 250 * time.Millisecond
)

// until calls try until it is done or fails, with growing pauses. Unavailable: it took too long.
func until(ctx context.Context, what string, try func(context.Context) (done bool, err error)) error {
	start := time.Now()
	for wait := firstWait; ; wait = min(2*wait, longWait) {
		done, err := try(ctx)
		if done || err != nil {
			return err
		}
		if time.Since(start) > patience {
			return api.Errorf(api.Unavailable, "cannot %s: the engine is still busy with it, try again", what)
		}
		if err := sleep(ctx, wait); err != nil {
			return api.Errorf(api.Unavailable, "cannot %s: the engine is still busy with it: %w", what, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
