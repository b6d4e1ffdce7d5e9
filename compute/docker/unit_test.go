package docker

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
	"nuage/compute"
)

func dockerfile(t *testing.T, text string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	ok(t, w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(text))}))
	_, err := io.WriteString(w, text)
	ok(t, errors.Join(err, w.Close()))
	return &b
}

func TestShortID(t *testing.T) {
	for in, want := range map[string]string{"cloud-0123456789abcdef": "89abcdef", "c-1": "c1", "--": "", "": ""} {
		if got := shortID(in); got != want {
			t.Errorf("shortID(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNoCloudID(t *testing.T) {
	if _, err := New(t.Context(), Options{CloudID: "--"}); !errors.Is(err, api.Invalid) {
		t.Errorf("New answers %v", err)
	}
}

func TestGuestEntrypoint(t *testing.T) {
	img := image.InspectResponse{Config: &dockerspec.DockerOCIImageConfig{
		ImageConfig: ocispec.ImageConfig{Entrypoint: []string{"/init"}, Cmd: []string{"serve"}},
	}}
	for _, c := range []struct {
		entrypoint, command, want []string
	}{
		{nil, nil, []string{"/init", "serve"}},
		{nil, []string{"help"}, []string{"/init", "help"}},
		{nil, []string{}, []string{"/init"}},
		{[]string{"/bin/sh"}, nil, []string{"/bin/sh"}},
		{[]string{"/bin/sh"}, []string{"-c", "x"}, []string{"/bin/sh", "-c", "x"}},
	} {
		w := compute.Workload{Guest: compute.GuestSandbox, Entrypoint: c.entrypoint, Command: c.command}
		want := append([]string{"/.nuage/nuage-guest", "sandbox", "--"}, c.want...)
		if d := cmp.Diff(want, []string(guestEntrypoint(w, img))); d != "" {
			t.Errorf("%+v: %s", c, d)
		}
	}
}

func TestCapabilitiesAskedFor(t *testing.T) {
	for _, c := range []struct {
		guest     compute.GuestMode
		caps      []string
		add, drop []string
		network   string
	}{
		{compute.GuestNone, nil, nil, []string{"NET_RAW"}, ""},
		{compute.GuestNone, []string{}, nil, []string{"ALL"}, ""},
		{compute.GuestNone, []string{"CHOWN"}, []string{"CHOWN"}, []string{"ALL"}, ""},
		{compute.GuestMachine, nil, []string{"NET_ADMIN"}, nil, ""},
		{compute.GuestMachine, []string{"CHOWN"}, []string{"CHOWN", "NET_ADMIN"}, []string{"ALL"}, ""},
		{compute.GuestSandbox, nil, nil, []string{"ALL"}, ""},
		{compute.GuestSandbox, []string{"KILL"}, []string{"KILL"}, []string{"ALL"}, ""},
		{compute.GuestSandbox, []string{"KILL"}, []string{"KILL", "NET_ADMIN"}, []string{"ALL"}, "net-1"},
	} {
		add, drop := capabilities(compute.Workload{Guest: c.guest, Caps: c.caps, Network: c.network})
		same := func(a, b []string) bool { return len(a) == 0 && len(b) == 0 || cmp.Equal(a, b) }
		if !same(c.add, add) || !same(c.drop, drop) {
			t.Errorf("%+v: add %v, drop %v", c, add, drop)
		}
	}
}

func TestResourcesAndBack(t *testing.T) {
	for _, l := range []compute.Limits{
		{}, {MilliCPU: 250, MemoryBytes: 256 << 20, Pids: 512}, {MilliCPU: 8000}, {MilliCPU: 10}, {MemoryBytes: 6 << 20},
	} {
		r := resources(l)
		if got := limitsOf(r); got != l {
			t.Errorf("%+v came back as %+v", l, got)
		}
		if r.MemorySwap != r.Memory {
			t.Errorf("%+v may swap", l)
		}
	}
}

// frame is one piece of a multiplexed stream.
func frame(stream byte, text string) []byte {
	b := []byte{stream, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(b[4:], uint32(len(text)))
	return append(b, text...)
}

func TestFrames(t *testing.T) {
	all := bytes.Join([][]byte{frame(1, "out1 "), frame(2, "err1 "), frame(1, ""), frame(2, "err2 "), frame(0, "in"), frame(1, "out2")}, nil)
	for _, c := range []struct {
		stdout, stderr bool
		want           string
	}{{true, false, "out1 out2"}, {false, true, "err1 err2 "}, {true, true, "out1 err1 err2 out2"}, {false, false, ""}} {
		for name, src := range map[string]io.Reader{"whole": bytes.NewReader(all), "bytes": iotest.OneByteReader(bytes.NewReader(all))} {
			got, err := io.ReadAll(&frames{src: src, stdout: c.stdout, stderr: c.stderr})
			if string(got) != c.want || err != nil {
				t.Errorf("%s %+v: %q, %v", name, c, got, err)
			}
		}
	}
	parts := bytes.Join([][]byte{frame(1, "1Z one\n"), frame(1, "2Z begins "), frame(1, "3Z goes on"), frame(1, "4Z \n"), frame(2, "5Z five\n")}, nil)
	for name, src := range map[string]io.Reader{"whole": bytes.NewReader(parts), "bytes": iotest.OneByteReader(bytes.NewReader(parts))} {
		got, err := io.ReadAll(&frames{src: src, stdout: true, stderr: true, stamped: true})
		if want := "1Z one\n2Z begins goes on\n5Z five\n"; string(got) != want || err != nil {
			t.Errorf("%s: stamped lines read as %q, %v; want %q", name, got, err, want)
		}
	}
	_, err := io.ReadAll(&frames{src: bytes.NewReader(frame(3, "broken")), stdout: true})
	if !errors.Is(err, api.Unavailable) || err.Error() != `cannot read on: the engine says "broken"` {
		t.Errorf("an engine's error reads as %v", err)
	}
	got, err := io.ReadAll(&frames{src: bytes.NewReader(all[:10]), stdout: true})
	if string(got) != "ou" || err != nil {
		t.Errorf("a cut stream reads as %q, %v", got, err)
	}
}

func TestPullFailures(t *testing.T) {
	const none = `cannot find image "x": the engine does not have it and no registry answered; images of a registry need one that can be reached`
	const no = `cannot find image "x": a registry answered that there is no such image`
	for text, want := range map[string]string{
		"Get \"https://registry/v2/\": dial tcp: lookup registry: no such host":                                     none,
		"Get \"https://registry/v2/\": net/http: request canceled (Client.Timeout exceeded while awaiting headers)": none,
		"Get \"http://localhost:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused":                         none,
		"manifest for debian:nope not found: manifest unknown: manifest unknown":                                    no,
		"pull access denied for nobody/nothing, repository does not exist or may require 'docker login'":            no,
	} {
		err := pullFailed("x", errors.New(text), false)
		if err.Error() != want || !errors.Is(err, api.NotFound) {
			t.Errorf("%s\nbecomes %v\nwant %s", text, err, want)
		}
	}
	if err := pullFailed("x", errors.New("context canceled"), true); err.Error() != none {
		t.Errorf("silence becomes %v", err)
	}
}

func TestCodes(t *testing.T) {
	for text, want := range map[string]api.Code{
		"Error response from daemon: Address already in use":                                                       api.Conflict,
		"driver failed programming external connectivity: Bind for 127.0.0.1:80 failed: port is already allocated": api.Conflict,
		"Pool overlaps with other one on this address space":                                                       api.Conflict,
		"write memory.limit_in_bytes: device or resource busy":                                                     api.Conflict,
		"unable to upgrade to tcp, received 404":                                                                   api.NotFound,
		"unable to upgrade to tcp, received 409":                                                                   api.Conflict,
		"something else":                                                                                           api.Internal,
	} {
		err := failed(errors.New(text), "do %q", "w")
		if got := api.CodeOf(err); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	err := failed(absent{"volume", "v"}, "do %q", "w")
	if err.Error() != `cannot do "w": there is no volume v` || !errors.Is(err, api.NotFound) {
		t.Errorf("what is absent becomes %v", err)
	}
}

func TestStatsOf(t *testing.T) {
	s := container.StatsResponse{
		CPUStats:    container.CPUStats{CPUUsage: container.CPUUsage{TotalUsage: 7}},
		MemoryStats: container.MemoryStats{Usage: 100, Stats: map[string]uint64{"total_inactive_file": 30, "inactive_file": 1}},
		PidsStats:   container.PidsStats{Current: 3},
		Networks:    map[string]container.NetworkStats{"eth0": {RxBytes: 1, TxBytes: 2}, "eth1": {RxBytes: 10, TxBytes: 20}},
		BlkioStats: container.BlkioStats{IoServiceBytesRecursive: []container.BlkioStatEntry{
			{Op: "Read", Value: 5}, {Op: "write", Value: 6}, {Op: "Total", Value: 11}, {Op: "read", Value: 1},
		}},
	}
	want := compute.Stats{CPUNanos: 7, MemoryBytes: 70, RxBytes: 11, TxBytes: 22, ReadBytes: 6, WriteBytes: 6, Pids: 3}
	if d := cmp.Diff(want, statsOf(s)); d != "" {
		t.Error(d)
	}
	s.MemoryStats = container.MemoryStats{Usage: 100, Stats: map[string]uint64{"inactive_file": 40}} // cgroup v2
	if got := statsOf(s).MemoryBytes; got != 60 {
		t.Errorf("memory with cgroup v2 is %d", got)
	}
}
