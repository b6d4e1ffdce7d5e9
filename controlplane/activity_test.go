package controlplane

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"nuage/api"
	"nuage/functions"
)

const testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@laptop"

// record lists the activities of one kind of actor after a number of them, in short.
func (p *plane) record(t *testing.T, kind api.ActorKind, skip int) []string {
	t.Helper()
	var all []string
	for q := (api.ActivityQuery{Actor: kind, Page: api.Page{Limit: 1000}}); ; {
		l, err := p.cloud.Activities.List(asCustomer(), q)
		must(t, err)
		for _, a := range l.Items {
			all = append(all, fmt.Sprintf("%s: %s %s %s [%s]", a.Actor.Name, a.Verb, a.Noun, a.Resource, a.Layer))
		}
		if len(l.Items) == 0 {
			break
		}
		q.After = l.Next
	}
	return all[skip:]
}

// TestEveryVerbIsRecordedOnce walks all verbs that change something, in an order in which each can succeed.
func TestEveryVerbIsRecordedOnce(t *testing.T) {
	p, _ := newLivePlane(t)
	c, ctx := p.cloud, asCustomer()
	spec := api.InstanceSpec{Type: "nano"}
	bigger := api.InstanceSpec{Type: "small", Image: "debian-12"}
	tagged := bigger
	tagged.Tags = map[string]string{"class": "lab"}
	web, blue := behave("ok"), behave("ok")
	blue.Env["COLOR"] = "blue"
	two, restarted, other := blue, blue, blue
	two.Replicas = replicas(2)
	restarted.Restart, other.Restart, other.Image = 1, 1, "web:2"
	code := p.source(t, "main.py", "pass")
	function := api.FunctionSpec{Runtime: "python", Source: code, Handler: "main.handler"}
	slower := function
	slower.TimeoutMs = 9000
	one := func(_ any, err error) error { return err }
	for _, step := range []struct {
		want string
		do   func() error
	}{
		{"create project lab [identities]", func() error { return one(c.Projects.Create(ctx, "lab", api.ProjectSpec{})) }},
		{"delete project lab [identities]", func() error { return c.Projects.Delete(ctx, "lab") }},
		{"create user ada [identities]", func() error { return one(c.Users.Create(ctx, "ada", api.UserSpec{})) }},
		{"delete user ada [identities]", func() error { return c.Users.Delete(ctx, "ada") }},
		{"create token ci [identities]", func() error { return one(c.Tokens.Create(ctx, "ci", api.TokenSpec{})) }},
		{"revoke token ci [identities]", func() error { return c.Tokens.Revoke(ctx, "ci") }},
		{"create key k [identities]", func() error { return one(c.Keys.Create(ctx, "default", "k", api.KeySpec{PublicKey: testKey})) }},
		{"delete key k [identities]", func() error { return c.Keys.Delete(ctx, "default", "k", 0) }},
		{"create security-group g [network-controls]", func() error { return one(c.SecurityGroups.Create(ctx, "default", "g", api.SecurityGroupSpec{})) }},
		{"update security-group g [network-controls]", func() error {
			return one(c.SecurityGroups.Update(ctx, "default", "g", api.SecurityGroupSpec{Description: "x"}, 0))
		}},
		{"delete security-group g [network-controls]", func() error { return c.SecurityGroups.Delete(ctx, "default", "g", 0) }},
		{"create budget b [configuration]", func() error { return one(c.Budgets.Create(ctx, "default", "b", api.BudgetSpec{Amount: "5"})) }},
		{"update budget b [configuration]", func() error {
			return one(c.Budgets.Update(ctx, "default", "b", api.BudgetSpec{Amount: "6"}, 0))
		}},
		{"delete budget b [configuration]", func() error { return c.Budgets.Delete(ctx, "default", "b", 0) }},
		{"create instance i [configuration]", func() error { return one(c.Instances.Create(ctx, "default", "i", spec)) }},
		{"stop instance i [configuration]", func() error { return one(c.Instances.Power(ctx, "default", "i", api.PowerStop)) }},
		{"start instance i [configuration]", func() error { return one(c.Instances.Power(ctx, "default", "i", api.PowerStart)) }},
		{"resize instance i [scaling]", func() error { return one(c.Instances.Update(ctx, "default", "i", bigger, 0)) }},
		{"update instance i [configuration]", func() error { return one(c.Instances.Update(ctx, "default", "i", tagged, 0)) }},
		{"reboot instance i [configuration]", func() error { return one(c.Instances.Power(ctx, "default", "i", api.PowerReboot)) }},
		{"create load-balancer l [network-controls]", func() error {
			return one(c.LoadBalancers.Create(ctx, "default", "l", api.LoadBalancerSpec{Port: freePort(t), Targets: targets("i")}))
		}},
		{"update load-balancer l [network-controls]", func() error {
			return one(c.LoadBalancers.Update(ctx, "default", "l", api.LoadBalancerSpec{Port: freePort(t), Targets: targets("i")}, 0))
		}},
		{"delete load-balancer l [network-controls]", func() error { return c.LoadBalancers.Delete(ctx, "default", "l", 0) }},
		{"create instance-group e [scaling]", func() error {
			return one(c.InstanceGroups.Create(ctx, "default", "e", api.InstanceGroupSpec{Min: 1, Max: 1, Template: spec}))
		}},
		{"update instance-group e [scaling]", func() error {
			return one(c.InstanceGroups.Update(ctx, "default", "e", api.InstanceGroupSpec{Min: 1, Max: 2, Template: spec}, 0))
		}},
		{"delete instance-group e [scaling]", func() error { return c.InstanceGroups.Delete(ctx, "default", "e", 0) }},
		{"delete instance i [configuration]", func() error { return c.Instances.Delete(ctx, "default", "i", 0) }},
		{"create app a [application]", func() error { return one(c.Apps.Create(ctx, "default", "a", web)) }},
		{"configure app a [configuration]", func() error { p.appSettled(t, "a"); return one(c.Apps.Update(ctx, "default", "a", blue, 0)) }},
		{"scale app a [scaling]", func() error { p.appSettled(t, "a"); return one(c.Apps.Update(ctx, "default", "a", two, 0)) }},
		{"restart-all app a [application]", func() error { return one(c.Apps.Update(ctx, "default", "a", restarted, 0)) }},
		{"deploy app a [application]", func() error { return one(c.Apps.Update(ctx, "default", "a", other, 0)) }},
		{"rollback app a [application]", func() error { return one(c.Apps.Rollback(ctx, "default", "a", 1)) }},
		{"split app a [network-controls]", func() error {
			p.appSettled(t, "a")
			return one(c.Apps.Split(ctx, "default", "a", api.Split{Shares: []api.Share{{Release: 1, Percent: 50}, {Release: 2, Percent: 50}}}))
		}},
		{"create project live [identities]", func() error { return one(c.Projects.Create(ctx, "live", api.ProjectSpec{})) }},
		{"promote app a [application]", func() error { return one(c.Apps.Promote(ctx, "default", "a", "live")) }},
		{"delete app a [application]", func() error { return c.Apps.Delete(ctx, "default", "a", 0) }},
		{"create auth-pool p [identities]", func() error { return one(c.AuthPools.Create(ctx, "default", "p", api.AuthPoolSpec{})) }},
		{"update auth-pool p [identities]", func() error {
			return one(c.AuthPools.Update(ctx, "default", "p", api.AuthPoolSpec{SignUp: "closed"}, 0))
		}},
		{"add-user auth-pool p [identities]", func() error {
			return one(c.PoolUsers.Add(ctx, "default", "p", api.PoolUserSpec{Email: "ada@example.com"}))
		}},
		{"reset-user auth-pool p [identities]", func() error { return one(c.PoolUsers.Reset(ctx, "default", "p", "ada@example.com")) }},
		{"remove-user auth-pool p [identities]", func() error { return c.PoolUsers.Remove(ctx, "default", "p", "ada@example.com") }},
		{"delete auth-pool p [identities]", func() error { return c.AuthPools.Delete(ctx, "default", "p", 0) }},
		{"create database d [configuration]", func() error {
			return one(c.Databases.Create(ctx, "default", "d", api.DatabaseSpec{Engine: "postgres"}))
		}},
		{"resize database d [scaling]", func() error {
			return one(c.Databases.Update(ctx, "default", "d", api.DatabaseSpec{Engine: "postgres", Size: "small"}, 0))
		}},
		{"schedule database d [data]", func() error {
			return one(c.Databases.Update(ctx, "default", "d", api.DatabaseSpec{Engine: "postgres", Size: "small", BackupSeconds: 3600}, 0))
		}},
		{"credentials database d [identities]", func() error {
			eventually(t, "the server has an address", func() bool { d, err := c.Databases.Get(ctx, "default", "d"); return err == nil && d.Status.Host != "" })
			return one(c.Databases.Credentials(ctx, "default", "d"))
		}},
		{"delete database d [configuration]", func() error { return c.Databases.Delete(ctx, "default", "d", 0) }},
		{"create function f [application]", func() error { return one(c.Functions.Create(ctx, "default", "f", function)) }},
		{"deploy function f [application]", func() error { return one(c.Functions.Update(ctx, "default", "f", slower, 0)) }},
		{"create trigger t [network-controls]", func() error {
			return one(c.Triggers.Create(ctx, "default", "t", api.TriggerSpec{Function: "f", HTTP: true}))
		}},
		{"delete trigger t [network-controls]", func() error { return c.Triggers.Delete(ctx, "default", "t", 0) }},
		{"delete function f [application]", func() error { return c.Functions.Delete(ctx, "default", "f", 0) }},
		{"shutdown cloud " + p.Store.CloudID() + " [configuration]", func() error { return c.System.Shutdown(ctx) }},
	} {
		before := len(p.record(t, api.Customer, 0))
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.want, err)
		}
		if got := p.record(t, api.Customer, before); !slices.Equal(got, []string{"me: " + step.want}) {
			t.Errorf("the record says %q, want %q by me, once", got, step.want)
		}
	}
}

// TestEveryVerbOfDisksAndNetworksIsRecordedOnce, in an order in which each can succeed.
func TestEveryVerbOfDisksAndNetworksIsRecordedOnce(t *testing.T) {
	p := newPlane(t, setup{})
	c, ctx := p.cloud, asCustomer()
	one := func(_ any, err error) error { return err }
	_, err := c.Instances.Create(ctx, "default", "i", api.InstanceSpec{Type: "nano"})
	must(t, err)
	_, err = c.Databases.Create(ctx, "default", "d", api.DatabaseSpec{Engine: "postgres"})
	must(t, err)
	made := func(volume string) {
		eventually(t, "volume "+volume, func() bool {
			v, err := c.Volumes.Get(ctx, "default", volume)
			return err == nil && v.Status.Phase == api.Running
		})
	}
	for _, step := range []struct {
		want string
		do   func() error
	}{
		{"create network n [network-controls]", func() error {
			return one(c.Networks.Create(ctx, "default", "n", api.NetworkSpec{CIDR: "10.20.0.0/24"}))
		}},
		{"update network n [network-controls]", func() error { return one(c.Networks.Update(ctx, "default", "n", api.NetworkSpec{NoNAT: true}, 0)) }},
		{"delete network n [network-controls]", func() error { return c.Networks.Delete(ctx, "default", "n", 0) }},
		{"create volume v [data]", func() error { return one(c.Volumes.Create(ctx, "default", "v", api.VolumeSpec{SizeBytes: 1 << 20})) }},
		{"resize volume v [scaling]", func() error {
			made("v")
			return one(c.Volumes.Update(ctx, "default", "v", api.VolumeSpec{SizeBytes: 2 << 20}, 0))
		}},
		{"attach volume v [data]", func() error {
			return one(c.Volumes.Attach(ctx, "default", "v", api.Attachment{Instance: "i", Path: "/data"}, true))
		}},
		{"detach volume v [data]", func() error { made("v"); return one(c.Volumes.Detach(ctx, "default", "v", true)) }},
		{"create snapshot s [data]", func() error { return one(c.Snapshots.Create(ctx, "default", "s", api.SnapshotSpec{Volume: "v"})) }},
		{"create volume w [data]", func() error { return one(c.Volumes.Create(ctx, "default", "w", api.VolumeSpec{Snapshot: "s"})) }},
		{"delete snapshot s [data]", func() error { made("w"); return c.Snapshots.Delete(ctx, "default", "s", 0) }},
		{"delete volume v [data]", func() error { return c.Volumes.Delete(ctx, "default", "v", 0) }},
		{"create backup b [data]", func() error {
			eventually(t, "the server runs", func() bool {
				d, err := c.Databases.Get(ctx, "default", "d")
				return err == nil && d.Status.Phase == api.Running
			})
			return one(c.Backups.Create(ctx, "default", "b", api.BackupSpec{Database: "d"}))
		}},
		{"delete backup b [data]", func() error { return c.Backups.Delete(ctx, "default", "b", 0) }},
		{"create image g [operating-system]", func() error { return one(c.Images.Create(ctx, "default", "g", api.ImageSpec{Instance: "i"})) }},
		{"delete image g [operating-system]", func() error { return c.Images.Delete(ctx, "default", "g", 0) }},
	} {
		before := len(p.record(t, api.Customer, 0))
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.want, err)
		}
		if got := p.record(t, api.Customer, before); !slices.Equal(got, []string{"me: " + step.want}) {
			t.Errorf("the record says %q, want %q by me, once", got, step.want)
		}
	}
	before := len(p.record(t, api.Customer, 0))
	must(t, one(c.Volumes.Detach(ctx, "default", "w", true)))
	if got := p.record(t, api.Customer, before); len(got) > 0 {
		t.Errorf("detaching what is attached to nothing left %q", got)
	}
	for _, want := range []string{"place volume v", "removed volume v", "place snapshot s", "removed snapshot s", "removed network n", "removed backup b", "removed image g", "rebase instance i"} {
		want = "loop: " + want + " ["
		eventually(t, want, func() bool {
			return slices.ContainsFunc(p.record(t, api.Platform, 0), func(got string) bool { return strings.HasPrefix(got, want) })
		})
	}
}

// TestWhatChangesNothingIsNotRecorded: refusals, and changes to what is so already.
func TestWhatChangesNothingIsNotRecorded(t *testing.T) {
	p := newPlane(t, setup{})
	c, ctx := p.cloud, asCustomer()
	i, err := c.Instances.Create(ctx, "default", "i", api.InstanceSpec{Type: "nano"})
	must(t, err)
	before := len(p.record(t, api.Customer, 0))
	for what, do := range map[string]func() error{
		"a taken name": func() error { _, err := c.Instances.Create(ctx, "default", "i", api.InstanceSpec{}); return err },
		"a bad name": func() error {
			_, err := c.Keys.Create(ctx, "default", "No", api.KeySpec{PublicKey: testKey})
			return err
		},
		"another generation": func() error { return c.Instances.Delete(ctx, "default", "i", 7) },
		"the same spec":      func() error { _, err := c.Instances.Update(ctx, "default", "i", i.Spec, 0); return err },
		"a start":            func() error { _, err := c.Instances.Power(ctx, "default", "i", api.PowerStart); return err },
		"a source": func() error {
			_, err := c.Sources.Put(ctx, "default", bytes.NewReader(tarOf(t, tar.Header{Name: "x", Typeflag: tar.TypeReg}, "")))
			return err
		},
		"a figure": func() error {
			return c.Comparisons.Measure(ctx, "default", api.Measurement{Subject: "i", Name: "recovery", Unit: "s", Value: "1"})
		},
	} {
		_ = do() // refused or without effect
		if got := p.record(t, api.Customer, before); len(got) > 0 {
			t.Errorf("%s left %q", what, got)
		}
	}
}

// TestPlatformWorkIsRecorded: what the cloud does by itself.
func TestPlatformWorkIsRecorded(t *testing.T) {
	p, l := newLivePlane(t)
	spec := behave("ok")
	spec.Image, spec.Source = "", p.source(t, "app.py", "pass")
	a := p.deploy(t, "web", spec)
	id := replicaID(a.ID, 1, 0)
	p.serves(t, "web", 1)
	l.Faults().Crash(id, 9)
	p.comesBack(t, 1)
	l.Faults().Vanish(id)
	p.comesBack(t, 2)
	spec.Env["COLOR"] = "blue"
	p.deploy(t, "web", spec)
	must(t, p.cloud.Apps.Delete(asCustomer(), "default", "web", 0))
	_, err := p.cloud.Functions.Create(asCustomer(), "default", "f", api.FunctionSpec{Runtime: "python", Source: p.source(t, "main.py", "pass"), Handler: "main.handler"})
	must(t, err)
	f, err := p.cloud.Functions.Get(asCustomer(), "default", "f")
	must(t, err)
	_, err = journal{p.ControlPlane}.Finish(context.Background(), functions.Record{RequestID: "r", Project: "default", Function: "f", FunctionID: f.ID, Cold: true, Status: functions.OK, BilledMs: 1, MemoryMB: 128})
	must(t, err)
	for _, want := range []string{
		"builder: build app web [runtime]", "loop: place app web [virtualization]", "edge: route app web [network-controls]",
		"loop: restart app web [runtime]", "loop: recreate app web [virtualization]", "edge: drain app web [network-controls]",
		"loop: removed app web [virtualization]", "invoker: load function f [runtime]",
	} {
		eventually(t, want, func() bool { return slices.Contains(p.record(t, api.Platform, 0), want) })
	}
}

// comesBack waits until the app web has been repaired n times and answers.
func (p *plane) comesBack(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprint("repair ", n), func() bool {
		a, err := p.cloud.Apps.Get(asCustomer(), "default", "web")
		return err == nil && a.Status.Restarts == n && a.Status.Phase == api.Running
	})
	p.serves(t, "web", 1)
}

func TestLayerOf(t *testing.T) {
	for work, want := range map[string]api.Layer{
		"instance place":           api.LayerVirtualization,
		"database recreate":        api.LayerVirtualization,
		"app removed":              api.LayerVirtualization,
		"instance restart":         api.LayerVirtualization,
		"instance rebase":          api.LayerVirtualization,
		"volume attach":            api.LayerData,
		"app restart":              api.LayerRuntime,
		"database restart":         api.LayerRuntime,
		"function load":            api.LayerRuntime,
		"app build":                api.LayerRuntime,
		"instance boot":            api.LayerOperatingSystem,
		"instance user-data":       api.LayerOperatingSystem,
		"instance oom":             api.LayerOperatingSystem,
		"app route":                api.LayerNetworkControls,
		"app drain":                api.LayerNetworkControls,
		"app deploy-failed":        api.LayerApplication,
		"app run":                  api.LayerApplication,
		"app configure":            api.LayerConfiguration,
		"database exec":            api.LayerData,
		"security-group update":    api.LayerNetworkControls,
		"something never heard of": api.LayerConfiguration,
	} {
		noun, verb, _ := strings.Cut(work, " ")
		if got := layerOf(noun, verb, ""); got != want {
			t.Errorf("%s is %s, want %s", work, got, want)
		}
	}
	for command, want := range map[string]api.Layer{
		"apt-get install -y nginx":           api.LayerOperatingSystem,
		"sudo -u postgres psql -c 'select'":  api.LayerData,
		"pip install flask":                  api.LayerRuntime,
		"/usr/lib/openssh/sftp-server":       api.LayerApplication,
		"nft list ruleset":                   api.LayerNetworkControls,
		"cat /etc/passwd":                    api.LayerOperatingSystem,
		"sh -c 'cd /srv && git pull --quiet": api.LayerApplication,
	} {
		if got := layerOf("instance", "ssh", command); got != want {
			t.Errorf("%q is %s, want %s", command, got, want)
		}
	}
}
