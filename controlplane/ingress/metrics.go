package ingress

import (
	"strconv"
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

// observe counts one answer. Status 0 is a handler that wrote nothing, which net/http answers with 200.
func (m *metrics) observe(r Route, status int, took time.Duration) {
	if status == 0 {
		status = 200
	}
	m.requests.WithLabelValues(r.Project, r.Name, r.Kind, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(r.Project, r.Name, r.Kind).Observe(took.Seconds())
}
