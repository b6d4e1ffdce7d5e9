package apitest

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"nuage/api"
)

// machines is a project in which a test makes machines and what belongs to them.
type machines struct {
	*suite
	project   string
	instances trial[api.Instance, api.InstanceSpec]
	volumes   trial[api.Volume, api.VolumeSpec]
	snapshots trial[api.Snapshot, api.SnapshotSpec]
	images    trial[api.Image, api.ImageSpec]
	networks  trial[api.Network, api.NetworkSpec]
	balancers trial[api.LoadBalancer, api.LoadBalancerSpec]
	groups    trial[api.InstanceGroup, api.InstanceGroupSpec]
}

func (s *suite) machines(t *testing.T) machines {
	t.Helper()
	p, c := s.project(t), s.Cloud
	if c.Volumes == nil || c.Snapshots == nil || c.Images == nil || c.Networks == nil || c.LoadBalancers == nil || c.InstanceGroups == nil {
		t.Fatal("the cloud lacks a noun")
	}
	return machines{s, p,
		trial[api.Instance, api.InstanceSpec]{instances(), s, s.Context, p, c.Instances},
		trial[api.Volume, api.VolumeSpec]{volumes(), s, s.Context, p, c.Volumes},
		trial[api.Snapshot, api.SnapshotSpec]{snapshots(), s, s.Context, p, c.Snapshots},
		trial[api.Image, api.ImageSpec]{images(), s, s.Context, p, c.Images},
		trial[api.Network, api.NetworkSpec]{networks(), s, s.Context, p, c.Networks},
		trial[api.LoadBalancer, api.LoadBalancerSpec]{loadBalancers(), s, s.Context, p, c.LoadBalancers},
		trial[api.InstanceGroup, api.InstanceGroupSpec]{instanceGroups(), s, s.Context, p, c.InstanceGroups},
	}
}

// made creates a noun with a spec of the test's own, waits until it runs, and removes it with the test.
func made[T, S any](t *testing.T, x trial[T, S], name string, spec S) T {
	t.Helper()
	_, err := x.r.Create(x.ctx, x.project, name, spec)
	must(t, "create "+name, err)
	t.Cleanup(func() { x.remove(t, name) })
	return x.settled(t, name)
}

// placement checks what networks and instances have to do with each other.
func (s *suite) placement(t *testing.T) {
	m := s.machines(t)
	n := made(t, m.networks, "back", api.NetworkSpec{CIDR: s.cidr(m.project, "back")})
	i := made(t, m.instances, "db", api.InstanceSpec{Type: "nano", Network: "back", Private: true})
	if !within(t, n.Spec.CIDR, i.Status.Address) || i.Status.Address == n.Status.Gateway || !within(t, n.Spec.CIDR, n.Status.Gateway) {
		t.Errorf("in %s, with the gateway %q, the instance has the address %q", n.Spec.CIDR, n.Status.Gateway, i.Status.Address)
	}
	if i.Status.Public || i.Status.SSH != nil || len(i.Status.Ports) > 0 {
		t.Errorf("a private instance can be reached: %+v", i.Status)
	}
	n, err := s.Cloud.Networks.Get(s.Context, m.project, "back")
	must(t, "get", err)
	if n.Status.Instances != 1 {
		t.Errorf("the network counts %d instances, want 1", n.Status.Instances)
	}
	wants(t, "delete a network in use", s.Cloud.Networks.Delete(s.Context, m.project, "back", 0), api.Conflict)
	wants(t, "delete the default network", s.Cloud.Networks.Delete(s.Context, m.project, "default", 0), api.Conflict)
	_, err = s.Cloud.Networks.Create(s.Context, m.project, "twin", api.NetworkSpec{CIDR: n.Spec.CIDR})
	wants(t, "a range that is taken", err, api.Conflict)
	_, err = s.Cloud.Networks.Update(s.Context, m.project, "back", api.NetworkSpec{CIDR: "10.78.0.0/24"}, 0)
	wants(t, "change the range", err, api.Conflict)
	spec := i.Spec
	spec.Network = "default"
	_, err = s.Cloud.Instances.Update(s.Context, m.project, "db", spec, 0)
	wants(t, "move an instance to another network", err, api.Conflict)
}

// attachments checks the verbs of volumes.
func (s *suite) attachments(t *testing.T) {
	m := s.machines(t)
	v := made(t, m.volumes, "data", api.VolumeSpec{SizeBytes: 8 * mib})
	if v.Status.Attached != nil {
		t.Errorf("a new volume is attached at %+v", v.Status.Attached)
	}
	made(t, m.instances, "db", api.InstanceSpec{Type: "nano"})
	to := api.Attachment{Instance: "db", Path: "/srv"}
	attach := func(name string, to api.Attachment, restart bool) error {
		_, err := s.Cloud.Volumes.Attach(s.Context, m.project, name, to, restart)
		return err
	}
	wants(t, "attach nobody", attach("nobody", to, true), api.NotFound)
	wants(t, "attach to nobody", attach("data", api.Attachment{Instance: "nobody", Path: "/srv"}, true), api.NotFound)
	for _, path := range []string{"", "srv", "/", "/proc", "/a/../b"} {
		wants(t, "attach at "+path, attach("data", api.Attachment{Instance: "db", Path: path}, true), api.Invalid)
	}
	wants(t, "attach to what runs", attach("data", to, false), api.Conflict)
	wants(t, "attach with a restart", attach("data", to, true), "")
	m.instances.settled(t, "db")
	if v = m.volumes.settled(t, "data"); v.Status.Attached == nil || *v.Status.Attached != to {
		t.Errorf("it is attached at %+v, want %+v", v.Status.Attached, to)
	}
	wants(t, "attach again", attach("data", api.Attachment{Instance: "db", Path: "/other"}, true), api.Conflict)
	made(t, m.volumes, "more", api.VolumeSpec{SizeBytes: 8 * mib})
	wants(t, "attach at a path that is taken", attach("more", to, true), api.Conflict)
	wants(t, "delete what is attached", s.Cloud.Volumes.Delete(s.Context, m.project, "data", 0), api.Conflict)
	m.shrinks(t, v)
	m.detaches(t)
}

func (m machines) shrinks(t *testing.T, v api.Volume) {
	t.Helper()
	_, err := m.Cloud.Volumes.Update(m.Context, m.project, "data", api.VolumeSpec{SizeBytes: v.Spec.SizeBytes - mib}, 0)
	wants(t, "shrink", err, api.Conflict)
}

// detaches checks that a volume outlives its attachment, and its instance.
func (m machines) detaches(t *testing.T) {
	t.Helper()
	_, err := m.Cloud.Volumes.Detach(m.Context, m.project, "data", false)
	wants(t, "detach from what runs", err, api.Conflict)
	_, err = m.Cloud.Volumes.Detach(m.Context, m.project, "data", true)
	wants(t, "detach with a restart", err, "")
	m.instances.settled(t, "db")
	if v := m.volumes.settled(t, "data"); v.Status.Attached != nil {
		t.Errorf("a detached volume is attached at %+v", v.Status.Attached)
	}
	_, err = m.Cloud.Volumes.Detach(m.Context, m.project, "data", false)
	wants(t, "detach again", err, "")
	_, err = m.Cloud.Volumes.Detach(m.Context, m.project, "nobody", false)
	wants(t, "detach nobody", err, api.NotFound)
	made(t, m.instances, "brief", api.InstanceSpec{Type: "nano", Volumes: []api.VolumeMount{{Volume: "data", Path: "/data"}}})
	m.instances.remove(t, "brief")
	if v := m.volumes.settled(t, "data"); v.Status.Attached != nil {
		t.Errorf("after its instance was deleted a volume is attached at %+v", v.Status.Attached)
	}
}

// copies checks snapshots and what is restored from them.
func (s *suite) copies(t *testing.T) {
	m := s.machines(t)
	made(t, m.volumes, "data", api.VolumeSpec{SizeBytes: 8 * mib})
	snapshot := made(t, m.snapshots, "monday", api.SnapshotSpec{Volume: "data"})
	if snapshot.Status.VolumeSize != 8*mib {
		t.Errorf("the snapshot is of a volume of %d bytes, want %d", snapshot.Status.VolumeSize, 8*mib)
	}
	m.volumes.remove(t, "data") // the snapshot stays
	if v := made(t, m.volumes, "again", api.VolumeSpec{Snapshot: "monday"}); v.Spec.SizeBytes != 8*mib {
		t.Errorf("the restored volume has %d bytes, want %d", v.Spec.SizeBytes, 8*mib)
	}
	_, err := s.Cloud.Volumes.Create(s.Context, m.project, "small", api.VolumeSpec{Snapshot: "monday", SizeBytes: mib})
	wants(t, "restore into too small a volume", err, api.Invalid)
	made(t, m.volumes, "larger", api.VolumeSpec{Snapshot: "monday", SizeBytes: 16 * mib})
	m.snapshots.remove(t, "monday")
	m.volumes.settled(t, "again") // so does the volume
}

// catalog checks what images there are from the start, and an image of an instance.
func (s *suite) catalog(t *testing.T) {
	m := s.machines(t)
	names := m.images.list(t, api.Page{})
	for _, want := range []string{"alpine", "debian-12", "tiny", "ubuntu-24.04"} {
		if !slices.Contains(names, want) {
			t.Errorf("the catalog %q lacks %s", names, want)
		}
	}
	debian, err := s.Cloud.Images.Get(s.Context, m.project, "debian-12")
	must(t, "get", err)
	if !debian.Status.Catalog || debian.Status.Ref == "" || debian.Spec != (api.ImageSpec{}) {
		t.Errorf("debian-12 is %+v", debian)
	}
	wants(t, "delete an image of the catalog", s.Cloud.Images.Delete(s.Context, m.project, "debian-12", 0), api.Conflict)
	_, err = s.Cloud.Images.Create(s.Context, m.project, "tiny", api.ImageSpec{Ref: "nuage/tiny:1"})
	wants(t, "take a name of the catalog", err, api.Conflict)
	made(t, m.instances, "web", api.InstanceSpec{Type: "nano"})
	golden := made(t, m.images, "golden", api.ImageSpec{Instance: "web"})
	if golden.Status.Catalog || golden.Status.Ref == "" {
		t.Errorf("an image of an instance is %+v", golden.Status)
	}
	made(t, m.instances, "web-2", api.InstanceSpec{Type: "nano", Image: "golden"})
	wants(t, "delete an image in use", s.Cloud.Images.Delete(s.Context, m.project, "golden", 0), api.Conflict)
	m.instances.remove(t, "web-2")
}

// reclaim checks that a spot instance goes after its notice, and that no other does.
func (s *suite) reclaim(t *testing.T) {
	m := s.machines(t)
	made(t, m.instances, "steady", api.InstanceSpec{Type: "nano"})
	made(t, m.volumes, "data", api.VolumeSpec{SizeBytes: 8 * mib})
	made(t, m.instances, "spot", api.InstanceSpec{Type: "nano", Spot: true, Volumes: []api.VolumeMount{{Volume: "data", Path: "/data"}}})
	take := func(name string, notice time.Duration) (api.Instance, error) {
		return s.Cloud.Instances.Reclaim(s.Context, m.project, name, notice)
	}
	_, err := take("steady", time.Minute)
	wants(t, "reclaim what is not spot", err, api.Conflict)
	_, err = take("nobody", time.Minute)
	wants(t, "reclaim nobody", err, api.NotFound)
	for _, notice := range []time.Duration{-time.Second, time.Hour + time.Second} {
		_, err = take("spot", notice)
		wants(t, "a notice of "+notice.String(), err, api.Invalid)
	}
	first, err := take("spot", time.Hour)
	must(t, "reclaim", err)
	second, err := take("spot", time.Second)
	must(t, "reclaim sooner", err)
	if first.Status.Reclaim == nil || second.Status.Reclaim == nil || !second.Status.Reclaim.Before(*first.Status.Reclaim) {
		t.Errorf("it is taken back at %v, and when hastened at %v", first.Status.Reclaim, second.Status.Reclaim)
	}
	m.vanishes(t, "spot")
	if v := m.volumes.settled(t, "data"); v.Status.Attached != nil {
		t.Errorf("the volume of what was taken back is attached at %+v", v.Status.Attached)
	}
}

// vanishes waits until an instance that nobody deletes is gone.
func (m machines) vanishes(t *testing.T, name string) {
	t.Helper()
	for end := time.Now().Add(m.Patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := m.Cloud.Instances.Get(m.Context, m.project, name); api.CodeOf(err) == api.NotFound {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("instance %s is there after %s", name, m.Patience)
		}
	}
}

func (s *suite) instanceMetrics(t *testing.T) {
	m := s.machines(t)
	i := made(t, m.instances, "one", api.InstanceSpec{Type: "nano"})
	_, err := s.Cloud.Instances.Metrics(s.Context, m.project, "nobody")
	wants(t, "metrics of nobody", err, api.NotFound)
	for end := time.Now().Add(s.Patience); ; time.Sleep(20 * time.Millisecond) {
		sample, err := s.Cloud.Instances.Metrics(s.Context, m.project, "one")
		if api.CodeOf(err) == api.Unsupported && !s.Guests {
			break
		}
		if err == nil {
			if sample.At.Before(i.CreatedAt) || sample.MemoryLimit != 256*mib || sample.ProcessLimit <= 0 {
				t.Errorf("the sample is %+v", sample)
			}
			break
		}
		wants(t, "metrics before the first sample", err, api.Unavailable)
		if time.Now().After(end) {
			t.Fatalf("no sample after %s: %v", s.Patience, err)
		}
	}
	_, err = s.Cloud.Instances.Power(s.Context, m.project, "one", api.PowerStop)
	must(t, "stop", err)
	_, err = m.instances.r.Wait(s.Context, m.project, "one", s.Patience)
	must(t, "wait", err)
	_, err = s.Cloud.Instances.Metrics(s.Context, m.project, "one")
	if code := api.CodeOf(err); code != api.Conflict && (s.Guests || code != api.Unsupported) {
		t.Errorf("metrics of what is stopped: %v", err)
	}
}

// quotas checks that a project gets what it may have, and no more.
func (s *suite) quotas(t *testing.T) {
	m := s.machines(t)
	limit := func(q api.Quota) {
		t.Helper()
		_, err := s.Cloud.Projects.Update(s.Context, m.project, api.ProjectSpec{Quota: q}, 0)
		must(t, "set a quota", err)
	}
	made(t, m.instances, "one", api.InstanceSpec{Type: "nano"})
	made(t, m.volumes, "data", api.VolumeSpec{SizeBytes: 8 * mib})
	p, err := s.Cloud.Projects.Get(s.Context, m.project)
	must(t, "get", err)
	if want := (api.Quota{Instances: 1, MilliCPU: 250, MemoryBytes: 256 * mib, Volumes: 1, VolumeBytes: 8 * mib}); p.Status.Used != want {
		t.Errorf("the project uses %+v, want %+v", p.Status.Used, want)
	}
	for why, q := range map[string]api.Quota{"instances": {Instances: 1}, "vCPU": {MilliCPU: 499}, "memory": {MemoryBytes: 511 * mib}} {
		limit(q)
		_, err := s.Cloud.Instances.Create(s.Context, m.project, "two", api.InstanceSpec{Type: "nano"})
		wants(t, "one instance too many for its "+why, err, api.Exhausted)
	}
	for why, q := range map[string]api.Quota{"volumes": {Volumes: 1}, "sizes": {VolumeBytes: 15 * mib}} {
		limit(q)
		_, err := s.Cloud.Volumes.Create(s.Context, m.project, "more", api.VolumeSpec{SizeBytes: 8 * mib})
		wants(t, "one volume too many for the quota of "+why, err, api.Exhausted)
	}
	limit(api.Quota{Instances: 1, MilliCPU: 100}) // less than is there: that stays
	m.instances.settled(t, "one")
	_, err = s.Cloud.Projects.Update(s.Context, m.project, api.ProjectSpec{Quota: api.Quota{Instances: -1}}, 0)
	wants(t, "a quota below nothing", err, api.Invalid)
	_, err = s.Cloud.Projects.Update(s.Context, m.project, api.ProjectSpec{}, 99)
	wants(t, "update another generation", err, api.Conflict)
	_, err = s.Cloud.Projects.Update(s.Context, fresh("nowhere"), api.ProjectSpec{}, 0)
	wants(t, "update no project", err, api.NotFound)
	c, ctx := s.limited(t, m.project)
	_, err = c.Projects.Update(ctx, m.project, api.ProjectSpec{}, 0)
	wants(t, "raise one's own quota", err, api.Forbidden)
	limit(api.Quota{})
	made(t, m.instances, "two", api.InstanceSpec{Type: "nano"})
}

// balancing checks where a load balancer says it is and what it says of its targets.
func (s *suite) balancing(t *testing.T) {
	m := s.machines(t)
	made(t, m.instances, "web", api.InstanceSpec{Type: "nano"})
	b := made(t, m.balancers, "front", api.LoadBalancerSpec{Port: 8080, Targets: []api.Target{{Instance: "web", Port: 22}}, Protocol: "tcp"})
	if there := b.Status.Endpoint != nil && b.Status.Endpoint.Port > 0; there != s.Guests {
		t.Errorf("it is reached at %+v", b.Status.Endpoint)
	}
	if len(b.Status.Targets) != 1 || b.Status.Targets[0].Instance != "web" {
		t.Errorf("its targets are %+v", b.Status.Targets)
	}
}

// members checks that a group has as many as it shall, made from its template, and that they go with it.
func (s *suite) members(t *testing.T) {
	m := s.machines(t)
	g := made(t, m.groups, "fleet", api.InstanceGroupSpec{Min: 2, Max: 3, Template: api.InstanceSpec{Type: "nano", Tags: map[string]string{"class": "lab"}}})
	if g.Status.Desired != 2 || len(g.Status.Members) != 2 {
		t.Fatalf("of 2 members at least it has %+v", g.Status)
	}
	for _, member := range g.Status.Members {
		i, err := s.Cloud.Instances.Get(s.Context, m.project, member.Instance)
		must(t, "get a member", err)
		if i.Status.Group != "fleet" || i.Spec.Type != "nano" || i.Spec.Tags["class"] != "lab" || !member.Current {
			t.Errorf("member %+v is %+v", member, i)
		}
	}
	gone := g.Status.Members[0].Instance
	wants(t, "delete a member", s.Cloud.Instances.Delete(s.Context, m.project, gone, 0), "")
	m.vanishes(t, gone)
	m.replaced(t, "fleet", gone)
	m.groups.remove(t, "fleet")
	if names := m.instances.list(t, api.Page{}); len(names) > 0 {
		t.Errorf("the deleted group has left %q", names)
	}
}

// replaced waits until a group has two members again, without the one that is gone.
func (m machines) replaced(t *testing.T, group, gone string) {
	t.Helper()
	for end := time.Now().Add(m.Patience); ; time.Sleep(20 * time.Millisecond) {
		g, err := m.groups.r.Get(m.Context, m.project, group)
		must(t, "get the group", err)
		lost := slices.ContainsFunc(g.Status.Members, func(x api.GroupMember) bool { return x.Instance == gone })
		if !lost && len(g.Status.Members) == 2 && api.Settled(g.Meta, g.Status.Status) && g.Status.Phase == api.Running {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s after the loss of a member the group is %+v", m.Patience, g.Status)
		}
	}
}

// within reports whether an address is in a range.
func within(t *testing.T, cidr, address string) bool {
	t.Helper()
	p, err := netip.ParsePrefix(cidr)
	must(t, "read the range", err)
	a, err := netip.ParseAddr(address)
	return err == nil && p.Contains(a)
}
