package connector

import (
	"sync/atomic"
	"time"
)

// Message is what a source hands over: the bytes as they came, where they
// stood, and one method that ends it. The bytes belong to the message and may
// be read until it is settled and after; nobody may change them.
type Message struct {
	Key     []byte // nil when the source has none; empty is a key
	Value   []byte // nil is a Kafka tombstone
	Headers []Header
	Time    time.Time // when the source says it was made
	// Position is where the message stood.
	Position Position
	// ID identifies the message where Position does not: an id that is the
	// same when its sender sends it again, or "" when there is none.
	ID string

	settler Settler
	settled atomic.Bool
}

// Header is one header of a message. Names may repeat, and keep their order.
type Header struct {
	Key   string
	Value []byte
}

// Header returns the first header of that name, and whether there is one.
// Names are compared byte for byte.
func (m *Message) Header(name string) ([]byte, bool) {
	for i := range m.Headers {
		if m.Headers[i].Key == name {
			return m.Headers[i].Value, true
		}
	}
	return nil, false
}

// Settler is the side of a source that hears how a message ended. It is one
// method on the source's own type, so that a message costs no closure.
type Settler interface {
	// Settled is called exactly once a message, from any goroutine. It does
	// not block.
	Settled(m *Message, err error)
}

// BatchSettler is a Settler that can hear of many messages at once, which
// spares it a lock for each.
type BatchSettler interface {
	Settler
	// SettledBatch is Settled for several messages of one source, and called on
	// the settler of the first. They may be of different assignments; the slice
	// is the caller's.
	SettledBatch(ms []*Message, err error)
}

// Bind names who hears of m's end. A source calls it once, before it hands
// the message over.
func (m *Message) Bind(s Settler) { m.settler = s }

// Settle ends the message: nil means done with (delivered, filtered, or stored
// in the dead letter queue), an error means not done, and what follows belongs
// to the source. It is safe for concurrent use. The first call counts and
// returns true; any other changes nothing and returns false.
func (m *Message) Settle(err error) bool {
	if !m.settled.CompareAndSwap(false, true) {
		return false
	}
	if m.settler != nil {
		m.settler.Settled(m, err)
	}
	return true
}

// Settler is who was bound, so that a source finds its own part of a message.
func (m *Message) Settler() Settler { return m.settler }

// SettleAll is Settle for several messages of one source. Those that were
// settled before stay as they are.
func SettleAll(ms []*Message, err error) {
	first := 0 // of those that are settled here and not told yet
	for i, m := range ms {
		if !m.settled.CompareAndSwap(false, true) {
			notifySettler(ms[first:i], err)
			first = i + 1
		}
	}
	notifySettler(ms[first:], err)
}

// notifySettler lets the source hear of messages.
func notifySettler(ms []*Message, err error) {
	if len(ms) > 1 {
		if s, ok := ms[0].settler.(BatchSettler); ok {
			s.SettledBatch(ms, err)
			return
		}
	}
	for _, m := range ms {
		if m.settler != nil {
			m.settler.Settled(m, err)
		}
	}
}

// IsSettled reports whether Settle was called.
func (m *Message) IsSettled() bool { return m.settled.Load() }
