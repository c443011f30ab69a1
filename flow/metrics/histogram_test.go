package metrics

import (
	"bytes"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/lsm/fiso/delivery"
)

// The exported histogram must not differ from one of Prometheus.
func TestTimed_isExposedAsPrometheusOwnHistogramWould(t *testing.T) {
	m, reg := made(t)
	theirs := prometheus.NewRegistry()
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "fiso", Subsystem: "flow", Name: "event_duration_seconds",
		Help:    "Duration by phase: transform and sink for each try, total from accepted to settled.",
		Buckets: []float64{.00001, .00005, .0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"flow", "phase"})
	theirs.MustRegister(vec)
	f := m.Flow("orders")
	for _, d := range []time.Duration{0, 1, 10 * time.Microsecond, 10*time.Microsecond + 1, 3 * time.Millisecond, time.Minute, time.Hour} {
		f.Timed(delivery.PhaseSink, d, 3)
		for range 3 {
			vec.WithLabelValues("orders", "sink").Observe(d.Seconds())
		}
	}
	if err := testutil.CollectAndCompare(m.durations, text(t, theirs)); err != nil {
		t.Error(err)
	}
	if _, err := reg.Gather(); err != nil {
		t.Error(err)
	}
}

// U18: the metrics of a thousand idle flows were 6 MiB.
func TestTimed_isExposedOnceItMoves(t *testing.T) {
	m, reg := made(t)
	f := m.Flow("orders")
	series := func() int {
		n, err := testutil.GatherAndCount(reg, "fiso_flow_event_duration_seconds")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := series(); n != 0 {
		t.Errorf("%d series at rest", n)
	}
	f.Timed(delivery.PhaseSink, time.Hour, 1) // beyond the last bucket
	if n := series(); n != 1 {
		t.Errorf("%d series, want one", n)
	}
}

// text returns the exposition of a registry.
func text(t *testing.T, reg *prometheus.Registry) io.Reader {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&out, family); err != nil {
			t.Fatal(err)
		}
	}
	return &out
}

func TestTimed_losesNothingFromManyGoroutines(t *testing.T) {
	m, reg := made(t)
	f := m.Flow("orders")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				f.Timed(delivery.PhaseTotal, time.Millisecond, 2)
			}
		})
	}
	all.Wait()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var total *dto.Histogram
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, l := range metric.GetLabel() {
				if l.GetValue() == "total" {
					total = metric.GetHistogram()
				}
			}
		}
	}
	if n, sum := total.GetSampleCount(), total.GetSampleSum(); n != 16_000 || sum != 16 {
		t.Errorf("%d observations of %v s in all, want 16000 of 16 s", n, sum)
	}
}

// BenchmarkTook measures one counted duration.
func BenchmarkTook(b *testing.B) {
	m, err := New(prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	f := m.Flow("orders")
	for b.Loop() {
		f.Timed(delivery.PhaseTransform, time.Microsecond, 1)
	}
}
