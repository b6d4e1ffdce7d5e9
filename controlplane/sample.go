package controlplane

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
	"nuage/compute"
)

const (
	sampleEvery  = 5 * time.Second
	sampleWindow = time.Minute // that use of cpu is a mean over
	sampleLimit  = 10 * time.Second
	sampleAtOnce = 8 // instances that the engine is asked about at the same time
)

// samples measures the instances that run, and the replicas of apps scaled by their cpu, beside the loop: the newest sample of each, and a minute of its cpu counter.
type samples struct {
	cp     *ControlPlane
	places chan struct{} // taken while the engine is asked

	mu   sync.Mutex
	seen map[string]*sampled // by workload
}

// sampled is what is known of one workload's present run.
type sampled struct {
	id       string
	meta     api.Meta
	instance bool      // else a replica of an app that is scaled by its cpu
	boot     time.Time // start of the run that is measured
	limits   compute.Limits
	asking   bool // the engine has not answered yet
	at       time.Time
	stats    compute.Stats
	points   []point // oldest first: the last at or before the window, and all within it
}

// point is the cpu counter at one time.
type point struct {
	at  time.Time
	cpu uint64
}

func newSamples(cp *ControlPlane) *samples {
	return &samples{cp: cp, places: make(chan struct{}, sampleAtOnce), seen: map[string]*sampled{}}
}

// sync learns from a pass what runs. A machine that was started again begins anew, as its counters do.
func (s *samples) sync(w *world) {
	s.mu.Lock()
	defer s.mu.Unlock()
	running := make(map[string]bool, len(s.seen))
	follow := func(id string, m api.Meta, instance bool) {
		boot, ok := w.running(id)
		if !ok || m.DeletedAt != nil {
			return
		}
		running[id] = true
		one := s.seen[id]
		if one == nil || !one.boot.Equal(boot) {
			one = &sampled{id: id, boot: boot, points: []point{{at: boot}}, instance: instance}
			s.seen[id] = one
		}
		one.meta, one.limits = m, w.observed[id].Limits
	}
	for _, i := range w.instances {
		follow(i.ID, i.Meta, true)
	}
	for _, a := range w.apps {
		if a.Spec.Scaling != nil && a.Spec.Scaling.CPU > 0 {
			for _, o := range w.by.observed[a.ID] {
				follow(o.ID, a.Meta, false)
			}
		}
	}
	for id := range s.seen {
		if !running[id] {
			delete(s.seen, id)
		}
	}
}

// run asks about everything that runs, every few seconds until ctx ends, and waits for the answers. Without an engine
// that measures it does nothing.
func (s *samples) run(ctx context.Context) {
	engine, ok := s.cp.Engine.(compute.Stater)
	if !ok {
		return
	}
	var asked sync.WaitGroup
	defer asked.Wait()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, one := range s.due() {
				asked.Go(func() { s.ask(ctx, engine, one) })
			}
		}
	}
}

// due are those that the engine shall be asked about now: not again those of which it has not answered.
func (s *samples) due() []*sampled {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*sampled
	for _, one := range s.seen {
		if !one.asking {
			one.asking = true
			all = append(all, one)
		}
	}
	return all
}

// ask waits for a place and takes a sample. The sampled belongs to one run of a machine: an answer of a run that is over
// goes nowhere.
func (s *samples) ask(ctx context.Context, engine compute.Stater, one *sampled) {
	defer s.answered(one)
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sampleLimit)
	defer cancel()
	stats, err := engine.Stats(ctx, one.id)
	if err != nil {
		s.cp.log.Debug("instance not measured", "instance", one.id, "error", err)
		return
	}
	s.take(one, s.cp.Now(), stats)
}

func (s *samples) answered(one *sampled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one.asking = false
}

// take keeps a sample. A counter that is lower than before is that of another run, which sync has yet to hear of.
func (s *samples) take(one *sampled, at time.Time, stats compute.Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := one.points[len(one.points)-1]; stats.CPUNanos < last.cpu || !at.After(last.at) {
		return
	}
	one.at, one.stats = at, stats
	one.points = append(one.points, point{at, stats.CPUNanos})
	for len(one.points) > 2 && !one.points[1].at.After(at.Add(-sampleWindow)) {
		one.points = one.points[1:]
	}
	if one.points[0].at.Before(at.Add(-sampleWindow - sampleEvery)) { // an older start tells nothing of the last minute
		one.points = slices.Clone(one.points[1:])
	}
}

// percent is the mean use of cpu over the last minute, or since boot where that is less, in percent of the instance's
// type. It is known once a few seconds have been measured.
func (s *samples) percent(id string) (float64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.seen[id]
	if one == nil {
		return 0, false
	}
	return one.percent()
}

func (one *sampled) percent() (float64, bool) {
	first, last := one.points[0], one.points[len(one.points)-1]
	span := last.at.Sub(first.at)
	if span < sampleEvery || one.limits.MilliCPU == 0 {
		return 0, false
	}
	vcpu := float64(one.limits.MilliCPU) / 1000
	return 100 * float64(last.cpu-first.cpu) / float64(span.Nanoseconds()) / vcpu, true
}

// newest is the newest sample of an instance that runs. Conflict: it does not run. Unavailable: none was taken yet.
func (s *samples) newest(i api.Instance) (api.InstanceMetrics, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.seen[i.ID]
	switch {
	case one == nil:
		return api.InstanceMetrics{}, api.Errorf(api.Conflict, "cannot measure instance %q: it is %s (%s)", i.Name, i.Status.Phase, i.Status.Reason)
	case one.at.IsZero():
		return api.InstanceMetrics{}, api.Errorf(api.Unavailable, "cannot measure instance %q: it started a moment ago; the first sample is taken within %s", i.Name, sampleEvery)
	}
	return one.metrics(), nil
}

func (one *sampled) metrics() api.InstanceMetrics {
	percent, _ := one.percent()
	return api.InstanceMetrics{
		At: one.at.UTC(), CPUSeconds: time.Duration(one.stats.CPUNanos).Seconds(), CPUPercent: percent,
		MemoryBytes: one.stats.MemoryBytes, MemoryLimit: one.limits.MemoryBytes,
		ReceiveBytes: one.stats.RxBytes, TransmitBytes: one.stats.TxBytes, ReadBytes: one.stats.ReadBytes, WriteBytes: one.stats.WriteBytes,
		Processes: one.stats.Pids, ProcessLimit: one.limits.Pids,
	}
}

// Metrics returns the newest sample of an instance.
func (r instances) Metrics(ctx context.Context, project, name string) (api.InstanceMetrics, error) {
	i, err := r.Get(ctx, project, name)
	if err != nil {
		return api.InstanceMetrics{}, err
	}
	if _, ok := r.cp.Engine.(compute.Stater); !ok {
		return api.InstanceMetrics{}, api.Errorf(api.Unsupported, "cannot measure instance %q: the engine does not measure", name)
	}
	return r.cp.samples.newest(i)
}

// sampleSeries are the series of an instance, there while it runs.
type sampleSeries []sampleOne

type sampleOne struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(api.InstanceMetrics) float64
}

func newSampleSeries() sampleSeries {
	var all sampleSeries
	series := func(name, help string, kind prometheus.ValueType, value func(api.InstanceMetrics) float64) {
		all = append(all, sampleOne{prometheus.NewDesc("nuage_instance_"+name, help, []string{"project", "instance"}, nil), kind, value})
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	series("cpu_seconds_total", "Processor time since the start of the machine.", counter, func(m api.InstanceMetrics) float64 { return m.CPUSeconds })
	series("memory_bytes", "Memory in use that the kernel can't take back.", gauge, func(m api.InstanceMetrics) float64 { return float64(m.MemoryBytes) })
	series("memory_limit_bytes", "Memory of the instance's type.", gauge, func(m api.InstanceMetrics) float64 { return float64(m.MemoryLimit) })
	series("network_receive_bytes_total", "Bytes received since the start of the machine.", counter, func(m api.InstanceMetrics) float64 { return float64(m.ReceiveBytes) })
	series("network_transmit_bytes_total", "Bytes sent since the start of the machine.", counter, func(m api.InstanceMetrics) float64 { return float64(m.TransmitBytes) })
	series("disk_read_bytes_total", "Bytes read from disks since the start of the machine.", counter, func(m api.InstanceMetrics) float64 { return float64(m.ReadBytes) })
	series("disk_written_bytes_total", "Bytes written to disks since the start of the machine.", counter, func(m api.InstanceMetrics) float64 { return float64(m.WriteBytes) })
	series("processes", "Processes and threads.", gauge, func(m api.InstanceMetrics) float64 { return float64(m.Processes) })
	return all
}

// collect shows the newest samples; one that is older than a minute says nothing of now.
func (s *samples) collect(series sampleSeries, out chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.seen {
		if !one.instance || one.at.IsZero() || s.cp.Now().Sub(one.at) > sampleWindow {
			continue
		}
		m := one.metrics()
		for _, d := range series {
			out <- prometheus.MustNewConstMetric(d.desc, d.kind, d.value(m), one.meta.Project, one.meta.Name)
		}
	}
}
