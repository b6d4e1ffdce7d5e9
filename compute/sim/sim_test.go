package sim_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/computetest"
	"nuage/compute/sim"
)

func TestConformance(t *testing.T) {
	state := sim.NewState()
	var serial atomic.Int64
	images := map[string]compute.Image{"nuage/tiny:1": {}}
	open := func(_ *testing.T, cloud string) compute.Engine {
		return sim.New(sim.Options{CloudID: cloud, State: state, Images: images})
	}
	computetest.Run(t, open, computetest.Options{
		Image: "nuage/tiny:1", Missing: "nuage/missing:1", Sleep: []string{"sleep", "1000"},
		Network: func(*testing.T) compute.Network {
			n := serial.Add(1)
			return compute.Network{ID: fmt.Sprint("net-", n), Project: "default", Name: "net", CIDR: fmt.Sprintf("10.9.%d.0/28", n)}
		},
		Vanish: func(t *testing.T, cloud, id string) {
			sim.New(sim.Options{CloudID: cloud, State: state}).Faults().Vanish(id)
		},
		Load: func(t *testing.T, cloud, id string) {
			use := compute.Stats{CPUNanos: 1e9, MemoryBytes: 1 << 20, Pids: 2}
			sim.New(sim.Options{CloudID: cloud, State: state}).Faults().Load(id, use)
		},
		DropNetwork: func(t *testing.T, cloud, id string) {
			sim.New(sim.Options{CloudID: cloud, State: state}).Faults().Drop(id)
		},
	})
}

// workload is the least there is.
func workload(id string) compute.Workload { return compute.Workload{ID: id, Image: "debian"} }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func one(t *testing.T, e *sim.Engine) compute.Observed {
	t.Helper()
	all, err := e.List(t.Context())
	must(t, err)
	if len(all) != 1 {
		t.Fatalf("want one workload, there are %+v", all)
	}
	return all[0]
}

func TestFailDoesNothingAndLoseDoes(t *testing.T) {
	e := sim.New(sim.Options{})
	broken := api.Errorf(api.Unavailable, "cannot go on")
	e.Faults().Fail("create", broken)
	if err := e.Create(t.Context(), workload("w")); !errors.Is(err, broken) {
		t.Fatalf("Create answers %v", err)
	}
	all, err := e.List(t.Context())
	must(t, err)
	if len(all) != 0 {
		t.Fatalf("a failed Create made %+v", all)
	}
	e.Faults().Lose("create", broken)
	if err := e.Create(t.Context(), workload("w")); !errors.Is(err, broken) {
		t.Fatalf("Create answers %v", err)
	}
	if o := one(t, e); o.State != compute.StateCreated {
		t.Fatalf("a lost Create made %+v", o)
	}
	must(t, e.Create(t.Context(), workload("w")))
}

func TestCrashes(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	e := sim.New(sim.Options{Clock: func() time.Time { return now }})
	for _, c := range []struct {
		fault func(*sim.Faults)
		state compute.State
		exit  int
		oom   bool
	}{
		{func(f *sim.Faults) { f.Crash("w", 3) }, compute.StateExited, 3, false},
		{func(f *sim.Faults) { f.OutOfMemory("w") }, compute.StateExited, 137, true},
		{func(f *sim.Faults) { f.Kill("w") }, compute.StateDead, 137, false},
	} {
		must(t, e.Create(t.Context(), workload("w")))
		must(t, e.Start(t.Context(), "w"))
		c.fault(e.Faults())
		if o := one(t, e); o.State != c.state || o.ExitCode != c.exit || o.OOMKilled != c.oom || !o.FinishedAt.Equal(now) {
			t.Errorf("want %+v, is %+v", c, o)
		}
	}
	if err := e.Start(t.Context(), "w"); !errors.Is(err, api.Conflict) {
		t.Errorf("starting a dead workload answers %v", err)
	}
}

func TestGone(t *testing.T) {
	e := sim.New(sim.Options{})
	events, err := e.Watch(t.Context())
	must(t, err)
	e.Faults().Gone(true)
	const message = "cannot reach the simulated engine: it was made to be gone"
	if _, err := e.List(t.Context()); !errors.Is(err, api.Unavailable) || err.Error() != message {
		t.Errorf("List answers %v", err)
	}
	e.Faults().Gone(false)
	must(t, e.Create(t.Context(), workload("w")))
	if ev := <-events; ev.What != "lost" || ev.ID != "" {
		t.Errorf("first event is %+v", ev)
	}
	if ev := <-events; ev.What != "create" || ev.ID != "w" {
		t.Errorf("second event is %+v", ev)
	}
}

func TestLoseEvents(t *testing.T) {
	e := sim.New(sim.Options{})
	events, err := e.Watch(t.Context())
	must(t, err)
	e.Faults().LoseEvents(true)
	must(t, e.Create(t.Context(), workload("w")))
	e.Faults().LoseEvents(false)
	must(t, e.Start(t.Context(), "w"))
	if ev := <-events; ev.What != "start" {
		t.Errorf("first event is %+v", ev)
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := sim.New(sim.Options{})
		e.Faults().Latency(time.Hour)
		start := time.Now()
		must(t, e.Create(t.Context(), workload("w")))
		if took := time.Since(start); took != time.Hour {
			t.Errorf("Create took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := e.Start(ctx, "w"); !errors.Is(err, api.Unavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a Start that takes too long answers %v", err)
		}
		e.Faults().Latency(0)
		if o := one(t, e); o.State != compute.StateCreated {
			t.Errorf("a Start that took too long made it %s", o.State)
		}
	})
}

func TestAnyImage(t *testing.T) {
	e := sim.New(sim.Options{})
	a, err := e.Image(t.Context(), "debian", 0)
	must(t, err)
	b, err := e.Image(t.Context(), "docker.io/library/debian:latest", 0)
	must(t, err)
	if a.ID != b.ID || !compute.IsImageID(a.ID) {
		t.Errorf("one image has the ids %q and %q", a.ID, b.ID)
	}
	must(t, e.RemoveImage(t.Context(), "debian"))
	if _, err := e.Image(t.Context(), "debian", 0); !errors.Is(err, api.NotFound) {
		t.Errorf("a removed image answers %v", err)
	}
}

func TestFullNetwork(t *testing.T) {
	e := sim.New(sim.Options{})
	must(t, e.EnsureNetwork(t.Context(), compute.Network{ID: "net-1", CIDR: "10.0.0.0/29"}))
	for i := range 5 {
		w := workload(fmt.Sprint("w", i))
		w.Network = "net-1"
		must(t, e.Create(t.Context(), w))
	}
	w := workload("w6")
	w.Network = "net-1"
	err := e.Create(t.Context(), w)
	if !errors.Is(err, api.Conflict) || err.Error() != `cannot create "w6": network "net-1" (10.0.0.0/29) has no free address` {
		t.Errorf("Create answers %v", err)
	}
}

func TestVolumeFills(t *testing.T) {
	e := sim.New(sim.Options{})
	must(t, e.EnsureVolume(t.Context(), compute.Volume{ID: "vol-1"}))
	e.Faults().Fill("vol-1", 42)
	n, err := e.VolumeBytes(t.Context(), "vol-1")
	must(t, err)
	if n != 42 {
		t.Errorf("VolumeBytes is %d", n)
	}
}

func TestLoad(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	e := sim.New(sim.Options{Clock: func() time.Time { return now }})
	uses := func(want compute.Stats) {
		t.Helper()
		got, err := e.Stats(t.Context(), "w")
		must(t, err)
		if got != want {
			t.Errorf("it uses %+v, want %+v", got, want)
		}
	}
	must(t, e.Create(t.Context(), workload("w")))
	uses(compute.Stats{})
	must(t, e.Start(t.Context(), "w"))
	now = now.Add(time.Minute)
	uses(compute.Stats{Pids: 1})
	e.Faults().Load("w", compute.Stats{CPUNanos: 500e6, RxBytes: 10, MemoryBytes: 99, Pids: 3})
	now = now.Add(4 * time.Second)
	uses(compute.Stats{CPUNanos: 2e9, RxBytes: 40, MemoryBytes: 99, Pids: 3})
	e.Faults().Load("w", compute.Stats{CPUNanos: 1e9})
	now = now.Add(time.Second)
	uses(compute.Stats{CPUNanos: 3e9, RxBytes: 40, Pids: 1})
	must(t, e.Stop(t.Context(), "w", 0))
	uses(compute.Stats{})
	must(t, e.Start(t.Context(), "w"))
	now = now.Add(time.Second)
	uses(compute.Stats{CPUNanos: 1e9, Pids: 1})
}

func TestCopyFills(t *testing.T) {
	e := sim.New(sim.Options{})
	for _, id := range []string{"vol-1", "vol-2"} {
		must(t, e.EnsureVolume(t.Context(), compute.Volume{ID: id}))
		e.Faults().Fill(id, int64(len(id)))
	}
	e.Faults().Fill("vol-1", 42)
	must(t, e.CopyVolume(t.Context(), "vol-1", "vol-2"))
	if n, err := e.VolumeBytes(t.Context(), "vol-2"); n != 42 || err != nil {
		t.Errorf("the copy takes %d bytes, %v", n, err)
	}
}
