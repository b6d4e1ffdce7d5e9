package images

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// machine makes up a machine: images maps a reference to its recipe label, and no
// engine answers when version is empty.
func machine(version string, images map[string]string, disk, memory uint64, rights ...string) doctor {
	return doctor{
		ask: func(_ context.Context, _ string, args ...string) (string, error) {
			switch label, found := images[args[len(args)-1]]; {
			case version == "":
				return "", errors.New("no such socket")
			case args[0] == "version":
				return version, nil
			case args[0] == "info":
				return "/", nil
			case found:
				return label, nil
			}
			return "", errors.New("no such image")
		},
		free:   func(string) (uint64, error) { return disk, nil },
		memory: func() (uint64, error) { return memory, nil },
		rights: func() []string { return rights },
		look:   func(command string) (string, error) { return "/usr/bin/" + command, nil },
	}
}

func made() map[string]string {
	all := map[string]string{}
	for _, i := range Catalog() {
		if i.Made() {
			all[i.Ref] = i.RecipeHash()
		}
	}
	return all
}

func report(checks []Check) string {
	var lines []string
	for _, c := range checks {
		lines = append(lines, fmt.Sprintf("%t %s: %s [%s]", c.OK, c.Name, c.Detail, c.Fix))
	}
	return strings.Join(lines, "\n")
}

func TestDoctor(t *testing.T) {
	stale := made()
	stale["nuage/python:1"] = "older"
	delete(stale, "nuage/tiny:1")
	tests := []struct {
		name string
		d    doctor
		want string
	}{
		{"all well", machine("Docker 20.10", made(), 8<<30, 2<<30, "root"), `
true engine: Docker 20.10 []
true image debian-12: nuage/debian-12:1 []
true image tiny: nuage/tiny:1 []
true image python: nuage/python:1 []
true image postgres-15: nuage/postgres:15 []
true disk of the engine: /: 8.0 GiB free []
true disk of the home: /: 8.0 GiB free []
true memory: 2.0 GiB available []`},
		{"images missing and stale, little room", machine("Docker 20.10", stale, 1<<28, 1<<28, "root"), `
true engine: Docker 20.10 []
true image debian-12: nuage/debian-12:1 []
false image tiny: nuage/tiny:1 is missing [run ` + "`nuage doctor --fix`" + `]
false image python: nuage/python:1 is of another version of nuage [run ` + "`nuage doctor --fix`" + `]
true image postgres-15: nuage/postgres:15 []
false disk of the engine: /: 0.2 GiB free [free some space there: 4.0 GiB is wanted]
false disk of the home: /: 0.2 GiB free [free some space there: 0.5 GiB is wanted]
false memory: 0.2 GiB available [end some programs: 1.0 GiB is wanted]`},
		{"no engine, no rights", machine("", nil, 8<<30, 2<<30, "users"), `
false engine: no engine answers: no such socket [start Docker, or run ` + "`nuage doctor --fix`" + ` as root]
false rights: neither root nor in group docker [run ` + "`sudo usermod -aG docker $USER`" + ` and log in again]
true packages: /usr/bin/apt-get []
true disk of the home: /: 8.0 GiB free []
true memory: 2.0 GiB available []`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(strings.TrimSpace(tt.want), report(tt.d.checks(t.Context(), "/"))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDoctorOnThisMachine(t *testing.T) {
	checks := Doctor(t.Context(), t.TempDir()+"/not/yet")
	at := slices.IndexFunc(checks, func(c Check) bool { return c.Name == "disk of the home" })
	if at < 0 || !strings.HasSuffix(checks[at].Detail, "free") {
		t.Errorf("no free space found for a home that is not there yet:\n%s", report(checks))
	}
}

func TestParseMemory(t *testing.T) {
	got, err := parseMemory(strings.NewReader("MemTotal:       24681236 kB\nMemAvailable:   22000000 kB\n"))
	if got != 22000000<<10 || err != nil {
		t.Errorf("parseMemory = %d, %v", got, err)
	}
	if _, err := parseMemory(strings.NewReader("MemTotal: 1 kB\n")); err == nil {
		t.Error("parseMemory of a text without the line = nil error")
	}
}
