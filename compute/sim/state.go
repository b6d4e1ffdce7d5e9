package sim

import (
	"context"
	"sync"
	"time"

	"nuage/api"
	"nuage/compute"
)

// State is the imagined host: what runs on it, for any number of clouds. Give one to a second Engine to see what
// a control plane finds after a restart.
type State struct {
	mu       sync.Mutex
	serial   int // of engine ids
	boxes    map[key]*box
	networks map[key]compute.Network
	volumes  map[key]compute.Volume
	filled   map[key]int64 // bytes of a volume
	removed  map[string]bool
	commits  map[string]compute.Image // of root disks, by tag
	watchers map[*watcher]bool

	gone    bool
	deaf    bool
	latency time.Duration
	fail    map[string][]error
	lose    map[string][]error
}

// key tells the clouds of a host apart.
type key struct{ cloud, id string }

// box is one container.
type box struct {
	spec     compute.Workload
	template string
	image    string // its id
	engine   string
	address  string
	joined   map[string]bool // ids of further networks
	limits   compute.Limits
	state    compute.State
	exit     int
	oom      bool
	started  time.Time
	finished time.Time
	load     load
}

// NewState makes an empty host.
func NewState() *State {
	return &State{
		boxes: map[key]*box{}, networks: map[key]compute.Network{}, volumes: map[key]compute.Volume{},
		filled: map[key]int64{}, removed: map[string]bool{}, commits: map[string]compute.Image{}, watchers: map[*watcher]bool{},
		fail: map[string][]error{}, lose: map[string][]error{},
	}
}

// enter applies the faults in front of a verb. lost is the error to answer although the verb is then done.
func (s *State) enter(ctx context.Context, verb string) (lost, err error) {
	s.mu.Lock()
	gone, wait := s.gone, s.latency
	if !gone {
		if err = pop(s.fail, verb); err == nil {
			lost = pop(s.lose, verb)
		}
	}
	s.mu.Unlock()
	if gone {
		return nil, api.Errorf(api.Unavailable, "cannot reach the simulated engine: it was made to be gone")
	}
	if e := pause(ctx, wait); e != nil {
		return nil, api.Errorf(api.Unavailable, "cannot wait for the simulated engine: %w", e)
	}
	return lost, err
}

func pop(queues map[string][]error, verb string) error {
	q := queues[verb]
	if len(q) == 0 {
		return nil
	}
	queues[verb] = q[1:]
	return q[0]
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
