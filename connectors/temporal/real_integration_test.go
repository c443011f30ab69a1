//go:build integration

package temporal

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// realServer is a Temporal server in development mode, with its database in a file, so
// that it can be killed and started again.
type realServer struct {
	t       *testing.T
	program string
	address string
	db      string
	limits  []string

	cmd  *exec.Cmd
	done chan struct{}
	said bytes.Buffer
}

// startTemporal starts the program in $FISO_TEMPORAL on a free port of 127.0.0.1, and
// stops it with the test. limits are dynamic settings such as "history.maxTotalUpdates=3".
func startTemporal(t *testing.T, limits ...string) *realServer {
	t.Helper()
	program := os.Getenv("FISO_TEMPORAL")
	if program == "" {
		t.Skip("a real Temporal is needed: set FISO_TEMPORAL to the program temporal (go tool mage integration -module=connectors/temporal builds one)")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &realServer{t: t, program: program, address: ln.Addr().String(), db: filepath.Join(t.TempDir(), "temporal.db"), limits: limits}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *realServer) start() {
	s.t.Helper()
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	args := []string{"server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", port, "--db-filename", s.db, "--log-level", "error", "--search-attribute", "Customer=Keyword"}
	for _, limit := range s.limits {
		args = append(args, "--dynamic-config-value", limit)
	}
	s.cmd = exec.Command(s.program, args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.said, &s.said
	s.cmd.Env = append(os.Environ(), "HOME="+s.t.TempDir())
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	s.done = done
	go func(cmd *exec.Cmd) { _ = cmd.Wait(); close(done) }(s.cmd) // its log says how it ended
	conn, err := newConnection(&ClientConfig{Address: s.address, Namespace: "default"}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.close() }()
	within(s.t, time.Minute, "the server answers", func() bool {
		select {
		case <-done:
			s.t.Fatalf("Temporal ended: %s", s.said.String())
		default:
		}
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		_, err := conn.workflows.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
		return err == nil
	})
}

func (s *realServer) kill() {
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.done
}

// client returns a client of the SDK.
func (s *realServer) client(options client.Options) client.Client {
	s.t.Helper()
	options.HostPort, options.Logger = s.address, sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	c, err := client.Dial(options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// work runs a worker of the SDK until the test ends.
func (s *realServer) work(c client.Client) {
	s.t.Helper()
	w := worker.New(c, "orders", worker.Options{})
	w.RegisterWorkflowWithOptions(orderWorkflow, workflow.RegisterOptions{Name: "Order"})
	if err := w.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(w.Stop)
}

// orderState is what a run of the workflow Order has seen. It is its result.
type orderState struct {
	Args    []string
	Signals int
}

// orderWorkflow takes signals "paid" and updates "pay" until a signal says what to do:
// "close", "fail" or "again" (continue as new).
func orderWorkflow(ctx workflow.Context, arg any) (orderState, error) {
	state := orderState{}
	if text, ok := arg.(string); ok {
		state.Args = append(state.Args, text)
	}
	err := workflow.SetUpdateHandlerWithOptions(ctx, "pay", func(_ workflow.Context, how string) (string, error) {
		if how == "broken" {
			return "", temporal.NewApplicationError("the handler failed", "Broken")
		}
		return "paid " + how, nil
	}, workflow.UpdateHandlerOptions{Validator: func(_ workflow.Context, how string) error {
		if how == "never" {
			return errors.New("no such way to pay")
		}
		return nil
	}})
	if err != nil {
		return state, err
	}
	paid, end := workflow.GetSignalChannel(ctx, "paid"), workflow.GetSignalChannel(ctx, "end")
	for {
		var how string
		s := workflow.NewSelector(ctx)
		s.AddReceive(paid, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil); state.Signals++ })
		s.AddReceive(end, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, &how) })
		s.Select(ctx)
		switch how {
		case "close":
			for paid.ReceiveAsync(nil) {
				state.Signals++
			}
			return state, nil
		case "fail":
			return state, errors.New("failed as asked")
		case "again":
			return state, workflow.NewContinueAsNewError(ctx, "Order", arg)
		}
	}
}

// history is the events of one run.
func (s *realServer) count(c client.Client, id, run string, kind enumspb.EventType) int {
	s.t.Helper()
	n := 0
	all := c.GetWorkflowHistory(s.t.Context(), id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for all.HasNext() {
		e, err := all.Next()
		if err != nil {
			s.t.Fatal(err)
		}
		if e.EventType == kind {
			n++
		}
	}
	return n
}

// describe returns the run id and the status of the newest run.
func (s *realServer) describe(c client.Client, id string) (string, enumspb.WorkflowExecutionStatus) {
	s.t.Helper()
	d, err := c.DescribeWorkflow(s.t.Context(), id, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return d.RawResponse.WorkflowExecutionInfo.Execution.RunId, d.RawResponse.WorkflowExecutionInfo.Status
}

// end tells a workflow to end, and waits until the newest run is another one or closed.
func (s *realServer) end(c client.Client, id, how string) {
	s.t.Helper()
	run, _ := s.describe(c, id)
	if err := c.SignalWorkflow(s.t.Context(), id, "", "end", how); err != nil {
		s.t.Fatal(err)
	}
	within(s.t, 30*time.Second, id+" ends by "+how, func() bool {
		now, status := s.describe(c, id)
		return now != run || status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	})
}

// runs counts the runs of a workflow id, from the newest backwards.
func (s *realServer) runs(c client.Client, id string) int {
	s.t.Helper()
	n := 0
	within(s.t, 30*time.Second, "the list of workflows holds "+id, func() bool {
		answer, err := c.ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: `WorkflowId = "` + id + `"`})
		if err != nil {
			s.t.Fatal(err)
		}
		n = len(answer.Executions)
		return n > 0
	})
	return n
}
