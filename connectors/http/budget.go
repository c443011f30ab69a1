package http

import (
	"container/list"
	"io"
	nethttp "net/http"
	"time"
)

const (
	// firstRead is how much of a body is read before its length is believed: a
	// caller that announces much and sends nothing holds no more than this.
	firstRead = 16 << 10
	// firstRoom is the first buffer for a body of unknown length.
	firstRoom = 2 << 10
	// headerCost is what a field of a header takes beside its text, in the
	// request and in the message that is made of it.
	headerCost = 200
)

// read reads the whole body. Bytes are held before they are read: for a small
// body at once, for a large one when it has begun to come.
func (t *route) read(a *arrival, s *Source, w nethttp.ResponseWriter, r *nethttp.Request) ([]byte, *problem) {
	most := int64(s.cfg.MaxBodyBytes)
	if r.ContentLength > most {
		return nil, s.tooLarge()
	}
	length, room := r.ContentLength, int64(firstRead)
	if length < 0 {
		length, room = most, firstRoom
	}
	first, head := min(length, firstRead), headerSize(r.Header)
	if head > firstRead && t.mustWait(head+first) { // it would wait with its large head in memory
		return nil, busy(tooManyBytes)
	}
	if p := t.hold(a, head+first, s.cfg.ReadTimeout); p != nil {
		return nil, p
	}
	from := nethttp.MaxBytesReader(w, r.Body, most)
	body, err := fill(make([]byte, 0, min(length, room)), from, int(first))
	if err == nil && first < length && int64(len(body)) == first {
		if p := t.hold(a, length-first, s.cfg.ReadTimeout); p != nil {
			return nil, p
		}
		if r.ContentLength > 0 {
			body = append(make([]byte, 0, length), body...)
		}
		body, err = fill(body, from, int(length))
	}
	if err == nil {
		err = ended(from)
	}
	dropped := t.whole(a, head+int64(cap(body)))
	switch {
	case err != nil && dropped != nil:
		return nil, dropped
	case err != nil:
		return nil, s.readFailed(err)
	}
	// The request is here. From now on the caller waits for us, and the deadline
	// for reading must not look like a caller that went away. Not every server
	// behind w can do this, and then it has no deadline either.
	_ = a.body.SetReadDeadline(time.Time{})
	return body, nil
}

// fill reads into b until it has length bytes, or the body ends.
func fill(b []byte, from io.Reader, length int) ([]byte, error) {
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

// ended reads the end of a body whose bytes are all there.
func ended(from io.Reader) error {
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

// headerSize is what a header takes in memory, roughly.
func headerSize(h nethttp.Header) int64 {
	n := 0
	for name, values := range h {
		for _, value := range values {
			n += len(name) + 2*len(value) + headerCost
		}
	}
	return int64(n)
}

// hold takes bytes from the budget for a. It waits for them, bounded, behind
// those that came before.
func (t *route) hold(a *arrival, bytes int64, most time.Duration) *problem {
	if p := t.takeBudget(a, bytes, time.Now().Add(most)); p != nil {
		return p
	}
	if a.slept { // that was not the caller's time
		a.slept = false
		_ = a.body.SetReadDeadline(time.Now().Add(most))
	}
	return nil
}

// takeBudget is hold's part under the lock. While the budget is used up, uploads that
// are slow make room for the first that waits.
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

const tooManyBytes = "too much is being read or worked on"

// mustWait says whether hold would wait.
func (t *route) mustWait(bytes int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.fitsNow(bytes)
}

// fitsNow says whether so many bytes can be held and nobody waits.
func (t *route) fitsNow(bytes int64) bool { return t.queue.Len() == 0 && t.fits(bytes) }

// fits says whether so many bytes can be held. Where all that is held belongs to
// arrivals that wait for more, the first goes beyond the budget: nobody else
// would ever make room.
func (t *route) fits(bytes int64) bool {
	return t.held+bytes <= t.budget || t.held == t.waitingForBudget
}

// removeWaiting takes an arrival from the queue and lets the next one look.
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

// release gives bytes back.
func (t *route) release(bytes int64) {
	t.held -= bytes
	t.wakeFirst()
}

// whole says that the body of a has come to an end, and how much is held for it
// from now on. It returns why a was dropped meanwhile.
func (t *route) whole(a *arrival, bytes int64) *problem {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.reading, a.whole = false, time.Now()
	t.release(a.bytes - bytes)
	a.bytes = bytes
	return a.dropped
}

// dropSlowest ends the upload that has taken the longest since it was last given
// bytes, if that is longer than patience.
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

// drop ends an arrival, wherever it is.
func (t *route) drop(a *arrival, p *problem) {
	if a.reading {
		_ = a.body.SetReadDeadline(time.Unix(1, 0)) // reading fails now
	}
	t.leave(a)
	a.dropped = p
	a.signal()
}
