package controlplane

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nuage/api"
)

// noon is when plans are made in these tests. Members were made an hour before, the first ones earlier.
func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

// team reads members from words like "a", "b:stale", "c:unhealthy:lost", "d:cpu=80". They are healthy, current and measured at 0% unless told.
func team(words string) []member {
	var out []member
	for n, word := range strings.Fields(words) {
		parts := strings.Split(word, ":")
		m := member{id: parts[0], name: parts[0], made: noon().Add(-time.Hour + time.Duration(n)*time.Second), current: true, health: "healthy", empty: true}
		for _, p := range parts[1:] {
			m.mark(p)
		}
		m.measured = m.measured && m.health == "healthy"
		out = append(out, m)
	}
	return out
}

func (m *member) mark(word string) {
	key, value, _ := strings.Cut(word, "=")
	switch key {
	case "stale":
		m.current = false
	case "unknown", "unhealthy":
		m.health, m.reason = key, "no answer"
	case "lost":
		m.lost = true
	case "gone":
		m.gone = true
	case "young":
		m.made = noon().Add(-10 * time.Second)
	case "leaving":
		at := noon().Add(-5 * time.Second)
		m.leaving, m.health = &at, "leaving"
	case "busy":
		m.empty, m.drain = false, 30*time.Second
	case "late":
		m.empty, m.drain = false, 5*time.Second
	case "cpu":
		fmt.Sscan(value, &m.cpu)
		m.measured = true
	default:
		panic(word)
	}
}

func (a action) String() string {
	what := a.name
	if a.verb == fleetScale {
		what = fmt.Sprint(a.desired)
	}
	return strings.TrimSpace(a.verb+" "+what) + ": " + a.reason
}

func planText(f fleet) string {
	var out []string
	for _, a := range f.plan(noon()) {
		out = append(out, a.String())
	}
	return strings.Join(out, "\n")
}

func TestPlanOfAGroup(t *testing.T) {
	for _, c := range []struct {
		name          string
		min, max, cpu int
		desired       int
		scaled        time.Duration // since the last scaling; 0: none
		members       string
		want          string
	}{
		{"at rest", 1, 3, 0, 1, 0, "a", ""},
		{"new", 2, 3, 0, 2, 0, "", "add: 0 of 2 members are there\nadd: 0 of 2 members are there"},
		{"its owner deleted a member", 2, 3, 0, 2, 0, "a b:gone", "add: 1 of 2 members are there"},
		{"min was raised", 2, 3, 0, 1, 0, "a", "scale 2: min is 2: 1 to 2\nadd: 1 of 2 members are there"},
		{"max was lowered", 1, 2, 60, 3, 0, "a b c", "scale 2: max is 2: 3 to 2\nretire c: 1 of 3 members are too many"},
		{"cpu is no target any more", 1, 3, 0, 2, 0, "a b", "scale 1: without a target for cpu min is kept: 2 to 1\nretire b: 1 of 2 members are too many"},

		{"load over the target", 1, 4, 60, 2, 0, "a:cpu=80 b:cpu=86", "scale 3: cpu 83% over 60% for 60 s: 2 to 3\nadd: 2 of 3 members are there"},
		{"load that needs several", 1, 9, 25, 2, 0, "a:cpu=100 b:cpu=100", "scale 8: cpu 100% over 25% for 60 s: 2 to 8" + strings.Repeat("\nadd: 2 of 8 members are there", 6)},
		{"load beyond max", 1, 3, 25, 2, 0, "a:cpu=100 b:cpu=100", "scale 3: cpu 100% over 25% for 60 s: 2 to 3\nadd: 2 of 3 members are there"},
		{"load at max", 1, 2, 25, 2, 0, "a:cpu=100 b:cpu=100", ""},
		{"load at the target", 1, 4, 60, 2, 0, "a:cpu=60 b:cpu=60", ""},
		{"load just over the target", 1, 4, 60, 1, 0, "a:cpu=60.4", "scale 2: cpu 60.4% over 60% for 60 s: 1 to 2\nadd: 1 of 2 members are there"},
		{"load in the cool-down", 1, 4, 60, 2, 59 * time.Second, "a:cpu=90 b:cpu=90", ""},
		{"load after the cool-down", 1, 4, 60, 2, 60 * time.Second, "a:cpu=90 b:cpu=90", "scale 3: cpu 90% over 60% for 60 s: 2 to 3\nadd: 2 of 3 members are there"},
		{"load that the booting member will take", 1, 4, 60, 2, time.Hour, "a:cpu=90 b:unknown", ""},
		{"nothing measured yet", 1, 4, 60, 2, 0, "a b", ""},

		{"idle", 1, 4, 60, 3, 180 * time.Second, "a:cpu=10 b:cpu=10 c:cpu=10", "scale 2: cpu 10% under 60% for 60 s: 3 to 2\nretire c: 1 of 3 members are too many"},
		{"idle, but scaled a moment ago", 1, 4, 60, 3, 179 * time.Second, "a:cpu=10 b:cpu=10 c:cpu=10", ""},
		{"idle at min", 1, 4, 60, 1, 0, "a:cpu=0", ""},
		{"not idle enough for one less", 1, 4, 60, 3, 0, "a:cpu=37 b:cpu=37 c:cpu=37", ""},
		{"idle, but not all are measured", 1, 4, 60, 3, 0, "a:cpu=1 b:cpu=1 c:unknown", ""},

		{"a lost member", 2, 2, 0, 2, 0, "a b:unhealthy:lost", "retire b: it is replaced: no answer\nadd: 1 of 2 members are there"},
		{"a lost member is replaced while others leave", 2, 2, 0, 2, 0, "a b:unhealthy:lost c:leaving:busy", "retire b: it is replaced: no answer\nadd: 1 of 2 members are there"},
		{"an unhealthy member may come back", 2, 2, 0, 2, 0, "a b:unhealthy", ""},
		{"a lost member that is young", 2, 2, 0, 2, 0, "a b:unhealthy:lost:young", ""},
		{"all are lost", 2, 2, 0, 2, 0, "a:unhealthy:lost b:unhealthy:lost", "retire a: it is replaced: no answer\nadd: 1 of 2 members are there"},
		{"all are lost, one was replaced a moment ago", 2, 2, 0, 2, 0, "a:unhealthy:lost b:unknown:young", ""},

		{"another template", 2, 2, 0, 2, 0, "a:stale b:stale", "add: 2 of 2 members are made from an earlier template"},
		{"another template, the new one boots", 2, 2, 0, 2, 0, "a:stale b:stale c:unknown", ""},
		{"another template, the new one is healthy", 2, 2, 0, 2, 0, "a:stale b:stale c",
			"retire a: it is made from an earlier template"},
		{"another template, one is done", 2, 2, 0, 2, 0, "b:stale c", "add: 1 of 2 members are made from an earlier template"},
		{"another template, the done one fell ill", 2, 2, 0, 2, 0, "b:stale c:unhealthy", ""},
		{"another template before the last one was done", 2, 2, 0, 2, 0, "a:stale b:stale c:stale:unknown", "retire c: it is made from an earlier template"},
		{"another template, a replaced one still leaves", 2, 2, 0, 2, 0, "a:stale b c:stale:leaving:busy", ""},
		{"another template of one that is not healthy", 1, 1, 0, 1, 0, "a:stale:unhealthy b:unknown", "retire a: it is made from an earlier template"},
		{"another template of none", 0, 2, 0, 0, 0, "a:stale", "retire a: it is made from an earlier template"},

		{"too many, one boots", 1, 3, 0, 1, 0, "a b:unknown", "retire b: 1 of 2 members are too many"},
		{"a retired member is empty", 1, 3, 0, 1, 0, "a b:leaving", "remove b: member of instance group web"},
		{"a retired member is not empty", 1, 3, 0, 1, 0, "a b:leaving:busy", ""},
		{"a retired member has had its time", 1, 3, 0, 1, 0, "a b:leaving:late", "remove b: member of instance group web"},
	} {
		f := fleet{members: team(c.members), group: api.InstanceGroup{Meta: api.Meta{Name: "web"},
			Spec:   api.InstanceGroupSpec{Min: c.min, Max: c.max, CPU: c.cpu, CooldownSeconds: 60},
			Status: api.InstanceGroupStatus{Desired: c.desired}}}
		if c.scaled != 0 {
			at := noon().Add(-c.scaled)
			f.group.Status.ScaledAt = &at
		}
		if diff := cmp.Diff(c.want, planText(f)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestPlanOfADeletedGroup(t *testing.T) {
	at := noon()
	f := fleet{members: team("a b:unknown c:leaving d:leaving:busy e:gone"), group: api.InstanceGroup{Meta: api.Meta{Name: "web", DeletedAt: &at}}}
	want := "remove c: member of instance group web\nretire a: the group is deleted\nretire b: the group is deleted"
	if diff := cmp.Diff(want, planText(f)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPlansNeverGoBelow: whatever state a group is in, no plan takes a healthy member away while fewer than desired would be left,
// and no plan but a rolling one ends with more than desired.
func TestPlansNeverGoBelow(t *testing.T) {
	words := rapid.SliceOfN(rapid.SampledFrom([]string{"", ":stale", ":unknown", ":unhealthy", ":unhealthy:lost", ":stale:unhealthy:lost", ":leaving", ":leaving:busy", ":gone",
		":cpu=5", ":cpu=95", ":stale:cpu=50", ":unknown:young"}), 0, 8)
	rapid.Check(t, func(rt *rapid.T) {
		var text []string
		for n, w := range words.Draw(rt, "members") {
			text = append(text, fmt.Sprintf("m%d%s", n, w))
		}
		least := rapid.IntRange(1, 4).Draw(rt, "min")
		most := rapid.IntRange(least, 5).Draw(rt, "max")
		f := fleet{members: team(strings.Join(text, " ")), group: api.InstanceGroup{Meta: api.Meta{Name: "web"},
			Spec:   api.InstanceGroupSpec{Min: least, Max: most, CPU: rapid.SampledFrom([]int{0, 60}).Draw(rt, "cpu"), CooldownSeconds: 60},
			Status: api.InstanceGroupStatus{Desired: rapid.IntRange(0, 6).Draw(rt, "desired")}}}
		if err := sound(f, f.plan(noon())); err != nil {
			rt.Fatalf("%s: %v", strings.Join(text, " "), err)
		}
	})
}

// sound checks a plan against what must hold of every plan.
func sound(f fleet, plan []action) error {
	desired := f.group.Status.Desired
	live := map[string]member{}
	for _, m := range f.live() {
		live[m.id] = m
	}
	healthy, stale := countHealthy(f.live()), countStale(f.live())
	left, added := len(live), 0
	for _, a := range plan {
		switch a.verb {
		case fleetScale:
			desired = a.desired
		case fleetAdd:
			added++
		case fleetRetire:
			m, there := live[a.member]
			if !there {
				return fmt.Errorf("%s is retired twice, or leaves already", a.member)
			}
			delete(live, a.member)
			left--
			if m.health == "healthy" {
				healthy--
			}
			if m.health == "healthy" && healthy < desired {
				return fmt.Errorf("%s is retired, and %d healthy ones are left of %d", a.member, healthy, desired)
			}
		}
		if a.reason == "" {
			return fmt.Errorf("%s has no reason", a)
		}
	}
	switch most := desired + min(stale, 1); {
	case desired < f.group.Spec.Min || desired > f.group.Spec.Max:
		return fmt.Errorf("desired are %d", desired)
	case left+added < desired:
		return fmt.Errorf("%d are left of %d", left+added, desired)
	case added > 0 && left+added > most:
		return fmt.Errorf("%d are made, though %d are there of %d", added, left, desired)
	}
	return nil
}
