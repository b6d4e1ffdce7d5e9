package controlplane

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nuage/api"
)

// TestScratchServersAtOnce: ten that want one have it in turns, and one whose time is up leaves the queue.
func TestScratchServersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := make(scratches, scratchesAtOnce)
		var now, most, done atomic.Int32
		for range 10 {
			go func() {
				err := s.use(t.Context(), func() error {
					if n := now.Add(1); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Minute)
					now.Add(-1)
					return nil
				})
				if err == nil {
					done.Add(1)
				}
			}()
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.use(ctx, func() error { return nil }); !errors.Is(err, api.Unavailable) {
			t.Errorf("without a turn in its time: %v", err)
		}
		time.Sleep(time.Hour)
		if most.Load() != scratchesAtOnce || done.Load() != 10 {
			t.Errorf("%d of 10 were served, %d at once, want 10 and %d", done.Load(), most.Load(), scratchesAtOnce)
		}
	})
}
