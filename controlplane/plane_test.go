package controlplane

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/sim"
	"nuage/controlplane/billing"
	"nuage/controlplane/ingress"
	"nuage/controlplane/labs"
	"nuage/functions"
	"nuage/functions/wasm"
	"nuage/storage"
)

// plane is a control plane under test, over a store in dir and a simulated host that outlives it.
type plane struct {
	*ControlPlane
	dir      string
	cloud    api.Cloud
	sim      *sim.Engine // of the host, whatever wraps it
	registry *prometheus.Registry
	cancel   context.CancelFunc
	done     chan error
	closers  []func() error
}

// setup is what a test chooses of a plane.
type setup struct {
	dir    string
	host   *sim.State
	wrap   func(*sim.Engine) compute.Engine // nil: the simulator as it is
	wasm   bool                             // the real runtime, else one that answers what it is sent
	python functions.Runtime                // nil: one that answers what it is sent
	idle   bool                             // no loop
	report func()                           // called by Shutdown

	spotRate float64        // as Options have it; the notice is a minute
	chance   func() float64 // Random of the Options
	labs     *labs.Library
}

// start opens a plane and lets it converge.
func (s setup) start() (*plane, error) {
	p := &plane{dir: s.dir, done: make(chan error, 1), registry: prometheus.NewRegistry()}
	if err := p.open(s); err != nil {
		return nil, errors.Join(err, p.close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	if s.idle {
		p.done <- nil
		return p, nil
	}
	go func() { p.done <- p.Run(ctx) }()
	return p, nil
}

func (p *plane) open(s setup) error {
	log := slog.New(slog.DiscardHandler)
	if path := os.Getenv("NUAGE_TEST_LOG"); path != "" {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		p.closers = append(p.closers, f.Close)
		log = slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	store, err := storage.Open(filepath.Join(s.dir, "state.db"), storage.Options{NewCloudID: func() string { return newID("cloud") }, NoSync: true})
	if err != nil {
		return err
	}
	p.closers = append(p.closers, store.Close)
	sealer, err := storage.OpenKey(filepath.Join(s.dir, "secret.key"))
	if err != nil {
		return err
	}
	books, err := billing.Load()
	if err != nil {
		return err
	}
	for _, d := range []string{"blobs", "cache"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o700); err != nil {
			return err
		}
	}
	p.sim = sim.New(sim.Options{CloudID: store.CloudID(), State: s.host})
	engine := compute.Engine(p.sim)
	if s.wrap != nil {
		engine = s.wrap(p.sim)
	}
	runtime, python := functions.Runtime(echo{}), functions.Runtime(echo{})
	if s.python != nil {
		python = s.python
	}
	if s.wasm {
		if runtime, err = wasm.New(wasm.Options{CacheDir: filepath.Join(s.dir, "cache", "wasm"), Logger: log}); err != nil {
			return err
		}
		p.closers = append(p.closers, runtime.Close)
	}
	edge := ingress.New(ingress.Options{Logger: log, Now: time.Now})
	p.closers = append(p.closers, edge.Close)
	p.ControlPlane, err = New(context.Background(), Options{
		Store: store, Sealer: sealer, Engine: engine, Runtimes: map[string]functions.Runtime{"wasm": runtime, "python": python}, Edge: edge, Books: books, Labs: s.labs,
		Logger: log, Metrics: p.registry, Now: time.Now, NewID: newID, BlobDir: filepath.Join(s.dir, "blobs"), CacheDir: filepath.Join(s.dir, "cache"),
		Version: "test", API: "127.0.0.1:7070", EdgeAddr: "127.0.0.1:7080",
		SpotRate: s.spotRate, SpotNotice: time.Minute, Random: s.chance, Shutdown: func() {
			if s.report != nil {
				s.report()
			}
		},
	})
	if err != nil {
		return err
	}
	p.closers = append(p.closers, p.ControlPlane.Close)
	p.cloud = p.Cloud()
	return nil
}

// stop ends the plane as the end of its process does: workloads and state stay.
func (p *plane) stop() error {
	p.cancel()
	return errors.Join(<-p.done, p.close())
}

func (p *plane) close() error {
	var errs []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i]())
	}
	return errors.Join(errs...)
}

// newPlane starts a plane that ends with the test.
func newPlane(t *testing.T, s setup) *plane {
	t.Helper()
	if s.dir == "" {
		s.dir = t.TempDir()
	}
	if s.host == nil {
		s.host = sim.NewState()
	}
	p, err := s.start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return p
}

func newID(prefix string) string {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err)
	}
	return prefix + "-" + hex.EncodeToString(b[:])
}

// customer is who acts in tests.
var customer = api.Actor{Kind: api.Customer, Name: "me"}

func asCustomer() context.Context { return api.WithActor(context.Background(), customer) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// echo is a runtime for functions that answers what it is sent.
type echo struct{}

func (echo) Check(context.Context, functions.Deployment) error { return nil }
func (echo) Open(context.Context, functions.Deployment) (functions.Program, error) {
	return echo{}, nil
}
func (echo) Close() error { return nil }
func (echo) Call(_ context.Context, e functions.Event) (functions.Outcome, error) {
	return functions.Outcome{Payload: e.Payload, ContentType: e.ContentType, Status: functions.OK, Duration: time.Millisecond, MaxMemoryMB: 1}, nil
}
