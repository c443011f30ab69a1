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
	w    *world
	sink string
	ln   net.Listener

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	tries  map[[2]int]int // by event and piece
	trial  string         // the current outage; "": none
	slow   time.Duration  // maximum time of an answer
	healed bool           // answers are no longer lost
	mended bool           // it accepts what it refused before
	ended  chan struct{}
	wg     sync.WaitGroup
}

// Outages of the whole service.
const (
	sinkFails   = "answers 503"
	sinkDenies  = "answers 401" // an expired token
	sinkMoved   = "answers 302"
	sinkHangs   = "hangs"
	sinkDrops   = "closes connections"
	sinkAbsent  = "refuses connections"
	sinkBusy    = "answers 429 with Retry-After"
	sinkHalfway = "accepts, and closes connections"
)

var trials = []string{sinkFails, sinkDenies, sinkMoved, sinkBusy, sinkHangs, sinkDrops, sinkAbsent, sinkHalfway}

func (w *world) newService(sink, addr string) *service {
	ln, err := w.net.Listen("tcp", addr)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &service{w: w, sink: sink, ln: ln, conns: map[net.Conn]struct{}{}, tries: map[[2]int]int{}, slow: w.plan.latency, ended: make(chan struct{})}
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
		if s.trial == sinkAbsent {
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

func (s *service) set(trial string, slow time.Duration) {
	s.mu.Lock()
	s.trial, s.slow = trial, slow
	s.mu.Unlock()
	if trial == sinkAbsent {
		s.cut()
	}
}

// heal ends the faults of the service.
func (s *service) heal() {
	s.mu.Lock()
	s.healed = true
	s.mu.Unlock()
	s.set("", s.w.plan.latency)
}

// got is a CloudEvent that arrived.
type got struct {
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
			s.w.broken("the service was sent %q: %v", body, err)
			return
		}
		v := s.judge(events)
		select {
		case <-time.After(v.wait):
		case <-s.ended:
			return
		}
		if !s.answer(c, r.Header.Get("Sim-Member"), events, v, batch) {
			return
		}
	}
}

func parse(head http.Header, body []byte) (events []got, batch bool, err error) {
	if id := head.Get("Ce-Id"); id != "" {
		events = []got{{ID: id}}
		return events, false, json.Unmarshal(body, &events[0].Data)
	}
	if len(body) > 0 && body[0] == '[' {
		return events, true, json.Unmarshal(body, &events)
	}
	events = make([]got, 1)
	return events, false, json.Unmarshal(body, &events[0])
}
