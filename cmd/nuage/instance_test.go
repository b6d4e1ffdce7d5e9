package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"nuage/api"
)

func TestInstanceMakesAndUsesTheDefaultKey(t *testing.T) {
	w := newWorld(t, "")
	w.check(t, "vm\n", "instance", "create", "vm", "--tag", "course=cloud", "-o", "name")
	want := api.InstanceSpec{Image: "debian-12", Type: "small", Key: "default", Tags: map[string]string{"course": "cloud"}}
	if d := cmp.Diff(want, w.instances.items["vm"].Spec); d != "" {
		t.Error(d)
	}
	path := filepath.Join(w.env["NUAGE_HOME"], "keys", "default-default")
	for file, mode := range map[string]os.FileMode{path: 0o600, path + ".pub": 0o644} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, want mode %v", file, err, mode)
		}
	}
	public, err := publicHalf(path)
	if err != nil || !samePublicKey(public, w.keys.items["default"].Spec.PublicKey) {
		t.Errorf("the cloud has %q, this laptop %q (%v)", w.keys.items["default"].Spec.PublicKey, public, err)
	}
	w.check(t, "vm2\n", "instance", "create", "vm2", "-o", "name")
	if len(w.keys.items) != 1 {
		t.Errorf("%d keys, want the default key alone", len(w.keys.items))
	}
}

func TestADefaultKeyFromElsewhereIsRefused(t *testing.T) {
	w := newWorld(t, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVsc2V3aGVyZQ== other")
	w.run("key", "import", "default", "-")
	path := filepath.Join(w.env["NUAGE_HOME"], "keys", "default-default")
	w.check(t, "! nuage: cannot use the project's default key: its private half is not in \""+path+
		"\"; use --key with a key of yours, see nuage key list\nexit 1\n", "instance", "create", "vm")
	if len(w.instances.items) != 0 {
		t.Error("an instance was made all the same")
	}
}

func TestInstanceUserData(t *testing.T) {
	w := newWorld(t, "#!/bin/sh\ntrue\n")
	w.run("key", "create", "mine")
	w.instances.steps = []func(*api.Instance){func(i *api.Instance) {
		i.Status.Phase, i.Status.Generation, i.Status.UserData = api.Running, 1, "failed"
	}}
	w.check(t, `vm
! nuage: cannot call instance "vm" ready: it runs, but its user data failed; see nuage instance console vm
exit 1
`, "instance", "create", "vm", "--key", "mine", "--user-data", "-", "-o", "name")
	if got := w.instances.items["vm"].Spec.UserData; got != "#!/bin/sh\ntrue\n" {
		t.Errorf("user data %q", got)
	}
}

func TestPowerWaits(t *testing.T) {
	w := newWorld(t, "")
	w.run("instance", "create", "vm")
	w.instances.steps = []func(*api.Instance){
		func(i *api.Instance) { i.Status.Phase = api.Stopping },
		func(i *api.Instance) { i.Status.Phase, i.Status.Generation = api.Stopped, i.Generation },
	}
	w.check(t, `NAME   PHASE     TYPE    IMAGE       ADDRESS   PORTS   AGE   REASON
vm     stopped   small   debian-12                     3s
! instance "vm" stopping
! instance "vm" stopped
`, "instance", "stop", "vm")
}

func TestMakeKeyIsOpenSSHs(t *testing.T) {
	private, public, err := keyPair("a comment")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(public))
	if err != nil || comment != "a comment" || parsed.Type() != "ssh-ed25519" || string(parsed.Marshal()) != string(signer.PublicKey().Marshal()) {
		t.Errorf("%q (%v) is not the public half", public, err)
	}
}

func TestSSHWords(t *testing.T) {
	w := newWorld(t, "")
	w.run("instance", "create", "vm")
	home := w.env["NUAGE_HOME"]
	i := *w.instances.items["vm"]
	i.Status.SSH, i.Status.HostKey = &api.Endpoint{Host: "127.0.0.1", Port: 2222}, "ssh-ed25519 AAAA\n"
	words, err := w.sshWords(i, "root", "")
	hosts := filepath.Join(home, "keys", "known_hosts", i.ID)
	want := "-F none -p 2222 -l root -o HostKeyAlias=" + i.ID + " -o UserKnownHostsFile=" + hosts + " -o GlobalKnownHostsFile=none" +
		" -o StrictHostKeyChecking=yes -o UpdateHostKeys=no -o LogLevel=ERROR -o ConnectTimeout=15 -o ServerAliveInterval=15 -i " + home + "/keys/default-default -o IdentitiesOnly=yes 127.0.0.1"
	if got := strings.Join(words, " "); err != nil || got != want {
		t.Errorf("got  %s\nwant %s (%v)", got, want, err)
	}
	if data, err := os.ReadFile(hosts); err != nil || string(data) != i.ID+" ssh-ed25519 AAAA\n" {
		t.Errorf("known hosts %q, %v", data, err)
	}
}

func TestRemoteCommandKeepsBoundaries(t *testing.T) {
	for _, c := range []struct{ words, want []string }{
		{nil, nil},
		{[]string{"ls | wc -l"}, []string{"--", "ls | wc -l"}},
		{[]string{"echo", "a b", "it's", "$HOME"}, []string{"--", `'echo' 'a b' 'it'\''s' '$HOME'`}},
	} {
		if d := cmp.Diff(c.want, remoteCommand(c.words)); d != "" {
			t.Errorf("%q: %s", c.words, d)
		}
	}
}

func TestSecurityGroupRules(t *testing.T) {
	w := newWorld(t, "")
	w.run("security-group", "create", "web")
	for _, step := range []struct {
		line []string
		want string
	}{
		{[]string{"allow", "web", "--port", "80"}, "tcp/80 from 0.0.0.0/0"},
		{[]string{"allow", "web", "--port", "80-80"}, "tcp/80 from 0.0.0.0/0"},
		{[]string{"allow", "web", "--port", "5000-5010", "--protocol", "udp", "--from", "10.0.0.0/8"}, "tcp/80 from 0.0.0.0/0, udp/5000-5010 from 10.0.0.0/8"},
		{[]string{"allow", "web", "--protocol", "all", "--from", "group:web"}, "tcp/80 from 0.0.0.0/0, udp/5000-5010 from 10.0.0.0/8, all from group:web"},
		{[]string{"revoke", "web", "--port", "80"}, "udp/5000-5010 from 10.0.0.0/8, all from group:web"},
	} {
		w.run(append([]string{"security-group"}, step.line...)...)
		if got := rulesText(w.groups.items["web"].Spec.Rules); got != step.want {
			t.Errorf("%q: it allows %s, want %s", step.line, got, step.want)
		}
	}
	w.check(t, "! nuage: cannot revoke \"tcp/80 from 0.0.0.0/0\": the group has no such rule; it allows udp/5000-5010 from 10.0.0.0/8, all from group:web\nexit 1\n",
		"security-group", "revoke", "web", "--port", "80")
	for port, why := range map[string]string{"": "a port is a number from 1 to 65535", "0": "a port is a number from 1 to 65535",
		"70000": "a port is a number from 1 to 65535", "90-80": "the last port is below the first", "80-": "a port is a number from 1 to 65535"} {
		w.check(t, "! nuage: cannot use --port \""+port+"\": "+why+"; give a port as 80 or a range as 8000-8010; see nuage security-group allow --help\nexit 2\n",
			"security-group", "allow", "web", "--port", port)
	}
}
