package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testInstance takes a machine through its whole life.
func testInstance(t *testing.T, c *liveCloud) {
	script := writeTemp(t, "setup.sh", "#!/bin/sh\necho made by user data > /root/made\n")
	broken := writeTemp(t, "broken.sh", "#!/bin/sh\necho cannot find the moon >&2\nexit 5\n")
	together(t, map[string]func(*testing.T){
		"create": func(t *testing.T) {
			c.do(t, "instance", "create", "box", "--image", "tiny", "--type", "nano", "--user-data", script)
		},
		"user data that fails": func(t *testing.T) { testBrokenUserData(t, c, broken) },
	})
	for name, test := range map[string]func(*testing.T, *liveCloud){"ssh": testSSH, "copies": testCopies, "confinement": testConfinement} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
	t.Run("limits", func(t *testing.T) { testLimits(t, c) })
	t.Run("power", func(t *testing.T) { testPower(t, c) })
	t.Run("delete", func(t *testing.T) {
		box := show[api.Instance](t, c, "instance", "box")
		c.do(t, "instance", "delete", "box", "moon")
		if left := c.containers(t, "nuage.id="+box.ID); len(left) != 0 {
			t.Errorf("container %s is left of a deleted instance", left[0].Name)
		}
		c.refused(t, 1, "instance", "show", "box")
	})
}

func writeTemp(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func testBrokenUserData(t *testing.T, c *liveCloud, script string) {
	said := c.refused(t, 1, "instance", "create", "moon", "--image", "tiny", "--type", "nano", "--user-data", script)
	if want := "nuage: cannot call instance \"moon\" ready: it runs, but its user data failed; see nuage instance console moon\n"; !strings.HasSuffix(said, want) {
		t.Errorf("it said %q, want %q at its end", said, want)
	}
	if got := show[api.Instance](t, c, "instance", "moon").Status; got.UserData != "failed" || got.Phase != api.Running {
		t.Errorf("user data %q in phase %s, want failed in running", got.UserData, got.Phase)
	}
	if log := c.do(t, "instance", "console", "moon"); !strings.Contains(log, "cannot find the moon") {
		t.Errorf("the console does not show what user data said:\n%s", log)
	}
}

func testSSH(t *testing.T, c *liveCloud) {
	for _, step := range []struct {
		words  []string
		out    string
		status int
	}{
		{[]string{"ssh", "box", "--", "cat /root/made; whoami; exit 7"}, "made by user data\nroot\n", 7},
		{[]string{"ssh", "box", "--", "echo", "two  blanks", "$HOME"}, "two  blanks $HOME\n", 0},
		{[]string{"instance", "exec", "box", "--", "hostname; exit 9"}, "box\n", 9},
	} {
		if o := c.try(step.words...); o.out != step.out || o.status != step.status {
			t.Errorf("wanted %q and status %d of %s", step.out, step.status, o)
		}
	}
	out, status := c.openSSH(t, "box", "ssh", "", "true && echo stock")
	if out != "stock\n" || status != 0 {
		t.Errorf("stock ssh printed %q with status %d", out, status)
	}
}

// openSSH runs a program of OpenSSH with nothing but what `nuage instance show` tells. %s in a word is the host.
func (c *liveCloud) openSSH(t *testing.T, instance, program, stdin string, words ...string) (out string, status int) {
	t.Helper()
	i := show[api.Instance](t, c, "instance", instance)
	if i.Status.SSH == nil {
		t.Fatalf("instance %q has no SSH address: %s", instance, i.Status.Reason)
	}
	port, host := strconv.Itoa(i.Status.SSH.Port), i.Status.SSH.Host
	hosts := writeTemp(t, "known_hosts", "["+host+"]:"+port+" "+i.Status.HostKey+"\n"+host+" "+i.Status.HostKey+"\n")
	flag := map[string]string{"ssh": "-p", "scp": "-P", "sftp": "-P"}[program]
	args := []string{"-F", "none", "-i", filepath.Join(c.home, "keys", "default-default"), flag, port, "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + hosts, "-o", "LogLevel=ERROR"}
	if program == "ssh" {
		args = append(args, "root@"+host)
	}
	for _, w := range words {
		args = append(args, strings.ReplaceAll(w, "%s", "root@"+host))
	}
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var said bytes.Buffer
	cmd.Stderr = &said
	data, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if said.Len() > 0 {
		t.Logf("%s said: %s", program, said.String())
	}
	return string(data), cmd.ProcessState.ExitCode()
}

// testCopies sends files both ways with scp, and with sftp.
func testCopies(t *testing.T, c *liveCloud) {
	content := strings.Repeat("0123456789abcdef", 64<<10)
	from, to := writeTemp(t, "from", content), filepath.Join(t.TempDir(), "to")
	for _, words := range [][]string{{from, "%s:/tmp/copied"}, {"%s:/tmp/copied", to}} {
		if out, status := c.openSSH(t, "box", "scp", "", words...); status != 0 {
			t.Fatalf("scp %q ended with status %d: %s", words, status, out)
		}
	}
	if back, err := os.ReadFile(to); err != nil || string(back) != content {
		t.Errorf("%d bytes came back of %d: %v", len(back), len(content), err)
	}
	batch := "mkdir /tmp/dir\nput " + from + " /tmp/dir/a\nrename /tmp/dir/a /tmp/dir/b\nls -1 /tmp/dir\n"
	out, status := c.openSSH(t, "box", "sftp", batch, "-b", "-", "%s")
	if status != 0 || !strings.Contains(out, "\n/tmp/dir/b\n") {
		t.Errorf("sftp ended with status %d: %s", status, out)
	}
}

// testConfinement is root inside against the platform: it can neither touch the firewall nor end the machine's first process.
func testConfinement(t *testing.T, c *liveCloud) {
	const netAdmin, netRaw = 1 << 12, 1 << 13
	for _, way := range [][]string{{"ssh", "box", "--"}, {"instance", "exec", "box", "--"}} {
		for _, set := range []string{"CapBnd", "CapEff", "CapPrm"} {
			word := strings.TrimSpace(c.do(t, append(way, "grep "+set+" /proc/self/status | cut -f 2")...))
			bits, err := strconv.ParseUint(word, 16, 64)
			if err != nil || bits&(netAdmin|netRaw) != 0 {
				t.Errorf("%v: %s is %q: it has NET_ADMIN or NET_RAW (%v)", way, set, word, err)
			}
		}
		if o := c.try(append(way, "ip link set eth0 down")...); o.status == 0 {
			t.Errorf("root took the network down: %s", o)
		}
		if o := c.try(append(way, "kill -9 1; kill -TERM 1; sleep 0.2; echo alive")...); o.out != "alive\n" {
			t.Errorf("root ended the first process: %s", o)
		}
	}
}

// testLimits reads the limits from the engine, and changes them while the machine runs.
func testLimits(t *testing.T, c *liveCloud) {
	before := c.only(t, show[api.Instance](t, c, "instance", "box").ID)
	limits := func(k container) string {
		h := k.HostConfig
		return fmt.Sprintf("%d mCPU, %d MiB, %d MiB with swap, %d processes", h.CPUQuota*1000/h.CPUPeriod, h.Memory>>20, h.MemorySwap>>20, h.PidsLimit)
	}
	if got, want := limits(before), "250 mCPU, 256 MiB, 256 MiB with swap, 2048 processes"; got != want {
		t.Errorf("a nano has %s, want %s", got, want)
	}
	if o := c.try("instance", "exec", "box", "--", "dd if=/dev/zero of=/dev/null bs=400M count=1"); o.status == 0 {
		t.Errorf("a nano held 400 MiB: %s", o)
	}
	c.do(t, "instance", "resize", "box", "--type", "micro")
	eventually(t, 10*time.Second, "the engine has the new limits", func() error {
		after := c.only(t, before.id())
		if got, want := limits(after), "500 mCPU, 512 MiB, 512 MiB with swap, 2048 processes"; got != want {
			return fmt.Errorf("a micro has %s, want %s", got, want)
		}
		if after.ID != before.ID || !after.State.StartedAt.Equal(before.State.StartedAt) {
			return fatal{fmt.Errorf("the machine was started again for it")}
		}
		return nil
	})
}

// testPower switches the machine off and on: address, host key and disk stay, processes go.
func testPower(t *testing.T, c *liveCloud) {
	before := show[api.Instance](t, c, "instance", "box")
	boot := func() container { return c.only(t, before.ID) }
	first := boot()
	c.do(t, "instance", "exec", "box", "--", "echo kept > /root/kept; sleep 1000 & echo started")
	c.do(t, "instance", "stop", "box")
	if boot().State.Running {
		t.Fatal("a stopped instance runs")
	}
	if got := show[api.Instance](t, c, "instance", "box").Status; got.Phase != api.Stopped || got.SSH != nil {
		t.Errorf("stopped, it shows phase %s and SSH at %v", got.Phase, got.SSH)
	}
	c.do(t, "instance", "start", "box")
	second := boot()
	c.do(t, "instance", "reboot", "box")
	third := boot()
	if first.ID != second.ID || second.ID != third.ID || !first.State.StartedAt.Before(second.State.StartedAt) || !second.State.StartedAt.Before(third.State.StartedAt) {
		t.Errorf("three boots: %s at %s, %s at %s, %s at %s; want one container with three starts", first.ID, first.State.StartedAt, second.ID, second.State.StartedAt, third.ID, third.State.StartedAt)
	}
	after := show[api.Instance](t, c, "instance", "box")
	if before.Status.Address != after.Status.Address || before.Status.HostKey != after.Status.HostKey || after.Status.Restarts != 0 {
		t.Errorf("before %s %s, after %s %s, brought back %d times", before.Status.Address, before.Status.HostKey, after.Status.Address, after.Status.HostKey, after.Status.Restarts)
	}
	if out := c.do(t, "ssh", "box", "--", "cat /root/kept /root/made; pidof sleep || echo no sleep"); out != "kept\nmade by user data\nno sleep\n" {
		t.Errorf("after stop, start and reboot the disk and the processes are %q", out)
	}
}

// testDebian is the default image with the default type.
func testDebian(t *testing.T, c *liveCloud) {
	c.do(t, "instance", "create", "deb", "--env", "COLOUR=blue")
	out, status := c.openSSH(t, "deb", "ssh", "one\ntwo\n", `. /etc/os-release; echo "$ID $VERSION_ID $COLOUR"; wc -l; exit 3`)
	if out != "debian 12 blue\n2\n" || status != 3 {
		t.Errorf("ssh printed %q with status %d", out, status)
	}
	from, to := writeTemp(t, "from", "to debian and back"), filepath.Join(t.TempDir(), "to")
	for _, words := range [][]string{{from, "%s:/srv/copied"}, {"%s:/srv/copied", to}} {
		if out, status := c.openSSH(t, "deb", "scp", "", words...); status != 0 {
			t.Fatalf("scp %q ended with status %d: %s", words, status, out)
		}
	}
	if back, err := os.ReadFile(to); err != nil || string(back) != "to debian and back" {
		t.Errorf("%q came back: %v", back, err)
	}
	if o := c.try("ssh", "deb", "--", "ping -c 1 -W 2 "+show[api.Instance](t, c, "instance", "deb").Status.Address); o.status != 0 {
		t.Errorf("ping does not work without NET_RAW: %s", o)
	}
}
