package identity

import "github.com/prometheus/client_golang/prometheus"

// metrics count what people do at the pages, by pool and result.
type metrics struct {
	signIns, signUps *prometheus.CounterVec
	tokens           *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "nuage_auth_" + name, Help: help}, append([]string{"project", "pool"}, labels...))
	}
	m := &metrics{
		signIns: vec("sign_ins_total", "Sign-ins by result: ok, refused, locked.", "result"),
		signUps: vec("sign_ups_total", "Users who signed up themselves."),
		tokens:  vec("tokens_total", "Access tokens issued, by grant.", "grant"),
	}
	if r != nil {
		r.MustRegister(m.signIns, m.signUps, m.tokens)
	}
	return m
}

func (m *metrics) signIn(p Pool, result string) {
	m.signIns.WithLabelValues(p.Project, p.Name, result).Inc()
}
func (m *metrics) signUp(p Pool) { m.signUps.WithLabelValues(p.Project, p.Name).Inc() }
func (m *metrics) token(p Pool, grant string) {
	m.tokens.WithLabelValues(p.Project, p.Name, grant).Inc()
}
