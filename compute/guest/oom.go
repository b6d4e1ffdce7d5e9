//go:build linux

package guest

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const cgroupRoot = "/sys/fs/cgroup"

// watchOOM reports, from the memory cgroup's own counter (version 2 or 1), each time it has grown. Where there is no counter it ends.
func watchOOM(ctx context.Context, root string, report func(killed int)) {
	before, ok := oomKills(root)
	if !ok {
		return
	}
	start := before
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if now, ok := oomKills(root); ok && now > before {
			before = now
			report(now - start)
		}
	}
}

func oomKills(root string) (int, bool) {
	for _, name := range []string{"memory.events", "memory/memory.oom_control"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
				n, err := strconv.Atoi(count)
				return n, err == nil
			}
		}
	}
	return 0, false
}
