package labs

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"nuage/api"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := fs.ReadFile(Samples(), name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTheGuestbookIsTheSameInAllModels(t *testing.T) {
	for _, copied := range []string{"iaas/guestbook.py", "function/guestbook.py", "iaas/app.py"} {
		original := "app/" + filepath.Base(copied)
		if read(t, "guestbook/"+copied) != read(t, "guestbook/"+original) {
			t.Errorf("%s differs from %s: change both, or the comparison compares two programs", copied, original)
		}
	}
}

func TestExport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := Export(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "guestbook", "app", "Dockerfile"))
	if err != nil || string(got) != read(t, "guestbook/app/Dockerfile") {
		t.Errorf("the Dockerfile came out as %q, %v", got, err)
	}
	if err := Export(dir); !errors.Is(err, api.Conflict) {
		t.Errorf("a second Export returned %v, want conflict", err)
	}
}

// greet runs greeting.wasm as the platform does.
func greet(t *testing.T, event string) (status uint32, stdout, stderr string) {
	t.Helper()
	ctx := t.Context()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(64))
	defer r.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	var out, log bytes.Buffer
	config := wazero.NewModuleConfig().WithStdin(strings.NewReader(event)).WithStdout(&out).WithStderr(&log)
	_, err := r.InstantiateWithConfig(ctx, []byte(read(t, "guestbook/greeting/greeting.wasm")), config)
	var exit *sys.ExitError
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return status, out.String(), log.String()
}

func TestGreeting(t *testing.T) {
	hello := func(name string) string { return `{"greeting":"Hello, ` + name + `!"}` + "\n" }
	noJSON := "cannot greet: the event is no JSON\n"
	cases := []struct {
		name, event    string
		status         uint32
		stdout, stderr string
	}{
		{"name", `{"name":"Ada"}`, 0, hello("Ada"), ""},
		{"spaces and other members", " {\n\"a\" : [1,-2.5e+3,{\"name\":\"no\"},[]], \"b\":{}, \"name\" : \"Ada\" , \"c\":null } ", 0, hello("Ada"), ""},
		{"escapes stay as they are", `{"name":"A\"\\\u00e9\n"}`, 0, hello(`A\"\\\u00e9\n`), ""},
		{"UTF-8", `{"name":"Zoë 🦫"}`, 0, hello("Zoë 🦫"), ""},
		{"no event", ``, 0, hello("world"), ""},
		{"null", `null`, 0, hello("world"), ""},
		{"empty name", `{"name":""}`, 0, hello("world"), ""},
		{"name is no text", `{"name":7}`, 0, hello("world"), ""},
		{"query", `{"version":"2.0","queryStringParameters":{"name":"Ada"},"body":"{\"name\":\"Bob\"}"}`, 0, hello("Ada"), ""},
		{"body", `{"version":"2.0","body":"{\"name\":\"Ad\\u00e9\\\"\"}"}`, 0, hello(`Ad\u00e9\"`), ""},
		{"body with escaped text", `{"body":"{\"name\":\"\u00e9\ud83e\uddab\ud83e\"}"}`, 0, hello("é🦫\ufffd"), ""},
		{"empty body", `{"body":""}`, 0, hello("world"), ""},
		{"largest", `{"name":"` + strings.Repeat("x", 65536-11) + `"}`, 0, hello(strings.Repeat("x", 65536-11)), ""},
		{"too large", `{"name":"` + strings.Repeat("x", 65536-10) + `"}`, 1, "", "cannot greet: the event is longer than 64 KiB\n"},
		{"body is no JSON", `{"body":"name=Ada"}`, 1, "", "cannot greet: the body is no JSON\n"},
		{"no JSON", `name=Ada`, 1, "", noJSON},
		{"cut off", `{"name":"Ada"`, 1, "", noJSON},
		{"cut off in an escape", `{"name":"\u12`, 1, "", noJSON},
		{"two documents", `{} {}`, 1, "", noJSON},
		{"zero byte", "{\"name\":\"Ada\"}\x00{", 1, "", noJSON},
		{"control character", "{\"name\":\"A\nB\"}", 1, "", noJSON},
		{"too deep", strings.Repeat("[", 10000), 1, "", noJSON},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status, stdout, stderr := greet(t, c.event)
			if status != c.status || stdout != c.stdout || stderr != c.stderr {
				t.Errorf("status %d, stdout %q, stderr %q; want %d, %q, %q", status, stdout, stderr, c.status, c.stdout, c.stderr)
			}
		})
	}
}

func TestScriptsParse(t *testing.T) {
	for _, script := range []string{"demo.sh", "guestbook/iaas/install.sh"} {
		if out, err := exec.Command("bash", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}

// python runs a script where there is a Python, with the samples of one folder importable and a stand-in for the driver.
func python(t *testing.T, folder, script string) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 on this machine")
	}
	cmd := exec.Command(path, "-B", "-c", script)
	sample, err := filepath.Abs(filepath.Join("guestbook", folder))
	if err != nil {
		t.Fatal(err)
	}
	stub, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "PYTHONPATH="+sample+string(os.PathListSeparator)+stub, "DATABASE_URL=postgresql://u:p@h/d")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func TestPythonCompiles(t *testing.T) {
	for _, file := range []string{"app/app.py", "app/guestbook.py", "function/main.py"} {
		python(t, "app", `compile(open("guestbook/`+file+`").read(), "`+file+`", "exec")`)
	}
}

func TestGuestbookAnswers(t *testing.T) {
	got := python(t, "app", `
import guestbook, psycopg2
book = guestbook.Guestbook("postgresql://x")
def ask(method, path, accept="*/*", kind="", body=b""):
    status, headers, text = guestbook.respond(book, method, path, accept, kind, body)
    print(method, path, status, headers.get("Location") or headers["Content-Type"], text.strip() if "<ul>" not in text else text.split("<ul>")[1].split("</ul>")[0].strip())
form = "application/x-www-form-urlencoded"
ask("GET", "/healthz")
ask("GET", "/")
ask("POST", "/", kind="application/json", body=b'{"name": " <Ada> ", "message": "a & b"}')
ask("POST", "/", kind=form, body=b'name=Bob&message=h%C3%A9')
ask("POST", "/", kind=form, body=b'{"name": "curl -d", "message": "m"}')
ask("GET", "/", accept="text/html")
for body in b"", b"[]", b'{"name": "x"}', b'{"name": 1, "message": "m"}', b'{"name": "' + b"x" * 81 + b'", "message": "m"}', b'{"name": "a\\u0000", "message": "m"}':
    ask("POST", "/", body=body)
ask("POST", "/", body=b"x" * 65537)
ask("DELETE", "/")
ask("GET", "/nothing")
psycopg2.broken = [psycopg2.OperationalError("gone")]
ask("HEAD", "/healthz")
print("connections made:", len(psycopg2.connects))
psycopg2.broken = [psycopg2.OperationalError("gone"), psycopg2.OperationalError("still gone")]
ask("GET", "/healthz")
`)
	name := `{"error": "cannot add the entry: name must be text of 1 to 80 characters"}`
	noJSON := `{"error": "cannot add the entry: send {\"name\": \"...\", \"message\": \"...\"} as JSON"}`
	const at = `"createdAt": "2026-01-01T00:00:00+00:00"}`
	want := strings.Join([]string{
		`GET /healthz 200 text/plain; charset=utf-8 ok`,
		`GET / 200 application/json {"entries": []}`,
		`POST / 201 application/json {"id": 1, "name": "<Ada>", "message": "a & b", ` + at,
		`POST / 303 / `,
		`POST / 201 application/json {"id": 3, "name": "curl -d", "message": "m", ` + at,
		"GET / 200 text/html; charset=utf-8 <li><b>curl -d</b>: m</li>\n<li><b>Bob</b>: hé</li>\n<li><b>&lt;Ada&gt;</b>: a &amp; b</li>",
		`POST / 400 application/json ` + noJSON,
		`POST / 400 application/json ` + noJSON,
		`POST / 400 application/json {"error": "cannot add the entry: message must be text of 1 to 1000 characters"}`,
		`POST / 400 application/json ` + name,
		`POST / 400 application/json ` + name,
		`POST / 400 application/json ` + name,
		`POST / 413 application/json {"error": "cannot take more than 65536 bytes"}`,
		`DELETE / 405 application/json {"error": "cannot DELETE /: use GET or POST"}`,
		`GET /nothing 404 application/json {"error": "cannot find /nothing: there are / and /healthz"}`,
		`HEAD /healthz 200 text/plain; charset=utf-8 ok`,
		`connections made: 2`,
		`guestbook: the database failed: OperationalError: still gone`,
		`GET /healthz 503 application/json {"error": "cannot reach the database: try again"}`,
	}, "\n") + "\n"
	if diff := cmp.Diff(want, strings.ReplaceAll(got, "\r\n", "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFunctionAnswersHTTPEvents(t *testing.T) {
	got := python(t, "function", `
import json, main
http = {"requestContext": {"http": {"method": "POST"}}, "rawPath": "/", "headers": {"content-type": "application/json"}}
print(json.dumps(main.handler({**http, "body": "eyJuYW1lIjogIkEiLCAibWVzc2FnZSI6ICJtIn0=", "isBase64Encoded": True}, None)))
print(json.dumps(main.handler({**http, "requestContext": {"http": {"method": "GET"}}}, None)))
`)
	const entry = `{\"id\": 1, \"name\": \"A\", \"message\": \"m\", \"createdAt\": \"2026-01-01T00:00:00+00:00\"}`
	want := `{"statusCode": 201, "headers": {"Content-Type": "application/json"}, "body": "` + entry + `\n"}
{"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": "{\"entries\": [` + entry + `]}\n"}
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
