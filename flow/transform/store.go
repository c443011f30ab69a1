package transform

import (
	"bytes"
	"unsafe"

	"github.com/lsm/fiso/common/cloudevent"
)

// eventMemory is where outgoing events are put. An event lives until it is settled,
// long after Process is over, so its memory cannot be used again; but it can be
// asked for in blocks, which the collector takes back when all in them are
// gone. An event that stays for long keeps what shares its blocks: at most
// eventBlock events that hold maxShared bytes each, and textBlock bytes. That
// is why what is large never shares.
type eventMemory struct {
	events []cloudevent.Event // empty ones
	texts  []byte             // ids, subjects and data, up to its length
}

const (
	eventBlock = 16
	textBlock  = 8 << 10
	maxShared  = 2 << 10
)

// keepEvent is e where nobody else changes it. Beside its attributes it holds on to
// so many bytes.
func (s *eventMemory) keepEvent(e *cloudevent.Event, holds int) *cloudevent.Event {
	holds += len(e.ID) + len(e.Source) + len(e.Type) + len(e.Subject) + len(e.DataContentType) + len(e.DataSchema)
	if holds > maxShared || len(e.Extensions) > 0 {
		own := *e
		return &own
	}
	if len(s.events) == 0 {
		s.events = make([]cloudevent.Event, eventBlock)
	}
	kept := &s.events[0]
	s.events = s.events[1:]
	*kept = *e
	return kept
}

// keep copies bytes to where nobody changes them any more.
func (s *eventMemory) keep(b []byte) []byte {
	if len(b) > maxShared {
		return bytes.Clone(b)
	}
	if len(b) > cap(s.texts)-len(s.texts) {
		s.texts = make([]byte, 0, textBlock)
	}
	from := len(s.texts)
	s.texts = append(s.texts, b...)
	return s.texts[from:len(s.texts):len(s.texts)]
}

// keepText is keep for a text.
func (s *eventMemory) keepText(b []byte) string { return view(s.keep(b)) }

// view is bytes as a text without a copy, valid as long as nobody changes them.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
