package docker

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/strslice"
	"github.com/docker/go-connections/nat"

	"nuage/compute"
)

// Labels of this engine's own, beside those of package compute: what is asked for later and an inspection lacks.
const (
	labelGuest = "nuage.guest"
	labelPorts = "nuage.ports" // as 22,80
	labelBytes = "nuage.bytes" // of a volume: its size
)

func (e *Engine) labels(w compute.Workload) map[string]string {
	return map[string]string{
		compute.LabelCloud: e.o.CloudID, compute.LabelKind: w.Kind, compute.LabelProject: w.Project,
		compute.LabelName: w.Name, compute.LabelID: w.ID, compute.LabelOwner: w.Owner,
		compute.LabelGeneration: strconv.FormatInt(w.Generation, 10), compute.LabelTemplate: w.Template(),
		labelGuest: string(w.Guest), labelPorts: joinPorts(w.Ports),
	}
}

// config is the portable half of a container.
func (e *Engine) config(w compute.Workload, img image.InspectResponse) *container.Config {
	c := &container.Config{
		Image: w.Image, Hostname: w.Hostname, User: w.User, WorkingDir: w.WorkDir, StopSignal: w.StopSignal,
		Env: environment(w, img), Labels: e.labels(w),
		Entrypoint: w.Entrypoint, Cmd: w.Command,
		// The engine would run an image's health check with all of the container's capabilities. The cloud has its own.
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
	if w.Guest != compute.GuestNone {
		c.Entrypoint = guestEntrypoint(w, img)
		c.Cmd = strslice.StrSlice{}
		c.OpenStdin, c.AttachStdin, c.StopSignal = true, true, "SIGTERM"
	}
	if w.Guest == compute.GuestMachine {
		c.User = "0"
	}
	if e.publishes(w) {
		c.ExposedPorts = nat.PortSet{}
		for _, p := range w.Ports {
			c.ExposedPorts[tcp(p)] = struct{}{}
		}
	}
	return c
}

// guestEntrypoint makes the guest PID 1 and hands it the command, the image's own where the workload has none.
func guestEntrypoint(w compute.Workload, img image.InspectResponse) strslice.StrSlice {
	command := slices.Concat(w.Entrypoint, w.Command)
	if img.Config != nil && w.Entrypoint == nil {
		cmd := w.Command
		if cmd == nil {
			cmd = img.Config.Cmd
		}
		command = slices.Concat(img.Config.Entrypoint, cmd)
	}
	return append(strslice.StrSlice{guestPath, string(w.Guest), "--"}, command...)
}

// environment is the workload's, sorted. A guest also learns who it is, and whom the image would run as. A machine's own
// comes over the guest's channel, so that it is in no image of its disk.
func environment(w compute.Workload, img image.InspectResponse) []string {
	all := map[string]string{}
	if w.Guest != compute.GuestNone {
		all["NUAGE_ID"], all["NUAGE_NAME"], all["NUAGE_PROJECT"] = w.ID, w.Name, w.Project
		if img.Config != nil && img.Config.User != "" {
			all["NUAGE_IMAGE_USER"] = img.Config.User
		}
	}
	if w.Guest != compute.GuestMachine {
		maps.Copy(all, w.Env)
	}
	return pairs(all, "=")
}

// hostConfig is the half about this host.
func (e *Engine) hostConfig(w compute.Workload) *container.HostConfig {
	no := false
	h := &container.HostConfig{
		NetworkMode: "none", RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		LogConfig: e.logConfig(w.Guest), Resources: resources(w.Limits), Mounts: e.mounts(w), Tmpfs: w.Tmpfs,
		ReadonlyRootfs: w.ReadOnly, ExtraHosts: pairs(w.Hosts, ":"), Init: &no,
	}
	if w.Network != "" {
		h.NetworkMode = container.NetworkMode(e.name(w.Network))
	}
	h.BlkioDeviceReadBps = e.counting()
	h.CapAdd, h.CapDrop = capabilities(w)
	if !w.Privileges {
		h.SecurityOpt = []string{"no-new-privileges"}
	}
	if w.Guest == compute.GuestMachine {
		h.Sysctls = map[string]string{"net.ipv4.ping_group_range": "0 2147483647"}
	}
	if e.publishes(w) {
		h.PortBindings = nat.PortMap{}
		for _, p := range w.Ports {
			h.PortBindings[tcp(p)] = []nat.PortBinding{{HostIP: "127.0.0.1"}}
		}
	}
	return h
}

// capabilities are what is added and dropped. A machine's guest has NET_ADMIN for its firewall and takes it, and
// NET_RAW, from all that it starts; that of a sandbox in a network has it until its rules are loaded. No other workload has either.
func capabilities(w compute.Workload) (add, drop strslice.StrSlice) {
	switch {
	case w.Caps != nil:
		add, drop = slices.Clone(w.Caps), strslice.StrSlice{"ALL"}
	case w.Guest == compute.GuestSandbox:
		drop = strslice.StrSlice{"ALL"}
	case w.Guest == compute.GuestNone:
		drop = strslice.StrSlice{"NET_RAW"}
	}
	if w.Guest == compute.GuestMachine || w.Guest == compute.GuestSandbox && w.Network != "" {
		add = append(add, "NET_ADMIN")
	}
	return add, drop
}

// resources are the limits. CPU is a quota and not NanoCPUs, so that a type with more CPUs than the host has is
// accepted (it gets what there is) and a limit can be lifted. No swap beyond the memory.
func resources(l compute.Limits) container.Resources {
	r := container.Resources{}
	if l.MilliCPU > 0 {
		r.CPUPeriod, r.CPUQuota = cpuPeriod, l.MilliCPU*cpuPeriod/1000
	}
	if l.MemoryBytes > 0 {
		r.Memory, r.MemorySwap = l.MemoryBytes, l.MemoryBytes
	}
	if l.Pids > 0 {
		r.PidsLimit = &l.Pids
	}
	return r
}

const cpuPeriod = 100_000 // microseconds

// machineLogs is how much more of a machine's output is kept: its log holds the guest's channel beside the console,
// and one must not push the other out soon.
const machineLogs = 4

// logConfig bounds the log. The mode stays blocking: a machine's stdout is the guest's channel and may lose nothing.
func (e *Engine) logConfig(guest compute.GuestMode) container.LogConfig {
	const files = 2
	size := max(1, e.o.MaxLogBytes/files)
	if guest == compute.GuestMachine {
		size *= machineLogs
	}
	return container.LogConfig{Type: "json-file", Config: map[string]string{
		"max-size": strconv.FormatInt(size, 10), "max-file": strconv.Itoa(files),
	}}
}

func (e *Engine) mounts(w compute.Workload) []mount.Mount {
	var all []mount.Mount
	for _, m := range w.Mounts {
		d := mount.Mount{Type: mount.TypeVolume, Source: e.name(m.Volume), Target: m.Path, ReadOnly: m.ReadOnly}
		if m.Host != "" {
			d.Type, d.Source = mount.TypeBind, m.Host
		}
		all = append(all, d)
	}
	if w.Guest != compute.GuestNone {
		all = append(all, e.guestMount(true))
	}
	return all
}

// publishes says whether the workload's ports need a place on the host's loopback.
func (e *Engine) publishes(w compute.Workload) bool {
	return !e.routes && w.Network != "" && len(w.Ports) > 0
}

func tcp(port int) nat.Port { return nat.Port(strconv.Itoa(port) + "/tcp") }

func joinPorts(ports []int) string {
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = strconv.Itoa(p)
	}
	return strings.Join(words, ",")
}

func pairs(m map[string]string, between string) []string {
	all := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, k+between+m[k])
	}
	return all
}
