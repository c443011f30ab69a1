package http

import (
	"fmt"
	nethttp "net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/connlimit"
)

// request is the events of one HTTP request on their way to being settled.
type request struct {
	source    *Source
	route     *route
	bytes     int64 // held until all are settled
	slots     []slot
	batch     bool
	unsettled atomic.Int32
	done      chan struct{} // closed when all are settled
}

// slot is one message and how it ended.
type slot struct {
	connector.Message
	request *request
	err     error // valid once request.done is closed
}

// Settled is called once a message, from any goroutine.
func (t *slot) Settled(_ *connector.Message, err error) {
	t.err = err
	if t.request.unsettled.Add(-1) == 0 {
		close(t.request.done)
		t.request.route.settled(t.request.bytes)
		t.request.source.exit()
	}
}

func (s *Source) newRequest(t *route, in *decoded, bytes int64) *request {
	r := &request{source: s, route: t, bytes: bytes, slots: make([]slot, len(in.events)), batch: in.batch, done: make(chan struct{})}
	r.unsettled.Store(int32(len(in.events)))
	for i := range r.slots {
		t, e := &r.slots[i], &in.events[i]
		t.request = r
		t.Key, t.Value, t.Headers, t.Time, t.ID = e.key, e.value, in.headers, e.time, e.id
		t.Position = connector.Position{Stream: s.name}
		t.Bind(t)
	}
	return r
}

// accept takes a request whose body is there, and waits for its answer. It
// reports false when the source has ended and nothing of the request was begun:
// then the request is for the next source, also where this one would refuse it.
func (s *Source) accept(t *route, a *arrival, r *nethttp.Request, body []byte) (answer reply, taken bool) {
	in, p := s.decodeRequest(r.Header, body)
	if p != nil {
		return p, s.serves() // once s has ended, the next source judges
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

// decodeRequest checks what needs the body, and decodes it.
func (s *Source) decodeRequest(h nethttp.Header, body []byte) (*decoded, *problem) {
	if int64(len(body)) > int64(s.cfg.MaxBodyBytes) { // another source read it
		return nil, s.tooLarge()
	}
	if p := s.denied(s.auth.body(h, body)); p != nil {
		return nil, p
	}
	return s.decoder.decode(h, body)
}

// deliver hands the events over and returns how they ended, once they are
// settled. A caller that goes away, or waits for too long, changes nothing about
// events that were handed over: they are settled all the same. It returns nil
// when the source ended before it began any of them.
func (s *Source) deliver(a *arrival, req *request) reply {
	timer := time.NewTimer(s.cfg.AnswerTimeout - time.Since(a.whole))
	defer timer.Stop()
	select {
	case s.handling <- struct{}{}:
		s.handOver(req)
	case <-timer.C:
		req.giveBack()
		return req
	case <-a.left:
		req.giveBack()
		return req
	case <-s.ctx.Done():
		req.giveBack()
		return nil
	}
	var otherwise *problem
	select {
	case <-req.done:
	case <-a.left:
		otherwise = notSettled("the caller has gone") // nobody reads it
	case <-timer.C:
		otherwise = notSettled("the event was not settled in time; the work goes on, and sending it again with the same id is safe")
	case <-s.drainExpired:
		otherwise = stopping()
	}
	select {
	case <-req.done: // also where something else happened at the same moment
		if s.ctx.Err() != nil && req.allInterrupted() {
			return nil
		}
		return req
	default:
		return otherwise
	}
}

// handOver calls the handler with the events in order, while it has the turn.
// What a handler that panics did not settle has failed.
func (s *Source) handOver(req *request) {
	defer func() {
		<-s.handling
		if v := recover(); v != nil {
			s.logger.Error("http source: the handler panicked", "panic", v, "stack", string(debug.Stack()))
			req.settle(fmt.Errorf("the handler panicked: %v", v))
		}
	}()
	s.handle(s.reads, req.messages())
}

// messages are those of the request, in order.
func (r *request) messages() []*connector.Message {
	ms := make([]*connector.Message, len(r.slots))
	for i := range r.slots {
		ms[i] = &r.slots[i].Message
	}
	return ms
}

// giveBack settles the events of a request that was not handed over.
func (r *request) giveBack() { r.settle(connector.ErrInterrupted) }

// settle ends whatever is not settled yet.
func (r *request) settle(err error) {
	for i := range r.slots {
		r.slots[i].Settle(err)
	}
}

// allInterrupted says whether every event, settled by now, was handed back unbegun.
func (r *request) allInterrupted() bool {
	for i := range r.slots {
		if r.slots[i].err == nil || connector.ClassOf(r.slots[i].err) != connector.Interrupted {
			return false
		}
	}
	return true
}

// write says how the events ended: 200 when all are done, else 503 as long as
// any may be sent again, and 500 when the handler marked each failure as
// permanent. In a batch each event has its own status.
func (r *request) write(w nethttp.ResponseWriter, req *nethttp.Request) {
	status, wait := 200, time.Duration(0)
	list := make([]result, len(r.slots))
	for i := range r.slots {
		t := &r.slots[i]
		list[i] = result{ID: t.ID, Status: 200}
		if t.err == nil {
			continue
		}
		list[i].Status, list[i].Detail = 503, "not settled; send it again"
		if connector.ClassOf(t.err) == connector.Permanent {
			list[i].Status, list[i].Detail = 500, "failed"
		} else {
			wait = max(wait, time.Second, connector.RetryAfter(t.err))
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
		writeJSON(w, 200, eventAnswer{ID: list[0].ID, Status: "accepted"})
	case 500:
		(&problem{status: 500, code: codeFailed, detail: "the event failed"}).write(w, req)
	default:
		p := notSettled("the event was not settled; send it again, with the same id")
		p.retryAfter = wait
		p.write(w, req)
	}
}

// eventAnswer is the answer to one event that is settled.
type eventAnswer struct {
	ID     string `json:"id,omitempty"`
	Status string `json:"status"`
}

func notSettled(detail string) *problem {
	return &problem{status: 503, code: codeNotSettled, retryAfter: time.Second, detail: detail}
}
