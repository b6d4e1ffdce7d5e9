package storage_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
	"nuage/storage"
)

// update runs fn in an Update and view in a View; an error fails the test.
func update(t *testing.T, s *storage.Store, fn func(tx *storage.Tx) error) {
	t.Helper()
	must(t, s.Update(fn))
}

func view(t *testing.T, s *storage.Store, fn func(tx *storage.Tx)) {
	t.Helper()
	must(t, s.View(func(tx *storage.Tx) error { fn(tx); return nil }))
}

func putAll(table *storage.Table[app], all ...app) func(*storage.Tx) error {
	return func(tx *storage.Tx) error {
		for _, a := range all {
			if err := table.Put(tx, a); err != nil {
				return err
			}
		}
		return nil
	}
}

func names(all []app) string {
	out := ""
	for _, a := range all {
		out += a.Name + " "
	}
	return out
}

func threeApps() []app {
	return []app{
		{ID: "app-3", Project: "default", Name: "blog", Model: "paas"},
		{ID: "app-1", Project: "default", Name: "web", Model: "paas"},
		{ID: "app-2", Project: "default", Name: "shop", Model: "iaas"},
		{ID: "app-4", Project: "other", Name: "web", Model: "paas"},
	}
}

func TestTableReads(t *testing.T) {
	s, table := newStore(t), apps()
	view(t, s, func(tx *storage.Tx) { // before anything was written
		page, err := table.List(tx, storage.Query{})
		must(t, err)
		if len(page.Items) != 0 || page.Items == nil || page.Next != "" {
			t.Errorf("empty table lists %#v, want an empty slice", page)
		}
	})
	update(t, s, putAll(table, threeApps()...))
	view(t, s, func(tx *storage.Tx) {
		byID, err := table.Get(tx, "app-2")
		must(t, err)
		byName, err := table.GetBy(tx, "name", "default/shop")
		must(t, err)
		if diff := cmp.Diff([]app{threeApps()[2], threeApps()[2]}, []app{byID, byName}); diff != "" {
			t.Error(diff)
		}
		var order string
		must(t, table.Each(tx, "", func(a app) error { order += a.ID + " "; return nil }))
		must(t, table.EachBy(tx, "model", "paas\x00", func(a app) error { order += a.ID + " "; return nil }))
		must(t, table.Each(tx, "app-", func(a app) error { order += a.ID + " "; return storage.Stop }))
		if want := "app-1 app-2 app-3 app-4 app-1 app-3 app-4 app-1 "; order != want {
			t.Errorf("walks saw %s, want %s", order, want)
		}
		if n, err := table.Count(tx, ""); err != nil || n != 4 {
			t.Errorf("count %d, %v; want 4", n, err)
		}
	})
}

func TestTablePaging(t *testing.T) {
	s, table := newStore(t), apps()
	update(t, s, putAll(table, threeApps()...))
	cases := []struct {
		name        string
		query       storage.Query
		items, next string
	}{
		{"all of a project", storage.Query{Prefix: "default/"}, "blog shop web ", ""},
		{"first page", storage.Query{Prefix: "default/", Limit: 2}, "blog shop ", "shop"},
		{"second page", storage.Query{Prefix: "default/", Limit: 2, After: "shop"}, "web ", ""},
		{"exact end", storage.Query{Prefix: "default/", Limit: 3}, "blog shop web ", ""},
		{"after what is gone", storage.Query{Prefix: "default/", After: "cart"}, "shop web ", ""},
		{"after the end stays in the project", storage.Query{Prefix: "default/", After: "zzz"}, "", ""},
		{"unknown project", storage.Query{Prefix: "none/"}, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			check := func(tx *storage.Tx) error {
				page, err := table.ListBy(tx, "name", c.query)
				must(t, err)
				if names(page.Items) != c.items || page.Next != c.next {
					t.Errorf("got %q next %q, want %q next %q", names(page.Items), page.Next, c.items, c.next)
				}
				return nil
			}
			must(t, s.View(check))
			must(t, s.Update(check))
		})
	}
}

func TestTableErrors(t *testing.T) {
	s, table := newStore(t), apps()
	update(t, s, putAll(table, threeApps()...))
	cases := []struct {
		name    string
		do      func(tx *storage.Tx) error
		code    api.Code
		message string
	}{
		{"get", func(tx *storage.Tx) error { _, err := table.Get(tx, "app-9"); return err },
			api.NotFound, `cannot find "app-9" in apps`},
		{"get by", func(tx *storage.Tx) error { _, err := table.GetBy(tx, "name", "default/none"); return err },
			api.NotFound, `cannot find "default/none" in apps`},
		{"get by unknown index", func(tx *storage.Tx) error { _, err := table.GetBy(tx, "colour", "red"); return err },
			api.Internal, `cannot read apps by "colour": there is no such index`},
		{"get by many", func(tx *storage.Tx) error { _, err := table.GetBy(tx, "model", "paas"); return err },
			api.Internal, `cannot read one of apps by "model": the index is not unique`},
		{"insert existing", func(tx *storage.Tx) error { return table.Insert(tx, app{ID: "app-1"}) },
			api.Conflict, `cannot create "app-1" in apps: it exists already`},
		{"taken name", func(tx *storage.Tx) error { return table.Put(tx, app{ID: "app-9", Project: "default", Name: "web"}) },
			api.Conflict, `cannot write "app-9" in apps: name "default/web" is taken by "app-1"; choose another one or delete that first`},
		{"rename to taken", func(tx *storage.Tx) error { return table.Put(tx, app{ID: "app-2", Project: "default", Name: "web"}) },
			api.Conflict, `cannot write "app-2" in apps: name "default/web" is taken by "app-1"; choose another one or delete that first`},
		{"empty key", func(tx *storage.Tx) error { return table.Put(tx, app{Name: "x"}) },
			api.Invalid, `cannot write apps: the key is empty`},
		{"zero byte", func(tx *storage.Tx) error { return table.Put(tx, app{ID: "app-9", Name: "a\x00b"}) },
			api.Invalid, `cannot write apps: name "/a\x00b" holds a zero byte`},
		{"delete absent", func(tx *storage.Tx) error { return table.Delete(tx, "app-9") },
			api.NotFound, `cannot find "app-9" in apps`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { wantError(t, s.Update(c.do), c.code, "", c.message) })
	}
}

func TestTableMovesIndexes(t *testing.T) {
	s, table := newStore(t), apps()
	update(t, s, putAll(table, threeApps()...))
	update(t, s, func(tx *storage.Tx) error {
		return errors.Join(table.Put(tx, app{ID: "app-1", Project: "default", Name: "site"}), table.Delete(tx, "app-3"),
			table.Put(tx, app{ID: "app-5", Project: "default", Name: "web", Model: "faas"}))
	})
	view(t, s, func(tx *storage.Tx) {
		all, err := table.ListBy(tx, "name", storage.Query{})
		must(t, err)
		models, err := table.ListBy(tx, "model", storage.Query{})
		must(t, err)
		got := fmt.Sprint(all.Items, models.Items)
		want := "[{app-2 default shop iaas 0} {app-1 default site  0} {app-5 default web faas 0} {app-4 other web paas 0}]" +
			" [{app-5 default web faas 0} {app-2 default shop iaas 0} {app-4 other web paas 0}]"
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

func TestTableMayBeChangedWhileWalked(t *testing.T) {
	s, table := newStore(t), apps()
	seen := 0
	update(t, s, func(tx *storage.Tx) error {
		for i := range 500 {
			must(t, table.Put(tx, app{ID: fmt.Sprintf("app-%03d", i), Name: fmt.Sprint(i), Model: "paas"}))
		}
		return table.EachBy(tx, "model", "paas\x00", func(a app) error { seen++; return table.Delete(tx, a.ID) })
	})
	view(t, s, func(tx *storage.Tx) {
		if n, err := table.Count(tx, ""); n != 0 || err != nil || seen != 500 {
			t.Errorf("%d left, %d seen, %v; want none and 500", n, seen, err)
		}
	})
}
