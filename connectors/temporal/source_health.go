package temporal

import (
	"context"
	"errors"
	"path"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/lsm/fiso/common/connector"
)

// aspect is one part of the source that can fail.
type aspect int

const (
	aspectServer aspect = iota // the server is away, or refuses the source
	aspectCodec                // the payload codec does not answer
	aspects
)

// health holds the current problem of each aspect.
type health struct {
	mu      sync.Mutex
	problem [aspects]string
	stopped bool
}

// set sets the problem of an aspect; nil: none. It reports whether that is a change.
func (h *health) set(a aspect, err error) bool {
	text := ""
	if err != nil {
		text = err.Error()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	changed := h.problem[a] != text
	h.problem[a] = text
	return changed && !h.stopped
}

func (h *health) has(a aspect) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.problem[a] != ""
}

func (h *health) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
}

func (h *health) status() connector.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return connector.Status{Problem: "stopped"}
	}
	for a, problem := range h.problem {
		if problem != "" {
			return connector.Status{Problem: problem, Unreachable: aspect(a) == aspectServer}
		}
	}
	return connector.Status{}
}

// report sets the problem of an aspect, and logs a change.
func (s *Source) report(a aspect, err error) {
	if a == aspectServer {
		err = explain(err, &s.cfg.ClientConfig)
	}
	switch {
	case !s.health.set(a, err):
	case err != nil:
		s.log.Warn("temporal source receives no events", "source", s.opts.Name, "error", err)
	default:
		s.log.Info("temporal source receives events", "source", s.opts.Name, "taskQueue", s.cfg.TaskQueue)
	}
}

// intercept sees each attempt of each call to the server, and adds the credential. The calls
// that start a worker end with run, because the SDK gives them no context.
func (s *Source) intercept(run context.Context) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		call := func(ctx context.Context) error {
			ctx, err := s.server.authorize(ctx)
			if err != nil {
				return err
			}
			err = invoke(ctx, method, req, reply, cc, opts...)
			if code := status.Code(err); code == codes.Unauthenticated || code == codes.PermissionDenied {
				s.server.refused()
			}
			return err
		}
		switch path.Base(method) {
		case "GetSystemInfo", "DescribeNamespace":
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(run, cancel)()
			return call(ctx)
		case "ShutdownWorker":
			ctx, cancel := context.WithTimeout(ctx, shutdownTimeout)
			defer cancel()
			return call(ctx)
		case "PollActivityTaskQueue":
			accepted := s.watchPoll(cc)
			err := call(ctx)
			accepted.stop()
			if err == nil || run.Err() == nil && !errors.Is(ctx.Err(), context.Canceled) {
				s.report(aspectServer, fromStatus(err))
			}
			return err
		}
		return call(ctx)
	}
}

func fromStatus(err error) error {
	if err == nil {
		return nil
	}
	return serviceerror.FromStatus(status.Convert(err))
}

// pollWatch clears the server's problem while a poll waits. The server answers a poll only
// when there is work, or after a minute, but refuses it at once.
type pollWatch struct {
	mu    sync.Mutex
	timer *time.Timer // nil: stopped, or not needed
}

func (s *Source) watchPoll(cc *grpc.ClientConn) *pollWatch {
	w := &pollWatch{}
	if !s.health.has(aspectServer) {
		return w
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(s.acceptAfter, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch {
		case w.timer == nil:
		case cc.GetState() == connectivity.Ready:
			s.report(aspectServer, nil)
		default:
			w.timer.Reset(s.acceptAfter) // still connecting
		}
	})
	return w
}

func (w *pollWatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}
