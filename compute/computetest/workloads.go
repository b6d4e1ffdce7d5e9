package computetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
)

func lifecycle(t *testing.T, s *suite) {
	ctx := t.Context()
	same(t, s.states(t), []string{})
	w := s.made(t, s.workload("w"))
	o := s.one(t, "w")
	if o.Engine == "" || !o.StartedAt.IsZero() || !o.FinishedAt.IsZero() {
		t.Errorf("created but not started: %+v", o)
	}
	o.Engine = ""
	same(t, o, compute.Observed{
		ID: "w", Owner: "i-w", Kind: "app", Project: "default", Name: "name-of-w", Generation: 7, Template: w.Template(),
		Image: s.Image, State: compute.StateCreated, Limits: w.Limits,
	})
	for range 2 {
		ok(t, s.Start(ctx, "w"))
		o = s.one(t, "w")
		same(t, o.State, compute.StateRunning)
		if o.StartedAt.IsZero() || !o.FinishedAt.IsZero() {
			t.Errorf("times of a running workload: %v, %v", o.StartedAt, o.FinishedAt)
		}
	}
	for range 2 {
		ok(t, s.Stop(ctx, "w", 0))
		o = s.one(t, "w")
		same(t, o.State, compute.StateExited)
		if o.FinishedAt.Before(o.StartedAt) || o.OOMKilled {
			t.Errorf("a stopped workload: %+v", o)
		}
	}
	ok(t, s.Start(ctx, "w"))
	same(t, s.states(t), []string{"w=running"})
	for range 2 {
		ok(t, s.Remove(ctx, "w"))
		same(t, s.states(t), []string{})
	}
	ok(t, s.Stop(ctx, "w", time.Second))
	code(t, s.Start(ctx, "w"), api.NotFound, "")
	code(t, s.Update(ctx, "w", w.Limits), api.NotFound, "")
}

// createAgain: the same template is the same container, another one is refused and changes nothing.
func createAgain(t *testing.T, s *suite) {
	ctx := t.Context()
	w := s.made(t, s.workload("w"))
	before := s.one(t, "w")
	live := w
	live.Generation, live.Running, live.Limits.MilliCPU = 8, true, 500
	ok(t, s.Create(ctx, live))
	same(t, s.one(t, "w"), before)
	other := w
	other.Env = map[string]string{"A": "2"}
	code(t, s.Create(ctx, other), api.Conflict, `cannot create "w": it exists with other settings; remove it first`)
	same(t, s.one(t, "w"), before)
	ok(t, s.Start(ctx, "w"))
	ok(t, s.Create(ctx, w))
	same(t, s.states(t), []string{"w=running"})
	ok(t, s.Remove(ctx, "w"))
	ok(t, s.Create(ctx, other))
	if o := s.one(t, "w"); o.Engine == before.Engine || o.Template != other.Template() {
		t.Errorf("made anew, it is still %+v", o)
	}
}

func createAtOnce(t *testing.T, s *suite) {
	w := s.workload("w")
	ok(t, errors.Join(atOnce(8, func(int) error { return s.Create(t.Context(), w) })...))
	same(t, s.states(t), []string{"w=created"})
	ok(t, errors.Join(atOnce(8, func(int) error { return s.Start(t.Context(), "w") })...))
	same(t, s.states(t), []string{"w=running"})
	ok(t, errors.Join(atOnce(8, func(int) error { return s.Remove(t.Context(), "w") })...))
	same(t, s.states(t), []string{})
}

// verbsAtOnce: creations and removals of one id in any order end, answer nothing worse than a Conflict or NotFound,
// and a last removal leaves nothing.
func verbsAtOnce(t *testing.T, s *suite) {
	ctx := t.Context()
	w := s.workload("w")
	for _, err := range atOnce(9, func(i int) error {
		switch i % 3 {
		case 0:
			return s.Create(ctx, w)
		case 1:
			return s.Start(ctx, "w")
		}
		return s.Remove(ctx, "w")
	}) {
		if err != nil && !errors.Is(err, api.NotFound) && !errors.Is(err, api.Conflict) {
			t.Error(err)
		}
	}
	ok(t, s.Remove(ctx, "w"))
	same(t, s.states(t), []string{})
	s.started(t, w)
	same(t, s.states(t), []string{"w=running"})
}

func atOnce(n int, act func(int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = act(i) })
	}
	wg.Wait()
	return errs
}

func refused(t *testing.T, s *suite) {
	for message, change := range map[string]func(*compute.Workload){
		`cannot use id "": letters, digits, dots, dashes and underscores only, 128 at most`:    func(w *compute.Workload) { w.ID = "" },
		`cannot use id "a b": letters, digits, dots, dashes and underscores only, 128 at most`: func(w *compute.Workload) { w.ID = "a b" },
		`cannot create "w": it names no image`:                                                 func(w *compute.Workload) { w.Image = "" },
		`cannot create "w": it has address 10.0.0.5 but no network`:                            func(w *compute.Workload) { w.Address = "10.0.0.5" },
		`cannot create "w": 70000 is no port, use 1 to 65535`:                                  func(w *compute.Workload) { w.Ports = []int{80, 70000} },
		`cannot create "w": mount path "data" is not absolute`: func(w *compute.Workload) {
			w.Mounts = []compute.Mount{{Volume: "v", Path: "data"}}
		},
		`cannot create "w": the mount at "/data" needs either a volume or a host directory`: func(w *compute.Workload) {
			w.Mounts = []compute.Mount{{Path: "/data"}}
		},
		`cannot create "w": host directory "/var/run/docker.sock" may not be mounted`: func(w *compute.Workload) {
			w.Mounts = []compute.Mount{{Host: "/var/run/docker.sock", Path: "/s"}}
		},
		`cannot create "w": capability "SYS_ADMIN" is not for workloads`: func(w *compute.Workload) { w.Caps = []string{"CHOWN", "SYS_ADMIN"} },
		`cannot create "w": capability "NET_RAW" is not for workloads`:   func(w *compute.Workload) { w.Caps = []string{"NET_RAW"} },
		`cannot create "w": there is no guest mode "vm"`:                 func(w *compute.Workload) { w.Guest = "vm" },
		`cannot use limits below zero: cpu -1, memory 0, pids 0`:         func(w *compute.Workload) { w.Limits = compute.Limits{MilliCPU: -1} },
		`cannot limit memory to 4096 bytes: 6291456 is the least`:        func(w *compute.Workload) { w.Limits.MemoryBytes = 4096 },
		`cannot limit CPU to 1 thousandths: 10 is the least`:             func(w *compute.Workload) { w.Limits.MilliCPU = 1 },
	} {
		w := s.workload("w")
		change(&w)
		code(t, s.Create(t.Context(), w), api.Invalid, message)
	}
	same(t, s.states(t), []string{})
}

// missing: what a workload refers to must be there, and nothing is made up or left when it is not.
func missing(t *testing.T, s *suite) {
	ctx := t.Context()
	w := s.workload("w")
	w.Image = s.Missing
	code(t, s.Create(ctx, w), api.NotFound, "")
	w = s.workload("w")
	w.Network = "net-none"
	code(t, s.Create(ctx, w), api.NotFound, "")
	w = s.workload("w")
	w.Mounts = []compute.Mount{{Volume: "vol-none", Path: "/data"}}
	code(t, s.Create(ctx, w), api.NotFound, "")
	same(t, s.states(t), []string{})
	if v, is := s.Engine.(compute.Volumes); is {
		all, err := v.ListVolumes(ctx)
		ok(t, err)
		same(t, all, []compute.Volume{})
	}
}

func limits(t *testing.T, s *suite) {
	ctx := t.Context()
	s.started(t, s.workload("w"))
	steps := []struct{ ask, get compute.Limits }{
		{compute.Limits{MilliCPU: 500, MemoryBytes: 128 << 20, Pids: 100}, compute.Limits{MilliCPU: 500, MemoryBytes: 128 << 20, Pids: 100}},
		{compute.Limits{MilliCPU: 8000}, compute.Limits{MilliCPU: 8000, MemoryBytes: 128 << 20, Pids: 100}},
		{compute.Limits{MemoryBytes: 32 << 20, Pids: 20}, compute.Limits{MilliCPU: 8000, MemoryBytes: 32 << 20, Pids: 20}},
	}
	for _, step := range steps {
		ok(t, s.Update(ctx, "w", step.ask))
		same(t, s.one(t, "w").Limits, step.get)
	}
	same(t, s.states(t), []string{"w=running"})
	ok(t, s.Stop(ctx, "w", 0))
	ok(t, s.Update(ctx, "w", compute.Limits{MilliCPU: 300, MemoryBytes: 256 << 20, Pids: 30}))
	ok(t, s.Start(ctx, "w"))
	same(t, s.one(t, "w").Limits, compute.Limits{MilliCPU: 300, MemoryBytes: 256 << 20, Pids: 30})
	code(t, s.Update(ctx, "w", compute.Limits{Pids: -1}), api.Invalid, "")
	if s.Real {
		w := s.workload("fat")
		w.Command = s.Shell("dd if=/dev/zero of=/dev/shm/x bs=1M count=30; sleep 1000")
		s.started(t, w)
		eventually(t, "it cannot go below the 30 MiB it holds", func() bool {
			return errors.Is(s.Update(ctx, "fat", compute.Limits{MemoryBytes: 10 << 20}), api.Conflict) || s.back(t, "fat", w.Limits)
		})
		same(t, s.one(t, "fat").Limits, w.Limits)
		same(t, s.one(t, "fat").State, compute.StateRunning)
	}
	w := s.workload("free")
	w.Limits = compute.Limits{}
	s.made(t, w)
	same(t, s.one(t, "free").Limits, compute.Limits{})
}

// back sets limits again that a test has changed too early.
func (s *suite) back(t *testing.T, id string, l compute.Limits) bool {
	t.Helper()
	ok(t, s.Update(t.Context(), id, l))
	return false
}

func behindTheBack(t *testing.T, s *suite) {
	w := s.started(t, s.workload("w"))
	s.started(t, s.workload("x"))
	before := s.one(t, "w")
	s.Vanish(t, s.cloud, "w")
	same(t, s.states(t), []string{"x=running"})
	code(t, s.Start(t.Context(), "w"), api.NotFound, "")
	s.started(t, w)
	if o := s.one(t, "w"); o.Engine == before.Engine {
		t.Errorf("made anew, it has the old engine id %q", o.Engine)
	}
}

// adopted: a second connection, as of a restarted control plane, finds all and goes on with it.
func adopted(t *testing.T, s *suite) {
	w := s.started(t, s.workload("w"))
	before := s.all(t)
	again := *s
	again.Engine = s.connect(t, s.cloud)
	same(t, again.all(t), before)
	ok(t, again.Create(t.Context(), w))
	same(t, again.all(t), before)
	ok(t, again.Remove(t.Context(), "w"))
	same(t, s.states(t), []string{})
}

// clouds: two clouds on one engine don't see each other.
func clouds(t *testing.T, s *suite) {
	ctx := t.Context()
	other := *s
	other.cloud = randomID("cloud")
	other.Engine = s.connect(t, other.cloud)
	w := s.workload("w")
	s.started(t, w)
	w.Name = "another"
	other.made(t, w)
	same(t, other.states(t), []string{"w=created"})
	same(t, s.one(t, "w").Name, "name-of-w")
	ok(t, s.Stop(ctx, "w", 0))
	ok(t, s.Remove(ctx, "w"))
	same(t, other.states(t), []string{"w=created"})
}

func watch(t *testing.T, s *suite) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := s.Watch(ctx)
	ok(t, err)
	s.started(t, s.workload("w"))
	ok(t, s.Stop(ctx, "w", 0))
	ok(t, s.Start(ctx, "w"))
	s.Vanish(t, s.cloud, "w")
	var seen []string
	for !slices.Contains(seen, "w destroy") {
		select {
		case e := <-events:
			seen = append(seen, e.ID+" "+e.What)
			if e.Time.IsZero() {
				t.Errorf("event %+v has no time", e)
			}
		case <-time.After(patience):
			t.Fatalf("events so far: %q", seen)
		}
	}
	same(t, seen, []string{"w create", "w start", "w die", "w start", "w die", "w destroy"})
	cancel()
	eventually(t, "the channel is closed", func() bool {
		select {
		case _, open := <-events:
			return !open
		default:
			return false
		}
	})
}
