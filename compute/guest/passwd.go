//go:build linux

package guest

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// account is a user as the image's files have it.
type account struct {
	name   string
	uid    int
	gid    int
	groups []int
	home   string
	shell  string // "": the image has none
}

// users reads the account databases below root, "/" but in tests. Never called by PID 1: the files may be anything.
type users struct{ root string }

// superuser returns root, with what is usual where the files say nothing.
func (u users) superuser() account {
	a, ok := u.find(func(name, uid string) bool { return name == "root" })
	if !ok {
		a = account{name: "root", home: "/root"}
	}
	a.uid, a.gid = 0, 0
	for _, shell := range []string{a.shell, "/bin/bash", "/bin/sh", "/busybox/sh"} {
		if shell != "" && isProgram(u.root+shell) {
			a.shell = shell
			return a
		}
	}
	a.shell = ""
	return a
}

// login returns whom a session is for: "" is root.
func (u users) login(name string) (account, error) {
	if name == "" {
		return u.superuser(), nil
	}
	a, ok := u.find(func(is, _ string) bool { return is == name })
	if !ok {
		return a, fmt.Errorf("cannot log in as %q: the machine has no such user (yet: user data makes it)", name)
	}
	a.groups = u.groupsOf(a)
	if a.shell == "" {
		a.shell = "/bin/sh"
	}
	if !isProgram(u.root + a.shell) {
		return a, fmt.Errorf("cannot log in as %q: the machine has no shell %q", name, a.shell)
	}
	return a, nil
}

// lookup resolves USER or USER:GROUP, names or numbers, as an image's USER line has it.
func (u users) lookup(text string) (account, error) {
	user, group, hasGroup := strings.Cut(text, ":")
	a, ok := u.find(func(name, uid string) bool { return name == user || uid == user })
	if !ok {
		uid, err := strconv.Atoi(user)
		if err != nil {
			return a, fmt.Errorf("cannot run as user %q: the image has no such user", user)
		}
		a = account{name: user, uid: uid, home: "/"}
	}
	if !hasGroup {
		a.groups = u.groupsOf(a)
		return a, nil
	}
	gid, err := u.group(group)
	a.gid, a.groups = gid, []int{gid}
	return a, err
}

func (u users) find(match func(name, uid string) bool) (account, bool) {
	for _, f := range u.lines("etc/passwd", 7) {
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err1 == nil && err2 == nil && match(f[0], f[2]) {
			return account{name: f[0], uid: uid, gid: gid, home: f[5], shell: f[6]}, true
		}
	}
	return account{}, false
}

func (u users) group(text string) (int, error) {
	for _, f := range u.lines("etc/group", 4) {
		if f[0] == text {
			return strconv.Atoi(f[2])
		}
	}
	gid, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("cannot run as group %q: the image has no such group", text)
	}
	return gid, nil
}

func (u users) groupsOf(a account) []int {
	all := []int{a.gid}
	for _, f := range u.lines("etc/group", 4) {
		gid, err := strconv.Atoi(f[2])
		if err == nil && strings.Contains(","+f[3]+",", ","+a.name+",") {
			all = append(all, gid)
		}
	}
	return all
}

// lines returns the lines of a database that have that many fields.
func (u users) lines(path string, fields int) [][]string {
	f, err := os.Open(u.root + path)
	if err != nil {
		return nil // an image without accounts
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, 1<<20)) // what can be read decides
	var out [][]string
	for line := range strings.Lines(string(text)) {
		if parts := strings.Split(strings.TrimSuffix(line, "\n"), ":"); len(parts) == fields {
			out = append(out, parts)
		}
	}
	return out
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// setEnv gives this process the account's variables.
func (a account) setEnv() {
	set := map[string]string{"HOME": a.home, "USER": a.name, "LOGNAME": a.name}
	if a.shell != "" {
		set["SHELL"] = a.shell
	}
	if os.Getenv("PATH") == "" {
		set["PATH"] = defaultPath
	}
	for name, value := range set {
		os.Setenv(name, value) // fails for impossible names only
	}
}

// enter makes this process the account's, and the terminal on its stdin with it.
func (a account) enter() error {
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil {
		if err := syscall.Fchown(0, a.uid, -1); err != nil {
			return fmt.Errorf("cannot give the terminal to user %q: %w", a.name, err)
		}
	}
	return a.assume()
}

// assume makes this process the account's, for good.
func (a account) assume() error {
	if err := syscall.Setgroups(a.groups); err != nil {
		return fmt.Errorf("cannot take the groups of user %q: %w", a.name, err)
	}
	if err := syscall.Setgid(a.gid); err != nil {
		return fmt.Errorf("cannot take the group of user %q: %w", a.name, err)
	}
	if err := syscall.Setuid(a.uid); err != nil {
		return fmt.Errorf("cannot become user %q: %w", a.name, err)
	}
	return nil
}
