package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// floors says which packages of ours a package may import, as path prefixes below nuage/. What is not named may import
// nothing of ours but its own subfolders' parents as written here. Imports go down only; siblings never meet.
var floors = map[string][]string{
	"api":                        {},
	"api/rest":                   {"api"},
	"api/client":                 {"api"},
	"api/apitest":                {"api"},
	"storage":                    {"api"},
	"compute":                    {"api"},
	"compute/docker":             {"api", "compute"},
	"compute/sim":                {"api", "compute"},
	"compute/computetest":        {"api", "compute"},
	"compute/images":             {"api"},
	"compute/guest":              {"api", "compute/guest/cloudconfig", "compute/guest/link", "compute/guest/metadata"},
	"compute/guest/cloudconfig":  {"api"},
	"compute/guest/metadata":     {"compute/guest/link"},
	"compute/guest/disk":         {},
	"compute/guest/link":         {"api"},
	"compute/guest/sandbox":      {"api", "compute/guest/sandbox/wire"},
	"compute/guest/sandbox/wire": {"api"},
	"functions":                  {"api"},
	"functions/wasm":             {"api", "functions"},
	"functions/sandbox":          {"api", "compute", "compute/guest/sandbox/wire", "functions"},
	"controlplane":               {"api", "compute", "compute/guest/cloudconfig", "compute/guest/link", "compute/images", "controlplane/billing", "controlplane/events", "controlplane/identity", "controlplane/ingress", "controlplane/labs", "functions", "storage"},
	"controlplane/billing":       {"api"},
	"controlplane/events":        {"api"},
	"controlplane/identity":      {"api"},
	"controlplane/ingress":       {"api"},
	"controlplane/labs":          {"api"},
	"cmd/nuage-guest":            {"compute/guest", "compute/guest/disk", "compute/guest/sandbox"},
	"cmd/nuage-bench":            {"api", "api/client", "compute/images", "storage"},
}

// outside says which packages may import a library that belongs in one place.
var outside = map[string][]string{
	"github.com/docker/":         {"compute/docker"},
	"go.etcd.io/bbolt":           {"storage"},
	"github.com/gorilla/mux":     {"api/rest"},
	"github.com/tetratelabs/":    {"functions/wasm"},
	"github.com/google/nftables": {"compute/guest"},
	"github.com/spf13/cobra":     {"cmd/nuage"},
	"github.com/zitadel/":        {"controlplane/identity"},
}

func TestImportsGoDownOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "nuage/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := strings.TrimPrefix(words[0], "nuage/")
		allowed, known := floors[name]
		if !known && name != "cmd/nuage" {
			t.Errorf("package %s has no floor: add it to the table, or better to a package that has one", name)
		}
		for _, path := range words[1:] {
			ours, own := strings.CutPrefix(path, "nuage/")
			if own && name != "cmd/nuage" && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s, which does not lie below it", name, ours)
			}
			for prefix, homes := range outside {
				if strings.HasPrefix(path, prefix) && !slices.Contains(homes, name) {
					t.Errorf("%s imports %s, which belongs in %s", name, path, strings.Join(homes, ", "))
				}
			}
			if name == "api" && strings.Contains(strings.Split(path, "/")[0], ".") {
				t.Errorf("api imports %s: it has the standard library only", path)
			}
		}
	}
}
