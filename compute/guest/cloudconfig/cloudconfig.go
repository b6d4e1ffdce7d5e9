// Package cloudconfig reads user data of the kind #cloud-config: the modules of cloud-init that a machine of nuage knows.
// It does nothing with them, so that the control plane can refuse what no machine could use.
package cloudconfig

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v4"

	"nuage/api"
)

// MaxSize is the largest document, in bytes.
const MaxSize = 64 << 10

const header = "#cloud-config"

// Config is a document, with what cloud-init would do by default filled in.
type Config struct {
	Hostname       string // "": as it is
	Timezone       string // as Europe/Paris; "": as it is
	BootCommands   []string
	Commands       []string // runcmd; each a line for the shell
	Files          []File
	Groups         []Group
	Users          []User
	RootKeys       []string // authorized_keys lines that let root in: ssh_authorized_keys, and those of users named root
	Packages       []string // NAME or NAME=VERSION
	PackageUpdate  bool     // read the package lists, which installing does anyway
	PackageUpgrade bool
	Unknown        []string // keys nothing here knows, as users[0].passwd, in the order of the document
}

// File is an entry of write_files.
type File struct {
	Path     string // absolute
	Owner    string // USER or USER:GROUP; "": root
	Mode     uint32 // permission bits
	Append   bool
	Defer    bool // write it after users and packages
	content  string
	encoding []string // outermost first: b64, gz
}

// Group is an entry of groups.
type Group struct {
	Name    string
	Members []string
}

// User is an entry of users other than root.
type User struct {
	Name         string
	UID          int // -1: the next free one
	Gecos        string
	PrimaryGroup string // "": one of the user's own name
	Groups       []string
	Shell        string   // "": a shell the image has
	Home         string   // "": /home/NAME
	NoHome       bool     // make no home
	System       bool     // a number below 1000, and no home
	Sudo         []string // rules for sudoers, without the name
	LockPassword bool     // no password opens the account
	PasswordHash string   // as crypt(3); SSH takes no passwords at all
	Keys         []string // authorized_keys lines
}

// Is reports whether user data is a cloud-config: its first line says so.
func Is(userData string) bool {
	first, _, _ := strings.Cut(userData, "\n")
	return strings.TrimRight(first, " \t\r") == header
}

// Parse reads a document. Invalid: it is larger than MaxSize, is no YAML, or has a value that its key can't have; the
// message names the line.
func Parse(doc []byte) (Config, error) {
	if len(doc) > MaxSize {
		return Config{}, api.Errorf(api.Invalid, "cannot use a cloud-config of %d bytes: %d KiB are the most", len(doc), MaxSize>>10)
	}
	if !Is(string(doc)) {
		return Config{}, api.Errorf(api.Invalid, "cannot use user data as a cloud-config: its first line must be %q", header)
	}
	var top yaml.Node
	if err := load(doc, &top); err != nil {
		return Config{}, err
	}
	r := &reader{left: maxNodes}
	var c Config
	if len(top.Content) > 0 {
		c = r.config(top.Content[0])
	}
	if r.err != nil {
		return Config{}, r.err
	}
	c.Unknown = r.unknown
	return c, nil
}

// load reads the one document there is.
func load(doc []byte, into *yaml.Node) error {
	if err := yaml.Unmarshal(doc, into); err != nil {
		text, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "yaml: "), "\n")
		return api.Errorf(api.Invalid, "cannot read the cloud-config as YAML: %s", text)
	}
	if bytes.IndexByte(doc, 0) >= 0 {
		return api.Errorf(api.Invalid, "cannot use a cloud-config with a zero byte in it")
	}
	return nil
}

func (r *reader) config(n *yaml.Node) Config {
	var c Config
	r.fields(n, "", map[string]func(*yaml.Node, string){
		"hostname":            func(n *yaml.Node, _ string) { c.Hostname = r.matching(n, hostnames, "a host name") },
		"timezone":            func(n *yaml.Node, _ string) { c.Timezone = r.matching(n, zones, "a time zone as Europe/Paris") },
		"bootcmd":             func(n *yaml.Node, _ string) { c.BootCommands = r.commands(n) },
		"runcmd":              func(n *yaml.Node, _ string) { c.Commands = r.commands(n) },
		"write_files":         func(n *yaml.Node, path string) { c.Files = r.files(n, path) },
		"groups":              func(n *yaml.Node, _ string) { c.Groups = r.groups(n) },
		"users":               func(n *yaml.Node, path string) { r.users(n, path, &c) },
		"ssh_authorized_keys": func(n *yaml.Node, _ string) { c.RootKeys = append(c.RootKeys, r.keys(n)...) },
		"packages":            func(n *yaml.Node, _ string) { c.Packages = r.packages(n) },
		"package_update":      func(n *yaml.Node, _ string) { c.PackageUpdate = r.flag(n) },
		"package_upgrade":     func(n *yaml.Node, _ string) { c.PackageUpgrade = r.flag(n) },
	})
	return c
}
