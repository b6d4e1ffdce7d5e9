//go:build linux

package guest

import (
	"context"
	"slices"
	"sync"
	"time"

	"nuage/compute/guest/link"
)

const ringSize = 1024

// ring keeps the last events until the control plane has fetched them.
type ring struct {
	boot string
	now  func() time.Time

	mu     sync.Mutex
	events []link.Event // the last one has the sequence number seq
	seq    uint64
	more   chan struct{} // closed when an event is added
}

func newRing(boot string, now func() time.Time) *ring {
	return &ring{boot: boot, now: now, more: make(chan struct{})}
}

func (r *ring) add(e link.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	e.Cursor = link.Cursor{Boot: r.boot, Seq: r.seq}
	e.Time = r.now().UTC()
	r.events = append(r.events, e)
	if len(r.events) > ringSize {
		r.events = slices.Delete(r.events, 0, len(r.events)-ringSize)
	}
	close(r.more)
	r.more = make(chan struct{})
}

// after returns the events behind the cursor, waiting for one until ctx ends.
func (r *ring) after(ctx context.Context, c link.Cursor) []link.Event {
	if c.Boot != r.boot {
		c.Seq = 0
	}
	for {
		events, more := r.read(c.Seq)
		if len(events) > 0 {
			return events
		}
		select {
		case <-more:
		case <-ctx.Done():
			return []link.Event{}
		}
	}
}

func (r *ring) read(seq uint64) ([]link.Event, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.seq - uint64(len(r.events)) // the number before the first one kept
	if seq >= r.seq {
		return nil, r.more
	}
	if seq >= first {
		return slices.Clone(r.events[seq-first:]), r.more
	}
	lost := link.Event{Cursor: link.Cursor{Boot: r.boot, Seq: first}, Time: r.events[0].Time, Type: link.EventLost, Status: int(first - seq)}
	return append([]link.Event{lost}, r.events...), r.more
}
