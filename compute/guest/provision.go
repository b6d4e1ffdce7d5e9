//go:build linux

package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"nuage/compute/guest/cloudconfig"
)

// provision carries out a cloud-config, in a child of PID 1 that has given PID 1's capabilities up.
type provision struct {
	root   string // "/" but in tests
	config cloudconfig.Config
	out    io.Writer                                // what is printed goes to the console
	run    func(env []string, args ...string) error // a command, in root
	chown  func(path string, uid, gid int) error    // os.Lchown but in tests
	rename func(name string) error                  // of the machine, in the kernel
	find   func(program string) (path string, err error)
}

func newProvision(c cloudconfig.Config) *provision {
	p := &provision{root: "/", config: c, out: os.Stdout, chown: os.Lchown, find: exec.LookPath}
	p.rename = func(name string) error { return unix.Sethostname([]byte(name)) }
	p.run = func(env []string, args ...string) error {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.root, append(os.Environ(), env...), p.out, p.out
		return cmd.Run()
	}
	return p
}

// module is one step. It returns what it did, in words.
type module struct {
	name   string
	wanted bool
	do     func() (string, error)
}

// modules are in the order of cloud-init.
func (p *provision) modules() []module {
	c := p.config
	now, later := split(c.Files)
	return []module{
		{"bootcmd", len(c.BootCommands) > 0, func() (string, error) { return p.commands("bootcmd", c.BootCommands) }},
		{"write_files", len(now) > 0, func() (string, error) { return p.writeFiles(now) }},
		{"hostname", c.Hostname != "", p.setHostname},
		{"groups", len(c.Groups) > 0, p.addGroups},
		{"users", len(c.Users) > 0, p.addUsers},
		{"timezone", c.Timezone != "", p.setTimezone},
		{"packages", len(c.Packages) > 0 || c.PackageUpdate || c.PackageUpgrade, p.install},
		{"write_files (deferred)", len(later) > 0, func() (string, error) { return p.writeFiles(later) }},
		{"runcmd", len(c.Commands) > 0, func() (string, error) { return p.commands("runcmd", c.Commands) }},
	}
}

// all runs every module, also after one that failed, and returns what failed.
func (p *provision) all() []string {
	for _, key := range p.config.Unknown {
		fmt.Fprintf(p.out, "cloud-config: %s is not known here and left out\n", key)
	}
	var failures []string
	for _, m := range p.modules() {
		if !m.wanted {
			continue
		}
		result, err := m.do()
		if err != nil {
			result = "failed: " + err.Error()
			failures = append(failures, m.name+": "+err.Error())
		}
		fmt.Fprintf(p.out, "cloud-config: %s: %s\n", m.name, result)
	}
	return failures
}

// path is where a path of the machine lies.
func (p *provision) path(name string) string { return filepath.Join(p.root, name) }

// commands runs lines in one shell, as cloud-init does, so that a cd or a variable is there for the next one; each line's
// result is told, and the first failure is the whole's. An exit ends them all.
func (p *provision) commands(name string, lines []string) (string, error) {
	shell, err := p.find("sh")
	if err != nil {
		return "", errors.New("the image has no shell to run them")
	}
	path := p.path("var/lib/nuage/" + name)
	if err := writeNew(path, []byte(shellScript(name, lines)), 0o700); err != nil {
		return "", err
	}
	if err := p.run(nil, shell, path); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d done", len(lines)), nil
}

// shellScript lets a shell run lines one after the other and end with the status of the first that failed.
func shellScript(name string, lines []string) string {
	var b strings.Builder
	b.WriteString("#!/bin/sh\nnuage_failed=0\nnuage_ended() {\n" +
		"  [ \"$1\" = 0 ] && return\n" +
		"  echo \"cloud-config: " + name + ": command $2: exit status $1\"\n" +
		"  [ $nuage_failed != 0 ] || nuage_failed=$1\n}\n")
	for i, line := range lines {
		fmt.Fprintf(&b, "eval %s\nnuage_ended $? %d\n", quoted(line), i+1)
	}
	b.WriteString("exit $nuage_failed\n")
	return b.String()
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func split(all []cloudconfig.File) (now, later []cloudconfig.File) {
	for _, f := range all {
		if f.Defer {
			later = append(later, f)
		} else {
			now = append(now, f)
		}
	}
	return now, later
}

// writeFiles writes all that can be written.
func (p *provision) writeFiles(files []cloudconfig.File) (string, error) {
	var failures []error
	for _, f := range files {
		if err := p.writeFile(f); err != nil {
			failures = append(failures, err)
			continue
		}
		fmt.Fprintf(p.out, "cloud-config: write_files: %s\n", f.Path)
	}
	return fmt.Sprintf("%d written", len(files)), joined(failures)
}

// joined is errors.Join on one line, as the console and the status have it.
func joined(all []error) error {
	if len(all) == 0 {
		return nil
	}
	var texts []string
	for _, err := range all {
		texts = append(texts, err.Error())
	}
	return errors.New(strings.Join(texts, ", "))
}

func (p *provision) writeFile(f cloudconfig.File) error {
	content, err := f.Content()
	if err != nil {
		return err
	}
	owner := account{}
	if f.Owner != "" {
		if owner, err = (users{p.root}).owner(f.Owner); err != nil {
			return fmt.Errorf("cannot give %s to %q: %w", f.Path, f.Owner, err)
		}
	}
	path := p.path(f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if f.Append {
		flags = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := p.chown(path, owner.uid, owner.gid); err != nil {
		return err
	}
	return syscall.Chmod(path, f.Mode)
}

// setHostname names the machine in its files and, where the engine lets it, in the kernel.
func (p *provision) setHostname() (string, error) {
	name := p.config.Hostname
	if err := os.WriteFile(p.path("etc/hostname"), []byte(name+"\n"), 0o644); err != nil {
		return "", err
	}
	if is, err := os.Hostname(); err == nil && is == name {
		return name, nil
	}
	if err := p.rename(name); err != nil {
		return "", fmt.Errorf("the kernel does not let a running machine be renamed to %s: %w", name, err)
	}
	return name, nil
}

func (p *provision) setTimezone() (string, error) {
	zone := p.config.Timezone
	source := "/usr/share/zoneinfo/" + zone
	if _, err := os.Stat(p.path(source)); err != nil {
		return "", fmt.Errorf("the image has no time zone %s: use a name as Europe/Paris in an image with tzdata", zone)
	}
	if err := writeNew(p.path("etc/timezone"), []byte(zone+"\n"), 0o644); err != nil {
		return "", err
	}
	link := p.path("etc/localtime")
	if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
		return "", err
	}
	return zone, os.Symlink(source, link)
}

// install brings packages, with the image's own means.
func (p *provision) install() (string, error) {
	if _, err := p.find("apt-get"); err == nil {
		options := []string{"apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Options::=--force-unsafe-io"}
		return p.packages([]string{"DEBIAN_FRONTEND=noninteractive"}, options, "update", "dist-upgrade", "install")
	}
	if _, err := p.find("apk"); err == nil {
		return p.packages(nil, []string{"apk"}, "update", "upgrade", "add")
	}
	return "", errors.New("the image has neither apt-get nor apk")
}

func (p *provision) packages(env, command []string, update, upgrade, install string) (string, error) {
	c := p.config
	steps := [][]string{{update}}
	if c.PackageUpgrade {
		steps = append(steps, []string{upgrade})
	}
	if len(c.Packages) > 0 {
		steps = append(steps, append([]string{install}, c.Packages...))
	}
	for _, words := range steps {
		if err := p.run(env, append(command[:len(command):len(command)], words...)...); err != nil {
			return "", fmt.Errorf("%s %s: %w", command[0], words[0], err)
		}
	}
	return fmt.Sprintf("%d installed", len(c.Packages)), nil
}

// writeNew puts a file in the place of whatever is there, in one step.
func writeNew(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".nuage-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		os.Remove(temporary.Name()) // the failure before is the one to tell
	}
	return err
}
