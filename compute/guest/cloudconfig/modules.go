package cloudconfig

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
	"golang.org/x/crypto/ssh"

	"nuage/api"
)

var (
	hostnames = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$`)
	zones     = regexp.MustCompile(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$`)
	accounts  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`)
	packages  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+._:~@/-]*([=<>~]{1,2}[A-Za-z0-9+._:~-]+)?$`)
	hashes    = regexp.MustCompile(`^[!-9;-~]*$`)
)

const (
	anAccount = "a name for an account: up to 32 of a-z, 0-9, _, . and -"
	aPackage  = "the name of a package"
	aPath     = "a path from /, without colons"
)

// maxContent is the largest file write_files makes of a compressed content.
const maxContent = 16 << 20

func (r *reader) files(n *yaml.Node, path string) []File {
	var out []File
	r.each(n, func(i int, n *yaml.Node) {
		f := File{Mode: 0o644}
		r.fields(n, fmt.Sprintf("%s[%d]", path, i), map[string]func(*yaml.Node, string){
			"path":        func(n *yaml.Node, _ string) { f.Path = r.string(n) },
			"content":     func(n *yaml.Node, _ string) { f.content = r.string(n) },
			"encoding":    func(n *yaml.Node, _ string) { f.encoding = r.encoding(n) },
			"permissions": func(n *yaml.Node, _ string) { f.Mode = uint32(r.number(n, 8)) & 0o7777 },
			"owner":       func(n *yaml.Node, _ string) { f.Owner = r.line(n) },
			"append":      func(n *yaml.Node, _ string) { f.Append = r.flag(n) },
			"defer":       func(n *yaml.Node, _ string) { f.Defer = r.flag(n) },
		})
		if !strings.HasPrefix(f.Path, "/") {
			r.fail(n, "a file needs a path that begins with /, and %q is none", clip(f.Path))
		}
		out = append(out, f)
	})
	return out
}

// encoding returns what to undo, in order.
func (r *reader) encoding(n *yaml.Node) []string {
	switch s := r.string(n); strings.ToLower(s) {
	case "", "text/plain":
		return nil
	case "b64", "base64":
		return []string{"b64"}
	case "gz", "gzip":
		return []string{"gz"}
	case "gz+b64", "gzip+b64", "gz+base64", "gzip+base64":
		return []string{"b64", "gz"}
	default:
		r.fail(n, "%q is not an encoding: there are b64, gzip and gz+b64", clip(s))
		return nil
	}
}

// Content returns what to write. Invalid: it is not encoded as it says, or is larger than 16 MiB.
func (f File) Content() ([]byte, error) {
	b := []byte(f.content)
	for _, e := range f.encoding {
		var err error
		if e == "b64" {
			b, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(b)), ""))
		} else {
			b, err = gunzip(b)
		}
		if err != nil {
			return nil, api.Errorf(api.Invalid, "cannot decode the content of %q: %w", f.Path, err)
		}
	}
	return b, nil
}

func gunzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(z, maxContent+1))
	if err == nil && len(out) > maxContent {
		err = fmt.Errorf("it is larger than %d MiB", maxContent>>20)
	}
	return out, err
}

// groups takes names, or mappings of a name to members.
func (r *reader) groups(n *yaml.Node) []Group {
	var out []Group
	n = r.resolve(n)
	if n.Kind == yaml.ScalarNode {
		for _, name := range r.names(n) {
			out = append(out, Group{Name: name})
		}
		return out
	}
	r.each(n, func(_ int, n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			out = append(out, Group{Name: r.groupName(n)})
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			out = append(out, Group{r.groupName(n.Content[i]), r.names(n.Content[i+1])})
		}
	})
	return out
}

func (r *reader) groupName(n *yaml.Node) string {
	name := r.matching(n, accounts, anAccount)
	if name == "" {
		r.fail(n, "a group needs a name")
	}
	return name
}

// names takes words that are all names of accounts.
func (r *reader) names(n *yaml.Node) []string {
	all := r.words(n)
	for _, name := range all {
		if !accounts.MatchString(name) {
			r.fail(n, "%q is not %s", clip(name), anAccount)
		}
	}
	return all
}

// users takes accounts. Root is there already: of "default", as here the default user is called, there is nothing to
// make, and of "root" the keys count.
func (r *reader) users(n *yaml.Node, path string, c *Config) {
	n = r.resolve(n)
	if n.Kind == yaml.ScalarNode {
		for _, name := range r.names(n) {
			c.addUser(newUser(name))
		}
		return
	}
	r.each(n, func(i int, n *yaml.Node) {
		u := newUser("")
		if n.Kind == yaml.ScalarNode {
			u.Name = r.matching(n, accounts, anAccount)
		} else {
			u = r.user(n, fmt.Sprintf("%s[%d]", path, i))
		}
		if u.Name == "" {
			r.fail(n, "a user needs a name")
		}
		c.addUser(u)
	})
}

func newUser(name string) User { return User{Name: name, UID: -1, LockPassword: true} }

func (c *Config) addUser(u User) {
	switch u.Name {
	case "default":
	case "root":
		c.RootKeys = append(c.RootKeys, u.Keys...)
	default:
		c.Users = append(c.Users, u)
	}
}

func (r *reader) user(n *yaml.Node, path string) User {
	u := newUser("")
	home := func(n *yaml.Node, _ string) { u.Home = r.matching(n, paths, aPath) }
	r.fields(n, path, map[string]func(*yaml.Node, string){
		"name":                func(n *yaml.Node, _ string) { u.Name = r.matching(n, accounts, anAccount) },
		"uid":                 func(n *yaml.Node, _ string) { u.UID = r.number(n, 10) },
		"gecos":               func(n *yaml.Node, _ string) { u.Gecos = strings.ReplaceAll(r.line(n), ":", " ") },
		"primary_group":       func(n *yaml.Node, _ string) { u.PrimaryGroup = r.matching(n, accounts, anAccount) },
		"groups":              func(n *yaml.Node, _ string) { u.Groups = r.names(n) },
		"shell":               func(n *yaml.Node, _ string) { u.Shell = r.matching(n, paths, aPath) },
		"homedir":             home,
		"home":                home,
		"no_create_home":      func(n *yaml.Node, _ string) { u.NoHome = r.flag(n) },
		"system":              func(n *yaml.Node, _ string) { u.System = r.flag(n) },
		"sudo":                func(n *yaml.Node, _ string) { u.Sudo = r.sudo(n) },
		"lock_passwd":         func(n *yaml.Node, _ string) { u.LockPassword = r.flag(n) },
		"passwd":              func(n *yaml.Node, _ string) { u.PasswordHash = r.matching(n, hashes, "a hash as crypt(3) makes") },
		"ssh_authorized_keys": func(n *yaml.Node, _ string) { u.Keys = r.keys(n) },
	})
	return u
}

// paths keep out what would end a field of /etc/passwd.
var paths = regexp.MustCompile(`^/[^:\n\r]*$`)

// sudo takes rules; false is none.
func (r *reader) sudo(n *yaml.Node) []string {
	n = r.resolve(n)
	if n.Kind == yaml.SequenceNode {
		var out []string
		r.each(n, func(_ int, n *yaml.Node) { out = append(out, r.line(n)) })
		return out
	}
	switch s := r.line(n); strings.ToLower(s) {
	case "", "false", "no":
		return nil
	default:
		return []string{s}
	}
}

// keys takes authorized_keys lines. One with options is refused: the guest could not keep to them.
func (r *reader) keys(n *yaml.Node) []string {
	var out []string
	r.each(n, func(_ int, n *yaml.Node) {
		line := strings.TrimSpace(r.line(n))
		_, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			r.fail(n, "%q is not a public key of SSH: give a line as ssh-keygen writes it", clip(line))
		}
		if len(options) > 0 {
			r.fail(n, "a key can't have options, as this one has: %s", clip(strings.Join(options, ",")))
		}
		out = append(out, line)
	})
	return out
}

// packages takes names, or lists of a name and a version.
func (r *reader) packages(n *yaml.Node) []string {
	var out []string
	r.each(n, func(_ int, n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			if name := r.matching(n, packages, aPackage); name != "" {
				out = append(out, name)
			}
			return
		}
		both := r.words(n)
		name := strings.Join(both, "=")
		if len(both) != 2 || !packages.MatchString(name) {
			r.fail(n, "a package is a name, or a list of a name and a version")
		}
		out = append(out, name)
	})
	return out
}
