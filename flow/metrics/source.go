package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lsm/fiso/common/connector"
)

var (
	lagDesc      = prometheus.NewDesc("fiso_flow_consumer_lag", "Records of an assigned partition that are not yet settled. partition is the number, or topic/number for a flow of several topics.", []string{"flow", "partition"}, nil)
	inFlightDesc = prometheus.NewDesc("fiso_flow_in_flight", "Events accepted from the source and not yet settled.", []string{"flow"}, nil)
)

// Gauges is what a running flow shows at each scrape.
type Gauges struct {
	Partitions []connector.PartitionStatus
	InFlight   int // accepted and not yet settled
}

// flowGauges is where the gauges of a flow come from: they are asked for at each
// scrape, so that they go when the partitions and the flow go.
type flowGauges struct {
	live       func() Gauges
	manyTopics bool
}

// Watch makes a running flow's lag and events in flight part of every scrape,
// until stop is called. With manyTopics the partition label names the topic
// too: partition numbers alone would collide.
func (m *Metrics) Watch(flow string, manyTopics bool, live func() Gauges) (stop func()) {
	s := &flowGauges{live, manyTopics}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live[flow] = s
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.live[flow] == s { // not that of a successor
			delete(m.live, flow)
		}
	}
}

// gaugeCollector collects the gauges of all sources that are watched.
type gaugeCollector struct{ m *Metrics }

func (c gaugeCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- lagDesc
	ch <- inFlightDesc
}

func (c gaugeCollector) Collect(ch chan<- prometheus.Metric) {
	c.m.mu.Lock()
	live := make(map[string]*flowGauges, len(c.m.live))
	for name, s := range c.m.live {
		live[name] = s
	}
	c.m.mu.Unlock()
	for name, s := range live {
		now := s.live()
		lag := map[string]int64{} // one a label: two would spoil the whole scrape
		for _, p := range now.Partitions {
			if p.Partition >= 0 && p.Lag >= 0 { // known, and of a broker
				lag[s.label(p)] += p.Lag
			}
		}
		for label, n := range lag {
			ch <- prometheus.MustNewConstMetric(lagDesc, prometheus.GaugeValue, float64(n), name, label)
		}
		ch <- prometheus.MustNewConstMetric(inFlightDesc, prometheus.GaugeValue, float64(now.InFlight), name)
	}
}

func (s *flowGauges) label(p connector.PartitionStatus) string {
	n := strconv.Itoa(int(p.Partition))
	if s.manyTopics {
		return p.Stream + "/" + n
	}
	return n
}
