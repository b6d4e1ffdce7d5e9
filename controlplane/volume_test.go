package controlplane

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

func TestVolumeRefusals(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		c, ctx := s.cloud, asCustomer()
		for _, n := range []string{"data", "more", "held"} {
			s.disk(t, n)
		}
		_, err := c.Snapshots.Create(ctx, "default", "monday", api.SnapshotSpec{Volume: "data"})
		must(t, err)
		for name, spec := range map[string]api.InstanceSpec{"x": {Type: "nano"}, "off": {Type: "nano", Stopped: true}, "holder": {Type: "nano", Volumes: []api.VolumeMount{{Volume: "held", Path: "/srv"}}}} {
			_, err := c.Instances.Create(ctx, "default", name, spec)
			must(t, err)
		}
		time.Sleep(time.Minute)
		create := func(spec api.VolumeSpec) error {
			_, err := c.Volumes.Create(ctx, "default", "v", spec)
			return err
		}
		update := func(spec api.VolumeSpec) error {
			_, err := c.Volumes.Update(ctx, "default", "data", spec, 0)
			return err
		}
		attach := func(volume, instance, path string) error {
			_, err := c.Volumes.Attach(ctx, "default", volume, api.Attachment{Instance: instance, Path: path}, true)
			return err
		}
		remount := func(name string, mounts ...api.VolumeMount) error {
			i, err := c.Instances.Get(ctx, "default", name)
			must(t, err)
			i.Spec.Volumes = mounts
			_, err = c.Instances.Update(ctx, "default", name, i.Spec, 0)
			return err
		}
		for want, got := range map[string]error{
			`cannot make volume "v" of 0 bytes: 1 MiB to 16 TiB is possible`:                                                   create(api.VolumeSpec{}),
			`cannot make volume "v" of 1048575 bytes: 1 MiB to 16 TiB is possible`:                                             create(api.VolumeSpec{SizeBytes: 1<<20 - 1}),
			`cannot make volume "v" of 17592186044417 bytes: 1 MiB to 16 TiB is possible`:                                      create(api.VolumeSpec{SizeBytes: 16<<40 + 1}),
			`cannot use snapshot "nobody": project "default" has no such snapshot`:                                             create(api.VolumeSpec{Snapshot: "nobody"}),
			`cannot restore snapshot "monday" to 1 MiB: it was made of a volume of 8 MiB`:                                      create(api.VolumeSpec{Snapshot: "monday", SizeBytes: 1 << 20}),
			`cannot shrink volume "data" from 8 MiB to 4 MiB: volumes only grow`:                                               update(api.VolumeSpec{SizeBytes: 4 << 20}),
			`cannot change the snapshot of volume "data": restore it to another volume`:                                        update(api.VolumeSpec{SizeBytes: 8 << 20, Snapshot: "monday"}),
			`cannot attach a volume at "data": give a clean absolute path, as /data`:                                           attach("data", "x", "data"),
			`cannot attach a volume at "/a/": give a clean absolute path, as /data`:                                            attach("data", "x", "/a/"),
			`cannot attach a volume at "/a:ro": give a clean absolute path, as /data`:                                          attach("data", "x", "/a:ro"),
			`cannot attach a volume at "/": the instance needs what is there; take another path, as /data`:                     attach("data", "x", "/"),
			`cannot attach a volume at "/etc/ssh": the instance needs what is there; take another path, as /data`:              attach("data", "x", "/etc/ssh"),
			`cannot attach a volume at "/.nuage": the instance needs what is there; take another path, as /data`:               attach("data", "x", "/.nuage"),
			`cannot attach volume "data" at /srv/a: volume "held" is at /srv`:                                                  attach("data", "holder", "/srv/a"),
			`cannot attach volume "held" at /data: it is attached at /srv already`:                                             attach("held", "holder", "/data"),
			`cannot attach volume "held": it is attached to instance "holder"`:                                                 attach("held", "x", "/data"),
			`cannot find volume "nobody" in project "default"`:                                                                 attach("nobody", "x", "/data"),
			`cannot find instance "nobody" in project "default"`:                                                               attach("data", "nobody", "/data"),
			`cannot delete volume "held": it is attached to instance "holder"; detach it first`:                                c.Volumes.Delete(ctx, "default", "held", 0),
			`cannot use volume "nobody": project "default" has no such volume`:                                                 remount("off", api.VolumeMount{Volume: "nobody", Path: "/data"}),
			`cannot attach volume "more" at /data: volume "data" is at /data`:                                                  remount("off", api.VolumeMount{Volume: "data", Path: "/data"}, api.VolumeMount{Volume: "more", Path: "/data"}),
			`cannot change the volumes of instance "x" while it runs: stop it first, or attach and detach them with a restart`: remount("x", api.VolumeMount{Volume: "data", Path: "/data"}),
			"": remount("off", api.VolumeMount{Volume: "data", Path: "/data"}, api.VolumeMount{Volume: "more", Path: "/database"}),
		} {
			if textOf(got) != want && (want != "" || got != nil) {
				t.Errorf("want %q, got %v", want, got)
			}
		}
		_, err = c.Volumes.Detach(ctx, "default", "held", false)
		if want := `cannot change the volumes of instance "holder" while it runs: it has to boot again; ask for that (--restart), or stop it first`; textOf(err) != want {
			t.Errorf("detaching from what runs answers %v, want %q", err, want)
		}
		time.Sleep(time.Minute)
		must(t, converged(s))
	})
}

// TestInstanceWaitsForItsVolume, and says for what; a copy that was cut off is made anew before anything mounts it.
func TestInstanceWaitsForItsVolume(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		c, ctx := s.cloud, asCustomer()
		data := s.disk(t, "data")
		s.sim.Faults().Fill(data.ID, 4<<20)
		_, err := c.Snapshots.Create(ctx, "default", "monday", api.SnapshotSpec{Volume: "data"})
		must(t, err)
		n, err := c.Snapshots.Wait(ctx, "default", "monday", time.Minute)
		if err != nil || n.Status.SizeBytes != 4<<20 || n.Status.VolumeSize != 8<<20 {
			t.Fatalf("the snapshot says %+v: %v", n.Status, err)
		}
		broken := api.Errorf(api.Unavailable, "cannot copy: a test says so")
		s.sim.Faults().Lose("copy", broken)
		for range 4 {
			s.sim.Faults().Fail("copy", broken)
		}
		_, err = c.Volumes.Create(ctx, "default", "again", api.VolumeSpec{Snapshot: "monday"})
		must(t, err)
		s.make(t, api.InstanceSpec{Type: "nano", Volumes: []api.VolumeMount{{Volume: "again", Path: "/data"}}})
		s.within(t, `pending (waiting for volume "again": cannot copy: a test says so)`)
		must(t, s.restart(true))
		s.within(t, simulated)
		v, err := s.cloud.Volumes.Get(ctx, "default", "again")
		must(t, err)
		if bytes, err := s.sim.VolumeBytes(t.Context(), v.ID); err != nil || bytes != 4<<20 || v.Spec.SizeBytes != 8<<20 {
			t.Errorf("on a restored volume of %d are %d bytes: %v", v.Spec.SizeBytes, bytes, err)
		}
		s.sim.Faults().Fill(v.ID, 5<<20) // is never copied over
		must(t, s.restart(true))
		time.Sleep(time.Minute)
		if bytes, err := s.sim.VolumeBytes(t.Context(), v.ID); err != nil || bytes != 5<<20 {
			t.Errorf("after a restart there are %d bytes: %v", bytes, err)
		}
		must(t, converged(s))
	})
}

// TestVolumesSayWhatTheyHold: over its size a volume is degraded where the engine lets that happen, and it may grow.
func TestVolumesSayWhatTheyHold(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		c, ctx := s.cloud, asCustomer()
		data := s.disk(t, "data")
		says := func() string {
			time.Sleep(time.Minute)
			v, err := c.Volumes.Get(ctx, "default", "data")
			must(t, err)
			return fmt.Sprintf("%s (%s) %d", v.Status.Phase, v.Status.Reason, v.Status.UsedBytes)
		}
		s.sim.Faults().Fill(data.ID, 9<<20)
		if got, want := says(), "degraded (it holds 9 MiB, more than its size of 8 MiB: this engine can't hold it to that; remove data, or let it grow) 9437184"; got != want {
			t.Errorf("over its size it is %s, want %s", got, want)
		}
		_, err := c.Volumes.Update(ctx, "default", "data", api.VolumeSpec{SizeBytes: 16 << 20}, 0)
		must(t, err)
		if got, want := says(), "running (can be attached) 9437184"; got != want {
			t.Errorf("grown it is %s, want %s", got, want)
		}
		must(t, s.Store.Update(func(tx *storage.Tx) error {
			d, err := diskTable.Get(tx, data.ID)
			d.Enforced = true
			return firstError(err, diskTable.Put(tx, d))
		}))
		_, err = c.Volumes.Update(ctx, "default", "data", api.VolumeSpec{SizeBytes: 32 << 20}, 0)
		if want := `cannot grow volume "data": the engine holds it to the size it was made with; snapshot it and restore that with a larger size`; textOf(err) != want {
			t.Errorf("growing what is held to its size answers %v, want %q", err, want)
		}
	})
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestVolumesOutliveTheirInstance, and go only when they are deleted.
func TestVolumesOutliveTheirInstance(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		data := s.disk(t, "data")
		i := s.make(t, api.InstanceSpec{Type: "nano", Volumes: []api.VolumeMount{{Volume: "data", Path: "/data"}}})
		s.within(t, simulated)
		s.sim.Faults().Fill(data.ID, 42)
		s.sim.Faults().Vanish(i.ID)
		time.Sleep(time.Minute)
		must(t, s.cloud.Instances.Delete(asCustomer(), "default", "x", 0))
		must(t, s.restart(true))
		time.Sleep(time.Hour)
		if bytes, err := s.sim.VolumeBytes(t.Context(), data.ID); err != nil || bytes != 42 {
			t.Fatalf("an hour later there are %d bytes: %v", bytes, err)
		}
		must(t, s.cloud.Volumes.Delete(asCustomer(), "default", "data", 0))
		time.Sleep(time.Minute)
		if list, err := s.sim.ListVolumes(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("after its deletion there are %+v: %v", list, err)
		}
		must(t, converged(s))
	})
}

// TestDamagedDisksAreLeftAlone: a volume of which a record can't be read is not made, filled or removed, and the instance
// that has it neither boots without it nor ends.
func TestDamagedDisksAreLeftAlone(t *testing.T) {
	for _, lose := range []string{"volumes", "disks"} {
		staged(t, func(t *testing.T, s *scene) {
			data := s.disk(t, "data")
			i := s.make(t, api.InstanceSpec{Type: "nano", Volumes: []api.VolumeMount{{Volume: "data", Path: "/data"}}})
			s.within(t, simulated)
			s.sim.Faults().Fill(data.ID, 42)
			if lose == "volumes" {
				s.damage(t, volumeTable, data.ID, "default/data")
			} else {
				s.damage(t, diskTable, data.ID, "")
			}
			must(t, s.restart(false))
			time.Sleep(time.Minute)
			o := s.only(t)
			bytes, err := s.sim.VolumeBytes(t.Context(), data.ID)
			if o.ID != i.ID || o.State != compute.StateRunning || len(o.Mounts) != 1 || err != nil || bytes != 42 {
				t.Errorf("without a record of %s the instance is %s with %+v, and there are %d bytes: %v", lose, o.State, o.Mounts, bytes, err)
			}
			must(t, s.cloud.Instances.Delete(asCustomer(), "default", "x", 0)) // its owner may still have it go
			time.Sleep(time.Minute)
			if list, err := s.sim.List(t.Context()); err != nil || len(list) != 0 {
				t.Errorf("after its deletion there are %+v: %v", list, err)
			}
			if bytes, err := s.sim.VolumeBytes(t.Context(), data.ID); err != nil || bytes != 42 {
				t.Errorf("then there are %d bytes: %v", bytes, err)
			}
		})
	}
}

// TestSnapshotsAndWhatTheyAreOf keep each other until a copy is whole, and no longer.
func TestSnapshotsAndWhatTheyAreOf(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		c, ctx := s.cloud, asCustomer()
		s.disk(t, "data")
		slow := func(n int) {
			for range n {
				s.sim.Faults().Fail("copy", api.Errorf(api.Unavailable, "cannot copy yet"))
			}
		}
		slow(4)
		_, err := c.Snapshots.Create(ctx, "default", "monday", api.SnapshotSpec{Volume: "data"})
		must(t, err)
		if want, err := `cannot delete volume "data": snapshot "monday" of it is being made`, c.Volumes.Delete(ctx, "default", "data", 0); textOf(err) != want {
			t.Errorf("deleting the volume answers %v, want %q", err, want)
		}
		time.Sleep(time.Minute)
		must(t, c.Volumes.Delete(ctx, "default", "data", 0))
		slow(4)
		_, err = c.Volumes.Create(ctx, "default", "again", api.VolumeSpec{Snapshot: "monday"})
		must(t, err)
		if want, err := `cannot delete snapshot "monday": volume "again" is being made from it`, c.Snapshots.Delete(ctx, "default", "monday", 0); textOf(err) != want {
			t.Errorf("deleting the snapshot answers %v, want %q", err, want)
		}
		_, err = c.Snapshots.Update(ctx, "default", "monday", api.SnapshotSpec{Volume: "again"}, 0)
		if want := `cannot change snapshot "monday": it is what its volume was; make another one`; textOf(err) != want {
			t.Errorf("changing the snapshot answers %v, want %q", err, want)
		}
		time.Sleep(time.Minute)
		must(t, c.Snapshots.Delete(ctx, "default", "monday", 0))
		time.Sleep(time.Minute)
		must(t, converged(s))
		if list, err := s.sim.ListVolumes(t.Context()); err != nil || len(list) != 1 || !strings.HasPrefix(list[0].ID, "vol-") {
			t.Errorf("there are the volumes %+v: %v", list, err)
		}
	})
}
