package sim

import (
	"context"
	"time"

	"nuage/compute"
)

// load is what a workload uses.
type load struct {
	since  time.Time     // when it began to use that, or was started
	before compute.Stats // counters then
	rate   compute.Stats // counters a second, and gauges
}

// Stats is what Faults.Load said, and else those of a workload that does nothing. Of a stopped one they are zero.
func (e *Engine) Stats(ctx context.Context, id string) (s compute.Stats, err error) {
	err = e.do(ctx, "stats", func() error {
		b, err := e.find("measure", id)
		if err == nil {
			s = b.stats(e.clock())
		}
		return err
	})
	return s, err
}

func (b *box) stats(now time.Time) compute.Stats {
	if b.state != compute.StateRunning {
		return compute.Stats{}
	}
	l := b.load
	grown := func(before, perSecond uint64) uint64 {
		return before + uint64(now.Sub(l.since).Seconds()*float64(perSecond))
	}
	return compute.Stats{
		CPUNanos: grown(l.before.CPUNanos, l.rate.CPUNanos),
		RxBytes:  grown(l.before.RxBytes, l.rate.RxBytes), TxBytes: grown(l.before.TxBytes, l.rate.TxBytes),
		ReadBytes: grown(l.before.ReadBytes, l.rate.ReadBytes), WriteBytes: grown(l.before.WriteBytes, l.rate.WriteBytes),
		MemoryBytes: l.rate.MemoryBytes, Pids: max(1, l.rate.Pids),
	}
}
