//go:build integration

package kafka

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
)

// U10: brokers advertise a host that only they can resolve.
func TestReal_checkNamesTheAdvertisedAddressThatDoesNotAnswer(t *testing.T) {
	c := kafkatest.Real(t, kafkatest.RealOptions{Advertised: "kafka-internal.invalid"})
	if err := c.CreateTopic(t.Context(), "t", 2, nil); err != nil {
		t.Fatal(err)
	}
	bootstrap := c.Brokers()[0]
	_, port, err := net.SplitHostPort(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	want := "the bootstrap address " + bootstrap + " answers, but broker 1 advertises kafka-internal.invalid:" + port + ", which does not: "
	client := ClientConfig{Brokers: c.Brokers()}
	source, err := NewSource(SourceConfig{ClientConfig: client, Topic: "t", ConsumerGroup: "g"}, SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sink, err := NewSink(SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: client}, Topic: "t"}, ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close(context.Background()) }() // nothing is in flight
	for role, check := range map[string]func(context.Context) []connector.Step{"source": source.Check, "sink": sink.Check} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		steps := check(ctx)
		cancel()
		last := steps[len(steps)-1]
		if !strings.HasPrefix(last.Name, "partition leaders: broker 1 at kafka-internal.invalid:") || last.Err == nil || !strings.Contains(last.Err.Error(), want) {
			t.Errorf("%s: last step %q, %v; want %q", role, last.Name, last.Err, want)
		}
	}
}
