package connector

import (
	"sync/atomic"
	"time"
)

// Message is what a source hands over: the bytes as they came, their position, and
// Settle. The bytes belong to the message: they may be read also after it is
// settled, and must not be changed.
type Message struct {
	Key     []byte // nil when the source has none; empty is a key
	Value   []byte // nil is a Kafka tombstone
	Headers []Header
	Time    time.Time // when it was made, according to the source
	// Position is where the message is in its source.
	Position Position
	// ID identifies the message where Position does not. It stays the same when the
	// sender sends the message again. It is "" when there is none.
	ID string
	// Outcome says how the message ended. A handler that knows sets it before it settles
	// the message with nil; the settler may read it.
	Outcome Outcome

	settler Settler
	settled atomic.Bool
}

// Header is one header of a message. Names may repeat; their order is kept.
type Header struct {
	Key   string
	Value []byte
}

// Header returns the value of the first header of that name, and whether there is
// one. Names are compared byte for byte.
func (m *Message) Header(name string) ([]byte, bool) {
	for i := range m.Headers {
		if m.Headers[i].Key == name {
			return m.Headers[i].Value, true
		}
	}
	return nil, false
}

// Settler is the part of a source that receives the results of messages. It is a
// method of the source's own type, so that a message needs no closure.
type Settler interface {
	// Settled is called exactly once for each message, from any goroutine. It must
	// not block.
	Settled(m *Message, err error)
}

// BatchSettler is a Settler that can receive many results in one call, so that it
// takes its lock once.
type BatchSettler interface {
	Settler
	// SettledBatch is Settled for several messages of one source. It is called on the
	// settler of the first one. The messages may belong to different assignments. The
	// settler must not keep the slice.
	SettledBatch(ms []*Message, err error)
}

// Bind sets the Settler of m. A source calls it once, before it hands m over.
func (m *Message) Bind(s Settler) { m.settler = s }

// Settle ends the message. nil means done: delivered, filtered, or stored as a
// dead letter. An error means not done: the source decides what follows. Settle is
// safe for concurrent use. The first call counts and returns true; later calls
// change nothing and return false.
func (m *Message) Settle(err error) bool {
	if !m.settled.CompareAndSwap(false, true) {
		return false
	}
	if m.settler != nil {
		m.settler.Settled(m, err)
	}
	return true
}

// Settler returns the Settler that was bound, for sources that keep state in it.
func (m *Message) Settler() Settler { return m.settler }

// SettleAll is Settle for several messages of one source. It skips messages that
// are already settled.
func SettleAll(ms []*Message, err error) {
	first := 0 // index of the first message whose settler is not called yet
	for i, m := range ms {
		if !m.settled.CompareAndSwap(false, true) {
			notifySettler(ms[first:i], err)
			first = i + 1
		}
	}
	notifySettler(ms[first:], err)
}

// notifySettler calls the settlers of ms.
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
