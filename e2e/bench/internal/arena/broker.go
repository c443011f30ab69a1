package arena

import (
	"context"
	"encoding/json"
	"io"

	"github.com/lsm/fiso/connectors/kafka/kafkatest"
)

// Broker runs an embedded broker until ctx ends. It first writes its addresses as one line of
// JSON. It is its own process, so that it does not count in the figures of a contestant.
func Broker(ctx context.Context, out io.Writer) error {
	c, err := kafkatest.Start(kafkatest.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := json.NewEncoder(out).Encode(c.Brokers()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
