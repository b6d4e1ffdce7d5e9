package docker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"nuage/api"
	"nuage/compute"
)

// copyTries is how often a copy is made anew because workloads that mount the volume were started or stopped meanwhile.
const copyTries = 5

// CopyVolume has the guest binary copy, alone in a container with the two volumes. One copy at a time touches a volume.
// Besides what compute says, Exhausted: to is too small. Unsupported: this build has no guest.
func (e *Engine) CopyVolume(ctx context.Context, from, to string) error {
	if from == to {
		return api.Errorf(api.Invalid, "cannot copy volume %q to itself", from)
	}
	free, err := e.copies.take(ctx, from, to, copierID(to))
	if err != nil {
		return failed(err, "copy volume %q", from)
	}
	defer free()
	for _, id := range []string{from, to} {
		if _, err := e.volume(ctx, id); err != nil {
			return failed(err, "copy volume %q to %q", from, to)
		}
	}
	img, err := e.helperImage(ctx)
	if err != nil {
		return err
	}
	if err := e.ensureGuest(ctx, img); err != nil {
		return err
	}
	for range copyTries {
		if same, err := e.copyOnce(ctx, from, to, img); same || err != nil {
			return err
		}
	}
	return api.Errorf(api.Conflict, "cannot copy volume %q at one moment: workloads that mount it are started and stopped all the time; stop them first", from)
}

// copyOnce copies while all that mount from are held. same is false where one was started or stopped all the same.
func (e *Engine) copyOnce(ctx context.Context, from, to, img string) (same bool, err error) {
	if users, err := e.mounters(ctx, to); err != nil || len(users) > 0 {
		if err == nil {
			err = api.Errorf(api.Conflict, "cannot copy to volume %q: workload %q mounts it; remove that first", to, users[0].Labels[compute.LabelID])
		}
		return false, err
	}
	users, err := e.mounters(ctx, from)
	if err != nil {
		return false, err
	}
	for _, c := range users {
		if err := e.hold(ctx, c.ID); err != nil {
			return false, failed(err, "hold %q while its volume is copied", c.Labels[compute.LabelID])
		}
		defer e.release(ctx, c.ID)
	}
	before, still, err := e.moment(ctx, from)
	if err != nil || !still {
		return false, err
	}
	if err := e.runCopier(ctx, from, to, img); err != nil {
		return false, err
	}
	after, still, err := e.moment(ctx, from)
	return still && before == after, err
}

// mounters are this cloud's containers that were made with the volume, but for those that copy it.
func (e *Engine) mounters(ctx context.Context, id string) ([]container.Summary, error) {
	all, err := e.containers(ctx)
	mounts := func(m container.MountPoint) bool { return m.Name == e.name(id) }
	return slices.DeleteFunc(all, func(c container.Summary) bool {
		return c.Labels[compute.LabelKind] == compute.KindHelper || !slices.ContainsFunc(c.Mounts, mounts)
	}), err
}

// moment says how those that mount a volume are, and whether none of them can write. Equal before and after, nothing was
// written in between.
func (e *Engine) moment(ctx context.Context, id string) (state string, still bool, err error) {
	users, err := e.mounters(ctx, id)
	if err != nil {
		return "", false, err
	}
	var words []string
	for _, u := range users {
		c, err := e.cli.ContainerInspect(ctx, u.ID)
		if cerrdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return "", false, failed(err, "look at %q", u.Labels[compute.LabelID])
		}
		if c.State.Running && !c.State.Paused {
			return "", false, nil
		}
		words = append(words, fmt.Sprint(c.ID, c.State.Status, c.State.StartedAt, c.State.FinishedAt))
	}
	slices.Sort(words)
	return strings.Join(words, " "), true, nil
}

func copierID(to string) string { return "copy-" + to }

// copier is the container that copies: it sees the volumes and the guest binary, and nothing else.
func (e *Engine) copier(from, to, img string) compute.Workload {
	return compute.Workload{
		ID: copierID(to), Owner: to, Kind: compute.KindHelper, Image: img, User: "0", ReadOnly: true,
		Entrypoint: []string{guestPath, "copy", "/from", "/to"}, Command: []string{},
		Mounts: []compute.Mount{{Volume: from, Path: "/from", ReadOnly: true}, {Volume: to, Path: "/to"}},
		Caps:   []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD", "SETFCAP"},
		Limits: compute.Limits{MemoryBytes: 256 << 20, Pids: 100},
	}
}

// runCopier runs the container to its end. One that is there was left by a process that was killed.
func (e *Engine) runCopier(ctx context.Context, from, to, img string) (err error) {
	w := e.copier(from, to, img)
	if err := e.remove(ctx, e.name(w.ID), w.ID); err != nil {
		return err
	}
	host := e.hostConfig(w)
	host.Mounts = append(host.Mounts, e.guestMount(true))
	made, err := e.cli.ContainerCreate(ctx, &container.Config{
		Image: img, User: w.User, Entrypoint: w.Entrypoint, Cmd: w.Command, Labels: e.labels(w),
	}, host, nil, nil, e.name(w.ID))
	if err != nil {
		return failed(err, "copy volume %q", from)
	}
	defer func() {
		left, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer cancel()
		if gone := e.remove(left, made.ID, w.ID); gone != nil && err == nil {
			err = gone
		}
	}()
	status, err := e.runToEnd(ctx, made.ID)
	if err != nil {
		return failed(err, "copy volume %q to %q", from, to)
	}
	if status != 0 {
		return e.copyFailed(ctx, made.ID, from, to, status)
	}
	return nil
}

// runToEnd starts a container and returns its exit status. The error is the client's.
func (e *Engine) runToEnd(ctx context.Context, id string) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended, errs := e.cli.ContainerWait(ctx, id, container.WaitConditionNextExit)
	if err := e.cli.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return 0, err
	}
	select {
	case end := <-ended:
		return end.StatusCode, nil
	case err := <-errs:
		return 0, err
	}
}

// copyFailed makes an error of what the copier has printed.
func (e *Engine) copyFailed(ctx context.Context, id, from, to string, status int64) error {
	raw, err := e.cli.ContainerLogs(ctx, id, container.LogsOptions{ShowStderr: true, Tail: "5"})
	if err != nil {
		return failed(err, "learn why volume %q was not copied", from)
	}
	defer func() { e.closed(raw, "log of a copy") }()
	var text bytes.Buffer
	if _, err := io.Copy(&text, &frames{src: raw, stderr: true}); err != nil {
		return failed(err, "learn why volume %q was not copied", from)
	}
	words, code := strings.TrimSpace(text.String()), api.Internal
	if strings.Contains(words, "no space left on device") || strings.Contains(words, "quota exceeded") {
		code = api.Exhausted
	}
	return api.Errorf(code, "cannot copy volume %q to %q: exit status %d: %s", from, to, status, words)
}
