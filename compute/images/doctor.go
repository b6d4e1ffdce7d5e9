package images

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What a session of the labs needs, with some air: images take 0.7 GB, a class's
// instances and databases a few more.
const (
	wantDisk   = 4 << 30   // bytes free where the engine keeps images and volumes
	wantHome   = 512 << 20 // bytes free in the home
	wantMemory = 1 << 30   // bytes of memory available
)

// askTimeout bounds each question to the engine.
const askTimeout = 10 * time.Second

// Check is one finding of the doctor.
type Check struct {
	Name   string // what was looked at, as "engine" or "image debian-12"
	OK     bool
	Detail string // what was found
	Fix    string // what to do; empty when OK
}

// Doctor looks at what nuage needs of this machine: an engine, the right to use or to
// install one, the images, disk and memory. Home is nuage's home directory, which need
// not exist yet. It changes nothing and asks the engine through the docker command.
func Doctor(ctx context.Context, home string) []Check {
	d := doctor{ask: run, free: diskFree, memory: memoryAvailable, rights: groups, look: exec.LookPath}
	return d.checks(ctx, home)
}

// doctor holds the ways to look at a machine, so that tests can make one up.
type doctor struct {
	ask    func(ctx context.Context, name string, args ...string) (string, error)
	free   func(path string) (uint64, error)
	memory func() (uint64, error)
	rights func() []string // "root" or the names of the user's groups
	look   func(command string) (string, error)
}

func (d doctor) checks(ctx context.Context, home string) []Check {
	engine := d.engine(ctx)
	all := []Check{engine}
	if !engine.OK {
		all = append(all, d.access(), d.apt())
	}
	if engine.OK {
		for _, i := range Catalog() {
			if i.Made() {
				all = append(all, d.image(ctx, i))
			}
		}
		all = append(all, d.disk("disk of the engine", d.root(ctx), wantDisk))
	}
	return append(all, d.disk("disk of the home", home, wantHome), d.ram())
}

func (d doctor) engine(ctx context.Context) Check {
	c := Check{Name: "engine"}
	if _, err := d.look("docker"); err != nil {
		c.Detail, c.Fix = "there is no docker command", "run `nuage doctor --fix` as root, or install Docker"
		return c
	}
	version, err := d.ask(ctx, "docker", "version", "--format", "Docker {{.Server.Version}}, API {{.Server.APIVersion}}")
	if err != nil {
		c.Detail, c.Fix = "no engine answers: "+err.Error(), "start Docker, or run `nuage doctor --fix` as root"
		return c
	}
	c.OK, c.Detail = true, version
	return c
}

// access tells whether this user could use an engine here, or install one.
func (d doctor) access() Check {
	c := Check{Name: "rights", Detail: "neither root nor in group docker", Fix: "run `sudo usermod -aG docker $USER` and log in again"}
	rights := d.rights()
	for _, want := range []string{"root", "docker"} {
		if slices.Contains(rights, want) {
			return Check{Name: "rights", OK: true, Detail: want}
		}
	}
	return c
}

func (d doctor) apt() Check {
	path, err := d.look("apt-get")
	if err != nil {
		return Check{Name: "packages", Detail: "there is no apt-get: no engine can be installed from here", Fix: "install and start Docker by hand"}
	}
	return Check{Name: "packages", OK: true, Detail: path}
}

func (d doctor) image(ctx context.Context, i Image) Check {
	c := Check{Name: "image " + i.Name, Detail: i.Ref, Fix: "run `nuage doctor --fix`"}
	label, err := d.ask(ctx, "docker", "image", "inspect", "--format", `{{index .Config.Labels "nuage.recipe"}}`, i.Ref)
	switch {
	case err != nil:
		c.Detail += " is missing"
	case label != i.RecipeHash():
		c.Detail += " is of another version of nuage"
	default:
		c.OK, c.Fix = true, ""
	}
	return c
}

// root is the directory where the engine keeps its data, if that is on this machine.
func (d doctor) root(ctx context.Context) string {
	dir, err := d.ask(ctx, "docker", "info", "--format", "{{.DockerRootDir}}")
	if err != nil {
		return ""
	}
	return dir
}

// disk looks at the nearest existing directory above dir; "" or one that this user
// can't see (an engine elsewhere) is said and not held against the machine.
func (d doctor) disk(name, dir string, want uint64) Check {
	free, err := d.free(existing(dir))
	if dir == "" || err != nil {
		return Check{Name: name, OK: true, Detail: "unknown: " + dir + " can't be seen from here"}
	}
	c := Check{Name: name, OK: free >= want, Detail: fmt.Sprintf("%s: %s free", dir, gib(free))}
	if !c.OK {
		c.Fix = fmt.Sprintf("free some space there: %s is wanted", gib(want))
	}
	return c
}

func (d doctor) ram() Check {
	available, err := d.memory()
	if err != nil {
		return Check{Name: "memory", OK: true, Detail: "unknown: " + err.Error()}
	}
	c := Check{Name: "memory", OK: available >= wantMemory, Detail: gib(available) + " available"}
	if !c.OK {
		c.Fix = fmt.Sprintf("end some programs: %s is wanted", gib(wantMemory))
	}
	return c
}

// run runs a command for at most askTimeout and returns its trimmed output; an error
// carries the last line it wrote to stderr.
func run(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return "", fmt.Errorf("%s (%w)", lines[len(lines)-1], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// groups returns "root" for root and else the names of the groups of this process.
func groups() []string {
	if os.Geteuid() == 0 {
		return []string{"root"}
	}
	ids, err := os.Getgroups()
	if err != nil {
		return nil
	}
	var names []string
	for _, id := range ids {
		if g, err := user.LookupGroupId(fmt.Sprint(id)); err == nil {
			names = append(names, g.Name)
		}
	}
	return names
}

// existing is dir or the nearest directory above it that is there.
func existing(dir string) string {
	for dir != "" && dir != "/" && dir != "." {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

func gib(n uint64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }
