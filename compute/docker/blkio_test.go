package docker

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nuage/compute"
)

func TestDiskName(t *testing.T) {
	sys := t.TempDir()
	put := func(name, content string) {
		ok(t, os.MkdirAll(filepath.Dir(filepath.Join(sys, name)), 0o755))
		ok(t, os.WriteFile(filepath.Join(sys, name), []byte(content), 0o644))
	}
	put("devices/virtio/block/vda/uevent", "MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\n")
	put("devices/virtio/block/vda/vda1/uevent", "MAJOR=254\nMINOR=1\nDEVNAME=vda1\nDEVTYPE=partition\n")
	put("devices/virtio/block/vda/vda1/partition", "1\n")
	put("devices/strange/uevent", "MAJOR=9\n")
	ok(t, os.MkdirAll(filepath.Join(sys, "dev/block"), 0o755))
	for number, at := range map[string]string{"254:0": "virtio/block/vda", "254:1": "virtio/block/vda/vda1", "9:9": "strange"} {
		ok(t, os.Symlink("../../devices/"+at, filepath.Join(sys, "dev/block", number)))
	}
	for number, want := range map[[2]uint32]string{{254, 0}: "/dev/vda", {254, 1}: "/dev/vda", {9, 9}: "", {0, 44}: ""} {
		if got := diskName(sys, number[0], number[1]); got != want {
			t.Errorf("%v is %q, want %q", number, got, want)
		}
	}
}

// TestDiskTraffic: what a workload writes is counted, where the kernel counts at all.
func TestDiskTraffic(t *testing.T) {
	needEngine(t)
	e := open(t, Options{})
	info, err := e.cli.Info(t.Context())
	ok(t, err)
	if major, minor, found := deviceOf(info.DockerRootDir); found && info.CgroupVersion == "1" {
		e.disk = diskName("/sys", major, minor) // as where nothing was counted when the engine was opened
	}
	ok(t, e.EnsureVolume(t.Context(), compute.Volume{ID: "vol"}))
	ok(t, e.Create(t.Context(), compute.Workload{
		ID: "w", Image: tiny, Mounts: []compute.Mount{{Volume: "vol", Path: "/data"}},
		Command: shell("while :; do dd if=/dev/zero of=/data/x bs=1M count=4 conv=fsync; sleep 0.2; done"),
	}))
	ok(t, e.Start(t.Context(), "w"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ok(t, until(ctx, "see 4 MiB written", func(ctx context.Context) (bool, error) {
		s, err := e.Stats(ctx, "w")
		if err == nil && s.WriteBytes == 0 && countsNothing() {
			t.Skip("this kernel counts no disk traffic")
		}
		return s.WriteBytes >= 4<<20, err
	}))
}

func countsNothing() bool {
	counted, err := os.ReadFile(filepath.Join("/sys", throttled))
	return err == nil && strings.TrimSpace(string(counted)) == "Total 0"
}
