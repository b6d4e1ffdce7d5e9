package identity

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How much is let through. Counts are kept in memory only, for addresses and e-mail addresses alike whether anybody has
// them or not, so that neither answers nor their times tell who is known; a restart forgets them.
const (
	freeFailures = 5 // in a row, before one has to wait
	firstLock    = 30 * time.Second
	longestLock  = 15 * time.Minute
	forgetAfter  = time.Hour

	addressRate  = 2  // forms a second from one address, in the long run
	addressBurst = 60 // at once

	mostTracked = 100_000 // of each kind
)

// limits counts failures by user and forms by address.
type limits struct {
	now func() time.Time

	mu        sync.Mutex
	failures  map[string]*failure
	addresses map[string]*visitor
}

type failure struct {
	count int
	until time.Time
	last  time.Time
}

type visitor struct {
	bucket *rate.Limiter
	last   time.Time
}

func newLimits(now func() time.Time) *limits {
	return &limits{now: now, failures: map[string]*failure{}, addresses: map[string]*visitor{}}
}

// locked is how long a user has to wait still; 0: not at all.
func (l *limits) locked(user string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.failures[user]
	if f == nil {
		return 0
	}
	return max(f.until.Sub(l.now()), 0)
}

// failed counts a failure. locks: it was one too many, and for how long nothing is taken now.
func (l *limits) failed(user string) (locks time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	f := l.failures[user]
	if f == nil {
		prune(l.failures, func(f *failure) bool { return now.Sub(f.last) > forgetAfter })
		f = &failure{}
		l.failures[user] = f
	}
	if now.Sub(f.last) > forgetAfter {
		f.count = 0
	}
	f.count++
	f.last = now
	if f.count < freeFailures {
		return 0
	}
	lock := longestLock
	if doublings := f.count - freeFailures; doublings < 5 {
		lock = min(firstLock<<doublings, longestLock)
	}
	f.until = now.Add(lock)
	return lock
}

// succeeded forgets the failures of a user.
func (l *limits) succeeded(user string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failures, user)
}

// admit tells whether an address may send another form now.
func (l *limits) admit(address string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	v := l.addresses[address]
	if v == nil {
		prune(l.addresses, func(v *visitor) bool { return now.Sub(v.last) > addressBurst/addressRate*time.Second })
		v = &visitor{bucket: rate.NewLimiter(addressRate, addressBurst)}
		l.addresses[address] = v
	}
	v.last = now
	return v.bucket.AllowN(now, 1)
}

// prune makes room in a map that is full: first what is old, then anything.
func prune[V any](m map[string]V, old func(V) bool) {
	if len(m) < mostTracked {
		return
	}
	for key, v := range m {
		if old(v) {
			delete(m, key)
		}
	}
	for key := range m {
		if len(m) < mostTracked {
			return
		}
		delete(m, key)
	}
}
