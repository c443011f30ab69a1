package grpc

import (
	"hash/maphash"

	"google.golang.org/grpc/codes"

	"github.com/lsm/fiso/common/cloudevent"
)

// digest stands for a key, or for the source and id of an event, in constant size.
type digest [2]uint64

// digester makes digests. Two seeds make a collision, which would only delay a key,
// too rare to matter.
type digester [2]maphash.Seed

func newDigester() digester { return digester{maphash.MakeSeed(), maphash.MakeSeed()} }

func (d digester) key(key []byte) digest {
	return digest{maphash.Bytes(d[0], key), maphash.Bytes(d[1], key)}
}

// event digests source and id. The length between them keeps ("a", "bc") and ("ab",
// "c") apart.
func (d digester) event(e *cloudevent.Event) digest {
	var out digest
	for i, seed := range d {
		out[i] = maphash.Comparable(seed, [2]string{e.Source, e.ID})
	}
	return out
}

// keyState is what is known about a key on one stream while the key has events in flight or
// is fenced.
type keyState struct {
	inFlight int        // accepted and not settled
	code     codes.Code // of the answer that fenced the key; OK: it is not fenced
	first    digest     // the earliest event that was handed back or refused
	position uint64     // of that event in the stream
}

// keyStates are the states of the keys of one stream.
type keyStates struct {
	of        map[digest]*keyState
	fenced    int
	maxFenced int
}

func (l *keyStates) get(key digest) *keyState {
	x := l.of[key]
	if x == nil {
		x = new(keyState)
		l.of[key] = x
	}
	return x
}

// passes reports whether key takes an event, and opens the fence if it is
// the event that the fence waits for. Otherwise it returns the code of the refusal.
func (l *keyStates) passes(key, event digest) (codes.Code, bool) {
	x := l.of[key]
	if x == nil || x.code == codes.OK {
		return codes.OK, true
	}
	// While another event is in flight it may still come back, and may be earlier than
	// the one that the fence knows.
	if x.first != event || x.inFlight > 0 {
		return x.code, false
	}
	x.code = codes.OK
	l.fenced--
	l.drop(key, x)
	return codes.OK, true
}

// fence makes the key refuse later events until the event comes again.
func (l *keyStates) fence(key, event digest, position uint64, code codes.Code) {
	x := l.get(key)
	if x.code == codes.OK {
		x.code, x.first, x.position = code, event, position
		l.fenced++
	} else if position < x.position {
		x.first, x.position = event, position
	}
}

// tooMany reports whether there are more fences than the limit.
func (l *keyStates) tooMany() bool { return l.fenced > l.maxFenced }

// fencedCode returns the code of the fence that an accepted event is behind; OK: it is
// behind none. A fence for a later event, which was refused, is not one.
func (l *keyStates) fencedCode(key digest, position uint64) codes.Code {
	if x := l.of[key]; x != nil && position > x.position {
		return x.code
	}
	return codes.OK
}

// enter counts an accepted event in.
func (l *keyStates) enter(key digest) { l.get(key).inFlight++ }

// leave counts an event out that is settled.
func (l *keyStates) leave(key digest) {
	x := l.of[key]
	x.inFlight--
	l.drop(key, x)
}

// drop forgets a key that has nothing to remember.
func (l *keyStates) drop(key digest, x *keyState) {
	if x.inFlight == 0 && x.code == codes.OK {
		delete(l.of, key)
	}
}
