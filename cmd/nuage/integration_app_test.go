package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nuage/api"
)

// testApp deploys an app from source with a database bound, and everything that can go wrong with that.
func testApp(t *testing.T, c *liveCloud) {
	c.do(t, "database", "create", "notes", "--engine", "postgres")
	c.do(t, "app", "deploy", "rows", "--source", rowsApp, "--database", "notes", "--health", "/health", "--env", "GREETING=one")
	c.serves(t, "rows", "release 1 on rows-0 greets one")
	t.Run("rows are kept", func(t *testing.T) {
		c.addRow(t, "rows")
		if out := c.do(t, "database", "psql", "notes", "--", "-tAc", "select count(*) from rows"); out != "1\n" {
			t.Errorf("psql counts %q rows, want 1", out)
		}
	})
	t.Run("scale", func(t *testing.T) { testScale(t, c) })
	t.Run("nothing lost", func(t *testing.T) { testNothingLost(t, c) })
	t.Run("failing deploys", func(t *testing.T) { testFailingDeploys(t, c) })
	t.Run("rollback", func(t *testing.T) { testRollback(t, c) })
	t.Run("split", func(t *testing.T) { testSplitComesBack(t, c) })
	t.Run("bound", func(t *testing.T) {
		want := "nuage: cannot delete database \"notes\": app \"rows\" is bound to it; unbind it first\n"
		if said := c.refused(t, 1, "database", "delete", "notes"); said != want {
			t.Errorf("it said %q, want %q", said, want)
		}
	})
	t.Run("database", func(t *testing.T) { testDatabaseSurvives(t, c) })
	t.Run("logs", func(t *testing.T) { testAppLogs(t, c) })
	t.Run("delete", func(t *testing.T) {
		c.do(t, "app", "delete", "rows")
		c.do(t, "database", "delete", "notes")
		for _, what := range [][]string{{"ps", "--all"}, {"volume", "ls"}, {"image", "ls", "--all"}} {
			for _, name := range []string{"rows", "notes"} {
				left := append(what, "--quiet", "--filter", "label=nuage.cloud="+c.id, "--filter", "label=nuage.name="+name)
				if ids := dockerCLI(t, left...); ids != "" {
					t.Errorf("left of the deleted %q by docker %s: %s", name, what[0], ids)
				}
			}
		}
	})
}

const rowsApp = "testdata/rows"

func appHost(name string) string { return name + ".app.localhost" }

// serves fails the test unless the app answers exactly that now.
func (c *liveCloud) serves(t *testing.T, app, want string) {
	t.Helper()
	if a, err := c.visit("GET", appHost(app), "/", ""); err != nil || a.body != want {
		t.Errorf("app %s answers %d %q, %v; want %q", app, a.status, a.body, err, want)
	}
}

func (c *liveCloud) addRow(t *testing.T, app string) {
	t.Helper()
	if a, err := c.visit("POST", appHost(app), "/rows", "row"); err != nil || a.status != 200 {
		t.Errorf("adding a row answers %d %q, %v", a.status, a.body, err)
	}
}

func testScale(t *testing.T, c *liveCloud) {
	c.do(t, "app", "scale", "rows", "3")
	seen := map[string]bool{}
	for range 12 {
		a, err := c.visit("GET", appHost("rows"), "/", "")
		if err != nil || a.status != 200 {
			t.Fatalf("it answers %d %q, %v", a.status, a.body, err)
		}
		seen[a.body] = true
	}
	if len(seen) != 3 {
		t.Errorf("three replicas answer %v", seen)
	}
	c.do(t, "app", "scale", "rows", "2")
	if got := show[api.App](t, c, "app", "rows"); got.Status.Release != 1 || len(got.Status.Replicas) != 2 {
		t.Errorf("release %d with %d replicas, want 1 with 2", got.Status.Release, len(got.Status.Replicas))
	}
}

// visitors send requests until they are told to end.
type visitors struct {
	stop  chan struct{}
	all   sync.WaitGroup
	count atomic.Int64
}

// sendVisitors sends all kinds of requests, slow ones too, none of which may fail.
func sendVisitors(t *testing.T, c *liveCloud, app string) *visitors {
	v := &visitors{stop: make(chan struct{})}
	for _, kind := range []struct{ method, path, body string }{
		{"GET", "/", ""}, {"GET", "/slow", ""}, {"POST", "/rows", "row"}, {"POST", "/slow", "row"}, {"POST", "/slow", "row"},
	} {
		v.all.Go(func() {
			pause := time.NewTicker(10 * time.Millisecond)
			defer pause.Stop()
			for {
				select {
				case <-v.stop:
					return
				case <-pause.C:
				}
				if a, err := c.visit(kind.method, appHost(app), kind.path, kind.body); err != nil || a.status != 200 {
					t.Errorf("%s %s answers %d %q, %v", kind.method, kind.path, a.status, a.body, err)
				}
				v.count.Add(1)
			}
		})
	}
	return v
}

// gone ends the requests and returns how many there were.
func (v *visitors) gone() int64 {
	close(v.stop)
	v.all.Wait()
	return v.count.Load()
}

// testNothingLost changes an app in all ways under requests.
func testNothingLost(t *testing.T, c *liveCloud) {
	v := sendVisitors(t, c, "rows")
	c.do(t, "app", "deploy", "rows", "--source", rowsApp, "--env", "GREETING=two")
	c.do(t, "app", "config", "set", "rows", "GREETING=three")
	c.do(t, "app", "restart", "rows")
	for _, replicas := range []string{"1", "3", "1", "3", "1"} {
		c.do(t, "app", "scale", "rows", replicas)
	}
	if n := v.gone(); n < 20 {
		t.Errorf("only %d requests were made", n)
	}
	c.serves(t, "rows", "release 4 on rows-0 greets three")
}

// testFailingDeploys fails in every way; release 4 serves on all the time, and the cause and the log are printed.
func testFailingDeploys(t *testing.T, c *liveCloud) {
	v := sendVisitors(t, c, "rows")
	for _, f := range []struct {
		args []string
		want string // status 1 and this on stderr
	}{
		{[]string{"--source", filepath.Join("testdata", "broken")}, "the compiler says: missing bracket in line 7\n"},
		{[]string{"--source", rowsApp, "--env", "MODE=crash"}, "  | no such setting: FLAVOUR\n"},
		{[]string{"--env", "MODE=crash"}, "failed: its program exited with status 3, 3 times in a row; release v4 goes on serving\n"},
		{[]string{"--env", "MODE=elsewhere", "--deadline", "60s"}, "failed: no replica accepts connections on port 8080; its program listens on port 9099: deploy with --port 9099, or make it listen on $PORT; release v4 goes on serving\n"},
		{[]string{"--env", "MODE=sick", "--deadline", "4s"}, "failed: no healthy replica on port 8080 within 4s: its health path answers 500 Internal Server Error; release v4 goes on serving\n"},
		{[]string{"--env", "MODE=hungry", "--deadline", "60s"}, "  | reading all of it into memory\nnuage: cannot deploy app \"rows\": release v9 failed: its program was killed for taking more memory than its size allows, 3 times in a row; release v4 goes on serving\n"},
		{[]string{"--image", "no/such:image"}, "nuage: cannot find image \"no/such:image\""},
	} {
		o := c.try(append([]string{"app", "deploy", "rows"}, f.args...)...)
		if o.status != 1 || !strings.Contains(o.err, f.want) {
			t.Errorf("wanted status 1 and %q of %s", f.want, o)
		}
		if a := show[api.App](t, c, "app", "rows").Status; a.Release != 4 || a.Phase != api.Running {
			t.Errorf("after %q release %d is in phase %s (%s), want 4 running", f.args, a.Release, a.Phase, a.Reason)
		}
	}
	v.gone()
	c.serves(t, "rows", "release 4 on rows-0 greets three")
}

// testRollback goes back to what served, and never to what did not.
func testRollback(t *testing.T, c *liveCloud) {
	if said := c.refused(t, 1, "app", "rollback", "rows", "--to", "v6"); !strings.Contains(said, "cannot roll app \"rows\" back to release 6: it never served") {
		t.Errorf("it said %q", said)
	}
	c.do(t, "app", "rollback", "rows", "--to", "v2")
	a, err := c.visit("GET", appHost("rows"), "/", "")
	if err != nil || !strings.HasSuffix(a.body, "on rows-0 greets two") {
		t.Errorf("rolled back it answers %d %q, %v", a.status, a.body, err)
	}
	c.do(t, "app", "rollback", "rows")
	if a, err = c.visit("GET", appHost("rows"), "/", ""); err != nil || !strings.HasSuffix(a.body, "on rows-0 greets three") {
		t.Errorf("rolled back again it answers %d %q, %v", a.status, a.body, err)
	}
}

// testSplitComesBack splits to a release that no longer starts, since what it finds in the database has changed: nothing is lost by that.
func testSplitComesBack(t *testing.T, c *liveCloud) {
	c.do(t, "app", "config", "set", "rows", "MODE=settled")
	settled := show[api.App](t, c, "app", "rows").Status.Release
	c.do(t, "app", "config", "unset", "rows", "MODE")
	c.do(t, "database", "psql", "notes", "--", "-qc", "create table moved ()")
	v := sendVisitors(t, c, "rows")
	said := c.refused(t, 1, "app", "split", "rows", fmt.Sprintf("v%d=100", settled))
	want := fmt.Sprintf("  | the rows have moved\nnuage: cannot split app \"rows\": release v%d did not come back: its program exited with status 4, 3 times in a row; requests go on to v%d\n", settled, settled+1)
	if !strings.HasSuffix(said, want) {
		t.Errorf("it said %q, want %q", said, want)
	}
	c.do(t, "database", "psql", "notes", "--", "-qc", "drop table moved")
	c.do(t, "app", "split", "rows", fmt.Sprintf("v%d=100", settled))
	v.gone()
	c.do(t, "app", "rollback", "rows")
}

// testDatabaseSurvives takes the server away in the worst ways; no row is lost.
func testDatabaseSurvives(t *testing.T, c *liveCloud) {
	db := show[api.Database](t, c, "database", "notes")
	before := c.do(t, "database", "psql", "notes", "--", "-tAc", "select count(*) from rows")
	for _, blow := range [][]string{{"kill"}, {"rm", "--force"}} {
		c.addRow(t, "rows")
		was := c.only(t, db.ID)
		dockerCLI(t, append(blow, was.ID)...)
		eventually(t, 15*time.Second, "the database serves after docker "+blow[0], func() error {
			a, err := c.visit("GET", appHost("rows"), "/rows", "")
			if err == nil && a.status != 200 {
				err = fmt.Errorf("the app answers %d %q", a.status, a.body)
			}
			return err
		})
	}
	var now api.Database
	eventually(t, 10*time.Second, "the database shows that it runs", func() error {
		if now = show[api.Database](t, c, "database", "notes"); now.Status.Phase != api.Running {
			return fmt.Errorf("it is %s (%s)", now.Status.Phase, now.Status.Reason)
		}
		return nil
	})
	if now.Status.InternalHost != db.Status.InternalHost || now.Status.Host != db.Status.Host || now.Status.Restarts < 2 {
		t.Errorf("it was at %s and %s, now %s and %s, brought back %d times", db.Status.Host, db.Status.InternalHost, now.Status.Host, now.Status.InternalHost, now.Status.Restarts)
	}
	var rows, rowsBefore int
	after := c.do(t, "database", "psql", "notes", "--", "-tAc", "select count(*) from rows")
	if _, err := fmt.Sscan(before, &rowsBefore); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(after, &rows); err != nil || rows != rowsBefore+2 {
		t.Errorf("%d rows of %d are there: %v", rows, rowsBefore+2, err)
	}
}

// testAppLogs follows two replicas through a restart: each line is named, and those of the new replicas come too.
func testAppLogs(t *testing.T, c *liveCloud) {
	c.do(t, "app", "scale", "rows", "2")
	path := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	follower := exec.Command(c.program, "app", "logs", "rows", "-f", "--home", c.home)
	follower.Stdout, follower.Stderr = log, log
	if err := follower.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = follower.Process.Kill() // it ends in no other way
		_ = follower.Wait()
	}()
	begun := func() error { return c.logsBegin(t, path) }
	eventually(t, 20*time.Second, "both replicas are in the log", begun)
	before := show[api.App](t, c, "app", "rows").Status.Release
	c.do(t, "app", "restart", "rows")
	if after := show[api.App](t, c, "app", "rows").Status.Release; after == before {
		t.Errorf("release %d was restarted as the same", after)
	}
	eventually(t, 20*time.Second, "both new replicas are in the log that is followed", begun)
	if last := c.do(t, "app", "logs", "rows", "--tail", "1"); strings.Count(last, "\n") != 1 || !strings.Contains(last, " | listening on ") {
		t.Errorf("the last line is %q", last)
	}
}

// logsBegin looks for the first line of each replica of the app in a file.
func (c *liveCloud) logsBegin(t *testing.T, path string) error {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, r := range show[api.App](t, c, "app", "rows").Status.Replicas {
		if want := r.ID[strings.LastIndex(r.ID, "-r")+1:] + " | listening on "; !strings.Contains(string(text), want) {
			return fmt.Errorf("no line %q in\n%s", want, text)
		}
	}
	return nil
}
