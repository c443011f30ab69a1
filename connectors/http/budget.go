package http

import (
	"container/list"
	"io"
	nethttp "net/http"
	"time"
)

const (
	// firstRead is how many bytes of a body are read before its Content-Length is
	// trusted. A caller that announces a large body and sends nothing holds no more
	// than this.
	firstRead = 16 << 10
	// firstBuffer is the size, in bytes, of the first buffer for a body of unknown
	// length.
	firstBuffer = 2 << 10
	// headerCost is the memory that a header field takes in addition to its text, in
	// the request and in the message made from it.
	headerCost = 200
)

// read reads the whole body. It reserves bytes of the budget before it reads them: for
// a small body all at once, for a large one the rest after the first firstRead bytes.
func (t *route) read(a *arrival, s *Source, w nethttp.ResponseWriter, r *nethttp.Request) ([]byte, *problem) {
	limit := int64(s.cfg.MaxBodyBytes)
	if r.ContentLength > limit {
		return nil, s.tooLarge()
	}
	length, room := r.ContentLength, int64(firstRead)
	if length < 0 {
		length, room = limit, firstBuffer
	}
	first, head := min(length, firstRead), headerSize(r.Header)
	if head > firstRead && t.mustWait(head+first) { // its large head would stay in memory while it waits
		return nil, busy(tooManyBytes)
	}
	if p := t.reserve(a, head+first, s.cfg.ReadTimeout); p != nil {
		return nil, p
	}
	from := nethttp.MaxBytesReader(w, r.Body, limit)
	body, err := readUpTo(make([]byte, 0, min(length, room)), from, int(first))
	if err == nil && first < length && int64(len(body)) == first {
		if p := t.reserve(a, length-first, s.cfg.ReadTimeout); p != nil {
			return nil, p
		}
		if r.ContentLength > 0 {
			body = append(make([]byte, 0, length), body...)
		}
		body, err = readUpTo(body, from, int(length))
	}
	if err == nil {
		err = readEnd(from)
	}
	dropped := t.bodyDone(a, head+int64(cap(body)))
	switch {
	case err != nil && dropped != nil:
		return nil, dropped
	case err != nil:
		return nil, s.readFailed(err)
	}
	// The body is read. The read deadline must not end the request while the caller
	// waits for its answer. A ResponseWriter without support for deadlines has none to
	// lift.
	_ = a.body.SetReadDeadline(time.Time{})
	return body, nil
}

// readUpTo reads into b until it has length bytes or the body ends.
func readUpTo(b []byte, from io.Reader, length int) ([]byte, error) {
	for len(b) < length {
		if len(b) == cap(b) {
			b = append(make([]byte, 0, min(2*len(b), length)), b...)
		}
		n, err := from.Read(b[len(b):min(cap(b), length)])
		b = b[:len(b)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// readEnd checks that no bytes follow the expected end of a body.
func readEnd(from io.Reader) error {
	var one [1]byte
	n, err := from.Read(one[:])
	switch {
	case n == 0 && err == io.EOF:
		return nil
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

// headerSize estimates the memory that a header takes, in bytes.
func headerSize(h nethttp.Header) int64 {
	n := 0
	for name, values := range h {
		for _, value := range values {
			n += len(name) + 2*len(value) + headerCost
		}
	}
	return int64(n)
}

// reserve takes bytes from the budget for a. It waits for them up to timeout, first
// come, first served.
func (t *route) reserve(a *arrival, bytes int64, timeout time.Duration) *problem {
	if p := t.takeBudget(a, bytes, time.Now().Add(timeout)); p != nil {
		return p
	}
	if a.waited { // the wait does not count against the caller's read timeout
		a.waited = false
		_ = a.body.SetReadDeadline(time.Now().Add(timeout))
	}
	return nil
}

// takeBudget is the part of reserve that needs the lock. While the budget is used up,
// it ends slow uploads to make room for the first in the queue.
func (t *route) takeBudget(a *arrival, bytes int64, until time.Time) *problem {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.reading = false
	if !t.fitsNow(bytes) {
		place := t.queue.PushBack(a)
		t.waitingForBudget += a.bytes
		defer t.removeWaiting(place, a.bytes)
		for t.queue.Front() != place || !t.fits(bytes) {
			now, again := time.Now(), until
			switch {
			case a.dropped != nil:
				return a.dropped
			case !now.Before(until):
				return busy(tooManyBytes)
			case t.queue.Front() == place && !t.dropSlowest(now):
				again = now.Add(min(until.Sub(now), slowTimeout/4))
			}
			t.sleep(a, again)
		}
	}
	if a.dropped != nil {
		return a.dropped
	}
	t.held += bytes
	a.bytes += bytes
	a.reading, a.since = true, time.Now()
	return nil
}

const tooManyBytes = "too many bytes are being read or processed"

// mustWait reports whether reserve would wait.
func (t *route) mustWait(bytes int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.fitsNow(bytes)
}

// fitsNow reports whether the budget has room for bytes and no arrival waits for room.
func (t *route) fitsNow(bytes int64) bool { return t.queue.Len() == 0 && t.fits(bytes) }

// fits reports whether the budget has room for bytes. If arrivals in the queue hold all
// of the budget, the first of them may exceed it, because nobody else would ever free
// bytes.
func (t *route) fits(bytes int64) bool {
	return t.held+bytes <= t.budget || t.held == t.waitingForBudget
}

// removeWaiting removes an arrival from the queue and wakes the next one.
func (t *route) removeWaiting(place *list.Element, bytes int64) {
	t.queue.Remove(place)
	t.waitingForBudget -= bytes
	t.wakeFirst()
}

func (t *route) wakeFirst() {
	if e := t.queue.Front(); e != nil {
		e.Value.(*arrival).signal()
	}
}

// release returns bytes to the budget.
func (t *route) release(bytes int64) {
	t.held -= bytes
	t.wakeFirst()
}

// bodyDone records that the body of a has been read, or has failed, and sets how many
// bytes it holds from now on. It returns the reason if a was dropped meanwhile.
func (t *route) bodyDone(a *arrival, bytes int64) *problem {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.reading, a.bodyRead = false, time.Now()
	t.release(a.bytes - bytes)
	a.bytes = bytes
	return a.dropped
}

// dropSlowest ends the upload whose last reservation is the oldest, if that was more
// than slowTimeout ago.
func (t *route) dropSlowest(now time.Time) bool {
	var slowest *arrival
	for e := t.arrivals.Front(); e != nil; e = e.Next() {
		if a := e.Value.(*arrival); a.reading && (slowest == nil || a.since.Before(slowest.since)) {
			slowest = a
		}
	}
	if slowest == nil || now.Sub(slowest.since) < slowTimeout {
		return false
	}
	t.drop(slowest, busy("the body came slowly, and others wait"))
	return true
}

// drop ends an arrival in whatever state it is.
func (t *route) drop(a *arrival, p *problem) {
	if a.reading {
		_ = a.body.SetReadDeadline(time.Unix(1, 0)) // reading fails now
	}
	t.unlink(a)
	a.dropped = p
	a.signal()
}
