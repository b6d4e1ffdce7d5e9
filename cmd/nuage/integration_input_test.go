package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nuage/api"
)

// testBadInput gives the cloud what it can't take. Each is refused with its reason, and changes nothing.
func testBadInput(t *testing.T, c *liveCloud) {
	c.do(t, "project", "create", "strict")
	as := func(args ...string) []string { return append([]string{"--project", "strict"}, args...) }
	c.do(t, as("security-group", "create", "taken")...)
	c.do(t, as("key", "create", "default")...)
	before := c.inventory(t)
	t.Run("cli", func(t *testing.T) {
		for _, bad := range badLines(t) {
			o := c.try(as(bad.line...)...)
			if o.status != bad.status || !strings.Contains(o.err, bad.want) || !strings.HasPrefix(lastLine(o.err), "nuage: cannot ") || o.out != "" {
				t.Errorf("wanted status %d and %q of %s", bad.status, bad.want, o)
			}
		}
	})
	t.Run("http", func(t *testing.T) {
		for _, bad := range badRequests() {
			a, err := c.call(bad.method, "/v1/projects/strict/"+bad.path, bad.body, "Content-Type: "+orType(bad.contentType))
			var p api.Problem
			if err == nil {
				err = json.Unmarshal([]byte(a.body), &p)
			}
			if err != nil || a.status != bad.status || p.Status != bad.status || p.Code != bad.code || !strings.HasPrefix(p.Detail, "cannot ") ||
				a.header.Get("Content-Type") != api.ProblemType || p.RequestID == "" || p.RequestID != a.header.Get("X-Request-Id") {
				t.Errorf("%s %s with %.40q answers %d %.300s (%v), want %d %s", bad.method, bad.path, bad.body, a.status, a.body, err, bad.status, bad.code)
			}
		}
	})
	if after := c.inventory(t); after != before {
		t.Errorf("there was\n%s\nand is\n%s", before, after)
	}
}

func orType(given string) string {
	if given == "" {
		return "application/json"
	}
	return given
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, l := range lines {
		if strings.HasPrefix(l, "nuage: ") {
			return l
		}
	}
	return lines[len(lines)-1]
}

// inventory is all that is in the project.
func (c *liveCloud) inventory(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, noun := range []string{"instances", "apps", "databases", "functions", "triggers", "keys", "security-groups"} {
		a, err := c.call("GET", "/v1/projects/strict/"+noun, "")
		if err != nil || a.status != 200 {
			t.Fatalf("GET %s: %d, %v", noun, a.status, err)
		}
		fmt.Fprintln(&all, noun, a.body)
	}
	for _, k := range c.containers(t, "nuage.project=strict") {
		fmt.Fprintln(&all, k.Name)
	}
	return all.String()
}

type badLine struct {
	line   []string
	status int
	want   string
}

func badLines(t *testing.T) []badLine {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"no.wasm": "this is no wasm", "half.wasm": "\x00asm\x01\x00\x00\x00\xff", "data": "no script", "empty/keep/me": "", "key.pub": "ssh-rsa nonsense"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	long := strings.Repeat("x", 41)
	return []badLine{
		{[]string{"instance", "create", "vm", "--image", "windows-95"}, 1, `"windows-95"`},
		{[]string{"instance", "create", "Bad_Name", "--image", "tiny"}, 1, `"Bad_Name"`},
		{[]string{"instance", "create", long, "--image", "tiny"}, 1, long},
		{[]string{"instance", "create", "vm", "--type", "huge"}, 2, "huge"},
		{[]string{"instance", "create", "vm", "--image", "tiny", "--key", "nobodys"}, 1, `"nobodys"`},
		{[]string{"instance", "create", "vm", "--image", "tiny", "--security-group", "nothere"}, 1, `"nothere"`},
		{[]string{"instance", "create", "vm", "--image", "tiny", "--user-data", at("data")}, 1, "no shell script"},
		{[]string{"instance", "create", "vm", "--image", "tiny", "--user-data", at("absent")}, 1, "absent"},
		{[]string{"instance", "create", "vm", "--image", "tiny", "--env", "A-B=c"}, 1, `"A-B"`},
		{[]string{"instance", "create"}, 2, "an argument is missing"},
		{[]string{"instance", "start", "nothere"}, 1, `"nothere"`},
		{[]string{"ssh", "nothere"}, 1, `"nothere"`},
		{[]string{"security-group", "create", "taken"}, 1, "the name is taken"},
		{[]string{"security-group", "allow", "taken", "--port", "99999"}, 2, "1 to 65535"},
		{[]string{"security-group", "allow", "taken", "--port", "80", "--from", "everywhere"}, 1, "everywhere"},
		{[]string{"key", "import", "work", at("key.pub")}, 1, "key"},
		{[]string{"app", "deploy", "web"}, 2, "--source DIR or --image REF"},
		{[]string{"app", "deploy", "web", "--source", at("absent")}, 1, "absent"},
		{[]string{"app", "deploy", "web", "--image", "no/such:image"}, 1, `"no/such:image"`},
		{[]string{"app", "deploy", "web", "--image", "Not A Reference"}, 1, "Not A Reference"},
		{[]string{"app", "deploy", "web", "--image", "nuage/python:1", "--port", "70000"}, 1, "65535"},
		{[]string{"app", "deploy", "web", "--image", "nuage/python:1", "--health", "ready"}, 1, "starts with /"},
		{[]string{"app", "deploy", "web", "--image", "nuage/python:1", "--database", "nothere"}, 1, `"nothere"`},
		{[]string{"app", "rollback", "nothere"}, 1, `"nothere"`},
		{[]string{"database", "create", "db", "--engine", "oracle"}, 2, "oracle"},
		{[]string{"database", "create", "db", "--storage", "1B"}, 1, "64 MiB"},
		{[]string{"database", "psql", "nothere"}, 1, `"nothere"`},
		{[]string{"function", "deploy", "fn", "--runtime", "wasm", "--source", at("no.wasm")}, 1, "no WebAssembly module"},
		{[]string{"function", "deploy", "fn", "--runtime", "wasm", "--source", at("half.wasm")}, 1, "no WebAssembly module"},
		{[]string{"function", "deploy", "fn", "--runtime", "cobol", "--source", at("no.wasm")}, 2, "cobol"},
		{[]string{"function", "deploy", "fn", "--runtime", "wasm", "--source", greeting, "--memory", "7"}, 1, "128"},
		{[]string{"function", "deploy", "fn", "--runtime", "wasm", "--source", greeting, "--timeout", "16m"}, 1, "timeoutMs"},
		{[]string{"function", "invoke", "nothere"}, 1, `"nothere"`},
		{[]string{"trigger", "create", "web", "--function", "nothere", "--http"}, 1, `"nothere"`},
		{[]string{"--project", "nowhere", "instance", "list"}, 1, `"nowhere"`},
	}
}

type badRequest struct {
	method, path, contentType, body string
	status                          int
	code                            api.Code
}

func badRequests() []badRequest {
	vm := func(spec string) string { return `{"name":"vm","spec":` + spec + `}` }
	return []badRequest{
		{"POST", "instances", "", `{"name":`, 400, api.Invalid},
		{"POST", "instances", "", `[]`, 422, api.Invalid},
		{"POST", "instances", "", ``, 400, api.Invalid},
		{"POST", "instances", "", `{"name":7}`, 422, api.Invalid},
		{"POST", "instances", "", vm(`{"image":["tiny"]}`), 422, api.Invalid},
		{"POST", "instances", "", vm(`{"image":"tiny","colour":"red"}`), 422, api.Invalid},
		{"POST", "instances", "", vm(`{"type":"huge"}`), 422, api.Invalid},
		{"POST", "instances", "", `{"name":"-vm","spec":{"image":"tiny"}}`, 400, api.Invalid},
		{"POST", "instances", "", `{"name":"../../etc","spec":{"image":"tiny"}}`, 400, api.Invalid},
		{"POST", "instances", "", `{"name":"","spec":{"image":"tiny"}}`, 400, api.Invalid},
		{"POST", "instances", "", vm(`{"image":"tiny","userData":"` + strings.Repeat("x", 70_000) + `"}`), 422, api.Invalid},
		{"POST", "instances", "", vm(`{"image":"` + strings.Repeat("y", 7<<20) + `"}`), 413, api.Invalid},
		{"POST", "instances", "text/plain", vm(`{"image":"tiny"}`), 415, api.Invalid},
		{"GET", "instances?limit=-1", "", ``, 422, api.Invalid},
		{"GET", "instances?limit=many", "", ``, 422, api.Invalid},
		{"GET", "instances/nothere", "", ``, 404, api.NotFound},
		{"PUT", "instances/nothere", "", `{"spec":{}}`, 404, api.NotFound},
		{"DELETE", "instances/nothere", "", ``, 404, api.NotFound},
		{"PATCH", "instances", "", ``, 405, api.Invalid},
		{"GET", "planets", "", ``, 404, api.NotFound},
		{"POST", "security-groups", "", `{"name":"taken","spec":{"rules":[]}}`, 409, api.Conflict},
		{"POST", "apps", "", `{"name":"web","spec":{"image":"a","source":"src-1"}}`, 400, api.Invalid},
		{"POST", "apps", "", `{"name":"web","spec":{"source":"src-1"}}`, 400, api.Invalid},
		{"POST", "apps", "", `{"name":"web","spec":{"source":"src-` + strings.Repeat("0", 64) + `"}}`, 404, api.NotFound},
		{"POST", "apps", "", `{"name":"web","spec":{"image":"nuage/python:1","replicas":51}}`, 422, api.Invalid},
		{"POST", "sources", "application/x-tar", `no tar at all`, 400, api.Invalid},
		{"POST", "functions/nothere/invocations", "", `{}`, 404, api.NotFound},
	}
}

// greeting is the wasm function of the labs.
const greeting = "../../controlplane/labs/guestbook/greeting/greeting.wasm"
