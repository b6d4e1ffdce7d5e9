//go:build linux

package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"nuage/compute/guest/cloudconfig"
)

// Accounts are written to the image's files directly: useradd, adduser and busybox take other words each, and many images
// have none of them.

// owner resolves USER or USER:GROUP for chown: a number is enough, and without a group the user's own counts.
func (u users) owner(text string) (account, error) {
	return u.lookup(strings.TrimSuffix(text, ":"))
}

func (p *provision) addGroups() (string, error) {
	var failures []error
	for _, g := range p.config.Groups {
		if _, err := p.ensureGroup(g.Name, -1, g.Members...); err != nil {
			failures = append(failures, err)
		}
	}
	return fmt.Sprintf("%d there", len(p.config.Groups)), joined(failures)
}

func (p *provision) addUsers() (string, error) {
	var failures []error
	for _, u := range p.config.Users {
		if err := p.addUser(u); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", u.Name, err))
			continue
		}
		fmt.Fprintf(p.out, "cloud-config: users: %s\n", u.Name)
	}
	return fmt.Sprintf("%d there", len(p.config.Users)), joined(failures)
}

// addUser makes an account, or leaves the one of that name; groups and rules for sudo it gets in any case.
func (p *provision) addUser(u cloudconfig.User) error {
	if _, found := (users{p.root}).find(func(name, _ string) bool { return name == u.Name }); !found {
		a, err := p.newAccount(u)
		if err != nil {
			return err
		}
		if err := p.makeHome(u, a); err != nil {
			return err
		}
	}
	for _, g := range u.Groups {
		if _, err := p.ensureGroup(g, -1, u.Name); err != nil {
			return err
		}
	}
	return p.allowSudo(u)
}

func (p *provision) newAccount(u cloudconfig.User) (account, error) {
	a := account{name: u.Name, uid: u.UID, home: u.Home, shell: u.Shell}
	if a.uid < 0 {
		a.uid = p.freeID("etc/passwd", 7, u.System)
	}
	if a.home == "" {
		a.home = "/home/" + u.Name
	}
	if a.shell == "" {
		a.shell = p.shell()
	}
	group, wish := u.PrimaryGroup, -1
	if group == "" {
		group, wish = u.Name, a.uid
	}
	var err error
	if a.gid, err = p.ensureGroup(group, wish); err != nil {
		return a, err
	}
	fields := []string{a.name, "x", strconv.Itoa(a.uid), strconv.Itoa(a.gid), u.Gecos, a.home, a.shell}
	if err := p.edit("etc/passwd", 0o644, func(lines []string) []string { return append(lines, strings.Join(fields, ":")) }); err != nil {
		return a, err
	}
	password := "!" + u.PasswordHash
	if !u.LockPassword {
		password = u.PasswordHash
	}
	return a, p.edit("etc/shadow", 0o600, func(lines []string) []string {
		return append(lines, u.Name+":"+password+":19000:0:99999:7:::")
	})
}

// shell is what an account starts that names none.
func (p *provision) shell() string {
	if isProgram(p.path("bin/bash")) {
		return "/bin/bash"
	}
	return "/bin/sh"
}

// makeHome makes the home with what new homes have.
func (p *provision) makeHome(u cloudconfig.User, a account) error {
	if u.NoHome || u.System {
		return nil
	}
	home := p.path(a.home)
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(home, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil // and whose it is stays
		}
		return err
	}
	if _, err := os.Stat(p.path("etc/skel")); err == nil {
		if err := os.CopyFS(home, os.DirFS(p.path("etc/skel"))); err != nil {
			return err
		}
	}
	return filepath.WalkDir(home, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return p.chown(path, a.uid, a.gid)
	})
}

// ensureGroup sees that a group is there with these members, and returns its number: gid where it is new and that is free.
func (p *provision) ensureGroup(name string, gid int, members ...string) (int, error) {
	u := users{p.root}
	taken := false
	for _, f := range u.lines("etc/group", 4) {
		if f[0] == name {
			number, err := strconv.Atoi(f[2])
			if err != nil {
				return 0, fmt.Errorf("group %s has the number %q", name, f[2])
			}
			return number, p.addMembers(name, members)
		}
		taken = taken || f[2] == strconv.Itoa(gid)
	}
	if gid < 0 || taken {
		gid = p.freeID("etc/group", 4, false)
	}
	line := fmt.Sprintf("%s:x:%d:%s", name, gid, strings.Join(members, ","))
	return gid, p.edit("etc/group", 0o644, func(lines []string) []string { return append(lines, line) })
}

func (p *provision) addMembers(group string, members []string) error {
	if len(members) == 0 {
		return nil
	}
	return p.edit("etc/group", 0o644, func(lines []string) []string {
		for i, line := range lines {
			f := strings.Split(line, ":")
			if len(f) != 4 || f[0] != group {
				continue
			}
			all := strings.FieldsFunc(f[3], func(r rune) bool { return r == ',' })
			for _, m := range members {
				if !slices.Contains(all, m) {
					all = append(all, m)
				}
			}
			f[3] = strings.Join(all, ",")
			lines[i] = strings.Join(f, ":")
		}
		return lines
	})
}

// freeID returns a number from 1000 that nobody has in a file, or, for the system's own accounts, one below.
func (p *provision) freeID(path string, fields int, system bool) int {
	taken := map[string]bool{}
	for _, f := range (users{p.root}).lines(path, fields) {
		taken[f[2]] = true
	}
	id, step := 1000, 1
	if system {
		id, step = 999, -1
	}
	for taken[strconv.Itoa(id)] {
		id += step
	}
	return id
}

// allowSudo writes the rules where sudo looks for them, whether or not it is there yet.
func (p *provision) allowSudo(u cloudconfig.User) error {
	if len(u.Sudo) == 0 {
		return nil
	}
	var text strings.Builder
	for _, rule := range u.Sudo {
		text.WriteString(u.Name + " " + rule + "\n")
	}
	dir := p.path("etc/sudoers.d")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return writeNew(filepath.Join(dir, "90-nuage-"+strings.ReplaceAll(u.Name, ".", "_")), []byte(text.String()), 0o440) // sudo skips names with dots
}

// edit replaces a file of accounts by another, with the owner and the mode it had.
func (p *provision) edit(name string, mode os.FileMode, change func(lines []string) []string) error {
	path := p.path(name)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	info, statErr := os.Stat(path)
	if statErr == nil {
		mode = info.Mode().Perm()
	}
	var lines []string
	if trimmed := strings.TrimRight(string(text), "\n"); trimmed != "" {
		lines = strings.Split(trimmed, "\n")
	}
	if err := writeNew(path, []byte(strings.Join(change(lines), "\n")+"\n"), mode); err != nil {
		return err
	}
	if statErr != nil {
		return nil
	}
	if had, ok := info.Sys().(*syscall.Stat_t); ok {
		return p.chown(path, int(had.Uid), int(had.Gid))
	}
	return nil
}
