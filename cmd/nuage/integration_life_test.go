package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testLife starts and stops a cloud as its owner does.
func testLife(t *testing.T, program string) {
	c := newCloud(t, program)
	c.upDetached(t)
	together(t, map[string]func(*testing.T){
		"runs":  func(t *testing.T) { c.do(t, "instance", "create", "runs", "--image", "tiny", "--type", "nano") },
		"rests": func(t *testing.T) { c.do(t, "instance", "create", "rests", "--image", "tiny", "--type", "nano") },
		"app":   func(t *testing.T) { c.do(t, "app", "deploy", "web", "--source", rowsApp, "--size", "nano") },
	})
	c.do(t, "instance", "stop", "rests")
	t.Run("second up", func(t *testing.T) { testSecondUp(t, c) })
	t.Run("port in use", func(t *testing.T) { testPortInUse(t, c) })
	t.Run("down and up", func(t *testing.T) { testDownAndUp(t, c) })
	t.Run("killed while it stops", func(t *testing.T) { testKilledDown(t, c) })
	t.Run("reset", func(t *testing.T) { testReset(t, c) })
}

// upDetached starts the cloud in the background by its own means; its process is found in the home.
func (c *liveCloud) upDetached(t *testing.T) {
	t.Helper()
	out := c.do(t, "up", "--detach", "--engine", "docker", "--listen", c.listen, "--edge", c.edge)
	if !strings.HasSuffix(out, "the cloud is up; nuage status looks at it, nuage down stops it\n") {
		t.Errorf("up printed %q", out)
	}
	c.learn(t)
}

func testSecondUp(t *testing.T, c *liveCloud) {
	pid, err := storageHolder(c.home)
	if err != nil {
		t.Fatal(err)
	}
	o := c.try("up", "--engine", "docker", "--listen", "127.0.0.1:0", "--edge", "127.0.0.1:0")
	want := fmt.Sprintf("it is in use, probably by the nuage with pid %d at %s; stop that one (\"nuage down\") or choose another home\n", pid, c.listen)
	if o.status != 1 || !strings.HasSuffix(o.err, want) {
		t.Errorf("wanted status 1 and %q of %s", want, o)
	}
	c.do(t, "status")
}

func testPortInUse(t *testing.T, c *liveCloud) {
	other := newCloud(t, c.program)
	for _, at := range [][]string{{"listen", c.listen, "127.0.0.1:0"}, {"edge", "127.0.0.1:0", c.edge}} {
		o := other.try("up", "--engine", "docker", "--listen", at[1], "--edge", at[2])
		if o.status != 1 || !strings.HasSuffix(o.err, "another program has that address, maybe another cloud; choose a free one with --"+at[0]+"\n") {
			t.Errorf("with --%s in use: %s", at[0], o)
		}
	}
	if o := other.try("up", "--detach", "--engine", "docker", "--listen", c.listen, "--edge", "127.0.0.1:0"); o.status != 1 || !strings.Contains(o.err, "another program has that address") {
		t.Errorf("in the background: %s", o)
	}
}

// testDownAndUp stops everything, and the next start brings back what ran and nothing else.
func testDownAndUp(t *testing.T, c *liveCloud) {
	before := map[string]api.Instance{"runs": show[api.Instance](t, c, "instance", "runs"), "rests": show[api.Instance](t, c, "instance", "rests")}
	c.do(t, "instance", "exec", "runs", "--", "echo kept > /root/kept")
	c.do(t, "down")
	if _, err := storageHolder(c.home); err == nil {
		t.Error("down has returned, and a process holds the home")
	}
	for _, k := range c.containers(t) {
		if k.State.Running {
			t.Errorf("%s runs after down", k.Name)
		}
	}
	c.refused(t, 1, "instance", "list")
	c.upDetached(t)
	eventually(t, 20*time.Second, "what ran runs again", c.running("runs", 0))
	eventually(t, 20*time.Second, "the app serves again", func() error { return c.appRuns("web", 0) })
	c.serves(t, "web", "release 1 on web-0 greets none")
	for name, was := range before {
		is := show[api.Instance](t, c, "instance", name)
		if is.ID != was.ID || is.Status.Phase != was.Status.Phase || is.Status.Address != was.Status.Address || is.Status.HostKey != was.Status.HostKey {
			t.Errorf("%s was %+v and is %+v", name, was.Status, is.Status)
		}
	}
	if out := c.do(t, "ssh", "runs", "--", "cat /root/kept"); out != "kept\n" {
		t.Errorf("its disk holds %q", out)
	}
	if c.only(t, before["rests"].ID).State.Running {
		t.Error("what was stopped runs")
	}
}

// testKilledDown kills the cloud while it stops everything. The next start brings back what ran, and nobody is blamed.
func testKilledDown(t *testing.T, c *liveCloud) {
	for _, delay := range []time.Duration{20 * time.Millisecond, 200 * time.Millisecond} {
		pid, err := storageHolder(c.home)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan outcome, 1)
		go func() { done <- c.try("down") }()
		time.Sleep(delay) // the blow falls while down works; nothing is awaited
		blow(t, pid)
		<-done
		eventually(t, 5*time.Second, "the process is gone", func() error {
			if _, err := storageHolder(c.home); err == nil {
				return errors.New("it holds the home")
			}
			return nil
		})
		c.upDetached(t)
		eventually(t, 20*time.Second, "what ran runs again", c.running("runs", 0))
		eventually(t, 20*time.Second, "the app serves again", func() error { return c.appRuns("web", 0) })
	}
	id := show[api.Instance](t, c, "instance", "runs").ID
	dockerCLI(t, "kill", c.only(t, id).ID)
	eventually(t, 10*time.Second, "a kill from outside is told from a stop", c.running("runs", 1))
}

// blow ends a process, which may have ended, as kill -9 does.
func blow(t *testing.T, pid int) {
	t.Helper()
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Kill()
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

// testReset removes a running cloud with all it has.
func testReset(t *testing.T, c *liveCloud) {
	c.refused(t, 2, "reset")
	half := exec.Command(c.program, "reset", "--yes", "--home", c.home)
	if err := half.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // the blow falls while reset works; nothing is awaited
	blow(t, half.Process.Pid)
	_ = half.Wait()
	eventually(t, 30*time.Second, "another reset ends what one has begun", func() error {
		if o := c.try("reset", "--yes"); o.status != 0 {
			return errors.New(o.String())
		}
		return nil
	})
	c.checkGone(t)
	if conn, err := net.DialTimeout("tcp", c.listen, time.Second); err == nil {
		conn.Close()
		t.Errorf("something listens at %s after reset", c.listen)
	}
	for _, name := range []string{"state.db", "secret.key", "config.json", "keys", "blobs"} {
		if _, err := os.Stat(filepath.Join(c.home, name)); err == nil {
			t.Errorf("%s is left in the home", name)
		}
	}
	if o := c.try("reset", "--yes"); o.status != 0 {
		t.Errorf("again: %s", o)
	}
}

// testRestore saves the state while the cloud runs, and carries on from it.
func testRestore(t *testing.T, c *liveCloud) {
	file := filepath.Join(t.TempDir(), "saved.nuage")
	together(t, map[string]func(*testing.T){
		"instance": func(t *testing.T) { c.do(t, "instance", "create", "early", "--image", "tiny", "--type", "nano") },
		"database": func(t *testing.T) { c.do(t, "database", "create", "orders", "--size", "nano") },
	})
	c.do(t, "database", "psql", "orders", "--", "-c", "create table rows as select 7 as n")
	saved := c.steady(t)
	c.do(t, "backup", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v, %v", info, err)
	}
	c.do(t, "instance", "create", "late", "--image", "tiny", "--type", "nano")
	if said := c.refused(t, 1, "restore", file); !strings.Contains(said, "in use") {
		t.Errorf("restoring a running cloud says %q", said)
	}
	c.interrupt(t)
	c.do(t, "restore", file)
	c.up(t)
	c.checkCarriesOn(t, saved)
}

// checkCarriesOn: what the saved state knows was adopted, what it does not know is gone, and all verbs work.
func (c *liveCloud) checkCarriesOn(t *testing.T, saved map[string]container) {
	t.Helper()
	eventually(t, 20*time.Second, "the cloud is as it was saved", func() error {
		now := c.steady(t)
		for id, was := range saved {
			if is := now[id]; is.ID != was.ID || !is.State.StartedAt.Equal(was.State.StartedAt) {
				return fatal{fmt.Errorf("%s was container %.12s and is %.12s", was.Name, was.ID, is.ID)}
			}
		}
		if len(now) != len(saved) {
			return fmt.Errorf("%d containers run, want %d", len(now), len(saved))
		}
		return c.running("early", 0)()
	})
	c.refused(t, 1, "instance", "show", "late")
	if out := c.do(t, "ssh", "early", "--", "echo there"); out != "there\n" {
		t.Errorf("SSH answers %q", out)
	}
	if out := c.do(t, "database", "psql", "orders", "--", "-tAc", "select n from rows"); out != "7\n" {
		t.Errorf("the database answers %q", out)
	}
	c.do(t, "instance", "create", "later", "--image", "tiny", "--type", "nano")
	if ready, what := askReady(context.Background(), "http://"+c.listen); !ready {
		t.Error(what)
	}
}
