package temporal

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/grpc"
)

const (
	// pollers is how many calls wait for work at once. One of them takes about a thousand
	// events a second from a server nearby.
	pollers = 8
	// callTimeout is how long a call to the server may take, with the SDK's retries.
	callTimeout = 10 * time.Second
	// shutdownTimeout is how long the server may take to hear that the worker stops.
	shutdownTimeout = 2 * time.Second
)

// runWorker connects and runs a worker until ctx ends or the worker fails. When ctx has
// ended, it returns once the events in flight are settled and answered, or given up.
func (s *Source) runWorker(ctx context.Context) error {
	c, err := client.NewLazyClient(s.clientOptions(ctx))
	if err != nil {
		return fmt.Errorf("build the client: %w", err)
	}
	defer c.Close()
	if err := s.probe(ctx, c.WorkflowService()); err != nil {
		return err
	}
	failed := make(chan error, 1)
	w := s.newWorker(c, s.cfg.TaskQueue, s.workerOptions(failed))
	w.RegisterActivityWithOptions(s.publish, activity.RegisterOptions{Name: ActivityName})
	if err := w.Start(); err != nil {
		return err
	}
	s.report(aspectServer, nil)
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	w.Stop()
	return err
}

// probe asks the server what a worker needs to start, within ctx. The worker asks the same
// again, without a context.
func (s *Source) probe(ctx context.Context, service workflowservice.WorkflowServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := service.GetSystemInfo(ctx, &workflowservice.GetSystemInfoRequest{}); err != nil {
		return err
	}
	_, err := service.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: s.cfg.Namespace})
	return err
}

func (s *Source) workerOptions(failed chan<- error) worker.Options {
	return worker.Options{
		DisableWorkflowWorker:              true,
		DisableRegistrationAliasing:        true,
		MaxConcurrentActivityExecutionSize: s.cfg.MaxInFlight,
		MaxConcurrentActivityTaskPollers:   min(pollers, s.cfg.MaxInFlight),
		// The last answers of a drain take a call each, after the drain timeout.
		WorkerStopTimeout:                s.opts.DrainTimeout + callTimeout,
		DefaultHeartbeatThrottleInterval: s.cfg.Heartbeat,
		MaxHeartbeatThrottleInterval:     s.cfg.Heartbeat,
		OnFatalError:                     func(err error) { failed <- err }, // called once
	}
}

// clientOptions returns the options of a client whose calls to start a worker end with
// ctx.
func (s *Source) clientOptions(ctx context.Context) client.Options {
	return client.Options{
		HostPort: s.server.target, Namespace: s.cfg.Namespace,
		Identity:                "fiso-" + s.opts.Name + "@" + hostname(),
		Logger:                  newSDKLogger(s.log),
		RPCTimeout:              callTimeout,
		WorkerHeartbeatInterval: -1, // experimental, and one more poller
		ConnectionOptions: client.ConnectionOptions{
			DialOptions: append(s.server.dialOptions(), grpc.WithChainUnaryInterceptor(s.intercept(ctx))),
		},
	}
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return cmp.Or(name, "unknown")
}
