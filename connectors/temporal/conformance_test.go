package temporal

import (
	"context"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/connector/connectortest"
)

// destination is a server that a conformance scenario inspects and makes fail.
type destination struct {
	*server
	mu     sync.Mutex
	events []*cloudevent.Event
	fail   int
	err    error
	block  chan struct{} // nil: not blocked
}

func (d *destination) take(ctx context.Context, request any) (any, error) {
	d.mu.Lock()
	block := d.block
	d.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail > 0 {
		d.fail--
		return nil, d.err
	}
	e := new(cloudevent.Event)
	if err := cloudevent.ParseJSON(payloadsOf(request).GetPayloads()[0].GetData(), e); err != nil {
		return nil, serviceerror.NewInvalidArgument(err.Error())
	}
	d.events = append(d.events, e)
	return nil, nil
}

// payloadsOf returns the payloads of a request that hold the event.
func payloadsOf(request any) *commonpb.Payloads {
	switch r := request.(type) {
	case *workflowservice.StartWorkflowExecutionRequest:
		return r.Input
	case *workflowservice.SignalWorkflowExecutionRequest:
		return r.Input
	case *workflowservice.SignalWithStartWorkflowExecutionRequest:
		return r.SignalInput
	case *workflowservice.ExecuteMultiOperationRequest:
		return r.Operations[1].GetUpdateWorkflow().GetRequest().GetInput().GetArgs()
	}
	return nil
}

func TestSink_conforms(t *testing.T) {
	features := connectortest.Features{Temporary: true, Permanent: true, Unavailable: true, Blocked: true, RetryAfter: true, Reconnects: true}
	for _, action := range []string{ActionStart, ActionSignal, ActionSignalWithStart, ActionUpdateWithStart} {
		t.Run(action, func(t *testing.T) {
			connectortest.RunSink(t, features, func(t testing.TB) connectortest.SinkHarness { return sinkHarness(t, action) })
		})
	}
}

func sinkHarness(t testing.TB, action string) connectortest.SinkHarness {
	d := &destination{server: newServer(t)}
	d.answers(d.take)
	return connectortest.SinkHarness{
		New: func(t testing.TB) connector.Sink {
			s, err := NewSink(sinkConfig(d.address, action), SinkOptions{Call: toOrder})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Received: func(testing.TB) []*cloudevent.Event {
			d.mu.Lock()
			defer d.mu.Unlock()
			return append([]*cloudevent.Event(nil), d.events...)
		},
		Fail: func(_ testing.TB, class connector.Class, n int, after time.Duration) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.fail = n
			d.err = map[connector.Class]error{
				connector.Temporary:   serviceerror.NewInternal("a fault"),
				connector.Permanent:   serviceerror.NewInvalidArgument("no such type"),
				connector.Unavailable: serviceerror.NewUnavailable("shutting down"),
				connector.Blocked:     serviceerror.NewResourceExhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW, "busy"),
			}[class]
			if after > 0 {
				d.err = askingFor(after)
			}
		},
		Block: func(testing.TB) func() {
			gate := make(chan struct{})
			d.mu.Lock()
			d.block = gate
			d.mu.Unlock()
			return sync.OnceFunc(func() {
				d.mu.Lock()
				d.block = nil
				d.mu.Unlock()
				close(gate)
			})
		},
		Disconnect: func(testing.TB) { d.conns.disconnect() },
	}
}

// askingFor is an error that asks for a delay.
func askingFor(delay time.Duration) error {
	st, err := status.New(codes.Internal, "later").WithDetails(protoadapt.MessageV1Of(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}))
	if err != nil {
		return err
	}
	return st.Err()
}
