package docker

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/docker/docker/api/types/container"

	"nuage/compute"
)

// Stats reads the counters once. Of a stopped workload they are zero. Memory is what the kernel can't take back:
// usage less inactive file cache. The engine answers in milliseconds when it was not asked lately, and else at its
// next sampling: within a second.
func (e *Engine) Stats(ctx context.Context, id string) (compute.Stats, error) {
	res, err := e.cli.ContainerStatsOneShot(ctx, e.name(id))
	if err != nil {
		return compute.Stats{}, failed(err, "measure %q", id)
	}
	defer func() { e.closed(res.Body, "stats") }()
	var s container.StatsResponse
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		return compute.Stats{}, failed(err, "measure %q", id)
	}
	return statsOf(s), nil
}

func statsOf(s container.StatsResponse) compute.Stats {
	out := compute.Stats{
		CPUNanos: s.CPUStats.CPUUsage.TotalUsage, MemoryBytes: s.MemoryStats.Usage, Pids: s.PidsStats.Current,
	}
	cache, ok := s.MemoryStats.Stats["total_inactive_file"] // cgroup v1
	if !ok {
		cache = s.MemoryStats.Stats["inactive_file"]
	}
	out.MemoryBytes -= min(cache, out.MemoryBytes)
	for _, n := range s.Networks {
		out.RxBytes += n.RxBytes
		out.TxBytes += n.TxBytes
	}
	for _, b := range s.BlkioStats.IoServiceBytesRecursive {
		switch strings.ToLower(b.Op) {
		case "read":
			out.ReadBytes += b.Value
		case "write":
			out.WriteBytes += b.Value
		}
	}
	return out
}
