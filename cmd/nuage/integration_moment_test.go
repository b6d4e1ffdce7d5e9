package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testMoment drops a table, after its server was killed between writes, and makes a database of what there was the moment before.
func testMoment(t *testing.T, c *liveCloud) {
	eventually(t, 8*time.Minute, "a copy is there from which the log can be replayed", func() error {
		if show[api.Database](t, c, "database", "often").Status.Restorable == nil {
			return fmt.Errorf("not yet; the record says\n%s", c.do(t, "activity", "list", "--resource", "often"))
		}
		return nil
	})
	c.sql(t, "often", "CREATE TABLE ledger (n int PRIMARY KEY, line text); INSERT INTO ledger SELECT i, md5(i::text) FROM generate_series(1, 30000) i")
	dockerCLI(t, "kill", "--signal=KILL", c.only(t, show[api.Database](t, c, "database", "often").ID).ID)
	c.eventuallyAnswers(t, "often", c.credentials(t, "often").URL)
	c.sql(t, "often", "INSERT INTO ledger SELECT i, 'after the blow' FROM generate_series(30001, 30500) i")
	moment := c.sql(t, "often", `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`)
	c.sql(t, "often", "DROP TABLE ledger")
	c.sql(t, "often", "CREATE TABLE late (n int)")
	began := time.Now()
	c.do(t, "database", "restore", "often", "--as", "before", "--time", moment)
	t.Logf("the restore took %.0f s", time.Since(began).Seconds())
	got := c.sql(t, "before", "SELECT count(*), sum(n), count(*) FILTER (WHERE line = 'after the blow'), to_regclass('late') IS NULL FROM ledger")
	if want := fmt.Sprintf("30500|%d|500|t", 30500*30501/2); got != want {
		t.Errorf("the database begins with %s, want %s", got, want)
	}
	if got := c.sql(t, "often", "SELECT to_regclass('ledger') IS NULL, to_regclass('late') IS NULL"); got != "t|f" {
		t.Errorf("in the one restored from tables are %s", got)
	}
	for at, want := range map[string]string{"2020-01-01T00:00:00Z": "is too early", "2200-01-01T00:00:00Z": "is in the future"} {
		if said := c.refused(t, 1, "database", "restore", "often", "--as", "never", "--time", at); !strings.Contains(said, want) {
			t.Errorf("a restore to %s says %q", at, said)
		}
	}
	if made := c.do(t, "activity", "list", "--layer", "data", "--actor", "platform"); !strings.Contains(made, "replayed in a scratch server") || !strings.Contains(made, "database often at ") {
		t.Errorf("the record does not have the archive:\n%s", made)
	}
	c.do(t, "database", "restore", "often", "--as", "unfinished", "--time", "0s", "--no-wait") // a step for it is under way or near
	c.do(t, "database", "delete", "unfinished")
	c.do(t, "database", "delete", "often")
	if left, err := os.ReadDir(filepath.Join(c.home, "blobs", "archives")); err != nil || len(left) != 0 {
		t.Errorf("of the archive are left %v, %v", left, err)
	}
}
