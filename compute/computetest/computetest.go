// Package computetest is what every compute engine has to do alike: run Run from the engine's own tests. Abilities
// that an engine lacks are left out, things that only a real engine can show too.
package computetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
	"nuage/compute"
)

// Open connects to the engine as the cloud with this id. Two connections of one cloud see the same things.
type Open func(t *testing.T, cloud string) compute.Engine

// Options is what the suite needs to know of the engine.
type Options struct {
	Image   string                // an image with a shell
	Missing string                // a well-formed reference of an image that is not there
	Sleep   []string              // a command that runs until SIGTERM or SIGKILL
	Shell   func(string) []string // the command that runs a shell line
	// Network returns a network whose range is free, another one each time.
	Network func(t *testing.T) compute.Network
	// Vanish removes a workload as a stranger would.
	Vanish func(t *testing.T, cloud, id string)
	// Freeze holds a workload as a copy does whose process is killed; nil: the engine holds nothing.
	Freeze func(t *testing.T, cloud, id string)
	// Load keeps a workload busy; nil: a shell does.
	Load func(t *testing.T, cloud, id string)
	// DropNetwork removes a network as a stranger would.
	DropNetwork func(t *testing.T, cloud, id string)
	Real        bool // commands really run
	Echo        bool // the engine's guest is one that answers each line of stdin with "echo: LINE", and writes "ready" to stderr
	Build       bool // build an image from Image
}

// Run runs the suite. Each test has a cloud of its own and leaves nothing.
func Run(t *testing.T, open Open, o Options) {
	for name, test := range map[string]func(*testing.T, *suite){
		"lifecycle": lifecycle, "create again": createAgain, "create at once": createAtOnce, "verbs at once": verbsAtOnce,
		"refused": refused, "missing": missing, "limits": limits, "behind the back": behindTheBack,
		"adopted": adopted, "clouds": clouds, "watch": watch, "remove all": removeAll,
		"networks": networks, "addresses": addresses, "volumes": volumes, "images": images,
		"sizes": sizes, "mounts": mounts, "copy": copies, "exact copy": copied, "moment of a copy": moment, "left held": left,
		"commit": commits, "committed": committed, "network made again": networkAgain, "joins": joins, "stats at once": statsAtOnce,
		"exit": exits, "logs": logs, "exec": execs, "attach": attach, "stats": stats, "endpoints": endpoints, "build": builds,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &suite{Options: o, open: open, cloud: randomID("cloud")}
			s.Engine = s.connect(t, s.cloud)
			test(t, s)
		})
	}
}

// suite is one test's engine.
type suite struct {
	Options
	compute.Engine
	open  Open
	cloud string
}

const (
	patience = 30 * time.Second // for anything to become true
	pace     = 10 * time.Millisecond
)

// connect opens the engine and removes at the end all that the cloud has.
func (s *suite) connect(t *testing.T, cloud string) compute.Engine {
	t.Helper()
	e := s.open(t, cloud)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if r, ok := e.(compute.Remover); ok {
			if err := r.RemoveAll(ctx); err != nil {
				t.Errorf("RemoveAll at the end: %v", err)
			}
		}
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return e
}

// workload is one that runs until it is stopped.
func (s *suite) workload(id string) compute.Workload {
	return compute.Workload{
		ID: id, Owner: "i-" + id, Kind: compute.KindApp, Project: "default", Name: "name-of-" + id, Generation: 7,
		Image: s.Image, Command: s.Sleep, Env: map[string]string{"A": "1"},
		Limits: compute.Limits{MilliCPU: 250, MemoryBytes: 64 << 20, Pids: 50},
	}
}

// made creates, and starts too.
func (s *suite) made(t *testing.T, w compute.Workload) compute.Workload {
	t.Helper()
	ok(t, s.Create(t.Context(), w))
	return w
}

func (s *suite) started(t *testing.T, w compute.Workload) compute.Workload {
	t.Helper()
	s.made(t, w)
	ok(t, s.Start(t.Context(), w.ID))
	return w
}

// one is the workload as List shows it.
func (s *suite) one(t *testing.T, id string) compute.Observed {
	t.Helper()
	for _, o := range s.all(t) {
		if o.ID == id {
			return o
		}
	}
	t.Fatalf("List lacks %q", id)
	return compute.Observed{}
}

func (s *suite) all(t *testing.T) []compute.Observed {
	t.Helper()
	all, err := s.List(t.Context())
	ok(t, err)
	return all
}

// ids are the workloads' ids and states, as "a=running".
func (s *suite) states(t *testing.T) []string {
	t.Helper()
	out := []string{}
	for _, o := range s.all(t) {
		out = append(out, fmt.Sprintf("%s=%s", o.ID, o.State))
	}
	return out
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// code expects an error with the code and, where text is not empty, exactly that message.
func code(t *testing.T, err error, want api.Code, text string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v (%s), want %s", err, api.CodeOf(err), want)
	}
	if text != "" && err.Error() != text {
		t.Errorf("message differs:\n is   %s\n want %s", err, text)
	}
}

func same(t *testing.T, is, want any) {
	t.Helper()
	if d := cmp.Diff(want, is); d != "" {
		t.Errorf("differs (- wanted, + is):\n%s", d)
	}
}

// eventually polls until check is true.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !check(); {
		if time.Now().After(end) {
			t.Fatalf("never came true: %s", what)
		}
		time.Sleep(pace)
	}
}

func randomID(kind string) string {
	b := make([]byte, 8)
	if _, err := rand.Read(b); err != nil {
		panic(err) // it never fails
	}
	return kind + "-" + hex.EncodeToString(b)
}
