package wasm

import (
	"bytes"
	"runtime"
	"testing"
)

// TestMemoryIsZeroed holds the line between two calls: what one instance wrote, the next never sees.
func TestMemoryIsZeroed(t *testing.T) {
	var m memories
	for _, size := range []uint64{1, 65536, 65537, 3 << 20, 16 << 20, 17 << 20} {
		for range 20 {
			one := &memory{from: &m, most: 64 << 20}
			small := one.Reallocate(size)
			if uint64(len(small)) != size || !bytes.Equal(small, make([]byte, size)) {
				t.Fatalf("a memory of %d bytes has %d, or holds something", size, len(small))
			}
			copy(small, bytes.Repeat([]byte{1}, len(small)))
			large := one.Reallocate(2 * size)
			if !bytes.Equal(large[:size], bytes.Repeat([]byte{1}, int(size))) || !bytes.Equal(large[size:], make([]byte, size)) {
				t.Fatalf("a memory grown from %d bytes lost something, or holds something more", size)
			}
			copy(large, bytes.Repeat([]byte{2}, len(large)))
			one.Free()
			one.Free() // nothing is given back twice
		}
	}
}

func TestMemoryHasALimit(t *testing.T) {
	var m memories
	one := &memory{from: &m, most: 65536}
	if one.Reallocate(65536) == nil || one.Reallocate(65537) != nil {
		t.Error("a memory does not end at its limit")
	}
}

// TestMemoriesAreKept fails where memories that were given back are not used again.
func TestMemoriesAreKept(t *testing.T) {
	var m memories
	var before, after runtime.MemStats
	const rounds, size = 1000, 1 << 20
	runtime.ReadMemStats(&before)
	for range rounds {
		one := &memory{from: &m, most: size}
		one.Reallocate(size)
		one.Free()
	}
	runtime.ReadMemStats(&after)
	if made := after.TotalAlloc - before.TotalAlloc; made > rounds*size/2 { // the race detector has pools lose things
		t.Errorf("%d memories of %d bytes took %d new bytes", rounds, size, made)
	}
}
