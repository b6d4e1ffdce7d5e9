package storage

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"

	"nuage/api"
)

// Index is a second order of a table or a log, kept in the same transaction as the record.
type Index[T any] struct {
	name   string
	unique bool
	value  func(*T) string
}

// Unique declares a table index in which a value belongs to one record only, such as "name" with project+"/"+name. A
// record whose value is "" is not in the index. Values hold no zero byte.
func Unique[T any](name string, value func(*T) string) Index[T] {
	return Index[T]{name: name, unique: true, value: value}
}

// Many declares an index in which any number of records share a value, such as "function" of a receipt. A record whose
// value is "" is not in the index. Values hold no zero byte.
func Many[T any](name string, value func(*T) string) Index[T] {
	return Index[T]{name: name, value: value}
}

// entry is the pair an index holds for a record: VALUE -> KEY, or VALUE 0x00 KEY -> "".
func (ix Index[T]) entry(value string, key []byte) (k, v []byte) {
	if ix.unique {
		return []byte(value), key
	}
	return bytes.Join([][]byte{[]byte(value), key}, []byte{0}), []byte{}
}

// target is the record's key in a pair of the index.
func (ix Index[T]) target(k, v []byte) []byte {
	if ix.unique {
		return v
	}
	return k[bytes.IndexByte(k, 0)+1:]
}

// TimeKey is a time as an index value: its order as text is the order in time, to the nanosecond, for the years 1678 to
// 2262.
func TimeKey(t time.Time) string {
	const digits = "0123456789abcdef"
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], uint64(t.UnixNano())^1<<63)
	var sb strings.Builder
	for _, b := range raw {
		sb.WriteByte(digits[b>>4])
		sb.WriteByte(digits[b&15])
	}
	return sb.String()
}

// PrefixEnd is the smallest text behind everything that starts with prefix: the "to" of a walk over a prefix. Nothing
// lies behind "" or a prefix of bytes 0xff: they give "", which means the end.
func PrefixEnd(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return ""
}

func checkText(noun, what, s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return api.Errorf(api.Invalid, "cannot write %s: %s %.100q holds a zero byte", noun, what, s)
	}
	return nil
}
