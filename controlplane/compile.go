package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"nuage/api"
)

// goDockerfile puts the programs compiled here on an image with little more than a shell.
func goDockerfile(web string) string {
	if web == "" {
		web = "exec web"
	}
	return "FROM nuage/tiny:1\nENV PATH=/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nWORKDIR /app\nCOPY etc/ /etc/\nCOPY app/ ./\n" + shellCommand(web)
}

// goSource tells what of a source only its compilation needs.
func goSource(name string) bool {
	switch name {
	case "go.mod", "go.sum", "go.work", "go.work.sum", "vendor", "Procfile", ".dockerignore":
		return true
	}
	return strings.HasSuffix(name, ".go") || strings.HasPrefix(name, "vendor/")
}

// certificates are where programs look for the authorities that sign the web's certificates, here as in the image.
const certificates = "etc/ssl/certs/ca-certificates.crt"

// compileGo compiles the programs of a source with this machine's Go, without network and without running anything of
// theirs, and returns a folder with app/bin/NAME for each; app/bin/web is the one that serves. The caller removes it.
func (cp *ControlPlane) compileGo(ctx context.Context, source, app string, log io.Writer) (dir string, err error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		return "", api.Errorf(api.Invalid, "cannot compile the source: this machine has no go command; install Go where the cloud runs, or add a Dockerfile that compiles it")
	}
	if dir, err = os.MkdirTemp(cp.CacheDir, ".go-*"); err != nil {
		return "", api.Errorf(api.Unavailable, "cannot compile the source: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	c := compiler{tool: tool, log: log}
	if c.dir, err = cp.unpack(source); err != nil {
		return dir, err
	}
	return dir, c.programs(ctx, dir, app)
}

// compiler compiles one module.
type compiler struct {
	tool, dir string
	log       io.Writer
}

// programs compiles every program of the module and names the one that serves web.
func (c compiler) programs(ctx context.Context, out, app string) error {
	if err := c.local(ctx); err != nil {
		return err
	}
	list, err := c.run(ctx, "list", "-f", `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`, "./...")
	if err != nil {
		return err
	}
	root, err := c.run(ctx, "list", "-m")
	if err != nil {
		return err
	}
	programs := strings.Fields(list)
	serves, err := webProgram(programs, strings.TrimSpace(root), app)
	if err != nil {
		return err
	}
	bin := filepath.Join(out, "app", "bin")
	for _, p := range programs {
		fmt.Fprintf(c.log, "go build %s\n", p)
		if _, err := c.run(ctx, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(bin, programName(p)), p); err != nil {
			return err
		}
	}
	if name := programName(serves); name != "web" {
		if err := os.Symlink(name, filepath.Join(bin, "web")); err != nil {
			return api.Errorf(api.Unavailable, "cannot name the program that serves: %w", err)
		}
	}
	return copyCertificates(out)
}

// programName is what the go command calls the program of a package: its last word that is no major version.
func programName(pkg string) string {
	dir, name := path.Split(pkg)
	if majorVersion.MatchString(name) && dir != "" {
		return path.Base(dir)
	}
	return name
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// webProgram chooses the program at the root, the only one, or the one named as the app or web.
func webProgram(programs []string, root, app string) (string, error) {
	for _, p := range programs {
		if p == root || len(programs) == 1 {
			return p, nil
		}
	}
	for _, p := range programs {
		if name := programName(p); name == app || name == "web" {
			return p, nil
		}
	}
	if len(programs) == 0 {
		return "", api.Errorf(api.Invalid, "cannot compile the source: module %s has no program (package main)", root)
	}
	return "", api.Errorf(api.Invalid, "cannot compile the source: it has the programs %s, and none is at the root or named web or %s", strings.Join(programs, ", "), app)
}

// copyCertificates gives the image this machine's authorities, where it has them.
func copyCertificates(out string) error {
	content, err := os.ReadFile("/" + certificates)
	if err != nil && !os.IsNotExist(err) {
		return api.Errorf(api.Unavailable, "cannot read the certificate authorities: %w", err)
	}
	to := filepath.Join(out, filepath.FromSlash(certificates))
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return api.Errorf(api.Unavailable, "cannot write the certificate authorities: %w", err)
	}
	if err := os.WriteFile(to, content, 0o644); err != nil {
		return api.Errorf(api.Unavailable, "cannot write the certificate authorities: %w", err)
	}
	return nil
}

// local refuses a module that would compile files of this machine outside of its folder.
func (c compiler) local(ctx context.Context) error {
	text, err := c.run(ctx, "mod", "edit", "-json")
	if err != nil {
		return err
	}
	var mod struct {
		Replace []struct {
			New struct{ Path, Version string }
		}
	}
	if err := json.Unmarshal([]byte(text), &mod); err != nil {
		return api.Errorf(api.Internal, "cannot read what go mod edit says: %w", err)
	}
	for _, r := range mod.Replace {
		if r.New.Version == "" && !filepath.IsLocal(r.New.Path) {
			return api.Errorf(api.Invalid, "cannot compile the source: its go.mod replaces a module by %q, which leaves the folder", r.New.Path)
		}
	}
	return nil
}

// run runs the go command. It gets nothing of this program's environment but where its caches are, and no compiler but its
// own: what is compiled cannot run anything here.
func (c compiler) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.tool, args...)
	cmd.Dir = c.dir
	cmd.Env = []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + runtime.GOARCH, "GOPROXY=off", "GOSUMDB=off", "GOTOOLCHAIN=local", "GOWORK=off",
		"GOENV=off", "GOTELEMETRY=off", "GOFLAGS=" + c.mode()}
	for _, name := range []string{"HOME", "PATH", "GOPATH", "GOCACHE", "GOMODCACHE", "GOROOT", "TMPDIR", "XDG_CACHE_HOME"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, io.MultiWriter(c.log, &said)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", api.Errorf(api.Unavailable, "cannot finish compiling the source: %w", context.Cause(ctx))
		}
		last := strings.TrimSpace(said.String())
		return "", api.Errorf(api.Invalid, "cannot compile the source: %s: %s", "go "+args[0], last[strings.LastIndexByte(last, '\n')+1:])
	}
	return out.String(), nil
}

// mode is where modules come from: the folder vendor, or the module cache, which may complete go.sum in the unpacked copy.
func (c compiler) mode() string {
	if info, err := os.Stat(filepath.Join(c.dir, "vendor", "modules.txt")); err == nil && info.Mode()&fs.ModeType == 0 {
		return "-mod=vendor"
	}
	return "-mod=mod"
}
