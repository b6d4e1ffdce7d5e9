package controlplane

import (
	"archive/tar"
	"encoding/json"
	"io"
	"path"
	"slices"
	"strings"

	"nuage/api"
)

// folder is what detection needs to know of a source.
type folder struct {
	files map[string]bool   // all paths, folders too
	text  map[string]string // content of those of textFiles that are there
}

// textFiles are looked into; of each this much.
var textFiles = []string{"Procfile", "go.mod", "package.json", "pyproject.toml", "Dockerfile"}

const maxText = 1 << 20

// readFolder looks at a source's tar.
func readFolder(source io.Reader) (folder, error) {
	f := folder{files: map[string]bool{}, text: map[string]string{}}
	err := walkTar(source, func(h *tar.Header, r io.Reader) error {
		name := path.Clean(h.Name)
		for dir := name; dir != "."; dir = path.Dir(dir) {
			f.files[dir] = true
		}
		if h.Typeflag != tar.TypeReg || !slices.Contains(textFiles, name) {
			return nil
		}
		content, err := io.ReadAll(io.LimitReader(r, maxText))
		f.text[name] = string(content)
		return err
	})
	return f, err
}

// buildPlan is how an image is made of a source.
type buildPlan struct {
	taken      string // what the source was taken for, and why
	dockerfile string
	prefix     string // of the source's files in what the builder gets; "" with a Dockerfile of its own
	base       string // image that few builds need, made on first use; "": none
	golang     bool   // programs are compiled before
	release    string // command to run once before a release of this image gets requests; "": none
	skip       func(name string) bool
}

// plan takes the source for what it looks like. Invalid: like nothing known, or without something that is needed.
func (f folder) plan() (buildPlan, error) {
	procs := procfile(f.text["Procfile"])
	p := buildPlan{prefix: "app/", skip: func(name string) bool { return name == "Procfile" || name == ".dockerignore" }}
	var err error
	switch {
	case f.files["Dockerfile"]:
		p = buildPlan{taken: "Dockerfile", dockerfile: withoutSyntax(f.text["Dockerfile"]), skip: func(name string) bool { return name == "Dockerfile" }}
	case f.files["go.mod"]:
		p.golang = true
		p.taken, p.dockerfile = "Go (go.mod)", goDockerfile(procs["web"])
		p.skip = func(name string) bool { return goSource(name) }
	case f.files["requirements.txt"], f.files["pyproject.toml"]:
		err = f.python(&p, procs["web"])
	case f.files["package.json"]:
		err = f.node(&p, procs["web"])
	case f.first("app.py", "main.py") != "":
		err = f.python(&p, procs["web"])
	case f.files["index.html"]:
		p.taken, p.dockerfile = "static (index.html)", staticDockerfile
		p.skip = func(name string) bool { return name == "Procfile" || strings.HasPrefix(name, ".") }
	default:
		err = f.unknown()
	}
	p.release = procs["release"]
	return p, err
}

// first returns the first of the names that is a file of the folder, or "".
func (f folder) first(names ...string) string {
	for _, n := range names {
		if f.files[n] {
			return n
		}
	}
	return ""
}

func (f folder) unknown() error {
	var names []string
	for n := range f.files {
		if !strings.Contains(n, "/") {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return api.Errorf(api.Invalid, "cannot build the source: none of Dockerfile, go.mod, requirements.txt, pyproject.toml, package.json, app.py, main.py and index.html is at its root, only %s",
		strings.Join(names[:min(10, len(names))], ", "))
}

// procfile reads lines as "web: gunicorn shop".
func procfile(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		name, command, found := strings.Cut(strings.TrimSpace(line), ":")
		if command = strings.TrimSpace(command); found && command != "" && !strings.HasPrefix(name, "#") {
			out[strings.TrimSpace(name)] = command
		}
	}
	return out
}

// withoutSyntax takes out the line that would fetch another builder from a registry; the line's number stays.
func withoutSyntax(dockerfile string) string {
	first, rest, _ := strings.Cut(dockerfile, "\n")
	word, _, directive := strings.Cut(strings.TrimLeft(first, "# \t"), "=")
	if strings.HasPrefix(first, "#") && directive && strings.EqualFold(strings.TrimSpace(word), "syntax") {
		return "#\n" + rest
	}
	return dockerfile
}

// shellCommand is the CMD of a shell line.
func shellCommand(line string) string {
	b, _ := json.Marshal([]string{"/bin/sh", "-c", line}) // strings always can
	return "CMD " + string(b) + "\n"
}

const staticDockerfile = "FROM nuage/tiny:1\nWORKDIR /site\nCOPY app/ ./\nSTOPSIGNAL SIGKILL\n" +
	`CMD ["/bin/sh", "-c", "exec httpd -f -p ${PORT:-8080} -h /site"]` + "\n"

// python installs what is required, from wheels of the folder where it brings any, and runs what the Procfile says, app.py or main.py.
func (f folder) python(p *buildPlan, web string) error {
	p.taken = "Python (" + f.first("requirements.txt", "pyproject.toml", "app.py", "main.py") + ")"
	main := f.first("app.py", "main.py")
	if web == "" && main == "" {
		return api.Errorf(api.Invalid, "cannot build the source: it looks like %s, and nothing says how to start it; add a Procfile with a line \"web: COMMAND\", or app.py or main.py", p.taken)
	}
	var b strings.Builder
	b.WriteString("FROM nuage/python:1\nENV PYTHONUNBUFFERED=1\nWORKDIR /app\n")
	pip, wheels := "RUN pip install --retries 2 --timeout 10 ", f.wheels()
	if wheels != "" {
		pip += "--no-index --find-links " + wheels + " "
		b.WriteString("COPY app/" + wheels + " ./" + wheels + "\n")
	}
	if f.files["requirements.txt"] { // in a layer of its own: it changes less often than the code
		b.WriteString("COPY app/requirements.txt ./\n" + pip + "-r requirements.txt\n")
	}
	b.WriteString("COPY app/ ./\n")
	if project := f.text["pyproject.toml"]; !f.files["requirements.txt"] && project != "" {
		if !strings.Contains(project, "build-backend") || strings.Contains(project, "setuptools") { // which the image has
			pip += "--no-build-isolation "
		}
		b.WriteString(pip + ".\n")
	}
	if web != "" {
		b.WriteString(shellCommand(web))
	} else {
		b.WriteString("CMD [\"python3\", \"" + main + "\"]\n")
	}
	p.dockerfile = b.String()
	return nil
}

// wheels is the folder, with a slash, in which the source brings its packages; "" where it does not.
func (f folder) wheels() string {
	var dirs []string
	for n := range f.files {
		if dir, file := path.Split(n); strings.HasSuffix(file, ".whl") && strings.Count(dir, "/") == 1 {
			dirs = append(dirs, dir)
		}
	}
	if dirs == nil {
		return ""
	}
	return slices.Min(dirs)
}

// node runs what the Procfile says, else the script "start", else the main file. Modules come with the folder.
func (f folder) node(p *buildPlan, web string) error {
	p.taken, p.base = "Node.js (package.json)", "nodejs"
	var about struct {
		Main         string            `json:"main"`
		Scripts      map[string]string `json:"scripts"`
		Dependencies map[string]string `json:"dependencies"`
	}
	if err := json.Unmarshal([]byte(f.text["package.json"]), &about); err != nil {
		return api.Errorf(api.Invalid, "cannot build the source: its package.json is no valid JSON: %w", err)
	}
	if len(about.Dependencies) > 0 && !f.files["node_modules"] {
		return api.Errorf(api.Invalid, "cannot build the source: package.json names dependencies and the folder does not bring them; run npm ci --omit=dev in it and leave node_modules out of .dockerignore, or add a Dockerfile")
	}
	main := about.Main
	if main == "" || !f.files[path.Clean(main)] {
		main = f.first("server.js", "index.js", "app.js", "main.js")
	}
	switch {
	case web != "":
	case about.Scripts["start"] != "":
		web = about.Scripts["start"]
	case main != "":
		web = "exec node " + path.Clean(main)
	default:
		return api.Errorf(api.Invalid, "cannot build the source: it looks like Node.js, and nothing says how to start it; add a script \"start\" to package.json, or a Procfile with a line \"web: COMMAND\"")
	}
	p.dockerfile = "FROM nuage/nodejs:1\nENV NODE_ENV=production PATH=/app/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nWORKDIR /app\nCOPY app/ ./\n" + shellCommand(web)
	return nil
}
