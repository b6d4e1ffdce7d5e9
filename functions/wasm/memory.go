package wasm

import (
	"context"
	"math/bits"
	"sync"

	"github.com/tetratelabs/wazero/experimental"
)

// The sizes of memories that are kept for the next instance, as powers of two. A larger one is made and left to the
// garbage collector: it is rare, and would hold much.
const (
	smallestKept = 16 // 64 KiB, a page
	largestKept  = 24 // 16 MiB
)

// memories hands out the linear memories of instances and takes them back. An instance lives for one call, and without
// this the garbage collector would do more work than the functions.
type memories struct {
	kept [largestKept - smallestKept + 1]sync.Pool // of *[]byte, all zero, by size
}

// in has the instances made with the context use these memories.
func (m *memories) in(ctx context.Context) context.Context {
	return experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(func(_, most uint64) experimental.LinearMemory {
		return &memory{from: m, most: most}
	}))
}

// take returns a buffer of zeros with room for size bytes.
func (m *memories) take(size uint64) []byte {
	class := max(bits.Len64(max(size, 1)-1), smallestKept)
	if class > largestKept {
		return make([]byte, size)
	}
	if kept, ok := m.kept[class-smallestKept].Get().(*[]byte); ok {
		return *kept
	}
	return make([]byte, 1<<class)
}

// give takes a buffer back of which the first used bytes may hold something.
func (m *memories) give(buffer []byte, used uint64) {
	class := bits.Len(uint(cap(buffer))) - 1
	if class < smallestKept || class > largestKept || cap(buffer) != 1<<class {
		return
	}
	buffer = buffer[:cap(buffer)]
	clear(buffer[:used])
	m.kept[class-smallestKept].Put(&buffer)
}

// memory is the linear memory of one instance. It only grows.
type memory struct {
	from   *memories
	most   uint64
	buffer []byte
	used   uint64
}

// Reallocate implements experimental.LinearMemory. nil: over the most the module may have. Threads, and with them shared
// memories, which may not move, are not enabled.
func (m *memory) Reallocate(size uint64) []byte {
	if size > m.most {
		return nil
	}
	if m.buffer == nil || size > uint64(cap(m.buffer)) {
		larger := m.from.take(size)
		copy(larger, m.buffer[:m.used])
		m.from.give(m.buffer, m.used)
		m.buffer = larger
	}
	m.used = max(m.used, size)
	return m.buffer[:size]
}

// Free implements experimental.LinearMemory.
func (m *memory) Free() {
	m.from.give(m.buffer, m.used)
	m.buffer, m.used = nil, 0
}
