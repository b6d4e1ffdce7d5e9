package storage

// Waiting is the number of calls of Commit in the queue.
func (s *Store) Waiting() int { return s.queue.length() }

// Closing tells that Close has begun: new calls are refused.
func (s *Store) Closing() bool {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.closed
}
