package controlplane

import (
	"slices"
	"sync"
)

// recalled keeps what is read of the store at every call, in memory, until a commit changes a table that it comes from. What was
// read before a commit and arrives here after it is not kept: once a change is answered, nobody gets what was before.
// What is kept is shared and must not be changed.
type recalled[K comparable, V any] struct {
	tables []string

	mu    sync.RWMutex
	round int // one more with each change of the tables
	kept  map[K]V
}

func newRecalled[K comparable, V any](tables ...string) *recalled[K, V] {
	return &recalled[K, V]{tables: tables, kept: map[K]V{}}
}

// get returns what is kept under a key, or reads it. What could not be read is not kept.
func (r *recalled[K, V]) get(key K, read func() (V, error)) (V, error) {
	r.mu.RLock()
	v, ok := r.kept[key]
	round := r.round
	r.mu.RUnlock()
	if ok {
		return v, nil
	}
	v, err := read()
	if err != nil {
		return v, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if round == r.round {
		r.kept[key] = v
	}
	return v, nil
}

// committed forgets all when one of the tables has changed.
func (r *recalled[K, V]) committed(tables []string) {
	if !slices.ContainsFunc(tables, func(t string) bool { return slices.Contains(r.tables, t) }) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.round++
	clear(r.kept)
}
