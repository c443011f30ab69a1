package metrics

import (
	"maps"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/fault"
)

// Flow counts for one flow, as a delivery.Observer. Every counter was looked up
// by its labels when the Flow was made, so that an event costs none of that.
type Flow struct {
	settled         map[delivery.Status]prometheus.Counter
	durations       map[delivery.Phase]*series
	transformErrors map[fault.Code]prometheus.Counter
	otherErrors     prometheus.Counter
	deadLetters     prometheus.Counter
	dlqErrors       prometheus.Counter
	sinkErrors      prometheus.Counter
	retries         prometheus.Counter
	gaps            prometheus.Counter
	held            prometheus.Gauge
	sinks           atomic.Pointer[map[string]*sink]
	metrics         *Metrics
	name            string
}

// sink counts for one sink of a flow.
type sink struct {
	ended  map[delivery.Status]prometheus.Counter
	errors map[connector.Class]prometheus.Counter
}

var (
	statuses = []delivery.Status{delivery.Delivered, delivery.Filtered, delivery.Unrouted, delivery.DeadLettered, delivery.Dropped, delivery.Interrupted}
	classes  = []connector.Class{connector.Temporary, connector.Unavailable, connector.Blocked, connector.Permanent}
	phases   = []delivery.Phase{delivery.PhaseTransform, delivery.PhaseSink, delivery.PhaseTotal}
	codes    = []fault.Code{
		fault.DecodeFailed, fault.SchemaMismatch, fault.TransformFailed, fault.TransformTimeout, fault.OutputTooLarge,
		fault.InterceptorFailed,
	}
)

// Flow is the counters of the flow of that name: the same ones for every
// version of the flow.
func (m *Metrics) Flow(name string) *Flow {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.flows[name]; f != nil {
		return f
	}
	f := &Flow{
		settled:         map[delivery.Status]prometheus.Counter{},
		durations:       map[delivery.Phase]*series{},
		transformErrors: map[fault.Code]prometheus.Counter{},
		otherErrors:     m.transformErrors.WithLabelValues(name, "OTHER"),
		deadLetters:     m.deadLetters.WithLabelValues(name),
		dlqErrors:       m.dlqErrors.WithLabelValues(name),
		sinkErrors:      m.sinkErrors.WithLabelValues(name),
		retries:         m.retries.WithLabelValues(name),
		gaps:            m.gaps.WithLabelValues(name),
		held:            m.held.WithLabelValues(name),
		metrics:         m,
		name:            name,
	}
	f.sinks.Store(&map[string]*sink{})
	for _, s := range statuses {
		f.settled[s] = m.events.WithLabelValues(name, string(s))
	}
	for _, p := range phases {
		f.durations[p] = m.durations.of(name, string(p))
	}
	for _, c := range codes {
		f.transformErrors[c] = m.transformErrors.WithLabelValues(name, string(c))
	}
	m.flows[name] = f
	return f
}

// Settled counts n events that ended.
func (f *Flow) Settled(s delivery.Status, n int) {
	if c := f.settled[s]; c != nil {
		c.Add(float64(n))
	}
}

// Timed notes how long a phase took, n times.
func (f *Flow) Timed(p delivery.Phase, d time.Duration, n int) {
	if s := f.durations[p]; s != nil {
		s.observe(d, n)
	}
}

// TransformError counts a message that the transform failed on.
func (f *Flow) TransformError(code fault.Code) {
	if c := f.transformErrors[code]; c != nil {
		c.Inc()
		return
	}
	f.otherErrors.Inc()
}

// Ended counts n events that ended for a sink.
func (f *Flow) Ended(name string, s delivery.Status, n int) {
	if c := f.sink(name).ended[s]; c != nil {
		c.Add(float64(n))
	}
}

// SinkError counts a try that the sink did not take.
func (f *Flow) SinkError(name string, class connector.Class) {
	f.sinkErrors.Inc()
	if c := f.sink(name).errors[class]; c != nil {
		c.Inc()
	}
}

// sink is the counters of a sink. The map is replaced when one is added, so that
// an event takes no lock.
func (f *Flow) sink(name string) *sink {
	if s := (*f.sinks.Load())[name]; s != nil {
		return s
	}
	f.metrics.mu.Lock()
	defer f.metrics.mu.Unlock()
	known := maps.Clone(*f.sinks.Load())
	s := known[name]
	if s == nil {
		s = &sink{ended: map[delivery.Status]prometheus.Counter{}, errors: map[connector.Class]prometheus.Counter{}}
		for _, status := range []delivery.Status{delivery.Delivered, delivery.DeadLettered, delivery.Dropped} {
			s.ended[status] = f.metrics.sinkEvents.WithLabelValues(f.name, name, string(status))
		}
		for _, class := range classes {
			s.errors[class] = f.metrics.sinkTries.WithLabelValues(f.name, name, class.String())
		}
		known[name] = s
		f.sinks.Store(&known)
	}
	return s
}

// Retry counts an event that is to be tried again.
func (f *Flow) Retry() { f.retries.Inc() }

// DeadLetter counts one that is stored.
func (f *Flow) DeadLetter(fault.Code) { f.deadLetters.Inc() }

// DeadLetterError counts a try to store one that failed.
func (f *Flow) DeadLetterError() { f.dlqErrors.Inc() }

// Held says how many events are held now.
func (f *Flow) Held(events int) { f.held.Set(float64(events)) }

// Gap counts records that the source no longer had.
func (f *Flow) Gap() { f.gaps.Inc() }
