package functions

import "github.com/prometheus/client_golang/prometheus"

// metrics are the Invoker's counters, by project and function.
type metrics struct {
	invocations *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	init        *prometheus.HistogramVec
	billed      *prometheus.CounterVec
	concurrent  *prometheus.GaugeVec
	cold        *prometheus.CounterVec
	throttles   *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	labels := []string{"project", "function"}
	buckets := []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "nuage_function_" + name, Help: help}, labels)
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "nuage_function_" + name, Help: help, Buckets: buckets}, labels)
	}
	m := &metrics{
		invocations: counter("invocations_total", "Calls that ended, by how they ended.", "project", "function", "status"),
		duration:    histogram("duration_seconds", "Run time of calls, initialization left out."),
		init:        histogram("init_seconds", "Time calls spent making an instance or loading the code; only calls that did so."),
		billed:      counter("billed_seconds_total", "Time charged for, each call rounded up to a millisecond.", labels...),
		concurrent: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "nuage_function_concurrent_calls", Help: "Calls under way."}, labels),
		cold:      counter("cold_starts_total", "Calls for which the code had to be loaded.", labels...),
		throttles: counter("throttles_total", "Calls refused because too many were under way.", labels...),
	}
	if r != nil {
		r.MustRegister(m.invocations, m.duration, m.init, m.billed, m.concurrent, m.cold, m.throttles)
	}
	return m
}

// series are the metrics of one function, looked up once: a call may take less time than looking them up for it.
type series struct {
	of         *metrics
	labels     []string // project, function
	ok, billed prometheus.Counter
	cold       prometheus.Counter
	throttles  prometheus.Counter
	concurrent prometheus.Gauge
	duration   prometheus.Observer
	init       prometheus.Observer
}

// series finds or makes those of a function.
func (m *metrics) series(project, function string) *series {
	labels := []string{project, function}
	return &series{
		of: m, labels: labels, ok: m.invocations.WithLabelValues(project, function, string(OK)), billed: m.billed.WithLabelValues(labels...),
		cold: m.cold.WithLabelValues(labels...), throttles: m.throttles.WithLabelValues(labels...), concurrent: m.concurrent.WithLabelValues(labels...),
		duration: m.duration.WithLabelValues(labels...), init: m.init.WithLabelValues(labels...),
	}
}

func (s *series) observe(r Record) {
	if r.Status == OK {
		s.ok.Inc()
	} else {
		s.of.invocations.WithLabelValues(s.labels[0], s.labels[1], string(r.Status)).Inc()
	}
	s.duration.Observe(r.Duration.Seconds())
	s.billed.Add(float64(r.BilledMs) / 1000)
	if r.Init > 0 {
		s.init.Observe(r.Init.Seconds())
	}
	if r.Cold {
		s.cold.Inc()
	}
}
