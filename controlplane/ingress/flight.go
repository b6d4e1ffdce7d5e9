package ingress

import "errors"

// errNoBackend is the end of a flight that has no backend left to try.
var errNoBackend = errors.New("no backend is left to try")

type flightKey struct{}

// flight is one request to an app on its way through its backends. It counts on the backend it is at.
type flight struct {
	edge  *Edge
	host  string
	at    string          // id of the backend, empty between two
	tried map[string]bool // backend ids
}

// next moves the flight to the next backend in turn that it has not tried, or returns errNoBackend. Choice and count are
// one step under the lock: a backend without route and without flights never gets another request.
func (f *flight) next() (Backend, error) {
	f.land()
	e := f.edge
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.sites[f.host]
	if s == nil {
		return Backend{}, errNoBackend
	}
	for range s.Backends {
		b := s.Backends[s.next%len(s.Backends)]
		s.next = (s.next + 1) % len(s.Backends)
		if !f.tried[b.ID] {
			f.tried[b.ID] = true
			f.at = b.ID
			e.inFlight[b.ID]++
			return b, nil
		}
	}
	return Backend{}, errNoBackend
}

// land ends the flight's stay at its backend.
func (f *flight) land() {
	if f.at == "" {
		return
	}
	e := f.edge
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.inFlight[f.at]--; e.inFlight[f.at] == 0 {
		delete(e.inFlight, f.at)
	}
	f.at = ""
}
