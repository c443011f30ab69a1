package harness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/lsm/fiso/e2e/faults/internal/ledger"
)

// flakyRefusals is how often a flaky event is refused before it is accepted.
const flakyRefusals = 2

// Service is the application that events are delivered to. The last element of the path tells
// which process calls.
type Service struct {
	URL         string
	ledger      *ledger.Ledger
	srv         fasthttp.Server
	unavailable atomic.Bool
	maxDelay    atomic.Int64 // of an answer
	calls       atomic.Int64
	stalled     atomic.Pointer[chan struct{}]

	mu       sync.Mutex
	handlers map[string]func(body []byte)
	tries    map[int]int // by flaky event
	counts   map[int]int // by process
	versions map[int]int // by process
}

func newService(ctx context.Context, l *ledger.Ledger) (*Service, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the service: %w", err)
	}
	s := &Service{
		URL: "http://" + listener.Addr().String() + "/by", ledger: l, handlers: map[string]func([]byte){},
		tries: map[int]int{}, counts: map[int]int{}, versions: map[int]int{},
	}
	s.srv.Handler = s.handle
	s.srv.NoDefaultDate, s.srv.NoDefaultServerHeader = true, true
	s.srv.MaxRequestBodySize = 32 << 20
	go s.srv.Serve(listener) //nolint:errcheck // until it is closed
	return s, nil
}

func (s *Service) close() {
	s.Resume()
	// A process that still calls is being stopped or was killed.
	_ = s.srv.Shutdown()
}

// SetUnavailable makes the service refuse everything with 503, or accept again.
func (s *Service) SetUnavailable(unavailable bool) { s.unavailable.Store(unavailable) }

// SetMaxDelay makes each answer take a random time of up to d.
func (s *Service) SetMaxDelay(d time.Duration) { s.maxDelay.Store(int64(d)) }

// Stall makes every call wait until Resume.
func (s *Service) Stall() {
	gate := make(chan struct{})
	s.stalled.Store(&gate)
}

// Resume ends a stall.
func (s *Service) Resume() {
	if gate := s.stalled.Swap(nil); gate != nil {
		close(*gate)
	}
}

// Count returns how many events a process has delivered, including duplicates.
func (s *Service) Count(process int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[process]
}

// Version returns the newest version of the flow from which a process has delivered.
func (s *Service) Version(process int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.versions[process]
}

// Calls returns the number of calls, with refused ones.
func (s *Service) Calls() int { return int(s.calls.Load()) }

func (s *Service) handle(c *fasthttp.RequestCtx) {
	s.calls.Add(1)
	path := string(c.Path())
	name := path[strings.LastIndexByte(path, '/')+1:]
	if other := s.handler(name); other != nil {
		other(c.PostBody())
		return
	}
	process, err := strconv.Atoi(name)
	if err != nil {
		c.SetStatusCode(fasthttp.StatusNotFound)
		return
	}
	if gate := s.stalled.Load(); gate != nil {
		<-*gate
	}
	if d := s.maxDelay.Load(); d > 0 {
		<-time.After(time.Duration(rand.Int64N(d)))
	}
	c.SetStatusCode(s.statusFor(c.PostBody(), string(c.Request.Header.Peek("Idempotency-Key")), process))
}

// Handle passes every request to a path that ends in name to fn. The service accepts it, and the
// ledger does not record it.
func (s *Service) Handle(name string, fn func(body []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers[name] = fn
}

func (s *Service) handler(name string) func([]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handlers[name]
}

// statusFor returns the status for an event.
func (s *Service) statusFor(body []byte, key string, process int) int {
	if s.unavailable.Load() {
		return fasthttp.StatusServiceUnavailable
	}
	a, err := ledger.ParseArrival(body)
	if err != nil {
		return fasthttp.StatusBadRequest
	}
	switch a.Data.Kind {
	case ledger.Rejected.String():
		return fasthttp.StatusUnprocessableEntity
	case ledger.Flaky.String():
		if s.refusesFlaky(a.Data.N) {
			return fasthttp.StatusServiceUnavailable
		}
	}
	s.ledger.Delivered(a, key, process)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[process]++
	s.versions[process] = max(s.versions[process], a.Data.Version)
	return fasthttp.StatusOK
}

// refusesFlaky reports whether a flaky event is refused again.
func (s *Service) refusesFlaky(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries[n]++
	return s.tries[n] <= flakyRefusals
}
