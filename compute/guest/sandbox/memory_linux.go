package sandbox

import (
	"bytes"
	"os"
	"strconv"
)

// peakMemory is the most memory the processes beside PID 1 have had resident, each at its own time, in bytes. What
// several of them share counts once for each, but never more than the whole container has had. A process that
// ended between two calls of this is missed.
func peakMemory(self int) int64 {
	proc, err := os.Open("/proc")
	if err != nil {
		return 0
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return 0
	}
	var sum, processes int64
	for _, name := range names {
		if name[0] > '9' {
			continue
		}
		if pid, err := strconv.Atoi(name); err == nil && pid != self {
			sum += statusBytes(pid)
			processes++
		}
	}
	if processes < 2 {
		return sum
	}
	if peak := containerPeak(); peak > 0 {
		return min(sum, peak)
	}
	return sum
}

// containerPeak is what the control group has had in use at most, or 0 where the kernel does not say.
func containerPeak() int64 {
	for _, path := range []string{"/sys/fs/cgroup/memory/memory.max_usage_in_bytes", "/sys/fs/cgroup/memory.peak"} {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64); err == nil {
			return n
		}
	}
	return 0
}

// statusBytes reads VmHWM of a process.
func statusBytes(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	_, rest, found := bytes.Cut(b, []byte("VmHWM:"))
	fields := bytes.Fields(rest)
	if !found || len(fields) == 0 {
		return 0
	}
	kib, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// outOfMemory reports whether the kernel has killed a process of this container for want of memory.
func outOfMemory() bool {
	return killsIn("/sys/fs/cgroup/memory/memory.oom_control", "oom_kill ") > 0 || // cgroup v1
		killsIn("/sys/fs/cgroup/memory.events", "oom_kill ") > 0
}

// killsIn reads the number behind a key at the beginning of a line.
func killsIn(path, key string) int {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		if rest, ok := bytes.CutPrefix(line, []byte(key)); ok {
			n, err := strconv.Atoi(string(bytes.TrimSpace(rest)))
			if err == nil {
				return n
			}
		}
	}
	return 0
}
