package delivery

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/connector"
)

// intake is the messages that a source hands over in one call. If the
// transformer is quick, the source's goroutine transforms them one after the
// other: a message that is filtered then needs no entry, lane or worker, and
// the others take the lock twice in total. If it is slow, they become entries
// at once, and workers transform them in parallel.
type intake struct {
	messages []accepted
	routed   []Routed             // of all messages
	filtered []*connector.Message // settled before the lock is taken again

	assignment *assignment
	version    *version
	call       context.Context
	at         time.Time // when they were accepted
	// placeholder takes the place of the messages being transformed in the
	// assignment's order.
	placeholder *entry
}

// accepted is one message of an intake, and the result of its transform.
type accepted struct {
	m           *connector.Message
	size        int64
	transformed bool
	filtered    bool // settled, or will be before the lock is taken again
	routed      []Routed
	err         error
	span        trace.Span
}

// Bounds of an inline transform.
const (
	// slowTransform ends it: the messages after a slow one go to the workers.
	slowTransform = time.Millisecond
	// maxGrowth is how many bytes the events may have more than their
	// messages.
	maxGrowth = 1 << 20
)

var intakes = sync.Pool{New: func() any { return new(intake) }}

// handle is called by the source. It accepts messages, each time as many as
// there is room for, and blocks while there is none. When the assignment ends
// it hands back the messages that were not accepted.
func (e *Engine) handle(of *connector.Assignment, ms []*connector.Message) {
	in := intakes.Get().(*intake) //nolint:forcetypeassert // holds only intakes
	in.messages = in.messages[:0]
	for _, m := range ms {
		in.messages = append(in.messages, accepted{m: m, size: sizeOf(m)})
	}
	for left := in.messages; len(left) > 0; {
		n, inline := e.accept(of, in, left)
		if n == 0 {
			e.settleRefused(left, time.Time{})
			break
		}
		if inline {
			e.transformInline(in, left[:n])
			e.enterIntake(in, left[:n])
		}
		left = left[n:]
	}
	clear(in.messages)
	clear(in.routed)
	clear(in.filtered)
	*in = intake{messages: in.messages, routed: in.routed[:0], filtered: in.filtered[:0]}
	intakes.Put(in)
}

// accept waits for room and accepts as many messages as fit; n is 0 if the
// assignment is over. If inline is true the caller transforms the n messages;
// otherwise they are entries already.
func (e *Engine) accept(of *connector.Assignment, in *intake, ms []accepted) (n int, inline bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.assignmentOf(of)
	if a == nil || !e.admit(a, ms[0].size) {
		return 0, false
	}
	for n < len(ms) && e.fits(a, ms[n].size) {
		a.inFlight++
		e.inFlight++
		e.bytes += ms[n].size
		n++
	}
	v := e.version.Load()
	in.assignment, in.version, in.at = a, v, time.Now()
	if !v.transformTime.isQuick() {
		for i := range ms[:n] {
			e.newEntry(in, &ms[i], nil)
		}
		e.sealIdle()
		e.wakeWorkers()
		return n, false
	}
	in.placeholder = e.spare.entry()
	a.insertEntry(in.placeholder, nil)
	in.placeholder.m, in.placeholder.accepted, in.placeholder.placeholder = ms[0].m, in.at, true
	in.call = a.callContext(v)
	v.use(1)
	e.transforming += n
	return n, true
}

// transformInline transforms messages on the source's goroutine. It stops early
// after a slow message, and when the assignment or the version ends; it leaves
// the other messages untransformed.
func (e *Engine) transformInline(in *intake, ms []accepted) {
	stride := in.version.transformTime.stride()
	if e.cfg.Tracer != nil {
		stride = 1 // each span has its own start time
	}
	growth, unrouted := int64(0), 0
	begun := in.at
	for len(ms) > 0 && growth < maxGrowth {
		some := ms[:min(stride, len(ms))]
		n := 0
		for ; n < len(some) && !in.assignment.over() && e.version.Load() == in.version; n++ {
			a := &some[n]
			first := len(in.routed)
			in.routed, a.err = e.transform(in.call, in.version, a.m, in.routed)
			a.routed, a.transformed = in.routed[first:len(in.routed):len(in.routed)], true
			if a.err != nil && errors.Is(a.err, ErrUnrouted) {
				unrouted++
				a.err = nil
			}
			if len(a.routed) == 0 && a.err == nil {
				a.filtered = true
				a.m.Outcome = connector.Filtered
				in.filtered = append(in.filtered, a.m)
				continue
			}
			a.span = e.startSpan(a.m, a.routed, begun)
			growth += grown(a.routed, a.size)
		}
		if n == 0 {
			break
		}
		took := time.Since(begun)
		begun = begun.Add(took)
		each := took / time.Duration(n)
		e.cfg.Observer.Timed(PhaseTransform, each, n)
		in.version.transformTime.add(each, n)
		if n < len(some) || took > slowTransform {
			break
		}
		ms = ms[n:]
	}
	if n := len(in.filtered); n > 0 {
		connector.SettleAll(in.filtered, nil)
		e.settledAs(Filtered, n-unrouted)
		e.settledAs(Unrouted, unrouted)
		e.cfg.Observer.Timed(PhaseTotal, begun.Sub(in.at), n)
	}
}

// grown returns how many bytes the events of a message have more than the
// message.
func grown(routed []Routed, size int64) int64 {
	bytes := int64(0)
	for i := range routed {
		if i == 0 || routed[i].Event != routed[i-1].Event {
			bytes += int64(routed[i].Event.Data.Len())
		}
	}
	return max(0, bytes-size)
}

// enterIntake stops counting the messages that were filtered, and makes entries
// of the others. If the assignment has ended it hands the others back.
func (e *Engine) enterIntake(in *intake, ms []accepted) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := in.assignment
	ended := a.ended || a.over()
	if ended {
		e.mu.Unlock()
		e.settleRefused(ms, in.at) // before they are uncounted: see invariant 3 in DESIGN.md
		e.mu.Lock()
	}
	for i := range ms {
		if m := &ms[i]; ended || m.filtered {
			a.inFlight--
			e.inFlight--
			e.bytes -= m.size
		} else {
			e.newEntry(in, m, in.placeholder)
		}
	}
	in.filtered = in.filtered[:0]
	a.unlink(in.placeholder)
	e.spare.putEntry(in.placeholder)
	in.placeholder = nil
	in.version.release(1)
	e.transforming -= len(ms)
	e.afterLeft(a)
	e.sealIdle()
	e.wakeWorkers()
}

// newEntry makes an entry of an accepted message. It uses the message's events
// if their version is still the current one. The entry is inserted into the
// order of acceptance before another one, or last if before is nil. The caller
// holds the lock.
func (e *Engine) newEntry(in *intake, m *accepted, before *entry) {
	en := e.spare.entry()
	en.m, en.size, en.accepted, en.span = m.m, m.size, in.at, m.span
	en.hash, en.ordered = e.laneOf(m.m)
	in.assignment.insertEntry(en, before)
	en.pending.Store(1)
	t := &en.first
	t.entry = en
	v := e.version.Load()
	if !m.transformed || v != in.version {
		e.enqueue(t, &v.transform)
		return
	}
	more := grown(m.routed, m.size)
	en.size += more
	e.bytes += more
	waits := e.laneFor(en, &v.transform) != nil // the key has an entry that waits for its transform
	switch {
	case m.err != nil && (isTransformHold(m.err) || v.transform.OnExhausted == ExhaustedBlock):
		e.enqueue(t, &v.transform) // a worker transforms it again
	case m.err != nil:
		e.cfg.Observer.TransformError(codeOf(m.err))
		e.noteError(m.err)
		if t.err = m.err; waits {
			e.enqueue(t, &v.transform)
		} else {
			e.enqueueDeadLetter(t)
		}
	case waits:
		t.routed = append([]Routed(nil), m.routed...)
		e.enqueue(t, &v.transform)
	default:
		e.deliver(en, m.routed)
	}
}

// settleRefused settles messages that became no entries because their
// assignment ended. at is when they were accepted, or zero. The caller does not
// hold the lock.
func (e *Engine) settleRefused(ms []accepted, at time.Time) {
	back := make([]*connector.Message, 0, len(ms))
	for i := range ms {
		if m := &ms[i]; !m.filtered {
			back = append(back, m.m)
		}
	}
	if len(back) == 0 {
		return
	}
	connector.SettleAll(back, connector.ErrInterrupted)
	for i := range ms {
		endSpan(ms[i].span, nil, Interrupted)
	}
	e.cfg.Observer.Settled(Interrupted, len(back))
	if !at.IsZero() {
		e.cfg.Observer.Timed(PhaseTotal, time.Since(at), len(back))
	}
}

// sizeOf returns the bytes of a message that count against MaxInFlightBytes.
func sizeOf(m *connector.Message) int64 {
	n := len(m.Key) + len(m.Value)
	for i := range m.Headers {
		n += len(m.Headers[i].Key) + len(m.Headers[i].Value)
	}
	return int64(n)
}
