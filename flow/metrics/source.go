package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lsm/fiso/common/connector"
)

var (
	lagDesc = prometheus.NewDesc("fiso_flow_consumer_lag",
		"Records of an assigned partition that are not yet settled. partition is the number, or topic/number if the flow reads several topics.",
		[]string{"flow", "partition"}, nil)
	inFlightDesc = prometheus.NewDesc("fiso_flow_in_flight", "Events accepted from the source and not yet settled.", []string{"flow"}, nil)
)

// Gauges are values of a running flow that are read at each scrape.
type Gauges struct {
	Partitions []connector.PartitionStatus
	InFlight   int // accepted and not yet settled
}

// flowGauges is where the gauges of a flow are read at each scrape. Series of lost partitions and
// removed flows disappear with it.
type flowGauges struct {
	live       func() Gauges
	manyTopics bool
}

// Watch adds the lag and the events in flight of a running flow to every scrape, until stop is
// called. With manyTopics the partition label includes the topic, because partition numbers of
// several topics would collide.
func (m *Metrics) Watch(flow string, manyTopics bool, live func() Gauges) (stop func()) {
	s := &flowGauges{live, manyTopics}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live[flow] = s
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.live[flow] == s { // a newer version of the flow may have replaced it
			delete(m.live, flow)
		}
	}
}

// gaugeCollector collects the gauges of all watched flows.
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
		lag := map[string]int64{} // summed by label: duplicate series would fail the whole scrape
		for _, p := range now.Partitions {
			if p.Partition >= 0 && p.Lag >= 0 { // the source has partitions, and the lag is known
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
