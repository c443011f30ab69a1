package http

import (
	"strconv"

	"github.com/lsm/fiso/common/cloudevent"
)

const (
	contentTypeEvent = cloudevent.ContentTypeJSON + "; charset=utf-8"
	contentTypeBatch = cloudevent.ContentTypeBatch + "; charset=utf-8"
	contentTypeJSON  = "application/json"

	// oneWrite is the largest body that is copied behind its head, to save a
	// system call.
	oneWrite = 32 << 10
	// keepBuffer is the largest buffer kept for the next call.
	keepBuffer = 1 << 20
)

// call holds the buffers of one request. It is reused, so its slices are valid
// until the call is over.
type call struct {
	head, body []byte
	one        [1]*cloudevent.Event
	secret     string // as sent, to keep it out of errors
}

// encode writes the body of the request. It returns the content type; "" means
// none.
func (c *call) encode(mode string, events []*cloudevent.Event) string {
	switch {
	case mode == ModeBatch:
		c.body = cloudevent.AppendBatch(c.body[:0], events)
		return contentTypeBatch
	case mode == ModeBinary:
		e := events[0]
		c.body = append(c.body[:0], e.Data...)
		if e.DataContentType == "" && e.Data != nil {
			return contentTypeJSON // what an absent one means
		}
		return e.DataContentType
	default:
		c.body = events[0].AppendJSON(c.body[:0])
		return contentTypeEvent
	}
}

// writeHead writes the request line and all headers. Event is nil for a batch
// of several: an identity or a trace of one of them would be false.
func (c *call) writeHead(t *target, cred *credential, mode, contentType string, event *cloudevent.Event) {
	b := append(c.head[:0], t.line...)
	b = cred.appendQuery(b, c.secret, t.hasQuery)
	b = append(b, t.fixed...)
	b = cred.appendHeader(b, c.secret)
	if contentType != "" {
		b = appendHeader(b, "Content-Type", headerSafe(contentType))
	}
	if event != nil {
		b = appendIdentity(b, event)
		if mode == ModeBinary {
			b = appendAttributes(b, event)
		}
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(c.body)), 10)
	c.head = append(b, "\r\n\r\n"...)
}

// appendIdentity adds the event's id and its trace. Values come from outside:
// an id is encoded like any attribute, and a trace that is no plain text is
// none.
func appendIdentity(b []byte, e *cloudevent.Event) []byte {
	if e.ID != "" {
		b = appendHeader(b, "Idempotency-Key", cloudevent.EncodeHeader(e.ID))
	}
	for i := range e.Extensions {
		ext := &e.Extensions[i]
		if (ext.Name == "traceparent" || ext.Name == "tracestate") && ext.Value != "" && validFieldValue(ext.Value) {
			b = appendHeader(b, ext.Name, ext.Value)
		}
	}
	return b
}

func appendAttributes(b []byte, e *cloudevent.Event) []byte {
	for name, value := range e.Attributes {
		b = append(b, cloudevent.HTTPPrefix...)
		b = appendHeader(b, name, cloudevent.EncodeHeader(value))
	}
	return b
}

// headerSafe is a content type as it may stand in a header; the attribute is
// text from outside.
func headerSafe(s string) string {
	if validFieldValue(s) {
		return s
	}
	return cloudevent.EncodeHeader(s)
}
