package rounds

import (
	"fmt"
	"strings"
	"time"

	"github.com/lsm/fiso/e2e/bench/internal/fixture"
	"github.com/lsm/fiso/e2e/bench/internal/floor"
)

// Scenario is one kind of work.
type Scenario struct {
	Name, Title string
	Records     fixture.Records // of a default run
	Mode        string          // mode of package floor
	Filter      bool
	Delay       time.Duration // response delay of the sink
	Workers     int           // number of workers of the floor
	PerSecond   int           // rate at which records are written during the run; 0: all are written before
	Goal        float64       // minimum share of the floor's events per second
}

// Scenarios are all scenarios in the order of the report.
var Scenarios = []Scenario{
	{Name: "post", Title: "one POST an event, 500 B", Records: records(160_000, 500, 10_000, 8), Mode: floor.Structured, Workers: 16, Goal: 0.85},
	{Name: "slow", Title: "sink takes 20 ms, `maxInFlight: 1024`", Records: records(100_000, 500, 10_000, 8), Mode: floor.Structured, Workers: 1024,
		Delay: 20 * time.Millisecond, Goal: 0.9},
	{Name: "slow-100", Title: "sink takes 100 ms, `maxInFlight: 1024`", Records: records(50_000, 500, 10_000, 8), Mode: floor.Structured, Workers: 1024,
		Delay: 100 * time.Millisecond, Goal: 0.9},
	{Name: "post-10k", Title: "one POST an event, 10 KB", Records: records(100_000, 10_000, 10_000, 8), Mode: floor.Structured, Workers: 16, Goal: 0.85},
	{Name: "batch", Title: "batches of 100", Records: records(1_500_000, 500, 10_000, 8), Mode: floor.Batch, Workers: 16, Goal: 0.8},
	{Name: "binary", Title: "binary mode", Records: records(160_000, 500, 10_000, 8), Mode: floor.Binary, Workers: 16, Goal: 0.8},
	{Name: "kafka", Title: "Kafka to Kafka", Records: records(1_000_000, 500, 10_000, 8), Mode: floor.Kafka, Goal: 0.8},
	{Name: "filter", Title: "filter that drops all", Records: fixture.Records{Count: 2_400_000, Size: 500, Keys: 10_000, Partitions: 8, Rare: true},
		Mode: floor.Stdout, Filter: true, Goal: 0.8},
	{Name: "transform", Title: "transform only, to stdout", Records: records(2_000_000, 500, 10_000, 8), Mode: floor.Stdout, Goal: 0.8},
	{Name: "one-key", Title: "1 key", Records: records(40_000, 500, 1, 1), Mode: floor.Structured, Workers: 16, Goal: 0.8},
	{Name: "partitions-1", Title: "1 partition", Records: records(120_000, 500, 10_000, 1), Mode: floor.Structured, Workers: 16, Goal: 0.8},
	{Name: "partitions-64", Title: "64 partitions", Records: records(120_000, 500, 10_000, 64), Mode: floor.Structured, Workers: 16, Goal: 0.8},
}

func records(count, size, keys, partitions int) fixture.Records {
	return fixture.Records{Count: count, Size: size, Keys: keys, Partitions: partitions}
}

// scaled returns the scenario with the number of records multiplied.
func (s Scenario) scaled(by float64) Scenario {
	s.Records.Count = max(100, 2*s.Records.Partitions, int(float64(s.Records.Count)*by))
	s.Records.Count -= s.Records.Count % s.Records.Partitions
	return s
}

// pace is the rate of records per second for measuring latency.
const pace = 1000

// paced returns the scenario at a rate at which nothing queues, for about a second, to measure
// latency.
func (s Scenario) paced() Scenario {
	s.PerSecond, s.Records.Count = pace, pace-pace%s.Records.Partitions
	return s
}

// hasLatency reports whether events arrive: a filter drops them.
func (s Scenario) hasLatency() bool { return !s.Filter }

// flow returns the flow file of the scenario: the example of the specification, read from the
// start, with the changes of the scenario.
func (s Scenario) flow(p place) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: order-events\nsource:\n  type: kafka\n  config:\n    brokers: [%s]\n    topic: %s\n    consumerGroup: %s\n    startOffset: earliest\n",
		strings.Join(p.brokers, ", "), p.topic, p.group)
	if s.Filter {
		b.WriteString("filter: 'data.region == \"eu\"'\n")
	}
	b.WriteString(`transform:
  cel: '{"order_id": data.legacy_id, "timestamp": time, "status": data.order_status}'
`)
	switch s.Mode {
	case floor.Kafka:
		fmt.Fprintf(&b, "sink:\n  type: kafka\n  config:\n    brokers: [%s]\n    topic: %s\n", strings.Join(p.brokers, ", "), p.out)
	case floor.Stdout:
		b.WriteString("sink:\n  type: stdout\n")
	default:
		fmt.Fprintf(&b, "sink:\n  type: http\n  config:\n    url: %s\n    method: POST\n    mode: %s\n", p.url, s.Mode)
	}
	if s.Mode == floor.Batch {
		b.WriteString("delivery:\n  batch: {maxEvents: 100, maxBytes: 1MiB, maxWait: 50ms}\n")
	}
	b.WriteString(`errorHandling:
  deadLetterTopic: fiso-dlq-order-events
  maxRetries: 5
  backoff: exponential
`)
	return b.String()
}

// floor returns the same configuration for the floor.
func (s Scenario) floor(p place) floor.Config {
	return floor.Config{
		Mode: s.Mode, Brokers: p.brokers, Topic: p.topic, Group: p.group, OutTopic: p.out, URL: p.url,
		Workers: s.Workers, Filter: s.Filter, Unordered: s.Delay > 0, Metrics: p.metrics,
	}
}

// place is the environment of one run.
type place struct {
	brokers           []string
	topic, group, out string
	url, metrics      string
}
