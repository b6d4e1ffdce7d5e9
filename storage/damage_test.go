package storage_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"nuage/api"
	"nuage/storage"
)

// damagedStore has the apps 1 to 3 and ten calls; app 2 and call 5 do not decode, app 3 says it is another.
func damagedStore(t *testing.T) (path string, logged *bytes.Buffer, opts storage.Options) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "state.db")
	s, err := storage.Open(path, testOptions())
	must(t, err)
	update(t, s, putAll(apps(), app{ID: "1", Name: "a", Model: "m"}, app{ID: "2", Name: "b", Model: "m"}, app{ID: "3", Name: "c", Model: "m"}))
	update(t, s, func(tx *storage.Tx) error {
		for i := range 10 {
			if _, err := calls().Append(tx, call{Function: "f", N: i}); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, s.Close())
	raw(t, path, func(tx *bbolt.Tx) error {
		records := tx.Bucket([]byte("tables")).Bucket([]byte("apps")).Bucket([]byte("records"))
		must(t, records.Put([]byte("2"), []byte(`{"id":"2","scale":"many"`)))
		must(t, records.Put([]byte("3"), []byte(`{"id":"1"}`)))
		return tx.Bucket([]byte("logs")).Bucket([]byte("calls")).Bucket([]byte("records")).Put([]byte{0, 0, 0, 0, 0, 0, 0, 5}, []byte(`[]`))
	})
	logged = &bytes.Buffer{}
	opts = testOptions()
	opts.Logger = slog.New(slog.NewTextHandler(logged, nil))
	return path, logged, opts
}

// readAll walks everything there is, three times over.
func readAll(t *testing.T, s *storage.Store) string {
	t.Helper()
	var seen string
	for range 3 {
		seen = ""
		view(t, s, func(tx *storage.Tx) {
			must(t, apps().EachBy(tx, "model", "", func(a app) error { seen += a.ID; return nil }))
			page, err := apps().List(tx, storage.Query{})
			must(t, err)
			entries, err := calls().LastBy(tx, "function", "f", 0, 100)
			must(t, err)
			seen += fmt.Sprintf(" %d %d", len(page.Items), len(entries))
		})
	}
	return seen
}

func damagedText(s *storage.Store) string {
	var out []string
	for _, d := range s.Damaged() {
		out = append(out, d.Kind+"/"+d.Name+"/"+d.Key+": "+d.Error)
	}
	return strings.Join(out, "\n")
}

const threeDamaged = `logs/calls/5: json: cannot unmarshal array into Go value of type storage_test.call
tables/apps/2: unexpected end of JSON input
tables/apps/3: the record says its key is "1"`

func TestDamagedRecordsAreSkippedMarkedAndLoggedOnce(t *testing.T) {
	path, logged, opts := damagedStore(t)
	s, err := storage.Open(path, opts)
	must(t, err)
	if got, want := readAll(t, s), "1 1 9"; got != want {
		t.Errorf("read %s, want %s", got, want)
	}
	if got := damagedText(s); got != threeDamaged {
		t.Errorf("damaged:\n%s\nwant:\n%s", got, threeDamaged)
	}
	if n := strings.Count(logged.String(), "record does not decode"); n != 3 {
		t.Errorf("logged %d times, want 3:\n%s", n, logged)
	}
	update(t, s, putAll(apps(), app{ID: "4", Name: "d"})) // the marks go along with any commit
	must(t, s.Close())

	s = openAt(t, path, opts)
	if got := damagedText(s); got != threeDamaged {
		t.Errorf("damaged after a restart:\n%s\nwant:\n%s", got, threeDamaged)
	}
	if st, err := s.Stats(); err != nil || st.Damaged != 3 || !s.Damaged()[0].Since.Equal(fixedTime()) {
		t.Errorf("stats %+v, %v; want 3 damaged since %s", st, err, fixedTime())
	}
}

func TestDamagedRecordsAreLeftAlone(t *testing.T) {
	path, _, opts := damagedStore(t)
	s := openAt(t, path, opts)
	table := apps()
	do := func(fn func(tx *storage.Tx) error) error { return s.Update(fn) }
	damaged := `cannot read "2" in apps: the record is damaged: unexpected end of JSON input`
	wantError(t, s.View(func(tx *storage.Tx) error { _, err := table.Get(tx, "2"); return err }), api.Internal, "", damaged)
	wantError(t, s.View(func(tx *storage.Tx) error { _, err := table.GetBy(tx, "name", "/b"); return err }), api.Internal, "", damaged)
	wantError(t, do(putAll(table, app{ID: "2", Name: "b"})), api.Internal, "", damaged)
	wantError(t, do(func(tx *storage.Tx) error { return table.Delete(tx, "2") }), api.Internal, "", damaged)
	wantError(t, do(putAll(table, app{ID: "9", Name: "b"})), api.Conflict, "",
		`cannot write "9" in apps: name "/b" is taken by "2"; choose another one or delete that first`)
	update(t, s, func(tx *storage.Tx) error {
		n, err := calls().Trim(tx, 100, 100)
		if n != 9 {
			t.Errorf("trimmed %d, want all but the damaged one", n)
		}
		return err
	})
	must(t, s.Close())
	raw(t, path, func(tx *bbolt.Tx) error {
		if got := string(tx.Bucket([]byte("tables")).Bucket([]byte("apps")).Bucket([]byte("records")).Get([]byte("2"))); got != `{"id":"2","scale":"many"` {
			t.Errorf("the damaged record is now %q", got)
		}
		return nil
	})
}

func TestDiscardGivesUpADamagedRecord(t *testing.T) {
	path, _, opts := damagedStore(t)
	s := openAt(t, path, opts)
	table := apps()
	readAll(t, s)
	update(t, s, func(tx *storage.Tx) error { return table.Discard(tx, "2") })
	update(t, s, putAll(table, app{ID: "9", Name: "b", Model: "m"}))
	wantError(t, s.Update(func(tx *storage.Tx) error { return table.Discard(tx, "2") }), api.NotFound, "", `cannot find "2" in apps`)
	if got, want := readAll(t, s), "19 2 9"; got != want {
		t.Errorf("read %s, want %s", got, want)
	}
	if got := damagedText(s); strings.Contains(got, "apps/2") || !strings.Contains(got, "apps/3") {
		t.Errorf("damaged:\n%s\nwant 3 and not 2", got)
	}
}

func TestMigrationHealsDamage(t *testing.T) {
	path, _, opts := damagedStore(t)
	s, err := storage.Open(path, opts)
	must(t, err)
	readAll(t, s)
	update(t, s, putAll(apps(), app{ID: "4", Name: "d", Model: "m"}))
	must(t, s.Close())
	opts.Migrations = []storage.Migration{{Name: "repair", Run: func(tx *storage.Tx) error {
		return tx.Rewrite("apps", func(key string, value []byte) ([]byte, error) {
			return []byte(fmt.Sprintf(`{"id":%q,"name":%q,"model":"m"}`, key, "app"+key)), nil
		})
	}}, {Name: "reindex", Run: func(tx *storage.Tx) error { return apps().Reindex(tx) }}}
	s = openAt(t, path, opts)
	if got, want := readAll(t, s), "1234 4 9"; got != want {
		t.Errorf("read %s, want %s", got, want)
	}
	if got, want := damagedText(s), strings.SplitN(threeDamaged, "\n", 2)[0]; got != want {
		t.Errorf("damaged:\n%s\nwant:\n%s", got, want)
	}
}
