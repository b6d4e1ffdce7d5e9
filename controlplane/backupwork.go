package controlplane

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"nuage/api"
	"nuage/storage"
)

const (
	backupTimeout  = 2 * time.Hour
	scratchTimeout = time.Minute // until a scratch server lets clients in
	scratchEvery   = 100 * time.Millisecond
)

func (cp *ControlPlane) backupPath(id string) string {
	return filepath.Join(cp.BlobDir, "backups", id+".dump")
}

// makeBackup takes a backup and verifies it. Each half is one commit, and one that was cut off is done again; what fails for
// another reason than a server or an engine that does not answer is given up, but for the last backup of a database.
func (cp *ControlPlane) makeBackup(ctx context.Context, w *world, b api.Backup) error {
	engine, err := databaseEngineOf(b.Status.Engine)
	if err != nil {
		return err
	}
	contents := contents(w.dumps[b.ID].Contents)
	if b.Status.TakenAt == nil {
		if contents, err = cp.takeBackup(ctx, w, engine, b); err != nil {
			return cp.giveUp(ctx, b, err)
		}
	}
	if err := cp.verifyBackup(ctx, engine, b, contents); err != nil {
		return cp.giveUp(ctx, b, err)
	}
	return cp.changeBackup(b.ID, "verify", fmt.Sprintf("restored into a scratch server: %s", totalsText(engine.name, contents)), func(b *api.Backup, _ *dump) {
		b.Status.Verified = true
	})
}

// giveUp writes down why a backup failed for good. The last backup of a database is taken anew instead.
func (cp *ControlPlane) giveUp(ctx context.Context, b api.Backup, why error) error {
	if ctx.Err() != nil || errors.Is(why, api.Unavailable) {
		return why
	}
	if b.Status.Trigger == api.BackupDeletion {
		return errors.Join(why, cp.retake(b.ID))
	}
	detail := why.Error()
	return cp.changeBackup(b.ID, "failed", detail, func(_ *api.Backup, d *dump) { d.Failed = detail })
}

// retake has a backup taken from the beginning.
func (cp *ControlPlane) retake(id string) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		b, err := backupTable.Get(tx, id)
		if err != nil || b.Status.TakenAt == nil {
			return ignoreGone(err)
		}
		b.Status.TakenAt = nil
		return backupTable.Put(tx, b)
	})
}

// changeBackup changes a backup that is there and records it as the platform's work.
func (cp *ControlPlane) changeBackup(id, verb, detail string, change func(*api.Backup, *dump)) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		b, err := backupTable.Get(tx, id)
		if err != nil || b.DeletedAt != nil {
			return ignoreGone(err)
		}
		d, err := dumpTable.Get(tx, id)
		if err != nil {
			return err
		}
		change(&b, &d)
		if err := errors.Join(backupTable.Put(tx, b), dumpTable.Put(tx, d)); err != nil {
			return err
		}
		return cp.record(tx, platform("backup"), "backup", &b.Meta, verb, detail)
	})
}

// takeBackup dumps a database into the blob store and notes what it held.
func (cp *ControlPlane) takeBackup(ctx context.Context, w *world, e databaseEngine, b api.Backup) (contents, error) {
	d, ok := w.databaseByID(b.Status.DatabaseID)
	if !ok {
		return nil, api.Errorf(api.NotFound, "cannot take backup %q: its database is gone", b.Name)
	}
	at := cp.Now().UTC()
	var messages string
	stored, err := cp.storeDump(b, func(out io.Writer) (err error) {
		p := e.dump(w.logins[d.ID])
		p.Stdout = out
		if _, messages, err = cp.command(ctx, d.ID, fmt.Sprintf("dump database %q", d.Name), p); err != nil {
			return err
		}
		if !strings.Contains(messages, "dumped\n") {
			return api.Errorf(api.Internal, "cannot dump database %q: %s", d.Name, clip(lastWords(messages)))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	held := readContents(messages)
	tables, rows := held.totals()
	return held, cp.changeBackup(b.ID, "take", fmt.Sprintf("%s in %s", totalsText(e.name, held), sizeText(stored.bytes)), func(b *api.Backup, d *dump) {
		d.Contents = held
		b.Status.TakenAt, b.Status.SizeBytes, b.Status.SHA256, b.Status.Tables, b.Status.Rows = &at, stored.bytes, stored.sum, tables, rows
	})
}

func (w *world) databaseByID(id string) (api.Database, bool) {
	for _, d := range w.databases {
		if d.ID == id {
			return d, true
		}
	}
	return api.Database{}, false
}

// stored is what a dump came to.
type stored struct {
	bytes int64
	sum   string
}

// storeDump keeps what write writes, whole and on disk, or nothing. Exhausted: the disk is full.
func (cp *ControlPlane) storeDump(b api.Backup, write func(io.Writer) error) (s stored, err error) {
	return storeFile(cp.backupPath(b.ID), func(err error) error { return unstored(b, err) }, write)
}

// storeFile keeps what write writes, whole and on disk, or nothing. failed makes what is answered of an error of the disk.
func storeFile(path string, failed func(error) error, write func(io.Writer) error) (s stored, err error) {
	temp := path + ".partial" // one a path: the next try writes over what a killed one left
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return s, failed(err)
	}
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return s, failed(err)
	}
	defer os.Remove(temp)
	defer f.Close()
	sum := sha256.New()
	out := &meteredWriter{to: io.MultiWriter(f, sum)}
	if err := write(out); err != nil || out.err != nil {
		if out.err != nil { // what the dump says of it is only that nobody reads it
			return s, failed(out.err)
		}
		return s, err
	}
	if err := errors.Join(f.Sync(), os.Rename(temp, path), syncDir(filepath.Dir(path))); err != nil {
		return s, failed(err)
	}
	return stored{out.bytes, hex.EncodeToString(sum.Sum(nil))}, nil
}

// meteredWriter counts what is written and keeps the first error.
type meteredWriter struct {
	to    io.Writer
	bytes int64
	err   error
}

func (w *meteredWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.bytes += int64(n)
	if w.err == nil {
		w.err = err
	}
	return n, err
}

func unstored(b api.Backup, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return api.Errorf(api.Exhausted, "cannot store backup %q: the disk is full; free some space, or delete older backups, then make another", b.Name)
	}
	return api.Errorf(api.Internal, "cannot store backup %q: %w", b.Name, err)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// verifyBackup restores what is stored into a scratch server, and compares.
func (cp *ControlPlane) verifyBackup(ctx context.Context, e databaseEngine, b api.Backup, want contents) (err error) {
	stored, err := cp.openDump(b)
	if err != nil {
		return err
	}
	defer stored.Close()
	var raw [24]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return err
	}
	l := login{user: "nuage", password: base64.RawURLEncoding.EncodeToString(raw[:]), database: "restored"}
	return cp.inScratch(ctx, cp.scratchOf(b, e, l), func(id string) error {
		if err := cp.awaitServer(ctx, id, e, l); err != nil {
			return err
		}
		return errors.Join(cp.loadDump(ctx, id, e, l, stored, want), stored.whole())
	})
}

// awaitServer waits until a scratch server lets clients in. Unavailable.
func (cp *ControlPlane) awaitServer(ctx context.Context, id string, e databaseEngine, l login) error {
	ctx, cancel := context.WithTimeout(ctx, scratchTimeout)
	defer cancel()
	for {
		_, _, err := cp.command(ctx, id, "use a scratch server", e.ready(l))
		if err == nil {
			return nil
		}
		select {
		case <-time.After(scratchEvery):
		case <-ctx.Done():
			return api.Errorf(api.Unavailable, "cannot verify: the scratch server does not accept connections after %s: %w", scratchTimeout, err)
		}
	}
}

// dumpReader reads a stored dump and checks that it is what was stored.
type dumpReader struct {
	io.Reader
	file *os.File
	sum  func() string
	want string
}

// Close implements io.Closer.
func (r dumpReader) Close() error { return r.file.Close() }

// whole reads what is left and answers nil where all of it is what was stored. Invalid.
func (r dumpReader) whole() error {
	if _, err := io.Copy(io.Discard, r.Reader); err != nil {
		return api.Errorf(api.Unavailable, "cannot read the backup: %w", err)
	}
	if r.sum() != r.want {
		return api.Errorf(api.Invalid, "cannot rely on the backup: what is stored was changed since")
	}
	return nil
}

// openDump opens what is stored of a backup. The sum is that of the record, which may be newer than b.
func (cp *ControlPlane) openDump(b api.Backup) (dumpReader, error) {
	err := cp.Store.View(func(tx *storage.Tx) (err error) { b, err = backupTable.Get(tx, b.ID); return err })
	if err != nil {
		return dumpReader{}, err
	}
	f, err := os.Open(cp.backupPath(b.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return dumpReader{}, api.Errorf(api.NotFound, "cannot read backup %q: what was stored of it is gone", b.Name)
	}
	if err != nil {
		return dumpReader{}, api.Errorf(api.Unavailable, "cannot read backup %q: %w", b.Name, err)
	}
	sum := sha256.New()
	return dumpReader{io.TeeReader(f, sum), f, func() string { return hex.EncodeToString(sum.Sum(nil)) }, b.Status.SHA256}, nil
}

// fill gives a new database what its backup holds: all of it, or it is done again from the beginning.
func (cp *ControlPlane) fill(ctx context.Context, w *world, d api.Database) error {
	e, err := databaseEngineOf(d.Spec.Engine)
	if err != nil {
		return err
	}
	var b api.Backup
	var held dump
	err = cp.Store.View(func(tx *storage.Tx) (err error) {
		from := w.servers[d.ID].From
		if b, err = backupTable.Get(tx, from); err == nil {
			held, err = dumpTable.Get(tx, from)
		}
		return err
	})
	if err != nil {
		return err
	}
	stored, err := cp.openDump(b)
	if err != nil {
		return err
	}
	defer stored.Close()
	l := w.logins[d.ID]
	if _, _, err := cp.command(ctx, d.ID, fmt.Sprintf("prepare database %q", d.Name), e.empty(l)); err != nil {
		return err
	}
	if err := errors.Join(cp.loadDump(ctx, d.ID, e, l, stored, held.Contents), stored.whole()); err != nil {
		return err
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		s, err := serverTable.Get(tx, d.ID)
		if err != nil || s.Filled {
			return ignoreGone(err)
		}
		s.Filled = true
		if err := serverTable.Put(tx, s); err != nil {
			return err
		}
		return cp.record(tx, platform("backup"), "database", &d.Meta, "restore", "backup "+b.Name+", "+totalsText(e.name, held.Contents))
	})
}

// dropBackup removes what is stored of a backup that its owner deleted, and forgets it.
func (cp *ControlPlane) dropBackup(b api.Backup) error {
	path := cp.backupPath(b.ID)
	for _, name := range []string{path + ".partial", path} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return api.Errorf(api.Unavailable, "cannot remove backup %q: %w", b.Name, err)
		}
	}
	return cp.Store.Update(func(tx *storage.Tx) error {
		if err := errors.Join(erase(tx, backupTable, b.ID), erase(tx, dumpTable, b.ID)); err != nil {
			return err
		}
		return cp.record(tx, platform("loop"), "backup", &b.Meta, "removed", "what was stored of it is gone")
	})
}
