package http

import (
	"container/list"
	nethttp "net/http"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connlimit"
)

// route is one path of a listener. It holds each request until a source takes it with
// its whole body. It outlives its sources: an upload does not delay a reload, and goes
// to the source that serves the path when the upload is complete.
type route struct {
	linger time.Duration // how long a request waits for the next source

	mu               sync.Mutex
	source           *Source // nil: the path has no source now
	sourceLeft       time.Time
	closed           bool
	maxArrivals      int   // limit of the current or last source
	budget           int64 // limit of bytes held, likewise
	arrivals         list.List
	queue            list.List // arrivals that wait for bytes, in order
	held             int64     // bytes of arrivals and of unsettled requests
	waitingForBudget int64     // the part of held that arrivals in the queue have
}

// arrival is a request that no source has taken yet.
type arrival struct {
	body       *nethttp.ResponseController
	callerGone <-chan struct{} // closed when the caller has gone; nil: cannot be known
	bodyRead   time.Time       // when its body was complete
	element    *list.Element   // in arrivals
	bytes      int64           // reserved from the budget
	reading    bool            // its body is being read
	since      time.Time       // when it came, or last reserved bytes
	waited     bool            // it waited for the source after its read deadline was set
	dropped    *problem        // why it has to end; nil: it may go on
	wake       chan struct{}   // wakes it; nil: it never waited
}

func newRoute(linger time.Duration) *route { return &route{linger: linger} }

// setSource gives the path to s. It reports false if another source has it.
func (t *route) setSource(s *Source) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source != nil {
		return false
	}
	t.source, t.maxArrivals = s, s.cfg.MaxRequests
	t.budget = int64(max(s.cfg.MaxBufferedBytes, s.cfg.MaxBodyBytes))
	t.wakeAll()
	return true
}

// unsetSource frees the path if s has it.
func (t *route) unsetSource(s *Source) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source == s {
		t.source, t.sourceLeft = nil, time.Now()
		t.wakeAll()
	}
}

// shut ends all arrivals.
func (t *route) shut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for e := t.arrivals.Front(); e != nil; e = t.arrivals.Front() {
		t.drop(e.Value.(*arrival), stopping())
	}
}

// respond answers a request. Sources may come and go meanwhile: a request that one
// source did not begin goes to the next.
func (t *route) respond(w nethttp.ResponseWriter, r *nethttp.Request, loopback bool) reply {
	a, p := t.addArrival(w, r)
	if p != nil {
		p.closing = true
		return p
	}
	defer t.removeArrival(a)
	var body []byte // nil: not read yet
	for {
		s, p := t.await(a)
		if p == nil {
			p = s.checkRequest(r, loopback)
		}
		if p == nil && r.Method == nethttp.MethodOptions {
			return handshake{}
		}
		if p == nil && body == nil {
			body, p = t.read(a, s, w, r)
		}
		if p != nil {
			p.closing = p.closing || body == nil
			return p
		}
		if answer, taken := s.accept(t, a, r, body); taken {
			return answer
		}
	}
}

// addArrival counts a request in. If there are too many, it ends the slowest upload to
// make room.
func (t *route) addArrival(w nethttp.ResponseWriter, r *nethttp.Request) (*arrival, *problem) {
	connlimit.Of(r.Context()).Receiving()
	a := &arrival{body: nethttp.NewResponseController(w), callerGone: callerGone(r), since: time.Now()}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, stopping()
	}
	if t.arrivals.Len() >= t.maxArrivals && !t.dropSlowest(a.since) {
		return nil, busy("too many requests are on their way")
	}
	a.element = t.arrivals.PushBack(a)
	return a, nil
}

// callerGone returns a channel that is closed when the caller has gone. Over HTTP/1
// this cannot be known: a caller that has closed only its half of the connection looks
// the same, and waits for its answer.
func callerGone(r *nethttp.Request) <-chan struct{} {
	if r.ProtoMajor < 2 {
		return nil
	}
	return r.Context().Done()
}

// removeArrival undoes addArrival. A source may have taken the request meanwhile.
func (t *route) removeArrival(a *arrival) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unlink(a)
	t.release(a.bytes)
	a.bytes = 0
}

// handToSource removes a request from the arrivals and passes the bytes that it holds
// to the source.
func (t *route) handToSource(a *arrival) (bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unlink(a)
	bytes, a.bytes = a.bytes, 0
	return bytes
}

// returnFromSource undoes handToSource, even beyond the limits: a request that has been
// read need not be sent again.
func (t *route) returnFromSource(a *arrival, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.bytes = bytes
	t.held += bytes
	if t.closed {
		a.dropped = stopping()
		return
	}
	a.element = t.arrivals.PushBack(a)
}

// settled returns the bytes of a settled request to the budget.
func (t *route) settled(bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release(bytes)
}

// await waits for a source of the path, for linger at most.
func (t *route) await(a *arrival) (*Source, *problem) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		s := t.source
		if a.dropped != nil {
			return nil, a.dropped
		}
		if s != nil && s.ctx.Err() == nil {
			return s, nil
		}
		until := t.sourceLeft.Add(t.linger)
		if s != nil { // its context has ended, and it is about to leave
			until = time.Now().Add(t.linger)
		}
		if !time.Now().Before(until) {
			return nil, stopping()
		}
		t.sleep(a, until)
	}
}

// sleep waits, without the lock, until a is woken, its caller has gone, or until has
// passed.
func (t *route) sleep(a *arrival, until time.Time) {
	if a.wake == nil {
		a.wake = make(chan struct{}, 1)
	}
	t.mu.Unlock()
	a.waited = true
	_ = a.body.SetReadDeadline(time.Time{}) // reserve sets it again
	timer := time.NewTimer(time.Until(until))
	isGone := false
	select {
	case <-a.wake:
	case <-timer.C:
	case <-a.callerGone:
		isGone = true
	}
	timer.Stop()
	t.mu.Lock()
	if isGone && a.dropped == nil {
		a.dropped = stopping() // the caller has gone and does not read it
	}
}

func (t *route) wakeAll() {
	for e := t.arrivals.Front(); e != nil; e = e.Next() {
		e.Value.(*arrival).signal()
	}
}

func (a *arrival) signal() {
	select {
	case a.wake <- struct{}{}:
	default: // it is not waiting, or is woken already
	}
}

// unlink removes a from the arrivals, if it is there.
func (t *route) unlink(a *arrival) {
	a.reading = false
	if a.element != nil {
		t.arrivals.Remove(a.element)
		a.element = nil
	}
}
