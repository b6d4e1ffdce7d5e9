package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"nuage/api"
	"nuage/storage"
)

type app struct {
	ID      string `json:"id"`
	Project string `json:"project"`
	Name    string `json:"name"`
	Model   string `json:"model,omitempty"`
	Scale   int    `json:"scale,omitempty"`
}

func apps() *storage.Table[app] {
	return storage.NewTable("apps", func(a *app) string { return a.ID },
		storage.Unique("name", func(a *app) string { return a.Project + "/" + a.Name }),
		storage.Many("model", func(a *app) string { return a.Model }))
}

func fixedTime() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func testOptions() storage.Options {
	return storage.Options{
		NewCloudID: func() string { return "cloud-1" }, Now: fixedTime, LockTimeout: 100 * time.Millisecond,
		Address: "127.0.0.1:7070", NoSync: true,
	}
}

func openAt(t *testing.T, path string, opts storage.Options) *storage.Store {
	t.Helper()
	s, err := storage.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func newStore(t *testing.T) *storage.Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "state.db"), testOptions())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks the code and the whole message; PATH in it stands for path.
func wantError(t *testing.T, err error, code api.Code, path, message string) {
	t.Helper()
	message = strings.ReplaceAll(message, "PATH", path)
	if !errors.Is(err, code) || err.Error() != message {
		t.Errorf("error:\n got %s: %v\nwant %s: %s", api.CodeOf(err), err, code, message)
	}
}

// raw opens the file without the package, to look at it or to break it.
func raw(t *testing.T, path string, fn func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	must(t, err)
	must(t, db.Update(fn))
	must(t, db.Close())
}

func TestOpenCreatesPrivateFileOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	ids := []string{"cloud-1", "cloud-2"}
	opts := testOptions()
	opts.NewCloudID = func() string { id := ids[0]; ids = ids[1:]; return id }
	for range 2 {
		s, err := storage.Open(path, opts)
		must(t, err)
		if s.CloudID() != "cloud-1" || s.Path() != path {
			t.Errorf("cloud %q at %q, want cloud-1 at %q", s.CloudID(), s.Path(), path)
		}
		must(t, s.Close())
		must(t, s.Close())
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", info.Mode().Perm())
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	foreign := filepath.Join(dir, "foreign.db")
	raw(t, foreign, func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("other")); return err })
	noID := testOptions()
	noID.NewCloudID = nil
	cases := []struct {
		name, path string
		opts       storage.Options
		code       api.Code
		message    string
	}{
		{"text file", write("text.db", strings.Repeat("no store ", 2000)), testOptions(), api.Invalid,
			`cannot open "PATH": it is no nuage store or it is damaged (invalid database); restore a backup or choose another home`},
		{"other program", foreign, testOptions(), api.Invalid,
			`cannot open "PATH": it is a bbolt file of another program; choose another home`},
		{"missing folder", filepath.Join(dir, "no", "state.db"), testOptions(), api.Unavailable,
			`cannot open "PATH": open PATH: no such file or directory; create the folder first`},
		{"no cloud yet", filepath.Join(dir, "new.db"), noID, api.NotFound,
			`cannot open "PATH": there is no cloud yet; start one with "nuage up"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := storage.Open(c.path, c.opts)
			wantError(t, err, c.code, c.path, c.message)
		})
	}
}

// TestEqualWritesCostNothing: what changes nothing leaves the file as it is, byte for byte.
func TestEqualWritesCostNothing(t *testing.T) {
	s, put := newStore(t), putAll(apps(), app{ID: "1", Name: "a"})
	update(t, s, put)
	before, err := os.ReadFile(s.Path())
	must(t, err)
	update(t, s, put)
	must(t, s.Commit(t.Context(), put))
	update(t, s, func(*storage.Tx) error { return nil })
	after, err := os.ReadFile(s.Path())
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("an equal write was committed")
	}
}

func TestHolderFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := storage.Open(path, testOptions())
	must(t, err)
	must(t, s.Announce("127.0.0.1:7171"))
	got, err := storage.ReadHolder(path)
	must(t, err)
	want := storage.Holder{PID: os.Getpid(), Address: "127.0.0.1:7171", Since: fixedTime()}
	if got != want {
		t.Errorf("holder %+v, want %+v", got, want)
	}
	must(t, s.Close())
	_, err = storage.ReadHolder(path)
	wantError(t, err, api.NotFound, path, `cannot tell who holds "PATH": open PATH.holder: no such file or directory`)
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	must(t, err)
	if len(left) != 1 {
		t.Errorf("files left: %v, want the store alone", left)
	}
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	s, table := newStore(t), apps()
	refused := errors.New("refused")
	err := s.Update(func(tx *storage.Tx) error {
		must(t, table.Put(tx, app{ID: "app-1", Project: "p", Name: "web"}))
		return refused
	})
	if err != refused {
		t.Errorf("error %v, want the function's own", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = s.Update(func(tx *storage.Tx) error {
			must(t, table.Put(tx, app{ID: "app-1", Project: "p", Name: "web"}))
			panic("in between")
		})
	}()
	must(t, s.Update(func(tx *storage.Tx) error {
		if table.Has(tx, "app-1") {
			t.Error("a failed update left a record")
		}
		return nil
	}))
	err = s.View(func(tx *storage.Tx) error { return table.Put(tx, app{ID: "app-1", Project: "p", Name: "web"}) })
	wantError(t, err, api.Internal, "", `cannot write apps "by:name": tx not writable`)
}

func TestClosedStore(t *testing.T) {
	s := newStore(t)
	must(t, s.Close())
	nothing := func(*storage.Tx) error { return nil }
	_, statsErr := s.Stats()
	_, backupErr := s.Backup(&strings.Builder{})
	for name, err := range map[string]error{
		"view": s.View(nothing), "update": s.Update(nothing), "commit": s.Commit(t.Context(), nothing), "stats": statsErr,
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, err, api.Unavailable, s.Path(), `cannot use "PATH": the store is closed`)
		})
	}
	wantError(t, backupErr, api.Unavailable, s.Path(), `cannot back up "PATH": cannot use "PATH": the store is closed`)
}

func TestOnCommit(t *testing.T) {
	s, table, log := newStore(t), apps(), receipts()
	var seen []string
	cancel := s.OnCommit(func(c storage.Change) { seen = append(seen, fmt.Sprint(c.Tables, c.Logs)) })
	put := func(scale int) func(*storage.Tx) error {
		return func(tx *storage.Tx) error {
			return table.Put(tx, app{ID: "app-1", Project: "p", Name: "web", Scale: scale})
		}
	}
	appendOne := func(tx *storage.Tx) error { _, err := log.Append(tx, someReceipt(1)); return err }
	must(t, s.Update(put(1)))
	must(t, s.Update(put(1))) // equal: nothing to write
	must(t, s.Update(func(*storage.Tx) error { return nil }))
	must(t, s.Update(appendOne))
	must(t, s.Update(func(tx *storage.Tx) error { return errors.Join(put(2)(tx), appendOne(tx)) }))
	_ = s.Update(func(tx *storage.Tx) error { must(t, put(3)(tx)); return errors.New("no") })
	cancel()
	must(t, s.Update(put(4)))
	want := "[apps] []; [] [receipts]; [apps] [receipts]"
	if got := strings.Join(seen, "; "); got != want {
		t.Errorf("commits seen: %s\nwant: %s", got, want)
	}
}
