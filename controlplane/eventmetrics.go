package controlplane

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nuage/api"
	"nuage/controlplane/events"
	"nuage/storage"
)

// eventMetrics are the series of events: counters of what happened, and gauges read from the store when somebody asks.
type eventMetrics struct {
	cp *ControlPlane

	asyncAccepted *prometheus.CounterVec
	asyncDropped  *prometheus.CounterVec
	asyncDone     *prometheus.CounterVec
	asyncAge      *prometheus.HistogramVec
	deadLetters   *prometheus.CounterVec
	undelivered   *prometheus.CounterVec
	messages      *prometheus.CounterVec // of queues, by what happened
	iteratorAge   *prometheus.GaugeVec
	topics        *prometheus.CounterVec
	ticksMissed   *prometheus.CounterVec

	waiting *prometheus.Desc
	depth   *prometheus.Desc
	oldest  *prometheus.Desc
	bytes   *prometheus.Desc
}

func newEventMetrics(cp *ControlPlane) *eventMetrics {
	function := []string{"project", "function"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &eventMetrics{cp: cp,
		asyncAccepted: counter("nuage_function_async_events_received_total", "Asynchronous calls that were accepted.", function...),
		asyncDropped:  counter("nuage_function_async_events_dropped_total", "Asynchronous calls that were given up, by why.", "project", "function", "reason"),
		asyncDone:     counter("nuage_function_async_events_succeeded_total", "Asynchronous calls that succeeded.", function...),
		asyncAge: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "nuage_function_async_event_age_seconds", Help: "Age of an event when it is called.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 12)}, function),
		deadLetters: counter("nuage_function_dead_letters_total", "Records of given-up events that were delivered to a destination.", function...),
		undelivered: counter("nuage_function_destination_delivery_failures_total", "Records of events that could not be delivered.", function...),
		messages:    counter("nuage_queue_messages_total", "Messages of a queue by what happened: sent, received, deleted, dead_lettered, expired.", "project", "queue", "event"),
		iteratorAge: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "nuage_trigger_iterator_age_seconds",
			Help: "Age of the oldest message of the newest batch when it was handed to the function."}, []string{"project", "trigger"}),
		topics:      counter("nuage_topic_events_total", "Events of a topic by what happened: published, and by subscriber delivered, filtered_out, dead_lettered, lost.", "project", "topic", "event"),
		ticksMissed: counter("nuage_trigger_missed_ticks_total", "Times that ticks of a schedule were missed, or could not be delivered.", "project", "trigger"),
		waiting:     desc("nuage_function_async_events", "Asynchronous calls that are accepted and not done.", function...),
		depth:       desc("nuage_queue_messages", "Messages in a queue: visible, in_flight, delayed.", "project", "queue", "state"),
		oldest:      desc("nuage_queue_oldest_message_age_seconds", "Age of the oldest message of a queue.", "project", "queue"),
		bytes:       desc("nuage_queue_bytes", "Size of the messages of a queue.", "project", "queue"),
	}
}

func (m *eventMetrics) vectors() []prometheus.Collector {
	return []prometheus.Collector{m.asyncAccepted, m.asyncDropped, m.asyncDone, m.asyncAge, m.deadLetters, m.undelivered, m.messages, m.iteratorAge, m.topics, m.ticksMissed}
}

// Describe implements prometheus.Collector.
func (m *eventMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, v := range m.vectors() {
		v.Describe(out)
	}
	for _, d := range []*prometheus.Desc{m.waiting, m.depth, m.oldest, m.bytes} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *eventMetrics) Collect(out chan<- prometheus.Metric) {
	for _, v := range m.vectors() {
		v.Collect(out)
	}
	now := m.cp.Now()
	err := m.cp.Store.View(func(tx *storage.Tx) error {
		err := queueTable.Each(tx, "", func(q api.Queue) error {
			err := countMessages(tx, &q, now)
			m.collectQueue(out, q, now)
			return err
		})
		if err != nil {
			return err
		}
		return functionTable.Each(tx, "", func(f api.Function) error {
			s, err := asyncStateTable.Get(tx, f.ID)
			if err = ignoreGone(err); err == nil {
				out <- prometheus.MustNewConstMetric(m.waiting, prometheus.GaugeValue, float64(s.Events), f.Project, f.Name)
			}
			return err
		})
	})
	if err != nil {
		m.cp.log.Error("series of events not read", "error", err)
	}
}

func (m *eventMetrics) collectQueue(out chan<- prometheus.Metric, q api.Queue, now time.Time) {
	gauge := func(d *prometheus.Desc, v float64, more ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{q.Project, q.Name}, more...)...)
	}
	gauge(m.depth, float64(q.Status.Messages), "visible")
	gauge(m.depth, float64(q.Status.InFlight), "in_flight")
	gauge(m.depth, float64(q.Status.Delayed), "delayed")
	gauge(m.bytes, float64(q.Status.Bytes))
	age := 0.0
	if q.Status.OldestAt != nil {
		age = now.Sub(*q.Status.OldestAt).Seconds()
	}
	gauge(m.oldest, age)
}

func (m *eventMetrics) accepted(f *api.Meta) {
	m.asyncAccepted.WithLabelValues(f.Project, f.Name).Inc()
}

func (m *eventMetrics) begun(f *api.Meta, age time.Duration) {
	m.asyncAge.WithLabelValues(f.Project, f.Name).Observe(age.Seconds())
}

func (m *eventMetrics) ended(o asyncOutcome) {
	f := o.function
	switch o.condition {
	case "":
		return // it is tried again, or there was nothing to end
	case events.Success:
		m.asyncDone.WithLabelValues(f.Project, f.Name).Inc()
	default:
		m.asyncDropped.WithLabelValues(f.Project, f.Name, o.condition).Inc()
	}
	if o.deadLetter {
		m.deadLetters.WithLabelValues(f.Project, f.Name).Inc()
	}
	if o.undeliver {
		m.undelivered.WithLabelValues(f.Project, f.Name).Inc()
	}
}

func (m *eventMetrics) sent(q *api.Meta, n int) { m.count(q, "sent", n) }

func (m *eventMetrics) deleted(q *api.Meta, n int) { m.count(q, "deleted", n) }

func (m *eventMetrics) expired(q *api.Meta, n int) { m.count(q, "expired", n) }

func (m *eventMetrics) received(q *api.Meta, n, dead int) {
	m.count(q, "received", n)
	m.count(q, "dead_lettered", dead)
}

func (m *eventMetrics) count(q *api.Meta, what string, n int) {
	if n > 0 {
		m.messages.WithLabelValues(q.Project, q.Name, what).Add(float64(n))
	}
}

func (m *eventMetrics) handed(t *api.Meta, age time.Duration) {
	m.iteratorAge.WithLabelValues(t.Project, t.Name).Set(age.Seconds())
}

func (m *eventMetrics) published(t *api.Meta, sum fannedOut) {
	for what, n := range map[string]int{"published": 1, "delivered": sum.delivered, "filtered_out": sum.filtered, "dead_lettered": sum.dead, "lost": sum.lost} {
		m.topics.WithLabelValues(t.Project, t.Name, what).Add(float64(n))
	}
}

func (m *eventMetrics) missed(t *api.Meta) { m.ticksMissed.WithLabelValues(t.Project, t.Name).Inc() }

// forget drops the series of something that is deleted.
func (m *eventMetrics) forget(noun string, of *api.Meta) {
	labels := prometheus.Labels{"project": of.Project, strings.ReplaceAll(noun, "-", "_"): of.Name}
	for _, v := range []interface {
		DeletePartialMatch(prometheus.Labels) int
	}{m.asyncAccepted, m.asyncDropped, m.asyncDone, m.asyncAge, m.deadLetters, m.undelivered, m.messages, m.iteratorAge, m.topics, m.ticksMissed} {
		v.DeletePartialMatch(labels)
	}
}
