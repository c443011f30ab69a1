package kafka

import (
	"fmt"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
)

// manyEvents returns events like those that a flow makes of Kafka records, each with
// its own key.
func manyEvents(n int) []*cloudevent.Event {
	data := fmt.Appendf(nil, `{"order":"%0450d"}`, 7)
	events := make([]*cloudevent.Event, n)
	for i := range events {
		events[i] = &cloudevent.Event{
			ID: fmt.Sprint("orders-3-", 100000+i), Source: "fiso-flow/orders", Type: "order.created", Subject: fmt.Sprint("o-", i),
			Time: time.UnixMilli(1700000000123).UTC(), DataContentType: "application/json", Data: cloudevent.Bytes(data), Key: fmt.Append(nil, "customer-", i),
		}
	}
	return events
}

// The fake broker runs in the same process, so its work and allocations count too.
func BenchmarkSink_SendBatch(b *testing.B) {
	for _, mode := range []string{ModeBinary, ModeStructured} {
		for _, n := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/%d", mode, n), func(b *testing.B) {
				c := kafkatest.Embedded(b, kafkatest.Options{Topics: map[string]int32{"t": 4}})
				s, err := NewSink(SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, Topic: "t", Mode: mode}, ProducerOptions{})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = s.Close(b.Context()) }() // nothing is in flight
				events := manyEvents(n)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if errs := s.SendBatch(b.Context(), events); errs != nil {
						b.Fatal(errs)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/event")
			})
		}
	}
}
