package grpc

import (
	"fmt"
	"sync"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lsm/fiso/common/connector"
)

// overrun is by how many times a producer may exceed its credit before its stream ends.
const overrun = 2

// item is an event that was accepted, with its message.
type item struct {
	connector.Message
	intake   *intake
	seq      int64
	size     int   // of the credit
	buffered int64 // of the budget of the listener
	keyed    bool
	keyHash  digest // valid if keyed
	event    digest // source and id; valid if keyed
	position uint64
}

// Settled is called once for each message, from any goroutine.
func (it *item) Settled(m *connector.Message, err error) {
	st := statusOfSettle(err)
	it.intake.settled(it, answer{seq: it.seq, status: st, outcome: outcomeOf(m), size: it.size})
}

// intake holds the events of one stream or of one Publish that have no answer yet. Its
// methods are safe for concurrent use and do not wait.
type intake struct {
	source      *Source
	maxInFlight int
	maxBytes    int64
	trace       traceContext  // of the call
	wake        chan struct{} // one token: there are answers, or something has changed

	mu       sync.Mutex
	keys     keyStates
	position uint64 // of the newest event
	pending  []*item
	queued   bool // in the source's list of intakes with pending events
	inFlight int  // events whose answer was not taken for sending
	bytes    int64
	answers  []answer
	sending  bool        // answers were taken, and not all are sent yet
	draining bool        // further events are refused with UNAVAILABLE
	refusal  *spb.Status // nothing is handed over any more, and this is the answer; nil: it goes on
	closed   bool        // the call is over: answers are dropped
}

func newIntake(s *Source, maxInFlight int, maxBytes int64) *intake {
	return &intake{
		source: s, maxInFlight: maxInFlight, maxBytes: maxBytes, wake: make(chan struct{}, 1),
		keys: keyStates{of: map[digest]*keyState{}, maxFenced: max(minFences, overrun*maxInFlight)},
	}
}

// minFences is how many keys of a stream may be fenced at least.
const minFences = 1024

// receive takes an event: it waits for the dispatcher then, or has its answer. An error
// ends the call.
func (k *intake) receive(in *received) error {
	it, refusal := k.source.itemOf(in, k.trace)
	enqueue := false
	err := func() error {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.position++
		k.inFlight++
		k.bytes += int64(in.size)
		if k.inFlight > overrun*k.maxInFlight || k.bytes > overrun*max(k.maxBytes, int64(k.source.cfg.MaxEventBytes)) {
			return status.Error(codes.ResourceExhausted, fmt.Sprintf(
				"the producer exceeds its credit of %d events and %d bytes without a result; obey max_in_flight and max_in_flight_bytes", k.maxInFlight, k.maxBytes))
		}
		if k.keys.tooMany() {
			return status.Error(codes.ResourceExhausted, fmt.Sprintf(
				"more than %d keys wait for an event that was handed back; open a new stream and send the events without a result again", k.keys.maxFenced))
		}
		if refusal == nil {
			it.intake, it.position = k, k.position
			refusal = k.admit(it)
		}
		if refusal != nil {
			k.answer(answer{seq: in.seq, status: refusal, size: in.size})
			return nil
		}
		k.pending = append(k.pending, it)
		enqueue, k.queued = !k.queued, true
		return nil
	}()
	if enqueue {
		k.source.enqueue(k)
	}
	return err
}

// admit accepts an event, or returns why not. Called with mu held.
func (k *intake) admit(it *item) *spb.Status {
	switch {
	case k.refusal != nil:
		return k.refusal
	case k.draining:
		return statusDraining
	}
	if it.keyed {
		if code, ok := k.keys.passes(it.keyHash, it.event); !ok {
			return statusBehind[code]
		}
	}
	full := statusFull
	over := k.inFlight > 1 && (k.inFlight > k.maxInFlight || k.bytes > k.maxBytes)
	if over {
		full = statusCredit
	}
	if over || !k.source.reserve(it.buffered) {
		if it.keyed {
			k.keys.fence(it.keyHash, it.event, it.position, codes.ResourceExhausted)
		}
		return full
	}
	if it.keyed {
		k.keys.enter(it.keyHash)
	}
	k.source.began()
	return nil
}

// take appends up to most pending events to batch, for the dispatcher. Events whose key
// was fenced meanwhile are answered instead. It reports whether more are pending.
func (k *intake) take(batch []*connector.Message, most int) ([]*connector.Message, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for ; n < len(k.pending) && most > 0; n++ {
		it := k.pending[n]
		k.pending[n] = nil
		if it.keyed {
			if code := k.keys.fencedCode(it.keyHash, it.position); code != codes.OK {
				k.handBack(it, statusBehind[code])
				continue
			}
		}
		batch = append(batch, &it.Message)
		most--
	}
	if k.pending = k.pending[n:]; len(k.pending) == 0 {
		k.pending, k.queued = nil, false
	}
	return batch, k.queued
}

// settled takes the result of an event that was handed over.
func (k *intake) settled(it *item, a answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a.status != nil && it.keyed {
		k.keys.fence(it.keyHash, it.event, it.position, codes.Unavailable)
	}
	k.finish(it, a)
}

// handBack answers an event that was accepted and not handed over. Its key is fenced
// already, or the intake takes nothing more. Called with mu held.
func (k *intake) handBack(it *item, st *spb.Status) {
	it.Bind(nil)
	it.Settle(connector.ErrInterrupted) // nobody else has the message
	k.finish(it, answer{seq: it.seq, status: st, size: it.size})
}

// finish counts an accepted event out and answers it. Called with mu held.
func (k *intake) finish(it *item, a answer) {
	if it.keyed {
		k.keys.leave(it.keyHash)
	}
	k.source.release(it.buffered)
	k.source.finished()
	k.answer(a)
}

// answer queues an answer. Called with mu held.
func (k *intake) answer(a answer) {
	if k.closed {
		return
	}
	k.answers = append(k.answers, a)
	k.signal()
}

func (k *intake) signal() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// takeAnswers returns the answers so far, and their credit: as soon as one is sent, the
// producer may send the next event. The caller has sent the answers that it took before;
// their memory is used again.
func (k *intake) takeAnswers(sent []answer) []answer {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(sent)
	taken := k.answers
	k.answers, k.sending = sent[:0], len(taken) > 0
	for i := range taken {
		k.inFlight--
		k.bytes -= int64(taken[i].size)
	}
	return taken
}

// idle reports whether every event is answered and its answer sent.
func (k *intake) idle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.inFlight == 0 && !k.sending
}

// drain refuses further events. What was accepted goes on.
func (k *intake) drain() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.draining = true
}

// stop refuses further events with st, and hands back those that the dispatcher has not
// taken. The first status counts.
func (k *intake) stop(st *spb.Status) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refusal == nil {
		k.refusal = st
	}
	k.flush()
	k.signal()
}

// close ends the intake with its call: nobody is told anything any more. Events that
// were handed over go on.
func (k *intake) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refusal == nil {
		k.refusal = statusGivenUp
	}
	k.flush()
	k.closed, k.answers = true, nil
}

// flush hands back what is pending. Called with mu held.
func (k *intake) flush() {
	for _, it := range k.pending {
		k.handBack(it, k.refusal)
	}
	k.pending = nil
}

// stopped returns the status of stop; nil: it was not called.
func (k *intake) stopped() *spb.Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.refusal
}
