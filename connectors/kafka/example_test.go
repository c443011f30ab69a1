package kafka_test

import (
	"context"
	"fmt"
	"log"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
)

func Example() {
	cluster, err := kafkatest.Start(kafkatest.Options{Topics: map[string]int32{"orders": 1}})
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	brokers := kafka.ClientConfig{Brokers: cluster.Brokers()}
	ctx, cancel := context.WithCancel(context.Background())

	producer, err := kafka.NewProducer(kafka.ProducerConfig{ClientConfig: brokers}, kafka.ProducerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if err := producer.Produce(ctx, kafka.Record{Topic: "orders", Key: []byte("7"), Value: []byte("two shoes")}); err != nil {
		log.Fatal(err)
	}
	if err := producer.Close(ctx); err != nil {
		log.Fatal(err)
	}

	source, err := kafka.NewSource(kafka.SourceConfig{
		ClientConfig:  brokers,
		Topic:         "orders",
		ConsumerGroup: "billing",
		StartOffset:   "earliest",
	}, kafka.SourceOptions{})
	if err != nil {
		log.Fatal(err)
	}
	err = source.Run(ctx, func(_ *connector.Assignment, ms []*connector.Message) {
		for _, m := range ms {
			fmt.Printf("%s: %s\n", m.Position, m.Value)
			m.Settle(nil) // done; after an error it is delivered again
		}
		cancel()
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: orders-0-0: two shoes
}
