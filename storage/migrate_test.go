package storage_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"nuage/api"
	"nuage/storage"
)

// oldApp is the shape of schema 0.
type oldApp struct {
	ID    string `json:"id"`
	Title string `json:"title"`
}

func renameTitle(tx *storage.Tx) error {
	return tx.Rewrite("apps", func(key string, value []byte) ([]byte, error) {
		var old oldApp
		if err := json.Unmarshal(value, &old); err != nil {
			return nil, err
		}
		if old.Title == "" {
			return nil, nil
		}
		return json.Marshal(app{ID: key, Project: "default", Name: old.Title})
	})
}

func migrations(trace *[]string) []storage.Migration {
	traced := func(name string, run func(*storage.Tx) error) storage.Migration {
		return storage.Migration{Name: name, Run: func(tx *storage.Tx) error { *trace = append(*trace, name); return run(tx) }}
	}
	return []storage.Migration{
		traced("apps have a project", renameTitle),
		traced("apps are found by name", func(tx *storage.Tx) error { return apps().Reindex(tx) }),
		traced("drafts are gone", func(tx *storage.Tx) error { return tx.DropTable("drafts") }),
	}
}

func oldStore(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := storage.Open(path, testOptions())
	must(t, err)
	table := storage.NewTable("apps", func(a *oldApp) string { return a.ID })
	drafts := storage.NewTable("drafts", func(a *oldApp) string { return a.ID })
	must(t, s.Update(func(tx *storage.Tx) error {
		return errors.Join(table.Put(tx, oldApp{"app-1", "web"}), table.Put(tx, oldApp{"app-2", ""}),
			table.Put(tx, oldApp{"app-3", "shop"}), drafts.Put(tx, oldApp{"d-1", "x"}))
	}))
	must(t, s.Close())
	return path
}

func TestMigrationsRunInOrderAndOnce(t *testing.T) {
	path := oldStore(t)
	var trace []string
	opts := testOptions()
	for range 2 {
		opts.Migrations = migrations(&trace)[:1]
		s, err := storage.Open(path, opts)
		must(t, err)
		must(t, s.Close())
	}
	opts.Migrations = migrations(&trace)
	s := openAt(t, path, opts)
	if got, want := strings.Join(trace, "; "), "apps have a project; apps are found by name; drafts are gone"; got != want {
		t.Errorf("migrations run: %s\nwant: %s", got, want)
	}
	must(t, s.View(func(tx *storage.Tx) error {
		page, err := apps().ListBy(tx, "name", storage.Query{Prefix: "default/"})
		must(t, err)
		if got, want := fmt.Sprint(page.Items), "[{app-3 default shop  0} {app-1 default web  0}]"; got != want {
			t.Errorf("after migration: %s, want %s", got, want)
		}
		n, err := storage.NewTable("drafts", func(a *oldApp) string { return a.ID }).Count(tx, "")
		must(t, err)
		if n != 0 {
			t.Errorf("%d drafts left", n)
		}
		return nil
	}))
}

func TestFailedMigrationChangesNothing(t *testing.T) {
	path := oldStore(t)
	var trace []string
	opts := testOptions()
	opts.Migrations = append(migrations(&trace)[:1], storage.Migration{Name: "breaks", Run: func(*storage.Tx) error { return errors.New("no luck") }})
	_, err := storage.Open(path, opts)
	wantError(t, err, api.Internal, path, `cannot open "PATH": migration 2 (breaks) failed: no luck; nothing was changed`)
	opts.Migrations = nil
	s := openAt(t, path, opts)
	must(t, s.View(func(tx *storage.Tx) error {
		got, err := storage.NewTable("apps", func(a *oldApp) string { return a.ID }).Get(tx, "app-1")
		must(t, err)
		if got.Title != "web" {
			t.Errorf("app-1 is %+v, want the old shape", got)
		}
		return nil
	}))
}

func TestNewFileGetsAllMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	var trace []string
	opts := testOptions()
	opts.Migrations = migrations(&trace)
	s, err := storage.Open(path, opts)
	must(t, err)
	must(t, s.Close())
	if len(trace) != 3 {
		t.Errorf("migrations run: %v, want all three", trace)
	}
}

func TestNewerAndBrokenSchemaAreRefused(t *testing.T) {
	cases := []struct {
		schema  string
		code    api.Code
		message string
	}{
		{"7", api.Unsupported, `cannot open "PATH": a newer nuage wrote it (schema 7, this one knows 0); use that version or an older backup`},
		{"many", api.Invalid, `cannot open "PATH": its schema version "many" is no number; take another backup file`},
	}
	for _, c := range cases {
		path := oldStore(t)
		raw(t, path, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte(c.schema)) })
		_, err := storage.Open(path, testOptions())
		wantError(t, err, c.code, path, c.message)
	}
}
