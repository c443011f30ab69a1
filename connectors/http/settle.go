package http

import (
	"crypto/rand"
	"fmt"
	nethttp "net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/connlimit"
)

// request holds the events of one HTTP request until all are settled.
type request struct {
	source    *Source
	route     *route
	bytes     int64 // reserved from the budget until all are settled
	tracked   []trackedMessage
	batch     bool
	madeID    string // of its only event, if the request has none; else ""
	unsettled atomic.Int32
	done      chan struct{} // closed when all are settled
}

// trackedMessage is one message and its outcome.
type trackedMessage struct {
	connector.Message
	request *request
	err     error // valid once request.done is closed
}

// Settled is called once for each message, from any goroutine.
func (m *trackedMessage) Settled(_ *connector.Message, err error) {
	m.err = err
	r := m.request
	if r.unsettled.Add(-1) == 0 {
		close(r.done)
		r.route.settled(r.bytes)
		r.source.exit()
	}
}

func (s *Source) newRequest(t *route, in *decoded, bytes int64) *request {
	r := &request{source: s, route: t, bytes: bytes, tracked: make([]trackedMessage, len(in.events)), batch: in.batch, done: make(chan struct{})}
	r.unsettled.Store(int32(len(in.events)))
	for i := range r.tracked {
		m, e := &r.tracked[i], &in.events[i]
		m.request = r
		m.Key, m.Value, m.Headers, m.Time, m.ID = e.key, e.value, in.headers, e.time, e.id
		if m.ID == "" { // a CloudEvent has one, so this is no batch
			r.madeID = rand.Text()
			m.ID = r.madeID
		}
		m.Position = connector.Position{Stream: s.name}
		m.Bind(m)
	}
	return r
}

// accept takes a request with its whole body and waits for its answer. It reports false
// if the source has ended and none of the events was begun. The request then goes to
// the next source, even if this one would refuse it.
func (s *Source) accept(t *route, a *arrival, r *nethttp.Request, body []byte) (answer reply, taken bool) {
	in, p := s.decodeRequest(r.Header, body)
	if p != nil {
		return p, s.serves() // if s has ended, the next source decides
	}
	if len(in.events) == 0 {
		return &request{batch: true}, true
	}
	if serving, p := s.enter(); p != nil || !serving {
		return p, serving
	}
	connlimit.Of(r.Context()).Working()
	req := s.newRequest(t, in, t.handToSource(a))
	if answer = s.deliver(a, req); answer == nil {
		t.returnFromSource(a, req.bytes)
	}
	return answer, answer != nil
}

// decodeRequest makes the checks that need the body, and decodes it.
func (s *Source) decodeRequest(h nethttp.Header, body []byte) (*decoded, *problem) {
	if int64(len(body)) > int64(s.cfg.MaxBodyBytes) { // a source with another limit read it
		return nil, s.tooLarge()
	}
	if p := s.denied(s.auth.checkBody(h, body)); p != nil {
		return nil, p
	}
	return s.decoder.decode(h, body)
}

// deliver hands the events over and returns their outcome once they are settled. Events
// that were handed over are settled even if the caller goes away or waits for too long.
// It returns nil if the source ended and no event was begun.
func (s *Source) deliver(a *arrival, req *request) reply {
	timer := time.NewTimer(s.cfg.AnswerTimeout - time.Since(a.bodyRead))
	defer timer.Stop()
	select {
	case s.handling <- struct{}{}:
		s.handOver(req)
	case <-timer.C:
		req.handBack()
		return req
	case <-a.callerGone:
		req.handBack()
		return req
	case <-s.ctx.Done():
		req.handBack()
		return nil
	}
	var early *problem
	select {
	case <-req.done:
	case <-a.callerGone:
		early = notSettled("the caller has gone")
	case <-timer.C:
		early = notSettled("the event was not settled in time and is still being processed; sending it again with the same id is safe")
	case <-s.drainExpired:
		early = stopping()
	}
	select {
	case <-req.done: // it may have been settled at the same moment
		if s.ctx.Err() != nil && req.allInterrupted() {
			return nil
		}
		return req
	default:
		return req.nameEvent(early)
	}
}

// nameEvent adds the id that was made up to the answer p, so that the caller can send
// the event again under the same id.
func (r *request) nameEvent(p *problem) *problem {
	if r.madeID == "" {
		return p
	}
	p.header = [2]string{headerID, r.madeID}
	if p.status == 503 {
		p.detail += "; its id is in the header ce-id: send it with the event as Idempotency-Key"
	}
	return p
}

// headerID is the header of an answer that names the event, if its id was made up.
const headerID = "Ce-Id"

// handOver calls the handler with the events in order; the caller holds the token of
// handling. If the handler panics, its unsettled events fail.
func (s *Source) handOver(req *request) {
	defer func() {
		<-s.handling
		if v := recover(); v != nil {
			s.logger.Error("http source handler panicked", "panic", v, "stack", string(debug.Stack()))
			req.settle(fmt.Errorf("the handler panicked: %v", v))
		}
	}()
	s.handle(s.assignment, req.messages())
}

// messages returns the messages of the request in order.
func (r *request) messages() []*connector.Message {
	ms := make([]*connector.Message, len(r.tracked))
	for i := range r.tracked {
		ms[i] = &r.tracked[i].Message
	}
	return ms
}

// handBack settles the events of a request that was not handed over.
func (r *request) handBack() { r.settle(connector.ErrInterrupted) }

// settle settles the events that are not settled yet.
func (r *request) settle(err error) {
	for i := range r.tracked {
		r.tracked[i].Settle(err)
	}
}

// allInterrupted reports whether every event was handed back unbegun. All must be
// settled.
func (r *request) allInterrupted() bool {
	for i := range r.tracked {
		if r.tracked[i].err == nil || connector.ClassOf(r.tracked[i].err) != connector.Interrupted {
			return false
		}
	}
	return true
}

// write answers with the outcome: 200 if all events are done, 503 if any may be sent
// again, else 500. In a batch, each event has its own status.
func (r *request) write(w nethttp.ResponseWriter, req *nethttp.Request) {
	status, wait := 200, time.Duration(0)
	list := make([]result, len(r.tracked))
	for i := range r.tracked {
		m := &r.tracked[i]
		list[i] = result{ID: m.ID, Status: 200}
		if m.err == nil {
			continue
		}
		list[i].Status, list[i].Detail = 503, "not settled; send it again"
		if connector.ClassOf(m.err) == connector.Permanent {
			list[i].Status, list[i].Detail = 500, "failed"
		} else {
			wait = max(wait, time.Second, connector.RetryAfter(m.err))
		}
		if status != 503 {
			status = list[i].Status
		}
	}
	if r.batch {
		w.Header().Set("Content-Type", ContentTypeResults)
		setRetryAfter(w.Header(), wait)
		writeJSON(w, status, results{Results: list})
		return
	}
	switch status {
	case 200:
		w.Header().Set("Content-Type", "application/json")
		if r.madeID != "" {
			w.Header().Set(headerID, r.madeID)
		}
		writeJSON(w, 200, eventAnswer{ID: list[0].ID, Status: "accepted"})
	case 500:
		r.nameEvent(&problem{status: 500, code: codeFailed, detail: "the event failed"}).write(w, req)
	default:
		p := notSettled("the event was not settled; send it again, with the same id")
		p.retryAfter = wait
		r.nameEvent(p).write(w, req)
	}
}

// eventAnswer is the answer to a single event that was settled.
type eventAnswer struct {
	ID     string `json:"id,omitempty"`
	Status string `json:"status"`
}

func notSettled(detail string) *problem {
	return &problem{status: 503, code: codeNotSettled, retryAfter: time.Second, detail: detail}
}
