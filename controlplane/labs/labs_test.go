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
