package temporal_test

import (
	"context"
	"fmt"
	"net"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/connectors/temporal"
)

// frontend stands for a Temporal server. It prints what it is asked for.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer
}

func (frontend) SignalWithStartWorkflowExecution(_ context.Context, r *workflowservice.SignalWithStartWorkflowExecutionRequest) (*workflowservice.SignalWithStartWorkflowExecutionResponse, error) {
	fmt.Printf("signal %s %s to workflow %s of type %s\n", r.SignalName, r.SignalInput.Payloads[0].Data, r.WorkflowId, r.WorkflowType.Name)
	return &workflowservice.SignalWithStartWorkflowExecutionResponse{RunId: "run"}, nil
}

// Signal the workflow of an order, and start it if it does not run.
func ExampleSink() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(srv, frontend{})
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()

	ctx := context.Background()
	sink, err := temporal.NewSink(temporal.SinkConfig{
		ClientConfig: temporal.ClientConfig{Address: ln.Addr().String(), Namespace: "shop"},
		Action:       temporal.ActionSignalWithStart,
	}, temporal.SinkOptions{
		Flow: "payments",
		Call: func(_ context.Context, e *cloudevent.Event) (temporal.Call, error) {
			return temporal.Call{
				WorkflowID: "order-" + e.Subject, WorkflowType: "Order", TaskQueue: "orders",
				SignalName: "paid", SignalArgs: [][]byte{e.Data.Bytes()},
			}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = sink.Send(ctx, &cloudevent.Event{
		ID: "1", Source: "/shop", Type: "order.paid", Subject: "17",
		DataContentType: "application/json", Data: cloudevent.Bytes([]byte(`{"amount":12.50}`)),
	})
	fmt.Println(err, sink.Close(ctx))
	srv.Stop()
	fmt.Println(<-done)
	// Output:
	// signal paid {"amount":12.50} to workflow order-17 of type Order
	// <nil> <nil>
	// <nil>
}
