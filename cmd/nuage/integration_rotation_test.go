package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"nuage/api"
)

// testRotation changes the credentials of a database under an app that is asked all the time: no query fails, and those before are
// refused in the end. Then an app that does not come up keeps those before valid.
func testRotation(t *testing.T, c *liveCloud) {
	c.do(t, "database", "create", "accounts", "--engine", "postgres", "--size", "nano")
	c.do(t, "app", "deploy", "clerk", "--source", rowsApp, "--size", "nano", "--health", "/rows", "--database", "accounts")
	hostile(t, c)
	for round, user := range []string{"nuage_a", "nuage_b"} {
		before := c.credentials(t, "accounts")
		answers := c.askAllTheTime(t, "clerk", "POST", "/")
		var after api.Credentials
		c.decode(t, &after, "database", "credentials", "accounts", "--rotate", "-o", "json")
		if good := answers(); good == 0 {
			t.Errorf("round %d: nothing was asked while the credentials changed", round)
		}
		if after.User != user || after.Password == before.Password || after != c.credentials(t, "accounts") {
			t.Errorf("round %d: the user is %s now, want %s", round, after.User, user)
		}
		if err := c.entersAs(t, before); err == nil || !strings.Contains(err.Error(), "not permitted to log in") && !strings.Contains(err.Error(), "authentication failed") {
			t.Errorf("round %d: with the former credentials: %v", round, err)
		}
		if err := c.entersAs(t, after); err != nil {
			t.Errorf("round %d: with the new credentials: %v", round, err)
		}
	}
	if got := c.sql(t, "accounts", "SELECT count(DISTINCT tableowner), min(tableowner) FROM pg_tables WHERE schemaname = 'public'"); got != "1|nuage" {
		t.Errorf("the tables belong to %s", got)
	}
	if got := c.sql(t, "accounts", "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls"); got != "postgres" {
		t.Errorf("more than customers may can %s", got)
	}
	testStuckRotation(t, c)
}

func (c *liveCloud) credentials(t *testing.T, database string) (l api.Credentials) {
	t.Helper()
	c.decode(t, &l, "database", "credentials", database, "-o", "json")
	return l
}

// entersAs logs in.
func (c *liveCloud) entersAs(t *testing.T, l api.Credentials) error {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, l.URL)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// askAllTheTime asks an app without a pause, by two clients. The function ends that, and answers how many answers were good;
// each other one is an error.
func (c *liveCloud) askAllTheTime(t *testing.T, app, method, path string) (end func() int64) {
	var good atomic.Int64
	done, ended := make(chan struct{}), make(chan string, 2)
	for range 2 {
		go func() {
			for {
				select {
				case <-done:
					ended <- ""
					return
				default:
				}
				if a, err := c.visit(method, appHost(app), path, ""); err != nil || a.status != 200 {
					ended <- fmt.Sprintf("an answer of the app: %d %q, %v", a.status, a.body, err)
					return
				}
				good.Add(1)
			}
		}()
	}
	return func() int64 {
		close(done)
		for range 2 {
			if bad := <-ended; bad != "" {
				t.Error(bad)
			}
		}
		return good.Load()
	}
}

// hostile tries to become more than a customer with what a customer may do: functions of his own where the platform looks for
// those of the server.
func hostile(t *testing.T, c *liveCloud) {
	c.sql(t, "accounts", `CREATE SCHEMA evil;
		CREATE FUNCTION evil.format(text, VARIADIC text[]) RETURNS text LANGUAGE plpgsql AS
			$$ BEGIN EXECUTE 'ALTER ROLE nuage SUPERUSER'; RETURN 'SELECT 1'; END $$;
		CREATE FUNCTION evil.pg_terminate_backend(int, int) RETURNS bool LANGUAGE plpgsql AS
			$$ BEGIN EXECUTE 'ALTER ROLE nuage SUPERUSER'; RETURN true; END $$;
		ALTER DATABASE accounts SET search_path = evil, pg_catalog, public`)
	for _, try := range []string{"ALTER ROLE nuage SUPERUSER", "CREATE ROLE more SUPERUSER LOGIN", "SET ROLE postgres", "SET SESSION AUTHORIZATION postgres", "COPY (SELECT 1) TO PROGRAM 'id'"} {
		if said := c.refused(t, 1, "database", "psql", "accounts", "--", "-v", "ON_ERROR_STOP=1", "-c", try); !strings.Contains(said, "ERROR") {
			t.Errorf("%s: %q", try, said)
		}
	}
	var b api.Backup
	if c.decode(t, &b, "database", "backup", "accounts", "-o", "json"); !b.Status.Verified {
		t.Errorf("the backup is %+v", b.Status)
	}
	c.sql(t, "accounts", "ALTER DATABASE accounts RESET search_path")
	c.sql(t, "accounts", "ALTER DATABASE accounts SET search_path = public, evil, pg_catalog")
}

// testStuckRotation: an app that does not come up with the new credentials keeps those before valid until it does.
func testStuckRotation(t *testing.T, c *liveCloud) {
	before := c.credentials(t, "accounts")
	c.do(t, "app", "deploy", "clerk", "--deadline", "15s") // so long the failure is awaited
	c.sql(t, "accounts", "ALTER TABLE rows RENAME TO hidden; CREATE VIEW rows AS SELECT body FROM hidden WHERE 1 / (session_user = 'nuage_b')::int = 1")
	said := c.refused(t, 1, "database", "credentials", "accounts", "--rotate")
	if !strings.Contains(said, `they stay valid until app "clerk" has moved (release`) || !strings.Contains(said, "deploy it again") {
		t.Errorf("a rotation with an app that fails says %q", said)
	}
	if said := c.refused(t, 1, "database", "credentials", "accounts", "--rotate"); !strings.Contains(said, "that is under way already") {
		t.Errorf("another rotation meanwhile says %q", said)
	}
	if err := c.entersAs(t, before); err != nil {
		t.Errorf("with the former credentials, which an app uses: %v", err)
	}
	c.sql(t, "accounts", "DROP VIEW rows; ALTER TABLE hidden RENAME TO rows")
	c.do(t, "app", "deploy", "clerk", "--env", "GREETING=again", "--deadline", "2m")
	eventually(t, 60*time.Second, "the former credentials are refused", func() error {
		if err := c.entersAs(t, before); err != nil {
			return nil
		}
		return fmt.Errorf("%+v", show[api.Database](t, c, "database", "accounts").Status.Rotation)
	})
	c.do(t, "app", "delete", "clerk")
}
