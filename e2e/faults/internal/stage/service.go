package stage

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

// flakes is how often a flaky event is refused before it is accepted.
const flakes = 2

// Service is the application that events are delivered to. The last element of the path tells
// which process calls.
type Service struct {
	URL     string
	ledger  *ledger.Ledger
	srv     fasthttp.Server
	away    atomic.Bool
	slow    atomic.Int64 // maximum time of an answer
	calls   atomic.Int64
	stalled atomic.Pointer[chan struct{}]

	mu       sync.Mutex
	others   map[string]func(body []byte)
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
		URL: "http://" + listener.Addr().String() + "/by", ledger: l, others: map[string]func([]byte){},
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

// Away makes the service refuse everything with 503, or accept again.
func (s *Service) Away(away bool) { s.away.Store(away) }

// Slow makes each answer take a random time of up to d.
func (s *Service) Slow(d time.Duration) { s.slow.Store(int64(d)) }

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

// Count returns how many events a process has delivered, with copies.
func (s *Service) Count(by int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[by]
}

// Version returns the newest version of the flow from which a process has delivered.
func (s *Service) Version(by int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.versions[by]
}

// Calls returns the number of calls, with refused ones.
func (s *Service) Calls() int { return int(s.calls.Load()) }

func (s *Service) handle(c *fasthttp.RequestCtx) {
	s.calls.Add(1)
	path := string(c.Path())
	name := path[strings.LastIndexByte(path, '/')+1:]
	if other := s.other(name); other != nil {
		other(c.PostBody())
		return
	}
	by, err := strconv.Atoi(name)
	if err != nil {
		c.SetStatusCode(fasthttp.StatusNotFound)
		return
	}
	if gate := s.stalled.Load(); gate != nil {
		<-*gate
	}
	if d := s.slow.Load(); d > 0 {
		<-time.After(time.Duration(rand.Int64N(d)))
	}
	c.SetStatusCode(s.take(c.PostBody(), string(c.Request.Header.Peek("Idempotency-Key")), by))
}

// Other passes every request to a path that ends in name to fn. The service accepts it, and the
// ledger does not record it.
func (s *Service) Other(name string, fn func(body []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.others[name] = fn
}

func (s *Service) other(name string) func([]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.others[name]
}

// take returns the status for an event.
func (s *Service) take(body []byte, key string, by int) int {
	if s.away.Load() {
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
		if s.flake(a.Data.N) {
			return fasthttp.StatusServiceUnavailable
		}
	}
	s.ledger.Delivered(a, key, by)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[by]++
	s.versions[by] = max(s.versions[by], a.Data.Version)
	return fasthttp.StatusOK
}

// flake reports whether a flaky event is refused again.
func (s *Service) flake(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries[n]++
	return s.tries[n] <= flakes
}
