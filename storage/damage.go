package storage

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

const bucketDamaged = "damaged"

// Damage is a record that does not decode. It stays where it is until Discard or a migration deals with it.
type Damage struct {
	// Kind is "tables" or "logs", Name the table or log, Key the record's key (a log's sequence as a decimal).
	Kind  string `json:"-"`
	Name  string `json:"-"`
	Key   string `json:"-"`
	Error string `json:"error"`
	// Since is when it was first seen.
	Since time.Time `json:"since"`
}

func (d Damage) id() string { return d.Kind + "/" + d.Name + "/" + d.Key }

// Damaged lists the records known not to decode, ordered by kind, name and key. A record is known once something has
// tried to read it; the knowledge survives a restart.
func (s *Store) Damaged() []Damage { return s.damage.list() }

// damage is the memory of damaged records. Readers can't write, so changes are kept as dirty ids and go into the file
// with the next commit.
type damage struct {
	logger *slog.Logger
	now    func() time.Time

	marked atomic.Int64 // len(marks), to be read without the lock

	mu     sync.Mutex
	marks  map[string]Damage
	logged map[string]bool
	dirty  map[string]bool
}

func newDamage(logger *slog.Logger, now func() time.Time) *damage {
	return &damage{logger: logger, now: now, marks: map[string]Damage{}, logged: map[string]bool{}, dirty: map[string]bool{}}
}

func (d *damage) load(tx *Tx) error {
	b := tx.bolt.Bucket([]byte(bucketDamaged))
	if b == nil {
		return nil
	}
	return b.ForEach(func(k, v []byte) error {
		parts := strings.SplitN(string(k), "/", 3)
		var m Damage
		if err := json.Unmarshal(v, &m); err != nil || len(parts) != 3 {
			d.logger.Warn("damage mark not readable", "mark", string(k))
			return nil
		}
		m.Kind, m.Name, m.Key = parts[0], parts[1], parts[2]
		d.marks[m.id()] = m
		d.marked.Add(1)
		return nil
	})
}

// mark notes that a record does not decode, and logs it the first time in this process.
func (d *damage) mark(kind, name, key string, cause error) {
	m := Damage{Kind: kind, Name: name, Key: key, Error: cause.Error(), Since: d.now().UTC()}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.logged[m.id()] {
		d.logged[m.id()] = true
		d.logger.Error("record does not decode; it is skipped and left alone", "kind", kind, "name", name, "key", key, "error", cause)
	}
	if _, known := d.marks[m.id()]; !known {
		d.marks[m.id()] = m
		d.dirty[m.id()] = true
		d.marked.Add(1)
	}
}

// heal forgets a mark: the record decodes again or is gone.
func (d *damage) heal(kind, name, key string) {
	if d.marked.Load() == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	id := Damage{Kind: kind, Name: name, Key: key}.id()
	if _, known := d.marks[id]; known {
		delete(d.marks, id)
		delete(d.logged, id)
		d.dirty[id] = true
		d.marked.Add(-1)
	}
}

func (d *damage) count() int { return int(d.marked.Load()) }

func (d *damage) list() []Damage {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]Damage, 0, len(d.marks))
	for _, m := range d.marks {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b Damage) int { return strings.Compare(a.id(), b.id()) })
	return all
}

// flush writes the dirty marks into tx. The returned function is called once tx is durable.
func (d *damage) flush(tx *Tx) (settled func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.dirty) == 0 {
		return func() {}, nil
	}
	b, err := tx.bolt.CreateBucketIfNotExists([]byte(bucketDamaged))
	if err != nil {
		return nil, tx.writeError(err, bucketDamaged, "")
	}
	var done []string
	for id := range d.dirty {
		if err := d.write(b, id); err != nil {
			return nil, tx.writeError(err, bucketDamaged, id)
		}
		done = append(done, id)
	}
	return func() { d.settle(done) }, nil
}

// write brings one mark of the file up to date with memory.
func (d *damage) write(b *bbolt.Bucket, id string) error {
	m, marked := d.marks[id]
	if !marked {
		return b.Delete([]byte(id))
	}
	value, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return b.Put([]byte(id), value)
}

func (d *damage) settle(ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		delete(d.dirty, id)
	}
}
