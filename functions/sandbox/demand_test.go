package sandbox

import (
	"container/list"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestPoolFollowsDemand: as many are ready as calls needed within a minute, within bounds; when that was long ago they go.
func TestPoolFollowsDemand(t *testing.T) {
	for _, c := range []struct {
		warm, max int
		takes     []time.Duration // when a call needs a new sandbox
		want      string          // wanted at 10 s, 50 s, 65 s, 200 s
	}{
		{2, 32, nil, "2 2 2 2"},
		{2, 32, []time.Duration{0}, "2 2 2 2"},
		{2, 32, []time.Duration{0, 0, 0, 0, 0, 40 * time.Second}, "5 6 2 2"},
		{2, 8, make([]time.Duration, 100), "4 4 2 2"},
		{0, 32, []time.Duration{0, time.Second}, "2 2 0 0"},
		{-1, 32, make([]time.Duration, 10), "0 0 0 0"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := &Runtime{o: Options{Warm: c.warm, Max: c.max}, pools: map[poolKey]*pool{}, idle: list.New()}
			p := &pool{users: 1}
			began, got := time.Now(), ""
			look := []time.Duration{10 * time.Second, 50 * time.Second, 65 * time.Second, 200 * time.Second}
			for at := time.Duration(0); at <= look[3]; at += time.Second {
				time.Sleep(time.Until(began.Add(at)))
				r.mu.Lock()
				for _, take := range c.takes {
					if take.Truncate(time.Second) == at {
						r.taken(p)
					}
				}
				for _, l := range look {
					if l == at {
						got += fmt.Sprint(r.wanted(p), " ")
					}
				}
				r.mu.Unlock()
			}
			synctest.Wait()
			if r.mu.Lock(); got != c.want+" " || p.trim != nil {
				t.Errorf("%+v: wanted were %s, the timer is %v", c, got, p.trim)
			}
			r.mu.Unlock()
		})
	}
}
