package transform

import (
	"bytes"
	"unsafe"

	"github.com/lsm/fiso/common/cloudevent"
)

// eventMemory allocates outgoing events in blocks. An event lives until it is
// settled, long after Transform has returned, so its memory cannot be reused; a
// block is collected when all events in it are gone. An event that lives long
// keeps its blocks alive: up to eventBlock events of maxShared bytes each, and
// textBlock bytes. So nothing larger than maxShared shares a block.
type eventMemory struct {
	events []cloudevent.Event // unused events
	texts  []byte             // ids, subjects and data; the capacity beyond its length is unused
}

const (
	eventBlock = 16
	textBlock  = 8 << 10
	maxShared  = 2 << 10
)

// keepEvent copies e to memory of its own. holds is how many bytes it keeps
// alive beside its attributes.
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

// keep copies bytes to memory that is not changed any more.
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

// view returns bytes as a text without a copy. It is valid as long as the bytes
// do not change.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
