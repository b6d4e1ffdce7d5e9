package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// TestMachines drives instances and what is around them over a real engine, on one cloud: what may disturb others, or has
// to be quick, runs alone.
func TestMachines(t *testing.T) {
	needEngine(t)
	server := importServer(t) // goes after the cloud
	c := startCloud(t, buildProgram(t))
	c.do(t, "security-group", "create", "open")
	c.do(t, "security-group", "allow", "open", "--protocol", "all")
	before := c.everything(t)
	c.do(t, "image", "pull", server, "--name", "server") // an image this engine has needs no registry
	together(t, map[string]func(*testing.T){
		"group":    func(t *testing.T) { testGroup(t, c) },
		"networks": func(t *testing.T) { testNetworks(t, c) },
		"volumes":  func(t *testing.T) { testVolumes(t, c) },
		"images":   func(t *testing.T) { testImages(t, c) },
		"metadata": func(t *testing.T) { testMetadata(t, c) },
	})
	t.Run("hostile", func(t *testing.T) { testHostile(t, c) })
	t.Run("rules", func(t *testing.T) { testRules(t, c) })
	t.Run("balancer", func(t *testing.T) { testBalancer(t, c) })
	together(t, map[string]func(*testing.T){
		"cycles": func(t *testing.T) { testCycles(t, c) },
		"hunger": func(t *testing.T) { testHunger(t, c) },
	})
	t.Run("metered", func(t *testing.T) { testMetered(t, c) })
	t.Run("reboot", func(t *testing.T) { testHostReboot(t, c) })
	t.Run("crowd", func(t *testing.T) { testCrowd(t, c) })
	c.do(t, "image", "delete", "server")
	c.checkClean(t, before)
}

// machines makes tiny instances side by side. Each line is a name and what else it is made with.
func (c *liveCloud) machines(t *testing.T, lines ...string) {
	t.Helper()
	tests := map[string]func(*testing.T){}
	for _, line := range lines {
		words := strings.Fields(line)
		tests["make "+words[0]] = func(t *testing.T) {
			c.do(t, append([]string{"instance", "create", "--image", "tiny", "--type", "nano"}, words...)...)
		}
	}
	together(t, tests)
	if t.Failed() {
		t.FailNow()
	}
}

// address is the private one of an instance.
func (c *liveCloud) address(t *testing.T, name string, flags ...string) string {
	t.Helper()
	var i api.Instance
	c.decode(t, &i, append(flags, "instance", "show", name, "-o", "json")...)
	return i.Status.Address
}

// reached lists which of the places, as host:port, take a connection from inside a tiny instance.
func (c *liveCloud) reached(t *testing.T, from string, places []string, flags ...string) []string {
	t.Helper()
	script := "for p in " + strings.Join(places, " ") + "; do (nc -w 2 ${p%:*} ${p##*:} -e true 2>/dev/null && echo $p) & done; wait"
	out := c.do(t, append(flags, "instance", "exec", from, "--", script)...)
	var taken []string
	for _, p := range places {
		if strings.Contains("\n"+out, "\n"+p+"\n") {
			taken = append(taken, p)
		}
	}
	return taken
}

// taken reports whether an address takes a connection from the laptop.
func taken(address string) error {
	conn, err := net.DialTimeout("tcp", address, 500*time.Millisecond)
	if err == nil {
		conn.Close()
	}
	return err
}

// closed is the contrary of taken.
func closed(address string) error {
	if taken(address) == nil {
		return fmt.Errorf("%s takes connections", address)
	}
	return nil
}

// laptopAddresses are those of this machine that others could reach.
func laptopAddresses(t *testing.T) []netip.Prefix {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var found []netip.Prefix
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			found = append(found, p)
		}
	}
	return found
}

// freeRange is a private /24 that nothing on this machine has, and that the cloud does not give to projects.
func freeRange(t *testing.T, from int) string {
	t.Helper()
	used := laptopAddresses(t)
search:
	for n := range 256 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(from), byte(os.Getpid() + n), 0}), 24)
		for _, u := range used {
			if u.Overlaps(p) {
				continue search
			}
		}
		return p.String()
	}
	t.Fatalf("no range of 10.%d.0.0/16 is free", from)
	return ""
}

// importServer makes an image of one static program and nothing else, and returns its reference.
func importServer(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "server")
	goBuild(t, "-ldflags", "-s -w", "-o", program, "./testdata/server")
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	if err := w.WriteHeader(&tar.Header{Name: "server", Mode: 0o755, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	ref := fmt.Sprintf("it-nuage-server:%d", os.Getpid())
	cmd := exec.Command("docker", "import", "--change", `ENTRYPOINT ["/server"]`, "--change", "EXPOSE 8080", "-", ref)
	cmd.Stdin = &files
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("docker import: %v %s", err, out)
	}
	t.Cleanup(func() { dockerCLI(t, "rmi", ref) })
	return ref
}
