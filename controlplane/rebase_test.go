package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/sim"
)

// historian watches what happens to root disks: the root of a container that was made of an image, and what of it is in
// which image. A root that goes while it holds what no image has is lost.
type historian struct {
	quiet
	mu    sync.Mutex
	roots map[string]int // how often the machine of a container has run, by workload: what its root disk holds
	saved map[string]int // the same, by image
	lost  []string
}

func (h *historian) Create(ctx context.Context, w compute.Workload) error {
	err := h.quiet.Create(ctx, w)
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.roots[w.ID]; !known && h.there(w.ID) {
		h.roots[w.ID] = h.saved[w.Image]
	}
	return err
}

// there tells whether a container is there, whatever was answered.
func (h *historian) there(id string) bool {
	list, _ := insist(h.List)
	return slices.ContainsFunc(list, func(o compute.Observed) bool { return o.ID == id })
}

func (h *historian) RemoveImage(ctx context.Context, ref string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.quiet.RemoveImage(ctx, ref)
	if err == nil {
		delete(h.saved, ref)
	}
	return err
}

func (h *historian) Start(ctx context.Context, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.roots[id]++ // it may run though no answer comes
	return h.quiet.Start(ctx, id)
}

func (h *historian) Commit(ctx context.Context, id string, b compute.Build) (compute.Image, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	img, err := h.quiet.Commit(ctx, id, b)
	if err == nil {
		h.saved[b.Tag] = h.roots[id]
	}
	return img, err
}

func (h *historian) Remove(ctx context.Context, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.quiet.Remove(ctx, id)
	if h.there(id) {
		return err
	}
	for _, n := range h.saved {
		if n == h.roots[id] {
			delete(h.roots, id)
			return err
		}
	}
	h.lost = append(h.lost, fmt.Sprintf("the root disk of %s went with %d runs; images have %v", id, h.roots[id], h.saved))
	return err
}

// watched is staged over a historian.
func watched(t *testing.T, script func(t *testing.T, s *scene, h *historian)) {
	t.Helper()
	staged(t, func(t *testing.T, s *scene) {
		h := &historian{roots: map[string]int{}, saved: map[string]int{}}
		s.wrap = func(e *sim.Engine) compute.Engine { h.quiet = quiet{e, &s.deaf}; return h }
		must(t, s.restart(false))
		script(t, s, h)
		for _, lost := range h.lost {
			t.Error(lost)
		}
	})
}

// disk makes a volume that can be used.
func (s *scene) disk(t *testing.T, name string) api.Volume {
	t.Helper()
	_, err := s.cloud.Volumes.Create(asCustomer(), "default", name, api.VolumeSpec{SizeBytes: 8 << 20})
	must(t, err)
	v, err := s.cloud.Volumes.Wait(asCustomer(), "default", name, time.Minute)
	must(t, err)
	if v.Status.Phase != api.Running {
		t.Fatalf("volume %s is %s (%s)", name, v.Status.Phase, v.Status.Reason)
	}
	return v
}

func (s *scene) attach(t *testing.T, volume string) {
	t.Helper()
	_, err := s.cloud.Volumes.Attach(asCustomer(), "default", volume, api.Attachment{Instance: "x", Path: "/" + volume}, true)
	must(t, err)
}

// TestRebase: attaching and detaching boot the machine again with its root disk; that is no restart, and is recorded once.
func TestRebase(t *testing.T) {
	watched(t, func(t *testing.T, s *scene, h *historian) {
		v := s.disk(t, "data")
		i := s.make(t, api.InstanceSpec{Type: "nano"})
		s.within(t, simulated)
		s.attach(t, "data")
		v, err := s.cloud.Volumes.Wait(asCustomer(), "default", "data", time.Minute)
		must(t, err)
		if want := `attached to instance "x" at /data`; v.Status.Reason != want {
			t.Errorf("the volume is %s (%s), want %s", v.Status.Phase, v.Status.Reason, want)
		}
		s.within(t, simulated)
		o := s.only(t)
		if !slices.Equal(o.Mounts, []compute.Mount{{Volume: v.ID, Path: "/data"}}) || o.State != compute.StateRunning {
			t.Errorf("it is %s with the mounts %+v", o.State, o.Mounts)
		}
		if h.roots[i.ID] != 2 {
			t.Errorf("its root disk has seen %d boots, want both", h.roots[i.ID])
		}
		_, err = s.cloud.Volumes.Detach(asCustomer(), "default", "data", true)
		must(t, err)
		time.Sleep(time.Minute)
		if o := s.only(t); len(o.Mounts) > 0 || h.roots[i.ID] != 3 {
			t.Errorf("after it was detached there are the mounts %+v, the root disk has seen %d boots", o.Mounts, h.roots[i.ID])
		}
		i, err = s.cloud.Instances.Get(asCustomer(), "default", "x")
		must(t, err)
		if i.Status.Restarts != 0 {
			t.Errorf("%d restarts are counted", i.Status.Restarts)
		}
		var told []string
		list, err := s.cloud.Activities.List(asCustomer(), api.ActivityQuery{Resource: "x", Actor: api.Platform})
		must(t, err)
		for _, a := range list.Items {
			if a.Verb == "rebase" {
				told = append(told, a.Detail)
			}
		}
		if want := []string{"to attach volume data at /data; root disk kept", "to detach volume data from /data; root disk kept"}; !slices.Equal(told, want) {
			t.Errorf("recorded is %q, want %q", told, want)
		}
		s.sim.Faults().Vanish(i.ID) // it comes back from what was committed last
		time.Sleep(time.Minute)
		if o := s.only(t); !strings.HasPrefix(o.Image, "nuage-root/"+i.ID) || h.saved[o.Image] != 2 {
			t.Errorf("it came back from %s", o.Image)
		}
		must(t, s.cloud.Instances.Delete(asCustomer(), "default", "x", 0))
		time.Sleep(time.Minute)
		must(t, converged(s))
		if len(h.saved) > 0 {
			t.Errorf("of its root disk there are the images %v after its deletion", h.saved)
		}
		h.lost = nil // what the deletion and the outsider took was to go
	})
}

// only is the one workload there is.
func (s *scene) only(t *testing.T) compute.Observed {
	t.Helper()
	list, err := insist(s.sim.List)
	must(t, err)
	if len(list) != 1 {
		t.Fatalf("there are %+v, want one", list)
	}
	return list[0]
}

// TestRebaseLosesNothing: whatever fails or is cut off in a rebase, and wherever the control plane is killed, in the end
// the machine has its volumes and all that was on its root disk.
func TestRebaseLosesNothing(t *testing.T) {
	broken := api.Errorf(api.Unavailable, "cannot: a test says so")
	for _, verb := range []string{"stop", "commit", "remove", "create", "start", "volume", "image"} {
		for what, fault := range map[string]func(*sim.Faults){
			"fails":          func(f *sim.Faults) { f.Fail(verb, broken) },
			"loses its word": func(f *sim.Faults) { f.Lose(verb, broken) },
		} {
			for _, kill := range []bool{false, true} {
				watched(t, func(t *testing.T, s *scene, h *historian) {
					s.disk(t, "data")
					i := s.make(t, api.InstanceSpec{Type: "nano"})
					s.within(t, simulated)
					s.sim.Faults().Latency(50 * time.Millisecond)
					fault(s.sim.Faults())
					s.attach(t, "data")
					if kill {
						time.Sleep(180 * time.Millisecond)
						must(t, s.restart(true))
					}
					s.sim.Faults().Latency(0)
					time.Sleep(2 * time.Minute)
					if err := converged(s); err != nil {
						t.Errorf("%s %s, kill %v: %v", verb, what, kill, err)
					}
					if o := s.only(t); len(o.Mounts) != 1 || h.roots[i.ID] < 2 {
						t.Errorf("%s %s, kill %v: it has the mounts %+v and a root of %d boots", verb, what, kill, o.Mounts, h.roots[i.ID])
					}
				})
			}
		}
	}
}

// TestKilledAnywhereInARebase kills at every moment of one.
func TestKilledAnywhereInARebase(t *testing.T) {
	for at := 10 * time.Millisecond; at < 600*time.Millisecond; at += 25 * time.Millisecond {
		watched(t, func(t *testing.T, s *scene, h *historian) {
			s.disk(t, "data")
			i := s.make(t, api.InstanceSpec{Type: "nano"})
			s.within(t, simulated)
			s.sim.Faults().Latency(50 * time.Millisecond)
			s.attach(t, "data")
			time.Sleep(at)
			must(t, s.restart(true))
			time.Sleep(2 * time.Minute)
			if err := converged(s); err != nil {
				t.Errorf("killed after %s: %v", at, err)
			}
			if o := s.only(t); len(o.Mounts) != 1 || h.roots[i.ID] < 2 {
				t.Errorf("killed after %s: it has the mounts %+v and a root of %d boots", at, o.Mounts, h.roots[i.ID])
			}
		})
	}
}

// TestCommitsOfARebase: tries in vain do not pile up images, and the image a machine is made from is not taken away by a pass
// that has read the store before it was.
func TestCommitsOfARebase(t *testing.T) {
	watched(t, func(t *testing.T, s *scene, h *historian) {
		s.disk(t, "data")
		i := s.make(t, api.InstanceSpec{Type: "nano"})
		s.within(t, simulated)
		const tries = 8
		for range tries {
			s.sim.Faults().Fail("remove", api.Errorf(api.Conflict, "cannot: a test says so"))
		}
		s.attach(t, "data")
		time.Sleep(30 * time.Second)
		if len(h.saved) > 2 {
			t.Errorf("after some of %d tries there are the images %v", tries, h.saved)
		}
		time.Sleep(5 * time.Minute)
		must(t, converged(s))
		tag := s.only(t).Image
		must(t, s.dropCommits(t.Context(), i.ID, []string{tag}))
		if _, there := h.saved[tag]; !there {
			t.Error("the image of its root disk is gone")
		}
	})
}

// TestVolumesChangePlaces: two machines that swap their volumes do not wait for each other for ever.
func TestVolumesChangePlaces(t *testing.T) {
	watched(t, func(t *testing.T, s *scene, _ *historian) {
		ctx := asCustomer()
		for _, n := range []string{"a", "b"} {
			s.disk(t, "v"+n)
			_, err := s.cloud.Instances.Create(ctx, "default", n, api.InstanceSpec{Type: "nano", Volumes: []api.VolumeMount{{Volume: "v" + n, Path: "/data"}}})
			must(t, err)
		}
		time.Sleep(time.Minute)
		for _, n := range []string{"a", "b"} {
			_, err := s.cloud.Volumes.Detach(ctx, "default", "v"+n, true)
			must(t, err)
		}
		for n, v := range map[string]string{"a": "vb", "b": "va"} {
			_, err := s.cloud.Volumes.Attach(ctx, "default", v, api.Attachment{Instance: n, Path: "/data"}, true)
			must(t, err)
		}
		time.Sleep(time.Minute)
		must(t, converged(s))
	})
}

// TestRootImageRemovedFromOutside: what is gone is not waited for.
func TestRootImageRemovedFromOutside(t *testing.T) {
	watched(t, func(t *testing.T, s *scene, h *historian) {
		s.disk(t, "data")
		i := s.make(t, api.InstanceSpec{Type: "nano"})
		s.within(t, simulated)
		s.attach(t, "data")
		time.Sleep(time.Minute)
		image := s.only(t).Image
		s.deaf.Store(true)
		s.sim.Faults().Vanish(i.ID)
		must(t, s.sim.RemoveImage(t.Context(), image))
		must(t, s.sim.RemoveImage(t.Context(), image)) // not even by its name any more
		s.deaf.Store(false)
		time.Sleep(time.Minute)
		if o := s.only(t); o.Image != imageRef(defaultImage) || len(o.Mounts) != 1 || o.State != compute.StateRunning {
			t.Errorf("it is %s, made of %s with %+v", o.State, o.Image, o.Mounts)
		}
		h.lost = nil
	})
}
