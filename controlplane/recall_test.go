package controlplane

import (
	"errors"
	"testing"
)

func TestRecalled(t *testing.T) {
	r := newRecalled[string, int]("tokens", "projects")
	stored, reads := 1, 0
	read := func() (int, error) { reads++; return stored, nil }
	for _, step := range []struct {
		name        string
		do          func()
		want, reads int
	}{
		{"at first", func() {}, 1, 1},
		{"again", func() {}, 1, 1},
		{"another table has changed", func() { r.committed([]string{"functions"}) }, 1, 1},
		{"the table has changed", func() { stored = 2; r.committed([]string{"runs", "projects"}) }, 2, 2},
	} {
		step.do()
		if got, err := r.get("k", read); err != nil || got != step.want || reads != step.reads {
			t.Errorf("%s: got %d after %d reads, %v; want %d after %d", step.name, got, reads, err, step.want, step.reads)
		}
	}
	late := func() (int, error) { r.committed([]string{"tokens"}); return 2, nil } // a commit comes between the reading and the keeping
	if got, err := r.get("late", late); got != 2 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	gone := errors.New("gone")
	if _, err := r.get("late", func() (int, error) { return 0, gone }); !errors.Is(err, gone) {
		t.Errorf("what was read before a commit was kept: %v", err)
	}
	if got, err := r.get("late", func() (int, error) { return 3, nil }); got != 3 || err != nil {
		t.Errorf("an error was kept: %d, %v", got, err)
	}
}
