// Package metrics counts what flows do, as Prometheus metrics with the prefix fiso_flow_. The
// counters of a flow continue across reloads and stay after the flow is removed, so that they
// never decrease while the process runs. Label values are bounded: flow and sink names, and fixed
// words.
package metrics

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics holds the metrics of all flows of a process. It is safe for concurrent use and
// implements supervisor.Recorder.
type Metrics struct {
	events          *prometheus.CounterVec
	durations       *histogram
	transformErrors *prometheus.CounterVec
	deadLetters     *prometheus.CounterVec
	dlqErrors       *prometheus.CounterVec
	sinkErrors      *prometheus.CounterVec
	sinkEvents      *prometheus.CounterVec
	sinkTries       *prometheus.CounterVec
	retries         *prometheus.CounterVec
	gaps            *prometheus.CounterVec
	conflicts       *prometheus.CounterVec
	held            *prometheus.GaugeVec
	reloads         *prometheus.CounterVec
	valid           *prometheus.GaugeVec

	mu    sync.Mutex
	flows map[string]*Flow
	live  map[string]*flowGauges
}

// New creates the metrics and registers them.
func New(reg prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "fiso", Subsystem: "flow", Name: name, Help: help}, append([]string{"flow"}, labels...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "fiso", Subsystem: "flow", Name: name, Help: help}, []string{"flow"})
	}
	m := &Metrics{
		events: counter("events_total",
			"Events that ended, by status: delivered, filtered, unrouted (no sink takes it), dead_lettered, dropped, or interrupted (handed back to the source).",
			"status"),
		durations: newHistogram("fiso_flow_event_duration_seconds",
			"Duration by phase: transform and sink for each try, total from accepted to settled.",
			// from the time of a minimal transform to the longest useful timeout
			10*time.Microsecond, 50*time.Microsecond, 100*time.Microsecond, 500*time.Microsecond,
			time.Millisecond, 2500*time.Microsecond, 5*time.Millisecond, 10*time.Millisecond, 25*time.Millisecond, 50*time.Millisecond,
			100*time.Millisecond, 250*time.Millisecond, 500*time.Millisecond,
			time.Second, 2500*time.Millisecond, 5*time.Second, 10*time.Second, 30*time.Second, time.Minute),
		transformErrors: counter("transform_errors_total", "Events whose transform failed, by error code.", "error_type"),
		deadLetters:     counter("dlq_total", "Dead letters stored."),
		dlqErrors:       counter("dlq_errors_total", "Failed tries to store a dead letter; the event is held and the dead letter tried again."),
		sinkErrors:      counter("sink_delivery_errors_total", "Failed tries to deliver, retries included."),
		sinkEvents:      counter("sink_events_total", "Events that ended for a sink, by status: delivered, dead_lettered or dropped.", "sink", "status"),
		sinkTries: counter("sink_errors_total",
			"Failed tries to deliver, by sink and error class: temporary, unavailable, blocked or permanent.", "sink", "class"),
		retries: counter("retries_total", "Retries: events put back to be tried again."),
		gaps:    counter("source_gaps_total", "Gaps: times that the source lost records before they were read."),
		conflicts: counter("sink_conflicts_total",
			"Events of a temporal sink whose workflow another event had started, by status: accepted or rejected (onConflict).", "status"),
		held:    gauge("held_events", "Events held until a fault outside ends, such as a sink that is down or a dead letter that cannot be stored."),
		reloads: counter("reloads_total", "Reloads of a changed flow file, by status: success or failure.", "status"),
		valid:   gauge("config_valid", "1 if the flow file is valid, 0 if it is not and an older version of it runs."),
		flows:   map[string]*Flow{},
		live:    map[string]*flowGauges{},
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.events, m.durations, m.transformErrors, m.deadLetters, m.dlqErrors, m.sinkErrors, m.sinkEvents, m.sinkTries,
		m.retries, m.gaps, m.conflicts, m.held, m.reloads, m.valid, gaugeCollector{m},
	} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

// Reloaded counts a changed flow file; ok reports whether the change is in force.
func (m *Metrics) Reloaded(flow string, ok bool) {
	status := "failure"
	if ok {
		status = "success"
	}
	m.reloads.WithLabelValues(flow, status).Inc()
}

// Valid records whether the flow file is valid now.
func (m *Metrics) Valid(flow string, ok bool) {
	g := m.valid.WithLabelValues(flow)
	g.Set(0)
	if ok {
		g.Set(1)
	}
}

// Forget deletes the gauges of a removed flow. Its counters stay.
func (m *Metrics) Forget(flow string) {
	m.valid.DeleteLabelValues(flow)
	m.held.DeleteLabelValues(flow)
	m.mu.Lock()
	delete(m.live, flow)
	delete(m.flows, flow) // if the flow comes back, Flow finds the same counters again
	m.mu.Unlock()
}
