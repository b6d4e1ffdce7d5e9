package controlplane

import (
	"fmt"
	"math"
	"slices"
	"time"

	"nuage/api"
)

const (
	bootGrace    = 3 * time.Minute  // a member that has never been healthy may take so long after its start
	againGrace   = 30 * time.Second // that after a restart: its user data has run
	lostAfter    = 15 * time.Second // one that was healthy is given up after so long
	replaceAfter = 30 * time.Second // no member is given up sooner after it was made
	replaceEvery = time.Minute      // while no member is healthy, the template may be what is wrong: one at a time
)

// fleet is an instance group as its plan sees it.
type fleet struct {
	group   api.InstanceGroup
	members []member // in the order of their names
}

// member is one instance of a group.
type member struct {
	id, name string
	made     time.Time
	current  bool   // made from the present template
	health   string // unknown, healthy, unhealthy or leaving
	reason   string
	lost     bool       // it will not become healthy by itself
	gone     bool       // it leaves, whatever its group does
	leaving  *time.Time // since when the group takes it away
	empty    bool       // no load balancer has anything in flight on it
	drain    time.Duration
	cpu      float64 // percent of its type over the last minute
	measured bool    // it has worked long enough to tell
}

// The verbs of an action.
const (
	fleetScale  = "scale"  // another number of members is wanted
	fleetAdd    = "add"    // make a member
	fleetRetire = "retire" // load balancers pass nothing new to a member
	fleetRemove = "remove" // delete a member that is retired and empty
)

// action is one thing to do for a group, and why.
type action struct {
	verb    string
	member  string // id and name; none of those to be added
	name    string
	desired int // of scale
	reason  string
}

// plan says what to do now. It is a function of what it is given: a group at rest gets no actions.
func (f fleet) plan(now time.Time) []action {
	out := f.removals(now)
	if f.group.DeletedAt != nil {
		for _, m := range f.live() {
			out = append(out, action{verb: fleetRetire, member: m.id, name: m.name, reason: "the group is deleted"})
		}
		return out
	}
	desired, reason := f.desired(now)
	if desired != f.group.Status.Desired {
		out = append(out, action{verb: fleetScale, desired: desired, reason: fmt.Sprintf("%s: %d to %d", reason, f.group.Status.Desired, desired)})
	}
	kept, retired := f.retire(now, desired)
	quiet := len(kept) == len(f.members)
	return append(append(out, retired...), additions(kept, desired, quiet)...)
}

// removals deletes the retired members that are empty, or have had their time.
func (f fleet) removals(now time.Time) []action {
	var out []action
	for _, m := range f.members {
		if m.leaving != nil && !m.gone && (m.empty || !now.Before(m.leaving.Add(m.drain))) {
			out = append(out, action{verb: fleetRemove, member: m.id, name: m.name, reason: "member of instance group " + f.group.Name})
		}
	}
	return out
}

// live are the members that count.
func (f fleet) live() []member {
	return slices.DeleteFunc(slices.Clone(f.members), func(m member) bool { return m.gone || m.leaving != nil })
}

// desired is how many members there shall be, and why that is another number than before.
func (f fleet) desired(now time.Time) (n int, reason string) {
	s, was := f.group.Spec, f.group.Status.Desired
	switch {
	case was < s.Min:
		return s.Min, fmt.Sprintf("min is %d", s.Min)
	case was > s.Max:
		return s.Max, fmt.Sprintf("max is %d", s.Max)
	case s.CPU == 0 && was > s.Min:
		return s.Min, "without a target for cpu min is kept"
	case s.CPU == 0:
		return was, ""
	}
	return f.byLoad(now)
}

// byLoad tracks the target: as many members as would each use as much cpu as is aimed at.
func (f fleet) byLoad(now time.Time) (n int, reason string) {
	s, was := f.group.Spec, f.group.Status.Desired
	sum, measured := f.load()
	if measured == 0 {
		return was, ""
	}
	live := f.live()
	n = tracking{min: s.Min, max: s.Max, was: was, target: float64(s.CPU), load: sum, steady: measured == len(live) && len(live) == was && allCurrent(live),
		scaledAt: f.group.Status.ScaledAt, cooldown: f.cooldown()}.next(now)
	return n, overOrUnder(n, was, "cpu "+percentText(sum/float64(measured), float64(s.CPU)), fmt.Sprintf("%d%% for 60 s", s.CPU))
}

// percentText rounds to whole percents, unless that would be the target.
func percentText(mean, target float64) string {
	if math.Round(mean) == target {
		return fmt.Sprintf("%.1f%%", mean)
	}
	return fmt.Sprintf("%.0f%%", mean)
}

func (f fleet) cooldown() time.Duration {
	return time.Duration(f.group.Spec.CooldownSeconds) * time.Second
}

// load is the members' use of cpu together, and how many of them have worked long enough to tell.
func (f fleet) load() (sum float64, measured int) {
	for _, m := range f.live() {
		if m.measured {
			sum += m.cpu
			measured++
		}
	}
	return sum, measured
}

func allCurrent(live []member) bool {
	return !slices.ContainsFunc(live, func(m member) bool { return !m.current })
}

func countHealthy(live []member) int {
	n := 0
	for _, m := range live {
		if m.health == "healthy" {
			n++
		}
	}
	return n
}

// retire takes away the members that are lost, and those that are too many. kept are the others.
func (f fleet) retire(now time.Time, desired int) (kept []member, out []action) {
	kept = f.live()
	take := func(m member, reason string) {
		out = append(out, action{verb: fleetRetire, member: m.id, name: m.name, reason: reason})
		kept = slices.DeleteFunc(kept, func(k member) bool { return k.id == m.id })
	}
	for _, m := range givenUp(kept, now) {
		take(m, "it is replaced: "+m.reason)
	}
	for len(kept) > desired {
		m, reason, ok := surplus(kept, desired)
		if !ok {
			break
		}
		take(m, reason)
	}
	return kept, out
}

// givenUp are the members to be replaced because they will not become healthy.
func givenUp(live []member, now time.Time) []member {
	lost := slices.DeleteFunc(slices.Clone(live), func(m member) bool { return !m.lost || now.Before(m.made.Add(replaceAfter)) })
	if countHealthy(live) > 0 || len(lost) == 0 {
		return lost
	}
	for _, m := range live {
		if now.Before(m.made.Add(replaceEvery)) {
			return nil
		}
	}
	return lost[:1]
}

// surplus chooses which of too many members goes: one of an earlier template before the others, one that is not healthy before a
// healthy one. The last healthy members that are wanted stay until others are healthy.
func surplus(live []member, desired int) (m member, reason string, ok bool) {
	stale := slices.DeleteFunc(slices.Clone(live), func(m member) bool { return m.current })
	from, reason := slices.Clone(live), fmt.Sprintf("%d of %d members are too many", len(live)-desired, len(live))
	newest := func(a, b member) int { return b.made.Compare(a.made) }
	if len(stale) > 0 {
		from, reason = stale, "it is made from an earlier template"
		newest = func(a, b member) int { return a.made.Compare(b.made) } // here the oldest goes first
	}
	slices.SortStableFunc(from, func(a, b member) int {
		if x, y := a.health == "healthy", b.health == "healthy"; x != y {
			if y {
				return -1
			}
			return 1
		}
		return newest(a, b)
	})
	if m = from[0]; m.health == "healthy" && countHealthy(live) <= desired {
		return member{}, "", false
	}
	return m, reason, true
}

// additions makes the members that are missing, and one more where it is to replace a member of an earlier template: all of the
// present one are healthy by then, and it is quiet, which is to say that none leaves.
func additions(kept []member, desired int, quiet bool) []action {
	reason := fmt.Sprintf("%d of %d members are there", len(kept), desired)
	want := desired
	if stale := countStale(kept); stale > 0 && quiet && len(kept) == desired && currentHealthy(kept) {
		want++
		reason = fmt.Sprintf("%d of %d members are made from an earlier template", stale, len(kept))
	}
	var out []action
	for range want - len(kept) {
		out = append(out, action{verb: fleetAdd, reason: reason})
	}
	return out
}

func countStale(live []member) int {
	n := 0
	for _, m := range live {
		if !m.current {
			n++
		}
	}
	return n
}

func currentHealthy(live []member) bool {
	return !slices.ContainsFunc(live, func(m member) bool { return m.current && m.health != "healthy" })
}
