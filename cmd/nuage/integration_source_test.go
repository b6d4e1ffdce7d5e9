package main

import (
	"archive/zip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nuage/api"
)

// kinds of sources that say what they are. The settings of all come from the platform.
const (
	goProgram = `package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	words, _ := os.ReadFile("words.txt")
	if len(os.Args) > 1 {
		fmt.Println("migrating for release", os.Getenv("NUAGE_RELEASE"))
		return
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "go says %s", words) })
	if err := http.ListenAndServe(":"+os.Getenv("PORT"), nil); err != nil {
		panic(err)
	}
}
`
	pythonProgram = `import greet, http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(greet.hello().encode())
http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
`
	nodeProgram = `require("http").createServer((_, answer) => answer.end("node says hello")).listen(process.env.PORT)`
)

func folderOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// wheel is a Python package of one module, as pip installs it without an index.
func wheel(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z := zip.NewWriter(f)
	for name, content := range map[string]string{
		"greet.py":                     "def hello():\n    return 'python says hello'\n",
		"greet-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: greet\nVersion: 1.0\n",
		"greet-1.0.dist-info/WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"greet-1.0.dist-info/RECORD":   "greet.py,,\ngreet-1.0.dist-info/RECORD,,\n",
	} {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSources deploys a folder of each kind, without a network; the log of the build is seen.
func TestSources(t *testing.T) {
	needEngine(t)
	c := startCloud(t, buildProgram(t))
	python := folderOf(t, map[string]string{"app.py": pythonProgram, "requirements.txt": "greet==1.0\n"})
	wheel(t, filepath.Join(python, "wheels", "greet-1.0-py3-none-any.whl"))
	for _, s := range []struct{ name, dir, taken, says string }{
		{"golang", folderOf(t, map[string]string{"go.mod": "module example.com/shop\n\ngo 1.24\n", "main.go": goProgram, "words.txt": "hello", "Procfile": "release: shop migrate\n"}),
			"Go (go.mod)", "go says hello"},
		{"python", python, "Python (requirements.txt)", "python says hello"},
		{"node", folderOf(t, map[string]string{"package.json": `{"main": "web.js"}`, "web.js": nodeProgram}), "Node.js (package.json)", "node says hello"},
		{"site", folderOf(t, map[string]string{"index.html": "a page says hello"}), "static (index.html)", "a page says hello"},
	} {
		o := c.try("app", "deploy", s.name, "--source", s.dir)
		if o.status != 0 || !strings.Contains(o.err, "  | building as "+s.taken+"\n") {
			t.Errorf("wanted it built as %s by %s", s.taken, o)
			continue
		}
		c.serves(t, s.name, s.says)
		if log := c.do(t, "app", "logs", s.name, "--build", "1"); !strings.Contains(o.err, log[:strings.Index(log, "\n")]) {
			t.Errorf("the log of the build reads\n%s\nit was\n%s", log, o.err)
		}
	}
	t.Run("release command", func(t *testing.T) { testReleaseCommand(t, c) })
	for _, name := range []string{"golang", "python", "node", "site"} {
		c.do(t, "app", "delete", name)
	}
}

// testReleaseCommand: it runs before a release gets requests, with its settings, and its failure fails the deploy. The image
// of a change of settings, and of the same source again, is the same.
func testReleaseCommand(t *testing.T, c *liveCloud) {
	if log := c.do(t, "app", "logs", "golang", "--build", "1"); !strings.HasSuffix(log, "release command: shop migrate\nmigrating for release 1\n") {
		t.Errorf("the log ends with\n%s", log)
	}
	broken := folderOf(t, map[string]string{"go.mod": "module example.com/shop\n\ngo 1.24\n", "main.go": goProgram, "words.txt": "hello", "Procfile": "release: shop migrate; echo no such table; exit 7\n"})
	want := "  | no such table\nnuage: cannot deploy app \"golang\": release v2 failed: its release command \"shop migrate; echo no such table; exit 7\" exited with status 7; release v1 goes on serving\n"
	if said := c.refused(t, 1, "app", "deploy", "golang", "--source", broken); !strings.HasSuffix(said, want) {
		t.Errorf("it said\n%s\nwant\n%s", said, want)
	}
	c.serves(t, "golang", "go says hello")
	again := folderOf(t, map[string]string{"go.mod": "module example.com/shop\n\ngo 1.24\n", "main.go": goProgram, "words.txt": "hello", "Procfile": "release: shop migrate\n"})
	if o := c.try("app", "deploy", "golang", "--source", again, "--env", "MODE=two"); o.status != 0 || !strings.Contains(o.err, "migrating for release 3\n") {
		t.Errorf("wanted the release command to run for release 3 by %s", o)
	}
	images := map[string]bool{}
	var list api.List[api.Release]
	if err := json.Unmarshal([]byte(c.do(t, "app", "releases", "golang", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	for _, r := range list.Items {
		images[r.Image] = true
	}
	if len(images) != 1 {
		t.Errorf("the same source made the images %v", images)
	}
}
