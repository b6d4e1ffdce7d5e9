package sandbox

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// closings are what no sandbox with a way out may reach, asked for again after a while: a laptop changes its addresses.
type closings struct {
	mu   sync.Mutex
	text string // -address,?resolver
	at   time.Time
}

// closedFor is how long an answer is taken for true.
const closedFor = 2 * time.Second

func (c *closings) now(ask func() []string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.text == "" || time.Since(c.at) >= closedFor {
		c.text, c.at = "", time.Now()
		var all []string
		for _, entry := range ask() {
			if !strings.HasPrefix(entry, "?") {
				entry = "-" + entry
			}
			all = append(all, entry)
		}
		c.text = strings.Join(all, ",")
	}
	return c.text
}

// closedTo is what sandboxes of this key may not reach, whatever else they may; empty where there is no way out.
func (r *Runtime) closedTo(k poolKey) string {
	if !k.internet || r.o.Closed == nil {
		return ""
	}
	return r.closings.now(r.o.Closed)
}

// rules is what the firewall of a sandbox of this key is told: something always, if only that nothing is reached.
func (k poolKey) rules(closed string) string {
	all := slices.DeleteFunc([]string{closed, k.reach, "-0.0.0.0/0"}, func(part string) bool { return part == "" })
	return strings.Join(all, ",")
}

// dropStale discards the sandboxes that were closed in otherwise than is right now, and are in no call. The lock is held.
func (r *Runtime) dropStale(p *program, closed string) {
	stale := func(b *box) bool { return b.closed != closed }
	for _, b := range slices.Clone(p.idle) {
		if stale(b) {
			r.unidle(b)
			r.discard(b)
		}
	}
	p.pool.ready = slices.DeleteFunc(p.pool.ready, func(b *box) bool {
		if stale(b) {
			r.discard(b)
		}
		return stale(b)
	})
}
