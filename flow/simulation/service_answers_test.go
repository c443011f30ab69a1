//go:build synctests

package simulation

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer is the answer of the service to one request.
type answer struct {
	status          []int // of each event
	retryAfter      string
	delay           time.Duration
	closeConnection bool // instead of answering
}

// decide returns the answer to a request when it arrives.
func (s *service) decide(events []arrival) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	rnd := s.randomForTry(events[0].Data.N, events[0].Data.P)
	v := answer{status: make([]int, len(events))}
	if s.maxDelay > 0 {
		v.delay = rnd.between(0, s.maxDelay)
	}
	status := 0
	switch s.outageKind {
	case answers503:
		status = oneOf(rnd, 500, 502, 503, 504)
	case answers401:
		status = oneOf(rnd, 401, 403)
	case answers302:
		status = 302
	case answers429:
		status, v.retryAfter = 429, oneOf(rnd, "1", "7", time.Now().UTC().Add(5*time.Second).Format(http.TimeFormat))
	case hangs:
		status, v.delay = 503, 10*time.Minute
	case closesConnections, refusesConnections:
		status, v.closeConnection = 503, true
	case closesAfterAccepting:
		v.closeConnection = true
	}
	if !s.faultsEnded && s.sim.plan.lostAnswerShare > 0 && rnd.chance(s.sim.plan.lostAnswerShare) {
		v.closeConnection = true
	}
	for i, e := range events {
		if status != 0 {
			v.status[i] = status
			continue
		}
		v.status[i] = s.statusFor(rnd, s.sim.event(e.Data.N), e.Data.P, &v)
	}
	return v
}

// randomForTry returns the random numbers for the next try of an event.
func (s *service) randomForTry(n, piece int) random {
	s.tries[[2]int{n, piece}]++
	of := []int{1, n, s.tries[[2]int{n, piece}]}
	if piece > 0 || s.sink != mainSink {
		of = append(of, piece, len(s.sink), int(s.sink[0]))
	}
	return newRandom(s.sim.plan.seed, of...)
}

// statusFor returns the status for one event, by its kind.
func (s *service) statusFor(rnd random, e *event, piece int, v *answer) int {
	if e == nil {
		return 400
	}
	u := e.expectedFor(s.sink, piece)
	switch {
	case u == nil || s.acceptsAll: // the oracle reports events that are not for this sink
	case u.kind == poison:
		return []int{400, 404, 409, 422, 301}[e.n%5]
	case u.kind == failing && s.faultsEnded:
		return 500 // with 503, a single event would wait forever
	case u.kind == failing:
		return 503
	case u.kind == flaky && u.fails > 0:
		u.fails--
		status := oneOf(rnd, 408, 425, 429, 500, 503)
		if rnd.chance(0.3) {
			v.retryAfter = oneOf(rnd, "1", "2")
		}
		return status
	}
	return oneOf(rnd, 200, 202, 204)
}

// writeAnswer records what was accepted, writes the answer, and reports whether the connection stays
// open.
func (s *service) writeAnswer(c net.Conn, member string, events []arrival, v answer, batch bool) bool {
	for i, e := range events {
		what := delivered
		if v.status[i]/100 != 2 {
			what = refused
		}
		counters.count(fmt.Sprint("answer ", v.status[i]))
		if what == delivered && s.sim.otherSinkHasOutage(s) {
			counters.count("answer 2xx of one sink while the other has an outage")
		}
		s.sim.history.add(entry{kind: what, member: member, n: e.Data.N, sink: s.sink, piece: e.Data.P, text: fmt.Sprintf("%d %s v%d", v.status[i], e.ID, e.Data.V)})
	}
	if v.retryAfter != "" {
		counters.count("answer with Retry-After")
	}
	sent := false
	if !v.closeConnection {
		_, err := io.WriteString(c, response(v, batch))
		sent = err == nil
	}
	if sent {
		return true
	}
	for i, e := range events {
		if v.status[i]/100 == 2 {
			s.sim.history.add(entry{kind: answerLost, member: member, n: e.Data.N, sink: s.sink, piece: e.Data.P, text: e.ID})
		}
	}
	return false
}

func response(v answer, batch bool) string {
	var b strings.Builder
	status, body, kind := v.status[0], "", "text/plain"
	if batch {
		var each []string
		for _, s := range v.status {
			each = append(each, `{"status":`+strconv.Itoa(s)+`}`)
		}
		status, kind, body = 207, "application/json", `{"results":[`+strings.Join(each, ",")+`]}`
	}
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n", status, http.StatusText(status), kind)
	if v.retryAfter != "" {
		fmt.Fprintf(&b, "Retry-After: %s\r\n", v.retryAfter)
	}
	if status != 204 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.String()
}
