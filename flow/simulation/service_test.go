//go:build synctests

package simulation

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// service is the application that a sink delivers to.
type service struct {
	sim  *simulation
	sink string
	ln   net.Listener

	mu          sync.Mutex
	conns       map[net.Conn]struct{}
	tries       map[[2]int]int // by event and piece
	outageKind  string         // the current outage; "": none
	maxDelay    time.Duration  // of an answer
	faultsEnded bool           // answers are no longer lost
	acceptsAll  bool           // it accepts what it refused before
	ended       chan struct{}
	wg          sync.WaitGroup
}

// Outages of the whole service.
const (
	answers503           = "answers 503"
	answers401           = "answers 401" // an expired token
	answers302           = "answers 302"
	hangs                = "hangs"
	closesConnections    = "closes connections"
	refusesConnections   = "refuses connections"
	answers429           = "answers 429 with Retry-After"
	closesAfterAccepting = "accepts, and closes connections"
)

var outageKinds = []string{answers503, answers401, answers302, answers429, hangs, closesConnections, refusesConnections, closesAfterAccepting}

func (sim *simulation) newService(sink, addr string) *service {
	ln, err := sim.net.Listen("tcp", addr)
	if err != nil {
		sim.t.Fatal(err)
	}
	s := &service{sim: sim, sink: sink, ln: ln, conns: map[net.Conn]struct{}{}, tries: map[[2]int]int{}, maxDelay: sim.plan.maxLatency, ended: make(chan struct{})}
	s.wg.Go(s.accept)
	return s
}

func (s *service) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.outageKind == refusesConnections {
			s.mu.Unlock()
			_ = c.Close() // a pipe
			continue
		}
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() { s.serve(c) })
	}
}

func (s *service) close() {
	close(s.ended)
	_ = s.ln.Close() // virtual
	s.cut()
	s.wg.Wait()
}

// cut closes all connections.
func (s *service) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close() // a pipe
	}
}

func (s *service) set(outageKind string, maxDelay time.Duration) {
	s.mu.Lock()
	s.outageKind, s.maxDelay = outageKind, maxDelay
	s.mu.Unlock()
	if outageKind == refusesConnections {
		s.cut()
	}
}

// endFaults ends the faults of the service.
func (s *service) endFaults() {
	s.mu.Lock()
	s.faultsEnded = true
	s.mu.Unlock()
	s.set("", s.sim.plan.maxLatency)
}

// arrival is a CloudEvent that arrived.
type arrival struct {
	ID   string `json:"id"`
	Data struct {
		N int `json:"n"`
		V int `json:"v"` // version of the transform
		P int `json:"p"` // number of the piece
	} `json:"data"`
}

func (s *service) serve(c net.Conn) {
	defer func() {
		_ = c.Close() // a pipe
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		events, batch, err := parse(r.Header, body)
		if err != nil {
			s.sim.violation("the service was sent %q: %v", body, err)
			return
		}
		v := s.decide(events)
		select {
		case <-time.After(v.delay):
		case <-s.ended:
			return
		}
		if !s.writeAnswer(c, r.Header.Get("Sim-Member"), events, v, batch) {
			return
		}
	}
}

func parse(head http.Header, body []byte) (events []arrival, batch bool, err error) {
	if id := head.Get("Ce-Id"); id != "" {
		events = []arrival{{ID: id}}
		return events, false, json.Unmarshal(body, &events[0].Data)
	}
	if len(body) > 0 && body[0] == '[' {
		return events, true, json.Unmarshal(body, &events)
	}
	events = make([]arrival, 1)
	return events, false, json.Unmarshal(body, &events[0])
}
