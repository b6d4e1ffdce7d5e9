package storage_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nuage/api"
	"nuage/storage"
)

// model is a table as a map, with the rules of apps().
type model map[string]app

func nameOf(a app) string { return a.Project + "/" + a.Name }

// put is the error code that Put must answer, and the change when there is none.
func (m model) put(a app) api.Code {
	for id, other := range m {
		if id != a.ID && nameOf(other) == nameOf(a) {
			return api.Conflict
		}
	}
	m[a.ID] = a
	return ""
}

func (m model) delete(id string) api.Code {
	if _, ok := m[id]; !ok {
		return api.NotFound
	}
	delete(m, id)
	return ""
}

// sorted lists the model by a text of each record, leaving out what has none under prefix and what is not behind after.
func (m model) sorted(by func(app) string, prefix, after string) []app {
	out := []app{}
	for _, a := range m {
		if k := by(a); strings.HasPrefix(k, prefix) && (after == "" || k > prefix+after) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b app) int { return strings.Compare(by(a), by(b)) })
	return out
}

func drawApp(t *rapid.T) app {
	return app{
		ID:      fmt.Sprintf("app-%d", rapid.IntRange(1, 12).Draw(t, "id")),
		Project: rapid.SampledFrom([]string{"p", "p-1", "q"}).Draw(t, "project"),
		Name:    rapid.SampledFrom([]string{"a", "b", "ab", "c"}).Draw(t, "name"),
		Model:   rapid.SampledFrom([]string{"", "iaas", "paas"}).Draw(t, "model"),
		Scale:   rapid.IntRange(0, 2).Draw(t, "scale"),
	}
}

// TestTableAgainstModel runs random transactions, some of them given up, on a table and on a map, and compares every
// way of reading after each.
func TestTableAgainstModel(t *testing.T) {
	dir := t.TempDir()
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		s, err := storage.Open(filepath.Join(dir, fmt.Sprint(round)), testOptions())
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}()
		m := model{}
		for range rapid.IntRange(1, 12).Draw(t, "transactions") {
			m = transact(t, s, m)
			if err := s.View(func(tx *storage.Tx) error { compare(t, tx, m); return nil }); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// transact does some writes in one transaction and returns the model after it.
func transact(t *rapid.T, s *storage.Store, m model) model {
	next := maps.Clone(m)
	giveUp := errors.New("given up")
	keep := rapid.Float64Range(0, 1).Draw(t, "luck") < 0.8
	err := s.Update(func(tx *storage.Tx) error {
		for range rapid.IntRange(1, 6).Draw(t, "writes") {
			write(t, tx, next)
		}
		compare(t, tx, next)
		if !keep {
			return giveUp
		}
		return nil
	})
	switch {
	case keep && err == nil:
		return next
	case !keep && err == giveUp:
		return m
	}
	t.Fatalf("transaction answered %v", err)
	return nil
}

func write(t *rapid.T, tx *storage.Tx, m model) {
	a := drawApp(t)
	var got error
	var want api.Code
	switch rapid.SampledFrom([]string{"put", "put", "put", "delete", "discard", "reindex"}).Draw(t, "verb") {
	case "put":
		got, want = apps().Put(tx, a), m.put(a)
	case "delete":
		got, want = apps().Delete(tx, a.ID), m.delete(a.ID)
	case "discard":
		got, want = apps().Discard(tx, a.ID), m.delete(a.ID)
	case "reindex":
		got = apps().Reindex(tx)
	}
	if api.CodeOf(got) != want {
		t.Fatalf("answered %v, want %q", got, want)
	}
}

// compare reads the table in every way.
func compare(t *rapid.T, tx *storage.Tx, m model) {
	table := apps()
	prefix := rapid.SampledFrom([]string{"", "p", "p/", "q/", "z"}).Draw(t, "prefix")
	after := rapid.SampledFrom([]string{"", "a", "b", "bb"}).Draw(t, "after")
	limit := rapid.IntRange(1, 4).Draw(t, "limit")
	id := func(a app) string { return a.ID }
	equal(t, "list", m.sorted(id, "", ""), all(t, func(q storage.Query) (storage.Page[app], error) { return table.List(tx, q) }, storage.Query{Limit: limit}))
	byName := func(q storage.Query) (storage.Page[app], error) { return table.ListBy(tx, "name", q) }
	equal(t, "list by name", m.sorted(nameOf, prefix, after), all(t, byName, storage.Query{Prefix: prefix, After: after, Limit: limit}))
	byModel := func(q storage.Query) (storage.Page[app], error) { return table.ListBy(tx, "model", q) }
	modelOf := func(a app) string {
		if a.Model == "" {
			return ""
		}
		return a.Model + "\x00" + a.ID
	}
	equal(t, "list by model", m.sorted(modelOf, "paas", ""), all(t, byModel, storage.Query{Prefix: "paas", Limit: limit}))
	for _, a := range m {
		got, err := table.GetBy(tx, "name", nameOf(a))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "get by name", []app{a}, []app{got})
	}
	if n, err := table.Count(tx, ""); err != nil || n != len(m) {
		t.Fatalf("count %d, %v; want %d", n, err, len(m))
	}
}

// all follows the pages to the end.
func all(t *rapid.T, list func(storage.Query) (storage.Page[app], error), q storage.Query) []app {
	out := []app{}
	for {
		page, err := list(q)
		if err != nil || len(page.Items) > q.Limit {
			t.Fatalf("page of %d, limit %d, %v", len(page.Items), q.Limit, err)
		}
		out = append(out, page.Items...)
		if page.Next == "" {
			return out
		}
		q.After = page.Next
	}
}

func equal(t *rapid.T, what string, want, got []app) {
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s:\n%s", what, diff)
	}
}
