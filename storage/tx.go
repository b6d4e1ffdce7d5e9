package storage

import (
	"errors"
	"slices"
	"sync"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"nuage/api"
)

// The two kinds of top-level bucket that hold records.
const (
	kindTable = "tables"
	kindLog   = "logs"
)

const partRecords = "records"

func partIndex(name string) string { return "by:" + name }

// Tx is a transaction, valid inside the function it was given to and in that goroutine only.
type Tx struct {
	bolt    *bbolt.Tx
	store   *Store
	buckets map[bucketPath]*bbolt.Bucket
	change  Change
	writes  int
}

type bucketPath struct{ kind, name, part string }

// Writable tells whether the transaction may write. A write in a read-only one answers internal.
func (tx *Tx) Writable() bool { return tx.bolt.Writable() }

// bucket returns a bucket, or nil when nothing was ever written there.
func (tx *Tx) bucket(kind, name, part string) *bbolt.Bucket {
	path := bucketPath{kind, name, part}
	if b := tx.buckets[path]; b != nil {
		return b
	}
	b := tx.bolt.Bucket([]byte(kind))
	for _, step := range []string{name, part} {
		if b == nil {
			return nil
		}
		b = b.Bucket([]byte(step))
	}
	if b != nil {
		tx.buckets[path] = b
	}
	return b
}

// ensure returns a bucket for writing, making it when missing.
func (tx *Tx) ensure(kind, name, part string) (*bbolt.Bucket, error) {
	if b := tx.bucket(kind, name, part); b != nil && tx.Writable() {
		return b, nil
	}
	b, err := tx.bolt.CreateBucketIfNotExists([]byte(kind))
	for _, step := range []string{name, part} {
		if err != nil {
			return nil, tx.writeError(err, name, part)
		}
		b, err = b.CreateBucketIfNotExists([]byte(step))
	}
	if err != nil {
		return nil, tx.writeError(err, name, part)
	}
	tx.writes++
	tx.buckets[bucketPath{kind, name, part}] = b
	return b, nil
}

// put writes one pair and notes which noun changed.
func (tx *Tx) put(kind, name, part string, key, value []byte) error {
	b, err := tx.ensure(kind, name, part)
	if err != nil {
		return err
	}
	return tx.wrote(kind, name, key, b.Put(key, value))
}

// remove deletes one pair; an absent one is no error.
func (tx *Tx) remove(kind, name, part string, key []byte) error {
	b := tx.bucket(kind, name, part)
	if b == nil {
		return nil
	}
	return tx.wrote(kind, name, key, b.Delete(key))
}

func (tx *Tx) wrote(kind, name string, key []byte, err error) error {
	if err != nil {
		return tx.writeError(err, name, string(key))
	}
	tx.writes++
	tx.change.add(kind, name)
	return nil
}

func (tx *Tx) writeError(err error, name, key string) error {
	if errors.Is(err, berrors.ErrKeyRequired) || errors.Is(err, berrors.ErrKeyTooLarge) || errors.Is(err, berrors.ErrValueTooLarge) {
		return api.Errorf(api.Invalid, "cannot write %s %.100q: %w", name, key, err)
	}
	return api.Errorf(api.Internal, "cannot write %s %.100q: %w", name, key, err)
}

// commit makes the transaction durable. One that wrote nothing is rolled back, which costs no fsync.
func (tx *Tx) commit() (Change, error) {
	if tx.writes == 0 {
		tx.rollback()
		return Change{}, nil
	}
	settled, err := tx.store.damage.flush(tx)
	if err != nil {
		return Change{}, err
	}
	if err := tx.bolt.Commit(); err != nil {
		return Change{}, commitError(tx.store.path, err)
	}
	settled()
	return tx.change, nil
}

// commitError: bbolt hides the cause of a failed growth in text, so the advice is always about space.
func commitError(path string, err error) error {
	return api.Errorf(api.Unavailable, "cannot write %q: %w; nothing was changed; free some disk space and try again", path, err)
}

// rollback ends the transaction; after a commit it does nothing.
func (tx *Tx) rollback() {
	if err := tx.bolt.Rollback(); err != nil && !errors.Is(err, berrors.ErrTxClosed) {
		tx.store.opts.Logger.Error("rollback failed", "path", tx.store.path, "error", err)
	}
}

// Change names what a commit wrote: table and log names, each once, in no fixed order.
type Change struct {
	Tables, Logs []string
}

// Empty tells that the commit touched no table and no log.
func (c Change) Empty() bool { return len(c.Tables) == 0 && len(c.Logs) == 0 }

func (c *Change) add(kind, name string) {
	list := &c.Tables
	if kind == kindLog {
		list = &c.Logs
	}
	if !slices.Contains(*list, name) {
		*list = append(*list, name)
	}
}

// OnCommit registers fn to be called after every commit that changed a table or a log, before anybody is told that it is durable, and
// returns the function that takes it out again. fn runs in the committing goroutine, possibly in several at once: it must return at once and not
// call the store. A loop that wakes on nouns looks at Change.Tables; a follower of a log at Change.Logs.
func (s *Store) OnCommit(fn func(Change)) (cancel func()) { return s.hooks.add(fn) }

type hooks struct {
	mu  sync.RWMutex
	fns []*func(Change)
}

func (h *hooks) add(fn func(Change)) (cancel func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	entry := &fn
	h.fns = append(slices.Clone(h.fns), entry)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.fns = slices.DeleteFunc(slices.Clone(h.fns), func(e *func(Change)) bool { return e == entry })
	}
}

func (h *hooks) run(change Change) {
	if change.Empty() {
		return
	}
	h.mu.RLock()
	fns := h.fns
	h.mu.RUnlock()
	for _, fn := range fns {
		(*fn)(change)
	}
}
