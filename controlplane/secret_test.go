package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nuage/api"
	"nuage/functions"
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

// TestSecretsOfFunctionsAreSealed: the code gets them, also in a published version after they changed, and nothing else ever holds one.
func TestSecretsOfFunctionsAreSealed(t *testing.T) {
	const first, second = "the first word nobody hears", "the second word nobody hears"
	r := &wordKeeper{}
	p := newPlane(t, setup{idle: true, python: r})
	ctx, c := asCustomer(), p.cloud
	spec := api.FunctionSpec{Runtime: "python", Source: p.source(t, "main.py", "pass"), Handler: "main.handler", Secrets: map[string]string{"WORD": first}, SecretsVersion: 9}
	made, err := c.Functions.Create(api.WithIdempotencyKey(ctx, "once"), "default", "f", spec)
	must(t, err)
	published, err := c.Versions.Publish(ctx, "default", "f")
	must(t, err)
	spec.Secrets = map[string]string{"WORD": second}
	changed, err := c.Functions.Update(ctx, "default", "f", spec, 0)
	must(t, err)
	kept, err := c.Functions.Update(ctx, "default", "f", changed.Spec, 0)
	must(t, err)
	if kept.Generation != 2 || kept.Status.Version != 2 {
		t.Errorf("sent as it was answered, it is at generation %d and version %d", kept.Generation, kept.Status.Version)
	}
	_, err = c.Functions.Invoke(ctx, "default", "f", api.Invocation{Type: api.Sync, Qualifier: "1"})
	must(t, err)
	if got, want := strings.Join(r.opened, ", "), "1 "+first+", 2 "+second+", 1 "+first; got != want {
		t.Errorf("the code got %s, want %s", got, want)
	}
	list, err := c.Functions.List(ctx, "default", api.Page{})
	must(t, err)
	versions, err := c.Versions.Versions(ctx, "default", "f")
	must(t, err)
	activities, err := c.Activities.List(ctx, api.ActivityQuery{})
	must(t, err)
	answers, err := json.Marshal([]any{made, published, changed, list, versions, activities})
	must(t, err)
	held := func() []byte {
		state, err := os.ReadFile(filepath.Join(p.dir, "state.db"))
		must(t, err)
		return state
	}
	for where, content := range map[string][]byte{"the answers": answers, "the state": held()} {
		if bytes.Contains(content, []byte("nobody hears")) {
			t.Errorf("%s hold a secret", where)
		}
	}
	if !bytes.Contains(answers, []byte(`"WORD":"***"`)) || !bytes.Contains(held(), []byte(made.ID)) {
		t.Error("what was searched is not what was to be searched")
	}
	spec.Env = map[string]string{"WORD": "plain"}
	if _, err := c.Functions.Update(ctx, "default", "f", spec, 0); api.CodeOf(err) != api.Invalid {
		t.Errorf("a setting both plain and secret answers %v", err)
	}
	must(t, c.Functions.Delete(ctx, "default", "f", 0))
	w, err := p.read()
	must(t, err)
	if len(w.vaults) != 0 {
		t.Errorf("left are %d vaults", len(w.vaults))
	}
}

// wordKeeper is a runtime that notes the secret that each version was opened with.
type wordKeeper struct{ versions }

func (r *wordKeeper) Open(ctx context.Context, d functions.Deployment) (functions.Program, error) {
	program, err := r.versions.Open(ctx, d)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened[len(r.opened)-1] = fmt.Sprint(d.Version, " ", d.Env["WORD"])
	return program, err
}
