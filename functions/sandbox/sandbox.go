// Package sandbox runs functions in containers: Python, Node.js, and programs that bring their own runtime. Sandboxes are
// made ahead of time, per runtime, memory size and network, each with the interpreter started and waiting; the first call of a function binds one to it, and from then on it
// serves that function alone, one call at a time, until it has been idle for long, its function is deployed anew, or
// a call crashes or times out. Between calls all its processes are stopped. See DESIGN.md of package functions.
package sandbox

import (
	"container/list"
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/functions"
)

//go:embed bootstrap.py bootstrap.cjs
var bootstraps embed.FS

// Options are what a Runtime needs. Only Engine and Dir are required.
type Options struct {
	Engine compute.Engine
	Dir    string // absolute path on the engine's host, at most 70 bytes, for sockets and code; nobody else's
	Logger *slog.Logger
	Images map[string]string // by runtime, where it is not the usual one
	// Prepare makes an image that is not made before its first use; nil: all are there. It is called at each Check.
	Prepare func(ctx context.Context, image string) error
	// Closed are addresses and ranges that no sandbox with a way out may reach: those at which the laptop hears, as they are now; nil: none.
	// Those that begin with ? are resolvers that the engine asks on behalf of sandboxes: of these port 53 is reached all the same.
	Closed    func() []string
	Warm      int           // sandboxes kept ready at least for each runtime, memory size and network in use; 2 when 0, none at all when negative
	Max       int           // sandboxes at once; 32 when 0
	KeepAlive time.Duration // how long a sandbox waits for its function's next call; 10 minutes when 0
}

// Fixed times.
const (
	startLimit  = 60 * time.Second // making a sandbox, on a busy machine too
	initLimit   = 10 * time.Second // loading the code
	removeLimit = 60 * time.Second
	sweepPause  = 2 * time.Second // before the engine is asked again
	replyGrace  = 2 * time.Second // over a call's time-out, for the guest to tell of it
)

// makers is how many sandboxes are made at once.
const makers = 4

// maxDir leaves room for the socket in the 108 bytes of a Unix address.
const maxDir = 70

// Runtime is the functions.Runtime of all that runs in sandboxes. They share its room.
type Runtime struct {
	o         Options
	languages map[string]language
	run       string // begins the ids of all sandboxes of this process
	ctx       context.Context
	cancel    context.CancelFunc
	makers    chan struct{}
	work      sync.WaitGroup // goroutines
	closings  closings

	mu     sync.Mutex
	pools  map[poolKey]*pool
	idle   *list.List // of *box: bound, the longest idle first
	boxes  int        // made or being made
	uids   map[int]bool
	serial int
	closed bool
}

// New makes a Runtime, removes what an earlier process has left in the engine, and begins to make sandboxes, both in
// the background. Invalid: Dir is not absolute or too long. Internal: Dir can not be written.
func New(o Options) (*Runtime, error) {
	if !filepath.IsAbs(o.Dir) || len(o.Dir) > maxDir {
		return nil, api.Errorf(api.Invalid, "cannot use %q for sandboxes: it must be absolute and have at most %d bytes; choose a shorter home", o.Dir, maxDir)
	}
	r := &Runtime{o: o.withDefaults(), languages: o.languages(), pools: map[poolKey]*pool{}, idle: list.New(), uids: map[int]bool{}, makers: make(chan struct{}, makers)}
	r.run = "sb-" + randomHex(4) + "-"
	r.ctx, r.cancel = context.WithCancel(context.Background())
	old, err := r.prepareDir()
	if err != nil {
		return nil, api.Errorf(api.Internal, "cannot use %q for sandboxes: %w", o.Dir, err)
	}
	r.work.Go(func() { r.begin(old) })
	return r, nil
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Warm == 0 {
		o.Warm = 2
	}
	if o.Max == 0 {
		o.Max = 32
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = 10 * time.Minute
	}
	return o
}

// languages are the runtimes with their images.
func (o Options) languages() map[string]language {
	all := languages()
	for name, image := range o.Images {
		l := all[name]
		l.image = image
		all[name] = l
	}
	return all
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b) // never fails: see crypto/rand
	return hex.EncodeToString(b)
}

// prepareDir lays the directory out and returns what is left there of earlier processes.
func (r *Runtime) prepareDir() ([]string, error) {
	runtime := r.runtimeDir()
	if err := makeDirs(0o700, r.o.Dir); err != nil {
		return nil, err
	}
	if err := makeDirs(0o755, r.boxesDir(), r.codeDir(), runtime); err != nil {
		return nil, err
	}
	if err := writeBootstraps(runtime); err != nil {
		return nil, err
	}
	return leftovers(r.boxesDir(), r.codeDir())
}

// writeBootstraps writes what interpreters run until they have their code.
func writeBootstraps(dir string) error {
	entries, err := bootstraps.ReadDir(".")
	for _, e := range entries {
		source, err := bootstraps.ReadFile(e.Name())
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, e.Name()), source, 0o644); err != nil {
			return err
		}
	}
	return err
}

func (r *Runtime) boxesDir() string   { return filepath.Join(r.o.Dir, "b") }
func (r *Runtime) codeDir() string    { return filepath.Join(r.o.Dir, "code") }
func (r *Runtime) runtimeDir() string { return filepath.Join(r.o.Dir, "runtime") }

func leftovers(dirs ...string) ([]string, error) {
	var paths []string
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// begin clears the leftovers, as soon as the engine answers, and fills the pool that most functions use.
func (r *Runtime) begin(old []string) {
	err := r.sweep(r.ctx)
	for errors.Is(err, api.Unavailable) && pause(r.ctx, sweepPause) == nil {
		err = r.sweep(r.ctx)
	}
	if err != nil {
		r.o.Logger.Info("no sandboxes are made ahead of time", "reason", err)
		return
	}
	for _, path := range old {
		if err := os.RemoveAll(path); err != nil {
			r.o.Logger.Warn("cannot remove the files of an earlier sandbox", "path", path, "error", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pool(poolKey{runtime: "python", memoryMB: api.DefaultMemoryMB})
	p.users++ // for good
	r.fill(p)
}

// real refuses an engine in which nothing runs.
func (r *Runtime) real(ctx context.Context) error {
	info, err := r.o.Engine.Info(ctx)
	if err != nil {
		return err
	}
	if !info.Real {
		return api.Errorf(api.Unsupported, "cannot run functions in sandboxes with engine %q: it runs nothing; start the cloud with --engine docker", info.Name)
	}
	return nil
}

// sweep removes the sandboxes of this cloud that this process did not make.
func (r *Runtime) sweep(ctx context.Context) error {
	if err := r.real(ctx); err != nil {
		return err
	}
	all, err := r.o.Engine.List(ctx)
	if err != nil {
		return err
	}
	for _, o := range all {
		if o.Kind == compute.KindFunction && !strings.HasPrefix(o.ID, r.run) {
			if err := r.o.Engine.Remove(ctx, o.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// Check implements functions.Runtime: a sandbox of its own parses every source file; of a program its header is read. Whether the handler exists shows
// at the first call, as on AWS Lambda.
func (r *Runtime) Check(ctx context.Context, d functions.Deployment) error {
	if err := r.real(ctx); err != nil {
		return err
	}
	l, err := r.accept(d)
	if err != nil {
		return err
	}
	if r.o.Prepare != nil {
		if err := r.o.Prepare(ctx, l.image); err != nil {
			return err
		}
	}
	d = functions.Deployment{FunctionID: d.FunctionID, Name: d.Name, Runtime: d.Runtime, Handler: d.Handler, CodeDir: d.CodeDir, MemoryMB: api.DefaultMemoryMB}
	p, err := r.newProgram(d)
	if err != nil {
		return err
	}
	return errors.Join(p.check(ctx), p.Close())
}

// accept refuses what can not work here.
func (r *Runtime) accept(d functions.Deployment) (language, error) {
	l, err := r.language(d)
	if err != nil {
		return l, err
	}
	if d.Handler != "" && l.handlers != nil && !l.handlers.MatchString(d.Handler) {
		return l, api.Errorf(api.Invalid, "cannot deploy function %q: handler %q does not name a module and a function, as %s", d.Name, d.Handler, l.handler)
	}
	return l, nil
}

// Open implements functions.Runtime. Sandboxes of the deployment's size and network begin to be made. An engine that
// does not answer, as may be at a boot, is no reason to refuse: calls will say so until it does.
func (r *Runtime) Open(ctx context.Context, d functions.Deployment) (functions.Program, error) {
	if err := r.real(ctx); err != nil && !errors.Is(err, api.Unavailable) {
		return nil, err
	}
	if _, err := r.accept(d); err != nil {
		return nil, err
	}
	p, err := r.newProgram(d)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.pool.users++
	p.using = true
	r.fill(p.pool)
	return p, nil
}

// Close removes all sandboxes. Programs are closed before. Closing again does nothing.
func (r *Runtime) Close() error {
	r.mu.Lock()
	r.closed = true
	var ready []*box
	for _, p := range r.pools {
		if p.trim != nil {
			p.trim.Stop()
		}
		ready = append(ready, p.ready...)
		p.ready = nil
	}
	for _, b := range ready {
		r.discard(b)
	}
	r.mu.Unlock()
	r.cancel()
	r.work.Wait()
	if err := os.RemoveAll(r.boxesDir()); err != nil {
		return fmt.Errorf("cannot remove the sandboxes' files: %w", err)
	}
	return nil
}
