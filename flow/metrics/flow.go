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

// Flow counts for one flow and implements delivery.Observer. It looks up each counter by its
// labels once, when it is created, not for every event.
type Flow struct {
	settled         [delivery.Interrupted + 1]prometheus.Counter // by status
	durations       [delivery.PhaseTotal + 1]*series             // by phase
	transformErrors map[fault.Code]prometheus.Counter
	otherErrors     prometheus.Counter
	deadLetters     prometheus.Counter
	dlqErrors       prometheus.Counter
	sinkErrors      prometheus.Counter
	retries         prometheus.Counter
	gaps            prometheus.Counter
	accepted        prometheus.Counter // conflicts
	rejected        prometheus.Counter
	held            prometheus.Gauge
	sinks           atomic.Pointer[map[string]*sink]
	metrics         *Metrics
	name            string
}

// sink holds the counters of one sink of a flow.
type sink struct {
	ended  [delivery.Interrupted]prometheus.Counter // by status; nil: a sink cannot end so
	errors map[connector.Class]prometheus.Counter
}

var (
	classes = []connector.Class{connector.Temporary, connector.Unavailable, connector.Blocked, connector.Permanent}
	codes   = []fault.Code{
		fault.DecodeFailed, fault.SchemaMismatch, fault.TransformFailed, fault.TransformTimeout, fault.OutputTooLarge,
		fault.InterceptorFailed,
	}
)

// Flow returns the counters of the flow with this name. All versions of the flow share them.
func (m *Metrics) Flow(name string) *Flow {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.flows[name]; f != nil {
		return f
	}
	f := &Flow{
		transformErrors: map[fault.Code]prometheus.Counter{},
		otherErrors:     m.transformErrors.WithLabelValues(name, "OTHER"),
		deadLetters:     m.deadLetters.WithLabelValues(name),
		dlqErrors:       m.dlqErrors.WithLabelValues(name),
		sinkErrors:      m.sinkErrors.WithLabelValues(name),
		retries:         m.retries.WithLabelValues(name),
		gaps:            m.gaps.WithLabelValues(name),
		accepted:        m.conflicts.WithLabelValues(name, "accepted"),
		rejected:        m.conflicts.WithLabelValues(name, "rejected"),
		held:            m.held.WithLabelValues(name),
		metrics:         m,
		name:            name,
	}
	f.sinks.Store(&map[string]*sink{})
	for i := range f.settled {
		f.settled[i] = m.events.WithLabelValues(name, delivery.Status(i).String())
	}
	for i := range f.durations {
		f.durations[i] = m.durations.of(name, delivery.Phase(i).String())
	}
	for _, c := range codes {
		f.transformErrors[c] = m.transformErrors.WithLabelValues(name, string(c))
	}
	m.flows[name] = f
	return f
}

// Settled counts n events that ended with this status.
func (f *Flow) Settled(s delivery.Status, n int) { f.settled[s].Add(float64(n)) }

// Timed records the duration of a phase for n events.
func (f *Flow) Timed(p delivery.Phase, d time.Duration, n int) { f.durations[p].observe(d, n) }

// TransformError counts an event whose transform failed.
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

// SinkError counts a failed try of a sink.
func (f *Flow) SinkError(name string, class connector.Class) {
	f.sinkErrors.Inc()
	if c := f.sink(name).errors[class]; c != nil {
		c.Inc()
	}
}

// sink returns the counters of a sink. Adding one replaces the map, so that readers need no lock.
func (f *Flow) sink(name string) *sink {
	if s := (*f.sinks.Load())[name]; s != nil {
		return s
	}
	f.metrics.mu.Lock()
	defer f.metrics.mu.Unlock()
	known := maps.Clone(*f.sinks.Load())
	s := known[name]
	if s == nil {
		s = &sink{errors: map[connector.Class]prometheus.Counter{}}
		for _, status := range []delivery.Status{delivery.Delivered, delivery.DeadLettered, delivery.Dropped} {
			s.ended[status] = f.metrics.sinkEvents.WithLabelValues(f.name, name, status.String())
		}
		for _, class := range classes {
			s.errors[class] = f.metrics.sinkTries.WithLabelValues(f.name, name, class.String())
		}
		known[name] = s
		f.sinks.Store(&known)
	}
	return s
}

// Retry counts an event that will be tried again.
func (f *Flow) Retry() { f.retries.Inc() }

// DeadLetter counts a stored dead letter.
func (f *Flow) DeadLetter(fault.Code) { f.deadLetters.Inc() }

// DeadLetterError counts a failed try to store a dead letter.
func (f *Flow) DeadLetterError() { f.dlqErrors.Inc() }

// Held sets the number of events that are held now.
func (f *Flow) Held(events int) { f.held.Set(float64(events)) }

// Gap counts a gap: records that the source lost before they were read.
func (f *Flow) Gap() { f.gaps.Inc() }

// Conflict counts an event whose workflow another event had started.
func (f *Flow) Conflict(accepted bool) {
	if accepted {
		f.accepted.Inc()
		return
	}
	f.rejected.Inc()
}
