package controlplane

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"nuage/api"
	"nuage/storage"
)

// usage is all that was metered, of one resource where an id is given: oldest first.
func (s *scene) usage(id string) (all []api.Usage, err error) {
	err = s.Store.View(func(tx *storage.Tx) error {
		return s.eachUsage(tx, func(u api.Usage) error {
			if id == "" || u.ResourceID == id {
				all = append(all, u)
			}
			return nil
		})
	})
	slices.SortFunc(all, func(a, b api.Usage) int {
		return cmp.Or(a.Start.Compare(b.Start), strings.Compare(a.Meter, b.Meter))
	})
	return all, err
}

// spoken is usage in short: meter, from and to in seconds since the test began.
func spoken(all []api.Usage, since time.Time) string {
	var out []string
	for _, u := range all {
		s := fmt.Sprintf("%s %v-%v", u.Meter, u.Start.Sub(since).Seconds(), u.End.Sub(since).Seconds())
		if u.Open {
			s += " open"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// metering runs a script in fake time and compares what was metered in it.
func metering(t *testing.T, want string, script func(t *testing.T, s *scene)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := newScene(dir)
		must(t, err)
		began := time.Now()
		script(t, s)
		synctest.Wait()
		all, err := s.usage("")
		must(t, err)
		if got := spoken(all, began); got != want {
			t.Errorf("metered is %q, want %q", got, want)
		}
		must(t, s.end())
	})
}

func (s *scene) power(t *testing.T, action api.PowerAction) {
	t.Helper()
	_, err := s.cloud.Instances.Power(asCustomer(), "default", "x", action)
	must(t, err)
}

func (s *scene) instance(t *testing.T) api.Instance {
	t.Helper()
	return s.make(t, api.InstanceSpec{Type: "nano", Private: true})
}

func (s *scene) make(t *testing.T, spec api.InstanceSpec) api.Instance {
	t.Helper()
	i, err := s.cloud.Instances.Create(asCustomer(), "default", "x", spec)
	must(t, err)
	return i
}

func TestMeteringOfStopAndStart(t *testing.T) {
	metering(t, "instance-hours:nano 0-10, instance-hours:nano 70-71 open", func(t *testing.T, s *scene) {
		s.instance(t)
		time.Sleep(10 * time.Second)
		s.power(t, api.PowerStop)
		time.Sleep(time.Minute)
		s.power(t, api.PowerStart)
		time.Sleep(time.Second)
	})
}

// TestMeteringOfAPublicAddress: its runs are those of the machine, to the millisecond, and it is metered while the machine runs.
func TestMeteringOfAPublicAddress(t *testing.T) {
	want := "public-address-hours 0-10, spot-hours:micro 0-10, public-address-hours 70-75, spot-hours:micro 70-75, public-address-hours 75-76 open, spot-hours:micro 75-76 open"
	metering(t, want, func(t *testing.T, s *scene) {
		s.make(t, api.InstanceSpec{Type: "micro", Spot: true})
		time.Sleep(10 * time.Second)
		s.power(t, api.PowerStop)
		time.Sleep(time.Minute)
		s.power(t, api.PowerStart)
		time.Sleep(5 * time.Second)
		s.power(t, api.PowerReboot)
		time.Sleep(time.Second)
	})
}

// TestMeteringOfAnAddressGivenUp: the machine goes on, its address ends when that is asked for and begins again likewise.
func TestMeteringOfAnAddressGivenUp(t *testing.T) {
	metering(t, "instance-hours:nano 0-14 open, public-address-hours 0-4, public-address-hours 9-14 open", func(t *testing.T, s *scene) {
		i := s.make(t, api.InstanceSpec{Type: "nano"})
		for _, private := range []bool{true, false} {
			time.Sleep(map[bool]time.Duration{true: 4, false: 5}[private] * time.Second)
			i.Spec.Private = private
			_, err := s.cloud.Instances.Update(asCustomer(), "default", "x", i.Spec, 0)
			must(t, err)
		}
		time.Sleep(5 * time.Second)
	})
}

func TestMeteringOfReboot(t *testing.T) {
	metering(t, "instance-hours:nano 0-3, instance-hours:nano 3-7 open", func(t *testing.T, s *scene) {
		s.instance(t)
		time.Sleep(3 * time.Second)
		s.power(t, api.PowerReboot)
		time.Sleep(4 * time.Second)
	})
}

func TestMeteringOfResize(t *testing.T) {
	metering(t, "instance-hours:nano 0-5, instance-hours:large 5-12 open", func(t *testing.T, s *scene) {
		i := s.instance(t)
		time.Sleep(5 * time.Second)
		i.Spec.Type = "large"
		_, err := s.cloud.Instances.Update(asCustomer(), "default", "x", i.Spec, 0)
		must(t, err)
		time.Sleep(7 * time.Second)
	})
}

// TestMeteringOverRestarts: a run belongs to the machine, not to the control plane that began it.
func TestMeteringOverRestarts(t *testing.T) {
	for _, kill := range []bool{false, true} {
		metering(t, "instance-hours:nano 0-60 open", func(t *testing.T, s *scene) {
			s.instance(t)
			time.Sleep(20 * time.Second)
			must(t, s.restart(kill))
			time.Sleep(40 * time.Second)
		})
	}
}

// TestMeteringOfWhatEndsUnseen: the engine knows when a machine stopped, though nobody looked.
func TestMeteringOfWhatEndsUnseen(t *testing.T) {
	metering(t, "instance-hours:nano 0-25, instance-hours:nano 85-90 open", func(t *testing.T, s *scene) {
		i := s.instance(t)
		time.Sleep(20 * time.Second)
		must(t, s.stop())
		time.Sleep(5 * time.Second)
		s.sim.Faults().Crash(i.ID, 1)
		time.Sleep(time.Minute)
		next, err := s.setup.start()
		must(t, err)
		s.plane = next
		time.Sleep(5 * time.Second)
	})
}

// TestMeteringOfWhatVanishesUnseen: nobody knows when, so its run ends when it was seen last, 10 s before at most.
func TestMeteringOfWhatVanishesUnseen(t *testing.T) {
	metering(t, "instance-hours:nano 0-20, instance-hours:nano 85-90 open", func(t *testing.T, s *scene) {
		i := s.instance(t)
		time.Sleep(22 * time.Second)
		must(t, s.stop())
		time.Sleep(3 * time.Second)
		s.sim.Faults().Vanish(i.ID)
		time.Sleep(time.Minute)
		next, err := s.setup.start()
		must(t, err)
		s.plane = next
		time.Sleep(5 * time.Second)
	})
}

// TestMeteringOfDownAndUp: `nuage down` stops the machines, the next `up` starts them.
func TestMeteringOfDownAndUp(t *testing.T) {
	metering(t, "instance-hours:nano 0-8, instance-hours:nano 108-110 open", func(t *testing.T, s *scene) {
		s.instance(t)
		time.Sleep(8 * time.Second)
		must(t, s.cloud.System.Shutdown(asCustomer()))
		must(t, s.stop())
		time.Sleep(100 * time.Second)
		next, err := s.setup.start()
		must(t, err)
		s.plane = next
		time.Sleep(2 * time.Second)
		i, err := s.cloud.Instances.Get(asCustomer(), "default", "x")
		must(t, err)
		if i.Status.Phase != api.Running || i.Status.Restarts != 0 {
			t.Errorf("after down and up the machine is %s with %d restarts, want running without a repair", i.Status.Phase, i.Status.Restarts)
		}
	})
}

func TestMeteringOfDatabase(t *testing.T) {
	metering(t, "database-hours:micro 0-30, database-storage 0-30", func(t *testing.T, s *scene) {
		_, err := s.cloud.Databases.Create(asCustomer(), "default", "x", api.DatabaseSpec{Engine: "postgres", StorageBytes: 1 << 30})
		must(t, err)
		time.Sleep(30 * time.Second)
		must(t, s.cloud.Databases.Delete(asCustomer(), "default", "x", 0))
		time.Sleep(time.Minute)
	})
}

// TestStorageEndsAtItsDeletion, though the control plane was down right after.
func TestStorageEndsAtItsDeletion(t *testing.T) {
	metering(t, "database-hours:micro 0-30, database-storage 0-30", func(t *testing.T, s *scene) {
		_, err := s.cloud.Databases.Create(asCustomer(), "default", "x", api.DatabaseSpec{Engine: "postgres"})
		must(t, err)
		time.Sleep(30 * time.Second)
		s.sim.Faults().Gone(true)
		s.sim.Faults().Crash(s.databaseID(t), 0)
		must(t, s.cloud.Databases.Delete(asCustomer(), "default", "x", 0))
		must(t, s.stop())
		time.Sleep(time.Hour)
		s.sim.Faults().Gone(false)
		next, err := s.setup.start()
		must(t, err)
		s.plane = next
		time.Sleep(time.Minute)
	})
}

func (s *scene) databaseID(t *testing.T) string {
	t.Helper()
	d, err := s.cloud.Databases.Get(asCustomer(), "default", "x")
	must(t, err)
	return d.ID
}

// TestMeteringByAFasterClock: 10 s of real time before the clock is set, and 10 s at a hundred times the speed. What ended
// before is settled by the clock as it was.
func TestMeteringByAFasterClock(t *testing.T) {
	metering(t, "instance-hours:nano 0-15, instance-hours:nano 25-1025 open", func(t *testing.T, s *scene) {
		i := s.instance(t)
		time.Sleep(10 * time.Second)
		must(t, s.stop())
		time.Sleep(5 * time.Second)
		s.sim.Faults().Crash(i.ID, 1)
		time.Sleep(10 * time.Second)
		s.idle = true
		next, err := s.setup.start()
		must(t, err)
		must(t, next.SetClockSpeed(100))
		must(t, next.stop())
		s.idle = false
		s.plane, err = s.setup.start()
		must(t, err)
		time.Sleep(10 * time.Second)
	})
}

// TestMeteringAfterAnAdvance: what runs is metered as if the time had passed, what ended before is not, though it was heard of late.
func TestMeteringAfterAnAdvance(t *testing.T) {
	metering(t, "instance-hours:nano 0-15, instance-hours:nano 2.592025e+06-2.592035e+06 open", func(t *testing.T, s *scene) {
		i := s.instance(t)
		time.Sleep(10 * time.Second)
		must(t, s.stop())
		time.Sleep(5 * time.Second)
		s.sim.Faults().Crash(i.ID, 1)
		time.Sleep(10 * time.Second)
		s.idle = true
		next, err := s.setup.start()
		must(t, err)
		_, err = next.cloud.Clock.Change(asCustomer(), api.ClockChange{AdvanceSeconds: 30 * 86400})
		must(t, err)
		must(t, next.stop())
		s.idle = false
		s.plane, err = s.setup.start()
		must(t, err)
		time.Sleep(10 * time.Second)
	})
}

// TestMeteringIsExact: whatever happens while the loop hears of it, what is metered of a workload is the time it ran, to
// the millisecond.
func TestMeteringIsExact(t *testing.T) {
	acts := []string{"instance", "instance", "stop", "start", "reboot", "resize", "delete-instance", "reclaim", "app", "scale", "scale", "scale-zero",
		"database", "resize-database", "crash", "crash", "vanish", "dead", "restart", "kill", "sleep", "sleep", "sleep", "sleep-long"}
	rapid.Check(t, func(rt *rapid.T) {
		life := history(acts...).Draw(rt, "life")
		if err := bubble(t, life, meteredExactly); err != nil {
			rt.Fatalf("%v", err)
		}
	})
}

func meteredExactly(s *scene) error {
	w, err := s.read()
	if err != nil {
		return err
	}
	var errs []error
	ids := slices.Collect(maps.Keys(w.by.owners))
	for _, id := range s.truth.workloads() { // machines that are gone have been metered to their end
		if _, there := w.by.owners[id]; !there && strings.HasPrefix(id, "i-") {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		want := time.Duration(0)
		for _, known := range s.truth.workloads() {
			if known == id || strings.HasPrefix(known, id+"-r") {
				want += s.truth.total(known, time.Now())
			}
		}
		all, err := s.usage(id)
		errs = append(errs, err)
		got := map[string]time.Duration{}
		for _, u := range all {
			if !strings.HasSuffix(u.Meter, "-storage") {
				got[u.Service] += time.Duration(u.Quantity) * time.Millisecond
			}
		}
		at, address := slices.IndexFunc(w.instances, func(i api.Instance) bool { return i.ID == id }), got["networks"]
		delete(got, "networks")
		for _, sum := range got {
			if sum != want || address != want && address != 0 || at >= 0 && !w.instances[at].Spec.Private && address != want {
				errs = append(errs, fmt.Errorf("%s ran %s, metered are %s and its address for %s: %+v", id, want, sum, address, all))
			}
		}
		if len(got) == 0 && want != 0 {
			errs = append(errs, fmt.Errorf("%s ran %s and nothing is metered", id, want))
		}
	}
	return errors.Join(append(errs, s.noOverlap(w))...)
}

// workloads names all that ever ran.
func (h *truth) workloads() []string {
	var all []string
	for id := range h.ran {
		all = append(all, id)
	}
	for id := range h.open {
		if _, ended := h.ran[id]; !ended {
			all = append(all, id)
		}
	}
	return all
}
