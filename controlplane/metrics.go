package controlplane

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
	"nuage/controlplane/billing"
)

// metrics are the control plane's series. Gauges are read from the store when somebody asks.
type metrics struct {
	cp        *ControlPlane
	passes    *prometheus.HistogramVec
	workloads *prometheus.Desc
	nouns     *prometheus.Desc
	spend     *prometheus.Desc
	storeSize *prometheus.Desc
	commits   *prometheus.Desc
	instances sampleSeries
	databases databaseSeries
}

func newMetrics(cp *ControlPlane) *metrics {
	return &metrics{cp: cp,
		passes: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "nuage_loop_pass_duration_seconds", Help: "Duration of a pass of the converge loop.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"result"}),
		workloads: prometheus.NewDesc("nuage_workloads", "Containers of this cloud in the engine.", []string{"kind", "state"}, nil),
		nouns:     prometheus.NewDesc("nuage_resources", "Resources by noun and phase.", []string{"noun", "phase"}, nil),
		spend:     prometheus.NewDesc("nuage_spend_usd", "Cost of the current billing period so far.", []string{"project"}, nil),
		storeSize: prometheus.NewDesc("nuage_store_size_bytes", "Size of the state file.", nil, nil),
		commits:   prometheus.NewDesc("nuage_store_commits_total", "Group commits since start.", nil, nil),
		instances: newSampleSeries(),
		databases: newDatabaseSeries(),
	}
}

func (m *metrics) pass(d time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.passes.WithLabelValues(result).Observe(d.Seconds())
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	m.passes.Describe(out)
	for _, d := range []*prometheus.Desc{m.workloads, m.nouns, m.spend, m.storeSize, m.commits} {
		out <- d
	}
	for _, d := range m.instances {
		out <- d.desc
	}
	for _, d := range m.databases.all() {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.passes.Collect(out)
	m.cp.samples.collect(m.instances, out)
	for key, n := range m.cp.loop.census() {
		out <- prometheus.MustNewConstMetric(m.workloads, prometheus.GaugeValue, float64(n), key[0], key[1])
	}
	if s, err := m.cp.Store.Stats(); err == nil {
		out <- prometheus.MustNewConstMetric(m.storeSize, prometheus.GaugeValue, float64(s.SizeBytes))
		out <- prometheus.MustNewConstMetric(m.commits, prometheus.CounterValue, float64(s.Commits))
	}
	w, err := m.cp.read()
	if err != nil {
		m.cp.log.Error("metrics not read", "error", err)
		return
	}
	m.databases.collect(w, out)
	nouns := map[[2]string]int{}
	w.each(func(noun string, _ api.Meta, s api.Status) { nouns[[2]string{noun, string(s.Phase)}]++ })
	for key, n := range nouns {
		out <- prometheus.MustNewConstMetric(m.nouns, prometheus.GaugeValue, float64(n), key[0], key[1])
	}
	m.collectSpend(out, w)
}

// collectSpend shows money as what Prometheus has for it, a binary fraction: for graphs, not for bills.
func (m *metrics) collectSpend(out chan<- prometheus.Metric, w *world) {
	bill, err := m.cp.bill(api.BillQuery{By: billing.ByProject})
	if err != nil {
		m.cp.log.Error("spend not computed", "error", err)
		return
	}
	spend := map[string]float64{}
	for name := range w.projects {
		spend[name] = 0
	}
	for _, l := range bill.Lines {
		if v, err := strconv.ParseFloat(l.Cost, 64); err == nil {
			spend[l.Project] += v
		}
	}
	for name, v := range spend {
		out <- prometheus.MustNewConstMetric(m.spend, prometheus.GaugeValue, v, name)
	}
}
