package temporal

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// server is a Temporal server whose answers a test writes.
type server struct {
	workflowservice.UnimplementedWorkflowServiceServer
	operatorservice.UnimplementedOperatorServiceServer
	address string
	conns   *trackedListener

	mu       sync.Mutex
	requests []proto.Message
	headers  []metadata.MD
	script   func(ctx context.Context, request any) (any, error) // nil results: the usual answer
}

func newServer(t testing.TB, options ...grpc.ServerOption) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: ln.Addr().String(), conns: &trackedListener{Listener: ln}}
	g := grpc.NewServer(append(options, grpc.UnaryInterceptor(s.intercept))...)
	workflowservice.RegisterWorkflowServiceServer(g, s)
	operatorservice.RegisterOperatorServiceServer(g, s)
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(s.conns) }()
	t.Cleanup(func() { g.Stop(); <-done })
	return s
}

func (s *server) intercept(ctx context.Context, request any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	s.mu.Lock()
	s.requests, s.headers = append(s.requests, request.(proto.Message)), append(s.headers, md)
	script := s.script
	s.mu.Unlock()
	if script != nil {
		if answer, err := script(ctx, request); answer != nil || err != nil {
			return answer, serviceerror.ToStatus(err).Err()
		}
	}
	return usualAnswer(request)
}

func usualAnswer(request any) (any, error) {
	switch r := request.(type) {
	case *workflowservice.StartWorkflowExecutionRequest:
		return &workflowservice.StartWorkflowExecutionResponse{RunId: "run", Started: true}, nil
	case *workflowservice.SignalWorkflowExecutionRequest:
		return &workflowservice.SignalWorkflowExecutionResponse{}, nil
	case *workflowservice.SignalWithStartWorkflowExecutionRequest:
		return &workflowservice.SignalWithStartWorkflowExecutionResponse{RunId: "run", Started: true}, nil
	case *workflowservice.ExecuteMultiOperationRequest:
		return updateAnswer(enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED, nil), nil
	case *workflowservice.DescribeNamespaceRequest:
		return &workflowservice.DescribeNamespaceResponse{
			NamespaceInfo: &namespacepb.NamespaceInfo{Name: r.Namespace, State: enumspb.NAMESPACE_STATE_REGISTERED},
			Config:        &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(72 * time.Hour)},
		}, nil
	case *workflowservice.DescribeTaskQueueRequest:
		return &workflowservice.DescribeTaskQueueResponse{Pollers: []*taskqueuepb.PollerInfo{{Identity: "worker"}}}, nil
	case *operatorservice.ListSearchAttributesRequest:
		return &operatorservice.ListSearchAttributesResponse{CustomAttributes: map[string]enumspb.IndexedValueType{"Customer": enumspb.INDEXED_VALUE_TYPE_KEYWORD}}, nil
	}
	return nil, serviceerror.ToStatus(serviceerror.NewUnimplemented("the test answers no such request")).Err()
}

func updateAnswer(stage enumspb.UpdateWorkflowExecutionLifecycleStage, outcome *updatepb.Outcome) *workflowservice.ExecuteMultiOperationResponse {
	return &workflowservice.ExecuteMultiOperationResponse{Responses: []*workflowservice.ExecuteMultiOperationResponse_Response{
		{Response: &workflowservice.ExecuteMultiOperationResponse_Response_StartWorkflow{StartWorkflow: &workflowservice.StartWorkflowExecutionResponse{RunId: "run"}}},
		{Response: &workflowservice.ExecuteMultiOperationResponse_Response_UpdateWorkflow{UpdateWorkflow: &workflowservice.UpdateWorkflowExecutionResponse{Stage: stage, Outcome: outcome}}},
	}}
}

// answers makes the server answer by a function from now on.
func (s *server) answers(script func(ctx context.Context, request any) (any, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// fails makes the server answer every request with an error.
func (s *server) fails(err error) {
	s.answers(func(context.Context, any) (any, error) { return nil, err })
}

// taken returns the requests so far.
func (s *server) taken() []proto.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// last returns the newest request, and its headers.
func last[R proto.Message](t *testing.T, s *server) (R, metadata.MD) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) == 0 {
		t.Fatal("the server got no request")
	}
	r, ok := s.requests[len(s.requests)-1].(R)
	if !ok {
		t.Fatalf("the newest request is a %T", s.requests[len(s.requests)-1])
	}
	return r, s.headers[len(s.headers)-1]
}

// trackedListener can close all connections that it accepted.
type trackedListener struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (l *trackedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, c)
		l.mu.Unlock()
	}
	return c, err
}

func (l *trackedListener) disconnect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

func order(id string) *cloudevent.Event {
	return &cloudevent.Event{
		ID: id, Source: "/orders", Type: "order.created",
		DataContentType: "application/json", Data: cloudevent.Bytes([]byte(`{"n":1}`)),
	}
}

// toOrder is the Call of most tests.
func toOrder(_ context.Context, e *cloudevent.Event) (Call, error) {
	return Call{WorkflowID: "order-" + e.ID, WorkflowType: "Order", TaskQueue: "orders", SignalName: "paid", UpdateName: "pay"}, nil
}

func sinkConfig(address, action string) SinkConfig {
	return SinkConfig{ClientConfig: ClientConfig{Address: address}, Action: action}
}

// newTestSink returns a sink that is closed when the test ends.
func newTestSink(t testing.TB, cfg SinkConfig, opts SinkOptions) *Sink {
	t.Helper()
	if opts.Call == nil {
		opts.Call = toOrder
	}
	if opts.Flow == "" {
		opts.Flow, opts.SinkName = "flow", "sink"
	}
	s, err := NewSink(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// wantError checks the class of an error and a part of its text.
func wantError(t *testing.T, err error, class connector.Class, part string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want a %v one with %q", class, part)
	}
	if got := connector.ClassOf(err); got != class {
		t.Errorf("class of %q is %v; want %v", err, got, class)
	}
	if !strings.Contains(err.Error(), part) {
		t.Errorf("error is %q; want %q in it", err, part)
	}
}
