package connector_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// deliver sends one event, and retries as the class of the error demands.
func deliver(ctx context.Context, sink connector.Sink, e *cloudevent.Event) error {
	retry := backoff.Policy{Kind: backoff.Exponential, Initial: 200 * time.Millisecond, Max: 30 * time.Second, Jitter: 0.2}
	for attempt := 1; ; attempt++ {
		err := sink.Send(ctx, e)
		if err == nil || connector.ClassOf(err) != connector.Temporary || attempt > 5 {
			return err
		}
		select {
		case <-time.After(max(retry.Delay(attempt), connector.RetryAfter(err))):
		case <-ctx.Done():
			return connector.ErrInterrupted
		}
	}
}

// flaky is a sink that fails once and then prints.
type flaky struct{ calls int }

func (s *flaky) Send(_ context.Context, e *cloudevent.Event) error {
	if s.calls++; s.calls == 1 {
		return connector.AsTemporary(errors.New("busy"), time.Millisecond)
	}
	b, err := e.AppendJSON(nil)
	if err != nil {
		return err // *cloudevent.EncodeError is permanent
	}
	fmt.Println(string(b))
	return nil
}

func (s *flaky) Close(context.Context) error { return nil }

func Example() {
	e := &cloudevent.Event{
		ID: "orders-3-42", Source: "/orders", Type: "order.created",
		DataContentType: "application/json", Data: cloudevent.Bytes([]byte(`{"amount": 1.10}`)),
	}
	if err := e.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(deliver(context.Background(), &flaky{}, e))
	// Output:
	// {"specversion":"1.0","id":"orders-3-42","source":"/orders","type":"order.created","datacontenttype":"application/json","data":{"amount": 1.10}}
	// <nil>
}
