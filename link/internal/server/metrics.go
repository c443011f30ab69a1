package server

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lsm/fiso/link/internal/async"
	"github.com/lsm/fiso/link/internal/proxy"
)

// metrics are those of the specification, section 4.3. Labels are bounded: names of
// targets, a fixed set of methods, statuses, numbers of attempts.
type metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	retries   *prometheus.CounterVec
	refreshes *prometheus.CounterVec
	reloads   *prometheus.CounterVec
	letters   *prometheus.CounterVec // dead letters
	failures  *prometheus.CounterVec // attempts to write dead letters that failed
	replies   *prometheus.CounterVec // attempts to write replies that failed
	gaps      *prometheus.CounterVec // gaps in topics of accepted calls

	// Looking up a series by its labels costs more than counting, so the metrics of
	// calls are cached by their labels. The labels are bounded, and so is the cache.
	mu    sync.RWMutex
	known map[callLabels]callMetrics
}

// callLabels are the labels of a call.
type callLabels struct {
	target, method, mode string
	status               int
}

// callMetrics are the metrics of calls with the same labels.
type callMetrics struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

func (m *metrics) of(s callLabels) callMetrics {
	m.mu.RLock()
	c, ok := m.known[s]
	m.mu.RUnlock()
	if ok {
		return c
	}
	c = callMetrics{m.requests.WithLabelValues(s.target, s.method, strconv.Itoa(s.status), s.mode), m.durations.WithLabelValues(s.target, s.method)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[s] = c
	return c
}

// unknownTarget is the label of calls to a target that does not exist.
const unknownTarget = "unknown"

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "fiso", Subsystem: "link", Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	m := &metrics{
		known: map[callLabels]callMetrics{},
		requests: counter("requests_total", "Calls that ended, by the status that the application saw (499: it left) and by mode: sync, stream, "+
			"async (accepted), delivery (made later), publish.", "target", "method", "status", "mode"),
		retries:   counter("retries_total", "Attempts beyond the first, by number.", "target", "attempt"),
		refreshes: counter("auth_refresh_total", "Credentials that were read or fetched, by success or failure.", "target", "status"),
		reloads:   counter("reloads_total", "Reloads of a changed configuration file, by success or failure.", "status"),
		letters:   counter("dlq_total", "Accepted calls that became dead letters, by the code of the error.", "target", "code"),
		failures:  counter("dlq_failures_total", "Failed attempts to write a dead letter; the call is held meanwhile.", "target"),
		replies:   counter("reply_failures_total", "Failed attempts to write a reply; the call is held meanwhile.", "target"),
		gaps:      counter("source_gaps_total", "Times that Kafka had deleted accepted calls before they were made.", "target"),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "fiso", Subsystem: "link", Name: "request_duration_seconds", Help: "Time a call took, retries included; streams until their end.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"target", "method"}),
	}
	reg.MustRegister(m.durations)
	return m
}

// observe counts a call that ended.
func (m *metrics) observe(r proxy.CallRecord) {
	name := r.Target
	if name == "" {
		name = unknownTarget
	}
	c := m.of(callLabels{name, r.Method, r.Mode, r.Status})
	c.requests.Inc()
	c.duration.Observe(r.Duration.Seconds())
	for n := 2; n <= r.Attempts; n++ {
		m.retries.WithLabelValues(name, strconv.Itoa(n)).Inc()
	}
}

func (m *metrics) countDeadLetter(target, code string) { m.letters.WithLabelValues(target, code).Inc() }

func (m *metrics) countUnwritten(target, what string) {
	if what == async.Reply {
		m.replies.WithLabelValues(target).Inc()
		return
	}
	m.failures.WithLabelValues(target).Inc()
}

// stateGauges are gauges whose values are read when they are collected.
type stateGauges struct {
	targets                    *targetSet
	circuit, expiry, lag, held *prometheus.Desc
}

func newStateGauges(r *targetSet) *stateGauges {
	return &stateGauges{
		targets: r,
		circuit: prometheus.NewDesc("fiso_link_circuit_state", "State of the circuit breaker: 0 closed, 1 half-open, 2 open.", []string{"target"}, nil),
		expiry:  prometheus.NewDesc("fiso_link_credential_expiry_seconds", "Seconds until the credential in use ends; negative: it has ended.", []string{"target"}, nil),
		lag:     prometheus.NewDesc("fiso_link_consumer_lag", "Accepted calls that are not settled, by partition of their topic.", []string{"target", "partition"}, nil),
		held:    prometheus.NewDesc("fiso_link_async_held", "Calls that are held because their dead letter or reply cannot be written.", []string{"target"}, nil),
	}
}

func (s *stateGauges) Describe(c chan<- *prometheus.Desc) {
	c <- s.circuit
	c <- s.expiry
	c <- s.lag
	c <- s.held
}

// Collect reads them.
func (s *stateGauges) Collect(c chan<- prometheus.Metric) {
	s.targets.each(func(e *targetEntry) {
		name := e.target.Spec.Name
		c <- prometheus.MustNewConstMetric(s.circuit, prometheus.GaugeValue, float64(e.target.Breaker.State()), name)
		if e.worker != nil {
			s.collectWorker(c, name, e.worker.Status())
		}
		if e.credential == nil {
			return
		}
		if at, ok := e.credential.Expiry(); ok {
			c <- prometheus.MustNewConstMetric(s.expiry, prometheus.GaugeValue, time.Until(at).Seconds(), name)
		}
	})
}

func (s *stateGauges) collectWorker(c chan<- prometheus.Metric, name string, status async.Status) {
	c <- prometheus.MustNewConstMetric(s.held, prometheus.GaugeValue, float64(status.Held), name)
	for _, p := range status.Partitions {
		if p.Lag >= 0 {
			c <- prometheus.MustNewConstMetric(s.lag, prometheus.GaugeValue, float64(p.Lag), name, strconv.Itoa(int(p.Partition)))
		}
	}
}
