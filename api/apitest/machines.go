package apitest

import (
	"fmt"
	"testing"

	"nuage/api"
)

// cidr is a range for the network called name, the same one each time.
func (s *suite) cidr(project, name string) string {
	if s.ranges == nil {
		s.ranges = map[string]string{}
	}
	key := project + "/" + name
	if s.ranges[key] == "" {
		s.ranges[key] = fmt.Sprintf("10.77.%d.0/24", len(s.ranges))
	}
	return s.ranges[key]
}

func networks() kind[api.Network, api.NetworkSpec] {
	return kind[api.Network, api.NetworkSpec]{
		noun:     "network",
		resource: func(c api.Cloud) api.Resource[api.Network, api.NetworkSpec] { return c.Networks },
		spec: func(_ *testing.T, s *suite, project, name string) api.NetworkSpec {
			return api.NetworkSpec{CIDR: s.cidr(project, name)}
		},
		change: func(n api.NetworkSpec) api.NetworkSpec {
			n.NoNAT = true
			return n
		},
		bad: []bad[api.NetworkSpec]{
			{"no range", api.NetworkSpec{}, api.Invalid},
			{"a range that is none", api.NetworkSpec{CIDR: "10.77.0.0"}, api.Invalid},
			{"IPv6", api.NetworkSpec{CIDR: "fd00::/64"}, api.Invalid},
			{"too large", api.NetworkSpec{CIDR: "10.0.0.0/8"}, api.Invalid},
			{"too small", api.NetworkSpec{CIDR: "10.77.0.0/29"}, api.Invalid},
			{"somebody's on the Internet", api.NetworkSpec{CIDR: "8.8.8.0/24"}, api.Invalid},
			{"of the default networks", api.NetworkSpec{CIDR: "10.128.0.0/16"}, api.Conflict},
		},
		meta: func(v *api.Network) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

const mib = 1 << 20

func volumes() kind[api.Volume, api.VolumeSpec] {
	return kind[api.Volume, api.VolumeSpec]{
		noun:     "volume",
		resource: func(c api.Cloud) api.Resource[api.Volume, api.VolumeSpec] { return c.Volumes },
		spec:     func(*testing.T, *suite, string, string) api.VolumeSpec { return api.VolumeSpec{SizeBytes: 8 * mib} },
		change: func(v api.VolumeSpec) api.VolumeSpec {
			v.SizeBytes += 8 * mib
			return v
		},
		bad: []bad[api.VolumeSpec]{
			{"no size", api.VolumeSpec{}, api.Invalid},
			{"less than nothing", api.VolumeSpec{SizeBytes: -1}, api.Invalid},
			{"too small", api.VolumeSpec{SizeBytes: mib - 1}, api.Invalid},
			{"too large", api.VolumeSpec{SizeBytes: 16<<40 + 1}, api.Invalid},
			{"unknown snapshot", api.VolumeSpec{Snapshot: "nobody"}, api.NotFound},
		},
		meta: func(v *api.Volume) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

func snapshots() kind[api.Snapshot, api.SnapshotSpec] {
	return kind[api.Snapshot, api.SnapshotSpec]{
		noun: "snapshot", fixed: true,
		resource: func(c api.Cloud) api.Resource[api.Snapshot, api.SnapshotSpec] { return c.Snapshots },
		spec: func(t *testing.T, s *suite, project, name string) api.SnapshotSpec {
			x := trial[api.Volume, api.VolumeSpec]{volumes(), s, s.Context, project, s.Cloud.Volumes}
			if _, err := x.r.Get(s.Context, project, "of-"+name); err != nil {
				_, err := x.r.Create(s.Context, project, "of-"+name, api.VolumeSpec{SizeBytes: 8 * mib})
				must(t, "create a volume", err)
				x.settled(t, "of-"+name)
			}
			return api.SnapshotSpec{Volume: "of-" + name}
		},
		clean: func(t *testing.T, s *suite, project, name string) {
			trial[api.Volume, api.VolumeSpec]{volumes(), s, s.Context, project, s.Cloud.Volumes}.remove(t, "of-"+name)
		},
		bad: []bad[api.SnapshotSpec]{
			{"no volume", api.SnapshotSpec{}, api.Invalid},
			{"unknown volume", api.SnapshotSpec{Volume: "nobody"}, api.NotFound},
		},
		meta: func(v *api.Snapshot) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

// images makes images of one that this machine has.
func images() kind[api.Image, api.ImageSpec] {
	return kind[api.Image, api.ImageSpec]{
		noun: "image", fixed: true,
		resource: func(c api.Cloud) api.Resource[api.Image, api.ImageSpec] { return c.Images },
		spec:     func(*testing.T, *suite, string, string) api.ImageSpec { return api.ImageSpec{Ref: "nuage/tiny:1"} },
		bad: []bad[api.ImageSpec]{
			{"from nothing", api.ImageSpec{}, api.Invalid},
			{"from two things", api.ImageSpec{Ref: "nuage/tiny:1", Instance: "nobody"}, api.Invalid},
			{"a reference that is none", api.ImageSpec{Ref: "a b"}, api.Invalid},
			{"unknown instance", api.ImageSpec{Instance: "nobody"}, api.NotFound},
		},
		meta: func(v *api.Image) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

func loadBalancers() kind[api.LoadBalancer, api.LoadBalancerSpec] {
	one := func(t api.Target) api.LoadBalancerSpec {
		return api.LoadBalancerSpec{Port: 8080, Targets: []api.Target{t}}
	}
	return kind[api.LoadBalancer, api.LoadBalancerSpec]{
		noun:     "load-balancer",
		resource: func(c api.Cloud) api.Resource[api.LoadBalancer, api.LoadBalancerSpec] { return c.LoadBalancers },
		spec: func(t *testing.T, s *suite, project, name string) api.LoadBalancerSpec {
			if _, err := s.Cloud.Instances.Get(s.Context, project, "for-"+name); err != nil {
				x := trial[api.Instance, api.InstanceSpec]{instances(), s, s.Context, project, s.Cloud.Instances}
				_, err := x.r.Create(s.Context, project, "for-"+name, api.InstanceSpec{Type: "nano"})
				must(t, "create an instance", err)
				x.settled(t, "for-"+name)
			}
			return one(api.Target{Instance: "for-" + name, Port: 22})
		},
		clean: func(t *testing.T, s *suite, project, name string) {
			trial[api.Instance, api.InstanceSpec]{instances(), s, s.Context, project, s.Cloud.Instances}.remove(t, "for-"+name)
		},
		change: func(s api.LoadBalancerSpec) api.LoadBalancerSpec {
			s.Algorithm = "least-connections"
			return s
		},
		bad: []bad[api.LoadBalancerSpec]{
			{"no port", api.LoadBalancerSpec{Targets: []api.Target{}}, api.Invalid},
			{"no such port", api.LoadBalancerSpec{Port: 65536, Targets: []api.Target{}}, api.Invalid},
			{"unknown protocol", api.LoadBalancerSpec{Port: 80, Protocol: "gopher", Targets: []api.Target{}}, api.Invalid},
			{"unknown algorithm", api.LoadBalancerSpec{Port: 80, Algorithm: "luck", Targets: []api.Target{}}, api.Invalid},
			{"a target that is nothing", one(api.Target{Port: 80}), api.Invalid},
			{"a target that is two things", one(api.Target{Instance: "a", Group: "b", Port: 80}), api.Invalid},
			{"a target without a port", one(api.Target{Instance: "nobody"}), api.Invalid},
			{"PROXY protocol before HTTP", api.LoadBalancerSpec{Port: 80, ProxyProtocol: true, Targets: []api.Target{}}, api.Invalid},
			{"a health path that is none", api.LoadBalancerSpec{Port: 80, Health: api.HealthCheck{Path: "up"}, Targets: []api.Target{}}, api.Invalid},
			{"unknown instance", one(api.Target{Instance: "nobody", Port: 80}), api.NotFound},
			{"unknown group", one(api.Target{Group: "nobody", Port: 80}), api.NotFound},
		},
		meta: func(v *api.LoadBalancer) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

func instanceGroups() kind[api.InstanceGroup, api.InstanceGroupSpec] {
	nano := api.InstanceSpec{Type: "nano"}
	return kind[api.InstanceGroup, api.InstanceGroupSpec]{
		noun:     "instance-group",
		resource: func(c api.Cloud) api.Resource[api.InstanceGroup, api.InstanceGroupSpec] { return c.InstanceGroups },
		spec: func(*testing.T, *suite, string, string) api.InstanceGroupSpec {
			return api.InstanceGroupSpec{Min: 1, Max: 2, Template: nano}
		},
		change: func(g api.InstanceGroupSpec) api.InstanceGroupSpec {
			g.Min = 2
			return g
		},
		bad: []bad[api.InstanceGroupSpec]{
			{"no most", api.InstanceGroupSpec{Template: nano}, api.Invalid},
			{"fewer than none", api.InstanceGroupSpec{Min: -1, Max: 1, Template: nano}, api.Invalid},
			{"more at least than at most", api.InstanceGroupSpec{Min: 3, Max: 2, Template: nano}, api.Invalid},
			{"too many", api.InstanceGroupSpec{Min: 1, Max: 101, Template: nano}, api.Invalid},
			{"more than all of a CPU", api.InstanceGroupSpec{Min: 1, Max: 2, CPU: 101, Template: nano}, api.Invalid},
			{"an unknown type", api.InstanceGroupSpec{Min: 1, Max: 2, Template: api.InstanceSpec{Type: "huge"}}, api.Invalid},
			{"members with one disk", api.InstanceGroupSpec{Min: 1, Max: 2, Template: api.InstanceSpec{Type: "nano", Volumes: []api.VolumeMount{{Volume: "data", Path: "/data"}}}}, api.Invalid},
			{"an unknown key", api.InstanceGroupSpec{Min: 1, Max: 2, Template: api.InstanceSpec{Type: "nano", Key: "nobody"}}, api.NotFound},
			{"an unknown network", api.InstanceGroupSpec{Min: 1, Max: 2, Template: api.InstanceSpec{Type: "nano", Network: "nobody"}}, api.NotFound},
		},
		meta: func(v *api.InstanceGroup) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}
