package controlplane

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

func TestImageRefusals(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		c, ctx := p.cloud, asCustomer()
		_, err := c.Images.Create(ctx, "default", "golden", api.ImageSpec{Ref: "nginx:1.27"})
		must(t, err)
		_, err = c.Instances.Create(ctx, "default", "i", api.InstanceSpec{Image: "golden"})
		must(t, err)
		create := func(name string, spec api.ImageSpec) error {
			_, err := c.Images.Create(ctx, "default", name, spec)
			return err
		}
		boot := func(image string) error {
			_, err := c.Instances.Create(ctx, "default", "j", api.InstanceSpec{Image: image})
			return err
		}
		deploy := func(image string) error {
			_, err := c.Apps.Create(ctx, "default", "a", api.AppSpec{Image: image})
			return err
		}
		_, changed := c.Images.Update(ctx, "default", "golden", api.ImageSpec{Ref: "nginx:1.28"}, 0)
		_, fixed := c.Images.Update(ctx, "default", "tiny", api.ImageSpec{Ref: "nginx:1.28"}, 0)
		for want, got := range map[string]error{
			`cannot create image "tiny": the catalog has an image of that name`:                                                      create("tiny", api.ImageSpec{Ref: "nginx"}),
			`cannot create image "a": give either the instance to make it from or the reference to pull`:                             create("a", api.ImageSpec{}),
			`cannot create image "b": give either the instance to make it from or the reference to pull`:                             create("b", api.ImageSpec{Ref: "nginx", Instance: "i"}),
			`cannot create image "c": project "default" has no instance "nobody"`:                                                    create("c", api.ImageSpec{Instance: "nobody"}),
			`cannot use image "nuage-root/i-1:1": the cloud made it for its own use; ` + "`nuage image list` shows what there is":    create("d", api.ImageSpec{Ref: "nuage-root/i-1:1"}),
			`cannot use image "nuage-image/img-1:1": the cloud made it for its own use; ` + "`nuage image list` shows what there is": boot("nuage-image/img-1:1"),
			`cannot use image "nuage-image/img-2:1": the cloud made it for its own use; ` + "`nuage image list` shows what there is": boot("docker.io/nuage-image/img-2:1"),
			`cannot use image "nuage-app/app-1:r1": the cloud made it for its own use; ` + "`nuage image list` shows what there is":  deploy("index.docker.io/nuage-app/app-1:r1"),
			`cannot change image "golden": make another one`:                                                                         changed,
			`cannot change image "tiny": it is part of the cloud`:                                                                    fixed,
			`cannot delete image "tiny": it is part of the cloud`:                                                                    c.Images.Delete(ctx, "default", "tiny", 0),
			`cannot delete image "golden": instance "i" is made from it; delete that first`:                                          c.Images.Delete(ctx, "default", "golden", 0),
			`cannot find image "nobody" in project "default"`:                                                                        c.Images.Delete(ctx, "default", "nobody", 0),
			`cannot use user data that is no shell script or cloud-config: its first line must name the interpreter, as #!/bin/sh, or be #cloud-config`: func() error {
				_, err := c.Instances.Create(ctx, "default", "k", api.InstanceSpec{UserData: "echo"})
				return err
			}(),
		} {
			if textOf(got) != want {
				t.Errorf("want %q, got %v", want, got)
			}
		}
		_, err = c.Instances.Create(ctx, "default", "k", api.InstanceSpec{UserData: "#cloud-config\nusers: 7\n"})
		if api.CodeOf(err) != api.Invalid || !strings.Contains(textOf(err), "line 2") {
			t.Errorf("a cloud-config no machine could use answers %v", err)
		}
		_, err = c.Instances.Create(ctx, "default", "k", api.InstanceSpec{UserData: "#cloud-config\npackages: [nginx]\n"})
		must(t, err)
	})
}

// TestImagesInPages: the catalog and the project's own are one list.
func TestImagesInPages(t *testing.T) {
	idle(t, func(t *testing.T, p *plane) {
		c, ctx := p.cloud, asCustomer()
		for _, n := range []string{"a", "n", "o", "zz"} {
			_, err := c.Images.Create(ctx, "default", n, api.ImageSpec{Ref: "nginx:1.27"})
			must(t, err)
		}
		const want = "a alpine debian-12 n o postgres-15 python tiny ubuntu-24.04 zz"
		for limit := 1; limit <= 12; limit++ {
			var got []string
			for page := (api.Page{Limit: limit}); ; {
				l, err := c.Images.List(ctx, "default", page)
				must(t, err)
				if len(l.Items) > limit {
					t.Fatalf("a page of %d has %d", limit, len(l.Items))
				}
				for _, g := range l.Items {
					got = append(got, g.Name)
				}
				if page.After = l.Next; l.Next == "" {
					break
				}
			}
			if strings.Join(got, " ") != want {
				t.Errorf("in pages of %d there are %v, want %s", limit, got, want)
			}
		}
	})
}

// TestImagesOfInstances outlive them, are what others are made of, and wait for what they are made of.
func TestImagesOfInstances(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		ctx := asCustomer()
		s.sim.Faults().Fail("create", api.Errorf(api.Unavailable, "cannot create yet"))
		s.make(t, api.InstanceSpec{Type: "nano"})
		_, err := s.cloud.Images.Create(ctx, "default", "golden", api.ImageSpec{Instance: "x"})
		must(t, err)
		s.sim.Faults().Fail("commit", api.Errorf(api.Unavailable, "cannot commit yet"))
		s.sim.Faults().Lose("commit", api.Errorf(api.Unavailable, "cannot say whether it is committed"))
		_, err = s.cloud.Instances.Create(ctx, "default", "y", api.InstanceSpec{Type: "nano", Image: "golden"}) // waits
		must(t, err)
		time.Sleep(time.Minute)
		g, err := s.cloud.Images.Get(ctx, "default", "golden")
		must(t, err)
		if g.Status.Phase != api.Running || g.Status.Ref != "nuage-image/"+g.ID+":1" || g.Status.Digest == "" {
			t.Errorf("the image says %+v", g.Status)
		}
		must(t, s.cloud.Instances.Delete(ctx, "default", "x", 0))
		time.Sleep(time.Minute)
		if o := s.only(t); o.Name != "y" || o.Image != g.Status.Ref {
			t.Errorf("%s is made of %s", o.Name, o.Image)
		}
		must(t, s.cloud.Instances.Delete(ctx, "default", "y", 0))
		time.Sleep(time.Minute)
		must(t, s.cloud.Images.Delete(ctx, "default", "golden", 0))
		time.Sleep(time.Minute)
		must(t, converged(s))
		if _, err := s.cloud.Images.Get(ctx, "default", "golden"); api.CodeOf(err) != api.NotFound {
			t.Errorf("after its deletion it answers %v", err)
		}
	})
}

// TestImagesThatFail say why.
func TestImagesThatFail(t *testing.T) {
	staged(t, func(t *testing.T, s *scene) {
		ctx := asCustomer()
		for range 3 {
			s.sim.Faults().Fail("image", api.Errorf(api.NotFound, "cannot find image %q: no registry answered", "nginx:1.27"))
		}
		_, err := s.cloud.Images.Create(ctx, "default", "web", api.ImageSpec{Ref: "nginx:1.27"})
		must(t, err)
		says := func(name string) string {
			g, err := s.cloud.Images.Wait(ctx, "default", name, time.Minute)
			must(t, err)
			return fmt.Sprintf("%s (%s)", g.Status.Phase, g.Status.Reason)
		}
		if got, want := says("web"), `failed (cannot find image "nginx:1.27": no registry answered)`; got != want {
			t.Errorf("without a registry it is %s, want %s", got, want)
		}
		time.Sleep(time.Minute)
		if got, want := says("web"), "running (can be used)"; got != want {
			t.Errorf("with one it is %s, want %s", got, want)
		}
		for range 4 {
			s.sim.Faults().Fail("commit", api.Errorf(api.Unavailable, "cannot commit yet"))
		}
		s.make(t, api.InstanceSpec{Type: "nano"})
		s.within(t, simulated)
		_, err = s.cloud.Images.Create(ctx, "default", "late", api.ImageSpec{Instance: "x"})
		must(t, err)
		must(t, s.cloud.Instances.Delete(ctx, "default", "x", 0))
		time.Sleep(time.Minute)
		const want = `failed (instance "x" was deleted before its root disk was copied: delete this image and make another one)`
		if got := says("late"); got != want {
			t.Errorf("without its instance it is %s, want %s", got, want)
		}
		if _, err := s.cloud.Instances.Create(ctx, "default", "y", api.InstanceSpec{Image: "late"}); api.CodeOf(err) != api.Conflict {
			t.Errorf("a machine of it answers %v, want a conflict", err)
		}
		must(t, converged(s))
	})
}

func TestPlanOfAMachineWithEverything(t *testing.T) {
	w := sample()
	w.networks["default/back"] = api.Network{Meta: api.Meta{ID: "net-2", Name: "back", Project: "default"}, Spec: api.NetworkSpec{CIDR: "10.20.0.0/24"}}
	w.images = map[string]api.Image{"default/golden": {Meta: api.Meta{ID: "img-1", Name: "golden", Project: "default"}, Status: api.ImageStatus{Ref: "nuage-image/img-1:1"}}}
	w.volumes, w.disks = map[string]api.Volume{}, map[string]disk{"img-1": {ID: "img-1", Ready: true}}
	var mounts []api.VolumeMount
	for _, n := range []string{"2", "1"} {
		w.volumes["default/v"+n] = api.Volume{Meta: api.Meta{ID: "vol-a" + n, Name: "v" + n, Project: "default"}}
		w.disks["vol-a"+n] = disk{ID: "vol-a" + n, Ready: true}
		mounts = append(mounts, api.VolumeMount{Volume: "v" + n, Path: "/data" + n})
	}
	w.instances = append(w.instances, api.Instance{Meta: api.Meta{ID: "i-2", Name: "two", Project: "default"}, Spec: api.InstanceSpec{Type: "nano", Image: "golden", Network: "back", Volumes: mounts}})
	w.machines["i-2"] = machine{ID: "i-2", Project: "default", Network: "net-2", Host: 7, From: "img-1"}
	w.index()
	w.protect(nil)
	planned := func() string {
		l := w.planInstance(w.instances[1])
		if len(l) != 1 {
			return fmt.Sprint(l)
		}
		return fmt.Sprint(l[0].Image, " ", l[0].Network, " ", l[0].Address, " ", l[0].Mounts)
	}
	if got, want := planned(), "nuage-image/img-1:1 net-2 10.20.0.7 [{vol-a1  /data1 false} {vol-a2  /data2 false}]"; got != want {
		t.Errorf("it is planned as %s, want %s", got, want)
	}
	m := w.machines["i-2"]
	m.Image = "nuage-root/i-2:1"
	w.machines["i-2"] = m
	if got := planned(); !strings.HasPrefix(got, "nuage-root/i-2:1 ") {
		t.Errorf("when its root disk was committed it is planned as %s", got)
	}
	for what, lose := range map[string]func(){
		"a volume": func() { delete(w.volumes, "default/v1") },
		"a disk": func() {
			w.volumes["default/v1"] = api.Volume{Meta: api.Meta{ID: "vol-a1", Project: "default"}}
			delete(w.disks, "vol-a1")
		},
		"a network": func() { delete(w.networks, "default/back") },
	} {
		lose()
		w.index()
		w.protect(nil)
		if !w.damaged["i-2"] || len(w.planInstance(w.instances[1])) > 0 {
			t.Errorf("without %s it is still planned", what)
		}
		if l := w.planInstance(w.instances[0]); len(l) != 1 || !slices.Equal(l[0].Mounts, nil) {
			t.Errorf("without %s another one is planned as %+v", what, l)
		}
	}
}
