package cloudconfig

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nuage/api"
)

const edKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINg8rXWrVO7vR6qVTVgtNuLwKRlCKCpT7WbLNVVNLTw7 ann@laptop"

func TestParse(t *testing.T) {
	cases := []struct {
		name, doc string
		want      Config
	}{
		{"nothing", "", Config{}},
		{"null", "packages:\nusers: ~\nruncmd: []\nhostname:\n", Config{}},
		{"names", "hostname: web.example\ntimezone: America/Argentina/Salta\n", Config{Hostname: "web.example", Timezone: "America/Argentina/Salta"}},
		{"commands", "runcmd:\n- echo $HOME\n- [echo, it's, 5, true]\n- |\n  a\n  b\nbootcmd: [x]\n",
			Config{BootCommands: []string{"x"}, Commands: []string{"echo $HOME", `'echo' 'it'\''s' '5' 'true'`, "a\nb\n"}}},
		{"packages", "packages: [curl, [jq, 1.6], g++]\npackage_update: yes\npackage_upgrade: off\n",
			Config{Packages: []string{"curl", "jq=1.6", "g++"}, PackageUpdate: true}},
		{"groups", "groups:\n- a\n- b: [x, y]\n- c: z\n", Config{Groups: []Group{{"a", nil}, {"b", []string{"x", "y"}}, {"c", []string{"z"}}}}},
		{"groups in a line", "groups: a, b\n", Config{Groups: []Group{{Name: "a"}, {Name: "b"}}}},
		{"files", "write_files:\n- path: /a\n- {path: /b, permissions: 0600, owner: 'u:g', append: true, defer: true}\n- {path: /c, permissions: '4755'}\n- {path: /d, permissions: 0o755}\n",
			Config{Files: []File{{Path: "/a", Mode: 0o644}, {Path: "/b", Mode: 0o600, Owner: "u:g", Append: true, Defer: true}, {Path: "/c", Mode: 0o4755}, {Path: "/d", Mode: 0o755}}}},
		{"users", "users:\n- default\n- bob\n- name: root\n  ssh_authorized_keys: [KEY]\n- name: ann\n  uid: 1500\n  gecos: 'Ann: one'\n  primary_group: staff\n  groups: [web, db]\n  shell: /bin/zsh\n  homedir: /srv/ann\n  no_create_home: true\n  system: true\n  sudo: ['ALL=(ALL) ALL']\n  lock_passwd: false\n  passwd: $6$abc\n  ssh_authorized_keys:\n  - KEY\nssh_authorized_keys: [KEY]\n",
			Config{RootKeys: []string{edKey, edKey}, Users: []User{{Name: "bob", UID: -1, LockPassword: true},
				{Name: "ann", UID: 1500, Gecos: "Ann  one", PrimaryGroup: "staff", Groups: []string{"web", "db"}, Shell: "/bin/zsh", Home: "/srv/ann",
					NoHome: true, System: true, Sudo: []string{"ALL=(ALL) ALL"}, PasswordHash: "$6$abc", Keys: []string{edKey}}}}},
		{"sudo off", "users:\n- {name: a, sudo: false}\n", Config{Users: []User{{Name: "a", UID: -1, LockPassword: true}}}},
		{"unknown keys", "swap: {size: 1}\nusers:\n- {name: a, expiredate: x}\n", Config{Users: []User{{Name: "a", UID: -1, LockPassword: true}}, Unknown: []string{"swap", "users[0].expiredate"}}},
		{"an alias", "packages: &p [a]\nruncmd: *p\n", Config{Packages: []string{"a"}, Commands: []string{"a"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse([]byte("#cloud-config\n" + strings.ReplaceAll(c.doc, "KEY", edKey)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreUnexported(File{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'h'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), c-1)
	}
	cases := []struct{ doc, want string }{
		{"#!/bin/sh\n", `cannot use user data as a cloud-config: its first line must be "#cloud-config"`},
		{"#cloud-config\n" + strings.Repeat("#", MaxSize), "cannot use a cloud-config of 65550 bytes: 64 KiB are the most"},
		{"#cloud-config\na: b: c\n", "cannot read the cloud-config as YAML: line 2: mapping values are not allowed in this context"},
		{"#cloud-config\n- a\n", "cannot use the cloud-config: line 2: the document must be a mapping of names to values"},
		{"#cloud-config\nruncmd: ls\n", "cannot use the cloud-config: line 2: this must be a list"},
		{"#cloud-config\nruncmd:\n- ls\n- a: b\n", "cannot use the cloud-config: line 4: this must be a text"},
		{"#cloud-config\nhostname: -x\n", `cannot use the cloud-config: line 2: "-x" is not a host name`},
		{"#cloud-config\nhostname: a\nhostname: b\n", "cannot use the cloud-config: line 3: hostname is there twice"},
		{"#cloud-config\ntimezone: ../../etc/shadow\n", `cannot use the cloud-config: line 2: "../../etc/shadow" is not a time zone as Europe/Paris`},
		{"#cloud-config\npackages: [-y]\n", `cannot use the cloud-config: line 2: "-y" is not the name of a package`},
		{"#cloud-config\npackages:\n- [a]\n", "cannot use the cloud-config: line 3: a package is a name, or a list of a name and a version"},
		{"#cloud-config\npackage_update: perhaps\n", `cannot use the cloud-config: line 2: "perhaps" is neither true nor false`},
		{"#cloud-config\nwrite_files:\n- content: x\n", `cannot use the cloud-config: line 3: a file needs a path that begins with /, and "" is none`},
		{"#cloud-config\nwrite_files:\n- {path: /a, encoding: rot13}\n", `cannot use the cloud-config: line 3: "rot13" is not an encoding: there are b64, gzip and gz+b64`},
		{"#cloud-config\nwrite_files:\n- {path: /a, permissions: '0888'}\n", `cannot use the cloud-config: line 3: "0888" is not a number`},
		{"#cloud-config\nusers:\n- gecos: x\n", "cannot use the cloud-config: line 3: a user needs a name"},
		{"#cloud-config\nusers:\n- ~\n", "cannot use the cloud-config: line 3: a user needs a name"},
		{"#cloud-config\ngroups:\n- ''\n", "cannot use the cloud-config: line 3: a group needs a name"},
		{"#cloud-config\nusers:\n- {name: 'a:0'}\n", `cannot use the cloud-config: line 3: "a:0" is not a name for an account: up to 32 of a-z, 0-9, _, . and -`},
		{"#cloud-config\nusers:\n- {name: a, shell: \"/bin/sh\\nroot2::0:0::/:/bin/sh\"}\n", `cannot use the cloud-config: line 3: "/bin/sh\nroot2::0:0::/:/bin/sh" is not a path from /, without colons`},
		{"#cloud-config\nusers:\n- {name: a, sudo: \"ALL\\nb ALL\"}\n", "cannot use the cloud-config: line 3: this must be one line"},
		{"#cloud-config\nssh_authorized_keys: [junk]\n", `cannot use the cloud-config: line 2: "junk" is not a public key of SSH: give a line as ssh-keygen writes it`},
		{"#cloud-config\nssh_authorized_keys:\n- 'command=\"x\" " + edKey + "'\n", `cannot use the cloud-config: line 3: a key can't have options, as this one has: command="x"`},
		{"#cloud-config\nruncmd: [\"a\\0b\"]\n", "cannot use the cloud-config: line 2: a text can't have a zero byte"},
		{"#cloud-config\n" + bomb + "runcmd: [*g, *g]\n", "cannot use the cloud-config: line 7: this must be a text"},
		{"#cloud-config\na: &a [" + strings.Repeat("x,", 10000) + "x]\nruncmd: [*a, *a, *a]\n", "cannot use the cloud-config: line 2: its aliases come to more than 20000 values"},
		{"#cloud-config\na: &a " + strings.Repeat("x", 60000) + "\nruncmd: [" + strings.Repeat("*a,", 20) + "]\n", "cannot use the cloud-config: line 2: its aliases come to more than 1024 KiB of text"},
	}
	for _, c := range cases {
		_, err := Parse([]byte(c.doc))
		if err == nil || err.Error() != c.want || api.CodeOf(err) != api.Invalid {
			t.Errorf("%.80q:\n%v\nwant\n%s", c.doc, err, c.want)
		}
	}
}

func TestIs(t *testing.T) {
	for text, want := range map[string]bool{
		"#cloud-config": true, "#cloud-config \r\na: 1": true, "#cloud-configs": false, "\n#cloud-config": false, "#!/bin/sh": false, "": false,
	} {
		if Is(text) != want {
			t.Errorf("Is(%q) = %t", text, !want)
		}
	}
}

func packed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestContent(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	huge := packed(t, strings.Repeat("x", maxContent+1))
	cases := []struct{ encoding, content, want string }{
		{"", "a\n", "a\n"},
		{"text/plain", "a\n", "a\n"},
		{"b64", "YQ\n  ==", "a"},
		{"base64", "YQ==", "a"},
		{"gz+b64", b64([]byte(packed(t, "a"))), "a"},
		{"gzip+base64", b64([]byte(packed(t, ""))), ""},
		{"b64", "Y", `cannot decode the content of "/f": illegal base64 data at input byte 0`},
		{"gzip", "Y", `cannot decode the content of "/f": unexpected EOF`},
		{"gz+b64", b64([]byte(huge)), `cannot decode the content of "/f": it is larger than 16 MiB`},
	}
	for _, c := range cases {
		doc := fmt.Sprintf("#cloud-config\nwrite_files:\n- {path: /f, encoding: %q, content: %q}\n", c.encoding, c.content)
		parsed, err := Parse([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		content, err := parsed.Files[0].Content()
		got := string(content)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s %.20q: %.80q; want %q", c.encoding, c.content, got, c.want)
		}
	}
}

// TestQuoting has a shell read what a list of words becomes.
func TestQuoting(t *testing.T) {
	c, err := Parse([]byte("#cloud-config\nruncmd:\n- [printf, '%s|', 'a b', \"it's\", '$HOME', '\"', \"\\\\\", '', \"x\\ny\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", "-c", c.Commands[0]).Output()
	if want := "a b|it's|$HOME|\"|\\||x\ny|"; string(out) != want || err != nil {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
}

// FuzzParse checks that no document makes Parse fail in another way than it says, and that what it accepts holds to what
// the machine's files need.
func FuzzParse(f *testing.F) {
	for _, doc := range []string{
		"", "a: &a [*a]\nruncmd: *a", "users:\n- {name: ann, groups: [a], ssh_authorized_keys: ['" + edKey + "']}", "write_files: [{path: /a, encoding: gz+b64, content: YQ==}]",
		"<<: &x {runcmd: [a]}\nb: *x", "packages: [[a, 1]]", "? [a]\n: b", "groups: {a: [b]}", "--- a\n--- b", "!!binary x: 1", "runcmd: !!set {a, b}",
	} {
		f.Add([]byte("#cloud-config\n" + doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		start := time.Now()
		c, err := Parse(doc)
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("%d bytes took %s", len(doc), took)
		}
		if err != nil {
			if api.CodeOf(err) != api.Invalid {
				t.Fatalf("%v is %s", err, api.CodeOf(err))
			}
			return
		}
		for _, u := range c.Users {
			if fields := strings.Join([]string{u.Name, u.PrimaryGroup, u.Gecos, u.Home, u.Shell, u.PasswordHash, strings.Join(u.Groups, "")}, ""); u.Name == "" || strings.ContainsAny(fields, ":\n") {
				t.Errorf("user %+v", u)
			}
			if strings.Contains(strings.Join(u.Sudo, ""), "\n") {
				t.Errorf("sudo %q", u.Sudo)
			}
		}
		for _, file := range c.Files {
			if !strings.HasPrefix(file.Path, "/") || file.Mode > 0o7777 {
				t.Errorf("file %+v", file)
			}
		}
	})
}
