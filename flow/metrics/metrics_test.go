package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/fault"
)

func made(t *testing.T) (*Metrics, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	m, err := New(reg)
	if err != nil {
		t.Fatal(err)
	}
	return m, reg
}

// shows compares the named metrics with the exposition text.
func shows(t *testing.T, reg *prometheus.Registry, want string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestFlow_movesEveryCounter(t *testing.T) {
	m, reg := made(t)
	f := m.Flow("orders")
	for s := delivery.Filtered; s <= delivery.Interrupted; s++ {
		f.Settled(s, 1)
	}
	for p := delivery.PhaseTransform; p <= delivery.PhaseTotal; p++ {
		f.Timed(p, time.Millisecond, 1)
	}
	f.TransformError(fault.TransformTimeout)
	f.TransformError("SOMETHING_NEW")
	f.SinkError("s", connector.Temporary)
	f.Ended("s", delivery.Delivered, 2)
	f.Ended("t", delivery.DeadLettered, 1)
	f.Ended("t", delivery.Filtered, 1) // a sink cannot end so: it counts nothing
	f.Retry()
	f.DeadLetter(fault.SinkRejected)
	f.DeadLetterError()
	f.Held(3)
	f.Gap()
	f.Conflict(true)
	f.Conflict(false)
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	still := map[string]bool{"fiso_flow_config_valid": true}
	for _, family := range all {
		sum := 0.0
		for _, metric := range family.GetMetric() {
			sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
		if sum == 0 && !still[family.GetName()] {
			t.Errorf("%s did not move", family.GetName())
		}
	}
	shows(t, reg, `# HELP fiso_flow_events_total Events that ended, by status: delivered, filtered, unrouted (no sink takes it), dead_lettered, dropped, or interrupted (handed back to the source).
# TYPE fiso_flow_events_total counter
fiso_flow_events_total{flow="orders",status="dead_lettered"} 1
fiso_flow_events_total{flow="orders",status="delivered"} 1
fiso_flow_events_total{flow="orders",status="dropped"} 1
fiso_flow_events_total{flow="orders",status="filtered"} 1
fiso_flow_events_total{flow="orders",status="interrupted"} 1
fiso_flow_events_total{flow="orders",status="unrouted"} 1
`, "fiso_flow_events_total")
	shows(t, reg, `# HELP fiso_flow_sink_errors_total Failed tries to deliver, by sink and error class: temporary, unavailable, blocked or permanent.
# TYPE fiso_flow_sink_errors_total counter
fiso_flow_sink_errors_total{class="blocked",flow="orders",sink="s"} 0
fiso_flow_sink_errors_total{class="blocked",flow="orders",sink="t"} 0
fiso_flow_sink_errors_total{class="permanent",flow="orders",sink="s"} 0
fiso_flow_sink_errors_total{class="permanent",flow="orders",sink="t"} 0
fiso_flow_sink_errors_total{class="temporary",flow="orders",sink="s"} 1
fiso_flow_sink_errors_total{class="temporary",flow="orders",sink="t"} 0
fiso_flow_sink_errors_total{class="unavailable",flow="orders",sink="s"} 0
fiso_flow_sink_errors_total{class="unavailable",flow="orders",sink="t"} 0
# HELP fiso_flow_sink_events_total Events that ended for a sink, by status: delivered, dead_lettered or dropped.
# TYPE fiso_flow_sink_events_total counter
fiso_flow_sink_events_total{flow="orders",sink="s",status="dead_lettered"} 0
fiso_flow_sink_events_total{flow="orders",sink="s",status="delivered"} 2
fiso_flow_sink_events_total{flow="orders",sink="s",status="dropped"} 0
fiso_flow_sink_events_total{flow="orders",sink="t",status="dead_lettered"} 1
fiso_flow_sink_events_total{flow="orders",sink="t",status="delivered"} 0
fiso_flow_sink_events_total{flow="orders",sink="t",status="dropped"} 0
`, "fiso_flow_sink_events_total", "fiso_flow_sink_errors_total")
	if n := testutil.ToFloat64(m.transformErrors.WithLabelValues("orders", "OTHER")); n != 1 {
		t.Errorf("an unknown code counts %v under OTHER", n)
	}
}

func TestMetrics_goOnAcrossReloadsAndRemoval(t *testing.T) {
	m, reg := made(t)
	m.Flow("orders").Settled(delivery.Delivered, 1)
	m.Flow("orders").Settled(delivery.Delivered, 1)
	m.Reloaded("orders", true)
	m.Reloaded("orders", false)
	m.Valid("orders", true)
	m.Valid("gone", false)
	m.Flow("gone").Settled(delivery.Delivered, 1)
	m.Flow("gone").Held(1)
	m.Forget("gone")
	m.Flow("gone").Settled(delivery.Delivered, 1)
	shows(t, reg, `# HELP fiso_flow_config_valid 1 if the flow file is valid, 0 if it is not and an older version of it runs.
# TYPE fiso_flow_config_valid gauge
fiso_flow_config_valid{flow="orders"} 1
# HELP fiso_flow_reloads_total Reloads of a changed flow file, by status: success or failure.
# TYPE fiso_flow_reloads_total counter
fiso_flow_reloads_total{flow="orders",status="failure"} 1
fiso_flow_reloads_total{flow="orders",status="success"} 1
# HELP fiso_flow_held_events Events held until a fault outside ends, such as a sink that is down or a dead letter that cannot be stored.
# TYPE fiso_flow_held_events gauge
fiso_flow_held_events{flow="gone"} 0
fiso_flow_held_events{flow="orders"} 0
`, "fiso_flow_config_valid", "fiso_flow_reloads_total", "fiso_flow_held_events")
	for _, name := range []string{"orders", "gone"} {
		if n := testutil.ToFloat64(m.events.WithLabelValues(name, delivery.Delivered.String())); n != 2 {
			t.Errorf("%s: %v delivered", name, n)
		}
	}
}

func TestWatch_showsTheSourceWhileItRuns(t *testing.T) {
	m, reg := made(t)
	one := func() Gauges {
		return Gauges{InFlight: 3, Partitions: []connector.PartitionStatus{
			{Stream: "orders", Partition: 0, Lag: 7},
			{Stream: "orders", Partition: 1, Lag: -1}, // lag not known yet
			{Stream: "hook", Partition: -1, Lag: 3},   // source without partitions
		}}
	}
	many := func() Gauges {
		return Gauges{Partitions: []connector.PartitionStatus{
			{Stream: "a", Partition: 0, Lag: 1}, {Stream: "b", Partition: 0, Lag: 2},
		}}
	}
	m.Watch("orders", false, one)
	stop := m.Watch("many", true, many)
	stopOld := m.Watch("clash", false, one)
	stopNew := m.Watch("clash", false, many) // must not fail the scrape
	stopOld()
	shows(t, reg, `# HELP fiso_flow_consumer_lag Records of an assigned partition that are not yet settled. partition is the number, or topic/number if the flow reads several topics.
# TYPE fiso_flow_consumer_lag gauge
fiso_flow_consumer_lag{flow="clash",partition="0"} 3
fiso_flow_consumer_lag{flow="many",partition="a/0"} 1
fiso_flow_consumer_lag{flow="many",partition="b/0"} 2
fiso_flow_consumer_lag{flow="orders",partition="0"} 7
# HELP fiso_flow_in_flight Events accepted from the source and not yet settled.
# TYPE fiso_flow_in_flight gauge
fiso_flow_in_flight{flow="clash"} 0
fiso_flow_in_flight{flow="many"} 0
fiso_flow_in_flight{flow="orders"} 3
`, "fiso_flow_consumer_lag", "fiso_flow_in_flight")
	stop()
	stopNew()
	m.Forget("orders")
	shows(t, reg, "", "fiso_flow_consumer_lag", "fiso_flow_in_flight")
}

func TestNew_twiceOnOneRegistryFails(t *testing.T) {
	_, reg := made(t)
	if _, err := New(reg); err == nil || !strings.Contains(err.Error(), "register metrics") {
		t.Errorf("error = %v", err)
	}
}

// Counting an event must not look up labels or allocate.
func TestFlow_allocatesNothingAnEvent(t *testing.T) {
	m, _ := made(t)
	f := m.Flow("orders")
	if n := testing.AllocsPerRun(100, func() {
		f.Settled(delivery.Delivered, 1)
		f.Timed(delivery.PhaseTotal, time.Millisecond, 3)
		f.Held(0)
	}); n != 0 {
		t.Errorf("%v allocations an event", n)
	}
}
