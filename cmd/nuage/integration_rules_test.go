package main

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// ruleset is what the kernel holds of a machine's rules, read from the host with the tool people use, but for the list of what
// it may reach: that follows the laptop's addresses. The test ends where that can't be seen.
func (c *liveCloud) ruleset(t *testing.T, name string) string {
	t.Helper()
	pid := strconv.Itoa(c.only(t, show[api.Instance](t, c, "instance", name).ID).State.Pid)
	out, err := exec.Command("nsenter", "-t", pid, "-n", "nft", "-n", "list", "table", "inet", "nuage").CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED: the rules of a machine are not to be seen from here, which takes root and nftables: %v %s", err, out)
	}
	lines := slices.DeleteFunc(strings.Split(string(out), "\n"), func(l string) bool { return strings.HasPrefix(l, "\t\tip daddr {") })
	return strings.Join(lines, "\n")
}

// testRules opens and closes ports of a running machine. What the kernel holds is seen from outside.
func testRules(t *testing.T, c *liveCloud) {
	c.do(t, "security-group", "create", "gate")
	c.machines(t, "gate --security-group default --security-group gate", "guard")
	at := c.address(t, "gate") + ":"
	c.do(t, "instance", "exec", "gate", "--", echoServers)
	for _, port := range []string{"9000", "9001"} {
		if err := closed(at + port); err != nil {
			t.Fatalf("before a rule allows it, %v", err)
		}
		c.do(t, "security-group", "allow", "gate", "--port", port)
		eventually(t, time.Second, "an allowed port opens", func() error { return taken(at + port) })
	}
	flow := dialEcho(t, at+"9001")
	c.do(t, "security-group", "revoke", "gate", "--port", "9001")
	eventually(t, time.Second, "a revoked port closes", func() error { return closed(at + "9001") })
	flow.check(t, "its port was closed")
	rules := c.ruleset(t, "gate")
	if !strings.Contains(rules, "policy drop") || !strings.Contains(rules, "tcp dport 9000-9000 ip saddr { 0.0.0.0/0 } accept") || strings.Contains(rules, "9001") {
		t.Errorf("seen from outside the rules are\n%s", rules)
	}
	t.Run("group", func(t *testing.T) { testGroupRule(t, c) })
	t.Run("cloud killed", func(t *testing.T) { testRulesOutliveCloud(t, c, at, rules, flow) })
	t.Run("rebooted", func(t *testing.T) { testRulesReturn(t, c, at, rules) })
	c.do(t, "instance", "delete", "gate", "guard")
	c.do(t, "security-group", "delete", "gate")
}

// echoServers answer what they hear, on three ports.
const echoServers = `for p in 9000 9001 9002; do setsid nc -ll -p $p -e cat >/dev/null 2>&1 & done`

// flow is a connection that is kept open.
type flow struct {
	conn net.Conn
	back *bufio.Reader
}

func dialEcho(t *testing.T, address string) flow {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	f := flow{conn, bufio.NewReader(conn)}
	f.check(t, "it was made")
	return f
}

// check fails where the connection is gone.
func (f flow) check(t *testing.T, after string) {
	t.Helper()
	err := f.conn.SetDeadline(time.Now().Add(3 * time.Second))
	if err == nil {
		_, err = fmt.Fprintln(f.conn, "still here")
	}
	if err == nil {
		_, err = f.back.ReadString('\n')
	}
	if err != nil {
		t.Errorf("a connection does not live on after %s: %v", after, err)
	}
}

// testGroupRule lets the members of a group in; who joins or leaves it is let in or not at once.
func testGroupRule(t *testing.T, c *liveCloud) {
	c.do(t, "security-group", "create", "friends")
	c.do(t, "instance", "update", "gate", "--security-group", "gate") // and no longer the group default, whose members reach all
	reaches := func(want int) func() error {
		return func() error {
			if got := c.reached(t, "guard", []string{"gate:9002"}); len(got) != want {
				return fmt.Errorf("it reaches %v", got)
			}
			return nil
		}
	}
	eventually(t, 5*time.Second, "who is in no group of the rules is kept out", reaches(0))
	c.do(t, "security-group", "allow", "gate", "--protocol", "tcp", "--port", "9002", "--from", "group:friends")
	c.do(t, "instance", "update", "guard", "--security-group", "friends", "--security-group", "default")
	eventually(t, 2*time.Second, "a member of the group is let in", reaches(1))
	if err := closed(c.address(t, "gate") + ":9002"); err != nil {
		t.Errorf("the laptop is no member of the group: %v", err)
	}
	c.do(t, "instance", "update", "guard", "--security-group", "default")
	eventually(t, 5*time.Second, "who left the group is kept out", reaches(0))
	c.do(t, "security-group", "revoke", "gate", "--protocol", "tcp", "--port", "9002", "--from", "group:friends")
	c.do(t, "instance", "update", "gate", "--security-group", "default", "--security-group", "gate")
	c.do(t, "security-group", "delete", "friends")
}

// testRulesOutliveCloud kills the cloud: the rules are in force without it, and when it is back they can be changed.
func testRulesOutliveCloud(t *testing.T, c *liveCloud, at, rules string, flow flow) {
	c.kill()
	flow.check(t, "the cloud was killed")
	if err := taken(at + "9000"); err != nil {
		t.Errorf("with the cloud killed an allowed port is closed: %v", err)
	}
	if err := closed(at + "9001"); err != nil {
		t.Errorf("with the cloud killed, %v", err)
	}
	c.up(t)
	eventually(t, 10*time.Second, "the cloud has its machine again", c.running("gate", 0))
	if after := c.ruleset(t, "gate"); after != rules {
		t.Errorf("the rules were\n%s\nand are\n%s", rules, after)
	}
	flow.check(t, "another cloud took over")
	c.do(t, "security-group", "allow", "gate", "--port", "9001")
	eventually(t, time.Second, "a port opens after a restart of the cloud", func() error { return taken(at + "9001") })
	c.do(t, "security-group", "revoke", "gate", "--port", "9001")
	eventually(t, time.Second, "a port closes after a restart of the cloud", func() error { return closed(at + "9001") })
}

// testRulesReturn: a machine that boots again has the same rules.
func testRulesReturn(t *testing.T, c *liveCloud, at, rules string) {
	c.do(t, "instance", "reboot", "gate")
	c.do(t, "instance", "exec", "gate", "--", echoServers)
	if after := c.ruleset(t, "gate"); after != rules {
		t.Errorf("the rules were\n%s\nand are\n%s", rules, after)
	}
	eventually(t, 5*time.Second, "an allowed port is open after a reboot", func() error { return taken(at + "9000") })
	if err := closed(at + "9001"); err != nil {
		t.Errorf("after a reboot, %v", err)
	}
}
