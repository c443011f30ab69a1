package cekafka_test

import (
	"context"
	"fmt"
	"log"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/connectors/kafka/cekafka"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
)

func Example() {
	cluster, err := kafkatest.Start(kafkatest.Options{Topics: map[string]int32{"orders": 1}})
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	brokers := kafka.ClientConfig{Brokers: cluster.Brokers()}

	sink, err := kafka.NewSink(kafka.SinkConfig{ProducerConfig: kafka.ProducerConfig{ClientConfig: brokers}, Topic: "orders"}, kafka.ProducerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	source, err := kafka.NewSource(kafka.SourceConfig{ClientConfig: brokers, Topic: "orders", ConsumerGroup: "example", StartOffset: "earliest"}, kafka.SourceOptions{})
	if err != nil {
		log.Fatal(err)
	}
	p := cekafka.New(source, sink)
	client, err := cloudevents.NewClient(p)
	if err != nil {
		log.Fatal(err)
	}

	event := cloudevents.NewEvent()
	event.SetID("1")
	event.SetSource("/shop")
	event.SetType("order.created")
	_ = event.SetData(cloudevents.ApplicationJSON, map[string]int{"total": 42}) // a map of numbers is JSON
	ctx, cancel := context.WithCancel(context.Background())
	if result := client.Send(ctx, event); !cloudevents.IsACK(result) {
		log.Fatal(result)
	}
	err = client.StartReceiver(ctx, func(e cloudevents.Event) {
		fmt.Println(e.Type(), e.ID(), string(e.Data()))
		cancel()
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := p.Close(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output: order.created 1 {"total":42}
}
