package http

import (
	"fmt"
	nethttp "net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// request is the events of one HTTP request on their way to being settled.
type request struct {
	source    *Source
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
		t.request.source.exit()
	}
}

func (s *Source) newRequest(in *decoded) *request {
	r := &request{source: s, slots: make([]slot, len(in.events)), batch: in.batch, done: make(chan struct{})}
	r.unsettled.Store(int32(len(in.events)))
	for i := range r.slots {
		t, e := &r.slots[i], &in.events[i]
		t.request = r
		t.Key, t.Value, t.Headers, t.Time, t.ID = e.key, e.value, in.headers, e.time, e.id
		t.Position = connector.Position{Topic: s.name, Partition: -1, Offset: -1}
		t.Bind(t)
	}
	return r
}

// deliver hands the events over and answers once they are settled. A caller
// that goes away, or waits for too long, changes nothing about events that
// were handed over: they are settled all the same.
func (s *Source) deliver(w nethttp.ResponseWriter, r *nethttp.Request, in *decoded) {
	req := s.newRequest(in)
	timer := time.NewTimer(s.cfg.AnswerTimeout)
	defer timer.Stop()
	select {
	case s.turn <- struct{}{}:
		s.handOver(req)
	case <-timer.C:
		req.giveBack()
	case <-r.Context().Done():
		req.giveBack()
	case <-s.ctx.Done():
		req.giveBack()
	}
	var p *problem
	select {
	case <-req.done:
	case <-r.Context().Done():
		return
	case <-timer.C:
		p = notSettled("the event was not settled in time; the work goes on, and sending it again with the same id is safe")
	case <-s.gaveUp:
		p = stopping()
	}
	// Not every server behind w can do this; then the answer is not bounded.
	_ = nethttp.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerWrite))
	if p != nil {
		p.write(w)
		return
	}
	req.answer(w)
}

// handOver calls the handler with each event in order, while it has the turn.
// A handler that panics has settled nothing.
func (s *Source) handOver(req *request) {
	defer func() {
		<-s.turn
		if v := recover(); v != nil {
			s.logger.Error("http source: the handler panicked", "panic", v, "stack", string(debug.Stack()))
			req.settle(fmt.Errorf("the handler panicked: %v", v))
		}
	}()
	for i := range req.slots {
		s.handle(s.ctx, &req.slots[i].Message)
	}
}

// giveBack settles the events of a request that was not handed over.
func (r *request) giveBack() { r.settle(connector.ErrInterrupted) }

// settle ends whatever is not settled yet.
func (r *request) settle(err error) {
	for i := range r.slots {
		r.slots[i].Settle(err)
	}
}

// answer says how the events ended: 200 when all are done, else 503 as long as
// any may be sent again, and 500 when the handler marked each failure as
// permanent. In a batch each event has its own status.
func (r *request) answer(w nethttp.ResponseWriter) {
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
		writeJSON(w, 200, accepted{ID: list[0].ID, Status: "accepted"})
	case 500:
		(&problem{status: 500, code: codeFailed, detail: "the event failed"}).write(w)
	default:
		p := notSettled("the event was not settled; send it again, with the same id")
		p.retryAfter = wait
		p.write(w)
	}
}

// accepted is the answer to one event that is settled.
type accepted struct {
	ID     string `json:"id,omitempty"`
	Status string `json:"status"`
}

func notSettled(detail string) *problem {
	return &problem{status: 503, code: codeNotSettled, retryAfter: time.Second, detail: detail}
}
