package docker

import (
	"context"
	"path"
	"strings"

	cerrdefs "github.com/containerd/errdefs"

	"nuage/api"
)

// uncovered refuses to start a machine where a volume would come to lie over the guest: a file of the customer's would then
// be PID 1 and have NET_ADMIN. An engine follows links of the root disk when it mounts, and images and root inside can put
// some there. While a machine is stopped nobody changes them.
func (e *Engine) uncovered(ctx context.Context, id string) error {
	c, err := e.cli.ContainerInspect(ctx, e.name(id))
	if err != nil {
		return failed(err, "start %q", id)
	}
	if c.State.Running || !isMachine(c.Config.Labels) || len(c.Mounts) < 2 { // the guest's alone is where it is looked for
		return nil
	}
	for _, m := range c.Mounts {
		at, err := e.resolve(ctx, c.ID, m.Destination)
		if err != nil {
			return failed(err, "start %q, as nothing tells where %s leads on its root disk", id, m.Destination)
		}
		if guest := m.Destination == guestDir; guest && at != guestDir || !guest && (below(at, guestDir) || below(guestDir, at)) {
			return api.Errorf(api.Invalid, "cannot start %q: what is mounted at %s would lie at %s, as links on the root disk lead there, and no volume may lie over %s; "+
				"detach the volume, or use an image without such a link", id, m.Destination, at, guestDir)
		}
	}
	return nil
}

// below tells that a clean path is a folder or lies in it.
func below(p, dir string) bool { return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/") }

// resolve is where a path of a stopped container leads, one name after the other: the engine tells of the last one only
// whether it is a link. The error is the client's.
func (e *Engine) resolve(ctx context.Context, id, name string) (string, error) {
	names := strings.Split(strings.Trim(path.Clean(name), "/"), "/")
	at := "/"
	for i := range names {
		is, err := e.cli.ContainerStatPath(ctx, id, path.Join(at, names[i]))
		if cerrdefs.IsNotFound(err) {
			return path.Join(at, path.Join(names[i:]...)), nil // the engine will make it
		}
		if err != nil {
			return "", err
		}
		if at = path.Join(at, names[i]); is.LinkTarget != "" {
			at = is.LinkTarget // with all its own links followed
		}
	}
	return at, nil
}
