package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testAdvisory plants a vulnerable package in an instance, an app and a database. The platform makes the app's image anew and releases it, with
// no request lost, and makes the database's server anew on its data; the instance stays vulnerable until its owner acts.
func testAdvisory(t *testing.T, c *liveCloud) {
	c.sql(t, "vault", "CREATE TABLE kept AS SELECT 42 AS answer")
	answers := c.askAllTheTime(t, "twins", "GET", "/health")
	c.do(t, "advisory", "plant", "NUAGE-2026-1", "phoenix", "twins", "vault")
	if out := c.do(t, "instance", "exec", "phoenix", "--", "cat", "/usr/local/lib/libgrumble/version"); out != "1.0\n" {
		t.Errorf("planted in the instance: %q", out)
	}
	eventually(t, 2*time.Minute, "the platform has patched what it manages", func() error {
		return c.found("instance/phoenix vulnerable , app/twins patched platform, database/vault patched platform")
	})
	if answers() == 0 {
		t.Error("nothing was asked while the app was patched")
	}
	app := show[api.App](t, c, "app", "twins")
	for _, container := range c.containers(t, "nuage.owner="+app.ID) {
		if out := dockerCLI(t, "exec", container.ID, "cat", "/usr/local/lib/libgrumble/version"); out != "1.1" {
			t.Errorf("a replica has version %q", out)
		}
	}
	if got := c.sql(t, "vault", "SELECT answer FROM kept"); got != "42" {
		t.Errorf("the database's data are %q", got)
	}
	c.do(t, "instance", "exec", "phoenix", "--", "echo 1.1 > /usr/local/lib/libgrumble/version")
	eventually(t, time.Minute, "the owner has patched the instance", func() error {
		return c.found("instance/phoenix patched customer, app/twins patched platform, database/vault patched platform")
	})
	if work := c.do(t, "activity", "list", "--verb", "patch", "--by", "patcher"); strings.Count(work, "operating-system") != 2 {
		t.Errorf("the platform's patches are recorded as:\n%s", work)
	}
	if compared := c.do(t, "compare", "phoenix", "twins"); !strings.Contains(compared, "customer") || !strings.Contains(compared, "vulnerable package patched by") {
		t.Errorf("the comparison says nothing of it:\n%s", compared)
	}
}

// found answers nil where the findings are these, in the order of the planting.
func (c *liveCloud) found(want string) error {
	var list api.List[api.Finding]
	if err := c.read("/v1/projects/default/findings", &list); err != nil {
		return err
	}
	var all []string
	for _, noun := range []string{"instance", "app", "database"} {
		for _, f := range list.Items {
			if f.Noun == noun {
				all = append(all, fmt.Sprintf("%s/%s %s %s", f.Noun, f.Resource, f.State, f.By))
			}
		}
	}
	if got := strings.Join(all, ", "); got != want {
		return fmt.Errorf("the findings are %s: %+v", got, list.Items)
	}
	return nil
}
