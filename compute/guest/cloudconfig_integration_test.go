//go:build linux

package guest_test

import (
	"strings"
	"testing"

	"nuage/compute/guest/link"
)

// provision boots a machine with user data and returns how that ended.
func provision(t *testing.T, image, userData string) (*vm, link.State) {
	t.Helper()
	m := boot(t, image, []string{"--hostname", "web"}, "sh")
	config := m.sshConfig()
	config.UserData, config.RunUserData = userData, true
	m.configure(config)
	return m, m.await("user data", func(s link.State) bool { return s.UserData == link.UserDataDone || s.UserData == link.UserDataFailed })
}

// told returns what user data printed on the console.
func (m *vm) told() string {
	var b strings.Builder
	for line := range strings.Lines(m.logs()) {
		if _, text, ok := strings.Cut(line, "] user-data: "); ok {
			b.WriteString(text)
		}
	}
	return b.String()
}

// TestCloudConfig runs a document with each of the modules on Debian and on a machine with nothing but busybox; their
// package manager is one of the test's, as the machine reaches no mirror.
func TestCloudConfig(t *testing.T) {
	for _, image := range []string{machineImage, "nuage/tiny:1"} {
		t.Run(image, func(t *testing.T) {
			needEngine(t, image)
			w, err := open()
			if err != nil {
				t.Fatal(err)
			}
			key := func(name string) string { return strings.TrimSpace((&vm{t: t, keys: w.keys}).file(name + ".pub")) }
			m, s := provision(t, image, strings.NewReplacer("STRANGER", key("stranger"), "RSA", key("rsa")).Replace(everything))
			if s.UserData != link.UserDataDone || s.UserDataExit != 0 || s.UserDataNote != "" {
				t.Errorf("ended with %+v", s)
			}
			if got := m.told(); got != everythingSaid {
				t.Errorf("the console says\n%s\nwant\n%s", got, everythingSaid)
			}
			out, _ := m.run(`cat /opt/a /opt/late /opt/packages /opt/order; stat -c '%a %U:%G' /opt/a /home/ann; id ann; cat /etc/hostname /etc/timezone; readlink /etc/localtime; tail -n 1 /etc/sudoers.d/90-nuage-ann; stat -c %a /etc/sudoers.d/90-nuage-ann; grep -c '^ann:!:' /etc/shadow`)
			if out != everythingThere {
				t.Errorf("the machine has\n%s\nwant\n%s", out, everythingThere)
			}
			if out, status := m.ssh("stranger", "ann@"+m.address, "id -un; id -Gn; pwd; echo $HOME $SHELL; touch /root/x 2>/dev/null || echo no"); out != "ann\nann web\n/home/ann\n/home/ann /bin/sh\nno\n" || status != 0 {
				t.Errorf("ann by SSH: %q, %d", out, status)
			}
			if out, status := m.ssh("stranger", "-tt", "ann@"+m.address, "test -O $(tty) && echo own"); out != "own\r\n" || status != 0 {
				t.Errorf("ann's terminal: %q, %d", out, status)
			}
			if out, status := m.client("scp", append(m.options("stranger"), "/etc/hostname", "ann@"+m.address+":sent")...); status != 0 {
				t.Errorf("ann's scp: %d\n%s", status, out)
			}
			if out, _ := m.run("stat -c %U /home/ann/sent"); out != "ann\n" {
				t.Errorf("what ann sends belongs to %q", out)
			}
			for port, want := range map[string]int{"80": 255, "8080": 0} {
				if out, status := m.ssh("stranger", "-o", "ExitOnForwardFailure=yes", "-R", port+":127.0.0.1:1", "ann@"+m.address, "true"); status != want {
					t.Errorf("ann listens on port %s: %d, %q", port, status, out)
				}
			}
			if out, status := m.ssh("rsa", m.root(), "id -un"); out != "root\n" || status != 0 {
				t.Errorf("root by a key of the document: %q, %d", out, status)
			}
			if out, status := m.ssh("stranger", m.root(), "id -un"); status != 255 {
				t.Errorf("root by ann's key: %q, %d", out, status)
			}
		})
	}
}

const everything = `#cloud-config
hostname: web
timezone: Test/Zone
bootcmd:
  - mkdir -p /opt /usr/local/bin /usr/share/zoneinfo/Test && touch /usr/share/zoneinfo/Test/Zone && echo bootcmd > /opt/order
  - [sh, -c, 'printf "#!/bin/sh\necho \$0 \$* >> /opt/packages\n" > /usr/local/bin/apt-get; chmod +x /usr/local/bin/apt-get']
write_files:
  - path: /opt/a
    content: aGVsbG8K
    encoding: b64
    permissions: '0640'
    owner: root:ann
    defer: true
  - {path: /opt/late, content: "one\n"}
  - {path: /opt/late, content: "two\n", append: true}
groups: [web]
users:
  - default
  - name: ann
    gecos: Ann of the web
    groups: web
    shell: /bin/sh
    sudo: ALL=(ALL) NOPASSWD:ALL
    ssh_authorized_keys: [STRANGER]
ssh_authorized_keys: [RSA]
packages: [curl, [jq, '1.6']]
runcmd:
  - echo runcmd >> /opt/order
  - cd /opt
  - [sh, -c, 'echo "it''s $PWD" >> order']
power_state: {mode: reboot}
`

const everythingSaid = `cloud-config: power_state is not known here and left out
cloud-config: bootcmd: 2 done
cloud-config: write_files: /opt/late
cloud-config: write_files: /opt/late
cloud-config: write_files: 2 written
cloud-config: hostname: web
cloud-config: groups: 1 there
cloud-config: users: ann
cloud-config: users: 1 there
cloud-config: timezone: Test/Zone
cloud-config: packages: 2 installed
cloud-config: write_files: /opt/a
cloud-config: write_files (deferred): 1 written
cloud-config: runcmd: 3 done
`

const everythingThere = `hello
one
two
/usr/local/bin/apt-get -q -y -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io update
/usr/local/bin/apt-get -q -y -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io install curl jq=1.6
bootcmd
runcmd
it's /opt
640 root:ann
755 ann:ann
uid=1000(ann) gid=1001(ann) groups=1001(ann),1000(web)
web
Test/Zone
/usr/share/zoneinfo/Test/Zone
ann ALL=(ALL) NOPASSWD:ALL
440
1
`

func TestUserDataFails(t *testing.T) {
	cases := []struct {
		name, text string
		status     int
		note, said string
	}{
		{"a module", "#cloud-config\ntimezone: No/Where\nruncmd:\n- 'false'\n- exit 3\n- echo never\n", 1,
			"timezone: the image has no time zone No/Where: use a name as Europe/Paris in an image with tzdata; runcmd: exit status 3",
			"cloud-config: timezone: failed: the image has no time zone No/Where: use a name as Europe/Paris in an image with tzdata\ncloud-config: runcmd: command 1: exit status 1\ncloud-config: runcmd: failed: exit status 3\n"},
		{"YAML", "#cloud-config\nruncmd: [\n", 1, "cannot read the cloud-config as YAML: line 3: did not find expected node content", ""},
		{"an interpreter", "#!/none/such\n", 126, "cannot run the user data: the image has no /none/such", ""},
		{"a script", "#!/bin/sh\necho out; echo err >&2; exit 7\n", 7, "exit status 7", "out\nerr\n"},
		{"neither", "hello\n", 126, `cannot run user data: its first line must name an interpreter, as "#!/bin/sh", or be "#cloud-config"`, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, s := provision(t, "nuage/tiny:1", c.text)
			if s.UserData != link.UserDataFailed || s.UserDataExit != c.status || s.UserDataNote != c.note {
				t.Errorf("ended with %d, %q; want %d, %q", s.UserDataExit, s.UserDataNote, c.status, c.note)
			}
			if got := m.told(); got != c.said {
				t.Errorf("the console says\n%s\nwant\n%s", got, c.said)
			}
		})
	}
}
