package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"nuage/api"
)

// Backup writes a consistent copy of the store to w while the cloud runs and returns its size in bytes. The copy is
// spooled into a file beside the store first, so that a slow w holds up nobody; that takes as much free disk. Sealed
// secrets in it need the key file, which is not part of it. Errors: unavailable when the disk or w fails.
func (s *Store) Backup(w io.Writer) (int64, error) {
	spool, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".backup-*")
	if err != nil {
		return 0, unavailable(err, "cannot back up %q", s.path)
	}
	n, err := s.copyThrough(spool, w)
	if err := errors.Join(err, spool.Close(), os.Remove(spool.Name())); err != nil {
		return n, unavailable(err, "cannot back up %q", s.path)
	}
	return n, nil
}

func (s *Store) copyThrough(spool *os.File, w io.Writer) (int64, error) {
	err := s.View(func(tx *Tx) error {
		_, err := tx.bolt.WriteTo(spool)
		return err
	})
	if err != nil {
		return 0, err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	return io.Copy(w, spool)
}

// Restore puts the copy read from r in place of the store at path, which need not exist. The copy is checked first:
// every page, the meta bucket, a schema that opts.Migrations know. The old file stays as path + ".before-restore".
//
// Errors: conflict when a running cloud holds the store; invalid when the copy is damaged or no store; unsupported when
// a newer nuage wrote it; unavailable when the disk or r fails. After any error the old store is untouched.
func Restore(path string, r io.Reader, opts Options) error {
	release, err := lockForRestore(path)
	if err != nil {
		return err
	}
	err = restoreLocked(path, r, opts.withDefaults())
	return errors.Join(err, release())
}

func restoreLocked(path string, r io.Reader, opts Options) error {
	temp, err := spoolCopy(path, r)
	if err != nil {
		return unavailable(err, "cannot restore %q", path)
	}
	if err := verify(temp, opts); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := swap(temp, path); err != nil {
		return errors.Join(unavailable(err, "cannot restore %q", path), os.Remove(temp))
	}
	return nil
}

// lockForRestore holds the store at path, if there is one, until release. A file too damaged to be opened has no
// holder, and replacing it is what a restore is for.
func lockForRestore(path string) (release func() error, err error) {
	nothing := func() error { return nil }
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nothing, nil
	}
	db, err := openSafely(path, &bbolt.Options{Timeout: 200 * time.Millisecond})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, heldError(path)
	}
	if err != nil {
		return nothing, nil //nolint:nilerr // see above
	}
	return db.Close, nil
}

// openSafely is bbolt.Open for files of doubtful content, on which bbolt may panic.
func openSafely(path string, opts *bbolt.Options) (db *bbolt.DB, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("damaged file: %v", v)
		}
	}()
	return bbolt.Open(path, 0o600, opts)
}

func spoolCopy(path string, r io.Reader) (temp string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".restore-*")
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, r)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// verify checks a copy before it is trusted.
func verify(copied string, opts Options) error {
	db, err := openSafely(copied, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: time.Second})
	if err != nil {
		return api.Errorf(api.Invalid, "cannot restore: the backup is no nuage store or it is damaged: %w; take another backup file", err)
	}
	err = db.View(func(bolt *bbolt.Tx) error { return verifyContent(&Tx{bolt: bolt}, opts) })
	return errors.Join(err, db.Close())
}

func verifyContent(tx *Tx, opts Options) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = api.Errorf(api.Invalid, "cannot restore: the backup is damaged: %v; take another backup file", v)
		}
	}()
	for problem := range tx.bolt.Check() {
		err = problem
	}
	if err != nil {
		return api.Errorf(api.Invalid, "cannot restore: the backup is damaged: %w; take another backup file", err)
	}
	if tx.meta(metaCloud) == "" {
		return api.Errorf(api.Invalid, "cannot restore: the backup is a bbolt file of another program; take another backup file")
	}
	_, err = tx.schema(len(opts.Migrations))
	return err
}

// swap moves temp to path, keeping what was there. At every moment there is a whole file at path.
func swap(temp, path string) error {
	before := path + ".before-restore"
	if err := os.Remove(before); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := keep(path, before); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// keep gives the file at path a second name; where the file system has no hard links, it is moved.
func keep(path, before string) error {
	err := os.Link(path, before)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return os.Rename(path, before)
}
