package apitest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"nuage/api"
)

// trial is one noun under test in a project of its own.
type trial[T, S any] struct {
	kind[T, S]
	s       *suite
	ctx     context.Context
	project string
	r       api.Resource[T, S]
}

// conform checks everything that a noun has in common with all others.
func conform[T, S any](t *testing.T, s *suite, k kind[T, S]) {
	if k.resource(s.Cloud) == nil {
		t.Fatalf("the cloud lacks the noun %s", k.noun)
	}
	for _, part := range []struct {
		name string
		run  func(trial[T, S], *testing.T)
	}{
		{"life", trial[T, S].life},
		{"names", trial[T, S].names},
		{"specs", trial[T, S].specs},
		{"absent", trial[T, S].absent},
		{"update", trial[T, S].update},
		{"pages", trial[T, S].pages},
		{"idempotency", trial[T, S].idempotency},
		{"scope", trial[T, S].scope},
	} {
		t.Run(part.name, func(t *testing.T) {
			part.run(trial[T, S]{k, s, s.Context, s.project(t), k.resource(s.Cloud)}, t)
		})
	}
}

// create makes a noun that goes with the test.
func (x trial[T, S]) create(t *testing.T, name string) T {
	t.Helper()
	spec := x.spec(t, x.s, x.project, name)
	t.Cleanup(func() {
		if x.clean != nil {
			x.clean(t, x.s, x.project, name)
		}
	})
	v, err := x.r.Create(x.ctx, x.project, name, spec)
	must(t, "create "+name, err)
	t.Cleanup(func() { x.remove(t, name) })
	return v
}

// remove deletes a noun, where it is, and waits until it is gone.
func (x trial[T, S]) remove(t *testing.T, name string) {
	t.Helper()
	if err := x.r.Delete(x.ctx, x.project, name, 0); api.CodeOf(err) == api.NotFound {
		return
	} else if err != nil {
		t.Errorf("delete %s: %v", name, err)
		return
	}
	v, err := x.r.Wait(x.ctx, x.project, name, x.s.Patience)
	if err == nil {
		_, status := x.meta(&v)
		t.Errorf("%s is not gone after %s: it is %s: %s", name, x.s.Patience, status.Phase, status.Reason)
		return
	}
	wants(t, "wait for the end of "+name, err, api.NotFound)
}

// settled waits until nothing is under way and the noun runs.
func (x trial[T, S]) settled(t *testing.T, name string) T {
	t.Helper()
	v, err := x.r.Wait(x.ctx, x.project, name, x.s.Patience)
	must(t, "wait for "+name, err)
	m, status := x.meta(&v)
	if !api.Settled(*m, *status) || status.Phase != api.Running || status.Reason == "" {
		t.Fatalf("%s is %s (%q) at generation %d of %d after %s, want it running, with a reason",
			name, status.Phase, status.Reason, status.Generation, m.Generation, x.s.Patience)
	}
	return v
}

func (x trial[T, S]) life(t *testing.T) {
	began := x.create(t, "one")
	m, _ := x.meta(&began)
	checkMeta(t, *m, x.project, "one")
	x.settled(t, "one")
	got, err := x.r.Get(x.ctx, x.project, "one")
	must(t, "get", err)
	if now, _ := x.meta(&got); now.ID != m.ID || !now.CreatedAt.Equal(m.CreatedAt) {
		t.Errorf("get answers %+v, create answered %+v", now, m)
	}
	_, err = x.r.Create(x.ctx, x.project, "one", x.specOf(t, got))
	wants(t, "create with a taken name", err, api.Conflict)
	wants(t, "delete another generation", x.r.Delete(x.ctx, x.project, "one", 99), api.Conflict)
	x.remove(t, "one")
	_, err = x.r.Get(x.ctx, x.project, "one")
	wants(t, "get what is deleted", err, api.NotFound)
	wants(t, "delete what is deleted", x.r.Delete(x.ctx, x.project, "one", 0), api.NotFound)
	again := x.create(t, "one")
	if next, _ := x.meta(&again); next.ID == m.ID {
		t.Errorf("id %s was used twice", m.ID)
	}
	x.recorded(t)
}

// specOf makes a good spec of a noun that has all it refers to already.
func (x trial[T, S]) specOf(t *testing.T, v T) S {
	t.Helper()
	spec, err := specField[S](v)
	must(t, "read the spec", err)
	return spec
}

// recorded checks that the life of "one" is in the record, as a customer's work.
func (x trial[T, S]) recorded(t *testing.T) {
	t.Helper()
	var verbs []string
	for _, a := range x.s.allActivities(t, api.ActivityQuery{Project: x.project, Resource: "one", Actor: api.Customer}) {
		if a.Noun == x.noun {
			verbs = append(verbs, a.Verb)
			checkActivity(t, a)
		}
	}
	if want := []string{"create", "delete", "create"}; !slices.Equal(verbs, want) {
		t.Errorf("the record of the customer's work says %q, want %q", verbs, want)
	}
}

func (x trial[T, S]) names(t *testing.T) {
	spec := x.spec(t, x.s, x.project, "one")
	if x.clean != nil {
		defer x.clean(t, x.s, x.project, "one")
	}
	for _, name := range []string{"", "UP", "-a", "a-", "a b", "a_b", "a/b", "ä", strings.Repeat("a", 41), ".."} {
		_, err := x.r.Create(x.ctx, x.project, name, spec)
		wants(t, "create "+name, err, api.Invalid)
	}
}

func (x trial[T, S]) specs(t *testing.T) {
	for _, b := range x.bad {
		_, err := x.r.Create(x.ctx, x.project, "bad", b.spec)
		wants(t, b.why, err, b.code)
		_, err = x.r.Get(x.ctx, x.project, "bad")
		wants(t, "get what was refused: "+b.why, err, api.NotFound)
	}
}

func (x trial[T, S]) absent(t *testing.T) {
	spec := x.spec(t, x.s, x.project, "one")
	if x.clean != nil {
		defer x.clean(t, x.s, x.project, "one")
	}
	nowhere := fresh("nowhere")
	for _, at := range []struct{ project, name string }{{x.project, "nobody"}, {nowhere, "nobody"}} {
		_, err := x.r.Get(x.ctx, at.project, at.name)
		wants(t, "get", err, api.NotFound)
		_, err = x.r.Update(x.ctx, at.project, at.name, spec, 0)
		wants(t, "update", err, api.NotFound)
		_, err = x.r.Wait(x.ctx, at.project, at.name, x.s.Patience)
		wants(t, "wait", err, api.NotFound)
		wants(t, "delete", x.r.Delete(x.ctx, at.project, at.name, 0), api.NotFound)
	}
	_, err := x.r.Create(x.ctx, nowhere, "one", spec)
	wants(t, "create in no project", err, api.NotFound)
	_, err = x.r.List(x.ctx, nowhere, api.Page{})
	wants(t, "list no project", err, api.NotFound)
}

func (x trial[T, S]) update(t *testing.T) {
	x.create(t, "one")
	old := x.settled(t, "one")
	spec := x.specOf(t, old)
	if x.fixed {
		_, err := x.r.Update(x.ctx, x.project, "one", spec, 0)
		wants(t, "update", err, api.Unsupported)
		return
	}
	same, err := x.r.Update(x.ctx, x.project, "one", spec, 1)
	must(t, "update to the same", err)
	if m, _ := x.meta(&same); m.Generation != 1 {
		t.Errorf("a change of nothing made generation %d, want 1", m.Generation)
	}
	if x.change == nil {
		return
	}
	_, err = x.r.Update(x.ctx, x.project, "one", x.change(spec), 2)
	wants(t, "update another generation", err, api.Conflict)
	next, err := x.r.Update(x.ctx, x.project, "one", x.change(spec), 1)
	must(t, "update", err)
	if m, _ := x.meta(&next); m.Generation != 2 {
		t.Errorf("a change made generation %d, want 2", m.Generation)
	}
	_, err = x.r.Update(x.ctx, x.project, "one", spec, 1)
	wants(t, "update the generation before", err, api.Conflict)
	x.settled(t, "one")
}

func (x trial[T, S]) pages(t *testing.T) {
	before := x.list(t, api.Page{})
	for _, name := range []string{"one", "two", "three"} {
		x.create(t, name)
	}
	want := slices.Sorted(slices.Values(append(before, "one", "three", "two")))
	if got := x.list(t, api.Page{}); !slices.Equal(got, want) {
		t.Errorf("list answers %q, want %q", got, want)
	}
	var got []string
	for page := (api.Page{Limit: 2}); ; {
		l, err := x.r.List(x.ctx, x.project, page)
		must(t, "list", err)
		if len(l.Items) > 2 {
			t.Fatalf("a page of 2 has %d items", len(l.Items))
		}
		for i := range l.Items {
			m, _ := x.meta(&l.Items[i])
			got = append(got, m.Name)
		}
		if page.After = l.Next; l.Next == "" || len(got) > len(want) {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages of 2 answer %q, want %q", got, want)
	}
	for _, limit := range []int{-1, 1001} {
		_, err := x.r.List(x.ctx, x.project, api.Page{Limit: limit})
		wants(t, "list with a bad limit", err, api.Invalid)
	}
}

func (x trial[T, S]) list(t *testing.T, page api.Page) (names []string) {
	t.Helper()
	l, err := x.r.List(x.ctx, x.project, page)
	must(t, "list", err)
	for i := range l.Items {
		m, _ := x.meta(&l.Items[i])
		names = append(names, m.Name)
	}
	return names
}

func (x trial[T, S]) idempotency(t *testing.T) {
	keyed := x
	keyed.ctx = api.WithIdempotencyKey(x.ctx, fresh("key"))
	first := keyed.create(t, "one")
	m, _ := x.meta(&first)
	asked := x.spec(t, x.s, x.project, "one") // the stored one has defaults filled in
	second, err := x.r.Create(keyed.ctx, x.project, "one", asked)
	must(t, "create with the same key", err)
	if again, _ := x.meta(&second); again.ID != m.ID {
		t.Errorf("the same key made %s and %s", m.ID, again.ID)
	}
	_, err = x.r.Create(keyed.ctx, x.project, "other", asked)
	wants(t, "create something else with the same key", err, api.Conflict)
	_, err = x.r.Create(x.ctx, x.project, "one", asked)
	wants(t, "create without the key", err, api.Conflict)
}

func (x trial[T, S]) scope(t *testing.T) {
	made := x.create(t, "one")
	spec := x.specOf(t, made)
	inside, insideCtx := x.s.limited(t, x.project)
	_, err := x.resource(inside).Get(insideCtx, x.project, "one")
	wants(t, "get with a token for the project", err, "")
	outside, ctx := x.s.limited(t, x.s.project(t))
	r := x.resource(outside)
	_, err = r.Get(ctx, x.project, "one")
	wants(t, "get with a token for another project", err, api.Forbidden)
	_, err = r.List(ctx, x.project, api.Page{})
	wants(t, "list with a token for another project", err, api.Forbidden)
	_, err = r.Create(ctx, x.project, "two", spec)
	wants(t, "create with a token for another project", err, api.Forbidden)
	_, err = r.Update(ctx, x.project, "one", spec, 0)
	wants(t, "update with a token for another project", err, api.Forbidden)
	_, err = r.Wait(ctx, x.project, "one", 0)
	wants(t, "wait with a token for another project", err, api.Forbidden)
	wants(t, "delete with a token for another project", r.Delete(ctx, x.project, "one", 0), api.Forbidden)
}
