package storage

import (
	"bytes"
	"encoding/json"
	"fmt"

	"nuage/api"
)

// Table keeps records of type T as JSON under a primary key, with indexes. It holds no state of its own: declare it
// once, use it in any transaction of any store. A record that does not decode is logged, marked (see Store.Damaged) and
// skipped by every walk; nothing overwrites or deletes it but Discard.
type Table[T any] struct {
	name    string
	key     func(*T) string
	indexes []Index[T]
}

// NewTable declares a table. name is also the noun in error messages. key gives the primary key, usually the id, which
// never changes, is not empty and holds no zero byte. An index added to a table that already has records needs a
// migration that calls Reindex.
func NewTable[T any](name string, key func(*T) string, indexes ...Index[T]) *Table[T] {
	return &Table[T]{name: name, key: key, indexes: indexes}
}

// Name is the name the table was declared with, as it appears in Change.Tables.
func (t *Table[T]) Name() string { return t.name }

// Get reads the record with a primary key. Errors: not_found; internal when it does not decode.
func (t *Table[T]) Get(tx *Tx, key string) (T, error) {
	raw := t.raw(tx, key)
	if raw == nil {
		var none T
		return none, api.Errorf(api.NotFound, "cannot find %q in %s", key, t.name)
	}
	return t.decode(tx, key, raw)
}

// GetBy reads the record that a unique index has under value. Errors: not_found; internal when it does not decode or
// there is no such index.
func (t *Table[T]) GetBy(tx *Tx, index, value string) (T, error) {
	var none T
	ix, err := t.index(index)
	if err != nil {
		return none, err
	}
	if !ix.unique {
		return none, api.Errorf(api.Internal, "cannot read one of %s by %q: the index is not unique", t.name, index)
	}
	key := t.owner(tx, ix, value)
	if key == "" {
		return none, api.Errorf(api.NotFound, "cannot find %q in %s", value, t.name)
	}
	return t.Get(tx, key)
}

// Has tells whether there is a record with the primary key, damaged or not.
func (t *Table[T]) Has(tx *Tx, key string) bool { return t.raw(tx, key) != nil }

// Insert writes a new record. Errors: as Put, and conflict when the key exists.
func (t *Table[T]) Insert(tx *Tx, record T) error {
	if key := t.key(&record); t.Has(tx, key) {
		return api.Errorf(api.Conflict, "cannot create %q in %s: it exists already", key, t.name)
	}
	return t.Put(tx, record)
}

// Put writes a record under its key, new or in place of the old one, and keeps the indexes. A record equal to the
// stored one is not written. Errors: conflict when a unique value belongs to another record; invalid for a bad key or
// value; internal when the stored record is damaged. No error leaves anything written.
func (t *Table[T]) Put(tx *Tx, record T) error {
	key := t.key(&record)
	if err := t.check(key, &record); err != nil {
		return err
	}
	next, err := json.Marshal(record)
	if err != nil {
		return api.Errorf(api.Internal, "cannot write %q in %s: %w", key, t.name, err)
	}
	stored := t.raw(tx, key)
	if bytes.Equal(stored, next) {
		return nil
	}
	var old *T
	if stored != nil {
		v, err := t.decode(tx, key, stored)
		if err != nil {
			return err
		}
		old = &v
	}
	return t.replace(tx, key, old, &record, next)
}

func (t *Table[T]) replace(tx *Tx, key string, old, record *T, data []byte) error {
	if err := t.checkUnique(tx, key, record); err != nil {
		return err
	}
	if err := t.moveIndexes(tx, key, old, record); err != nil {
		return err
	}
	return tx.put(kindTable, t.name, partRecords, []byte(key), data)
}

// Delete removes a record and its index entries. Errors: not_found; internal when the stored record is damaged.
func (t *Table[T]) Delete(tx *Tx, key string) error {
	old, err := t.Get(tx, key)
	if err != nil {
		return err
	}
	if err := t.moveIndexes(tx, key, &old, nil); err != nil {
		return err
	}
	return tx.remove(kindTable, t.name, partRecords, []byte(key))
}

// Discard removes a record whether it decodes or not, with every index entry that leads to it, and its damage mark. It
// is the explicit way to give up a damaged record. Errors: not_found.
func (t *Table[T]) Discard(tx *Tx, key string) error {
	if !t.Has(tx, key) {
		return api.Errorf(api.NotFound, "cannot find %q in %s", key, t.name)
	}
	for _, ix := range t.indexes {
		if err := t.unlink(tx, ix, key); err != nil {
			return err
		}
	}
	tx.store.damage.heal(kindTable, t.name, key)
	return tx.remove(kindTable, t.name, partRecords, []byte(key))
}

// unlink removes the entries of an index that lead to key, by looking at all of them.
func (t *Table[T]) unlink(tx *Tx, ix Index[T], key string) error {
	part := partIndex(ix.name)
	b := tx.bucket(kindTable, t.name, part)
	if b == nil {
		return nil
	}
	return walk(b, "", "", true, func(k, v []byte) error {
		if string(ix.target(k, v)) != key {
			return nil
		}
		return tx.remove(kindTable, t.name, part, k)
	})
}

// Reindex builds all indexes anew from the records. Damaged records lose their entries. Errors: conflict when two
// records share a unique value.
func (t *Table[T]) Reindex(tx *Tx) error {
	for _, ix := range t.indexes {
		part := partIndex(ix.name)
		if b := tx.bucket(kindTable, t.name, part); b != nil {
			drop := func(k, _ []byte) error { return tx.remove(kindTable, t.name, part, k) }
			if err := walk(b, "", "", true, drop); err != nil {
				return err
			}
		}
	}
	return t.Each(tx, "", func(record T) error {
		key := t.key(&record)
		if err := t.checkUnique(tx, key, &record); err != nil {
			return err
		}
		return t.moveIndexes(tx, key, nil, &record)
	})
}

func (t *Table[T]) raw(tx *Tx, key string) []byte {
	b := tx.bucket(kindTable, t.name, partRecords)
	if b == nil || key == "" {
		return nil
	}
	return b.Get([]byte(key))
}

// decode reads a stored record; one that does not decode, or belongs to another key, is marked.
func (t *Table[T]) decode(tx *Tx, key string, raw []byte) (T, error) {
	var record T
	err := json.Unmarshal(raw, &record)
	if err == nil && t.key(&record) != key {
		err = fmt.Errorf("the record says its key is %q", t.key(&record))
	}
	if err != nil {
		var none T
		tx.store.damage.mark(kindTable, t.name, key, err)
		return none, api.Errorf(api.Internal, "cannot read %q in %s: the record is damaged: %w", key, t.name, err)
	}
	tx.store.damage.heal(kindTable, t.name, key)
	return record, nil
}

func (t *Table[T]) index(name string) (Index[T], error) {
	for _, ix := range t.indexes {
		if ix.name == name {
			return ix, nil
		}
	}
	return Index[T]{}, api.Errorf(api.Internal, "cannot read %s by %q: there is no such index", t.name, name)
}

// owner is the key a unique index has under value, or "".
func (t *Table[T]) owner(tx *Tx, ix Index[T], value string) string {
	b := tx.bucket(kindTable, t.name, partIndex(ix.name))
	if b == nil || value == "" {
		return ""
	}
	return string(b.Get([]byte(value)))
}

func (t *Table[T]) check(key string, record *T) error {
	if key == "" {
		return api.Errorf(api.Invalid, "cannot write %s: the key is empty", t.name)
	}
	if err := checkText(t.name, "key", key); err != nil {
		return err
	}
	for _, ix := range t.indexes {
		if err := checkText(t.name, ix.name, ix.value(record)); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table[T]) checkUnique(tx *Tx, key string, record *T) error {
	for _, ix := range t.indexes {
		if !ix.unique {
			continue
		}
		value := ix.value(record)
		if owner := t.owner(tx, ix, value); owner != "" && owner != key {
			return api.Errorf(api.Conflict, "cannot write %q in %s: %s %q is taken by %q; choose another one or delete that first", key, t.name, ix.name, value, owner)
		}
	}
	return nil
}

// moveIndexes takes old's entries out and puts record's in, where they differ; either may be nil.
func (t *Table[T]) moveIndexes(tx *Tx, key string, old, record *T) error {
	for _, ix := range t.indexes {
		was, is := valueOf(ix, old), valueOf(ix, record)
		if was == is && old != nil {
			continue
		}
		if was != "" {
			k, _ := ix.entry(was, []byte(key))
			if err := tx.remove(kindTable, t.name, partIndex(ix.name), k); err != nil {
				return err
			}
		}
		if is != "" {
			k, v := ix.entry(is, []byte(key))
			if err := tx.put(kindTable, t.name, partIndex(ix.name), k, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func valueOf[T any](ix Index[T], record *T) string {
	if record == nil {
		return ""
	}
	return ix.value(record)
}
