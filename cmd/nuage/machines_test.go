package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
)

func TestInstanceCreateFlags(t *testing.T) {
	w := newWorld(t, "")
	script := filepath.Join(t.TempDir(), "setup.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.check(t, "db\n", "instance", "create", "db", "--image", "tiny", "--type", "nano", "--key", "mine", "--network", "back", "--private", "--spot",
		"--volume", "data:/srv", "--volume", "logs:/var/log", "--security-group", "a,b", "--env", "A=1", "--tag", "t=2", "--user-data", script, "-o", "name")
	want := api.InstanceSpec{Image: "tiny", Type: "nano", Key: "mine", UserData: "#!/bin/sh\n", Network: "back", Private: true, Spot: true,
		SecurityGroups: []string{"a", "b"}, Volumes: []api.VolumeMount{{Volume: "data", Path: "/srv"}, {Volume: "logs", Path: "/var/log"}},
		Env: map[string]string{"A": "1"}, Tags: map[string]string{"t": "2"}}
	if d := cmp.Diff(want, w.instances.items["db"].Spec); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"data", ":/srv", "data:srv", "data:"} {
		w.check(t, "! nuage: cannot run \"nuage instance create\": invalid argument \""+bad+"\" for \"--volume\" flag: it must look like VOLUME:/PATH, as data:/srv; "+
			"see nuage instance create --help\nexit 2\n", "instance", "create", "x", "--volume", bad)
	}
}

func TestInstanceUpdateChangesOnlyWhatIsGiven(t *testing.T) {
	w := newWorld(t, "")
	w.run("instance", "create", "vm", "--tag", "a=1", "--tag", "b=2", "--security-group", "web")
	w.check(t, "vm\n", "instance", "update", "vm", "--tag", "c=3", "--remove-tag", "a", "-o", "name")
	spec := w.instances.items["vm"].Spec
	if d := cmp.Diff(map[string]string{"b": "2", "c": "3"}, spec.Tags); d != "" || len(spec.SecurityGroups) != 1 {
		t.Errorf("%s, groups %q", d, spec.SecurityGroups)
	}
	w.check(t, "vm\n", "instance", "update", "vm", "--security-group", "default", "-o", "name")
	if d := cmp.Diff([]string{"default"}, w.instances.items["vm"].Spec.SecurityGroups); d != "" {
		t.Error(d)
	}
	w.check(t, "! nuage: cannot change instance \"vm\": give at least one flag that says what; see nuage instance update --help\nexit 2\n", "instance", "update", "vm")
}

func TestInstanceShowTellsOfNetworkDisksAndTrouble(t *testing.T) {
	w := newWorld(t, "")
	w.run("instance", "create", "vm", "--network", "back", "--volume", "data:/srv", "--spot")
	at := time.Date(2026, 1, 2, 3, 6, 5, 0, time.UTC)
	st := &w.instances.items["vm"].Status
	st.Group, st.OOMKills, st.Reclaim, st.Public = "fleet", 2, &at, true
	w.check(t, `name        vm
phase       running
type        small
image       debian-12
key         default
network     back
public      yes
volumes     data:/srv
group       fleet
spot        yes
reclaim     2026-01-02 03:06:05
restarts    0
oom kills   2 since boot: out of memory, so the kernel killed a process
age         1s
id          x-0000000000000001
project     default
created     2026-01-02 03:04:06
`, "instance", "show", "vm")
}

func TestInstanceMetricsAndReclaim(t *testing.T) {
	w := newWorld(t, "")
	w.run("instance", "create", "vm", "--spot")
	w.check(t, `cpu         12.5% of its type
cpu time    1.5 s
memory      64 MiB of 1 GiB
received    2 KiB
sent        1 KiB
read        4 KiB
written     0 B
processes   3 of 512
at          2026-01-02 03:04:06
`, "instance", "metrics", "vm")
	w.check(t, "vm\n", "instance", "reclaim", "vm", "--notice", "30s", "-o", "name")
	if at := w.instances.items["vm"].Status.Reclaim; at == nil || at.Sub(w.now()) != 30*time.Second {
		t.Errorf("it is taken back at %v, want in 30s", at)
	}
	w.check(t, "vm\n", "instance", "reclaim", "vm", "-o", "name")
	if at := w.instances.items["vm"].Status.Reclaim; at == nil || at.Sub(w.now()) != 2*time.Minute {
		t.Errorf("it is taken back at %v, want in two minutes", at)
	}
}

func TestNetworks(t *testing.T) {
	w := newWorld(t, "")
	w.check(t, `NAME   PHASE     CIDR           NAT   INSTANCES   AGE   REASON
back   running   10.20.0.0/24   off   0           1s
! network "back" running
`, "network", "create", "back", "--cidr", "10.20.0.0/24", "--no-nat")
	w.check(t, "back\n", "network", "update", "back", "--nat=on", "-o", "name")
	if w.networks.items["back"].Spec.NoNAT {
		t.Error("NAT is off")
	}
	w.check(t, "! nuage: cannot create network \"x\": give its range of addresses, as --cidr 10.20.0.0/24; see nuage network create --help\nexit 2\n", "network", "create", "x")
	w.check(t, "! nuage: cannot change network \"back\": give at least one flag that says what; see nuage network update --help\nexit 2\n", "network", "update", "back")
	w.check(t, "! nuage: cannot run \"nuage network update\": invalid argument \"maybe\" for \"--nat\" flag: it must be one of on, off; see nuage network update --help\nexit 2\n",
		"network", "update", "back", "--nat=maybe")
}

func TestVolumes(t *testing.T) {
	w := newWorld(t, "")
	w.run("instance", "create", "db")
	w.check(t, `NAME   PHASE     SIZE    USED   ATTACHED   AGE   REASON
data   running   1 GiB   0 B    -          1s
! volume "data" running
`, "volume", "create", "data", "--size", "1GiB")
	w.check(t, `NAME   PHASE     SIZE    USED   ATTACHED   AGE   REASON
data   running   1 GiB   0 B    db:/srv    3s
! instance "db" running
! volume "data" running
`, "volume", "attach", "data", "db", "--path", "/srv", "--restart")
	if !w.volumes.restart {
		t.Error("the restart was not asked for")
	}
	w.check(t, "data\n", "volume", "detach", "data", "-o", "name")
	if w.volumes.restart || w.volumes.items["data"].Status.Attached != nil {
		t.Error("the volume was not detached, or a restart was asked for")
	}
	w.check(t, "data\n", "volume", "resize", "data", "--size", "2GiB", "-o", "name")
	w.check(t, "copy\n", "volume", "restore", "monday", "copy", "-o", "name")
	if d := cmp.Diff(api.VolumeSpec{Snapshot: "monday"}, w.volumes.items["copy"].Spec); d != "" {
		t.Error(d)
	}
	w.check(t, "monday\n", "volume", "snapshot", "data", "monday", "-o", "name")
	if d := cmp.Diff(api.SnapshotSpec{Volume: "data"}, w.snapshots.items["monday"].Spec); d != "" {
		t.Error(d)
	}
	for want, line := range map[string]string{
		`cannot create volume "x": give its size, as --size 1GiB; see nuage volume create --help`:                                                              "create x",
		`cannot attach volume "data" at "srv": give an absolute path inside the instance, as --path /data; see nuage volume attach --help`:                     "attach data db --path srv",
		`cannot attach volume "data" at "": give an absolute path inside the instance, as --path /data; see nuage volume attach --help`:                        "attach data db",
		`cannot change volume "data": give at least one flag that says what; see nuage volume resize --help`:                                                   "resize data",
		`cannot run "nuage volume create": invalid argument "big" for "--size" flag: it must be a size such as 512MiB or 1GiB; see nuage volume create --help`: "create x --size big",
	} {
		w.check(t, "! nuage: "+want+"\nexit 2\n", append([]string{"volume"}, strings.Fields(line)...)...)
	}
}

func TestImages(t *testing.T) {
	w := newWorld(t, "")
	for ref, want := range map[string]string{"nginx:1.27": "nginx-1-27", "nginx": "nginx", "nginx:latest": "nginx", "ghcr.io/a/Tool_x:v2": "tool-x-v2",
		"localhost:5000/web@sha256:abc": "web", "a/" + strings.Repeat("b", 39) + ":1": strings.Repeat("b", 39)} {
		w.check(t, want+"\n", "image", "pull", ref, "-o", "name")
		if got := w.images.items[want].Spec; got != (api.ImageSpec{Ref: ref}) {
			t.Errorf("%s makes %+v", ref, got)
		}
		w.run("image", "delete", want)
	}
	w.images.steps = []func(*api.Image){func(i *api.Image) {
		i.Status.Phase, i.Status.Reason, i.Status.Generation = api.Failed, "no registry", 1
	}}
	w.check(t, `! image "a" failed: no registry
! nuage: cannot get image "a" going: no registry; see nuage image show a
exit 1
`, "image", "pull", "a")
	w.check(t, "a\n", "image", "pull", "a", "-o", "name") // again: the failed one makes room
	made := w.images.items["a"].CreatedAt
	w.check(t, "a\n", "image", "pull", "a", "-o", "name") // it is there
	if again := w.images.items["a"].CreatedAt; !again.Equal(made) {
		t.Error("an image that is there was made again")
	}
	w.check(t, "! nuage: cannot use \"a\": it is taken\nexit 1\n", "image", "pull", "b", "--name", "a")
	w.check(t, "tool\n", "image", "pull", "ghcr.io/a/b:1", "--name", "tool", "-o", "name")
	w.check(t, `NAME     PHASE     FROM           SIZE   AGE   REASON
golden   running   instance web   -      1s
! image "golden" running
`, "image", "create", "golden", "--from", "web")
	w.check(t, "! nuage: cannot create image \"x\": give the instance to copy, as --from web; see nuage image create --help\nexit 2\n", "image", "create", "x")
}

func TestLoadBalancers(t *testing.T) {
	w := newWorld(t, "")
	w.check(t, "web\n", "load-balancer", "create", "web", "--target", "a:8080", "--target", "group:fleet:80", "--health", "/ready", "-o", "name")
	want := api.LoadBalancerSpec{Port: 80, Targets: []api.Target{{Instance: "a", Port: 8080}, {Group: "fleet", Port: 80}}, Health: api.HealthCheck{Path: "/ready"}}
	if d := cmp.Diff(want, w.balancers.items["web"].Spec); d != "" {
		t.Error(d)
	}
	w.check(t, "web\n", "load-balancer", "update", "web", "--remove-target", "a:8080", "--add-target", "b:1", "--add-target", "group:fleet:80", "--drain", "10s",
		"--algorithm", "least-connections", "--health-interval", "5s", "-o", "name")
	want.Targets, want.DrainSeconds, want.Algorithm, want.Health.IntervalSeconds = []api.Target{{Group: "fleet", Port: 80}, {Instance: "b", Port: 1}}, 10, "least-connections", 5
	if d := cmp.Diff(want, w.balancers.items["web"].Spec); d != "" {
		t.Error(d)
	}
	b := w.balancers.items["web"]
	b.Status.Endpoint = &api.Endpoint{Host: "127.0.0.1", Port: 8080}
	b.Status.Targets = []api.TargetStatus{{Instance: "b", Address: "10.0.0.2:1", Health: "healthy", Connections: 3}, {Instance: "fleet-1", Address: "10.0.0.3:80", Health: "unhealthy", Reason: "it does not answer"}}
	w.check(t, `NAME   PHASE     PROTOCOL   ENDPOINT                HEALTHY   AGE   REASON
web    running   http       http://127.0.0.1:8080   1/2       2s
`, "load-balancer", "list")
	w.check(t, `name             web
phase            running
protocol         http
endpoint         http://127.0.0.1:8080
healthy          1/2
port             80
algorithm        least-connections
targets          group:fleet:80, b:1
health           GET /ready every 5s, answer within 2s
proxy protocol   off
drain            10s
age              2s
id               x-0000000000000001
project          default
created          2026-01-02 03:04:05
TARGET    ADDRESS       HEALTH      IN FLIGHT   REASON
b         10.0.0.2:1    healthy     3
fleet-1   10.0.0.3:80   unhealthy   0           it does not answer
`, "load-balancer", "show", "web")
	w.check(t, "! nuage: cannot remove target \"a:8080\": the load balancer has group:fleet:80, b:1\nexit 1\n", "load-balancer", "update", "web", "--remove-target", "a:8080")
	w.check(t, "! nuage: cannot create load balancer \"x\": give at least one target, as --target web:8080; see nuage load-balancer create --help\nexit 2\n", "load-balancer", "create", "x")
	w.check(t, "! nuage: cannot use --drain 1.5s: give whole seconds, as 10s; see nuage load-balancer update --help\nexit 2\n", "load-balancer", "update", "web", "--drain", "1500ms")
	for _, bad := range []string{"web", "web:", ":80", "web:http", "web:70000"} {
		w.check(t, "! nuage: cannot run \"nuage load-balancer create\": invalid argument \""+bad+"\" for \"--target\" flag: it must look like INSTANCE:PORT, as web:8080, or group:GROUP:PORT; "+
			"see nuage load-balancer create --help\nexit 2\n", "load-balancer", "create", "x", "--target", bad)
	}
}

func TestInstanceGroups(t *testing.T) {
	w := newWorld(t, "#!/bin/sh\n")
	w.check(t, "fleet\n", "instance-group", "create", "fleet", "--min", "2", "--cpu", "60", "--type", "nano", "--user-data", "-", "--health", "/", "--health-port", "80", "--tag", "a=1", "-o", "name")
	want := api.InstanceGroupSpec{Min: 2, Max: 2, CPU: 60, Health: api.HealthCheck{Path: "/", Port: 80},
		Template: api.InstanceSpec{Image: "debian-12", Type: "nano", Key: "default", UserData: "#!/bin/sh\n", Tags: map[string]string{"a": "1"}}}
	if d := cmp.Diff(want, w.fleets.items["fleet"].Spec); d != "" {
		t.Error(d)
	}
	w.fleets.conflict = 1
	w.check(t, "fleet\n", "instance-group", "update", "fleet", "--max", "4", "--cooldown", "30s", "--image", "golden", "--tag", "b=2", "-o", "name")
	want.Max, want.CooldownSeconds, want.Template.Image, want.Template.Tags = 4, 30, "golden", map[string]string{"a": "1", "b": "2"}
	if d := cmp.Diff(want, w.fleets.items["fleet"].Spec); d != "" {
		t.Error(d)
	}
	g := w.fleets.items["fleet"]
	g.Status.Desired, g.Status.CPUPercent = 2, 71.6
	g.Status.Members = []api.GroupMember{{Instance: "fleet-a", Health: "healthy", Reason: "SSH answers", Current: true}, {Instance: "fleet-b", Health: "leaving"}}
	w.check(t, `NAME    PHASE     DESIRED   HEALTHY   RANGE   CPU            AGE   REASON
fleet   running   2         1/2       2-4     72%, aim 60%   2s
`, "instance-group", "list")
	got := w.run("instance-group", "show", "fleet")
	if want := `MEMBER    HEALTH    TEMPLATE   REASON
fleet-a   healthy   present    SSH answers
fleet-b   leaving   former
`; !strings.HasSuffix(got, want) {
		t.Errorf("show ends %s", got)
	}
	w.check(t, "! nuage: cannot check \"/\" of the members: say on which port, as --health-port 8080; see nuage instance-group create --help\nexit 2\n",
		"instance-group", "create", "x", "--health", "/")
}

func TestProjectQuota(t *testing.T) {
	w := newWorld(t, "")
	w.projects.project = api.Project{Meta: api.Meta{ID: "prj-1", Name: "shop", Generation: 4, CreatedAt: w.now()}, Spec: api.ProjectSpec{Description: "the web shop"}}
	w.projects.project.Status = api.ProjectStatus{Status: api.Status{Phase: api.Running}, CIDR: "10.130.0.0/21",
		Used: api.Quota{Instances: 3, MilliCPU: 1250, MemoryBytes: 1 << 30, Volumes: 1, VolumeBytes: 5 << 30, Queues: 2}}
	w.check(t, `name          shop
phase         running
network       10.130.0.0/21
instances     3 of 4
vcpu          1.25 of 2.5
memory        1 GiB, no limit
volumes       1, no limit
storage       5 GiB of 100 GiB
functions     0, no limit
triggers      0, no limit
queues        2 of 2
topics        0, no limit
concurrency   20
age           0s
description   the web shop
id            prj-1
created       2026-01-02 03:04:05
`, "project", "update", "shop", "--instances", "4", "--vcpu", "2.5", "--storage", "100GiB", "--queues", "2", "--concurrency", "20")
	w.check(t, "shop\n", "project", "update", "shop", "--instances", "0", "-o", "name")
	want := api.ProjectSpec{Description: "the web shop", Quota: api.Quota{MilliCPU: 2500, VolumeBytes: 100 << 30, Queues: 2}, Concurrency: 20}
	if d := cmp.Diff(want, w.projects.project.Spec); d != "" {
		t.Error(d)
	}
	w.check(t, "! nuage: cannot change project \"shop\": give at least one flag that says what; see nuage project update --help\nexit 2\n", "project", "update", "shop")
	for _, bad := range []string{"-1", "many"} {
		if got := w.run("project", "update", "shop", "--vcpu="+bad); !strings.Contains(got, "it must be a number of vCPUs such as 4 or 0.5") || !strings.HasSuffix(got, "exit 2\n") {
			t.Errorf("--vcpu %s: %s", bad, got)
		}
	}
}

func TestSSHSaysWhatIsInTheWay(t *testing.T) {
	w := newWorld(t, "")
	w.run("instance", "create", "vm")
	w.run("security-group", "create", "default")
	i := w.instances.items["vm"]
	want := func(text string) {
		t.Helper()
		w.check(t, "! nuage: cannot reach instance \"vm\" by SSH: "+text+"\nexit 1\n", "ssh", "vm")
	}
	want("it has no SSH address (running); see nuage instance show vm")
	i.Status.SSH, i.Status.HostKey = &api.Endpoint{Host: "127.0.0.1", Port: 2222}, "ssh-ed25519 AAAA\n"
	want("its security groups (default) let nothing in on tcp/22 from this laptop; try nuage security-group allow default --port 22, or nuage instance exec vm -- sh")
	w.run("security-group", "allow", "default", "--port", "22", "--from", "group:default")
	want("its security groups (default) let nothing in on tcp/22 from this laptop; try nuage security-group allow default --port 22, or nuage instance exec vm -- sh")
	i.Status.Phase = api.Stopped
	want("it is stopped; start it with nuage instance start vm")
	i.Spec.Private, i.Spec.Network = true, "back"
	want(`it is private, so only network "back" reaches it; use nuage instance exec vm -- sh, or log in from an instance in that network`)
	for _, c := range []struct {
		rule     api.Rule
		anywhere bool // from a laptop whose address is not known
		here     bool // from 10.20.0.1
	}{
		{api.Rule{Protocol: "tcp", FromPort: 22, CIDR: "0.0.0.0/0"}, true, true},
		{api.Rule{Protocol: "tcp", FromPort: 20, ToPort: 25, CIDR: "10.0.0.0/8"}, true, true},
		{api.Rule{Protocol: "tcp", FromPort: 22, CIDR: "192.168.0.0/16"}, true, false},
		{api.Rule{Protocol: "all", CIDR: "0.0.0.0/0"}, true, true},
		{api.Rule{Protocol: "all", Group: "default"}, false, false},
		{api.Rule{Protocol: "udp", FromPort: 22, CIDR: "0.0.0.0/0"}, false, false},
		{api.Rule{Protocol: "tcp", FromPort: 23, ToPort: 80, CIDR: "0.0.0.0/0"}, false, false},
	} {
		rules := []api.Rule{c.rule}
		anywhere, here := letsLaptopIn(rules, 22, netip.Addr{}), letsLaptopIn(rules, 22, netip.MustParseAddr("10.20.0.1"))
		if anywhere != c.anywhere || here != c.here {
			t.Errorf("%s lets SSH in from anywhere: %t, from the gateway: %t; want %t, %t", ruleText(c.rule), anywhere, here, c.anywhere, c.here)
		}
	}
}
