// Package storage keeps the state of a cloud in one bbolt file: typed tables for nouns, append-only logs for
// high-rate records, a group commit for the writers of both, migrations, backup and sealing of secrets.
//
// The bucket tree:
//
//	meta
//	  schema                    number of migrations applied, decimal
//	  cloud                     cloud id, made once with the file
//	  key                       fingerprint of the sealing key in use (absent until CheckKey)
//	tables
//	  NAME                      one noun, such as "instances"
//	    records                 KEY -> JSON
//	    by:INDEX  (unique)      VALUE -> KEY
//	    by:INDEX  (many)        VALUE 0x00 KEY -> ""
//	logs
//	  NAME                      one append-only log, such as "usage"
//	    records                 SEQUENCE (8 bytes, big endian) -> JSON
//	    by:INDEX                VALUE 0x00 SEQUENCE -> ""
//	damaged
//	  tables/NAME/KEY           {"error","since"} of a record that does not decode; the record stays where it is
//	  logs/NAME/SEQUENCE
//
// Never call an engine, the network or another transaction of the same store inside a transaction.
package storage

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"nuage/api"
)

// DefaultLockTimeout is how long Open waits for the file lock when Options.LockTimeout is zero.
const DefaultLockTimeout = 3 * time.Second

// Options say how a store is opened. The zero value opens a store without migrations.
type Options struct {
	// Logger receives damaged records and housekeeping troubles; nil discards them.
	Logger *slog.Logger
	// Now stamps damage marks and the holder file; nil means time.Now.
	Now func() time.Time
	// NewCloudID makes the cloud id of a new file; required only when the file does not exist yet.
	NewCloudID func() string
	// Migrations are applied in order; their number is the schema version this program knows.
	Migrations []Migration
	// LockTimeout is how long to wait for another holder of the file; zero means DefaultLockTimeout.
	LockTimeout time.Duration
	// Address is what the holder file tells others about where this cloud is reached, such as "127.0.0.1:7070".
	Address string
	// BeforeSwap is for Restore: it is called once the backup is found good, while the store is held, and gets the fingerprint of the key
	// that opens the backup's secrets, "" where it has none. When it fails, so does the restore.
	BeforeSwap func(key string) error
	// NoSync leaves out the fsync of each commit. For tests only: a crash loses or breaks the file.
	NoSync bool
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.LockTimeout <= 0 {
		o.LockTimeout = DefaultLockTimeout
	}
	return o
}

// Store is an open state file. All methods are safe for concurrent use.
type Store struct {
	path    string
	cloudID string
	opts    Options
	db      *bbolt.DB
	damage  *damage
	hooks   hooks
	queue   *queue

	closeOnce sync.Once
	closeErr  error
}

// Open opens the state file at path, creating it (0600) when missing, takes its lock, applies pending migrations and
// announces this process in the holder file. The directory must exist.
//
// Errors: conflict when another process holds the file (the message names it where known); unsupported when a newer
// nuage wrote the file; invalid when it is no store; unavailable when it cannot be read or written.
func Open(path string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	db, err := openFile(path, opts)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, opts: opts, db: db, damage: newDamage(opts.Logger, opts.Now)}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := s.Announce(opts.Address); err != nil {
		opts.Logger.Warn("holder file not written", "path", holderPath(path), "error", err)
	}
	s.queue = newQueue(s)
	return s, nil
}

// prepare brings meta, schema and damage marks of a freshly opened file into memory.
func (s *Store) prepare() error {
	if err := syncDir(filepath.Dir(s.path)); err != nil {
		return unavailable(err, "cannot open %q", s.path)
	}
	if err := s.View(s.damage.load); err != nil {
		return err
	}
	return s.Update(func(tx *Tx) error {
		if err := s.migrate(tx); err != nil {
			return err
		}
		s.cloudID = tx.meta(metaCloud)
		return nil
	})
}

// CloudID is the id made when the file was created. It never changes, and a backup carries it.
func (s *Store) CloudID() string { return s.cloudID }

// Path is the path given to Open.
func (s *Store) Path() string { return s.path }

// View runs fn in a read-only transaction: a consistent picture that writers do not wait for. Its error is returned as
// it is. A closed store answers unavailable.
func (s *Store) View(fn func(*Tx) error) error {
	tx, err := s.begin(false)
	if err != nil {
		return err
	}
	defer tx.rollback()
	return fn(tx)
}

// Update runs fn once in its own read-write transaction and makes it durable before it returns. When fn fails nothing
// changes and its error is returned as it is. A failing disk answers unavailable. A transaction that wrote nothing
// costs no fsync. Use Commit or Append for what happens often.
func (s *Store) Update(fn func(*Tx) error) error {
	tx, err := s.begin(true)
	if err != nil {
		return err
	}
	defer tx.rollback()
	if err := fn(tx); err != nil {
		return err
	}
	change, err := tx.commit()
	if err != nil {
		return err
	}
	s.hooks.run(change)
	return nil
}

// Commit runs fn (which may be nil) and appends records in one transaction shared with other callers, and returns when
// it is durable: the group-committed Update. A failing fn fails only its own caller, and none of its writes stays. fn
// may run more than once and must have no effect outside the transaction but on variables it sets anew each time.
// A ctx cancelled while the call still waits removes it (unavailable, wrapping the context's error); once its
// transaction has begun the call waits for the outcome.
func (s *Store) Commit(ctx context.Context, fn func(*Tx) error, records ...Record) error {
	return s.queue.submit(ctx, &job{fn: fn, records: records, done: make(chan struct{})})
}

// Append appends records, all or none, through the group commit. See Commit.
func (s *Store) Append(ctx context.Context, records ...Record) error {
	return s.Commit(ctx, nil, records...)
}

// Close waits for queued commits and running transactions, then releases the file. Later calls of other methods answer
// unavailable.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.queue.close()
		s.closeErr = errors.Join(removeHolder(s.path), s.db.Close())
	})
	return s.closeErr
}

// Stats are figures for metrics.
type Stats struct {
	// SizeBytes is the size of the data in the file, free pages included.
	SizeBytes int64
	// Commits counts group commits since Open, Committed the calls they carried.
	Commits, Committed uint64
	// Damaged is the number of records known not to decode.
	Damaged int
}

// Stats reads the figures. A closed store answers unavailable.
func (s *Store) Stats() (Stats, error) {
	st := Stats{Commits: s.queue.commits.Load(), Committed: s.queue.committed.Load(), Damaged: s.damage.count()}
	err := s.View(func(tx *Tx) error {
		st.SizeBytes = tx.bolt.Size()
		return nil
	})
	return st, err
}

func (s *Store) begin(writable bool) (*Tx, error) {
	tx, err := s.db.Begin(writable)
	switch {
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return nil, errClosed(s.path)
	case err != nil:
		return nil, unavailable(err, "cannot begin a transaction in %q", s.path)
	}
	return &Tx{bolt: tx, store: s, buckets: map[bucketPath]*bbolt.Bucket{}}, nil
}

// mapSize is the address space mapped ahead: a writer that has to map more must wait for every reader, a backup too.
// On Windows the file itself would grow to it.
func mapSize() int {
	if runtime.GOOS == "windows" || strconv.IntSize < 64 {
		return 0
	}
	return 1 << 30
}

// openFile opens and locks the bbolt file. A restore may put another file in place while we wait for the lock of the
// old one, so the locked file is compared with the path afterwards.
func openFile(path string, opts Options) (*bbolt.DB, error) {
	for {
		var file *os.File
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout: opts.LockTimeout, NoSync: opts.NoSync, FreelistType: bbolt.FreelistMapType,
			InitialMmapSize: mapSize(), NoStatistics: true,
			OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
				file, err = os.OpenFile(name, flag, mode)
				return file, err
			},
		})
		if err != nil {
			return nil, openError(path, err)
		}
		if samePath(file, path) {
			return db, nil
		}
		if err := db.Close(); err != nil {
			return nil, unavailable(err, "cannot open %q", path)
		}
	}
}

func samePath(file *os.File, path string) bool {
	held, err1 := file.Stat()
	found, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(held, found)
}

func openError(path string, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return heldError(path)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return api.Errorf(api.Invalid, "cannot open %q: it is no nuage store or it is damaged (%v); restore a backup or choose another home", path, err)
	default:
		return unavailable(err, "cannot open %q", path)
	}
}
