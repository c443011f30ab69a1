package transform_test

import (
	"context"
	"fmt"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/flow/transform"
)

func Example() {
	p, err := transform.New(transform.Config{
		Flow: "order-events",
		CEL:  config.Text{Value: `{"order_id": data.legacy_id, "timestamp": time, "status": data.order_status}`},
		Type: config.Text{Value: `"order." + data.order_status`},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	events, err := p.Transform(context.Background(), &connector.Message{
		Key:      []byte("customer-7"),
		Value:    []byte(`{"legacy_id": 9007199254740993, "order_status": "shipped", "total": 10.00}`),
		Time:     time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Position: connector.PartitionOffset("orders", 2, 41),
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	e := events[0].Event // one, as the flow does not split, for its only sink
	fmt.Println(e.ID, e.Source, e.Type, e.Subject)
	fmt.Println(string(e.Data.Bytes()))
	// Output:
	// orders-2-41 fiso-flow/order-events order.shipped customer-7
	// {"order_id":9007199254740993,"timestamp":"2026-03-01T12:00:00Z","status":"shipped"}
}
