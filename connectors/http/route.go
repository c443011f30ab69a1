package http

import (
	"container/list"
	nethttp "net/http"
	"sync"
	"time"

	"github.com/lsm/fiso/common/connlimit"
)

// route is one path of a listener. It has the requests until a source takes them
// with their whole body, and outlives its sources: an upload holds up no reload,
// and goes to the source that is there when it is complete.
type route struct {
	linger time.Duration // how long a request waits for the next source

	mu               sync.Mutex
	source           *Source // nil: the last one has left, and no other has come
	left             time.Time
	closed           bool
	most             int   // arrivals, as the source or the last one has it
	budget           int64 // bytes held, likewise
	arrivals         list.List
	queue            list.List // arrivals that wait for bytes, first come first served
	held             int64     // of requests that arrive, or are not settled
	waitingForBudget int64     // of held: by arrivals in the queue
}

// arrival is a request that no source has taken yet.
type arrival struct {
	body    *nethttp.ResponseController
	left    <-chan struct{} // closed when the caller has certainly gone; may be nil
	whole   time.Time       // when its body was there
	elem    *list.Element   // in arrivals
	bytes   int64           // held
	reading bool            // its body is being read
	since   time.Time       // when it came, or was last given bytes
	slept   bool            // it has waited for us since its read deadline was set
	dropped *problem        // why it has to end
	wake    chan struct{}   // while it waits
}

func newRoute(linger time.Duration) *route { return &route{linger: linger} }

// setSource gives the path to s, unless another source has it.
func (t *route) setSource(s *Source) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source != nil {
		return false
	}
	t.source, t.most = s, s.cfg.MaxRequests
	t.budget = int64(max(s.cfg.MaxBufferedBytes, s.cfg.MaxBodyBytes))
	t.wakeAll()
	return true
}

// unsetSource takes the path from s.
func (t *route) unsetSource(s *Source) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source == s {
		t.source, t.left = nil, time.Now()
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

// respond finds the answer to a request. Sources may come and go meanwhile: what
// one did not begin goes to the next.
func (t *route) respond(w nethttp.ResponseWriter, r *nethttp.Request, loopback bool) reply {
	a, p := t.addArrival(w, r)
	if p != nil {
		p.closing = true
		return p
	}
	defer t.removeArrival(a)
	var body []byte // nil: not read
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

// addArrival counts a request in. Where there are too many, the slowest makes room.
func (t *route) addArrival(w nethttp.ResponseWriter, r *nethttp.Request) (*arrival, *problem) {
	connlimit.Of(r.Context()).Receiving()
	a := &arrival{body: nethttp.NewResponseController(w), left: left(r), since: time.Now()}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, stopping()
	}
	if t.arrivals.Len() >= t.most && !t.dropSlowest(a.since) {
		return nil, busy("too many requests are on their way")
	}
	a.elem = t.arrivals.PushBack(a)
	return a, nil
}

// left says when a caller has gone. Over HTTP/1 nobody can tell: one that has
// said all it has to say looks the same, and it waits for its answer.
func left(r *nethttp.Request) <-chan struct{} {
	if r.ProtoMajor < 2 {
		return nil
	}
	return r.Context().Done()
}

// removeArrival ends what arrive began, of a request that no source has taken.
func (t *route) removeArrival(a *arrival) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leave(a)
	t.release(a.bytes)
	a.bytes = 0
}

// handToSource takes a request from the arrivals, with the bytes that it holds: it is a
// source's now.
func (t *route) handToSource(a *arrival) (bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leave(a)
	bytes, a.bytes = a.bytes, 0
	return bytes
}

// returnFromSource undoes pass, also beyond the bounds: what is here need not come again.
func (t *route) returnFromSource(a *arrival, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.bytes = bytes
	t.held += bytes
	if t.closed {
		a.dropped = stopping()
		return
	}
	a.elem = t.arrivals.PushBack(a)
}

// settled gives bytes back that were passed to a source.
func (t *route) settled(bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release(bytes)
}

// await waits, bounded, for a source to have the path.
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
		until := t.left.Add(t.linger)
		if s != nil { // it is about to leave
			until = time.Now().Add(t.linger)
		}
		if !time.Now().Before(until) {
			return nil, stopping()
		}
		t.sleep(a, until)
	}
}

// sleep waits without the lock until a is woken, or until the moment comes.
func (t *route) sleep(a *arrival, until time.Time) {
	if a.wake == nil {
		a.wake = make(chan struct{}, 1)
	}
	t.mu.Unlock()
	a.slept = true
	_ = a.body.SetReadDeadline(time.Time{}) // it is set again before the body is read
	timer := time.NewTimer(time.Until(until))
	gone := false
	select {
	case <-a.wake:
	case <-timer.C:
	case <-a.left:
		gone = true
	}
	timer.Stop()
	t.mu.Lock()
	if gone && a.dropped == nil {
		a.dropped = stopping() // nobody reads it
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
	default: // it is awake, or has been woken
	}
}

// leave takes a from the arrivals, if it is there.
func (t *route) leave(a *arrival) {
	a.reading = false
	if a.elem != nil {
		t.arrivals.Remove(a.elem)
		a.elem = nil
	}
}
