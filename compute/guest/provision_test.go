//go:build linux

package guest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nuage/compute/guest/cloudconfig"
)

// trial is a provision in a directory, whose commands and owners are only written down.
type trial struct {
	*provision
	out   bytes.Buffer
	calls []string
}

func newTrial(t *testing.T, doc string) *trial {
	t.Helper()
	c, err := cloudconfig.Parse([]byte("#cloud-config\n" + doc))
	if err != nil {
		t.Fatal(err)
	}
	p := &trial{provision: newProvision(c)}
	p.provision.root, p.provision.out = t.TempDir()+"/", &p.out
	p.run = func(env []string, args ...string) error {
		p.calls = append(p.calls, strings.Join(append(env, args...), " "))
		return nil
	}
	p.chown = func(path string, uid, gid int) error {
		p.calls = append(p.calls, fmt.Sprintf("chown %d:%d %s", uid, gid, strings.TrimPrefix(path, strings.TrimSuffix(p.root, "/"))))
		return nil
	}
	p.rename = func(string) error { return errors.New("not here") }
	p.find = func(name string) (string, error) { return "/bin/" + name, nil }
	return p
}

func (p *trial) write(t *testing.T, name, text string) {
	t.Helper()
	if err := writeNew(p.path(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (p *trial) read(name string) string {
	b, err := os.ReadFile(p.path(name))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestAccountsOfAnEmptyImage(t *testing.T) {
	p := newTrial(t, "users:\n- ann\n- {name: sys, system: true, groups: [a, b]}\n- {name: bob, uid: 7, primary_group: a, homedir: /srv/b, lock_passwd: false, passwd: $6$x}\n")
	if failures := p.all(); failures != nil {
		t.Fatal(failures)
	}
	for name, want := range map[string]string{
		"etc/passwd": "ann:x:1000:1000::/home/ann:/bin/sh\nsys:x:999:999::/home/sys:/bin/sh\nbob:x:7:1001::/srv/b:/bin/sh\n",
		"etc/group":  "ann:x:1000:\nsys:x:999:\na:x:1001:sys\nb:x:1002:sys\n",
		"etc/shadow": "ann:!:19000:0:99999:7:::\nsys:!:19000:0:99999:7:::\nbob:$6$x:19000:0:99999:7:::\n",
	} {
		if got := p.read(name); got != want {
			t.Errorf("%s:\n%swant\n%s", name, got, want)
		}
	}
	if _, err := os.Stat(p.path("home/sys")); err == nil {
		t.Error("an account of the system has a home")
	}
}

func TestAccountsThatAreThere(t *testing.T) {
	p := newTrial(t, "groups:\n- web: [ann, new]\nusers:\n- {name: ann, shell: /bin/zsh, groups: [web, staff], sudo: [ALL=(ALL) ALL, 'ALL=(web) NOPASSWD: ALL']}\n- {name: new.one, gecos: 'N: O'}\n")
	p.write(t, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nann:x:1000:50::/home/a:/bin/sh")
	p.write(t, "etc/group", "root:x:0:\nweb:x:1000:bob\nstaff:x:50:ann\n")
	p.write(t, "etc/skel/.profile", "hi\n")
	if failures := p.all(); failures != nil {
		t.Fatal(failures)
	}
	for name, want := range map[string]string{
		"etc/passwd":                     "root:x:0:0:root:/root:/bin/sh\nann:x:1000:50::/home/a:/bin/sh\nnew.one:x:1001:1001:N  O:/home/new.one:/bin/sh\n",
		"etc/group":                      "root:x:0:\nweb:x:1000:bob,ann,new\nstaff:x:50:ann\nnew.one:x:1001:\n",
		"etc/sudoers.d/90-nuage-ann":     "ann ALL=(ALL) ALL\nann ALL=(web) NOPASSWD: ALL\n",
		"home/new.one/.profile":          "hi\n",
		"home/ann":                       "open " + p.path("home/ann") + ": no such file or directory",
		"etc/sudoers.d/90-nuage-new_one": "open " + p.path("etc/sudoers.d/90-nuage-new_one") + ": no such file or directory",
	} {
		if got := p.read(name); got != want {
			t.Errorf("%s:\n%swant\n%s", name, got, want)
		}
	}
	if calls := strings.Join(p.calls, "\n"); !strings.Contains(calls, "chown 1001:1001 /home/new.one\nchown 1001:1001 /home/new.one/.profile") {
		t.Errorf("owners:\n%s", calls)
	}
}

func TestPackages(t *testing.T) {
	cases := []struct{ tool, doc, want string }{
		{"apk", "packages: [curl, [jq, 1]]", "apk update\napk add curl jq=1"},
		{"apk", "package_upgrade: true", "apk update\napk upgrade"},
		{"apk", "package_update: true", "apk update"},
		{"", "packages: [curl]", "packages: the image has neither apt-get nor apk"},
	}
	for _, c := range cases {
		p := newTrial(t, c.doc)
		p.find = func(name string) (string, error) {
			if name == c.tool {
				return "/sbin/" + name, nil
			}
			return "", exec.ErrNotFound
		}
		failures := p.all()
		if got := strings.Join(append(p.calls, failures...), "\n"); got != c.want {
			t.Errorf("%s by %q:\n%s\nwant\n%s", c.doc, c.tool, got, c.want)
		}
	}
}

// TestModulesGoOn has every module fail, and each says why.
func TestModulesGoOn(t *testing.T) {
	p := newTrial(t, "hostname: x\ntimezone: A/B\npackages: [a]\nruncmd: [a]\nbootcmd: [a]\nwrite_files:\n- {path: /etc/f, owner: nobody}\n- {path: /g, encoding: b64, content: '!'}\nusers: [ann]\n")
	p.run = func([]string, ...string) error { return errors.New("no") }
	if err := os.WriteFile(filepath.Join(p.root, "etc"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(strings.Join(p.all(), "\n"), p.root, "/")
	const want = `bootcmd: no
write_files: cannot give /etc/f to "nobody": cannot run as user "nobody": the image has no such user, cannot decode the content of "/g": illegal base64 data at input byte 0
hostname: open /etc/hostname: not a directory
users: ann: open /etc/group: not a directory
timezone: the image has no time zone A/B: use a name as Europe/Paris in an image with tzdata
packages: apt-get update: no
runcmd: no`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestCommandsShareAShell has a shell run what lines become.
func TestCommandsShareAShell(t *testing.T) {
	cases := []struct {
		name   string
		lines  []string
		output string
		status int
	}{
		{"state", []string{"cd /usr; x='a  b'", `echo "$PWD $x"`}, "/usr a  b\n", 0},
		{"quotes", []string{`echo 'it'\''s' "$0" | sed 's/sh$//'`}, "it's \n", 0},
		{"the first failure", []string{"true", "(exit 4)", "(exit 5)", "echo on"}, "cloud-config: runcmd: command 2: exit status 4\ncloud-config: runcmd: command 3: exit status 5\non\n", 4},
		{"an exit", []string{"exit 3", "echo never"}, "", 3},
		{"set -e", []string{"set -e", "false", "echo never"}, "", 1},
		{"many lines", []string{"cat <<X\na\nX\n", "if true\nthen echo b\nfi"}, "a\nb\n", 0},
	}
	for _, c := range cases {
		cmd := exec.Command("sh", "-c", shellScript("runcmd", c.lines), "sh")
		out, _ := cmd.CombinedOutput()
		if string(out) != c.output || cmd.ProcessState.ExitCode() != c.status {
			t.Errorf("%s: %q, %d; want %q, %d", c.name, out, cmd.ProcessState.ExitCode(), c.output, c.status)
		}
	}
}

func TestKeepMachineID(t *testing.T) {
	root := t.TempDir()
	if err := keepMachineID(root, "ab"); err != nil {
		t.Errorf("without /etc: %v", err)
	}
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "etc/machine-id")
	for _, before := range []string{"", "cd\n", "ab", "abc\n"} {
		if before != "" {
			if err := writeNew(path, []byte(before), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := keepMachineID(root, "ab"); err != nil || !holds(path, "ab\n") {
			t.Errorf("over %q: %v", before, err)
		}
	}
	was, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := keepMachineID(root, "ab"); err != nil {
		t.Fatal(err)
	}
	if is, err := os.Stat(path); err != nil || !os.SameFile(is, was) {
		t.Errorf("a file that holds it is written again: %v", err)
	}
}
