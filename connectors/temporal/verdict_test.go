package temporal

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// T5: RESOURCE_EXHAUSTED is three things (https://github.com/temporalio/temporal/issues/5352,
// https://github.com/temporalio/temporal/issues/7197).
// T6: some permanent codes are states (https://github.com/temporalio/temporal/issues/1336).
// F11: a bad token must not pour a topic into the dead letters
// (https://github.com/vectordotdev/vector/issues/24543).
func TestSink_classifiesWhatTheServerAnswers(t *testing.T) {
	exhausted := func(cause enumspb.ResourceExhaustedCause, message string) error {
		return serviceerror.NewResourceExhausted(cause, message)
	}
	srv := newServer(t)
	for _, row := range []struct {
		name  string
		err   error
		class connector.Class
		text  string
	}{
		{"busy workflow", exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW, "busy"), connector.Blocked, "continue-as-new"},
		{"updates in flight", exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT, "in-flight"), connector.Blocked, "continue-as-new"},
		{"too large for gRPC", status.Error(codes.ResourceExhausted, "grpc: received message larger than max (5 vs. 4)"), connector.Permanent, "send less"},
		{"requests a second", exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, "rps"), connector.Unavailable, "too much to do"},
		{"overload", exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_SYSTEM_OVERLOADED, "overload"), connector.Unavailable, "too much to do"},
		{"a gateway's limit", status.Error(codes.ResourceExhausted, "slow down"), connector.Unavailable, "too much to do"},
		{"10,000 signals", serviceerror.NewInvalidArgument("exceeded workflow execution limit for signal events"), connector.Blocked, "continue-as-new"},
		{"2,000 updates", serviceerror.NewFailedPrecondition("limit on number of total updates has been reached"), connector.Blocked, "continue-as-new"},
		{"bad arguments", serviceerror.NewInvalidArgument("no task queue"), connector.Permanent, "InvalidArgument: no task queue"},
		{"no namespace", serviceerror.NewNamespaceNotFound("orders"), connector.Unavailable, "check namespace"},
		{"passive cluster", serviceerror.NewNamespaceNotActive("orders", "a", "b"), connector.Unavailable, "not active here"},
		{"deleted namespace", serviceerror.NewNamespaceInvalidState("orders", enumspb.NAMESPACE_STATE_DELETED, nil), connector.Unavailable, "not active here"},
		{"failover", serviceerror.NewNamespaceUnavailable("orders"), connector.Unavailable, "not active here"},
		{"old client", serviceerror.NewClientVersionNotSupported("1", "fiso", ">2"), connector.Unavailable, "versions"},
		{"old server", serviceerror.NewServerVersionNotSupported("1", ">2"), connector.Unavailable, "versions"},
		{"no permission", serviceerror.NewPermissionDenied("no", ""), connector.Unavailable, "check auth"},
		{"bad token", status.Error(codes.Unauthenticated, "who are you"), connector.Unavailable, "check auth"},
		{"another service", status.Error(codes.Unimplemented, "unknown service"), connector.Unavailable, "check address"},
		{"shutdown", serviceerror.NewUnavailable("shutting down"), connector.Unavailable, "shutting down"},
		{"server's deadline", serviceerror.NewDeadlineExceeded("shard lock"), connector.Unavailable, "no answer within timeouts.attempt"},
		{"server's cancel", serviceerror.NewCanceled("going away"), connector.Unavailable, "ended the call"},
		{"not ready", serviceerror.NewWorkflowNotReady("not ready"), connector.Blocked, "not ready"},
		{"a fault", serviceerror.NewInternal("bug"), connector.Temporary, "Internal: bug"},
		{"data loss", serviceerror.NewDataLoss("gone"), connector.Temporary, "DataLoss"},
		{"lost race", serviceerror.NewAborted("race"), connector.Temporary, "Aborted"},
		{"no code", errors.New("something"), connector.Temporary, "something"},
	} {
		for _, action := range []string{ActionStart, ActionSignal, ActionSignalWithStart, ActionUpdateWithStart} {
			t.Run(row.name+" of "+action, func(t *testing.T) {
				s := newTestSink(t, sinkConfig(srv.address, action), SinkOptions{})
				srv.fails(row.err)
				err := s.Send(t.Context(), order("1"))
				wantError(t, err, row.class, row.text)
				wantError(t, err, row.class, `workflow "order-1"`)
			})
		}
	}
}

func TestSink_classifiesTheFailedHalfOfAnUpdateWithStart(t *testing.T) {
	srv := newServer(t)
	s := newTestSink(t, sinkConfig(srv.address, ActionUpdateWithStart), SinkOptions{})
	aborted := serviceerror.NewMultiOperationAborted("Operation was aborted.")
	for _, row := range []struct {
		name  string
		parts []error
		class connector.Class
		text  string
	}{
		{"start", []error{serviceerror.NewInvalidArgument("no type"), aborted}, connector.Permanent, "no type"},
		{"update", []error{aborted, serviceerror.NewResourceExhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT, "many")}, connector.Blocked, "continue-as-new"},
		{"update after a start", []error{nil, serviceerror.NewNotFound("closing")}, connector.Temporary, "closing"},
		{"neither", []error{aborted, aborted}, connector.Temporary, "both"},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv.fails(serviceerror.NewMultiOperationExecution("both", row.parts))
			wantError(t, s.Send(t.Context(), order("1")), row.class, row.text)
		})
	}
}

func TestSink_decidesByOnNotFoundAboutASignalToNobody(t *testing.T) {
	srv := newServer(t)
	srv.fails(serviceerror.NewNotFound("workflow execution already completed"))
	for onNotFound, class := range map[string]connector.Class{"": connector.Temporary, Retry: connector.Temporary, Reject: connector.Permanent} {
		cfg := sinkConfig(srv.address, ActionSignal)
		cfg.OnNotFound = onNotFound
		s := newTestSink(t, cfg, SinkOptions{})
		wantError(t, s.Send(t.Context(), order("1")), class, "no such workflow runs")
	}
}

// T8: the SDK retries out of sight up to 60 s, and then shows DeadlineExceeded.
func TestSink_makesOneAttemptAndKeepsItsCause(t *testing.T) {
	srv := newServer(t)
	s := newTestSink(t, sinkConfig(srv.address, ActionStart), SinkOptions{})
	srv.fails(serviceerror.NewUnavailable("shard moved"))
	err := s.Send(t.Context(), order("1"))
	wantError(t, err, connector.Unavailable, "shard moved")
	if n := len(srv.taken()); n != 1 {
		t.Errorf("the server got %d requests for one call of Send", n)
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the error has lost its gRPC code: %v", err)
	}
}

func TestSink_namesTheCauseWhenNobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	s := newTestSink(t, sinkConfig(address, ActionStart), SinkOptions{})
	wantError(t, s.Send(t.Context(), order("1")), connector.Unavailable, "connection refused")
}

// T8: each attempt has a deadline.
func TestSink_endsAnAttemptInTime(t *testing.T) {
	srv := newServer(t)
	cfg := sinkConfig(srv.address, ActionStart)
	cfg.Timeouts.Attempt = 50 * time.Millisecond
	s := newTestSink(t, cfg, SinkOptions{})
	srv.answers(func(ctx context.Context, _ any) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	wantError(t, s.Send(t.Context(), order("1")), connector.Unavailable, "no answer within timeouts.attempt")
}

// F2: a call that is cut short has not failed, for any cause
// (https://github.com/dapr/components-contrib/issues/3849).
func TestSink_takesAnEndedContextForAnInterruption(t *testing.T) {
	srv := newServer(t)
	s := newTestSink(t, sinkConfig(srv.address, ActionStart), SinkOptions{})
	ctx, cancel := context.WithCancelCause(t.Context())
	srv.answers(func(call context.Context, _ any) (any, error) {
		cancel(errors.New("the partition was taken away"))
		<-call.Done()
		return nil, call.Err()
	})
	wantError(t, s.Send(ctx, order("1")), connector.Interrupted, "canceled")
	wantError(t, s.Send(ctx, order("1")), connector.Interrupted, "canceled")

	late, done := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer done()
	if err := s.Send(late, order("1")); !errors.Is(err, context.DeadlineExceeded) && connector.ClassOf(err) != connector.Unavailable {
		t.Errorf("Send returned %v at the deadline of its caller", err)
	}
}

func TestSink_cutsCallsShortWhenItIsClosed(t *testing.T) {
	srv := newServer(t)
	s, err := NewSink(sinkConfig(srv.address, ActionStart), SinkOptions{Call: toOrder})
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	srv.answers(func(call context.Context, _ any) (any, error) {
		close(begun)
		<-call.Done()
		return nil, call.Err()
	})
	sent := make(chan error, 1)
	go func() { sent <- s.Send(context.Background(), order("1")) }()
	<-begun
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ended); err == nil || !strings.Contains(err.Error(), "closed with calls under way") {
		t.Errorf("Close returned %v", err)
	}
	wantError(t, <-sent, connector.Interrupted, "interrupted")
}

func TestSink_boundsWhatItQuotes(t *testing.T) {
	srv := newServer(t)
	s := newTestSink(t, sinkConfig(srv.address, ActionStart), SinkOptions{})
	srv.fails(serviceerror.NewInvalidArgument("a\nb \xff" + strings.Repeat("x", 100_000)))
	err := s.Send(t.Context(), order("1"))
	wantError(t, err, connector.Permanent, "a b")
	if n := len(err.Error()); n > 1000 {
		t.Errorf("the error has %d bytes", n)
	}
}

func TestSink_refusesWhatItCannotSend(t *testing.T) {
	srv := newServer(t)
	full := Call{WorkflowID: "w", WorkflowType: "Order", TaskQueue: "orders", SignalName: "paid", UpdateName: "pay"}
	for _, row := range []struct {
		name, action string
		change       func(c *Call)
		text         string
	}{
		{"long id", ActionStart, func(c *Call) { c.WorkflowID = strings.Repeat("x", 1001) }, "1001 bytes"},
		{"no type", ActionStart, func(c *Call) { c.WorkflowType = "" }, "workflow type is empty"},
		{"no queue", ActionSignalWithStart, func(c *Call) { c.TaskQueue = "" }, "task queue is empty"},
		{"no signal", ActionSignal, func(c *Call) { c.SignalName = "" }, "name of the signal is empty"},
		{"no update", ActionUpdateWithStart, func(c *Call) { c.UpdateName = "" }, "name of the update is empty"},
		{"our memo", ActionStart, func(c *Call) { c.Memo = map[string][]byte{"fiso-event": []byte(`1`)} }, "memo fiso-event is taken"},
		{"bytes as an id", ActionStart, func(c *Call) { c.WorkflowID = "\xff" }, `"\xff" is not UTF-8`},
		{"bytes as a name", ActionStart, func(c *Call) { c.Memo = map[string][]byte{"\xff": []byte(`1`)} }, "is not UTF-8"},
		{"bad argument", ActionStart, func(c *Call) { c.Args = [][]byte{[]byte(`1`), []byte(`{`)} }, "argument 2 of the workflow: it is not a JSON text"},
		{"bad signal", ActionSignal, func(c *Call) { c.SignalArgs = [][]byte{nil} }, "argument 1 of the signal"},
		{"bad update", ActionUpdateWithStart, func(c *Call) { c.UpdateArgs = [][]byte{nil} }, "argument 1 of the update"},
		{"bad memo", ActionStart, func(c *Call) { c.Memo = map[string][]byte{"m": []byte(`x`)} }, "memo m: it is not a JSON text"},
		{"bad attribute", ActionStart, func(c *Call) { c.SearchAttributes = map[string]SearchAttribute{"A": {"int", []byte(`"1"`)}} }, "search attribute A: the value is not an integer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := full
			row.change(&c)
			s := newTestSink(t, sinkConfig(srv.address, row.action), SinkOptions{Call: func(context.Context, *cloudevent.Event) (Call, error) { return c, nil }})
			err := s.Send(t.Context(), order("1"))
			wantError(t, err, connector.Permanent, row.text)
			if !connector.IsUnsendable(err) {
				t.Errorf("%v counts as a verdict of the server", err)
			}
		})
	}
	if n := len(srv.taken()); n != 0 {
		t.Errorf("the server got %d requests", n)
	}
}

func TestSink_passesOnTheErrorOfCall(t *testing.T) {
	srv := newServer(t)
	s := newTestSink(t, sinkConfig(srv.address, ActionStart), SinkOptions{Call: func(context.Context, *cloudevent.Event) (Call, error) {
		return Call{}, connector.AsUnsendable(errors.New("no such field"))
	}})
	err := s.Send(t.Context(), order("1"))
	wantError(t, err, connector.Permanent, "no such field")
	if !connector.IsUnsendable(err) {
		t.Error("the mark is lost")
	}
}

func TestPacer_spacesTheCallsOfOneWorkflowAndOfNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(5)
		begun := time.Now()
		for i := range 6 {
			if err := p.wait(t.Context(), "order-1"); err != nil {
				t.Fatal(err)
			}
			if got, want := time.Since(begun), time.Duration(i)*200*time.Millisecond; got != want {
				t.Errorf("call %d came after %v; want %v", i+1, got, want)
			}
		}
		before := time.Since(begun)
		for _, id := range []string{"order-2", "order-3"} {
			if err := p.wait(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if time.Since(begun) != before {
			t.Error("another workflow had to wait")
		}
		if len(p.next) != paceSlots {
			t.Errorf("the table has %d places", len(p.next))
		}
	})
}

func TestPacer_givesBackATurnThatIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(1)
		begun := time.Now()
		if err := p.wait(t.Context(), "w"); err != nil {
			t.Fatal(err)
		}
		cancelled, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if err := p.wait(cancelled, "w"); !errors.Is(err, context.Canceled) {
			t.Errorf("wait returned %v", err)
		}
		late, done := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer done()
		if err := p.wait(late, "w"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait returned %v", err)
		}
		if err := p.wait(t.Context(), "w"); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(begun); got != time.Second {
			t.Errorf("the next call came after %v; want 1s, as if nobody had given up", got)
		}
	})
}

func TestSink_waitsForThePaceAndForNoLongerThanItsContext(t *testing.T) {
	srv := newServer(t)
	cfg := sinkConfig(srv.address, ActionStart)
	cfg.PerWorkflow.MaxPerSecond = 0.001
	s := newTestSink(t, cfg, SinkOptions{})
	if err := s.Send(t.Context(), order("1")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	sent := make(chan error, 1)
	go func() { sent <- s.Send(ctx, order("1")) }()
	cancel()
	if err := <-sent; connector.ClassOf(err) != connector.Interrupted {
		t.Errorf("Send returned %v", err)
	}
	if n := len(srv.taken()); n != 1 {
		t.Errorf("the server got %d requests", n)
	}
}
