package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testHostReboot takes all machines away at once, behind the cloud's back and with it, as a restart of the laptop does.
func testHostReboot(t *testing.T, c *liveCloud) {
	c.do(t, "network", "create", "inner", "--cidr", freeRange(t, 69))
	c.do(t, "volume", "create", "disk", "--size", "8MiB")
	c.machines(t, "one --volume disk:/disk", "two --network inner", "three --network inner --private --image debian-12", "off")
	c.do(t, "load-balancer", "create", "door", "--port", freePort(t), "--protocol", "tcp", "--target", "one:22")
	c.do(t, "instance", "exec", "one", "--", "echo kept > /disk/file; echo kept > /root/file")
	c.do(t, "instance", "stop", "off")
	before := c.known(t)
	t.Run("killed at once", func(t *testing.T) {
		c.killAll(t)
		c.checkReturned(t, before, 1)
	})
	t.Run("with the cloud and the networks", func(t *testing.T) {
		c.kill()
		c.killAll(t)
		for _, id := range strings.Fields(dockerCLI(t, "network", "ls", "--quiet", "--filter", "label=nuage.cloud="+c.id)) {
			dockerCLI(t, "network", "rm", id)
		}
		c.up(t)
		c.checkReturned(t, before, 2)
	})
	c.do(t, "load-balancer", "delete", "door")
	c.do(t, "instance", "delete", "one", "two", "three", "off")
	c.do(t, "volume", "delete", "disk")
	c.do(t, "network", "delete", "inner")
}

// known is how all machines of the cloud are.
func (c *liveCloud) known(t *testing.T) map[string]api.Instance {
	t.Helper()
	var list api.List[api.Instance]
	c.decode(t, &list, "instance", "list", "-o", "json")
	all := map[string]api.Instance{}
	for _, i := range list.Items {
		all[i.Name] = i
	}
	return all
}

// killAll ends every container of the cloud at one moment.
func (c *liveCloud) killAll(t *testing.T) {
	t.Helper()
	words := []string{"kill"}
	for _, k := range c.containers(t) {
		if k.State.Running {
			words = append(words, k.ID)
		}
	}
	if out, err := exec.Command("docker", words...).CombinedOutput(); err != nil {
		t.Fatalf("docker kill: %v %s", err, out)
	}
}

// checkReturned: all that ran runs again, as it was, and nothing else does.
func (c *liveCloud) checkReturned(t *testing.T, before map[string]api.Instance, restarts int) {
	t.Helper()
	for name, was := range before {
		if was.Spec.Stopped {
			continue
		}
		eventually(t, 30*time.Second, name+" is back", func() error {
			var is api.Instance
			if err := c.read("/v1/projects/default/instances/"+name, &is); err != nil {
				return err
			}
			if is.Status.Phase != api.Running || is.Status.Restarts != was.Status.Restarts+restarts {
				return fmt.Errorf("it is %s (%s), brought back %d times", is.Status.Phase, is.Status.Reason, is.Status.Restarts)
			}
			if is.ID != was.ID || is.Status.Address != was.Status.Address || is.Status.HostKey != was.Status.HostKey {
				return fatal{fmt.Errorf("it was %+v and is %+v", was.Status, is.Status)}
			}
			return nil
		})
	}
	if out := c.do(t, "ssh", "one", "--", "cat /disk/file /root/file"); out != "kept\nkept\n" {
		t.Errorf("its disks hold %q", out)
	}
	if got := c.reached(t, "two", []string{"three:22", before["three"].Status.Address + ":22", before["one"].Status.Address + ":22"}); len(got) != 2 {
		t.Errorf("in its network it reaches %v", got)
	}
	if err := taken(c.balanced(t, "door", 1)); err != nil {
		t.Errorf("the load balancer: %v", err)
	}
	if c.only(t, before["off"].ID).State.Running {
		t.Error("what was stopped runs")
	}
}
