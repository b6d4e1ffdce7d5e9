package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testHealing takes an instance and a replica away from outside, and looks at how they return.
func testHealing(t *testing.T, c *liveCloud) {
	together(t, map[string]func(*testing.T){
		"instance": func(t *testing.T) { c.do(t, "instance", "create", "phoenix", "--image", "tiny", "--type", "nano") },
		"database": func(t *testing.T) { c.do(t, "database", "create", "vault", "--size", "nano") },
		"app": func(t *testing.T) {
			c.do(t, "app", "deploy", "twins", "--source", rowsApp, "--health", "/health", "--size", "nano", "--scale", "2")
		},
	})
	t.Run("instance removed", func(t *testing.T) { testRemoved(t, c) })
	t.Run("instance killed", func(t *testing.T) { testKilled(t, c) })
	t.Run("replica killed", func(t *testing.T) { testReplicaKilled(t, c) })
	t.Run("replica removed", func(t *testing.T) { testReplicaRemoved(t, c) })
	t.Run("advisory", func(t *testing.T) { testAdvisory(t, c) })
}

// testRemoved removes the container of an instance: within 2 s of that another one runs with the same address and host key.
func testRemoved(t *testing.T, c *liveCloud) {
	before := show[api.Instance](t, c, "instance", "phoenix")
	c.do(t, "instance", "exec", "phoenix", "--", "echo lost > /root/lost")
	promptly(t, 2*time.Second, func(n int) time.Duration {
		dockerCLI(t, "rm", "--force", c.only(t, before.ID).ID)
		gone := time.Now()
		eventually(t, 30*time.Second, "the instance runs again", c.running("phoenix", before.Status.Restarts+n))
		return c.only(t, before.ID).State.StartedAt.Sub(gone)
	})
	is := c.only(t, before.ID)
	after := show[api.Instance](t, c, "instance", "phoenix")
	if after.Status.Address != before.Status.Address || is.address() != before.Status.Address || after.Status.HostKey != before.Status.HostKey {
		t.Errorf("it was %s with %s, now %s (%s) with %s", before.Status.Address, before.Status.HostKey, after.Status.Address, is.address(), after.Status.HostKey)
	}
	const want = "its container was removed from outside; made again with a fresh root disk, the same address and host key at "
	if !strings.HasPrefix(after.Status.Reason, want) {
		t.Errorf("its reason is %q, want %q", after.Status.Reason, want)
	}
	if out, status := c.openSSH(t, "phoenix", "ssh", "", "cat /root/lost"); status != 1 || out != "" {
		t.Errorf("SSH printed %q with status %d; the root disk is no fresh one", out, status)
	}
}

// running answers nil once the instance runs after it was brought back so often.
func (c *liveCloud) running(name string, restarts int) func() error {
	return func() error {
		var i api.Instance
		if err := c.read("/v1/projects/default/instances/"+name, &i); err != nil {
			return err
		}
		if i.Status.Phase != api.Running || i.Status.Restarts != restarts {
			return fmt.Errorf("it is %s (%s), brought back %d times", i.Status.Phase, i.Status.Reason, i.Status.Restarts)
		}
		return nil
	}
}

// testKilled kills the container of an instance: SSH answers again within 5 s, and the disk is there.
func testKilled(t *testing.T, c *liveCloud) {
	before := show[api.Instance](t, c, "instance", "phoenix")
	c.do(t, "instance", "exec", "phoenix", "--", "echo kept > /root/kept")
	was := c.only(t, before.ID)
	promptly(t, 5*time.Second, func(n int) time.Duration {
		dockerCLI(t, "kill", was.ID)
		killed := time.Now()
		eventually(t, 30*time.Second, "the instance runs again", c.running("phoenix", before.Status.Restarts+n))
		return time.Since(killed)
	})
	after := show[api.Instance](t, c, "instance", "phoenix")
	if is := c.only(t, before.ID); is.ID != was.ID || after.Status.Address != before.Status.Address {
		t.Errorf("container %s at %s is now %s at %s", was.ID, before.Status.Address, is.ID, after.Status.Address)
	}
	if !strings.HasPrefix(after.Status.Reason, "it exited with status 137 and was started again at ") {
		t.Errorf("its reason is %q", after.Status.Reason)
	}
	if out, status := c.openSSH(t, "phoenix", "ssh", "", "cat /root/kept"); status != 0 || out != "kept\n" {
		t.Errorf("SSH printed %q with status %d", out, status)
	}
}

// testReplicaKilled kills one of two replicas: the other answers meanwhile, and within 5 s both serve.
func testReplicaKilled(t *testing.T, c *liveCloud) {
	before := show[api.App](t, c, "app", "twins")
	promptly(t, 5*time.Second, func(n int) time.Duration {
		dockerCLI(t, "kill", c.only(t, replicaOf(before.ID, 0)).ID)
		killed := time.Now()
		eventually(t, 30*time.Second, "both replicas serve", func() error {
			if a, err := c.visit("GET", appHost("twins"), "/", ""); err != nil || a.status != 200 {
				return fatal{fmt.Errorf("with one replica killed it answers %d %q, %v", a.status, a.body, err)}
			}
			return c.appRuns("twins", before.Status.Restarts+n)
		})
		return time.Since(killed)
	})
}

// promptly measures up to three times how long something takes: other tests load the machine meanwhile, and one time
// within the limit shows that the cloud keeps it.
func promptly(t *testing.T, limit time.Duration, measure func(n int) time.Duration) {
	t.Helper()
	var took []time.Duration
	for n := range 3 {
		took = append(took, measure(n+1))
		if took[n] <= limit {
			return
		}
	}
	t.Errorf("it was back after %v, want %s once", took, limit)
}

func testReplicaRemoved(t *testing.T, c *liveCloud) {
	before := show[api.App](t, c, "app", "twins")
	promptly(t, 2*time.Second, func(n int) time.Duration {
		dockerCLI(t, "rm", "--force", c.only(t, replicaOf(before.ID, 1)).ID)
		gone := time.Now()
		eventually(t, 30*time.Second, "both replicas serve", func() error { return c.appRuns("twins", before.Status.Restarts+n) })
		return c.only(t, replicaOf(before.ID, 1)).State.StartedAt.Sub(gone)
	})
}

func replicaOf(app string, n int) string { return fmt.Sprintf("%s-r1-%d", app, n) }

// appRuns answers nil if all replicas run after so many were brought back.
func (c *liveCloud) appRuns(name string, restarts int) error {
	var a api.App
	if err := c.read("/v1/projects/default/apps/"+name, &a); err != nil {
		return err
	}
	if a.Status.Phase != api.Running || a.Status.Restarts != restarts {
		return fmt.Errorf("it is %s (%s), brought back %d times", a.Status.Phase, a.Status.Reason, a.Status.Restarts)
	}
	return nil
}
