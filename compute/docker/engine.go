// Package docker is the compute engine over a Docker engine, from API 1.41 (Docker 20.10) on, with cgroup v1 or
// v2. It is the only package that knows the Docker client, and none of its types are seen outside.
package docker

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"

	"nuage/api"
	"nuage/compute"
)

// Options says which Docker engine and for which cloud.
type Options struct {
	CloudID      string       // label nuage.cloud on all that is made; its last 8 characters are in all names
	Logger       *slog.Logger // nil: none
	Host         string       // as unix:///var/run/docker.sock; "": DOCKER_HOST, else the usual socket
	Guest        []byte       // the static guest binary for the engine's architecture; nil: no guest modes
	GuestVersion string       // distinguishes guest binaries: part of the name of the volume that holds one
	GuestVolume  string       // another name for that volume, for tests
	MaxLogBytes  int64        // what is kept of a workload's output, of a machine's four times that; 0: 2 MiB
	Publish      bool         // publish ports on loopback even where container addresses can be reached

	ClassicBuilder bool // build with the engine's classic builder even where it has BuildKit
}

const defaultLogBytes = 2 << 20

// Engine runs workloads as containers. It is safe for concurrent use.
type Engine struct {
	o      Options
	cli    *client.Client
	log    *slog.Logger
	prefix string // of every name
	arch   string
	routes bool   // this program can dial container addresses
	disk   string // see uncounted

	networks sync.Mutex // older engines make two networks of one name
	guest    sync.Mutex // one filling of the guest volume
	filled   string     // when the guest volume that was found whole was made
	whole    time.Time  // when it was found so last; zero: since then it may have become unused
	usage    usageCache
	holds    holds
	seen     seen
	given    addresses
	copies   locks // by volume, and by the id of what copies

	mostLayers int // of an image before a commit squashes
}

var (
	_ compute.Engine    = (*Engine)(nil)
	_ compute.Networks  = (*Engine)(nil)
	_ compute.Volumes   = (*Engine)(nil)
	_ compute.Images    = (*Engine)(nil)
	_ compute.Builder   = (*Engine)(nil)
	_ compute.Execer    = (*Engine)(nil)
	_ compute.Logger    = (*Engine)(nil)
	_ compute.Attacher  = (*Engine)(nil)
	_ compute.Stater    = (*Engine)(nil)
	_ compute.Remover   = (*Engine)(nil)
	_ compute.Copier    = (*Engine)(nil)
	_ compute.Committer = (*Engine)(nil)
)

// New connects to a Docker engine. Unavailable: it does not answer. Invalid: options. Unsupported: no Linux containers.
func New(ctx context.Context, o Options) (*Engine, error) {
	short := shortID(o.CloudID)
	if short == "" {
		return nil, api.Errorf(api.Invalid, "cannot use cloud id %q: no letters or digits", o.CloudID)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxLogBytes == 0 {
		o.MaxLogBytes = defaultLogBytes
	}
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if host := hostOf(o); host != "" {
		opts = append(opts, client.WithHost(host))
	}
	cli, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, api.Errorf(api.Invalid, "cannot use the Docker engine at %q: %w", o.Host, err)
	}
	e := &Engine{
		o: o, cli: cli, log: o.Logger, prefix: "nuage-" + short + "-", mostLayers: mostLayers,
		holds: holds{by: map[string]int{}}, copies: locks{held: map[string]chan struct{}{}},
		seen: seen{by: map[string]*memory{}}, given: addresses{by: map[string]map[string]string{}},
	}
	if err := e.learn(ctx); err != nil {
		return nil, closing(cli, err)
	}
	return e, nil
}

// hostOf is the engine's address where it is neither in the environment nor the usual one: Docker Desktop and a
// rootless engine have sockets of their own, which the docker command knows from its contexts.
func hostOf(o Options) string {
	if o.Host != "" || os.Getenv(client.EnvOverrideHost) != "" {
		return o.Host
	}
	usual, isUnix := strings.CutPrefix(client.DefaultDockerHost, "unix://")
	home, err := os.UserHomeDir()
	if !isUnix || err != nil || isSocket(usual) {
		return ""
	}
	for _, path := range []string{
		filepath.Join(home, ".docker/run/docker.sock"), filepath.Join(home, ".docker/desktop/docker.sock"),
		filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "docker.sock"),
	} {
		if filepath.IsAbs(path) && isSocket(path) {
			return "unix://" + path
		}
	}
	return ""
}

func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Type() == os.ModeSocket
}

// learn asks the engine what does not change while it runs.
func (e *Engine) learn(ctx context.Context) error {
	info, err := e.cli.Info(ctx)
	if err != nil {
		return failed(err, "reach the Docker engine")
	}
	if info.OSType != "" && info.OSType != "linux" {
		return api.Errorf(api.Unsupported, "cannot use the Docker engine: it runs %s containers, switch it to Linux ones", info.OSType)
	}
	e.arch, e.routes, e.disk = info.Architecture, e.canRoute(info), e.uncounted(info)
	return nil
}

// canRoute says whether this program can dial container addresses: the engine runs on this very kernel.
func (e *Engine) canRoute(info system.Info) bool {
	rootless := func(s string) bool { return strings.Contains(s, "name=rootless") }
	return !e.o.Publish && runtime.GOOS == "linux" && e.local() &&
		!strings.Contains(info.OperatingSystem, "Docker Desktop") && !slices.ContainsFunc(info.SecurityOptions, rootless)
}

// local says whether the engine is on this machine.
func (e *Engine) local() bool { return strings.HasPrefix(e.cli.DaemonHost(), "unix://") }

// Info describes the engine.
func (e *Engine) Info(ctx context.Context) (compute.Info, error) {
	info, err := e.cli.Info(ctx)
	if err != nil {
		return compute.Info{}, failed(err, "ask the Docker engine what it is")
	}
	out := compute.Info{Name: "docker", Version: info.ServerVersion, Real: true, Routes: e.canRoute(info)}
	var notes []string
	if !info.MemoryLimit || !info.CPUCfsQuota || !info.PidsLimit {
		notes = append(notes, "this kernel does not enforce every limit of CPU, memory and processes")
	}
	if !out.Routes {
		notes = append(notes, "ports are published on 127.0.0.1: container addresses can't be reached from here")
	}
	out.Note = strings.Join(notes, "; ")
	return out, nil
}

// Close closes the connection to the engine. Workloads run on.
func (e *Engine) Close() error {
	if err := e.cli.Close(); err != nil {
		return failed(err, "close the connection to the Docker engine")
	}
	return nil
}

// name is what the engine calls the thing with this id.
func (e *Engine) name(id string) string { return e.prefix + id }

// ours filters what carries this cloud's label, and further labels as key=value.
func (e *Engine) ours(labels ...string) filters.Args {
	f := filters.NewArgs(filters.Arg("label", compute.LabelCloud+"="+e.o.CloudID))
	for _, l := range labels {
		f.Add("label", l)
	}
	return f
}

// shortID is the last 8 letters and digits of a cloud id.
func shortID(id string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, id)
	return plain[max(0, len(plain)-8):]
}
