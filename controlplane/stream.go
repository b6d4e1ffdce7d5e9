package controlplane

import (
	"context"
	"io"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/guest/link"
	"nuage/functions"
	"nuage/storage"
)

// streams implements api.Streams.
type streams struct{ cp *ControlPlane }

func (s streams) Exec(ctx context.Context, project, noun, name string, cmd api.Command, stdio api.Stdio) (int, error) {
	if _, err := s.cp.authorize(ctx, project); err != nil {
		return 0, err
	}
	if len(cmd.Words) == 0 {
		return 0, api.Errorf(api.Invalid, "cannot run nothing: give a command")
	}
	switch noun {
	case "instances":
		return s.execInstance(ctx, project, name, cmd, stdio)
	case "apps":
		return s.execApp(ctx, project, name, cmd, stdio)
	case "databases":
		return s.execDatabase(ctx, project, name, cmd, stdio)
	}
	return 0, api.Errorf(api.Unsupported, "cannot run a command in %s: instances, apps and databases have that", noun)
}

func (s streams) execInstance(ctx context.Context, project, name string, cmd api.Command, stdio api.Stdio) (int, error) {
	i, err := s.cp.instances().Get(ctx, project, name)
	if err != nil {
		return 0, err
	}
	if _, ok := s.cp.Engine.(compute.Attacher); !ok {
		return 0, api.Errorf(api.Unsupported, "cannot run a command in instance %q: the simulator has no guests; use --engine docker", name)
	}
	if i.Spec.Stopped || i.DeletedAt != nil {
		return 0, api.Errorf(api.Conflict, "cannot run a command in instance %q: it is %s", name, i.Status.Phase)
	}
	shown := cmd
	if i.Spec.Unrecorded {
		shown.Words = []string{"a command; it is not recorded"}
	}
	if err := s.recordCommand(ctx, "instance", &i.Meta, "exec", shown); err != nil {
		return 0, err
	}
	return s.cp.guests.exec(ctx, i.ID, link.Command{Args: cmd.Words, Env: pairs(cmd.Env), TTY: cmd.TTY, Rows: cmd.Rows, Cols: cmd.Cols},
		link.Stdio{Stdin: stdio.In, Stdout: stdio.Out, Stderr: stdio.Err, Resize: sizes(ctx, stdio.Resize)})
}

func (s streams) recordCommand(ctx context.Context, noun string, m *api.Meta, verb string, cmd api.Command) error {
	actor, err := s.cp.actor(ctx)
	if err != nil || actor == platform("labs") { // a lab's check looks, which is no work on any layer
		return err
	}
	return s.cp.Store.Update(func(tx *storage.Tx) error {
		return s.cp.record(tx, actor, noun, m, verb, clip(strings.Join(cmd.Words, " ")))
	})
}

// recordSSH records a command of an SSH session, or a line typed at its prompt, as the customer's work. Of an instance whose owner does not want
// that, only that there was a session.
func (cp *ControlPlane) recordSSH(tx *storage.Tx, one *guest, e link.Event) error {
	i, err := instanceTable.Get(tx, one.id)
	if err != nil {
		return ignoreGone(err)
	}
	said := orElse(e.Command, "login shell")
	switch {
	case i.Spec.Unrecorded && e.Type == link.EventSSHLine:
		return nil
	case i.Spec.Unrecorded:
		said = "a session; its commands are not recorded"
	}
	return cp.record(tx, api.Actor{Kind: api.Customer, Name: orElse(e.Key, e.User)}, "instance", &one.meta, "ssh", clip(said))
}

// pairs turns a map into NAME=value.
func pairs(env map[string]string) []string {
	var out []string
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	return out
}

// sizes passes window sizes on in the form of the floors below.
func sizes(ctx context.Context, in <-chan api.WindowSize) <-chan [2]int {
	if in == nil {
		return nil
	}
	out := make(chan [2]int)
	go func() {
		defer close(out)
		for size := range in {
			select {
			case out <- [2]int{size.Rows, size.Cols}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// process is a command as an engine takes it: one word is a shell line.
func process(ctx context.Context, cmd api.Command, stdio api.Stdio) compute.Process {
	words := cmd.Words
	if len(words) == 1 {
		words = []string{"/bin/sh", "-c", words[0]}
	}
	return compute.Process{Command: words, Env: pairs(cmd.Env), TTY: cmd.TTY, Rows: cmd.Rows, Cols: cmd.Cols,
		Stdin: stdio.In, Stdout: stdio.Out, Stderr: stdio.Err, Resize: sizes(ctx, stdio.Resize)}
}

// execApp runs a command in a fresh container of the serving release, which goes with the command.
func (s streams) execApp(ctx context.Context, project, name string, cmd api.Command, stdio api.Stdio) (int, error) {
	a, err := s.cp.apps().Get(ctx, project, name)
	if err != nil {
		return 0, err
	}
	if _, ok := s.cp.Engine.(compute.Execer); !ok {
		return 0, api.Errorf(api.Unsupported, "cannot run a command in app %q: the simulator runs nothing; use --engine docker", name)
	}
	w, err := s.cp.read()
	if err != nil {
		return 0, err
	}
	r, ok := w.releases[releaseKey(a.ID, a.Status.Release)]
	if !ok {
		return 0, api.Errorf(api.Conflict, "cannot run a command in app %q: no release serves yet", name)
	}
	if err := s.recordCommand(ctx, "app", &a.Meta, "run", cmd); err != nil {
		return 0, err
	}
	return s.cp.oneOff(ctx, w.replica(a, r, 0), process(ctx, cmd, stdio))
}

func (s streams) removeHelper(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := s.cp.Engine.Remove(ctx, id); err != nil {
		s.cp.log.Warn("one-off container not removed; the next pass does it", "id", id, "error", err)
	}
	s.cp.helpers.drop(id)
}

// execDatabase runs the engine's own client in the server's container: logged in as the database's user, and as nobody there,
// because a shell on the server is not what a managed database gives.
func (s streams) execDatabase(ctx context.Context, project, name string, cmd api.Command, stdio api.Stdio) (int, error) {
	d, err := s.cp.databases().Get(ctx, project, name)
	if err != nil {
		return 0, err
	}
	e, err := databaseEngineOf(d.Spec.Engine)
	if err != nil {
		return 0, err
	}
	if client := api.DatabaseClient(e.name); cmd.Words[0] != client {
		return 0, api.Errorf(api.Invalid, "cannot run %q in database %q: %s is what runs there", cmd.Words[0], name, client)
	}
	engine, ok := s.cp.Engine.(compute.Execer)
	if !ok {
		return 0, api.Errorf(api.Unsupported, "cannot open a shell of database %q: the simulator runs no server; use --engine docker", name)
	}
	if d.Status.Phase != api.Running {
		return 0, api.Errorf(api.Conflict, "cannot open a shell of database %q: it is %s (%s)", name, d.Status.Phase, d.Status.Reason)
	}
	var l login
	if err := s.cp.Store.View(func(tx *storage.Tx) (err error) { l, err = s.cp.login(tx, d); return err }); err != nil {
		return 0, err
	}
	if err := s.recordCommand(ctx, "database", &d.Meta, "exec", api.Command{Words: cmd.Words}); err != nil {
		return 0, err
	}
	p, shell := process(ctx, cmd, stdio), e.shell(l, cmd.Words[1:])
	p.Command, p.User, p.Env = shell.Command, shell.User, append(p.Env, shell.Env...)
	return engine.Exec(ctx, d.ID, p)
}

func (s streams) Logs(ctx context.Context, project, noun, name string, q api.LogQuery) (io.ReadCloser, error) {
	if _, err := s.cp.authorize(ctx, project); err != nil {
		return nil, err
	}
	if noun == "functions" {
		f, err := s.cp.functions().Get(ctx, project, name)
		if err != nil {
			return nil, err
		}
		return s.cp.invoker.Logs(f.ID, functions.LogQuery{Tail: q.Tail, Follow: q.Follow, Request: q.Request})
	}
	if q.Request != "" {
		return nil, api.Errorf(api.Unsupported, "cannot read what a request has printed of %s: functions have that", noun)
	}
	if q.Build != 0 {
		return s.buildLog(ctx, project, noun, name, q)
	}
	id, err := s.workload(ctx, project, noun, name)
	if err != nil {
		return nil, err
	}
	logger, ok := s.cp.Engine.(compute.Logger)
	if !ok {
		return nil, api.Errorf(api.Unsupported, "cannot read logs of %q: the simulator runs nothing that prints; use --engine docker", name)
	}
	if noun == "apps" {
		return s.appLog(ctx, logger, id, q), nil
	}
	return logger.Logs(ctx, id, compute.LogQuery{Tail: q.Tail, Follow: q.Follow})
}

// buildLog reads what the build of a release said, or waits for it where the build is to come.
func (s streams) buildLog(ctx context.Context, project, noun, name string, q api.LogQuery) (io.ReadCloser, error) {
	if noun != "apps" {
		return nil, api.Errorf(api.Unsupported, "cannot read the log of a build of %s: apps have releases that are built", noun)
	}
	a, err := s.cp.apps().Get(ctx, project, name)
	if err != nil {
		return nil, err
	}
	key := releaseKey(a.ID, q.Build)
	r, err := s.cp.release(key)
	if err != nil {
		return nil, api.Errorf(api.NotFound, "cannot read the log of a build of app %q: there is no release %d", name, q.Build)
	}
	going := func() (bool, <-chan struct{}) {
		changed := s.cp.changes.next()
		now, err := s.cp.release(key)
		return err == nil && now.State == building, changed
	}
	if r.State == building && q.Follow {
		return s.cp.buildLogs.open(key).read(ctx, going), nil
	}
	if l := s.cp.buildLogs.find(key); l != nil {
		return l.read(ctx, nil), nil
	}
	return nil, api.Errorf(api.NotFound, "cannot read the log of the build of release %d of app %q: it is not kept; release %d is %s", q.Build, name, q.Build, r.State)
}

func (cp *ControlPlane) release(key string) (r release, err error) {
	err = cp.Store.View(func(tx *storage.Tx) (err error) {
		r, err = releaseTable.Get(tx, key)
		return err
	})
	return r, err
}

// workload answers the id of what has a log: a container's, or an app's.
func (s streams) workload(ctx context.Context, project, noun, name string) (string, error) {
	switch noun {
	case "instances":
		i, err := s.cp.instances().Get(ctx, project, name)
		return i.ID, err
	case "databases":
		d, err := s.cp.databases().Get(ctx, project, name)
		return d.ID, err
	case "apps":
		a, err := s.cp.apps().Get(ctx, project, name)
		return a.ID, err
	}
	return "", api.Errorf(api.Unsupported, "cannot read logs of %s: instances, apps, databases and functions have them", noun)
}

type closer struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (c closer) Close() error {
	c.cancel()
	return c.PipeReader.Close()
}
