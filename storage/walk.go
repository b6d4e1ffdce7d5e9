package storage

import (
	"bytes"
	"errors"

	"go.etcd.io/bbolt"
)

// walk calls fn with each pair whose key starts with prefix and lies after prefix+after, in key order, until fn answers
// Stop or an error. With snapshot set the keys are collected first, so that fn may write to the bucket; pairs that fn
// removed meanwhile are passed over.
func walk(b *bbolt.Bucket, prefix, after string, snapshot bool, fn func(key, value []byte) error) error {
	if snapshot {
		return walkSnapshot(b, prefix, after, fn)
	}
	c := b.Cursor()
	for k, v := seekAfter(c, prefix, after); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
		if err := fn(k, v); err != nil {
			return unlessStop(err)
		}
	}
	return nil
}

func walkSnapshot(b *bbolt.Bucket, prefix, after string, fn func(key, value []byte) error) error {
	var keys [][]byte
	collect := func(k, _ []byte) error {
		keys = append(keys, bytes.Clone(k))
		return nil
	}
	if err := walk(b, prefix, after, false, collect); err != nil {
		return err
	}
	for _, k := range keys {
		v := b.Get(k)
		if v == nil {
			continue
		}
		if err := fn(k, v); err != nil {
			return unlessStop(err)
		}
	}
	return nil
}

// seekAfter moves to the first key behind prefix+after, or to the first one of prefix when after is empty.
func seekAfter(c *bbolt.Cursor, prefix, after string) (key, value []byte) {
	from := []byte(prefix + after)
	if len(from) == 0 {
		return c.First()
	}
	k, v := c.Seek(from)
	if after != "" && bytes.Equal(k, from) {
		return c.Next()
	}
	return k, v
}

func unlessStop(err error) error {
	if errors.Is(err, Stop) {
		return nil
	}
	return err
}
