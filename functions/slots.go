package functions

import "sync/atomic"

// slots counts what is in use against a limit, without waiting. The zero value has no limit.
type slots struct {
	limit atomic.Int64
	used  atomic.Int64
}

// setLimit changes the limit; 0 is none. Those inside stay.
func (s *slots) setLimit(n int) { s.limit.Store(int64(n)) }

// take enters; false: full.
func (s *slots) take() bool {
	used := s.used.Add(1)
	if limit := s.limit.Load(); limit > 0 && used > limit {
		s.used.Add(-1)
		return false
	}
	return true
}

// give leaves.
func (s *slots) give() { s.used.Add(-1) }
