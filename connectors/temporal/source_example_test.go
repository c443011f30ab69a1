package temporal_test

import (
	"context"
	"fmt"
	"log"
	"os/signal"
	"syscall"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/temporal"
)

// Receive events that workflows publish with the activity fiso.publish. Each call completes
// once its event is settled.
func ExampleSource() {
	source, err := temporal.NewSource(temporal.SourceConfig{
		ClientConfig: temporal.ClientConfig{Address: "localhost:7233"},
		TaskQueue:    "events",
	}, temporal.SourceOptions{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err = source.Run(ctx, connector.Each(func(_ context.Context, m *connector.Message) {
		fmt.Println(m.ID, string(m.Value))
		m.Settle(nil)
	}))
	if err != nil {
		log.Print(err)
	}
}
