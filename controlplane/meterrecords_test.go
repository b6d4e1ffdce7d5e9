package controlplane

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nuage/api"
	"nuage/storage"
)

// amounts are the quantities that were metered of meters with a prefix, oldest first.
func (s *scene) amounts(t *testing.T, prefix string) string {
	t.Helper()
	all, err := s.usage("")
	must(t, err)
	var out []string
	for _, u := range all {
		if strings.HasPrefix(u.Meter, prefix) {
			out = append(out, fmt.Sprint(u.Quantity))
		}
	}
	return strings.Join(out, " ")
}

func (s *scene) volume(t *testing.T, name string, bytes int64) api.Volume {
	t.Helper()
	v, err := s.cloud.Volumes.Create(asCustomer(), "default", name, api.VolumeSpec{SizeBytes: bytes})
	must(t, err)
	return v
}

// TestMeteringOfAVolume: by its declared size from its creation to its deletion, whatever runs; growing begins another run.
func TestMeteringOfAVolume(t *testing.T) {
	metering(t, "volume-storage 0-10, volume-storage 10-30", func(t *testing.T, s *scene) {
		v := s.volume(t, "data", 1<<30)
		time.Sleep(10 * time.Second)
		v.Spec.SizeBytes = 3 << 30
		_, err := s.cloud.Volumes.Update(asCustomer(), "default", "data", v.Spec, 0)
		must(t, err)
		time.Sleep(20 * time.Second)
		must(t, s.cloud.Volumes.Delete(asCustomer(), "default", "data", 0))
		time.Sleep(time.Minute)
		if got, want := s.amounts(t, "volume-storage"), fmt.Sprint(1024*10_000, " ", 3*1024*20_000); got != want {
			t.Errorf("metered are %s MiB-ms, want %s", got, want)
		}
	})
}

// TestStoppedInstancesBillDisksOnly, and disks while nobody runs the cloud too: they are there.
func TestStoppedInstancesBillDisksOnly(t *testing.T) {
	metering(t, "instance-hours:nano 0-10, public-address-hours 0-10, volume-storage 0-4210 open", func(t *testing.T, s *scene) {
		s.volume(t, "data", 1<<30)
		s.make(t, api.InstanceSpec{Type: "nano", Volumes: []api.VolumeMount{{Volume: "data", Path: "/data"}}})
		time.Sleep(10 * time.Second)
		s.power(t, api.PowerStop)
		time.Sleep(10 * time.Minute)
		must(t, s.Store.Close()) // kill -9
		must(t, s.stop())
		time.Sleep(time.Hour - 10*time.Second)
		next, err := s.setup.start()
		must(t, err)
		s.plane = next
		time.Sleep(10 * time.Second)
	})
}

// TestMeteringOfSnapshotsAndImages: by the size measured, from their creation to their deletion.
func TestMeteringOfSnapshotsAndImages(t *testing.T) {
	metering(t, "instance-hours:nano 0-60 open, volume-storage 0-60 open, image-storage 10-40, snapshot-storage 10-30", func(t *testing.T, s *scene) {
		v := s.volume(t, "data", 1<<30)
		s.instance(t)
		time.Sleep(10 * time.Second)
		s.sim.Faults().Fill(v.ID, 5<<20+1)
		_, err := s.cloud.Snapshots.Create(asCustomer(), "default", "snap", api.SnapshotSpec{Volume: "data"})
		must(t, err)
		mine, err := s.cloud.Images.Create(asCustomer(), "default", "mine", api.ImageSpec{Instance: "x"})
		must(t, err)
		s.weigh(t, mine.ID, 7<<20)
		time.Sleep(20 * time.Second)
		must(t, s.cloud.Snapshots.Delete(asCustomer(), "default", "snap", 0))
		time.Sleep(10 * time.Second)
		must(t, s.cloud.Images.Delete(asCustomer(), "default", "mine", 0))
		time.Sleep(20 * time.Second)
		if got, want := s.amounts(t, "snapshot-storage"), fmt.Sprint(6*20_000); got != want {
			t.Errorf("of the snapshot are metered %s MiB-ms, want %s: a begun MiB counts whole", got, want)
		}
		if got, want := s.amounts(t, "image-storage"), fmt.Sprint(7*30_000); got != want {
			t.Errorf("of the image are metered %s MiB-ms, want %s", got, want)
		}
	})
}

// TestMeteringOfALoadBalancer: while it exists. Its deletion ends it in one commit with its record, so that a kill right
// after changes nothing.
func TestMeteringOfALoadBalancer(t *testing.T) {
	metering(t, "load-balancer-hours 0-20", func(t *testing.T, s *scene) {
		balancers := s.loadBalancers()
		_, err := balancers.Create(asCustomer(), "default", "front", api.LoadBalancerSpec{Port: 80, Targets: []api.Target{}})
		must(t, err)
		time.Sleep(20 * time.Second)
		must(t, balancers.Delete(asCustomer(), "default", "front", 0)) // nothing listens in this bubble
		must(t, errors.Join(s.Store.Close(), s.stop()))                // kill -9
		time.Sleep(time.Hour)
		s.plane, err = s.setup.start()
		must(t, err)
		time.Sleep(time.Second)
	})
}

// weigh waits until an image is made and gives it a size: the simulator's have none.
func (s *scene) weigh(t *testing.T, id string, bytes int64) {
	t.Helper()
	synctest.Wait()
	must(t, s.Store.Update(func(tx *storage.Tx) error {
		g, err := imageTable.Get(tx, id)
		if err != nil {
			return err
		}
		g.Status.SizeBytes = bytes
		return imageTable.Put(tx, g)
	}))
}
