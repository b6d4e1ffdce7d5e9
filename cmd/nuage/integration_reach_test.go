package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testNetworks is who reaches whom in two networks and two projects, and what of the laptop and of the outside they reach.
func testNetworks(t *testing.T, c *liveCloud) {
	c.do(t, "network", "create", "red", "--cidr", freeRange(t, 66))
	c.do(t, "network", "create", "blue", "--cidr", freeRange(t, 67))
	c.do(t, "project", "create", "abroad")
	c.machines(t, "red-1 --network red", "red-2 --network red --private", "red-3 --network red --image debian-12", "blue-1 --network blue",
		"foreign --project abroad")
	t.Run("names", func(t *testing.T) { testNames(t, c) })
	t.Run("apart", func(t *testing.T) { testApart(t, c) })
	t.Run("private", func(t *testing.T) { testPrivate(t, c) })
	t.Run("way out", func(t *testing.T) { testWayOut(t, c) })
	t.Run("stable", func(t *testing.T) { testStableAddresses(t, c) })
}

// testNames: the machines of a network find each other by name.
func testNames(t *testing.T, c *liveCloud) {
	c.do(t, "instance", "exec", "red-2", "--", "mkdir /www && echo hello from red-2 > /www/index.html && httpd -p 80 -h /www")
	out := c.do(t, "instance", "exec", "red-3", "--", "ping -c 1 -W 5 red-1 >/dev/null && echo red-1 answers; curl -sS -m 5 http://red-2/; getent hosts blue-1 foreign || echo unknown")
	if want := "red-1 answers\nhello from red-2\nunknown\n"; out != want {
		t.Errorf("inside a network: %q, want %q", out, want)
	}
}

// testApart: SSH is allowed to all from anywhere, and yet works within a network only. What listens on the laptop, on
// whichever of its addresses, is out of reach.
func testApart(t *testing.T, c *liveCloud) {
	ssh := func(name string, flags ...string) string { return c.address(t, name, flags...) + ":22" }
	red1, red2, blue, foreign := ssh("red-1"), ssh("red-2"), ssh("blue-1"), ssh("foreign", "--project", "abroad")
	for _, open := range []string{red1, blue, foreign} {
		if err := taken(open); err != nil {
			t.Fatalf("the laptop does not reach a machine: %v", err)
		}
	}
	places := append([]string{"red-1:22", "red-2:22", "blue-1:22", "foreign:22", red1, red2, blue, foreign}, c.laptop(t)...)
	tests := map[string]func(*testing.T){}
	for _, try := range []struct {
		from  string
		flags []string
		want  []string
	}{
		{"red-1", nil, []string{"red-1:22", "red-2:22", red1, red2}},
		{"blue-1", nil, []string{"blue-1:22", blue}},
		{"foreign", []string{"--project", "abroad"}, []string{"foreign:22", foreign}},
	} {
		tests[try.from] = func(t *testing.T) {
			if got := c.reached(t, try.from, places, try.flags...); !slices.Equal(got, try.want) {
				t.Errorf("it reaches %v, want %v of %v", got, try.want, places)
			}
		}
	}
	together(t, tests)
}

// laptop are places where something listens on this machine: on all its addresses, and the control address' port on them.
func (c *liveCloud) laptop(t *testing.T) []string {
	t.Helper()
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_, control, _ := net.SplitHostPort(c.listen)
	_, edge, _ := net.SplitHostPort(c.edge)
	places := []string{c.listen, "127.0.0.1:" + port}
	for _, a := range laptopAddresses(t) {
		if err := taken(a.Addr().String() + ":" + port); err != nil {
			t.Fatalf("the laptop does not reach itself: %v", err)
		}
		for _, p := range []string{port, control, edge} {
			places = append(places, a.Addr().String()+":"+p)
		}
	}
	return places
}

// testPrivate: the laptop does not reach a private machine, its neighbours do.
func testPrivate(t *testing.T, c *liveCloud) {
	at := c.address(t, "red-2")
	for _, port := range []string{"22", "80"} {
		if err := closed(at + ":" + port); err != nil {
			t.Errorf("a private machine: %v", err)
		}
	}
	if out := c.do(t, "instance", "exec", "red-1", "--", "wget -q -O - http://"+at+"/"); out != "hello from red-2\n" {
		t.Errorf("its neighbour reads %q", out)
	}
	if i := show[api.Instance](t, c, "instance", "red-2"); i.Status.Public || i.Status.SSH != nil || len(i.Status.Ports) > 0 {
		t.Errorf("a private machine shows public %v, SSH at %v and the ports %v", i.Status.Public, i.Status.SSH, i.Status.Ports)
	}
}

// testWayOut closes and opens the way out of a network whose machines run.
func testWayOut(t *testing.T, c *liveCloud) {
	at := outerHost(t)
	reaches := func(want bool) func() error {
		return func() error {
			o := c.try("instance", "exec", "red-1", "--", "nc -w 2 "+at+" 80 -e true")
			if got := o.status == 0; got != want {
				return fmt.Errorf("the outside is reached: %v (%s)", got, o.err)
			}
			return nil
		}
	}
	eventually(t, 5*time.Second, "the outside is reached", reaches(true))
	c.do(t, "network", "update", "red", "--nat=off")
	eventually(t, time.Second, "the way out is closed", reaches(false))
	if got := c.reached(t, "red-1", []string{"red-3:22"}); len(got) != 1 {
		t.Error("without a way out neighbours are not reached")
	}
	if err := taken(c.address(t, "red-1") + ":22"); err != nil {
		t.Errorf("without a way out nothing comes in: %v", err)
	}
	c.do(t, "network", "update", "red", "--nat=on")
	eventually(t, time.Second, "the way out is open again", reaches(true))
}

// outerHost makes a host beyond this one, with a server on port 80, and returns its address.
func outerHost(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make a network outside of the engine's")
	}
	id := dockerCLI(t, "run", "--detach", "--rm", "--network", "none", "nuage/tiny:1", "httpd", "-f", "-p", "80")
	t.Cleanup(func() { dockerCLI(t, "rm", "--force", id) })
	pid := dockerCLI(t, "inspect", "--format", "{{.State.Pid}}", id)
	n := rand.IntN(1 << 14) // of the /30 ranges of 198.18.0.0/16, which are for tests
	here, there := fmt.Sprintf("198.18.%d.%d", n>>6, n&63<<2+1), fmt.Sprintf("198.18.%d.%d", n>>6, n&63<<2+2)
	link := "nuit" + strconv.Itoa(n)
	for _, line := range []string{
		"ip link add " + link + " type veth peer name eth0 netns " + pid,
		"ip addr add " + here + "/30 dev " + link,
		"ip link set " + link + " up",
		"nsenter -t " + pid + " -n ip addr add " + there + "/30 dev eth0",
		"nsenter -t " + pid + " -n ip link set eth0 up",
	} {
		words := strings.Fields(line)
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", line, err, out)
		}
	}
	eventually(t, 5*time.Second, "the laptop reaches the outside", func() error { return taken(there + ":80") })
	return there
}

// testStableAddresses: stopped and started, machines have their addresses and are found under their names. Then all of them go.
func testStableAddresses(t *testing.T, c *liveCloud) {
	names := []string{"red-1", "red-2"}
	before := map[string]string{}
	for _, name := range names {
		before[name] = c.address(t, name)
		c.do(t, "instance", "stop", name)
	}
	slices.Reverse(names)
	for _, name := range names {
		c.do(t, "instance", "start", name)
		if after := c.address(t, name); after != before[name] {
			t.Errorf("%s was at %s and is at %s", name, before[name], after)
		}
	}
	if got, want := c.reached(t, "red-1", []string{"red-2:22", before["red-2"] + ":22"}), []string{"red-2:22", before["red-2"] + ":22"}; !slices.Equal(got, want) {
		t.Errorf("started again, it reaches %v, want %v", got, want)
	}
	if said := c.refused(t, 1, "network", "delete", "red"); !strings.Contains(said, `is in it; delete that first`) {
		t.Errorf("deleting a network in use says %q", said)
	}
	c.do(t, "instance", "delete", "red-1", "red-2", "red-3", "blue-1")
	c.do(t, "network", "delete", "red", "blue")
	c.do(t, "--project", "abroad", "instance", "delete", "foreign")
	c.do(t, "project", "delete", "abroad")
}
