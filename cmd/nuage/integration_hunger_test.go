package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testHunger has machines take all they can get: processes without end, and memory. Others go on, and show says what happened.
func testHunger(t *testing.T, c *liveCloud) {
	c.machines(t, "bomb", "eater", "calm")
	t.Run("processes", func(t *testing.T) { testForkBomb(t, c) })
	t.Run("memory", func(t *testing.T) { testMemoryEater(t, c) })
	t.Run("resize", func(t *testing.T) { testLiveResize(t, c) })
	c.do(t, "instance", "delete", "bomb", "eater", "calm")
}

// testForkBomb: beside a machine that forks without end another one answers within seconds, and the bomb can be stopped.
func testForkBomb(t *testing.T, c *liveCloud) {
	c.do(t, "instance", "exec", "bomb", "--", "setsid sh -c 'b() { b | b & }; while :; do b; done' >/dev/null 2>&1 &")
	id := show[api.Instance](t, c, "instance", "bomb").ID
	limit := c.only(t, id).HostConfig.PidsLimit
	eventually(t, 60*time.Second, "the bomb is at its limit", func() error {
		var m api.InstanceMetrics
		if err := c.read("/v1/projects/default/instances/bomb/metrics", &m); err != nil {
			return err
		}
		if int64(m.Processes) < limit/2 {
			return fmt.Errorf("it has %d processes of %d", m.Processes, m.ProcessLimit)
		}
		return nil
	})
	promptly(t, 5*time.Second, func(int) time.Duration {
		o := c.try("ssh", "calm", "--", "echo here")
		if o.out != "here\n" {
			t.Errorf("beside a fork bomb: %s", o)
		}
		return o.took
	})
	c.do(t, "instance", "stop", "bomb")
	if k := c.only(t, id); k.State.Running {
		t.Error("a stopped fork bomb runs")
	}
}

// testMemoryEater: what a machine takes beyond its memory is killed inside, which its status says; it itself runs on.
func testMemoryEater(t *testing.T, c *liveCloud) {
	before := c.only(t, show[api.Instance](t, c, "instance", "eater").ID)
	if o := c.try("instance", "exec", "eater", "--", "tail /dev/zero"); o.status == 0 {
		t.Errorf("a nano held all memory there is: %s", o)
	}
	eventually(t, 10*time.Second, "the status says that a process was killed", func() error {
		i := show[api.Instance](t, c, "instance", "eater")
		if i.Status.OOMKills == 0 || !strings.Contains(i.Status.Reason, "memory") || i.Status.Phase != api.Running {
			return fmt.Errorf("%s (%s), %d killed", i.Status.Phase, i.Status.Reason, i.Status.OOMKills)
		}
		return nil
	})
	if table := c.do(t, "instance", "show", "eater"); !strings.Contains(table, "out of memory, so the kernel killed a process") {
		t.Errorf("nuage instance show prints\n%s", table)
	}
	if after := c.only(t, before.id()); after.ID != before.ID || !after.State.StartedAt.Equal(before.State.StartedAt) {
		t.Error("the machine was started again for it")
	}
	if out := c.do(t, "ssh", "calm", "--", "echo here"); out != "here\n" {
		t.Errorf("beside it another one answers %q", out)
	}
}

// testLiveResize: what does not fit into a nano fits once it is a micro, without a restart; what is in use is not taken away.
func testLiveResize(t *testing.T, c *liveCloud) {
	const hold = "dd if=/dev/zero of=/dev/null bs=350M count=1 2>/dev/null"
	before := c.only(t, show[api.Instance](t, c, "instance", "eater").ID)
	if o := c.try("instance", "exec", "eater", "--", hold); o.status == 0 {
		t.Errorf("a nano held 350 MiB: %s", o)
	}
	c.do(t, "instance", "resize", "eater", "--type", "micro")
	c.do(t, "instance", "exec", "eater", "--", hold)
	c.do(t, "instance", "exec", "eater", "--", "setsid sh -c 'dd if=/dev/zero bs=350M count=1 2>/dev/null | sleep 1000' >/dev/null 2>&1 & sleep 2; echo")
	if said := c.refused(t, 1, "instance", "resize", "eater", "--type", "nano"); !strings.Contains(said, "memory") {
		t.Errorf("taking away memory that is in use says %q", said)
	}
	c.do(t, "instance", "exec", "eater", "--", "killall sleep dd")
	eventually(t, 10*time.Second, "what is free again is taken away", func() error {
		if o := c.try("instance", "resize", "eater", "--type", "nano"); o.status != 0 {
			return errors.New(o.String())
		}
		return nil
	})
	if after := c.only(t, before.id()); after.ID != before.ID || !after.State.StartedAt.Equal(before.State.StartedAt) || after.HostConfig.Memory != 256<<20 {
		t.Errorf("after two changes of type: container %s since %s with %d MiB", after.ID, after.State.StartedAt, after.HostConfig.Memory>>20)
	}
}
