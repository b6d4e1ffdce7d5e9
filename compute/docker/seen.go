package docker

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"nuage/compute"
)

// fresh is how long what an inspection told is used again. Passes of a control plane come in bursts, and an inspection
// costs the engine as much as a hundred lines of a listing; one a burst is enough.
const fresh = 2 * time.Second

// seen remembers what inspections have told, by workload. What a listing shows to be otherwise, or what this program has
// changed since, is not used; so a start, an end and a recreation are seen at once, and what somebody else did to the limits of
// a container that runs on within fresh.
type seen struct {
	mu sync.Mutex
	by map[string]*memory
}

type memory struct {
	epoch    uint64 // counts the changes by this program
	starting int    // starts under way: an engine answers no inspection until they end
	sign     string // of the listing it belongs to; "": nothing is remembered
	at       time.Time
	is       compute.Observed
}

// sign is what a listing tells of a container: another one after a start, as each gives it new endpoints.
func sign(c container.Summary) string {
	words := []string{c.ID, c.State}
	if c.NetworkSettings != nil {
		for _, n := range c.NetworkSettings.Networks {
			if n != nil && n.EndpointID != "" {
				words = append(words, n.EndpointID)
			}
		}
	}
	slices.Sort(words[2:])
	return strings.Join(words, " ")
}

// recall answers what is known of a listed container, and else the epoch to remember an inspection with.
func (s *seen) recall(c container.Summary, now time.Time) (is compute.Observed, known bool, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.of(c.Labels[compute.LabelID])
	steady := c.State == string(compute.StateRunning) || c.State == string(compute.StateCreated)
	same := m.sign == sign(c) && steady && now.Sub(m.at) < fresh
	if m.sign == "" || m.is.Engine != c.ID || !same && m.starting == 0 {
		return compute.Observed{}, false, m.epoch
	}
	is = m.is
	is.Endpoints, is.Mounts, is.Joined = maps.Clone(m.is.Endpoints), slices.Clone(m.is.Mounts), slices.Clone(m.is.Joined)
	return is, true, m.epoch
}

// remember keeps what an inspection told, unless this program has changed the container meanwhile.
func (s *seen) remember(c container.Summary, is compute.Observed, epoch uint64, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.of(is.ID)
	if m.epoch == epoch {
		m.sign, m.is, m.at = sign(c), is, at
	}
}

// made keeps what was just made.
func (s *seen) made(is compute.Observed, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.of(is.ID)
	m.epoch++
	m.sign, m.is, m.at = sign(container.Summary{ID: is.Engine, State: string(is.State)}), is, at
}

// change is called after each change of a container.
func (s *seen) change(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.of(id)
	m.epoch++
	m.sign = ""
}

// start notes that a start is under way, until end is called.
func (s *seen) start(id string) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of(id).starting++
	return func() {
		s.change(id)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.of(id).starting--
	}
}

// only forgets all that a listing did not show and nobody is about to start.
func (s *seen) only(found []container.Summary, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.by) < 2*len(found)+100 {
		return
	}
	listed := map[string]bool{}
	for _, c := range found {
		listed[c.Labels[compute.LabelID]] = true
	}
	maps.DeleteFunc(s.by, func(id string, m *memory) bool { return !listed[id] && m.starting == 0 && now.Sub(m.at) > time.Minute })
}

// of finds or makes the memory of a workload. The lock is held.
func (s *seen) of(id string) *memory {
	m := s.by[id]
	if m == nil {
		m = &memory{}
		s.by[id] = m
	}
	return m
}
