package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"nuage/api"
)

// testPgbench kills a database's server as kill -9 does, again and again, while pgbench and a writer that notes each row it was promised
// are at work. It returns by itself, no promised row is lost, and pgbench's accounts add up.
func testPgbench(t *testing.T, c *liveCloud) {
	c.do(t, "database", "create", "bank", "--engine", "postgres", "--size", "small")
	var login api.Credentials
	c.decode(t, &login, "database", "credentials", "bank", "-o", "json")
	server := c.only(t, show[api.Database](t, c, "database", "bank").ID)
	pgbench := func(args ...string) []string {
		return append([]string{"--env", "PGPASSWORD=" + login.Password, "--env", "PGUSER=" + login.User, "--env", "PGHOST=" + server.address(),
			"--env", "PGDATABASE=bank", "nuage/postgres:15", "pgbench"}, args...)
	}
	network := "container:" + server.ID
	dockerCLI(t, append([]string{"run", "--rm", "--network", network}, pgbench("--initialize", "--scale=2", "--quiet")...)...)
	c.sql(t, "bank", "CREATE TABLE promised (n int PRIMARY KEY)")
	last := 0
	for round := range 3 {
		c.eventuallyAnswers(t, "bank", login.URL)
		load := dockerCLI(t, append([]string{"run", "--detach", "--network", network}, pgbench("--no-vacuum", "--client=4", "--time=60")...)...)
		writing, stop := context.WithCancel(t.Context())
		wrote := make(chan int, 1)
		go func() { wrote <- keepPromises(writing, login.URL, last) }()
		time.Sleep(time.Duration(1000+700*round) * time.Millisecond) // the load must be under way; when the blow falls is all the same
		dockerCLI(t, "kill", "--signal=KILL", server.ID)
		now := <-wrote
		stop()
		if now == last {
			t.Errorf("round %d: nothing was written before the blow", round)
		}
		last = now
		dockerCLI(t, "rm", "--force", "--volumes", load)
	}
	c.eventuallyAnswers(t, "bank", login.URL)
	if got := c.sql(t, "bank", fmt.Sprintf("SELECT count(*) FROM promised WHERE n <= %d", last)); got != fmt.Sprint(last) {
		t.Errorf("of %d promised rows are left %s", last, got)
	}
	sums := c.sql(t, "bank", `SELECT count(*) > 0, sum(delta) = (SELECT sum(abalance) FROM pgbench_accounts),
		sum(delta) = (SELECT sum(tbalance) FROM pgbench_tellers), sum(delta) = (SELECT sum(bbalance) FROM pgbench_branches) FROM pgbench_history`)
	if sums != "t|t|t|t" {
		t.Errorf("transactions, accounts, tellers and branches are %s", sums)
	}
	var b api.Backup
	if c.decode(t, &b, "database", "backup", "bank", "-o", "json"); !b.Status.Verified || b.Status.Tables != 5 {
		t.Errorf("the backup afterwards is %+v", b.Status)
	}
	c.checkDatabaseSeries(t, "bank")
}

// keepPromises inserts numbers from the one after last, each in a transaction of its own, and returns the last that was promised.
func keepPromises(ctx context.Context, url string, last int) int {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return last
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		// One that was kept without a promise, at the blow before, is no conflict.
		if _, err := conn.Exec(ctx, "INSERT INTO promised VALUES ($1) ON CONFLICT DO NOTHING", last+1); err != nil {
			return last
		}
		last++
	}
}

// eventuallyAnswers waits until a database lets clients in, and the cloud says so.
func (c *liveCloud) eventuallyAnswers(t *testing.T, database, url string) {
	t.Helper()
	eventually(t, 30*time.Second, "the database answers", func() error {
		if o := c.try("database", "psql", database, "--", "-c", "SELECT 1"); o.status != 0 {
			return errors.New(o.err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return errors.New("not yet")
		}
		return conn.Close(ctx)
	})
}

// checkDatabaseSeries reads what the metrics say of the database.
func (c *liveCloud) checkDatabaseSeries(t *testing.T, database string) {
	t.Helper()
	eventually(t, 15*time.Second, "the series of the database", func() error {
		a, err := c.call("GET", "/metrics", "")
		if err != nil {
			return err
		}
		for _, want := range []string{"up", "size_bytes", "connections", "connections_max", "last_backup_timestamp_seconds"} {
			if !strings.Contains(a.body, "nuage_database_"+want+`{database="`+database+`",project="default"} `) {
				return fmt.Errorf("no series nuage_database_%s", want)
			}
		}
		if !strings.Contains(a.body, `nuage_database_up{database="`+database+`",project="default"} 1`) {
			return errors.New("it is not up")
		}
		return nil
	})
}
