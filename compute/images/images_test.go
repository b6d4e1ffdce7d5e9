package images

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCatalog(t *testing.T) {
	var got []string
	for _, i := range Catalog() {
		got = append(got, i.Name+" "+i.Ref+" "+strings.Join(i.Needs, ","))
	}
	want := []string{
		"debian-12 nuage/debian-12:1 debian packages",
		"tiny nuage/tiny:1 debian packages",
		"python nuage/python:1 debian packages",
		"postgres-15 nuage/postgres:15 debian packages",
		"ubuntu-24.04 ubuntu:24.04 image registry",
		"alpine alpine:3.21 image registry",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCatalogEntriesAreSound(t *testing.T) {
	name := regexp.MustCompile(`^[a-z][a-z0-9.-]{0,39}$`)
	for _, i := range Catalog() {
		if !name.MatchString(i.Name) || i.Purpose == "" {
			t.Errorf("entry %+v has no good name or purpose", i)
		}
		if i.Made() != strings.HasPrefix(i.Ref, LocalPrefix) {
			t.Errorf("%s: made here is %t, and its reference is %s", i.Name, i.Made(), i.Ref)
		}
		if i.Made() == slices.Contains(i.Needs, NeedsRegistry) {
			t.Errorf("%s: made here is %t, and it needs %v", i.Name, i.Made(), i.Needs)
		}
		if found, ok := Lookup(i.Name); !ok || found.Ref != i.Ref {
			t.Errorf("Lookup(%q) = %+v, %t", i.Name, found, ok)
		}
	}
	if i, ok := Lookup("plan9"); ok {
		t.Errorf("Lookup of an unknown name = %+v", i)
	}
}

func TestEveryRecipeBuildsOnTheBase(t *testing.T) {
	for _, i := range append(Catalog(), OnFirstUse()...) {
		if !i.Made() {
			continue
		}
		dockerfile, err := files.ReadFile(i.recipe + "/Dockerfile")
		if err != nil {
			t.Errorf("%s: %v", i.Name, err)
		}
		if !strings.Contains(string(dockerfile), "\nFROM "+BaseRef) {
			t.Errorf("%s: the recipe is not FROM %s", i.Name, BaseRef)
		}
	}
}

// The script and the package must agree on references and hashes, or the doctor would
// call every image stale.
func TestRecipesMatchTheScript(t *testing.T) {
	want := []string{BaseRef + " " + recipeHash("base")}
	for _, i := range append(Catalog(), OnFirstUse()...) {
		if i.Made() {
			want = append(want, i.Ref+" "+i.RecipeHash())
		}
	}
	out, err := exec.Command("bash", "setup.sh", "recipes").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRecipeHashesDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, i := range Catalog() {
		if other, taken := seen[i.RecipeHash()]; taken && i.Made() {
			t.Errorf("%s and %s have the same hash", i.Name, other)
		}
		seen[i.RecipeHash()] = i.Name
	}
}

func TestScriptsParse(t *testing.T) {
	for _, script := range []string{"setup.sh", "base/build.sh", "base/policy-rc.d", "postgres/entrypoint.sh"} {
		if out, err := exec.Command("bash", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", script, out)
		}
	}
}
