package compute_test

import (
	"errors"
	"net/netip"
	"testing"

	"nuage/api"
	"nuage/compute"
)

// full has every field set, so that the golden hash notices each.
func full() compute.Workload {
	return compute.Workload{
		ID: "i-1", Owner: "i-1", Kind: compute.KindInstance, Project: "p", Name: "n", Generation: 3,
		Image: "debian", Entrypoint: []string{"/e"}, Command: []string{"c"}, WorkDir: "/w", User: "u",
		Env: map[string]string{"A": "1", "B": "2"}, Hostname: "h", Aliases: []string{"a"}, Network: "net-1", Address: "10.0.0.5",
		Hosts: map[string]string{"svc": "10.0.0.6"}, Ports: []int{22},
		Mounts: []compute.Mount{{Volume: "v", Path: "/v", ReadOnly: true}, {Host: "/h", Path: "/p"}},
		Tmpfs:  map[string]string{"/t": "size=1m"}, ReadOnly: true, Caps: []string{"CHOWN"}, Privileges: true,
		Guest: compute.GuestMachine, StopSignal: "SIGTERM", Limits: compute.Limits{MilliCPU: 1}, Running: true,
	}
}

// TestTemplateStays: another hash would replace every container of everybody who upgrades.
func TestTemplateStays(t *testing.T) {
	for _, c := range []struct {
		w    compute.Workload
		want string
	}{{full(), "577ce89e5b9b2294"}, {compute.Workload{ID: "w", Image: "debian"}, "636d402a504f8b18"}} {
		if got := c.w.Template(); got != c.want {
			t.Errorf("the template of %+v is %s, was %s", c.w, got, c.want)
		}
	}
}

func TestTemplateChanges(t *testing.T) {
	was := full().Template()
	for name, change := range map[string]func(*compute.Workload){
		"generation": func(w *compute.Workload) { w.Generation++ },
		"running":    func(w *compute.Workload) { w.Running = false },
		"limits":     func(w *compute.Workload) { w.Limits = compute.Limits{Pids: 5} },
	} {
		w := full()
		if change(&w); w.Template() != was {
			t.Errorf("another %s is another template", name)
		}
	}
	for name, change := range map[string]func(*compute.Workload){
		"image":     func(w *compute.Workload) { w.Image = "x" },
		"env":       func(w *compute.Workload) { w.Env["A"] = "2" },
		"no caps":   func(w *compute.Workload) { w.Caps = []string{} },
		"caps":      func(w *compute.Workload) { w.Caps = nil },
		"mount":     func(w *compute.Workload) { w.Mounts[0].ReadOnly = false },
		"read-only": func(w *compute.Workload) { w.ReadOnly = false },
		"guest":     func(w *compute.Workload) { w.Guest = compute.GuestNone },
	} {
		w := full()
		if change(&w); w.Template() == was {
			t.Errorf("another %s is the same template", name)
		}
	}
	absent, empty := full(), full()
	absent.Env, empty.Env = nil, map[string]string{}
	if absent.Template() != empty.Template() {
		t.Error("no environment and an empty one are two templates")
	}
	usual, none := full(), full()
	usual.Caps, none.Caps = nil, []string{}
	if usual.Template() == none.Template() {
		t.Error("the usual capabilities and none are the same template")
	}
}

func TestNormalizeImage(t *testing.T) {
	const sum = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for in, want := range map[string]string{
		"debian": "debian:latest", "debian:12": "debian:12", "library/debian": "debian:latest",
		"docker.io/library/debian:12": "debian:12", "index.docker.io/nuage-image/i:1": "nuage-image/i:1", "index.example.org/a": "index.example.org/a:latest", "docker.io/nuage/tiny:1": "nuage/tiny:1", "nuage/debian-12:1": "nuage/debian-12:1",
		"localhost:5000/a/b": "localhost:5000/a/b:latest", "example.org/a__b/c-d:V_1.2": "example.org/a__b/c-d:V_1.2",
		"debian@" + sum: "debian@" + sum, "debian:12@" + sum: "debian:12@" + sum, sum: sum,
	} {
		if got, err := compute.NormalizeImage(in); got != want || err != nil {
			t.Errorf("%q is %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", " ", "Debian", "a b", "a:", "a:b:c", "a//b", "/a", "a/", "-a", "a@sha256:12", "http://a/b", "a:" + sum} {
		if got, err := compute.NormalizeImage(in); !errors.Is(err, api.Invalid) {
			t.Errorf("%q is %q, %v", in, got, err)
		}
	}
}

func TestRanges(t *testing.T) {
	for cidr, fine := range map[string]bool{
		"10.0.0.0/8": true, "10.20.0.0/24": true, "10.0.0.8/29": true,
		"": false, "10.0.0.0/30": false, "10.0.0.0/7": false, "10.0.0.1/24": false, "fd00::/64": false, "10.0.0.0": false,
	} {
		if _, err := (compute.Network{ID: "net", CIDR: cidr}).Prefix(); (err == nil) != fine {
			t.Errorf("%q: %v", cidr, err)
		}
	}
	for pool, want := range map[string]string{"": "10.0.0.0/24", "10.0.0.128/25": "10.0.0.128/25", "10.0.1.0/25": "", "10.0.0.0/23": "", "x": ""} {
		p, err := (compute.Network{ID: "net", CIDR: "10.0.0.0/24", Range: pool}).Pool()
		if (err == nil) != (want != "") || err == nil && p.String() != want {
			t.Errorf("pool %q is %v, %v; want %q", pool, p, err, want)
		}
	}
	for cidr, last := range map[string]string{"10.0.0.0/24": "10.0.0.255", "10.0.0.8/29": "10.0.0.15", "10.0.0.0/8": "10.255.255.255"} {
		if got := compute.LastAddr(netip.MustParsePrefix(cidr)).String(); got != last {
			t.Errorf("%s ends with %s, want %s", cidr, got, last)
		}
	}
}

func TestLimitsOver(t *testing.T) {
	old := compute.Limits{MilliCPU: 1, MemoryBytes: 2, Pids: 3}
	for _, c := range []struct{ ask, want compute.Limits }{
		{compute.Limits{}, old},
		{compute.Limits{MemoryBytes: 9}, compute.Limits{MilliCPU: 1, MemoryBytes: 9, Pids: 3}},
		{compute.Limits{MilliCPU: 7, MemoryBytes: 8, Pids: 9}, compute.Limits{MilliCPU: 7, MemoryBytes: 8, Pids: 9}},
	} {
		if got := c.ask.Over(old); got != c.want {
			t.Errorf("%+v over %+v is %+v, want %+v", c.ask, old, got, c.want)
		}
	}
}
