package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testVolumes takes disks through their lives, which are not those of the machines they are attached to.
func testVolumes(t *testing.T, c *liveCloud) {
	together(t, map[string]func(*testing.T){
		"lives": func(t *testing.T) { testVolumeLives(t, c) },
		"size":  func(t *testing.T) { testVolumeSize(t, c) },
	})
}

func testVolumeLives(t *testing.T, c *liveCloud) {
	c.do(t, "volume", "create", "data", "--size", "64MiB")
	c.do(t, "volume", "create", "more", "--size", "16MiB")
	c.machines(t, "store --volume data:/data")
	c.do(t, "instance", "exec", "store", "--", "echo old > /data/file && echo root disk > /root/file")
	t.Run("attach", func(t *testing.T) { testAttach(t, c) })
	t.Run("snapshot", func(t *testing.T) { testSnapshot(t, c) })
	t.Run("delete", func(t *testing.T) { testVolumesStay(t, c) })
}

// testAttach gives a running machine a second disk. That takes a restart, over which its root disk, address and host key stay.
func testAttach(t *testing.T, c *liveCloud) {
	before := show[api.Instance](t, c, "instance", "store")
	if said := c.refused(t, 1, "volume", "attach", "more", "store", "--path", "/more"); !strings.Contains(said, "--restart") {
		t.Errorf("attaching to a running machine says %q", said)
	}
	c.do(t, "volume", "attach", "more", "store", "--path", "/more", "--restart")
	if out := c.do(t, "ssh", "store", "--", "cat /data/file /root/file; echo second > /more/file; mount | grep -c ' on /data \\| on /more '"); out != "old\nroot disk\n2\n" {
		t.Errorf("with a second disk it holds %q", out)
	}
	after := show[api.Instance](t, c, "instance", "store")
	if before.Status.Address != after.Status.Address || before.Status.HostKey != after.Status.HostKey || after.Status.Restarts != 0 || after.Status.UserData != "none" {
		t.Errorf("it was %+v and is %+v", before.Status, after.Status)
	}
	if said := c.refused(t, 1, "volume", "delete", "data"); !strings.Contains(said, `it is attached to instance "store"; detach it first`) {
		t.Errorf("deleting an attached volume says %q", said)
	}
	if said := c.refused(t, 1, "volume", "attach", "data", "store", "--path", "/twice", "--restart"); !strings.Contains(said, "attached") {
		t.Errorf("attaching a volume twice says %q", said)
	}
	c.do(t, "volume", "detach", "more", "--restart")
	if out := c.do(t, "instance", "exec", "store", "--", "cat /data/file /root/file /more/file 2>/dev/null; echo end"); out != "old\nroot disk\nend\n" {
		t.Errorf("without the second disk it holds %q", out)
	}
	c.do(t, "instance", "stop", "store")
	c.do(t, "volume", "attach", "more", "store", "--path", "/again")
	c.do(t, "instance", "start", "store")
	if out := c.do(t, "instance", "exec", "store", "--", "cat /again/file /root/file"); out != "second\nroot disk\n" {
		t.Errorf("attached again it holds %q", out)
	}
}

// testSnapshot restores what a disk was, to a new one, while the old one goes on.
func testSnapshot(t *testing.T, c *liveCloud) {
	c.do(t, "instance", "exec", "store", "--", "ln -s file /data/link; chown 7:8 /data/file; chmod 640 /data/file")
	c.do(t, "volume", "snapshot", "data", "monday")
	c.do(t, "instance", "exec", "store", "--", "echo new > /data/file; rm /data/link")
	c.do(t, "volume", "restore", "monday", "data-2")
	c.machines(t, "reader --volume data-2:/data")
	if out := c.do(t, "instance", "exec", "reader", "--", "cat /data/link; stat -c '%u %g %a' /data/file"); out != "old\n7 8 640\n" {
		t.Errorf("the restored volume holds %q", out)
	}
	if out := c.do(t, "instance", "exec", "store", "--", "cat /data/*"); out != "new\n" {
		t.Errorf("the volume itself holds %q", out)
	}
}

// testVolumeSize writes more than a disk may hold. Where the engine holds it to its size that fails, else the volume says
// so, and show says from the beginning which of the two it is.
func testVolumeSize(t *testing.T, c *liveCloud) {
	c.do(t, "volume", "create", "tight", "--size", "16MiB")
	c.machines(t, "filler --volume tight:/tight")
	v := show[api.Volume](t, c, "volume", "tight")
	table := c.do(t, "volume", "show", "tight")
	o := c.try("instance", "exec", "filler", "--", "dd if=/dev/zero of=/tight/large bs=1M count=20 2>&1")
	if v.Status.Enforced {
		if o.status == 0 || !strings.Contains(table, "enforced by the engine") {
			t.Errorf("the volume is said to be held to 16 MiB: %s\n%s", table, o)
		}
		return
	}
	if o.status != 0 || !strings.Contains(table, "billed, not enforced: this engine can't; over its size it is degraded") {
		t.Errorf("the volume is not held to its size: %s\n%s", table, o)
	}
	eventually(t, time.Minute, "the volume says that it is over its size", func() error {
		v := show[api.Volume](t, c, "volume", "tight")
		if v.Status.Phase != api.Degraded || v.Status.UsedBytes < 20<<20 || !strings.Contains(v.Status.Reason, "16 MiB") {
			return fmt.Errorf("it is %s (%s) with %d bytes", v.Status.Phase, v.Status.Reason, v.Status.UsedBytes)
		}
		return nil
	})
	c.do(t, "instance", "delete", "filler")
	c.do(t, "volume", "delete", "tight")
}

// testVolumesStay deletes the machines; the disks stay, and another machine reads them.
func testVolumesStay(t *testing.T, c *liveCloud) {
	c.do(t, "instance", "delete", "store", "reader")
	c.machines(t, "heir --volume data:/a --volume data-2:/b --volume more:/c")
	if out := c.do(t, "instance", "exec", "heir", "--", "cat /a/file /b/file /c/file"); out != "new\nold\nsecond\n" {
		t.Errorf("the volumes of deleted machines hold %q", out)
	}
	c.do(t, "instance", "delete", "heir")
	c.do(t, "volume", "delete", "data", "data-2", "more")
	if s := show[api.Snapshot](t, c, "snapshot", "monday"); s.Status.Phase != api.Running {
		t.Errorf("without its volume the snapshot is %s (%s)", s.Status.Phase, s.Status.Reason)
	}
	c.do(t, "volume", "restore", "monday", "data-3", "--size", "128MiB")
	c.do(t, "snapshot", "delete", "monday")
	c.do(t, "volume", "delete", "data-3")
}
