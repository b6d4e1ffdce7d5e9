package storage_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"

	"nuage/api"
	"nuage/storage"
)

// backupOf returns a backup of a store with the given apps.
func backupOf(t *testing.T, all ...app) []byte {
	t.Helper()
	s := newStore(t)
	update(t, s, putAll(apps(), all...))
	var copied bytes.Buffer
	n, err := s.Backup(&copied)
	must(t, err)
	if n != int64(copied.Len()) || n == 0 {
		t.Errorf("backup says %d bytes and wrote %d", n, copied.Len())
	}
	return copied.Bytes()
}

func namesAt(t *testing.T, path string) string {
	t.Helper()
	s, err := storage.Open(path, testOptions())
	must(t, err)
	var got string
	view(t, s, func(tx *storage.Tx) {
		page, err := apps().List(tx, storage.Query{})
		must(t, err)
		got = names(page.Items)
	})
	must(t, s.Close())
	return got
}

// writers count what each of some concurrent writers has committed.
func writers() *storage.Table[counter] {
	return storage.NewTable("writers", func(c *counter) string { return c.ID })
}

// TestBackupUnderLoad: each call adds to the log and to a counter in one commit, so in a consistent copy both agree.
func TestBackupUnderLoad(t *testing.T) {
	s, log, table := newStore(t), calls(), writers()
	ctx, stop := context.WithCancel(t.Context())
	var group errgroup.Group
	for w := range 4 {
		group.Go(func() error {
			for n := int64(1); ctx.Err() == nil; n++ {
				r, err := log.Record(call{Function: fmt.Sprint(w)})
				if err != nil {
					return err
				}
				put := func(tx *storage.Tx) error { return table.Put(tx, counter{ID: fmt.Sprint(w), N: n}) }
				if err := s.Commit(context.Background(), put, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	var copies []*bytes.Buffer
	for range 3 {
		eventually(t, func() bool { st, err := s.Stats(); return err == nil && st.Committed > uint64(500*(len(copies)+1)) })
		copied := &bytes.Buffer{}
		_, err := s.Backup(copied)
		must(t, err)
		copies = append(copies, copied)
	}
	stop()
	must(t, group.Wait())
	for i, copied := range copies {
		checkConsistent(t, i, copied)
	}
}

func checkConsistent(t *testing.T, i int, copied *bytes.Buffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	must(t, storage.Restore(path, copied, testOptions()))
	s := openAt(t, path, testOptions())
	view(t, s, func(tx *storage.Tx) {
		total := int64(0)
		must(t, writers().Each(tx, "", func(c counter) error {
			total += c.N
			entries, err := calls().LastBy(tx, "function", c.ID, 0, 1<<30)
			if int64(len(entries)) != c.N {
				t.Errorf("copy %d: writer %s is at %d with %d records", i, c.ID, c.N, len(entries))
			}
			return err
		}))
		if total < int64(500*(i+1)) || s.CloudID() != "cloud-1" {
			t.Errorf("copy %d of cloud %s has %d records, want %d or more", i, s.CloudID(), total, 500*(i+1))
		}
	})
}

func TestRestoreReplacesAndCarriesOn(t *testing.T) {
	copied := backupOf(t, app{ID: "1", Name: "old"})
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := storage.Open(path, testOptions())
	must(t, err)
	update(t, s, putAll(apps(), app{ID: "1", Name: "new"}))
	err = storage.Restore(path, bytes.NewReader(copied), testOptions())
	if !errors.Is(err, api.Conflict) {
		t.Errorf("restoring over a running cloud answered %v", err)
	}
	must(t, s.Close())
	for range 2 { // an earlier .before-restore is no obstacle
		must(t, storage.Restore(path, bytes.NewReader(copied), testOptions()))
	}
	must(t, storage.Restore(path, bytes.NewReader(backupOf(t, app{ID: "1", Name: "newer"})), testOptions()))
	if got := namesAt(t, path) + namesAt(t, path+".before-restore"); got != "newer old " {
		t.Errorf("restored and kept %q, want %q", got, "newer old ")
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", info.Mode().Perm())
	}
	s = openAt(t, path, testOptions())
	update(t, s, putAll(apps(), app{ID: "2", Name: "carries on"}))
}

func TestRestoreOverADamagedStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	must(t, os.WriteFile(path, bytes.Repeat([]byte("broken"), 10_000), 0o600))
	must(t, storage.Restore(path, bytes.NewReader(backupOf(t, app{ID: "1", Name: "saved"})), testOptions()))
	if got := namesAt(t, path); got != "saved " {
		t.Errorf("restored %q", got)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("the line is cut") }

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("the line is cut") }

func TestRestoreRefusesAndLeavesTheStoreAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	must(t, storage.Restore(path, bytes.NewReader(backupOf(t, app{ID: "1", Name: "mine"})), testOptions()))
	many := make([]app, 200)
	for i := range many {
		many[i] = app{ID: fmt.Sprint(i), Name: strings.Repeat("n", 100) + fmt.Sprint(i)}
	}
	good := backupOf(t, many...)
	altered := func(fn func(tx *bbolt.Tx) error) []byte {
		other := filepath.Join(t.TempDir(), "other.db")
		must(t, os.WriteFile(other, good[:len(good)-48], 0o600))
		raw(t, other, fn)
		data, err := os.ReadFile(other)
		must(t, err)
		return sealed(data)
	}
	newer := altered(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("9")) })
	foreign := altered(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("meta")) })
	const damaged = "cannot restore: the file is no backup of a nuage store or it is damaged: "
	const noEnd = `it does not end as "nuage backup" ends its files`
	cases := []struct {
		name string
		from []byte
		code api.Code
		want string
	}{
		{"empty", nil, api.Invalid, damaged + noEnd},
		{"text", []byte(strings.Repeat("hello", 5000)), api.Invalid, damaged + noEnd},
		{"cut", good[:len(good)-1], api.Invalid, damaged + noEnd},
		{"a bit changed", flip(good, len(good)/2), api.Invalid, damaged + "its checksum does not match"},
		{"checksum changed", flip(good, len(good)-1), api.Invalid, damaged + "its checksum does not match"},
		{"checksum of something else", sealed([]byte("hello")), api.Invalid, damaged + "invalid database"},
		{"newer", newer, api.Unsupported, "cannot restore the backup: a newer nuage wrote it (schema 9, this one knows 0); use that version or an older backup"},
		{"foreign", foreign, api.Invalid, "cannot restore: the backup is a store of another program"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := storage.Restore(path, bytes.NewReader(c.from), testOptions())
			message := c.want
			if c.code == api.Invalid {
				message += "; take another backup file"
			}
			wantError(t, err, c.code, path, message)
			checkOnly(t, path, "mine ")
		})
	}
	err := storage.Restore(path, failingReader{}, testOptions())
	wantError(t, err, api.Unavailable, path, `cannot restore "PATH": the line is cut`)
	checkOnly(t, path, "mine ")
}

// checkOnly checks the names in the store and that no other file lies beside it.
func checkOnly(t *testing.T, path, want string) {
	t.Helper()
	if got := namesAt(t, path); got != want {
		t.Errorf("the store has %q, want %q", got, want)
	}
	left, err := filepath.Glob(path + "*")
	must(t, err)
	if len(left) != 1 {
		t.Errorf("files %v, want the store alone", left)
	}
}

func TestBackupToABrokenWriter(t *testing.T) {
	s := newStore(t)
	_, err := s.Backup(failingWriter{})
	wantError(t, err, api.Unavailable, s.Path(), `cannot back up "PATH": the line is cut`)
	left, err := filepath.Glob(s.Path() + ".backup*")
	must(t, err)
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// sealed ends data as a backup ends.
func sealed(data []byte) []byte {
	sum := sha256.Sum256(data)
	return slices.Concat(data, []byte("nuage backup v1\n"), sum[:])
}

func flip(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 1
	return data
}

// TestRestoreNoticesAnyChange flips a bit and cuts the file at many places.
func TestRestoreNoticesAnyChange(t *testing.T) {
	good := backupOf(t, app{ID: "1", Name: "saved"})
	path := filepath.Join(t.TempDir(), "state.db")
	for at := 0; at < len(good); at += len(good) / 50 {
		for _, broken := range [][]byte{flip(good, at), good[:at]} {
			if err := storage.Restore(path, bytes.NewReader(broken), testOptions()); !errors.Is(err, api.Invalid) {
				t.Errorf("changed or cut at %d of %d: %v, want invalid", at, len(good), err)
			}
		}
	}
}
