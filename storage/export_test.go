package storage

// Waiting is the number of calls of Commit in the queue.
func (s *Store) Waiting() int { return s.queue.length() }
