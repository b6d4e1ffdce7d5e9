package controlplane

import (
	"math"
	"time"
)

const (
	inFactor = 3   // scaling in rests so many times longer than scaling out
	inMargin = 0.9 // of the target that fewer must stay under
)

// tracking keeps the load of each of some like things, members of a group or replicas of an app, near a target.
type tracking struct {
	min, max, was int
	target, load  float64 // of each, and of all together now
	steady        bool    // all that are wanted are there and measured: fewer may be enough
	scaledAt      *time.Time
	cooldown      time.Duration
}

// next is how many there shall be. Out at once, to all that is needed; in one by one and slower, and only where fewer stay clearly
// under the target, so that out and in never take turns at one load.
func (t tracking) next(now time.Time) int {
	rested := func(times time.Duration) bool {
		return t.scaledAt == nil || !now.Before(t.scaledAt.Add(times*t.cooldown))
	}
	switch needed := min(t.max, int(math.Ceil(t.load/t.target-1e-9))); {
	case needed > t.was && rested(1):
		return needed
	case t.was > t.min && t.steady && t.load/float64(t.was-1) < inMargin*t.target && rested(inFactor):
		return t.was - 1
	}
	return t.was
}

// overOrUnder says why n is another number than was: "cpu 80% over 50% for 60 s".
func overOrUnder(n, was int, load, target string) string {
	switch {
	case n > was:
		return load + " over " + target
	case n < was:
		return load + " under " + target
	}
	return ""
}
