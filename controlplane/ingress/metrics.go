package ingress

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// newMetrics makes the metrics. Requests for unknown hosts have the kind none and no project and name, so that a caller
// cannot make series at will.
func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nuage_edge_requests_total", Help: "Requests answered by the edge.",
		}, []string{"project", "name", "kind", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "nuage_edge_request_duration_seconds", Help: "Time from a request's arrival at the edge to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
		}, []string{"project", "name", "kind"}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.duration)
	}
	return m
}

// seen are the series of one route, looked up once.
type seen struct {
	project, name, kind string
	requests            *prometheus.CounterVec // of the route, by code
	codes               sync.Map               // of those seen so far, int to prometheus.Counter
	duration            prometheus.Observer
}

func (m *metrics) seen(r Route) *seen {
	return &seen{project: r.Project, name: r.Name, kind: r.Kind, duration: m.duration.WithLabelValues(r.Project, r.Name, r.Kind),
		requests: m.requests.MustCurryWith(prometheus.Labels{"project": r.Project, "name": r.Name, "kind": r.Kind})}
}

// of reports whether the series are those of a route.
func (s *seen) of(r Route) bool {
	return s.project == r.Project && s.name == r.Name && s.kind == r.Kind
}

// observe counts one answer.
func (s *seen) observe(status int, took time.Duration) {
	counter, known := s.codes.Load(status)
	if !known {
		counter, _ = s.codes.LoadOrStore(status, s.requests.WithLabelValues(statusLabel(status)))
	}
	counter.(prometheus.Counter).Inc()
	s.duration.Observe(took.Seconds())
}

// statusLabel is a status as a label. 0 is a handler that wrote nothing, which net/http answers with 200.
func statusLabel(status int) string {
	if status == 0 {
		status = http.StatusOK
	}
	return strconv.Itoa(status)
}

// BalancerMetrics are the series of all load balancers.
type BalancerMetrics struct {
	requests    *prometheus.CounterVec
	connections *prometheus.GaugeVec
	targets     *prometheus.GaugeVec
}

// NewBalancerMetrics makes the series nuage_load_balancer_*.
func NewBalancerMetrics(r prometheus.Registerer) *BalancerMetrics {
	labels := []string{"project", "load_balancer"}
	m := &BalancerMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "nuage_load_balancer_requests_total",
			Help: "Requests answered, by status; of TCP, connections that a target took (connected) or none did (failed)."}, append(labels, "code")),
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "nuage_load_balancer_connections", Help: "Requests and connections in flight."}, labels),
		targets:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "nuage_load_balancer_healthy_targets", Help: "Targets that get requests and connections."}, labels),
	}
	r.MustRegister(m.requests, m.connections, m.targets)
	return m
}

// begin counts something in flight; end counts how it ended.
func (m *BalancerMetrics) begin(o BalancerOptions, code func() string) (end func()) {
	g := m.connections.WithLabelValues(o.Project, o.Name)
	g.Inc()
	return func() {
		g.Dec()
		m.requests.WithLabelValues(o.Project, o.Name, code()).Inc()
	}
}

func (m *BalancerMetrics) healthy(o BalancerOptions, n int) {
	m.targets.WithLabelValues(o.Project, o.Name).Set(float64(n))
}

// Forget ends the series of a load balancer that is gone.
func (m *BalancerMetrics) Forget(project, name string) {
	of := prometheus.Labels{"project": project, "load_balancer": name}
	m.requests.DeletePartialMatch(of)
	m.connections.DeletePartialMatch(of)
	m.targets.DeletePartialMatch(of)
}
