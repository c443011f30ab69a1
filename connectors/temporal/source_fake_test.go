package temporal

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// fakeTemporal is the part of a Temporal server that a worker of activities needs. Attempts
// expire and are retried as on a real one, with the default retry policy. It keeps its calls
// while it is down.
type fakeTemporal struct {
	workflowservice.UnimplementedWorkflowServiceServer
	t       testing.TB
	addr    string
	options []grpc.ServerOption

	mu            sync.Mutex
	changed       chan struct{} // closed and replaced with each change
	srv           *grpc.Server  // nil: down
	conns         []net.Conn
	pollsComplete bool                 // ShutdownWorker completes polls
	stopped       map[string]bool      // workers that were shut down
	refusals      map[string]error     // by method
	keys          []string             // the credentials of polls
	calls         map[string]*fakeCall // by activity id
	ready         []*fakeCall          // in order
	started       map[string]*fakeCall // by token
	taken         int                  // attempts that were started
	wait          sync.WaitGroup       // of goroutines
}

// fakeCall is one call of an activity by a workflow.
type fakeCall struct {
	id                  string
	args                *commonpb.Payloads
	heartbeat, attempts time.Duration // timeouts of an attempt
	attempt             int32
	token               string
	start, beat         time.Time
	readyAt             time.Time // zero: it is ready, started or closed
	cancelAsked         bool

	beats    []*commonpb.Payloads
	failures []*failurepb.Failure
	result   *commonpb.Payloads
	canceled bool
	closed   bool
}

func newFakeTemporal(t testing.TB, options ...grpc.ServerOption) *fakeTemporal {
	t.Helper()
	f := &fakeTemporal{
		t: t, addr: "127.0.0.1:0", options: options, changed: make(chan struct{}), stopped: map[string]bool{}, refusals: map[string]error{},
		calls: map[string]*fakeCall{}, started: map[string]*fakeCall{},
	}
	f.up()
	over := make(chan struct{})
	f.wait.Go(func() { f.runClock(over) })
	t.Cleanup(func() {
		close(over)
		f.down()
		f.wait.Wait()
	})
	return f
}

// up starts to listen, on the same address as before.
func (f *fakeTemporal) up() {
	f.t.Helper()
	l, err := net.Listen("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addr = l.Addr().String()
	f.srv = grpc.NewServer(f.options...)
	workflowservice.RegisterWorkflowServiceServer(f.srv, f)
	srv := f.srv
	f.wait.Go(func() { _ = srv.Serve(fakeListener{l, f}) })
}

// down closes the listener and all connections.
func (f *fakeTemporal) down() {
	f.mu.Lock()
	srv := f.srv
	f.srv = nil
	f.mu.Unlock()
	if srv != nil {
		srv.Stop()
	}
}

// disconnect closes all connections.
func (f *fakeTemporal) disconnect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.conns = nil
}

type fakeListener struct {
	net.Listener
	f *fakeTemporal
}

func (l fakeListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.f.mu.Lock()
		l.f.conns = append(l.f.conns, c)
		l.f.mu.Unlock()
	}
	return c, err
}

// runClock ends attempts that are silent or take too long, and starts those that wait.
func (f *fakeTemporal) runClock(over <-chan struct{}) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case now := <-tick.C:
			f.mu.Lock()
			for token, c := range f.started {
				if now.Sub(c.beat) > c.heartbeat || now.Sub(c.start) > c.attempts {
					delete(f.started, token)
					if c.closed = c.cancelAsked; !c.closed {
						c.readyAt = now
					}
				}
			}
			for _, c := range f.calls {
				if !c.readyAt.IsZero() && !c.readyAt.After(now) {
					c.readyAt = time.Time{}
					f.ready = append(f.ready, c)
					f.changedLocked()
				}
			}
			f.mu.Unlock()
		}
	}
}

func (f *fakeTemporal) changedLocked() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// call schedules a call. The timeouts of its attempts are long unless change shortens them.
func (f *fakeTemporal) call(id string, change func(*fakeCall), args ...*commonpb.Payload) *fakeCall {
	c := &fakeCall{id: id, args: &commonpb.Payloads{Payloads: args}, heartbeat: 30 * time.Second, attempts: time.Hour}
	if change != nil {
		change(c)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[id] = c
	f.ready = append(f.ready, c)
	f.changedLocked()
	return c
}

// look returns a copy of a call.
func (f *fakeTemporal) look(c *fakeCall) fakeCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	copied := *c
	copied.failures, copied.beats = slices.Clone(c.failures), slices.Clone(c.beats)
	return copied
}

// change changes the server under its lock.
func (f *fakeTemporal) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
	f.changedLocked()
}

// refuse makes the calls of a method fail; nil: no longer.
func (f *fakeTemporal) refuse(method string, err error) {
	f.change(func() { f.refusals[method] = err })
}

func (f *fakeTemporal) refusal(method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refusals[method]
}

func (f *fakeTemporal) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{}, f.refusal("GetSystemInfo")
}

func (f *fakeTemporal) DescribeNamespace(_ context.Context, r *workflowservice.DescribeNamespaceRequest) (*workflowservice.DescribeNamespaceResponse, error) {
	if r.Namespace != "default" {
		return nil, serviceerror.ToStatus(serviceerror.NewNamespaceNotFound(r.Namespace)).Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return &workflowservice.DescribeNamespaceResponse{NamespaceInfo: &namespacepb.NamespaceInfo{
		Name: r.Namespace, Capabilities: &namespacepb.NamespaceInfo_Capabilities{WorkerPollCompleteOnShutdown: f.pollsComplete},
	}}, f.refusals["DescribeNamespace"]
}

func (f *fakeTemporal) ShutdownWorker(_ context.Context, r *workflowservice.ShutdownWorkerRequest) (*workflowservice.ShutdownWorkerResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pollsComplete {
		f.stopped[r.WorkerInstanceKey] = true
		f.changedLocked()
	}
	return &workflowservice.ShutdownWorkerResponse{}, f.refusals["ShutdownWorker"]
}

func (f *fakeTemporal) PollActivityTaskQueue(ctx context.Context, r *workflowservice.PollActivityTaskQueueRequest) (*workflowservice.PollActivityTaskQueueResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	md, _ := metadata.FromIncomingContext(ctx)
	f.keys = append(f.keys, md.Get("authorization")...)
	for {
		if err := f.refusals["PollActivityTaskQueue"]; err != nil {
			return nil, err
		}
		switch {
		case ctx.Err() != nil:
			return nil, status.FromContextError(ctx.Err()).Err()
		case f.stopped[r.WorkerInstanceKey]:
			return &workflowservice.PollActivityTaskQueueResponse{}, nil
		case len(f.ready) > 0:
			c := f.ready[0]
			f.ready = f.ready[1:]
			return f.startLocked(c), nil
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-changed:
		}
		f.mu.Lock()
	}
}

func (f *fakeTemporal) startLocked(c *fakeCall) *workflowservice.PollActivityTaskQueueResponse {
	f.taken++
	c.attempt++
	c.start = time.Now()
	c.beat = c.start
	c.token = fmt.Sprintf("%s/%d", c.id, c.attempt)
	f.started[c.token] = c
	now := timestamppb.New(c.start)
	return &workflowservice.PollActivityTaskQueueResponse{
		TaskToken: []byte(c.token), ActivityId: c.id, ActivityType: &commonpb.ActivityType{Name: ActivityName},
		WorkflowNamespace: "default", WorkflowType: &commonpb.WorkflowType{Name: "Order"},
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "order-1", RunId: "run-1"},
		Input:             c.args, Attempt: c.attempt,
		ScheduledTime: now, StartedTime: now, CurrentAttemptScheduledTime: now,
		StartToCloseTimeout: durationpb.New(c.attempts), ScheduleToCloseTimeout: durationpb.New(time.Hour),
		HeartbeatTimeout: durationpb.New(c.heartbeat),
	}
}

// finish ends the attempt of a token.
func (f *fakeTemporal) finish(method string, token []byte, how func(*fakeCall)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.started[string(token)]
	switch {
	case f.refusals[method] != nil:
		return f.refusals[method]
	case c == nil:
		return serviceerror.ToStatus(serviceerror.NewNotFound("the attempt is over")).Err()
	}
	delete(f.started, string(token))
	how(c)
	return nil
}

func (f *fakeTemporal) RespondActivityTaskCompleted(_ context.Context, r *workflowservice.RespondActivityTaskCompletedRequest) (*workflowservice.RespondActivityTaskCompletedResponse, error) {
	err := f.finish("RespondActivityTaskCompleted", r.TaskToken, func(c *fakeCall) { c.result, c.closed = r.Result, true })
	return &workflowservice.RespondActivityTaskCompletedResponse{}, err
}

func (f *fakeTemporal) RespondActivityTaskCanceled(_ context.Context, r *workflowservice.RespondActivityTaskCanceledRequest) (*workflowservice.RespondActivityTaskCanceledResponse, error) {
	err := f.finish("RespondActivityTaskCanceled", r.TaskToken, func(c *fakeCall) { c.canceled, c.closed = true, true })
	return &workflowservice.RespondActivityTaskCanceledResponse{}, err
}

func (f *fakeTemporal) RespondActivityTaskFailed(_ context.Context, r *workflowservice.RespondActivityTaskFailedRequest) (*workflowservice.RespondActivityTaskFailedResponse, error) {
	err := f.finish("RespondActivityTaskFailed", r.TaskToken, func(c *fakeCall) {
		c.failures = append(c.failures, r.Failure)
		info := r.Failure.GetApplicationFailureInfo()
		if c.closed = info.GetNonRetryable() || c.cancelAsked; !c.closed {
			c.readyAt = time.Now().Add(info.GetNextRetryDelay().AsDuration())
		}
	})
	return &workflowservice.RespondActivityTaskFailedResponse{}, err
}

func (f *fakeTemporal) RecordActivityTaskHeartbeat(_ context.Context, r *workflowservice.RecordActivityTaskHeartbeatRequest) (*workflowservice.RecordActivityTaskHeartbeatResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.started[string(r.TaskToken)]
	switch {
	case f.refusals["RecordActivityTaskHeartbeat"] != nil:
		return nil, f.refusals["RecordActivityTaskHeartbeat"]
	case c == nil:
		return nil, serviceerror.ToStatus(serviceerror.NewNotFound("the attempt is over")).Err()
	}
	c.beat = time.Now()
	c.beats = append(c.beats, r.Details)
	return &workflowservice.RecordActivityTaskHeartbeatResponse{CancelRequested: c.cancelAsked}, nil
}
