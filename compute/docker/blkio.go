package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/docker/api/types/blkiodev"
	"github.com/docker/docker/api/types/system"
)

// Kernels with cgroup v1 from about 6.9 on count the traffic of a disk only once some cgroup has a limit for it. So there
// containers get one that no disk reaches.
const (
	throttled = "fs/cgroup/blkio/blkio.throttle.io_service_bytes" // below /sys
	unlimited = 1 << 50                                           // bytes a second
)

// uncounted is the device of the disk that holds the engine's data, as /dev/vda, where this machine's kernel counts no traffic yet;
// "" elsewhere, and where that can't be known.
func (e *Engine) uncounted(info system.Info) string {
	if !e.local() || info.CgroupVersion != "1" {
		return ""
	}
	counted, err := os.ReadFile(filepath.Join("/sys", throttled))
	if err != nil || strings.TrimSpace(string(counted)) != "Total 0" {
		return ""
	}
	major, minor, ok := deviceOf(info.DockerRootDir)
	if !ok {
		return ""
	}
	return diskName("/sys", major, minor)
}

// diskName finds the device file of a whole disk by the numbers of it or of one of its partitions.
func diskName(sys string, major, minor uint32) string {
	dir, err := filepath.EvalSymlinks(filepath.Join(sys, "dev/block", fmt.Sprintf("%d:%d", major, minor)))
	if err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		dir = filepath.Dir(dir)
	}
	text, err := os.ReadFile(filepath.Join(dir, "uevent"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name, found := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); found {
			return filepath.Join("/dev", name)
		}
	}
	return ""
}

// counting makes the kernel count.
func (e *Engine) counting() []*blkiodev.ThrottleDevice {
	if e.disk == "" {
		return nil
	}
	return []*blkiodev.ThrottleDevice{{Path: e.disk, Rate: unlimited}}
}
