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

// Backup writes a consistent copy of the store to w while the cloud runs and returns its size in bytes. The copy ends
// with a checksum, so that Restore notices any change to it. It is spooled into a file beside the store first, so that a
// slow w holds up nobody; that takes as much free disk. Sealed secrets in it need the key file, which is not part of
// it. Errors: unavailable when the disk or w fails.
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
	sealed := Seal(spool)
	err := s.View(func(tx *Tx) error {
		_, err := tx.bolt.WriteTo(sealed)
		return err
	})
	if err == nil {
		err = sealed.Close()
	}
	if err != nil {
		return 0, err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	return io.Copy(w, spool)
}

// Restore puts the backup read from r in place of the store at path, which need not exist. The backup is checked first:
// its checksum, bbolt's own rules, the meta bucket, a schema that opts.Migrations know. The old file stays as path +
// ".before-restore"; an older one of that name goes.
//
// Errors: conflict when a running cloud holds the store; invalid when r is no backup, is damaged or cut short;
// unsupported when a newer nuage wrote it; unavailable when the disk or r fails. After any error the store is as it was.
func Restore(path string, r io.Reader, opts Options) error {
	release, err := lockForRestore(path)
	if err != nil {
		return err
	}
	err = restoreLocked(path, r, opts.withDefaults())
	return errors.Join(err, release())
}

func restoreLocked(path string, r io.Reader, opts Options) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".restore-*")
	if err != nil {
		return unavailable(err, "cannot restore %q", path)
	}
	err = spool(temp, r)
	key := ""
	if err == nil {
		key, err = verify(temp.Name(), opts)
	}
	if err == nil && opts.BeforeSwap != nil {
		err = opts.BeforeSwap(key)
	}
	if err == nil {
		err = swap(temp.Name(), path)
	}
	if err == nil {
		return nil
	}
	return errors.Join(unlessCoded(err, "cannot restore %q", path), os.Remove(temp.Name()))
}

// spool writes the content of a backup to f, checked and durable, and closes f.
func spool(f *os.File, r io.Reader) error {
	_, err := io.Copy(f, r)
	if err == nil {
		err = cutTrailer(f)
	}
	return errors.Join(err, f.Sync(), f.Close())
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

func damagedBackup(cause error) error {
	return api.Errorf(api.Invalid, "cannot restore: the file is no backup of a nuage store or it is damaged: %w; take another backup file", cause)
}

// verify checks the content of a copy: its store may have been damaged before the backup was made. It returns the fingerprint of the
// copy's key.
func verify(copied string, opts Options) (key string, err error) {
	db, err := openSafely(copied, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return "", damagedBackup(err)
	}
	err = db.View(func(bolt *bbolt.Tx) error {
		tx := &Tx{bolt: bolt}
		if err := verifyContent(tx, opts); err != nil {
			return err
		}
		key = tx.meta(metaKey)
		return nil
	})
	return key, errors.Join(err, db.Close())
}

func verifyContent(tx *Tx, opts Options) (err error) {
	for problem := range tx.bolt.Check() {
		err = errors.Join(err, problem)
	}
	if err != nil {
		return damagedBackup(err)
	}
	if tx.meta(metaCloud) == "" {
		return api.Errorf(api.Invalid, "cannot restore: the backup is a store of another program; take another backup file")
	}
	_, err = tx.schema("cannot restore the backup", len(opts.Migrations))
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
