package docker

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/computetest"
)

const tiny = "nuage/tiny:1"

func shell(line string) []string { return []string{"sh", "-c", line} }

// needEngine skips, or fails where NUAGE_REQUIRE_ENGINE is set, without a Docker engine that has the tiny image.
func needEngine(t *testing.T) {
	t.Helper()
	e, err := New(t.Context(), Options{CloudID: "look"})
	if err == nil {
		_, err = e.Image(t.Context(), tiny, 0)
		err = errors.Join(err, e.Close())
	}
	if err == nil {
		return
	}
	if os.Getenv("NUAGE_REQUIRE_ENGINE") == "1" {
		t.Fatalf("the tests against a Docker engine cannot run: %v", err)
	}
	t.Skipf("SKIPPED: THE TESTS AGAINST A DOCKER ENGINE NEED `make engine`: %v", err)
}

func random() string {
	b := make([]byte, 6)
	if _, err := rand.Read(b); err != nil {
		panic(err)
	}
	return hex.EncodeToString(b)
}

// echoGuest builds the stand-in guest and names a volume for it, which is removed at the end.
func echoGuest(t *testing.T) (binary []byte, volume string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest")
	cmd := exec.Command("go", "build", "-o", out, "./testdata/echo")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	binary, err := os.ReadFile(out)
	ok(t, err)
	volume = "nuage-test-guest-" + random()
	t.Cleanup(func() {
		e, err := New(context.Background(), Options{CloudID: "look"})
		ok(t, err)
		if err := e.cli.VolumeRemove(context.Background(), volume, true); err != nil && !cerrdefs.IsNotFound(err) {
			t.Error(err)
		}
		ok(t, e.Close())
	})
	return binary, volume
}

// open connects as a cloud and leaves nothing of it at the end.
func open(t *testing.T, o Options) *Engine {
	t.Helper()
	if o.CloudID == "" {
		o.CloudID = "test-" + random()
	}
	e, err := New(t.Context(), o)
	ok(t, err)
	t.Cleanup(func() {
		if err := e.RemoveAll(context.Background()); err != nil {
			t.Error(err)
		}
		ok(t, e.Close())
	})
	return e
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func randomNetwork(*testing.T) compute.Network {
	return compute.Network{
		ID: "net-" + random(), Project: "default", Name: "net",
		CIDR: fmt.Sprintf("10.213.%d.%d/28", mrand.IntN(256), 16*mrand.IntN(16)),
	}
}

func TestConformance(t *testing.T) {
	needEngine(t)
	guest, volume := echoGuest(t)
	connect := func(t *testing.T, cloud string) compute.Engine {
		e, err := New(t.Context(), Options{CloudID: cloud, Guest: guest, GuestVolume: volume})
		ok(t, err)
		return e
	}
	computetest.Run(t, connect, computetest.Options{
		Image: tiny, Missing: "localhost:1/nuage/missing:1", Sleep: []string{"sleep", "1000"}, Shell: shell,
		Network: randomNetwork,
		Vanish: func(t *testing.T, cloud, id string) {
			e := connect(t, cloud).(*Engine)
			ok(t, e.cli.ContainerRemove(t.Context(), e.name(id), container.RemoveOptions{Force: true}))
			ok(t, e.Close())
		},
		Freeze: func(t *testing.T, cloud, id string) {
			e := connect(t, cloud).(*Engine)
			ok(t, e.cli.ContainerPause(t.Context(), e.name(id)))
			ok(t, e.Close())
		},
		DropNetwork: func(t *testing.T, cloud, id string) {
			e := connect(t, cloud).(*Engine)
			ok(t, e.cli.NetworkRemove(t.Context(), e.name(id)))
			ok(t, e.Close())
		},
		Real: true, Echo: true, Build: true,
	})
}

// TestPublished: where container addresses can't be reached, ports are on loopback, and on nothing else.
func TestPublished(t *testing.T) {
	needEngine(t)
	e := open(t, Options{Publish: true})
	n := ensureNetwork(t, e)
	ok(t, e.Create(t.Context(), compute.Workload{
		ID: "w", Image: tiny, Network: n.ID, Ports: []int{8080, 9090}, Command: shell("while :; do echo hello | nc -l -p 8080; done"),
	}))
	ok(t, e.Start(t.Context(), "w"))
	all, err := e.List(t.Context())
	ok(t, err)
	at := all[0].Endpoints[8080]
	if len(all[0].Endpoints) != 2 || at.Host != "127.0.0.1" || at.Port == 8080 {
		t.Fatalf("endpoints are %+v", all[0].Endpoints)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ok(t, until(ctx, "hear hello", func(context.Context) (bool, error) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", at.Port))
		if err != nil {
			return false, nil
		}
		word, err := bufio.NewReader(c).ReadString('\n')
		return errors.Join(err, c.Close()) == nil && word == "hello\n", nil
	}))
	c, err := e.cli.ContainerInspect(ctx, e.name("w"))
	ok(t, err)
	for port, bound := range c.NetworkSettings.Ports {
		if len(bound) != 1 || bound[0].HostIP != "127.0.0.1" {
			t.Errorf("port %s is at %+v", port, bound)
		}
	}
	info, err := e.Info(ctx)
	ok(t, err)
	if info.Routes || !info.Real || info.Name != "docker" || info.Note == "" {
		t.Errorf("Info is %+v", info)
	}
}

// TestAddressTaken: an address that a workload was made with, but has not while it is stopped, may be gone.
func TestAddressTaken(t *testing.T) {
	needEngine(t)
	e := open(t, Options{})
	n := ensureNetwork(t, e)
	prefix, err := n.Prefix()
	ok(t, err)
	second := compute.Gateway(prefix).Next().String()
	sleep := []string{"sleep", "1000"}
	ok(t, e.Create(t.Context(), compute.Workload{ID: "w", Image: tiny, Network: n.ID, Address: second, Command: sleep}))
	ok(t, e.Create(t.Context(), compute.Workload{ID: "x", Image: tiny, Network: n.ID, Command: sleep}))
	ok(t, e.Start(t.Context(), "x"))
	err = e.Start(t.Context(), "w")
	if !errors.Is(err, api.Conflict) || err.Error() != `cannot start "w": Address already in use` {
		t.Errorf("Start answers %v", err)
	}
}

// run runs a workload to its end and returns what it printed.
func run(t *testing.T, e *Engine, w compute.Workload) string {
	t.Helper()
	ok(t, e.Create(t.Context(), w))
	ok(t, e.Start(t.Context(), w.ID))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := e.Logs(ctx, w.ID, compute.LogQuery{Follow: true})
	ok(t, err)
	text, err := io.ReadAll(r)
	ok(t, errors.Join(err, r.Close(), e.Remove(t.Context(), w.ID)))
	return string(text)
}

func TestInside(t *testing.T) {
	needEngine(t)
	e := open(t, Options{})
	host := t.TempDir()
	ok(t, os.WriteFile(filepath.Join(host, "file"), []byte("from the host\n"), 0o644))
	got := run(t, e, compute.Workload{
		ID: "w", Image: tiny, Command: shell(`echo $A; hostname; grep svc /etc/hosts; cat /h/file
			touch /x 2>/dev/null || echo read-only; touch /h/x 2>/dev/null || echo mount read-only; echo t > /tmp/t && cat /tmp/t; pwd; id -u
			grep -E 'CapEff|NoNewPrivs' /proc/self/status; ls /sys/class/net`),
		Env: map[string]string{"A": "a b"}, Hostname: "box", Hosts: map[string]string{"svc": "10.1.2.3"},
		Mounts: []compute.Mount{{Host: host, Path: "/h", ReadOnly: true}}, Tmpfs: map[string]string{"/tmp": "size=1m"},
		ReadOnly: true, WorkDir: "/etc", User: "1234", Caps: []string{},
	})
	want := "a b\nbox\n10.1.2.3\tsvc\nfrom the host\nread-only\nmount read-only\nt\n/etc\n1234\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nlo\n"
	if got != want {
		t.Errorf("inside it is\n%s\nwant\n%s", got, want)
	}
}

// TestCapabilities reads the bounding set of PID 1: bit 12 is NET_ADMIN, 13 is NET_RAW.
func TestCapabilities(t *testing.T) {
	needEngine(t)
	e := open(t, Options{})
	const read = `grep -E 'CapBnd|NoNewPrivs' /proc/self/status`
	for _, c := range []struct {
		name string
		caps []string
		priv bool
		want string
	}{
		{"usual", nil, true, "CapBnd:\t00000000a80405fb NoNewPrivs:\t0"}, // Docker's a80425fb less bit 13
		{"none", []string{}, false, "CapBnd:\t0000000000000000 NoNewPrivs:\t1"},
		{"one", []string{"CHOWN"}, false, "CapBnd:\t0000000000000001 NoNewPrivs:\t1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(strings.Split(strings.TrimSpace(run(t, e, compute.Workload{
				ID: c.name, Image: tiny, Command: shell(read), Caps: c.caps, Privileges: c.priv,
			})), "\n"), " ")
			if got != c.want {
				t.Errorf("is %q, want %q", got, c.want)
			}
		})
	}
}

func TestGuestMachine(t *testing.T) {
	needEngine(t)
	guest, volume := echoGuest(t)
	e := open(t, Options{Guest: guest, GuestVolume: volume})
	n := ensureNetwork(t, e)
	w := compute.Workload{ID: "i", Image: tiny, Guest: compute.GuestMachine, Network: n.ID, Env: map[string]string{"B": "1"}, Name: "web", Project: "p"}
	ok(t, e.Create(t.Context(), w))
	ok(t, e.Start(t.Context(), w.ID))
	got := ask(t, e, "args")
	if want := `["/.nuage/nuage-guest" "machine" "--" "/bin/sh"]`; got != want {
		t.Errorf("the guest was given %s, want %s", got, want)
	}
	c, err := e.cli.ContainerInspect(t.Context(), e.name("i"))
	ok(t, err)
	is := fmt.Sprintln(c.HostConfig.CapAdd, c.HostConfig.Privileged, c.Config.Env[:3], c.HostConfig.Sysctls, c.HostConfig.LogConfig, c.HostConfig.RestartPolicy.Name, c.HostConfig.Mounts[0].ReadOnly)
	want := "[NET_ADMIN] false [NUAGE_ID=i NUAGE_NAME=web NUAGE_PROJECT=p] map[net.ipv4.ping_group_range:0 2147483647] " +
		"{json-file map[max-file:2 max-size:4194304]} no true\n"
	if is = strings.Replace(is, "CAP_", "", 1); is != want {
		t.Errorf("made as\n%s\nwant\n%s", is, want)
	}
	filled := e.filled
	if filled == "" {
		t.Error("the engine does not know the volume")
	}
	// The volume goes and comes again with the next machine.
	ok(t, e.Remove(t.Context(), "i"))
	ok(t, e.cli.VolumeRemove(t.Context(), volume, false))
	w.Command = []string{"sleep", "5"}
	ok(t, e.Create(t.Context(), w))
	ok(t, e.Start(t.Context(), w.ID))
	if got, want := ask(t, e, "args"), `["/.nuage/nuage-guest" "machine" "--" "sleep" "5"]`; got != want {
		t.Errorf("the guest was given %s, want %s", got, want)
	}
}

func ask(t *testing.T, e *Engine, line string) string {
	t.Helper()
	c, err := e.Attach(t.Context(), "i")
	ok(t, err)
	_, err = io.WriteString(c, line+"\n")
	ok(t, err)
	answer, err := bufio.NewReader(c).ReadString('\n')
	ok(t, errors.Join(err, c.Close()))
	return strings.TrimSpace(answer)
}

func ensureNetwork(t *testing.T, e *Engine) compute.Network {
	t.Helper()
	const tries = 20
	for range tries {
		n := randomNetwork(t)
		err := e.EnsureNetwork(t.Context(), n)
		if err == nil {
			return n
		}
		if !errors.Is(err, api.Conflict) {
			t.Fatal(err)
		}
	}
	t.Fatal("no free network")
	return compute.Network{}
}

func TestNoGuest(t *testing.T) {
	needEngine(t)
	e := open(t, Options{})
	err := e.Create(t.Context(), compute.Workload{ID: "i", Image: tiny, Guest: compute.GuestMachine})
	if !errors.Is(err, api.Unsupported) || err.Error() != "cannot run a guest: this build of nuage has no guest binary, run `make build`" {
		t.Errorf("Create answers %v", err)
	}
}

func TestOverlapNamesTheOther(t *testing.T) {
	needEngine(t)
	e := open(t, Options{})
	n := ensureNetwork(t, e)
	other := compute.Network{ID: "net-b", CIDR: n.CIDR}
	err := e.EnsureNetwork(t.Context(), other)
	want := `cannot make network "net-b": its range ` + n.CIDR + ` overlaps ` + n.CIDR + ` of Docker network "` + e.name(n.ID) + `"; use another range`
	if !errors.Is(err, api.Conflict) || err.Error() != want {
		t.Errorf("EnsureNetwork answers %v\nwant %s", err, want)
	}
	err = e.EnsureNetwork(t.Context(), compute.Network{ID: "net-b", CIDR: "127.5.0.0/24"})
	want = `cannot make network "net-b": its range 127.5.0.0/24 overlaps 127.0.0.0/8 of this machine's interface "lo"; use another range`
	if e.routes && (!errors.Is(err, api.Conflict) || err.Error() != want) {
		t.Errorf("EnsureNetwork answers %v\nwant %s", err, want)
	}
}

// TestStrangers: a container of our name that is not ours is neither taken nor touched, and one made from an image of
// ours, which carries its labels, is not seen.
func TestStrangers(t *testing.T) {
	needEngine(t)
	e := open(t, Options{})
	ctx := t.Context()
	make := func(name string, labels map[string]string) string {
		res, err := e.cli.ContainerCreate(ctx, &container.Config{Image: tiny, Labels: labels}, nil, nil, nil, name)
		ok(t, err)
		t.Cleanup(func() {
			ok(t, e.cli.ContainerRemove(context.Background(), res.ID, container.RemoveOptions{Force: true}))
		})
		return res.ID
	}
	make(e.name("w"), nil)
	make("nuage-test-"+random(), map[string]string{
		compute.LabelCloud: e.o.CloudID, compute.LabelID: "x", compute.LabelTemplate: "t", compute.LabelGeneration: "1",
	})
	err := e.Create(ctx, compute.Workload{ID: "w", Image: tiny})
	if !errors.Is(err, api.Conflict) || !strings.Contains(err.Error(), "that this cloud did not make") {
		t.Errorf("Create answers %v", err)
	}
	all, err := e.List(ctx)
	ok(t, err)
	if len(all) != 0 {
		t.Errorf("List shows %+v", all)
	}
	ok(t, e.RemoveAll(ctx))
	_, err = e.cli.ContainerInspect(ctx, e.name("w"))
	ok(t, err)
}

// TestVolumesOfTheImage: what an image declares as a volume goes with the container; named ones stay.
func TestVolumesOfTheImage(t *testing.T) {
	needEngine(t)
	e := open(t, Options{})
	ctx := t.Context()
	img, err := e.Build(ctx, compute.Build{Tag: e.o.CloudID + "/v", Name: "v"}, dockerfile(t, "FROM "+tiny+"\nVOLUME /anon\n"), io.Discard)
	ok(t, err)
	ok(t, e.EnsureVolume(ctx, compute.Volume{ID: "named"}))
	ok(t, e.Create(ctx, compute.Workload{
		ID: "w", Image: img.ID, Command: shell("echo data > /named/f"), Mounts: []compute.Mount{{Volume: "named", Path: "/named"}},
	}))
	c, err := e.cli.ContainerInspect(ctx, e.name("w"))
	ok(t, err)
	var anon string
	for _, m := range c.Mounts {
		if m.Destination == "/anon" {
			anon = m.Name
		}
	}
	if anon == "" {
		t.Fatalf("no anonymous volume: %+v", c.Mounts)
	}
	ok(t, e.Start(ctx, "w"))
	ok(t, e.Remove(ctx, "w"))
	if _, err := e.cli.VolumeInspect(ctx, anon); !cerrdefs.IsNotFound(err) {
		t.Errorf("the anonymous volume stays: %v", err)
	}
	if _, err := e.VolumeBytes(ctx, "named"); err != nil {
		t.Error(err)
	}
}

func TestPullWithoutRegistry(t *testing.T) {
	needEngine(t)
	e := open(t, Options{})
	start := time.Now()
	_, err := e.Image(t.Context(), "localhost:1/nuage/nothing:1", 5*time.Second)
	const want = `cannot find image "localhost:1/nuage/nothing:1": the engine does not have it and no registry answered; images of a registry need one that can be reached`
	if !errors.Is(err, api.NotFound) || err.Error() != want {
		t.Errorf("Image answers %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestImagesByName: the beginning of an id is no name of an image, though an engine takes it for one.
func TestImagesByName(t *testing.T) {
	needEngine(t)
	e := open(t, Options{})
	img, err := e.Image(t.Context(), tiny, 0)
	ok(t, err)
	if same, err := e.Image(t.Context(), img.ID, 0); err != nil || same.ID != img.ID {
		t.Errorf("its whole id finds %+v, %v", same, err)
	}
	part := strings.TrimPrefix(img.ID, "sha256:")[:12]
	if other, err := e.Image(t.Context(), part, 0); !errors.Is(err, api.NotFound) {
		t.Errorf("the beginning of its id finds %+v, %v", other, err)
	}
	if err := e.Create(t.Context(), compute.Workload{ID: "i", Image: part}); !errors.Is(err, api.NotFound) {
		t.Errorf("a workload of the beginning of an id: %v", err)
	}
}
