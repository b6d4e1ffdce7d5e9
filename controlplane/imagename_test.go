package controlplane

import (
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
)

// TestAnImageTakesNoMachineOver: a machine stays with what it was made from, also where an image of the project gets
// that name later, even one that is to be made from the machine itself.
func TestAnImageTakesNoMachineOver(t *testing.T) {
	p := newPlane(t, setup{})
	_, err := p.cloud.Instances.Create(asCustomer(), "default", "web", api.InstanceSpec{Type: "nano", Image: "busybox"})
	must(t, err)
	web, err := p.cloud.Instances.Wait(asCustomer(), "default", "web", 10*time.Second)
	must(t, err)
	was := p.observe(t, web.ID).Image
	_, err = p.cloud.Images.Create(asCustomer(), "default", "busybox", api.ImageSpec{Instance: "web"})
	must(t, err)
	_, err = p.cloud.Images.Wait(asCustomer(), "default", "busybox", 10*time.Second)
	must(t, err)
	_, err = p.cloud.Instances.Create(asCustomer(), "default", "copy", api.InstanceSpec{Type: "nano", Image: "busybox"})
	must(t, err)
	made, err := p.cloud.Instances.Wait(asCustomer(), "default", "copy", 10*time.Second)
	must(t, err)
	if now := p.observe(t, made.ID).Image; now == was {
		t.Errorf("a machine of the new image is made from %q", now)
	}
	w, err := p.read()
	must(t, err)
	for _, i := range w.instances {
		if i.Name == "web" && w.imageOf(i) != was {
			t.Errorf("web is made from %q, want %q as before", w.imageOf(i), was)
		}
	}
	if err := p.cloud.Images.Delete(asCustomer(), "default", "busybox", 0); api.CodeOf(err) != api.Conflict {
		t.Errorf("deleting an image that a machine was made from: %v, want a conflict", err)
	}
}

// observe is a workload as the engine has it.
func (p *plane) observe(t *testing.T, id string) compute.Observed {
	t.Helper()
	all, err := p.Engine.List(t.Context())
	must(t, err)
	for _, o := range all {
		if o.ID == id {
			return o
		}
	}
	t.Fatalf("%s is not there", id)
	return compute.Observed{}
}
