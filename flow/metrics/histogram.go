package metrics

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// histogram counts durations and is exported as a Prometheus histogram. Events that were measured
// together have the same duration; histogram counts them in one call. A prometheus.Histogram needs
// one call, with a search of the buckets, for each event.
type histogram struct {
	desc   *prometheus.Desc
	bounds []time.Duration

	mu     sync.Mutex
	series map[labels]*series
}

// labels are the label values of a series, in the order of the description.
type labels struct{ flow, phase string }

// series is the histogram of one set of labels. It is safe for concurrent use.
type series struct {
	labels labels
	bounds []time.Duration // upper bounds, inclusive
	counts []atomic.Uint64 // per bucket, not cumulative; the last one counts what exceeds all bounds
	sum    atomic.Int64    // in ns
}

func newHistogram(name, help string, bounds ...time.Duration) *histogram {
	return &histogram{
		desc:   prometheus.NewDesc(name, help, []string{"flow", "phase"}, nil),
		bounds: bounds,
		series: map[labels]*series{},
	}
}

// of returns the series with these labels, and adds it if it is missing.
func (h *histogram) of(flow, phase string) *series {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := labels{flow, phase}
	s := h.series[l]
	if s == nil {
		s = &series{labels: l, bounds: h.bounds, counts: make([]atomic.Uint64, len(h.bounds)+1)}
		h.series[l] = s
	}
	return s
}

// observe counts the duration d n times.
func (s *series) observe(d time.Duration, n int) {
	i := 0
	for i < len(s.bounds) && d > s.bounds[i] {
		i++
	}
	s.counts[i].Add(uint64(max(n, 0))) //nolint:gosec // G115: not negative
	s.sum.Add(int64(d) * int64(n))
}

// Describe and Collect implement prometheus.Collector.
func (h *histogram) Describe(out chan<- *prometheus.Desc) { out <- h.desc }

func (h *histogram) Collect(out chan<- prometheus.Metric) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.series {
		if s.hasSamples() {
			out <- s.metric(h.desc)
		}
	}
}

// hasSamples reports whether the series has counted anything. Empty series are not exported: a
// series has 22 lines, a process may have a thousand flows with three series each, and most of
// them are idle. Rates and quantiles do not need the zeros.
func (s *series) hasSamples() bool {
	for i := range s.counts {
		if s.counts[i].Load() > 0 {
			return true
		}
	}
	return false
}

// metric returns a snapshot of the series. A duration that is observed at the same time may be in
// the sum now and in its bucket only at the next scrape.
func (s *series) metric(desc *prometheus.Desc) prometheus.Metric {
	sum := time.Duration(s.sum.Load()).Seconds()
	buckets := make(map[float64]uint64, len(s.bounds))
	var count uint64
	for i, bound := range s.bounds {
		count += s.counts[i].Load()
		buckets[bound.Seconds()] = count
	}
	count += s.counts[len(s.bounds)].Load()
	return prometheus.MustNewConstHistogram(desc, count, sum, buckets, s.labels.flow, s.labels.phase)
}
