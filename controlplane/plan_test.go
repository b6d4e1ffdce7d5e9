package controlplane

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/guest/link"
)

// sample is a world with one of each, built anew each time so that no order of a map is shared.
func sample() *world {
	w := &world{
		projects: map[string]api.Project{"default": {Meta: api.Meta{ID: "prj-1", Name: "default", Project: "default"}, Status: api.ProjectStatus{CIDR: "10.128.0.0/22"}}},
		keys:     map[string]api.Key{}, groups: map[string]api.SecurityGroup{}, machines: map[string]machine{}, releases: map[string]release{},
		drains: map[string][]drain{}, servers: map[string]server{}, logins: map[string]login{}, numbered: map[string]map[int]login{}, tracks: map[string]track{}, damaged: map[string]bool{},
	}
	meta := func(id, name string) api.Meta { return api.Meta{ID: id, Name: name, Project: "default", Generation: 1} }
	env := map[string]string{}
	for i := range 20 {
		env[fmt.Sprint("V", i)] = fmt.Sprint(i)
	}
	w.networks = map[string]api.Network{"default/default": {Meta: meta("net-1", "default"), Spec: api.NetworkSpec{CIDR: "10.128.0.0/22"}}}
	w.instances = []api.Instance{{Meta: meta("i-1", "one"), Spec: api.InstanceSpec{Image: "debian-12", Type: "small", Env: env}}}
	w.machines["i-1"] = machine{ID: "i-1", Project: "default", Host: 10}
	w.databases = []api.Database{{Meta: meta("db-1", "data"), Spec: api.DatabaseSpec{Engine: "postgres", Size: "micro"}}}
	w.servers["db-1"] = server{ID: "db-1", Project: "default", Host: 11, Volume: "vol-1"}
	w.logins["db-1"] = login{"nuage", "secret", "data"}
	w.numbered["db-1"] = map[int]login{0: w.logins["db-1"]}
	two := 2
	w.apps = []api.App{{Meta: meta("app-1", "web"), Spec: api.AppSpec{Image: "web:1", Replicas: &two}, Status: api.AppStatus{Release: 1}}}
	w.releases["app-1/0000000001"] = release{App: "app-1", Release: api.Release{Number: 1, Image: "sha256:1", State: serving,
		Spec: api.AppSpec{Port: 8080, Size: "nano", Env: env, Database: "data"}}}
	w.appNetworks = map[string]appNetwork{"app-1": {App: "app-1", CIDR: "10.192.0.0/22"}}
	w.index()
	w.protect(nil)
	return w
}

func templates(w *world) map[string]string {
	out := map[string]string{}
	for _, l := range w.plan() {
		out[l.ID] = l.Template()
	}
	return out
}

func TestPlansAreStable(t *testing.T) {
	want := templates(sample())
	if len(want) != 4 {
		t.Fatalf("planned are %v, want an instance, a database and two replicas", want)
	}
	for range 50 {
		if got := templates(sample()); !reflect.DeepEqual(got, want) {
			t.Fatalf("the same world gave the templates %v and %v", want, got)
		}
	}
}

// TestTemplatesKeepWithLiveFields: what changes in place must not replace a container.
func TestTemplatesKeepWithLiveFields(t *testing.T) {
	want := templates(sample())
	for what, change := range map[string]func(*world){
		"a generation": func(w *world) { w.instances[0].Generation, w.databases[0].Generation, w.apps[0].Generation = 9, 9, 9 },
		"a size":       func(w *world) { w.instances[0].Spec.Type, w.databases[0].Spec.Size = "large", "large" },
		"a stop":       func(w *world) { w.instances[0].Spec.Stopped = true },
		"a reboot":     func(w *world) { w.instances[0].Spec.Boot = 3 },
		"tags":         func(w *world) { w.instances[0].Spec.Tags = map[string]string{"a": "b"} },
		"a group":      func(w *world) { w.instances[0].Spec.SecurityGroups = []string{"other"} },
		"a status":     func(w *world) { w.instances[0].Status.Phase, w.apps[0].Status.Restarts = api.Failed, 7 },
		"restarts":     func(w *world) { w.tracks["i-1"] = track{ID: "i-1", Restarts: 5, Quick: 2} },
	} {
		w := sample()
		change(w)
		if got := templates(w); !reflect.DeepEqual(got, want) {
			t.Errorf("%s changed the templates from %v to %v", what, want, got)
		}
	}
}

func TestScalingKeepsReplicas(t *testing.T) {
	want, w := templates(sample()), sample()
	three := 3
	w.apps[0].Spec.Replicas = &three
	got := templates(w)
	if len(got) != 5 || got["app-1-r1-0"] != want["app-1-r1-0"] || got["app-1-r1-2"] == "" {
		t.Errorf("with three replicas the templates are %v, were %v", got, want)
	}
}

func TestPlanOfEach(t *testing.T) {
	plans := map[string]compute.Workload{}
	for _, l := range sample().plan() {
		plans[l.ID] = l
	}
	i, d, a := plans["i-1"], plans["db-1"], plans["app-1-r1-1"]
	if i.Address != "10.128.0.10" || i.Network != "net-1" || i.Guest != compute.GuestMachine || !slices.Equal(i.Ports, []int{22}) || !i.Running {
		t.Errorf("the instance is planned as %+v", i)
	}
	if d.Address != "10.128.0.11" || !reflect.DeepEqual(d.Mounts, []compute.Mount{{Volume: "vol-1", Path: "/var/lib/postgresql/data"}}) || d.Env["POSTGRES_PASSWORD"] != "secret" || !slices.Equal(d.Aliases, []string{"data.db.internal"}) {
		t.Errorf("the database is planned as %+v", d)
	}
	const url = "postgres://nuage:secret@data.db.internal:5432/data?sslmode=disable"
	if a.Env["DATABASE_URL"] != url || a.Env["PORT"] != "8080" || a.Env["NUAGE_APP"] != "web" || a.Env["NUAGE_RELEASE"] != "1" || a.Address != "" || a.Privileges {
		t.Errorf("the replica is planned as %+v", a)
	}
	for _, l := range plans {
		if len(l.Caps) > 0 || l.Limits.MemoryBytes == 0 || l.Limits.MilliCPU == 0 || l.Limits.Pids == 0 {
			t.Errorf("%s has capabilities %v and limits %+v", l.ID, l.Caps, l.Limits)
		}
	}
}

// TestDamagedIsLeftAlone: where something of a noun can't be read, nothing of it is planned, and nothing removed.
func TestDamagedIsLeftAlone(t *testing.T) {
	for what, lose := range map[string]func(*world) []string{
		"a machine":  func(w *world) []string { delete(w.machines, "i-1"); return []string{"i-1"} },
		"a password": func(w *world) []string { delete(w.logins, "db-1"); return []string{"db-1", "app-1"} },
		"a release":  func(w *world) []string { delete(w.releases, "app-1/0000000001"); return []string{"app-1"} },
		"a database": func(w *world) []string { w.databases = nil; return []string{"app-1"} },
		"a project":  func(w *world) []string { delete(w.projects, "default"); return []string{"i-1", "db-1", "app-1"} },
	} {
		w := sample()
		lost := lose(w)
		w.index()
		w.protect(nil)
		for _, id := range lost {
			if !w.damaged[id] {
				t.Errorf("without %s %s is not kept safe", what, id)
			}
		}
		for _, l := range w.plan() {
			if slices.Contains(lost, l.Owner) {
				t.Errorf("without %s %s is planned", what, l.ID)
			}
		}
		observed := map[string]compute.Observed{}
		for _, l := range sample().plan() {
			if w.damaged[l.Owner] {
				observed[l.ID] = compute.Observed{ID: l.ID, Owner: l.Owner, Kind: l.Kind, State: compute.StateRunning}
			}
		}
		for _, s := range diff(w.plan(), observed, nil, w.damaged) {
			if w.damaged[s.workload.Owner] {
				t.Errorf("without %s the step is %s %s", what, s.verb, s.workload.ID)
			}
		}
	}
}

func TestDeletedIsNotKeptThoughDamaged(t *testing.T) {
	w, now := sample(), time.Now()
	delete(w.machines, "i-1")
	w.instances[0].DeletedAt = &now
	w.protect(nil)
	if w.damaged["i-1"] || len(w.planInstance(w.instances[0])) != 0 {
		t.Error("an instance that its owner deleted is kept for want of its address")
	}
}

func TestFirewall(t *testing.T) {
	w := sample()
	w.machines["i-2"] = machine{ID: "i-2", Project: "default", Host: 12}
	w.machines["i-3"] = machine{ID: "i-3", Project: "default", Host: 13}
	add := func(id, name string, groups ...string) {
		w.instances = append(w.instances, api.Instance{Meta: api.Meta{ID: id, Name: name, Project: "default"}, Spec: api.InstanceSpec{SecurityGroups: groups}})
	}
	add("i-2", "two", "web", "ssh")
	add("i-3", "three", "web")
	group := func(name string, rules ...api.Rule) {
		w.groups["default/"+name] = api.SecurityGroup{Meta: api.Meta{Name: name, Project: "default"}, Spec: api.SecurityGroupSpec{Rules: rules}}
	}
	group("default", api.Rule{Protocol: "tcp", FromPort: 22, ToPort: 22, CIDR: "0.0.0.0/0"}, api.Rule{Protocol: "all", Group: "default"})
	group("web", api.Rule{Protocol: "tcp", FromPort: 80, ToPort: 81, CIDR: "0.0.0.0/0"}, api.Rule{Protocol: "tcp", FromPort: 9000, ToPort: 9000, Group: "web"},
		api.Rule{Protocol: "udp", FromPort: 53, ToPort: 53, CIDR: "10.0.0.0/8"}, api.Rule{Protocol: "icmp", Group: "nobody"})
	group("ssh", api.Rule{Protocol: "tcp", FromPort: 22, ToPort: 22, CIDR: "192.0.2.0/24"})
	w.index()
	for n, want := range [][]link.Rule{
		{{Protocol: "tcp", FromPort: 22, ToPort: 22, Sources: []string{"0.0.0.0/0"}}, {Protocol: "all", Sources: []string{"10.128.0.10/32"}}},
		{{Protocol: "tcp", FromPort: 80, ToPort: 81, Sources: []string{"0.0.0.0/0"}}, {Protocol: "tcp", FromPort: 9000, ToPort: 9000, Sources: []string{"10.128.0.12/32", "10.128.0.13/32"}},
			{Protocol: "udp", FromPort: 53, ToPort: 53, Sources: []string{"10.0.0.0/8"}}, {Protocol: "tcp", FromPort: 22, ToPort: 22, Sources: []string{"192.0.2.0/24"}}},
	} {
		if got := w.firewall(w.instances[n]); !reflect.DeepEqual(got, want) {
			t.Errorf("%s lets in %+v, want %+v", w.instances[n].Name, got, want)
		}
	}
	for n, want := range [][]int{{22}, {22, 80, 81}, {80, 81}} {
		if got := w.openPorts(w.instances[n]); !slices.Equal(got, want) {
			t.Errorf("%s has the open ports %v, want %v", w.instances[n].Name, got, want)
		}
	}
	group("wide", api.Rule{Protocol: "tcp", FromPort: 1, ToPort: 65535, CIDR: "0.0.0.0/0"})
	add("i-4", "four", "wide")
	if got := w.openPorts(w.instances[3]); len(got) != 20 {
		t.Errorf("a wide rule opens %d ports on the list, want 20 at most", len(got))
	}
}
