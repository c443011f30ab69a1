package grpc

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// flowMetadata is the metadata key that names the flow of a call.
const flowMetadata = "fiso-flow"

// routeLinger is how long a call waits for the next source of its flow, and how long a
// shared listener stays open without a source, so that calls are not refused while a
// source restarts.
const routeLinger = 5 * time.Second

// route is one flow of a listener. It outlives its sources.
type route struct {
	producers producers

	mu      sync.Mutex
	source  *Source       // nil: the flow has no source now
	left    time.Time     // when the last source left
	changed chan struct{} // closed when source changes
}

func newRoute() *route { return &route{changed: make(chan struct{})} }

// setSource gives the route to s. It reports false if another source has it.
func (r *route) setSource(s *Source) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.source != nil {
		return false
	}
	r.change(s)
	return true
}

// unsetSource frees the route if s has it, and reports whether it did.
func (r *route) unsetSource(s *Source) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.source != s {
		return false
	}
	r.left = time.Now()
	r.change(nil)
	return true
}

func (r *route) change(s *Source) {
	r.source = s
	close(r.changed)
	r.changed = make(chan struct{})
}

// live reports whether the route has a source, or may get one within linger.
func (r *route) live(linger time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.source != nil || time.Since(r.left) < linger
}

// await returns a source that has counted the call in, so that the caller must call
// exit. It waits for the next source for linger at most.
func (r *route) await(ctx context.Context, linger time.Duration) (*Source, error) {
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for {
		r.mu.Lock()
		s, changed := r.source, r.changed
		r.mu.Unlock()
		if s != nil && s.enter() {
			return s, nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, errNoSource
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

var errNoSource = status.FromProto(unavailable("the flow is stopped; try again")).Err()

// routeOf finds the route of a call by its metadata. Without a name it is the only one
// that has a source, or else the only one whose source has just left.
func (l *listener) routeOf(md metadata.MD) (*route, error) {
	names := md.Get(flowMetadata)
	if len(names) > 1 {
		return nil, status.Error(codes.InvalidArgument, "the metadata fiso-flow is there more than once; send it once")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var serving, lingering []*route
	for name, r := range l.routes {
		switch {
		case !r.live(l.linger):
			delete(l.routes, name)
		case len(names) > 0 && names[0] != name:
		case r.live(0):
			serving = append(serving, r)
		default:
			lingering = append(lingering, r)
		}
	}
	if len(serving) == 0 {
		serving = lingering
	}
	switch {
	case len(serving) == 1:
		return serving[0], nil
	case len(l.routes) == 0:
		return nil, errNoSource
	case len(serving) == 0:
		return nil, status.Error(codes.NotFound, "no flow has the name in the metadata fiso-flow")
	}
	return nil, status.Error(codes.NotFound, "several flows share this address; name one in the metadata fiso-flow")
}

// addRoute gives the route of s to s.
func (l *listener) addRoute(s *Source) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.routes[s.name]
	if r == nil {
		r = newRoute()
		l.routes[s.name] = r
	}
	if !r.setSource(s) {
		return false
	}
	l.setHealth(s.name)
	return true
}

// unroute frees the route of s, whose calls go on.
func (l *listener) unroute(s *Source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.routes[s.name]; r != nil && r.unsetSource(s) {
		l.setHealth(s.name)
	}
}
