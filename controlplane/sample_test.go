package controlplane

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/compute/sim"
)

// gauge is an engine whose machines use what a test says.
type gauge struct {
	*sim.Engine
	mu    sync.Mutex
	stats map[string]compute.Stats // by instance id
	hang  map[string]bool          // no answer
	calls map[string]int
}

func (g *gauge) Stats(ctx context.Context, id string) (compute.Stats, error) {
	g.mu.Lock()
	g.calls[id]++
	s, hang := g.stats[id], g.hang[id]
	g.mu.Unlock()
	if hang {
		<-ctx.Done()
		return s, ctx.Err()
	}
	return s, nil
}

func (g *gauge) set(id string, s compute.Stats) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stats[id] = s
}

// measuring runs a script in fake time on an engine that measures.
func measuring(t *testing.T, script func(t *testing.T, p *plane, g *gauge)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := &gauge{stats: map[string]compute.Stats{}, hang: map[string]bool{}, calls: map[string]int{}}
		s := setup{dir: dir, host: sim.NewState(), wrap: func(e *sim.Engine) compute.Engine { g.Engine = e; return g }}
		p, err := s.start()
		must(t, err)
		script(t, p, g)
		must(t, p.stop())
	})
}

func (p *plane) create(t *testing.T, name string, spec api.InstanceSpec) api.Instance {
	t.Helper()
	i, err := p.cloud.Instances.Create(asCustomer(), "default", name, spec)
	must(t, err)
	return i
}

func TestMetricsOfAnInstance(t *testing.T) {
	measuring(t, func(t *testing.T, p *plane, g *gauge) {
		i := p.create(t, "x", api.InstanceSpec{Type: "micro"})
		began := time.Now()
		time.Sleep(2 * time.Second)
		_, err := p.cloud.Instances.Metrics(asCustomer(), "default", "x")
		if api.CodeOf(err) != api.Unavailable || err.Error() != `cannot measure instance "x": it started a moment ago; the first sample is taken within 5s` {
			t.Errorf("before the first sample the answer is %v", err)
		}
		for n := range 26 { // a quarter of a vCPU, half of the type's
			g.set(i.ID, compute.Stats{CPUNanos: uint64(n) * 1_250_000_000, MemoryBytes: 7 << 20, RxBytes: 1, TxBytes: 2, ReadBytes: 3, WriteBytes: 4, Pids: 5})
			time.Sleep(5 * time.Second)
		}
		m, err := p.cloud.Instances.Metrics(asCustomer(), "default", "x")
		must(t, err)
		want := api.InstanceMetrics{At: began.Add(130 * time.Second).UTC(), CPUSeconds: 31.25, CPUPercent: 50, MemoryBytes: 7 << 20, MemoryLimit: 512 << 20,
			ReceiveBytes: 1, TransmitBytes: 2, ReadBytes: 3, WriteBytes: 4, Processes: 5, ProcessLimit: 2048}
		if m != want {
			t.Errorf("the sample is\n%+v, want\n%+v", m, want)
		}
		g.set(i.ID, compute.Stats{CPUNanos: 25 * 1_250_000_000}) // idle since
		time.Sleep(30 * time.Second)
		if got, ok := p.samples.percent(i.ID); !ok || got < 24 || got > 26 {
			t.Errorf("after half a minute of rest its use is %v (%v), want about 25", got, ok)
		}
		time.Sleep(35 * time.Second)
		if got, ok := p.samples.percent(i.ID); !ok || got != 0 {
			t.Errorf("after a minute of rest its use is %v (%v), want 0", got, ok)
		}
	})
}

// TestCountersBeginWithTheMachine: another start is another run, and what was stopped or deleted has no series.
func TestCountersBeginWithTheMachine(t *testing.T) {
	measuring(t, func(t *testing.T, p *plane, g *gauge) {
		i := p.create(t, "x", api.InstanceSpec{Type: "nano"})
		g.set(i.ID, compute.Stats{CPUNanos: 8_000_000_000})
		time.Sleep(12 * time.Second)
		p.power(t, "x", api.PowerReboot)
		g.set(i.ID, compute.Stats{CPUNanos: 1_000_000_000, MemoryBytes: 64})
		time.Sleep(12 * time.Second)
		want := "nuage_instance_cpu_seconds_total 1\nnuage_instance_disk_read_bytes_total 0\nnuage_instance_disk_written_bytes_total 0\n" +
			"nuage_instance_memory_bytes 64\nnuage_instance_memory_limit_bytes 2.68435456e+08\nnuage_instance_network_receive_bytes_total 0\n" +
			"nuage_instance_network_transmit_bytes_total 0\nnuage_instance_processes 0"
		if got := p.series(t, "nuage_instance_", "default", "x"); got != want {
			t.Errorf("the series are\n%s\nwant\n%s", got, want)
		}
		p.power(t, "x", api.PowerStop)
		time.Sleep(time.Second)
		_, err := p.cloud.Instances.Metrics(asCustomer(), "default", "x")
		if api.CodeOf(err) != api.Conflict || !strings.HasPrefix(fmt.Sprint(err), `cannot measure instance "x": it is stopped (stopped by its owner`) {
			t.Errorf("of a stopped machine the answer is %v", err)
		}
		if got := p.series(t, "nuage_instance_", "default", "x"); got != "" {
			t.Errorf("a stopped machine has the series\n%s", got)
		}
		must(t, p.cloud.Instances.Delete(asCustomer(), "default", "x", 0))
		time.Sleep(time.Second)
		if _, err := p.cloud.Instances.Metrics(asCustomer(), "default", "x"); api.CodeOf(err) != api.NotFound {
			t.Errorf("of a deleted machine the answer is %v", err)
		}
		if len(p.samples.seen) != 0 {
			t.Error("a deleted machine is kept")
		}
	})
}

// TestSlowAnswersHoldUpNothing: a machine that is not answered for is asked about once at a time, the others as ever.
func TestSlowAnswersHoldUpNothing(t *testing.T) {
	measuring(t, func(t *testing.T, p *plane, g *gauge) {
		slow, quick := p.create(t, "slow", api.InstanceSpec{}), p.create(t, "quick", api.InstanceSpec{})
		g.mu.Lock()
		g.hang[slow.ID] = true
		g.mu.Unlock()
		time.Sleep(time.Minute + time.Second)
		g.mu.Lock()
		calls := maps.Clone(g.calls)
		g.mu.Unlock()
		if calls[quick.ID] != 12 || calls[slow.ID] > 6 {
			t.Errorf("in a minute the engine was asked %d times about the quick one and %d times about the slow one", calls[quick.ID], calls[slow.ID])
		}
		if _, ok := p.samples.percent(slow.ID); ok {
			t.Error("the use of a machine that was never measured is known")
		}
	})
}

// mute is an engine that does not measure.
type mute struct{ compute.Engine }

func TestMetricsUnsupported(t *testing.T) {
	p := newPlane(t, setup{wrap: func(e *sim.Engine) compute.Engine { return mute{e} }})
	p.create(t, "x", api.InstanceSpec{})
	_, err := p.cloud.Instances.Metrics(asCustomer(), "default", "x")
	if api.CodeOf(err) != api.Unsupported || err.Error() != `cannot measure instance "x": the engine does not measure` {
		t.Errorf("the answer is %v", err)
	}
}

func (p *plane) power(t *testing.T, name string, action api.PowerAction) {
	t.Helper()
	_, err := p.cloud.Instances.Power(asCustomer(), "default", name, action)
	must(t, err)
}

// series are the values of one instance's series with a prefix, by name.
func (p *plane) series(t *testing.T, prefix, project, instance string) string {
	t.Helper()
	families, err := p.registry.Gather()
	must(t, err)
	var out []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if strings.HasPrefix(f.GetName(), prefix) && labels["project"] == project && labels["instance"] == instance {
				out = append(out, fmt.Sprint(f.GetName(), " ", m.GetCounter().GetValue()+m.GetGauge().GetValue()))
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
