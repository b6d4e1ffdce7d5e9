package controlplane

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nuage/api"
)

// TestDetection: what a folder is taken for, how it is built, and what it lacks.
func TestDetection(t *testing.T) {
	const python, node = "FROM nuage/python:1\nENV PYTHONUNBUFFERED=1\nWORKDIR /app\n", "FROM nuage/nodejs:1\nENV NODE_ENV=production PATH=/app/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nWORKDIR /app\nCOPY app/ ./\n"
	const pip, app = "RUN pip install --retries 2 --timeout 10 ", "COPY app/ ./\nCMD [\"python3\", \"app.py\"]\n"
	for name, c := range map[string]struct {
		entries []entry
		want    string // what it is taken for and the Dockerfile, or the error
	}{
		"its own":      {[]entry{{name: "app.py"}, {name: "Dockerfile", content: "# syntax=docker/dockerfile:1\nFROM mine"}}, "Dockerfile\n#\nFROM mine"},
		"python":       {[]entry{{name: "./app.py"}}, "Python (app.py)\n" + python + app},
		"requirements": {[]entry{{name: "app.py"}, {name: "requirements.txt"}}, "Python (requirements.txt)\n" + python + "COPY app/requirements.txt ./\n" + pip + "-r requirements.txt\n" + app},
		"wheels": {[]entry{{name: "app.py"}, {name: "requirements.txt"}, {name: "deps/a-1-py3-none-any.whl"}}, "Python (requirements.txt)\n" + python +
			"COPY app/deps/ ./deps/\nCOPY app/requirements.txt ./\n" + pip + "--no-index --find-links deps/ -r requirements.txt\n" + app},
		"project": {[]entry{{name: "pyproject.toml", content: "[project]"}, {name: "Procfile", content: "# how\nweb: shop --port $PORT\n"}}, "Python (pyproject.toml)\n" + python +
			"COPY app/ ./\n" + pip + "--no-build-isolation .\nCMD [\"/bin/sh\",\"-c\",\"shop --port $PORT\"]\n"},
		"no start": {[]entry{{name: "requirements.txt"}}, "cannot build the source: it looks like Python (requirements.txt), and nothing says how to start it; add a Procfile with a line \"web: COMMAND\", or app.py or main.py"},
		"go":       {[]entry{{name: "go.mod"}, {name: "index.html"}}, "Go (go.mod)\n" + goDockerfile("exec web")},
		"node":     {[]entry{{name: "package.json", content: `{"main": "./web.js"}`}, {name: "web.js"}}, "Node.js (package.json)\n" + node + "CMD [\"/bin/sh\",\"-c\",\"exec node web.js\"]\n"},
		"script":   {[]entry{{name: "package.json", content: `{"scripts": {"start": "node x.js"}, "dependencies": {"a": "1"}}`}, {name: "node_modules/a/index.js"}}, "Node.js (package.json)\n" + node + "CMD [\"/bin/sh\",\"-c\",\"node x.js\"]\n"},
		"modules":  {[]entry{{name: "package.json", content: `{"dependencies": {"a": "1"}}`}}, "cannot build the source: package.json names dependencies and the folder does not bring them; run npm ci --omit=dev in it and leave node_modules out of .dockerignore, or add a Dockerfile"},
		"static":   {[]entry{{name: "index.html"}}, "static (index.html)\n" + staticDockerfile},
		"neither":  {[]entry{{name: "readme"}}, "cannot build the source: none of Dockerfile, go.mod, requirements.txt, pyproject.toml, package.json, app.py, main.py and index.html is at its root, only readme"},
	} {
		f, err := readFolder(bytes.NewReader(tarball(t, c.entries...)))
		must(t, err)
		p, err := f.plan()
		got := p.taken + "\n" + p.dockerfile
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// TestBuildContent: the builder gets the source where the Dockerfile expects it, and nothing that is not for it.
func TestBuildContent(t *testing.T) {
	extra := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(extra, "app", "bin"), 0o755))
	must(t, os.WriteFile(filepath.Join(extra, "app", "bin", "shop"), []byte("program"), 0o755))
	must(t, os.Symlink("shop", filepath.Join(extra, "app", "bin", "web")))
	files := []entry{{name: "go.mod"}, {name: "main.go"}, {name: "vendor/x/x.go"}, {name: "static/a.css"}, {name: "Procfile", content: "release: shop migrate"}}
	f, err := readFolder(bytes.NewReader(tarball(t, files...)))
	must(t, err)
	p, err := f.plan()
	must(t, err)
	r := p.content(bytes.NewReader(tarball(t, files...)), extra)
	defer r.Close()
	got := ""
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		got += fmt.Sprintf("%s %o %s\n", h.Name, h.Mode&0o777, h.Linkname)
	}
	const want = "app/ 755 \napp/static/a.css 644 \napp/bin/shop 755 \napp/bin/web 777 shop\nDockerfile 644 \n"
	if got != want || p.release != "shop migrate" {
		t.Errorf("the builder gets\n%swant\n%sand the release command is %q", got, want, p.release)
	}
}

// TestCompile compiles real programs, and refuses what would read this machine's files.
func TestCompile(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	p := newPlane(t, setup{idle: true})
	const program = "package main\nfunc main() {}\n"
	for name, c := range map[string]struct {
		entries []entry
		want    string // programs, or the error
	}{
		"root":     {[]entry{{name: "go.mod", content: "module example.com/shop/v2\n"}, {name: "main.go", content: program}}, "shop web"},
		"commands": {[]entry{{name: "go.mod", content: "module example.com/x\n"}, {name: "cmd/web/main.go", content: program}, {name: "cmd/migrate/main.go", content: program}}, "migrate web"},
		"many":     {[]entry{{name: "go.mod", content: "module x\n"}, {name: "a/main.go", content: program}, {name: "b/main.go", content: program}}, "cannot compile the source: it has the programs x/a, x/b, and none is at the root or named web or shop"},
		"none":     {[]entry{{name: "go.mod", content: "module x\n"}, {name: "a.go", content: "package x\n"}}, "cannot compile the source: module x has no program (package main)"},
		"mistake":  {[]entry{{name: "go.mod", content: "module x\n"}, {name: "a.go", content: "package main\nfunc main() { y() }\n"}}, "cannot compile the source: go build: ./a.go:2:15: undefined: y"},
		"outside":  {[]entry{{name: "go.mod", content: "module x\nreplace y => /etc\n"}, {name: "a.go", content: program}}, "cannot compile the source: its go.mod replaces a module by \"/etc\", which leaves the folder"},
		"C":        {[]entry{{name: "go.mod", content: "module x\n"}, {name: "a.go", content: "package main\nimport \"C\"\nfunc main() {}\n"}}, "cannot compile the source: module x has no program (package main)"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := p.put(tarball(t, c.entries...))
			must(t, err)
			dir, err := p.compileGo(context.Background(), s.ID, "shop", io.Discard)
			if err != nil {
				if err.Error() != c.want || api.CodeOf(err) != api.Invalid {
					t.Errorf("it says %s, want %s", err, c.want)
				}
				return
			}
			defer os.RemoveAll(dir)
			var names []string
			all, err := os.ReadDir(filepath.Join(dir, "app", "bin"))
			must(t, err)
			for _, f := range all {
				names = append(names, f.Name())
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("programs are %s, want %s", got, c.want)
			}
		})
	}
}

// TestBuildLog: those who follow get every line to the end, late ones too; what is too much is left out and said.
func TestBuildLog(t *testing.T) {
	logs := newBuildLogs()
	l := logs.open("a/1")
	going := func() (bool, <-chan struct{}) { return true, nil }
	r := l.read(t.Context(), going)
	_, err := io.WriteString(l, "one\n")
	must(t, err)
	buf := make([]byte, 4)
	if _, err := io.ReadFull(r, buf); err != nil || string(buf) != "one\n" {
		t.Fatalf("followed is %q, %v", buf, err)
	}
	_, err = l.Write(bytes.Repeat([]byte("x"), maxBuildLog))
	must(t, err)
	_, err = io.WriteString(l, "two\n")
	must(t, err)
	l.end()
	l.end()
	rest, err := io.ReadAll(r)
	must(t, err)
	const cut = "\n(the rest of this log was not kept)\n"
	if late, err := io.ReadAll(l.read(t.Context(), nil)); err != nil || string(rest) != cut || string(late) != "one\n"+cut {
		t.Errorf("the rest is %q, late %q, %v", rest, late, err)
	}
	over := func() (bool, <-chan struct{}) { return false, nil }
	if got, err := io.ReadAll(logs.open("a/2").read(t.Context(), over)); err != nil || len(got) != 0 {
		t.Errorf("a build that never was says %q, %v", got, err)
	}
	for n := range keepBuilds {
		logs.open(fmt.Sprint(n))
	}
	if logs.find("a/1") != nil || logs.find("0") == nil {
		t.Error("forgotten is not the oldest")
	}
}
