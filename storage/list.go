package storage

import (
	"nuage/api"
)

// Query chooses what a list reads. The zero value is everything.
type Query struct {
	// Prefix keeps keys (or index values) that start with it, such as "default/".
	Prefix string
	// After continues behind an earlier page: its Next, or the rest of a key behind Prefix, such as a name.
	After string
	// Limit is the number of records at most; zero or less means all.
	Limit int
}

// Page is one page of a list, in order.
type Page[T any] struct {
	Items []T
	// Next is the After of the next page, or "" when this is the last.
	Next string
}

// Each calls fn with each record whose primary key starts with prefix, in key order, and skips damaged ones. fn may
// write to the table in an Update. An error of fn ends the walk and is returned; Stop ends it without one.
func (t *Table[T]) Each(tx *Tx, prefix string, fn func(T) error) error {
	return t.walkRecords(tx, Query{Prefix: prefix}, func(_ string, record T) error { return fn(record) })
}

// EachBy is Each in the order of an index; prefix is of the index value. For all records of a Many index that share one
// value, end the prefix with "\x00". Errors: as Each; internal when there is no such index.
func (t *Table[T]) EachBy(tx *Tx, index, prefix string, fn func(T) error) error {
	return t.walkIndex(tx, index, Query{Prefix: prefix}, func(_ string, record T) error { return fn(record) })
}

// List reads a page in primary key order. Damaged records are skipped.
func (t *Table[T]) List(tx *Tx, q Query) (Page[T], error) {
	return page(q, func(fn func(string, T) error) error { return t.walkRecords(tx, q, fn) })
}

// ListBy reads a page in the order of an index. Errors: internal when there is no such index.
func (t *Table[T]) ListBy(tx *Tx, index string, q Query) (Page[T], error) {
	return page(q, func(fn func(string, T) error) error { return t.walkIndex(tx, index, q, fn) })
}

// Count is the number of records whose primary key starts with prefix, damaged ones included.
func (t *Table[T]) Count(tx *Tx, prefix string) (int, error) {
	b := tx.bucket(kindTable, t.name, partRecords)
	if b == nil {
		return 0, nil
	}
	n := 0
	err := walk(b, prefix, "", false, func(_, _ []byte) error {
		n++
		return nil
	})
	return n, err
}

// walkRecords calls fn with the key and the record.
func (t *Table[T]) walkRecords(tx *Tx, q Query, fn func(key string, record T) error) error {
	b := tx.bucket(kindTable, t.name, partRecords)
	if b == nil {
		return nil
	}
	return walk(b, q.Prefix, q.After, tx.Writable(), func(k, v []byte) error {
		record, err := t.decode(tx, string(k), v)
		if err != nil {
			return nil //nolint:nilerr // decode has logged and marked it; a walk goes on
		}
		return fn(string(k), record)
	})
}

// walkIndex calls fn with the key in the index and the record it leads to.
func (t *Table[T]) walkIndex(tx *Tx, index string, q Query, fn func(key string, record T) error) error {
	ix, err := t.index(index)
	if err != nil {
		return err
	}
	b := tx.bucket(kindTable, t.name, partIndex(index))
	if b == nil {
		return nil
	}
	return walk(b, q.Prefix, q.After, tx.Writable(), func(k, v []byte) error {
		key := string(ix.target(k, v))
		raw := t.raw(tx, key)
		if raw == nil {
			return api.Errorf(api.Internal, "cannot read %s by %s: %q leads to %q, which is gone", t.name, index, k, key)
		}
		record, err := t.decode(tx, key, raw)
		if err != nil {
			return nil //nolint:nilerr // decode has logged and marked it; a walk goes on
		}
		return fn(string(k), record)
	})
}

// page collects from walk until q.Limit records are there and one more is seen.
func page[T any](q Query, walk func(fn func(string, T) error) error) (Page[T], error) {
	p := Page[T]{Items: []T{}}
	last := ""
	err := walk(func(key string, record T) error {
		if q.Limit > 0 && len(p.Items) == q.Limit {
			p.Next = last
			return Stop
		}
		p.Items = append(p.Items, record)
		last = key[len(q.Prefix):]
		return nil
	})
	return p, err
}
