package docker

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"nuage/compute"
)

// holds counts who keeps a container paused: a copy of its volume and a commit of its root disk may do so at once. The lock
// is held while the engine pauses or resumes, so that neither overtakes the other.
type holds struct {
	mu      sync.Mutex
	by      map[string]int // by the engine's id
	resumed bool           // what a process that was killed has left paused goes on again
}

// hold pauses a container until release. One that does not run is held as it is. The error is the client's.
func (e *Engine) hold(ctx context.Context, id string) error {
	return until(ctx, "hold a container that starts processes all the time", func(ctx context.Context) (bool, error) {
		err := e.holdOnce(ctx, id)
		if err != nil && strings.Contains(err.Error(), "unable to freeze") {
			return false, nil // it starts processes faster than the engine stops them
		}
		return true, err
	})
}

func (e *Engine) holdOnce(ctx context.Context, id string) error {
	e.holds.mu.Lock()
	defer e.holds.mu.Unlock()
	if e.holds.by[id] == 0 {
		err := e.cli.ContainerPause(ctx, id)
		if err != nil && !cerrdefs.IsNotFound(err) && !strings.Contains(err.Error(), "is not running") && !strings.Contains(err.Error(), "already paused") {
			return err
		}
	}
	e.holds.by[id]++
	return nil
}

// releaseTime is how long a container may take to go on, also when its caller has given up.
const releaseTime = 20 * time.Second

// release lets a container go on. What can't be resumed now is resumed by a later List.
func (e *Engine) release(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	e.holds.mu.Lock()
	defer e.holds.mu.Unlock()
	if e.holds.by[id]--; e.holds.by[id] > 0 {
		return
	}
	delete(e.holds.by, id)
	if err := e.resume(ctx, id); err != nil {
		e.log.Error("a container stays paused for now", "container", id, "err", err)
		e.holds.resumed = false
	}
}

func (e *Engine) resume(ctx context.Context, id string) error {
	err := e.cli.ContainerUnpause(ctx, id)
	if err == nil || cerrdefs.IsNotFound(err) || strings.Contains(err.Error(), "is not paused") || strings.Contains(err.Error(), "is not running") {
		return nil
	}
	return err
}

// resumeLeft lets go on what a process that was killed has left paused, and removes what its commits have left. It does
// that once; what fails is tried again by the next List.
func (e *Engine) resumeLeft(ctx context.Context, found []container.Summary) {
	e.holds.mu.Lock()
	defer e.holds.mu.Unlock()
	if e.holds.resumed {
		return
	}
	e.holds.resumed = true
	for _, c := range found {
		if c.State != "paused" || e.holds.by[c.ID] > 0 {
			continue
		}
		if err := e.resume(ctx, c.ID); err != nil {
			e.log.Error("a container stays paused for now", "workload", c.Labels[compute.LabelID], "err", err)
			e.holds.resumed = false
		}
	}
	if len(e.holds.by) == 0 {
		e.removeHalfImages(ctx)
	}
}

// removeHalfImages removes images that commits make on their way.
func (e *Engine) removeHalfImages(ctx context.Context) {
	f := e.ours(compute.LabelKind + "=" + compute.KindHelper)
	f.Add("dangling", "true")
	all, err := e.cli.ImageList(ctx, image.ListOptions{Filters: f})
	if err != nil {
		e.log.Warn("cannot look for what commits have left", "err", err)
		e.holds.resumed = false
		return
	}
	for _, img := range all {
		e.removeHalfImage(ctx, img.ID)
	}
}

func (e *Engine) removeHalfImage(ctx context.Context, id string) {
	if _, err := e.cli.ImageRemove(ctx, id, image.RemoveOptions{}); err != nil && !cerrdefs.IsNotFound(err) {
		e.log.Warn("an image that a commit made on its way stays until the next start", "image", id, "err", err)
	}
}

// locks are held by name, several at once.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when it is free again
}

// take waits until all names are free, or for the end of ctx. free frees them.
func (l *locks) take(ctx context.Context, names ...string) (free func(), err error) {
	mine := make(chan struct{})
	for {
		busy := l.try(mine, names)
		if busy == nil {
			return func() { l.free(mine, names) }, nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// try takes all names, or none and answers when to try again.
func (l *locks) try(mine chan struct{}, names []string) (busy chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.IndexFunc(names, func(n string) bool { return l.held[n] != nil }); i >= 0 {
		return l.held[names[i]]
	}
	for _, n := range names {
		l.held[n] = mine
	}
	return nil
}

func (l *locks) free(mine chan struct{}, names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range names {
		delete(l.held, n)
	}
	close(mine)
}

func (l *locks) has(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[name] != nil
}
