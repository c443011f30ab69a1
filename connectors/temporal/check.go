package temporal

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lsm/fiso/common/connector"
)

// shortRetention is the retention below which Check warns.
const shortRetention = 24 * time.Hour

// roomForEvent is how many bytes of a workflow id Check wants to be left for the id of
// an event.
const roomForEvent = 256

// Check reads the credential, resolves the host, connects, and asks the server for the
// namespace, the search attributes and the pollers of the task queues. It changes nothing
// there.
func (s *Sink) Check(ctx context.Context) []connector.Step {
	c := &checking{conn: s.conn, timeout: s.cfg.Timeouts.Attempt, opts: &s.opts}
	ctx, cancel := context.WithTimeout(ctx, 4*c.timeout)
	defer cancel()
	_ = c.lengths() && c.authentication(ctx) && c.transport(ctx) && c.server(ctx) && c.attributes(ctx) && c.queues(ctx)
	return c.steps
}

// Check reads the credential, resolves the host, connects, and asks the server for the
// namespace. It changes nothing there, and Run is not needed for it.
func (s *Source) Check(ctx context.Context) []connector.Step {
	c := &checking{timeout: callTimeout}
	ctx, cancel := context.WithTimeout(ctx, 4*c.timeout)
	defer cancel()
	var err error
	if c.conn, err = s.server.connection(); err != nil {
		c.step("read address", err)
		return c.steps
	}
	defer func() { _ = c.conn.close() }() // it is open until here
	_ = c.authentication(ctx) && c.transport(ctx) && c.server(ctx)
	return c.steps
}

// checking is one run of Check. Its methods report whether to go on.
type checking struct {
	conn    *connection
	timeout time.Duration // of one call
	opts    *SinkOptions  // nil: of a source
	steps   []connector.Step
}

func (c *checking) step(name string, err error) bool {
	c.steps = append(c.steps, connector.Step{Name: name, Err: err})
	return err == nil
}

func (c *checking) warn(format string, args ...any) {
	c.steps[len(c.steps)-1].Warning = fmt.Sprintf(format, args...)
}

func (c *checking) lengths() bool {
	for _, name := range append(slices.Clone(c.opts.TaskQueues), slices.Collect(maps.Keys(c.opts.SearchAttributes))...) {
		if len(name) > maxID {
			return c.step("compare the lengths of names", fmt.Errorf("%.64q… has %d bytes, more than the %d that a Temporal server takes; choose a shorter name", name, len(name), maxID))
		}
	}
	c.step("compare the lengths of names", nil)
	if room := maxID - len(c.opts.Flow) - 1; room < roomForEvent {
		c.warn("the name of the flow leaves %d bytes of a workflow id for that of an event: choose a shorter name, or set the workflow id", max(room, 0))
	}
	return true
}

func (c *checking) authentication(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if c.conn.credential == nil {
		return true
	}
	_, err := c.conn.outgoing(ctx)
	return c.step("get the credential", err)
}

func (c *checking) transport(ctx context.Context) bool {
	conn := c.conn
	host, _, _ := net.SplitHostPort(conn.address) // Validate has split it
	if net.ParseIP(host) == nil && conn.resolves {
		if !c.step("resolve "+host, resolve(ctx, host)) {
			return false
		}
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	raw, err := conn.dial(ctx, "tcp", conn.address)
	if err != nil {
		return c.step("connect to "+conn.address, fmt.Errorf("%w; check address, and that nothing between blocks the port", err))
	}
	defer func() { _ = raw.Close() }()
	c.step("connect to "+conn.address, nil)
	if conn.tls == nil {
		return true
	}
	settings := conn.tls()
	settings.NextProtos = []string{"h2"}
	if settings.ServerName == "" {
		settings.ServerName = host
	}
	err = tls.Client(raw, settings).HandshakeContext(ctx)
	if err != nil {
		err = fmt.Errorf("%w; check tls, and that the server speaks TLS on this port", err)
	}
	return c.step("TLS with "+settings.ServerName, err)
}

func resolve(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
		return fmt.Errorf("%w; check the name, and whether this machine can resolve it", err)
	}
	return nil
}

// call runs one call of the server with a deadline and the credential.
func (c *checking) call(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	ctx, err := c.conn.outgoing(ctx)
	if err != nil {
		return err
	}
	return do(ctx)
}

// server asks for the namespace, which also shows whether the server accepts the
// credential.
func (c *checking) server(ctx context.Context) bool {
	namespace := c.conn.namespace
	var answer *workflowservice.DescribeNamespaceResponse
	err := c.call(ctx, func(ctx context.Context) (err error) {
		answer, err = c.conn.workflows.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
		return err
	})
	switch status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied:
		return c.step("authenticate", explained(err))
	case codes.Unavailable, codes.DeadlineExceeded, codes.Unimplemented:
		return c.step("speak gRPC with the server", explained(err))
	}
	if c.conn.credential != nil {
		c.step("authenticate", nil)
	}
	if err != nil {
		return c.step("find namespace "+namespace, explained(err))
	}
	retention := answer.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration()
	c.step(fmt.Sprintf("find namespace %s (retention %v)", namespace, retention), nil)
	if c.opts != nil && retention < shortRetention {
		c.warn("a closed workflow is forgotten after %v: an event that comes again later starts it again", retention)
	}
	if state := answer.GetNamespaceInfo().GetState(); state != enumspb.NAMESPACE_STATE_REGISTERED {
		return c.step("use namespace "+namespace, fmt.Errorf("it is %v: register it, or choose another", state))
	}
	return true
}

// explained adds to an error of the server what to do.
func explained(err error) error {
	text := fmt.Sprintf("%v: %s", status.Code(err), words(status.Convert(err).Message()))
	if hint := verdictOn(err).hint; hint != "" {
		text += "; " + hint
	}
	return &serverError{text, err}
}

// attributes compares the types of search attributes.
func (c *checking) attributes(ctx context.Context) bool {
	want := c.opts.SearchAttributes
	if len(want) == 0 {
		return true
	}
	var answer *operatorservice.ListSearchAttributesResponse
	err := c.call(ctx, func(ctx context.Context) (err error) {
		answer, err = c.conn.operator.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: c.conn.namespace})
		return err
	})
	const name = "compare search attributes"
	switch status.Code(err) {
	case codes.PermissionDenied, codes.Unimplemented: // as on Temporal Cloud
		c.step(name, nil)
		c.warn("the server does not say which search attributes it has")
		return true
	}
	if err != nil {
		return c.step(name, explained(err))
	}
	return c.step(name, compareAttributes(want, answer))
}

func compareAttributes(want map[string]string, have *operatorservice.ListSearchAttributesResponse) error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(want)) {
		t, _ := searchTypeOf(want[name]) // checked by NewSink
		got, ok := have.GetCustomAttributes()[name]
		if !ok {
			got, ok = have.GetSystemAttributes()[name]
		}
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("%s: the namespace has no such search attribute: add it with `temporal operator search-attribute create --name %s --type %s`", name, name, t.wire))
		case got != t.indexed:
			faults = append(faults, fmt.Errorf("%s: its type is %s on the server, and %s here", name, strings.ToLower(got.String()[:1])+got.String()[1:], t.name))
		}
	}
	return errors.Join(faults...)
}

// queues looks for workers. Without one a workflow starts all the same, and waits.
func (c *checking) queues(ctx context.Context) bool {
	for _, queue := range c.opts.TaskQueues {
		var answer *workflowservice.DescribeTaskQueueResponse
		err := c.call(ctx, func(ctx context.Context) (err error) {
			answer, err = c.conn.workflows.DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
				Namespace: c.conn.namespace, TaskQueueType: enumspb.TASK_QUEUE_TYPE_WORKFLOW,
				TaskQueue: &taskqueuepb.TaskQueue{Name: queue, Kind: enumspb.TASK_QUEUE_KIND_NORMAL},
			})
			return err
		})
		if err != nil {
			err = explained(err)
		}
		if !c.step("look for workers of task queue "+queue, err) {
			return false
		}
		if len(answer.GetPollers()) == 0 {
			c.warn("no worker polls the task queue: workflows start, and wait for one")
		}
	}
	return true
}
