package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testPorts opens and closes a port of a running machine by its security group, within a second.
func testPorts(t *testing.T, c *liveCloud) {
	c.do(t, "security-group", "create", "web")
	c.do(t, "instance", "create", "server", "--image", "tiny", "--type", "nano", "--security-group", "default", "--security-group", "web")
	c.do(t, "instance", "exec", "server", "--", "httpd -p 8000 -h /tmp")
	address := net.JoinHostPort(show[api.Instance](t, c, "instance", "server").Status.Address, "8000")
	dial := func() error {
		conn, err := net.DialTimeout("tcp", address, 300*time.Millisecond)
		if err == nil {
			conn.Close()
		}
		return err
	}
	if dial() == nil {
		t.Fatalf("%s is open before a rule allows it", address)
	}
	c.do(t, "security-group", "allow", "web", "--protocol", "tcp", "--port", "8000")
	eventually(t, time.Second, "an allowed port opens", dial)
	if ports := show[api.Instance](t, c, "instance", "server").Status.Ports; len(ports) != 2 || ports[1].Port != 8000 {
		t.Errorf("the instance shows the open ports %v, want 22 and 8000", ports)
	}
	c.do(t, "security-group", "revoke", "web", "--protocol", "tcp", "--port", "8000")
	eventually(t, time.Second, "a revoked port closes", func() error {
		if dial() == nil {
			return fmt.Errorf("%s still accepts", address)
		}
		return nil
	})
}

// testIsolation is what a machine can reach: its own project's open ports, but neither another project nor what listens on
// the laptop.
func testIsolation(t *testing.T, c *liveCloud) {
	c.do(t, "project", "create", "island")
	c.do(t, "--project", "island", "instance", "create", "castaway", "--image", "tiny", "--type", "nano")
	c.do(t, "instance", "create", "neighbour", "--image", "tiny", "--type", "nano")
	server := show[api.Instance](t, c, "instance", "server").Status.Address
	laptop, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer laptop.Close()
	_, port, err := net.SplitHostPort(laptop.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	gateway := strings.TrimSpace(c.do(t, "instance", "exec", "neighbour", "--", "ip route | sed -n 's/^default via \\([0-9.]*\\) .*/\\1/p'"))
	for _, try := range []struct {
		project, from, host, port string
		reached                   bool
	}{
		{"default", "neighbour", server, "22", true},
		{"default", "neighbour", "server", "22", true},
		{"default", "neighbour", server, "8000", true}, // both are in the group default
		{"default", "neighbour", gateway, port, false},
		{"island", "castaway", server, "22", false},
		{"island", "castaway", gateway, port, false},
	} {
		o := c.try("--project", try.project, "instance", "exec", try.from, "--", fmt.Sprintf("nc -w 2 %s %s -e true", try.host, try.port))
		if try.reached != (o.status == 0) {
			t.Errorf("%s reaches %s port %s: %v, want %v (%s)", try.from, try.host, try.port, o.status == 0, try.reached, o.err)
		}
	}
}
