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

// verdict is the answer of the service to one request.
type verdict struct {
	status []int // of each event
	after  string
	wait   time.Duration
	drop   bool // the connection breaks before the answer
}

// judge decides the answer to a request when it arrives.
func (s *service) judge(events []got) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.roll(events[0].Data.N, events[0].Data.P)
	v := verdict{status: make([]int, len(events))}
	if s.slow > 0 {
		v.wait = d.between(0, s.slow)
	}
	whole := 0
	switch s.trial {
	case sinkFails:
		whole = one(d, 500, 502, 503, 504)
	case sinkDenies:
		whole = one(d, 401, 403)
	case sinkMoved:
		whole = 302
	case sinkBusy:
		whole, v.after = 429, one(d, "1", "7", time.Now().UTC().Add(5*time.Second).Format(http.TimeFormat))
	case sinkHangs:
		whole, v.wait = 503, 10*time.Minute
	case sinkDrops, sinkAbsent:
		whole, v.drop = 503, true
	case sinkHalfway:
		v.drop = true
	}
	if !s.healed && s.w.plan.lossy > 0 && d.chance(s.w.plan.lossy) {
		v.drop = true
	}
	for i, e := range events {
		if whole != 0 {
			v.status[i] = whole
			continue
		}
		v.status[i] = s.opinion(d, s.w.event(e.Data.N), e.Data.P, &v)
	}
	return v
}

// roll returns the dice for the next try of an event.
func (s *service) roll(n, piece int) dice {
	s.tries[[2]int{n, piece}]++
	of := []int{1, n, s.tries[[2]int{n, piece}]}
	if piece > 0 || s.sink != mainSink {
		of = append(of, piece, len(s.sink), int(s.sink[0]))
	}
	return newDice(s.w.plan.seed, of...)
}

// opinion returns the status for one event, by its kind.
func (s *service) opinion(d dice, e *event, piece int, v *verdict) int {
	if e == nil {
		return 400
	}
	u := e.unit(s.sink, piece)
	switch {
	case u == nil || s.mended: // the oracle reports events that are not for this sink
	case u.kind == poison:
		return []int{400, 404, 409, 422, 301}[e.n%5]
	case u.kind == stubborn && s.healed:
		return 500 // with 503, a single event would wait forever
	case u.kind == stubborn:
		return 503
	case u.kind == flaky && u.fails > 0:
		u.fails--
		status := one(d, 408, 425, 429, 500, 503)
		if d.chance(0.3) {
			v.after = one(d, "1", "2")
		}
		return status
	}
	return one(d, 200, 202, 204)
}

// answer records what was accepted, writes the answer, and reports whether the connection stays
// open.
func (s *service) answer(c net.Conn, who string, events []got, v verdict, batch bool) bool {
	for i, e := range events {
		what := delivered
		if v.status[i]/100 != 2 {
			what = refused
		}
		happened.count(fmt.Sprint("answer ", v.status[i]))
		if what == delivered && s.w.othersTrouble(s) {
			happened.count("answer 2xx of one sink while the other is in trouble")
		}
		s.w.history.add(entry{what: what, who: who, n: e.Data.N, sink: s.sink, piece: e.Data.P, text: fmt.Sprintf("%d %s v%d", v.status[i], e.ID, e.Data.V)})
	}
	if v.after != "" {
		happened.count("answer with Retry-After")
	}
	sent := false
	if !v.drop {
		_, err := io.WriteString(c, response(v, batch))
		sent = err == nil
	}
	if sent {
		return true
	}
	for i, e := range events {
		if v.status[i]/100 == 2 {
			s.w.history.add(entry{what: unanswered, who: who, n: e.Data.N, sink: s.sink, piece: e.Data.P, text: e.ID})
		}
	}
	return false
}

func response(v verdict, batch bool) string {
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
	if v.after != "" {
		fmt.Fprintf(&b, "Retry-After: %s\r\n", v.after)
	}
	if status != 204 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.String()
}
