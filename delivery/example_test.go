package delivery_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/delivery/fault"
)

// orders is a source of three messages that prints how each ended.
type orders struct{ settled chan string }

func (s orders) Settled(m *connector.Message, err error) {
	s.settled <- fmt.Sprintf("%s settled: %v", m.Value, err)
}

func (orders) Guarantees() connector.Guarantees {
	return connector.Guarantees{Redelivers: true, Orders: true}
}

func (s orders) Run(ctx context.Context, handle connector.Handler) error {
	a := connector.NewAssignment(ctx, "orders-0")
	for i, v := range []string{"cup", "", "pot"} {
		m := &connector.Message{Value: []byte(v), Position: connector.PartitionOffset("orders", 0, int64(i))}
		m.Bind(s)
		handle(a, []*connector.Message{m})
		fmt.Println(<-s.settled)
	}
	return nil
}

// upper is a transform.
type upper struct{}

func (upper) Transform(_ context.Context, m *connector.Message, into []delivery.Routed) ([]delivery.Routed, error) {
	if len(m.Value) == 0 {
		return nil, fault.New(fault.DecodeFailed, fmt.Errorf("the record is empty"))
	}
	return append(into, delivery.Routed{Event: &cloudevent.Event{
		ID: m.Position.String(), Source: "example", Type: "order", Data: cloudevent.Bytes([]byte(strings.ToUpper(string(m.Value)))),
	}}), nil
}

// printer is a sink and a writer of dead letters.
type printer struct{}

func (printer) Send(_ context.Context, e *cloudevent.Event) error {
	fmt.Printf("%s delivered: %s\n", e.ID, e.Data.Bytes())
	return nil
}

func (printer) Write(_ context.Context, l *deadletter.Letter) error {
	fmt.Printf("%s dead: %s: %s\n", l.Message.Position, l.Code, l.Reason)
	return nil
}

func (printer) Close(context.Context) error { return nil }

func Example() {
	e := delivery.New(delivery.Config{Name: "orders"}, &delivery.Version{
		Transformer: upper{}, Handling: delivery.Handling{DeadLetter: printer{}},
		Outputs: []delivery.Output{{Name: "shop", Sink: printer{}, Handling: delivery.Handling{DeadLetter: printer{}}}},
	})
	err := e.Run(context.Background(), orders{make(chan string)})
	fmt.Println("ended:", err)
	// Output:
	// orders-0-0 delivered: CUP
	// cup settled: <nil>
	// orders-0-1 dead: DECODE_FAILED: the record is empty
	//  settled: <nil>
	// orders-0-2 delivered: POT
	// pot settled: <nil>
	// ended: <nil>
}
