package storage

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"

	"go.etcd.io/bbolt"

	"nuage/api"
)

// Log keeps records of type T in the order of their commit, each under a sequence number that only grows (from 1) and
// is never used twice. Records are not changed; Trim takes away the oldest. A Log holds no state of its own: declare it
// once, use it in any transaction of any store.
type Log[T any] struct {
	name    string
	indexes []Index[T]
}

// Entry is a record of a log with its sequence number.
type Entry[T any] struct {
	Sequence uint64
	Value    T
}

// Record is an encoded record on its way into a log, made by Log.Record.
type Record struct {
	log     string
	data    []byte
	indexes []indexValue
}

type indexValue struct{ part, value string }

// NewLog declares a log. Indexes are made by Many, such as "function" for a walk over the calls of one function, or
// "time" with TimeKey. An index added later covers only what is appended from then on. A Unique index panics: a log has
// none.
func NewLog[T any](name string, indexes ...Index[T]) *Log[T] {
	for _, ix := range indexes {
		if ix.unique {
			panic(fmt.Sprintf("storage: index %q of log %q is unique", ix.name, name))
		}
	}
	return &Log[T]{name: name, indexes: indexes}
}

// Name is the name the log was declared with, as it appears in Change.Logs.
func (l *Log[T]) Name() string { return l.name }

// Record encodes a value for Store.Append and Store.Commit, in the caller's goroutine. Errors: invalid for an index
// value with a zero byte, internal for a value that is no JSON.
func (l *Log[T]) Record(value T) (Record, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return Record{}, api.Errorf(api.Internal, "cannot append to %s: %w", l.name, err)
	}
	return l.Encoded(value, data)
}

// Encoded is Record with the JSON of value, which the caller has made, as where encoding/json is too slow for it.
func (l *Log[T]) Encoded(value T, data []byte) (Record, error) {
	r := Record{log: l.name, data: data}
	for _, ix := range l.indexes {
		v := ix.value(&value)
		if err := checkText(l.name, ix.name, v); err != nil {
			return Record{}, err
		}
		if v != "" {
			r.indexes = append(r.indexes, indexValue{partIndex(ix.name), v})
		}
	}
	return r, nil
}

// Append appends a value in a transaction and returns its sequence number. Errors: as Record.
func (l *Log[T]) Append(tx *Tx, value T) (uint64, error) {
	r, err := l.Record(value)
	if err != nil {
		return 0, err
	}
	return tx.append(r)
}

// append writes a record and its index entries.
func (tx *Tx) append(r Record) (uint64, error) {
	b, err := tx.ensure(kindLog, r.log, partRecords)
	if err != nil {
		return 0, err
	}
	b.FillPercent = 0.95 // keys only grow, so full pages stay full
	sequence, err := b.NextSequence()
	if err != nil {
		return 0, tx.writeError(err, r.log, "")
	}
	key := sequenceKey(sequence)
	if err := tx.put(kindLog, r.log, partRecords, key, r.data); err != nil {
		return 0, err
	}
	for _, ix := range r.indexes {
		if err := tx.put(kindLog, r.log, ix.part, indexKey(ix.value, sequence), []byte{}); err != nil {
			return 0, err
		}
	}
	return sequence, nil
}

// Get reads one record. Errors: not_found; internal when it does not decode.
func (l *Log[T]) Get(tx *Tx, sequence uint64) (T, error) {
	var none T
	b := tx.bucket(kindLog, l.name, partRecords)
	if b == nil {
		return none, l.notFound(sequence)
	}
	raw := b.Get(sequenceKey(sequence))
	if raw == nil {
		return none, l.notFound(sequence)
	}
	return l.decode(tx, sequence, raw)
}

func (l *Log[T]) notFound(sequence uint64) error {
	return api.Errorf(api.NotFound, "cannot find record %d in %s", sequence, l.name)
}

// Each calls fn with the entries whose sequence lies in [from, to), oldest first; to 0 means the end. Damaged ones are
// skipped. An error of fn ends the walk and is returned; Stop ends it without one. fn must not write to this log.
func (l *Log[T]) Each(tx *Tx, from, to uint64, fn func(Entry[T]) error) error {
	b := tx.bucket(kindLog, l.name, partRecords)
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for k, v := c.Seek(sequenceKey(from)); k != nil; k, v = c.Next() {
		sequence := binary.BigEndian.Uint64(k)
		if to != 0 && sequence >= to {
			return nil
		}
		if err := l.visit(tx, sequence, v, fn); err != nil {
			return unlessStop(err)
		}
	}
	return nil
}

// EachBy calls fn with the entries whose value in an index lies in [from, to), in the order of value and then sequence;
// to "" means the end. For one value v use [v, v+"\x00"), for a prefix p [p, PrefixEnd(p)), for a time span TimeKey of
// its ends. Errors: as Each; internal when there is no such index.
func (l *Log[T]) EachBy(tx *Tx, index, from, to string, fn func(Entry[T]) error) error {
	entries, records, err := l.buckets(tx, index)
	if err != nil || entries == nil || records == nil {
		return err
	}
	c := entries.Cursor()
	for k, _ := seekAfter(c, from, ""); k != nil; k, _ = c.Next() {
		value, sequence := splitIndexKey(k)
		if to != "" && string(value) >= to {
			return nil
		}
		if err := l.follow(tx, records, sequence, fn); err != nil {
			return unlessStop(err)
		}
	}
	return nil
}

// Last reads the n newest entries below sequence before (0 means from the end), newest first.
func (l *Log[T]) Last(tx *Tx, before uint64, n int) ([]Entry[T], error) {
	out := []Entry[T]{}
	b := tx.bucket(kindLog, l.name, partRecords)
	if b == nil {
		return out, nil
	}
	c := b.Cursor()
	for k, v := seekBefore(c, sequenceKey(endIfZero(before))); k != nil && len(out) < n; k, v = c.Prev() {
		if err := l.visit(tx, binary.BigEndian.Uint64(k), v, collect(&out)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// LastBy reads the n newest entries that have exactly value in an index, below sequence before (0 means from the end),
// newest first. Its cost does not grow with the log. Errors: internal when there is no such index.
func (l *Log[T]) LastBy(tx *Tx, index, value string, before uint64, n int) ([]Entry[T], error) {
	out := []Entry[T]{}
	entries, records, err := l.buckets(tx, index)
	if err != nil || entries == nil || records == nil {
		return out, err
	}
	c := entries.Cursor()
	for k, _ := seekBefore(c, indexKey(value, endIfZero(before))); k != nil && len(out) < n; k, _ = c.Prev() {
		found, sequence := splitIndexKey(k)
		if string(found) != value {
			break
		}
		if err := l.follow(tx, records, sequence, collect(&out)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// End is the sequence number the next record will get: Each(tx, end, 0, ...) later reads what came since.
func (l *Log[T]) End(tx *Tx) uint64 {
	b := tx.bucket(kindLog, l.name, partRecords)
	if b == nil {
		return 1
	}
	return b.Sequence() + 1
}

// Trim deletes the oldest records below sequence before, at most limit of them, with their index entries, and returns
// how many went. Damaged ones stay. Call it again in another transaction while it returns limit.
func (l *Log[T]) Trim(tx *Tx, before uint64, limit int) (int, error) {
	var old []Entry[T]
	err := l.Each(tx, 0, max(before, 1), func(e Entry[T]) error {
		if len(old) == limit {
			return Stop
		}
		old = append(old, e)
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, e := range old {
		if err := l.drop(tx, e); err != nil {
			return 0, err
		}
	}
	return len(old), nil
}

func (l *Log[T]) drop(tx *Tx, e Entry[T]) error {
	for _, ix := range l.indexes {
		if v := ix.value(&e.Value); v != "" {
			if err := tx.remove(kindLog, l.name, partIndex(ix.name), indexKey(v, e.Sequence)); err != nil {
				return err
			}
		}
	}
	return tx.remove(kindLog, l.name, partRecords, sequenceKey(e.Sequence))
}

func (l *Log[T]) buckets(tx *Tx, index string) (entries, records *bbolt.Bucket, err error) {
	for _, ix := range l.indexes {
		if ix.name == index {
			return tx.bucket(kindLog, l.name, partIndex(index)), tx.bucket(kindLog, l.name, partRecords), nil
		}
	}
	return nil, nil, api.Errorf(api.Internal, "cannot read %s by %q: there is no such index", l.name, index)
}

// follow visits the record an index entry leads to.
func (l *Log[T]) follow(tx *Tx, records *bbolt.Bucket, sequence uint64, fn func(Entry[T]) error) error {
	raw := records.Get(sequenceKey(sequence))
	if raw == nil {
		return l.notFound(sequence)
	}
	return l.visit(tx, sequence, raw, fn)
}

// visit decodes a record and calls fn with it, or passes over a damaged one.
func (l *Log[T]) visit(tx *Tx, sequence uint64, raw []byte, fn func(Entry[T]) error) error {
	value, err := l.decode(tx, sequence, raw)
	if err != nil {
		return nil //nolint:nilerr // decode has logged and marked it; a walk goes on
	}
	return fn(Entry[T]{Sequence: sequence, Value: value})
}

func (l *Log[T]) decode(tx *Tx, sequence uint64, raw []byte) (T, error) {
	var value T
	key := strconv.FormatUint(sequence, 10)
	if err := json.Unmarshal(raw, &value); err != nil {
		var none T
		tx.store.damage.mark(kindLog, l.name, key, err)
		return none, api.Errorf(api.Internal, "cannot read record %s in %s: it is damaged: %w", key, l.name, err)
	}
	tx.store.damage.heal(kindLog, l.name, key)
	return value, nil
}

func collect[T any](out *[]Entry[T]) func(Entry[T]) error {
	return func(e Entry[T]) error {
		*out = append(*out, e)
		return nil
	}
}

func sequenceKey(sequence uint64) []byte { return binary.BigEndian.AppendUint64(nil, sequence) }

func indexKey(value string, sequence uint64) []byte {
	k := make([]byte, 0, len(value)+9)
	k = append(append(k, value...), 0)
	return binary.BigEndian.AppendUint64(k, sequence)
}

func splitIndexKey(k []byte) (value []byte, sequence uint64) {
	at := len(k) - 9
	return k[:at], binary.BigEndian.Uint64(k[at+1:])
}

func endIfZero(sequence uint64) uint64 {
	if sequence == 0 {
		return 1<<64 - 1
	}
	return sequence
}

// seekBefore moves to the last key below end.
func seekBefore(c *bbolt.Cursor, end []byte) (key, value []byte) {
	k, v := c.Seek(end)
	if k == nil {
		k, v = c.Last()
	}
	for k != nil && bytes.Compare(k, end) >= 0 {
		k, v = c.Prev()
	}
	return k, v
}
