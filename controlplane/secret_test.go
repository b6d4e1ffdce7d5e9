package controlplane

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"nuage/api"
)

// TestSecretsAreSealed: replicas get them, and nothing else ever holds one: no file of the state, no log, no answer.
func TestSecretsAreSealed(t *testing.T) {
	const first, second = "the first word nobody hears", "the second word nobody hears"
	p := newPlane(t, setup{idle: true})
	ctx, apps := asCustomer(), p.cloud.Apps
	spec := api.AppSpec{Image: "nuage/python:1", Secrets: map[string]string{"WORD": first}}
	made, err := apps.Create(api.WithIdempotencyKey(ctx, "once"), "default", "shop", spec)
	must(t, err)
	spec.Secrets = map[string]string{"WORD": second}
	changed, err := apps.Update(ctx, "default", "shop", spec, 0)
	must(t, err)
	spec.Secrets, spec.Env = map[string]string{"WORD": api.Masked}, map[string]string{"WORD": "plain"}
	if _, err := apps.Update(ctx, "default", "shop", spec, 0); api.CodeOf(err) != api.Invalid {
		t.Errorf("a setting both plain and secret answers %v", err)
	}
	w, err := p.read()
	must(t, err)
	for number, want := range map[int]string{1: first, 2: second} {
		r := w.releases[releaseKey(made.ID, number)]
		if got := w.appEnv(w.apps[0], r)["WORD"]; got != want {
			t.Errorf("replicas of release %d get %q, want %q", number, got, want)
		}
	}
	list, err := apps.List(ctx, "default", api.Page{})
	must(t, err)
	releases, err := apps.Releases(ctx, "default", "shop")
	must(t, err)
	activities, err := p.cloud.Activities.List(ctx, api.ActivityQuery{})
	must(t, err)
	answers, err := json.Marshal([]any{made, changed, list, releases, activities})
	must(t, err)
	state, err := os.ReadFile(filepath.Join(p.dir, "state.db"))
	must(t, err)
	for where, content := range map[string][]byte{"the answers": answers, "the state": state} {
		if bytes.Contains(content, []byte("nobody hears")) {
			t.Errorf("%s hold a secret", where)
		}
	}
	if !bytes.Contains(answers, []byte(`"WORD":"***"`)) || !bytes.Contains(state, []byte(made.ID)) {
		t.Error("what was searched is not what was to be searched")
	}
}

// TestSecretsOfAppsThatAreGone: nothing is kept of them.
func TestSecretsOfAppsThatAreGone(t *testing.T) {
	p := newPlane(t, setup{idle: true})
	made, err := p.cloud.Apps.Create(asCustomer(), "default", "shop", api.AppSpec{Image: "nuage/python:1", Secrets: map[string]string{"WORD": "secret"}})
	must(t, err)
	w, err := p.read()
	must(t, err)
	if len(w.vaults) != 1 {
		t.Fatalf("there are %d vaults, want 1", len(w.vaults))
	}
	must(t, p.dropApp(w, made))
	w, err = p.read()
	must(t, err)
	if len(w.vaults) != 0 {
		t.Errorf("left are %d vaults", len(w.vaults))
	}
}
