package temporal

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

// connectTimeout bounds one attempt to connect, TLS included.
const connectTimeout = 5 * time.Second

// connection is a gRPC connection to the server, with the credential of each call.
type connection struct {
	*endpoint
	grpc      *grpc.ClientConn
	workflows workflowservice.WorkflowServiceClient
	operator  operatorservice.OperatorServiceClient
}

// newConnection prepares a connection; the first call opens it.
func newConnection(cfg *ClientConfig, dial DialFunc) (*connection, error) {
	e, err := newEndpoint(cfg, dial)
	if err != nil {
		return nil, err
	}
	return e.connection()
}

// connection prepares a connection; the first call opens it.
func (e *endpoint) connection() (*connection, error) {
	conn, err := grpc.NewClient(e.target, append(e.dialOptions(),
		// The sink makes one attempt, so that the flow sees each failure and its cause.
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: connectTimeout,
		}),
		// The same times as those of Temporal's SDKs, which its servers allow.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 15 * time.Second, PermitWithoutStream: true}),
		grpc.WithUserAgent("fiso-temporal"),
	)...)
	if err != nil {
		e.close()
		return nil, fmt.Errorf("address %s: %w", e.address, err)
	}
	return &connection{e, conn, workflowservice.NewWorkflowServiceClient(conn), operatorservice.NewOperatorServiceClient(conn)}, nil
}

// outgoing returns the context for a call, with the credential. The namespace is also in
// a header, by which gateways such as that of Temporal Cloud route.
func (c *connection) outgoing(ctx context.Context) (context.Context, error) {
	ctx, err := c.authorize(ctx)
	if err != nil {
		return nil, err
	}
	return metadata.AppendToOutgoingContext(ctx, "temporal-namespace", c.namespace), nil
}

func (c *connection) close() error {
	c.endpoint.close()
	return c.grpc.Close()
}
