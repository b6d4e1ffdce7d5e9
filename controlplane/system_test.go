package controlplane

import (
	"testing"
	"time"

	"nuage/api"
)

func TestUnhealthyLeavesOutWhatIsNew(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	function := func(name string, phase api.Phase, age time.Duration) api.Function {
		f := api.Function{Meta: api.Meta{Name: name, Project: "default", CreatedAt: now.Add(-age)}}
		f.Status.Phase = phase
		return f
	}
	w := &world{functions: []api.Function{
		function("new", api.Pending, time.Second),
		function("late", api.Pending, newFor),
		function("broken", api.Failed, time.Second),
		function("fine", api.Running, time.Hour),
	}}
	var names []string
	for _, u := range w.unhealthy("default", now) {
		names = append(names, u.Name)
	}
	if len(names) != 2 || names[0] != "late" || names[1] != "broken" {
		t.Errorf("unhealthy: %q, want late and broken", names)
	}
}
