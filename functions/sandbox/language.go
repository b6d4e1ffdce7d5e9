package sandbox

import (
	"debug/elf"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"nuage/api"
	"nuage/compute"
	"nuage/functions"
)

// language is one kind of code that sandboxes run.
type language struct {
	title      string                        // as in "Python functions"
	image      string                        // what its sandboxes are made of
	handler    string                        // where a deployment names none
	handlers   *regexp.Regexp                // what a handler may be; nil: anything
	extensions []string                      // of a single source file, which is renamed as the handler's module
	execution  string                        // AWS_EXECUTION_ENV; empty: unset, as for custom runtimes on AWS Lambda
	ahead      func(memoryMB int64) []string // the interpreter, started before there is code; nil: the code is a program
	networked  map[string]string             // environment of an interpreter whose functions have a network
	jsonOnly   bool                          // its runtime can take nothing else
	check      func(name, code string) error // reads the code without a sandbox; nil: the interpreter parses it
}

// bootstrapFile is the program that custom runtimes bring, as on AWS Lambda.
const bootstrapFile = "bootstrap"

// languages are the runtimes by their names in a deployment.
func languages() map[string]language {
	return map[string]language{
		"python": {
			title: "Python", image: "nuage/python:1", handler: "main.handler", extensions: []string{".py"}, execution: "AWS_Lambda_python3.11",
			handlers: regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*\.[A-Za-z_][A-Za-z0-9_]*$`), jsonOnly: true,
			ahead:     func(int64) []string { return []string{"python3", "-u", "-s", "-P", runtimePath + "/bootstrap.py"} },
			networked: map[string]string{"NUAGE_PRELOAD": "psycopg2"}, // a function with a network most often has a database
		},
		"nodejs": {
			title: "Node.js", image: "nuage/nodejs:1", handler: "index.handler", extensions: []string{".js", ".mjs", ".cjs"}, execution: "AWS_Lambda_nodejs18.x",
			handlers: regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_./-]*/)?[A-Za-z0-9_-]+(\.[A-Za-z_$][A-Za-z0-9_$]*)+$`), jsonOnly: true,
			ahead: func(memoryMB int64) []string {
				return []string{"node", "--max-old-space-size=" + strconv.FormatInt(memoryMB, 10), runtimePath + "/bootstrap.cjs"}
			},
		},
		"provided": {title: "custom", image: "nuage/debian-12:1", handler: bootstrapFile, check: checkProgram},
	}
}

// Names lists the runtimes that a Runtime runs, in the order of the alphabet.
func Names() []string { return []string{"nodejs", "provided", "python"} }

// language finds the language of a deployment. Unsupported.
func (r *Runtime) language(d functions.Deployment) (language, error) {
	l, ok := r.languages[d.Runtime]
	if !ok {
		return l, api.Errorf(api.Unsupported, "cannot deploy function %q: sandboxes have no runtime %q", d.Name, d.Runtime)
	}
	return l, nil
}

// module is where a single source file is put: the handler's module, or the program itself.
func (l language) module(file, handler string) string {
	if l.ahead == nil {
		return bootstrapFile
	}
	dir, base := path.Split(handler)
	if l.extensions[0] == ".py" {
		return strings.ReplaceAll(handler[:strings.LastIndexByte(handler, '.')], ".", "/") + ".py"
	}
	name, _, _ := strings.Cut(base, ".")
	return dir + name + filepath.Ext(file)
}

// single names the only entry of a directory where that is a source file of the language.
func (l language) single(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || !entries[0].Type().IsRegular() {
		return "", err
	}
	name := entries[0].Name()
	if l.ahead == nil || slices.Contains(l.extensions, filepath.Ext(name)) {
		return name, nil
	}
	return "", nil
}

// checkProgram refuses staged code without a program that this machine can run. A script is taken as it is.
func checkProgram(name, code string) error {
	file := filepath.Join(code, bootstrapFile)
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return api.Errorf(api.Invalid, `cannot deploy function %q: it has no file "bootstrap", which a custom runtime starts; for Go: GOOS=linux go build -tags lambda.norpc -o bootstrap`, name)
	}
	program, err := elf.Open(file)
	if err != nil {
		return checkScript(name, file)
	}
	defer program.Close()
	if want := machines()[runtime.GOARCH]; program.Machine != want {
		return api.Errorf(api.Invalid, "cannot deploy function %q: its bootstrap is a program for %s, and this cloud runs on %s; for Go: GOARCH=%s",
			name, program.Machine, want, runtime.GOARCH)
	}
	return nil
}

// checkScript refuses what the kernel would not start.
func checkScript(name, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return api.Errorf(api.Unavailable, "cannot read the code of function %q: %w", name, err)
	}
	defer f.Close()
	head := make([]byte, 2)
	if _, err := f.Read(head); err != nil || string(head) != "#!" {
		return api.Errorf(api.Invalid, `cannot deploy function %q: its bootstrap is no Linux program, and no script that begins with "#!"`, name)
	}
	return nil
}

func machines() map[string]elf.Machine {
	return map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
}

// command is what the container's guest starts at once; empty: nothing before the function is known.
func (l language) command(k poolKey) []string {
	if l.ahead == nil {
		return []string{} // not the image's own
	}
	return l.ahead(k.memoryMB)
}

// setup is the environment of the guest: its socket, the function's user, and variables of an interpreter started ahead.
func (l language) setup(b *box, k poolKey) map[string]string {
	env := map[string]string{
		"NUAGE_SANDBOX_SOCKET":    controlPath + "/" + socketName,
		"NUAGE_SANDBOX_UID":       strconv.Itoa(b.uid),
		"NUAGE_SANDBOX_PROCESSES": strconv.FormatInt(processes(k.memoryMB), 10),
	}
	if k.network != "" {
		env["NUAGE_SANDBOX_REACH"] = k.rules(b.closed)
		for name, value := range l.networked {
			env["NUAGE_SANDBOX_ENV_"+name] = value
		}
	}
	return env
}

// workload is the container of a sandbox. It starts with a whole CPU and is held to its share when it is bound.
func (r *Runtime) workload(b *box, k poolKey) compute.Workload {
	l := r.languages[k.runtime]
	return compute.Workload{
		ID: b.id, Kind: compute.KindFunction, Project: k.project, Name: "sandbox",
		Image: l.image, Entrypoint: l.command(k), Command: []string{},
		User: "0", Env: l.setup(b, k), Hostname: "sandbox", Network: k.network, Hosts: k.hostMap(),
		Mounts: []compute.Mount{
			{Host: b.controlDir(), Path: controlPath},
			{Host: b.taskDir(), Path: taskPath, ReadOnly: true},
			{Host: r.runtimeDir(), Path: runtimePath, ReadOnly: true},
		},
		Tmpfs: map[string]string{
			"/tmp":      fmt.Sprintf("rw,exec,nosuid,nodev,mode=1777,size=%dm", k.memoryMB),
			privatePath: "rw,noexec,nosuid,nodev,mode=0700,size=64k",
		},
		ReadOnly: true, Caps: []string{"SETUID", "SETGID", "KILL"}, Guest: compute.GuestSandbox,
		Limits: limits(k.memoryMB, max(1000, share(k.memoryMB))), Running: true,
	}
}
