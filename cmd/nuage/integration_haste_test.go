package main

import (
	"testing"

	"nuage/api"
)

// testHaste deletes things while they are being made, and makes others under the same names at once.
func testHaste(t *testing.T, c *liveCloud) {
	commands := map[string][]string{
		"instance": {"instance", "create", "hasty", "--image", "tiny", "--type", "nano"},
		"app":      {"app", "deploy", "hasty", "--source", rowsApp, "--size", "nano"},
		"database": {"database", "create", "hasty", "--size", "nano"},
	}
	tests := map[string]func(*testing.T){}
	for noun, line := range commands {
		tests[noun] = func(t *testing.T) {
			var first, second struct{ ID string }
			c.decode(t, &first, append(line, "--no-wait", "-o", "json")...)
			c.do(t, noun, "delete", "hasty")
			c.decode(t, &second, append(line, "-o", "json")...)
			if first.ID == second.ID || first.ID == "" {
				t.Errorf("both have the id %q", first.ID)
			}
			if left := c.containers(t, "nuage.owner="+first.ID); len(left) != 0 {
				t.Errorf("container %s is left of what was deleted while it was made", left[0].Name)
			}
			if got := len(c.containers(t, "nuage.owner="+second.ID)); got != 1 {
				t.Errorf("%d containers of what was made again, want 1", got)
			}
			c.do(t, noun, "delete", "hasty")
		}
	}
	together(t, tests)
	t.Run("changes of mind", func(t *testing.T) { testChangesOfMind(t, c) })
}

// testChangesOfMind asks for one thing after the other without waiting; the last word counts.
func testChangesOfMind(t *testing.T, c *liveCloud) {
	c.do(t, "instance", "create", "fickle", "--image", "tiny", "--type", "nano", "--no-wait")
	for _, verb := range []string{"stop", "start", "reboot", "stop", "start", "reboot", "stop"} {
		c.do(t, "instance", verb, "fickle", "--no-wait")
	}
	c.do(t, "instance", "stop", "fickle")
	i := show[api.Instance](t, c, "instance", "fickle")
	if c.only(t, i.ID).State.Running || i.Status.Phase != api.Stopped {
		t.Errorf("told to stop last, it is %s", i.Status.Phase)
	}
	c.do(t, "instance", "start", "fickle")
	if out := c.do(t, "instance", "exec", "fickle", "--", "echo here"); out != "here\n" {
		t.Errorf("started again it answers %q", out)
	}
	c.do(t, "instance", "delete", "fickle")
}
