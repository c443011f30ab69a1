package metrics

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// histogram counts durations, many of the same length at once where they were
// measured together, which a prometheus.Histogram cannot: it would be called,
// and search its buckets, for each. It is exposed as one.
type histogram struct {
	desc   *prometheus.Desc
	bounds []time.Duration

	mu     sync.Mutex
	series map[labels]*series
}

// labels are those of a series, in the order of the description.
type labels struct{ flow, phase string }

// series is one set of labels. It is safe for concurrent use.
type series struct {
	labels labels
	bounds []time.Duration // upper ones, included
	counts []atomic.Uint64 // of each bucket alone, and of what is beyond the last
	sum    atomic.Int64    // in ns
}

func newHistogram(name, help string, bounds ...time.Duration) *histogram {
	return &histogram{
		desc:   prometheus.NewDesc(name, help, []string{"flow", "phase"}, nil),
		bounds: bounds,
		series: map[labels]*series{},
	}
}

// of is the series of those labels.
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

// observe counts n times d.
func (s *series) observe(d time.Duration, n int) {
	i := 0
	for i < len(s.bounds) && d > s.bounds[i] {
		i++
	}
	s.counts[i].Add(uint64(max(n, 0))) //nolint:gosec // G115: not negative
	s.sum.Add(int64(d) * int64(n))
}

// Describe and Collect make it a prometheus.Collector.
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

// hasSamples reports whether the series has counted anything. Until then it is not
// exposed: it has 22 lines, and a process may have a thousand flows with three
// each, most of them at rest. No rate or quantile needs its zeros.
func (s *series) hasSamples() bool {
	for i := range s.counts {
		if s.counts[i].Load() > 0 {
			return true
		}
	}
	return false
}

// metric is how the series stands. What is counted meanwhile may be in the sum
// already and in its bucket with the next scrape.
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
