package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"nuage/api"
	"nuage/api/rest"
	"nuage/compute"
	"nuage/compute/docker"
	"nuage/compute/images"
	"nuage/compute/sim"
	"nuage/controlplane"
	"nuage/controlplane/billing"
	"nuage/controlplane/ingress"
	"nuage/controlplane/labs"
	"nuage/functions"
	"nuage/functions/sandbox"
	"nuage/functions/wasm"
	"nuage/storage"
)

// cloud is everything serve has opened, to be closed in reverse order.
type cloud struct {
	conf     serveConfig
	registry *prometheus.Registry
	closers  []func() error

	store     *storage.Store
	sealer    *storage.Sealer
	engine    compute.Engine
	note      string // why this engine
	edge      *ingress.Edge
	plane     *controlplane.ControlPlane
	api, apps net.Listener
}

// ballast is memory that is never touched, and so never taken from the machine: the collector lets as much garbage gather as there is memory
// in use, and without it a cloud with little in use would collect a hundred times a second while functions are called.
const ballast = 64 << 20

// serve opens a cloud and runs it until ctx ends or somebody shuts it down. Workloads outlive it.
func serve(ctx context.Context, conf serveConfig) (err error) {
	untouched := make([]byte, ballast)
	defer runtime.KeepAlive(untouched)
	ctx, shutdown := context.WithCancel(ctx)
	defer shutdown()
	c := &cloud{conf: conf, registry: prometheus.NewRegistry()}
	defer func() { err = errors.Join(err, c.close()) }()
	c.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, open := range []func(context.Context) error{c.openStore, c.listen, c.openEngine} {
		if err := open(ctx); err != nil {
			return err
		}
	}
	if err := c.openPlane(ctx, shutdown); err != nil {
		return err
	}
	return c.run(ctx, shutdown)
}

func (c *cloud) onClose(fn func() error) { c.closers = append(c.closers, fn) }

func (c *cloud) close() error {
	var errs []error
	for i := len(c.closers) - 1; i >= 0; i-- {
		errs = append(errs, c.closers[i]())
	}
	return errors.Join(errs...)
}

// openStore opens state and key. A store without its key is refused: what it has sealed would be lost.
func (c *cloud) openStore(context.Context) error {
	for _, dir := range []string{"blobs", "cache", "keys"} {
		if err := os.MkdirAll(filepath.Join(c.conf.Home, dir), 0o700); err != nil {
			return api.Errorf(api.Unavailable, "cannot use home %q: %w", c.conf.Home, err)
		}
	}
	path := statePath(c.conf.Home)
	_, err := os.Stat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	c.store, err = storage.Open(path, storage.Options{Logger: c.conf.Log, NewCloudID: func() string { return newID("cloud") }, Address: c.conf.Listen})
	if err != nil {
		return err
	}
	c.onClose(c.store.Close)
	var options []storage.KeyOption
	if !fresh {
		options = append(options, storage.MustExist)
	}
	if c.sealer, err = storage.OpenKey(filepath.Join(c.conf.Home, "secret.key"), options...); err != nil {
		return err
	}
	return c.store.CheckKey(c.sealer)
}

// newID makes an id: the prefix of a noun and 16 hex digits.
func newID(prefix string) string {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // crypto/rand never fails on the systems Go supports
	}
	return prefix + "-" + hex.EncodeToString(b[:])
}

// listen takes the addresses early: a taken one is refused before anything is started.
func (c *cloud) listen(ctx context.Context) (err error) {
	take := func(flag, address string) (net.Listener, error) {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return nil, listenError(flag, address, err)
		}
		c.onClose(func() error { return ignoreClosed(l.Close()) })
		return l, nil
	}
	if c.api, err = take("listen", c.conf.Listen); err != nil {
		return err
	}
	c.apps, err = take("edge", c.conf.Edge)
	if err == nil {
		err = c.store.Announce(c.api.Addr().String())
	}
	return err
}

func listenError(flag, address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return api.Errorf(api.Conflict, "cannot listen on %q: another program has that address, maybe another cloud; choose a free one with --%s", address, flag)
	}
	return api.Errorf(api.Unavailable, "cannot listen on %q: %w; choose another address with --%s", address, err, flag)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// openEngine takes Docker where it answers and is not ruled out, else the simulator where that is allowed.
func (c *cloud) openEngine(ctx context.Context) error {
	if c.conf.Engine == "sim" {
		c.note = "asked for with --engine sim: nothing but wasm functions really runs"
		return c.simulate()
	}
	engine, err := openDocker(ctx, c.store.CloudID(), c.conf.Log)
	switch {
	case err == nil:
		c.engine = engine
		c.onClose(engine.Close)
		return nil
	case c.conf.Engine == "docker" || !errors.Is(err, api.Unavailable):
		return err
	}
	c.note = "no Docker engine answers, so workloads are simulated; `nuage doctor` tells what to do"
	c.conf.Log.Warn(c.note, "error", err)
	return c.simulate()
}

func (c *cloud) simulate() error {
	engine := sim.New(sim.Options{CloudID: c.store.CloudID(), Logger: c.conf.Log})
	c.engine = engine
	c.onClose(engine.Close)
	return nil
}

// openDocker connects to Docker, and makes sure that it answers.
func openDocker(ctx context.Context, cloudID string, log *slog.Logger) (*docker.Engine, error) {
	binary, version := guestBinary()
	engine, err := docker.New(ctx, docker.Options{CloudID: cloudID, Logger: log, Guest: binary, GuestVersion: version})
	if err != nil {
		return nil, err
	}
	if _, err := engine.Info(ctx); err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	if binary == nil {
		log.Warn("this nuage was built without its guest, so it runs no instances; build it with make build")
	}
	return engine, nil
}

// openPlane wires the control plane to everything it stands on.
func (c *cloud) openPlane(ctx context.Context, shutdown func()) error {
	books, err := billing.Load()
	if err != nil {
		return err
	}
	library, err := c.library()
	if err != nil {
		return err
	}
	runtimes, err := c.runtimes()
	if err != nil {
		return err
	}
	c.edge = ingress.New(ingress.Options{Logger: c.conf.Log, Registerer: c.registry, Now: time.Now})
	c.onClose(c.edge.Close)
	c.plane, err = controlplane.New(ctx, controlplane.Options{
		Store: c.store, Sealer: c.sealer, Engine: c.engine, Runtimes: runtimes, Edge: c.edge, Books: books, Labs: library, Logger: c.conf.Log,
		Metrics: c.registry, Now: time.Now, NewID: newID, BlobDir: filepath.Join(c.conf.Home, "blobs"), CacheDir: filepath.Join(c.conf.Home, "cache"),
		Version: version(), API: c.api.Addr().String(), EdgeAddr: c.apps.Addr().String(), EdgeTLS: c.conf.EdgeTLS, Note: c.note, Shutdown: shutdown,
		BaseImage: baseImage, SpotRate: c.conf.SpotRate, SpotNotice: c.conf.SpotNotice, Random: mathrand.Float64,
	})
	if err != nil {
		return err
	}
	c.onClose(c.plane.Close)
	if c.conf.ClockSpeed > 1 {
		if err := c.plane.SetClockSpeed(c.conf.ClockSpeed); err != nil {
			return err
		}
	}
	return c.remember(ctx)
}

// library is the labs that come with the cloud, and those of a teacher's folder.
func (c *cloud) library() (*labs.Library, error) {
	if c.conf.Labs == "" {
		return labs.Load(labs.Shipped())
	}
	return labs.Load(labs.Shipped(), os.DirFS(c.conf.Labs))
}

// baseImage makes an image that is not made before its first use.
func baseImage(ctx context.Context, name string, log io.Writer) error {
	return images.Setup(ctx, log, images.Options{Part: name})
}

// remember writes address and token to the home's settings; a token that still lets in stays.
func (c *cloud) remember(ctx context.Context) error {
	conf, err := loadConfig(c.conf.Home)
	if err != nil {
		return err
	}
	token, err := c.plane.FirstToken(ctx, conf.Token)
	if err != nil {
		return err
	}
	if err := saveEdgeCA(c.conf.Home, c.plane.EdgeCA()); err != nil {
		return err
	}
	return rememberCloud(c.conf.Home, c.api.Addr().String(), token)
}

func (c *cloud) runtimes() (map[string]functions.Runtime, error) {
	w, err := wasm.New(wasm.Options{CacheDir: filepath.Join(c.conf.Home, "cache", "wasm"), Logger: c.conf.Log})
	if err != nil {
		return nil, err
	}
	c.onClose(w.Close)
	warm := c.conf.Prewarm
	if warm == 0 {
		warm = -1 // none at all
	}
	s, err := sandbox.New(sandbox.Options{Engine: c.engine, Dir: c.socketDir(), Logger: c.conf.Log, Prepare: c.prepareImage, Closed: controlplane.Closed, Warm: warm, KeepAlive: c.conf.KeepAlive})
	if err != nil {
		return nil, err
	}
	c.onClose(s.Close)
	runtimes := map[string]functions.Runtime{"wasm": w}
	for _, name := range sandbox.Names() {
		runtimes[name] = s
	}
	return runtimes, nil
}

// prepareImage makes the image of a sandbox where that is one of those that are made on first use.
func (c *cloud) prepareImage(ctx context.Context, ref string) error {
	for _, i := range images.OnFirstUse() {
		if i.Ref == ref {
			return baseImage(ctx, i.Name, io.Discard)
		}
	}
	return nil
}

// socketDir is where sandboxes have their sockets: in the home, or where its path is too long for a socket's address,
// in the system's folder for temporary files.
func (c *cloud) socketDir() string {
	const most = 70
	if dir := filepath.Join(c.conf.Home, "run"); len(dir) <= most {
		return dir
	}
	return filepath.Join(os.TempDir(), "nuage-run-"+strings.TrimPrefix(c.store.CloudID(), "cloud-"))
}

// run serves both addresses and converges until ctx ends.
func (c *cloud) run(ctx context.Context, shutdown func()) error {
	face, err := rest.New(rest.Options{Cloud: c.plane.Cloud(), Logger: c.conf.Log, Registerer: c.registry, Gatherer: c.registry, Ready: c.plane.Ready, Changed: c.plane.Changed, Version: version()})
	if err != nil {
		return err
	}
	ends := make(chan error, 3)
	apiServer := &http.Server{Handler: face, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(c.conf.Log.Handler(), slog.LevelDebug)}
	for l, server := range map[net.Listener]*http.Server{c.api: apiServer, c.edge.Listener(c.apps): c.edge.Server(c.conf.Log)} {
		go func() { ends <- server.Serve(l) }()
		defer stopServer(server)
	}
	c.conf.Log.Info("the cloud is up", "api", "http://"+c.api.Addr().String(), "edge", "http://"+c.apps.Addr().String(), "home", c.conf.Home, "pid", os.Getpid())
	planeCtx, stopPlane := context.WithCancel(ctx)
	defer stopPlane()
	done := make(chan error, 1)
	go func() { done <- c.plane.Run(planeCtx) }()
	select {
	case err = <-ends:
	case <-ctx.Done():
		err = nil
	}
	shutdown()
	return errors.Join(err, <-done)
}

// stopServer lets answers under way end.
func stopServer(s *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		s.Close()
	}
}

// wipe removes everything of a home's cloud from the engine, then the state; base images and caches stay.
func wipe(ctx context.Context, home, engine string) error {
	if _, err := os.Stat(statePath(home)); err == nil {
		if err := wipeEngine(ctx, home, engine); err != nil {
			return err
		}
	}
	for _, name := range []string{"state.db", "state.db.holder", "secret.key", "edge-ca.pem", "config.json", "keys", "blobs", "nuage.log", "run", "restore.part", filepath.Join("cache", "code")} {
		if err := os.RemoveAll(filepath.Join(home, name)); err != nil {
			return api.Errorf(api.Unavailable, "cannot remove %q: %w", name, err)
		}
	}
	return nil
}

func wipeEngine(ctx context.Context, home, engine string) error {
	log := slog.New(slog.DiscardHandler)
	store, err := storage.Open(statePath(home), storage.Options{Logger: log, NewCloudID: func() string { return newID("cloud") }})
	if err != nil {
		return err
	}
	defer store.Close()
	if engine == "sim" {
		return nil
	}
	d, err := openDocker(ctx, store.CloudID(), log)
	if errors.Is(err, api.Unavailable) && engine != "docker" {
		return nil // nothing of this cloud can be in an engine that is not there, or its user is told by doctor
	}
	if err != nil {
		return err
	}
	return errors.Join(d.RemoveAll(ctx), d.Close())
}
