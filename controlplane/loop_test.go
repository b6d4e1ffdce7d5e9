package controlplane

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/sim"
	"nuage/storage"
)

// staged runs a script in fake time on a plane over a host with faults.
func staged(t *testing.T, script func(t *testing.T, s *scene)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := newScene(dir)
		must(t, err)
		script(t, s)
		must(t, s.end())
	})
}

// status is the instance x, as text.
func (s *scene) status(t *testing.T) string {
	t.Helper()
	i, err := s.cloud.Instances.Get(asCustomer(), "default", "x")
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s (%s)", i.Status.Phase, i.Status.Reason)
}

// within waits until the instance x says something, and returns how long that took.
func (s *scene) within(t *testing.T, want string) time.Duration {
	t.Helper()
	began := time.Now()
	for s.status(t) != want {
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("the instance is %s, never %s", s.status(t), want)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

const simulated = "running (simulated: no guest, so no SSH)"

// TestRepairs: what ends or vanishes is back at once where the engine tells of it, and with the resync where it does not.
func TestRepairs(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		i := s.instance(t)
		s.within(t, simulated)
		runs := func() bool {
			list, err := s.sim.List(t.Context())
			must(t, err)
			return len(list) == 1 && list[0].State == compute.StateRunning
		}
		for what, strike := range map[string]func(){
			"crash": func() { s.sim.Faults().Crash(i.ID, 1) }, "vanish": func() { s.sim.Faults().Vanish(i.ID) }, "half removed": func() { s.sim.Faults().Kill(i.ID) },
		} {
			for _, deaf := range []bool{false, true} {
				s.deaf.Store(deaf)
				time.Sleep(time.Minute) // so that it does not end twice in a row
				most := 2 * time.Second
				if deaf {
					most = 2 * resync
				}
				began := time.Now()
				strike()
				for !runs() && time.Since(began) < time.Minute {
					time.Sleep(10 * time.Millisecond)
				}
				if took := time.Since(began); took > most {
					t.Errorf("after a %s, deaf %v, it was back after %s, want %s at most", what, deaf, took, most)
				}
			}
		}
	})
}

// TestCrashLoop: a program that always ends is tried more and more seldom, its owner is told, and one that then stays up
// is forgiven.
func TestCrashLoop(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		i := s.instance(t)
		s.within(t, simulated)
		began, starts, crash := time.Now(), 0, true
		for time.Since(began) < 2*time.Minute {
			list, err := s.sim.List(t.Context())
			must(t, err)
			if crash && list[0].State == compute.StateRunning {
				starts++
				s.sim.Faults().Crash(i.ID, 7)
			}
			time.Sleep(10 * time.Millisecond)
		}
		// 0.2 s + 0.4 s + ... + 25.6 s + 30 s + 30 s
		if starts < 9 || starts > 12 {
			t.Errorf("it was started %d times in two minutes, want about 11", starts)
		}
		if got := s.status(t); !strings.HasPrefix(got, "failed (it exited with status 7, and has ended ") {
			t.Errorf("it is %s", got)
		}
		if n := len(s.loop.troubles()); n != 0 {
			t.Errorf("%d troubles: to wait is none", n)
		}
		crash = false
		time.Sleep(time.Minute)
		if got := s.status(t); got != simulated {
			t.Errorf("when it stays up it is %s", got)
		}
		s.sim.Faults().Crash(i.ID, 7)
		time.Sleep(time.Second)
		if got := s.status(t); got != simulated {
			t.Errorf("after one more end it is %s, want it back at once", got)
		}
	})
}

// TestTroubleIsTold: a step that fails says why, is tried again, and at once where its owner asks for something else.
func TestTroubleIsTold(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		for range 12 {
			s.sim.Faults().Fail("create", api.Errorf(api.Internal, "cannot create: no room"))
		}
		s.instance(t)
		s.within(t, "pending (cannot create: no room)")
		s.within(t, "failed (cannot create: no room)")
		time.Sleep(20 * time.Second)
		s.power(t, api.PowerStop) // it is made stopped
		s.within(t, "stopped (stopped by its owner)")
		s.sim.Faults().Fail("start", api.Errorf(api.Internal, "cannot start: no power"))
		s.power(t, api.PowerStart)
		if took := s.within(t, simulated); took > time.Second {
			t.Errorf("after one failure the start took %s", took)
		}
	})
}

// TestNoPassesForNothing: a loop at rest, or after a shutdown, does little more than resync.
func TestNoPassesForNothing(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		count := func(d time.Duration) uint64 {
			before := s.loop.nextPass()
			time.Sleep(d)
			return s.loop.nextPass() - before
		}
		s.instance(t)
		time.Sleep(time.Minute)
		if n := count(time.Minute); n > 20 {
			t.Errorf("at rest there were %d passes in a minute", n)
		}
		must(t, s.cloud.System.Shutdown(asCustomer()))
		if n := count(time.Minute); n > 20 {
			t.Errorf("after the shutdown there were %d passes in a minute", n)
		}
	})
}

func TestNextTry(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		l, now := p.loop, time.Now()
		for _, c := range []struct {
			what string
			set  func()
			want time.Duration
		}{
			{"nothing", func() {}, resync},
			{"a try in a second", func() { l.failing["a"] = trouble{next: now.Add(time.Second)} }, time.Second},
			{"one that is late", func() { l.failing["b"] = trouble{next: now.Add(-time.Second)} }, 10 * time.Millisecond},
			{"one in flight", func() { l.inFlight["b"] = true }, time.Second},
			{"something due", func() { l.dueAt(now.Add(time.Minute)); l.dueAt(now.Add(500 * time.Millisecond)) }, 500 * time.Millisecond},
			{"a shutdown", func() { l.due, l.halted = time.Time{}, true }, resync},
		} {
			c.set()
			if got := l.nextTry(); got != c.want {
				t.Errorf("with %s the next pass is in %s, want %s", c.what, got, c.want)
			}
		}
	})
}

// TestEngineGone: readiness says so, nothing is lost, and all goes on when it is back.
func TestEngineGone(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		s.instance(t)
		s.within(t, simulated)
		s.sim.Faults().Gone(true)
		time.Sleep(10 * time.Second)
		const want = "cannot reach the simulated engine: it was made to be gone"
		if err := s.Ready(); textOf(err) != want {
			t.Errorf("ready answers %v, want %s", err, want)
		}
		s.power(t, api.PowerStop)
		status, err := s.cloud.System.Status(asCustomer())
		must(t, err)
		if status.Ready || status.Engine != "sim" || status.EngineNote != want {
			t.Errorf("the status says ready %v, engine %q, note %q", status.Ready, status.Engine, status.EngineNote)
		}
		s.sim.Faults().Gone(false)
		if took := s.within(t, "stopped (stopped by its owner)"); took > 2*time.Second {
			t.Errorf("it went on after %s", took)
		}
		must(t, s.Ready())
	})
}

// TestGoneAtTheStart: the events are followed from when the engine answers.
func TestGoneAtTheStart(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		i := s.instance(t)
		s.within(t, simulated)
		s.sim.Faults().Gone(true)
		must(t, s.restart(false))
		time.Sleep(10 * time.Second)
		s.sim.Faults().Gone(false)
		time.Sleep(20 * time.Second)
		s.sim.Faults().Crash(i.ID, 1)
		time.Sleep(time.Second)
		if list, err := s.sim.List(t.Context()); err != nil || list[0].State != compute.StateRunning {
			t.Errorf("a second after its end it is %v: %v", list, err)
		}
	})
}

// TestShutdownWhileBusy: what is under way when the cloud is stopped ends or is cut off, and nothing runs after it.
func TestShutdownWhileBusy(t *testing.T) {
	for _, latency := range []time.Duration{0, 300 * time.Millisecond, 50 * time.Second} {
		staged(t, func(t *testing.T, s *scene) {
			for n := range 5 {
				_, err := s.cloud.Instances.Create(asCustomer(), "default", fmt.Sprint("i", n), api.InstanceSpec{Type: "nano"})
				must(t, err)
			}
			time.Sleep(time.Second)
			s.sim.Faults().Latency(latency)
			for n := range 5 {
				_, err := s.cloud.Instances.Power(asCustomer(), "default", fmt.Sprint("i", n), api.PowerReboot)
				must(t, err)
			}
			time.Sleep(100 * time.Millisecond)
			time.AfterFunc(21*time.Second, func() { s.sim.Faults().Latency(0) })
			must(t, s.cloud.System.Shutdown(asCustomer()))
			s.sim.Faults().Latency(0)
			time.Sleep(time.Minute)
			list, err := s.sim.List(t.Context())
			must(t, err)
			for _, o := range list {
				if o.State == compute.StateRunning {
					t.Errorf("with a latency of %s %s runs after the shutdown", latency, o.Name)
				}
			}
			if len(list) != 5 {
				t.Errorf("%d are left, want 5", len(list))
			}
			must(t, s.restart(false))
			time.Sleep(time.Minute)
			if err := converged(s); err != nil {
				t.Errorf("after the next start: %v", err)
			}
		})
	}
}

// TestDamagedRecordIsFoundAndLeftAlone: the pass that finds out does no harm already.
func TestDamagedRecordIsFoundAndLeftAlone(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		i := s.instance(t)
		s.within(t, simulated)
		broken := storage.NewTable("instances", func(*string) string { return i.ID }, storage.Unique("name", func(*string) string { return "default/x" }))
		must(t, s.Store.Update(func(tx *storage.Tx) error {
			if err := instanceTable.Delete(tx, i.ID); err != nil {
				return err
			}
			return broken.Put(tx, "no instance")
		}))
		time.Sleep(time.Minute)
		must(t, s.restart(false))
		time.Sleep(time.Minute)
		list, err := s.sim.List(t.Context())
		must(t, err)
		if len(list) != 1 || list[0].State != compute.StateRunning {
			t.Errorf("of an instance whose record does not decode there is %+v", list)
		}
		usage, err := s.usage(i.ID)
		must(t, err)
		if len(usage) != 1 || !usage[0].Open || usage[0].Quantity < (2*time.Minute).Milliseconds() {
			t.Errorf("it is metered as %+v", usage)
		}
	})
}

// TestDamagedRunStopsNothing: what can't be metered any more is run all the same, and so is everything else.
func TestDamagedRunStopsNothing(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		i := s.instance(t)
		time.Sleep(time.Minute)
		broken := storage.NewTable("runs", func(*string) string { return i.ID })
		must(t, s.Store.Update(func(tx *storage.Tx) error {
			if err := runTable.Delete(tx, i.ID); err != nil {
				return err
			}
			return broken.Put(tx, "no run")
		}))
		s.power(t, api.PowerReboot)
		_, err := s.cloud.Instances.Create(asCustomer(), "default", "y", api.InstanceSpec{Type: "nano", Private: true})
		must(t, err)
		time.Sleep(time.Minute)
		must(t, s.Ready())
		y, err := s.cloud.Instances.Get(asCustomer(), "default", "y")
		must(t, err)
		if s.status(t) != simulated || y.Status.Phase != api.Running {
			t.Errorf("they are %s and %s (%s)", s.status(t), y.Status.Phase, y.Status.Reason)
		}
		bill, err := s.cloud.Ledger.Bill(asCustomer(), api.BillQuery{})
		must(t, err)
		if len(bill.Lines) != 1 || bill.Lines[0].Resource != "y" {
			t.Errorf("on the bill are %+v", bill.Lines)
		}
	})
}

// TestRangeInUse: a project moves to another range while nothing is in it, and stays where something is.
func TestRangeInUse(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		lab, err := s.cloud.Projects.Create(asCustomer(), "lab", api.ProjectSpec{})
		must(t, err)
		time.Sleep(time.Second)
		must(t, s.sim.RemoveNetwork(t.Context(), networkID(lab)))
		must(t, s.neighbour().EnsureNetwork(t.Context(), compute.Network{ID: "theirs", CIDR: lab.Status.CIDR}))
		must(t, s.restart(false))
		time.Sleep(time.Minute)
		moved, err := s.cloud.Projects.Get(asCustomer(), "lab")
		must(t, err)
		if moved.Status.CIDR == lab.Status.CIDR {
			t.Errorf("the project still has %s", lab.Status.CIDR)
		}
		if err := converged(s); err != nil {
			t.Error(err)
		}
	})
}

// neighbour is another cloud on the same host.
func (s *scene) neighbour() *sim.Engine {
	return sim.New(sim.Options{CloudID: "cloud-neighbour", State: s.host})
}

// TestStatusOfWhatWaitsForItsImage says what is wrong with the engine, and goes on.
func TestStatusOfWhatWaitsForItsImage(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		time.Sleep(time.Second)
		for range 5 { // no pass before the check of the create is over
			s.sim.Faults().Fail("list", api.Errorf(api.Unavailable, "cannot list: no line"))
		}
		_, err := s.cloud.Apps.Create(asCustomer(), "default", "web", api.AppSpec{Image: "web:1"})
		must(t, err)
		for range 8 {
			s.sim.Faults().Fail("image", api.Errorf(api.Unavailable, "cannot ask: no line"))
		}
		time.Sleep(10 * time.Second)
		a, err := s.cloud.Apps.Get(asCustomer(), "default", "web")
		must(t, err)
		if a.Status.Phase != api.Pending || a.Status.Reason != "release 1: cannot ask: no line" {
			t.Errorf("it is %s (%s)", a.Status.Phase, a.Status.Reason)
		}
		a, err = s.cloud.Apps.Wait(asCustomer(), "default", "web", 5*time.Minute)
		if err != nil || a.Status.Phase != api.Running || a.Status.Release != 1 {
			t.Errorf("in the end it is %s (%s): %v", a.Status.Phase, a.Status.Reason, err)
		}
	})
}

func TestStatusOfWhatWaitsForItsNetwork(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		time.Sleep(time.Second)
		for range 6 {
			s.sim.Faults().Fail("network", api.Errorf(api.Unavailable, "cannot make the network: no cable"))
		}
		_, err := s.cloud.Projects.Create(asCustomer(), "lab", api.ProjectSpec{})
		must(t, err)
		_, err = s.cloud.Instances.Create(asCustomer(), "lab", "x", api.InstanceSpec{Type: "nano"})
		must(t, err)
		time.Sleep(time.Second)
		i, err := s.cloud.Instances.Get(asCustomer(), "lab", "x")
		must(t, err)
		if i.Status.Phase != api.Pending || i.Status.Reason != "cannot make the network: no cable" {
			t.Errorf("it is %s (%s)", i.Status.Phase, i.Status.Reason)
		}
		i, err = s.cloud.Instances.Wait(asCustomer(), "lab", "x", 5*time.Minute)
		if err != nil || i.Status.Phase != api.Running {
			t.Errorf("in the end it is %s (%s): %v", i.Status.Phase, i.Status.Reason, err)
		}
	})
}

// TestProjectsEnd with their networks, and a new one of the same name has nothing of the old.
func TestProjectsEnd(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		ctx := asCustomer()
		_, err := s.cloud.Projects.Create(ctx, "lab", api.ProjectSpec{})
		must(t, err)
		_, err = s.cloud.Instances.Create(ctx, "lab", "x", api.InstanceSpec{Type: "nano"})
		must(t, err)
		time.Sleep(time.Second)
		must(t, s.cloud.Comparisons.Measure(ctx, "lab", api.Measurement{Subject: "x", Name: "recovery", Unit: "s", Value: "1"}))
		if err := s.cloud.Projects.Delete(ctx, "lab"); textOf(err) != `cannot delete project "lab": it still has instance "x"; delete that first` {
			t.Errorf("deleting what is not empty answers %v", err)
		}
		must(t, s.cloud.Instances.Delete(ctx, "lab", "x", 0))
		if _, err := s.cloud.Instances.Wait(ctx, "lab", "x", time.Minute); !errors.Is(err, api.NotFound) {
			t.Fatalf("the instance is not gone: %v", err)
		}
		must(t, s.cloud.Projects.Delete(ctx, "lab"))
		_, err = s.cloud.Projects.Create(ctx, "lab", api.ProjectSpec{})
		must(t, err)
		i, err := s.cloud.Instances.Create(ctx, "lab", "x", api.InstanceSpec{Type: "nano"})
		must(t, err)
		time.Sleep(time.Minute)
		i, err = s.cloud.Instances.Get(ctx, "lab", "x")
		must(t, err)
		if !strings.HasSuffix(i.Status.Address, ".10") {
			t.Errorf("its address is %s, want the first", i.Status.Address)
		}
		c, err := s.cloud.Comparisons.Compare(ctx, "lab", nil)
		must(t, err)
		for _, m := range c.Measures {
			if m.Name == "recovery" {
				t.Errorf("the new project has the figure %+v", m)
			}
		}
		if err := converged(s); err != nil {
			t.Error(err)
		}
	})
}

// TestAnotherTryBeginsAfresh: what was said of the last one in vain is not the answer to something else that was asked for.
func TestAnotherTryBeginsAfresh(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		s.sim.Faults().Fail("create", api.Errorf(api.Invalid, "cannot make it: a test says so"))
		s.make(t, api.InstanceSpec{Type: "nano"})
		s.within(t, "failed (cannot make it: a test says so)")
		_, err := s.cloud.Instances.Update(asCustomer(), "default", "x", api.InstanceSpec{Type: "micro"}, 0)
		must(t, err)
		i, err := s.cloud.Instances.Wait(asCustomer(), "default", "x", time.Minute)
		must(t, err)
		if i.Status.Phase != api.Running {
			t.Errorf("it is %s (%s)", i.Status.Phase, i.Status.Reason)
		}
	})
}
