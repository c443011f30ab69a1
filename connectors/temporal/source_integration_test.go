//go:build integration

package temporal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/lsm/fiso/common/connector"
)

// publisher is a workflow that publishes n events, 50 at once, and returns their outcomes.
func publisher(ctx workflow.Context, n int, heartbeat time.Duration) (map[string]int, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: "events", StartToCloseTimeout: 10 * time.Minute, HeartbeatTimeout: heartbeat,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, MaximumInterval: time.Second},
	})
	outcomes := map[string]int{}
	for i := 0; i < n; i += 50 {
		var calls []workflow.Future
		for j := i; j < min(i+50, n); j++ {
			event := map[string]any{
				"specversion": "1.0", "id": fmt.Sprintf("e-%04d", j), "source": "/integration", "type": "t", "data": map[string]any{"n": j},
			}
			calls = append(calls, workflow.ExecuteActivity(ctx, ActivityName, event))
		}
		for _, c := range calls {
			var r result
			if err := c.Get(ctx, &r); err != nil {
				return nil, err
			}
			outcomes[r.Outcome]++
		}
	}
	return outcomes, nil
}

// publish starts the publisher with a worker of its own.
func publish(t *testing.T, c client.Client, n int) client.WorkflowRun {
	t.Helper()
	w := worker.New(c, "workflows", worker.Options{})
	w.RegisterWorkflow(publisher)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "workflows"}, publisher, n, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// counts how often each event was handed over.
type counts struct {
	mu  sync.Mutex
	ids map[string]int
	sum int
}

func (c *counts) add(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids[id]++
	c.sum++
}

func (c *counts) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum
}

// check asserts that all events were settled, each of them at least once.
func (c *counts) check(t *testing.T, run client.WorkflowRun, n int) {
	t.Helper()
	var outcomes map[string]int
	if err := run.Get(t.Context(), &outcomes); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if outcomes["settled"] != n || len(c.ids) != n {
		t.Errorf("the workflow has the outcomes %v, and %d events arrived; want %d", outcomes, len(c.ids), n)
	}
	t.Logf("%d events were handed over %d times", n, c.sum)
}

// A worker that is killed loses nothing: each event that was not answered comes again.
func TestSource_accountsForEveryEventWhenItIsKilled(t *testing.T) {
	server := startTemporal(t)
	const events, kills = 1000, 5
	run := publish(t, server.client(client.Options{}), events)
	got := &counts{ids: map[string]int{}}
	for i := range kills + 1 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childAddress+"="+server.address)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var reader sync.WaitGroup
		reader.Go(func() { got.read(out) })
		if i < kills {
			within(t, 5*time.Minute, "events arrive", func() bool { return got.total() >= (i+1)*events/(kills+1) })
		} else {
			got.check(t, run, events)
		}
		_ = cmd.Process.Kill()
		reader.Wait()
		_ = cmd.Wait()
	}
}

func (c *counts) read(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		c.add(lines.Text())
	}
}

// A stop and a start in between, as in a reload, cost neither an event nor a duplicate.
func TestSource_losesAndRepeatsNothingOverCleanStops(t *testing.T) {
	server := startTemporal(t)
	const events, stops = 1000, 5
	run := publish(t, server.client(client.Options{}), events)
	got := &counts{ids: map[string]int{}}
	cfg := SourceConfig{ClientConfig: ClientConfig{Address: server.address}, TaskQueue: "events"}
	for i := range stops + 1 {
		r := start(t, newTestSource(t, cfg, SourceOptions{DrainTimeout: 5 * time.Second}), func(m *connector.Message) {
			got.add(m.ID)
			m.Settle(nil)
		})
		if i < stops {
			within(t, 5*time.Minute, "events arrive", func() bool { return got.total() >= (i+1)*events/(stops+1) })
			r.stop()
		}
	}
	got.check(t, run, events)
	if n := got.total(); n != events {
		t.Errorf("%d events were handed over %d times", events, n)
	}
}

// A server that is killed and comes back with its database loses nothing.
func TestSource_goesOnWhenTheServerWasKilled(t *testing.T) {
	server := startTemporal(t)
	const events = 1000
	run := publish(t, server.client(client.Options{}), events)
	got := &counts{ids: map[string]int{}}
	cfg := SourceConfig{ClientConfig: ClientConfig{Address: server.address}, TaskQueue: "events"}
	start(t, newTestSource(t, cfg, SourceOptions{}), func(m *connector.Message) {
		got.add(m.ID)
		m.Settle(nil)
	})
	within(t, 5*time.Minute, "events arrive", func() bool { return got.total() >= events/2 })
	server.kill()
	server.start()
	got.check(t, server.client(client.Options{}).GetWorkflow(t.Context(), run.GetID(), run.GetRunID()), events)
}

// A malformed event fails the workflow's call for good, with words for its author.
func TestSource_refusesAMalformedEventOfARealWorkflow(t *testing.T) {
	server := startTemporal(t)
	c := server.client(client.Options{})
	cfg := SourceConfig{ClientConfig: ClientConfig{Address: server.address}, TaskQueue: "events"}
	start(t, newTestSource(t, cfg, SourceOptions{}), settle(nil))
	w := worker.New(c, "workflows", worker.Options{})
	malformed := func(ctx workflow.Context) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: "events", StartToCloseTimeout: time.Minute})
		return workflow.ExecuteActivity(ctx, ActivityName, map[string]any{"id": "1"}).Get(ctx, nil)
	}
	w.RegisterWorkflowWithOptions(malformed, workflow.RegisterOptions{Name: "malformed"})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "workflows"}, "malformed")
	if err != nil {
		t.Fatal(err)
	}
	err = run.Get(context.WithoutCancel(t.Context()), nil)
	var failure *temporal.ApplicationError
	if !errors.As(err, &failure) || failure.Type() != ErrorInvalidEvent || failure.Message() != "fiso.publish: parse CloudEvent: attribute specversion is missing" {
		t.Errorf("the call failed with %v, want fiso.InvalidEvent", err)
	}
}
