package images

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
)

const simulator = " Without an engine nuage goes on with its simulator: the API, the bill and wasm functions work," +
	" instances, apps and databases are imitated."

const socket = "/var/run/docker.sock"

// stubs returns a PATH on which shell bodies stand in for commands.
func stubs(t *testing.T, commands map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range commands {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir + ":" + os.Getenv("PATH")
}

func TestScriptSaysWhatToInstall(t *testing.T) {
	if _, err := os.Stat("/etc/debian_version"); err != nil {
		t.Skip("the sentences are those for Debian")
	}
	student := `case $1 in -u) echo 1000;; *) echo student;; esac`
	tests := []struct {
		name     string
		commands map[string]string
		env      []string
		status   int
		want     string
	}{
		{
			name: "engine elsewhere does not answer",
			env:  []string{"DOCKER_HOST=tcp://127.0.0.1:1"}, commands: map[string]string{"docker": "exit 1"}, status: 3,
			want: "No Docker engine: DOCKER_HOST is tcp://127.0.0.1:1, but nothing answers there. Start that engine, or unset DOCKER_HOST to use this machine's." + simulator,
		},
		{
			name: "an engine is required",
			env:  []string{"DOCKER_HOST=tcp://127.0.0.1:1", "NUAGE_REQUIRE_ENGINE=1"}, commands: map[string]string{"docker": "exit 1"}, status: 1,
			want: "No Docker engine: DOCKER_HOST is tcp://127.0.0.1:1, but nothing answers there. Start that engine, or unset DOCKER_HOST to use this machine's." + simulator +
				" NUAGE_REQUIRE_ENGINE=1 is set, so this is a failure.",
		},
		{
			name:     "not root",
			commands: map[string]string{"docker": "exit 1", "id": student}, status: 3,
			want: "No Docker engine: none answers, and user student may not install one. Run 'sudo apt-get install docker.io mmdebstrap && sudo usermod -aG docker student', log in again, then run this again." + simulator,
		},
		{
			name:     "dockerd dies",
			commands: map[string]string{"docker": "exit 1", "id": "echo 0", "mmdebstrap": "", "dockerd": "echo stub died", "systemctl": "exit 1", "service": "exit 1"}, status: 3,
			want: "No Docker engine: dockerd does not answer after 1 s (stub died); its log is LOG." + simulator,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := os.Stat(socket); err == nil && syscall.Access(socket, 2) != nil {
				t.Skipf("this user may not use %s, which is said first", socket)
			}
			log := filepath.Join(t.TempDir(), "dockerd.log")
			cmd := exec.Command("bash", "setup.sh", "engine")
			cmd.Env = append(os.Environ(), "DOCKER_HOST=", "NUAGE_REQUIRE_ENGINE=", "NUAGE_ENGINE_WAIT=1", "NUAGE_ENGINE_LOG="+log,
				"XDG_CACHE_HOME="+t.TempDir(), "PATH="+stubs(t, tt.commands))
			cmd.Env = append(cmd.Env, tt.env...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			_ = cmd.Run()
			if cmd.ProcessState.ExitCode() != tt.status {
				t.Errorf("exit status %d, want %d", cmd.ProcessState.ExitCode(), tt.status)
			}
			got := strings.ReplaceAll(strings.Join(strings.Fields(stderr.String()), " "), log, "LOG")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSetupWithoutEngineIsUnavailable(t *testing.T) {
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
	t.Setenv("NUAGE_REQUIRE_ENGINE", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("PATH", stubs(t, map[string]string{"docker": "exit 1"}))
	err := Setup(context.Background(), t.Output(), Options{})
	if !errors.Is(err, api.Unavailable) || !strings.HasPrefix(err.Error(), "cannot have an engine here. No Docker engine: DOCKER_HOST is") {
		t.Errorf("Setup = %v", err)
	}
}

func TestSetupRefusesAnUnknownPart(t *testing.T) {
	err := Setup(context.Background(), t.Output(), Options{Part: "coffee"})
	want := "cannot set up an engine and its images: setup: cannot do 'coffee': want engine, images, recipes, one of nodejs mariadb redis nginx, or nothing (exit status 1)"
	if err == nil || err.Error() != want {
		t.Errorf("Setup = %v, want %s", err, want)
	}
}

func TestSetupEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Setup(ctx, t.Output(), Options{}); err == nil {
		t.Error("Setup with an ended context = nil")
	}
}

func TestScriptIsEmbedded(t *testing.T) {
	want, err := os.ReadFile("setup.sh")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(Script(), want) {
		t.Error("Script() is not setup.sh")
	}
}

// fakeDocker is a docker command that answers, has the images listed in $STATE/images and
// writes what it is asked to $STATE/asked.
const fakeDocker = `
cat > /dev/null < /dev/null
case "$1 $2" in
"version "*) echo 20.10; exit ;;
"image inspect") for ref; do :; done; grep -qx "$ref" $STATE/images && echo none; exit ;;
"image ls"|"image rm") exit ;;
pull*) echo pull >> $STATE/asked; [ -z "$REGISTRY" ] && exec sleep 600; echo "bookworm-slim: Pulling from library/debian"; echo debian:bookworm-slim >> $STATE/images ;;
import*) echo import >> $STATE/asked; echo debian:bookworm-slim >> $STATE/images ;;
build*) for a; do [ "$last" = --tag ] && echo "build $a" >> $STATE/asked; last=$a; done; cat > /dev/null ;;
esac`

func TestScriptPullsTheBaseOnlyWhereARegistryAnswers(t *testing.T) {
	tests := []struct{ name, registry, had, want, part string }{
		{"registry", "1", "", "build nuage/debian-12:1,build nuage/postgres:15,build nuage/python:1,build nuage/tiny:1,pull", "all"},
		{"none", "", "", "build nuage/debian-12:1,build nuage/postgres:15,build nuage/python:1,build nuage/tiny:1,import,pull", "all"},
		{"base is there", "", "debian:bookworm-slim\n", "build nuage/debian-12:1,build nuage/postgres:15,build nuage/python:1,build nuage/tiny:1", "all"},
		{"on first use", "", "debian:bookworm-slim\n", "build nuage/nodejs:1", "nodejs"},
		{"another on first use", "", "debian:bookworm-slim\n", "build nuage/mariadb:10.11", "mariadb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			state := t.TempDir()
			if err := os.WriteFile(filepath.Join(state, "images"), []byte(tt.had), 0o644); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			cmd := exec.Command("bash", "setup.sh", tt.part)
			cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir(), "STATE="+state, "REGISTRY="+tt.registry,
				"PATH="+stubs(t, map[string]string{"docker": fakeDocker, "mmdebstrap": `for a; do case $a in /*.tar) tar -cf $a -T /dev/null;; esac; done`}))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			asked, err := os.ReadFile(filepath.Join(state, "asked"))
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(asked)), "\n")
			slices.Sort(lines)
			if diff := cmp.Diff(tt.want, strings.Join(lines, ",")); diff != "" {
				t.Error(diff)
			}
			if took := time.Since(began); took > 5*time.Minute {
				t.Errorf("a silent registry held the set-up up: it took %v", took)
			}
		})
	}
}
