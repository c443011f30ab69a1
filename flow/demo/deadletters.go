package demo

import (
	"context"
	"fmt"
	"regexp"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
)

// orderID finds the order id in a dead letter's value, which may not be JSON.
var orderID = regexp.MustCompile(`C\d+-\d{4}`)

// watchDeadLetters reads the dead letter topic from its start, as any Kafka client could.
func (s *demo) watchDeadLetters(ctx context.Context) error {
	src, err := kafka.NewSource(kafka.SourceConfig{
		ClientConfig:  kafka.ClientConfig{Brokers: s.brokers},
		Topic:         deadLetters,
		ConsumerGroup: "demo-dead-letter-watch",
		StartOffset:   "earliest",
	}, kafka.SourceOptions{})
	if err != nil {
		return fmt.Errorf("watch the dead letter queue: %w", err)
	}
	err = src.Run(ctx, connector.Each(func(_ context.Context, m *connector.Message) {
		code, _ := m.Header("fiso-error-code")
		reason, _ := m.Header("fiso-error-message")
		s.ledger.orderDeadLettered(letterID(m), string(code), string(reason))
		m.Settle(nil)
	}))
	if err != nil {
		return fmt.Errorf("watch the dead letter queue: %w", err)
	}
	return nil
}

// letterID returns the order id of a dead letter, or its position if there is none.
func letterID(m *connector.Message) string {
	if id := orderID.Find(m.Value); id != nil {
		return string(id)
	}
	return m.Position.String()
}
