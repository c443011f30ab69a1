package http

import (
	"strconv"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

const (
	contentTypeEvent = cloudevent.ContentTypeJSON + "; charset=utf-8"
	contentTypeBatch = cloudevent.ContentTypeBatch + "; charset=utf-8"

	// keepBuffer is the largest request buffer, in bytes, that is kept for reuse.
	keepBuffer = 1 << 20
)

// requestWriter is the buffer of one request. It is reused.
type requestWriter struct {
	buf     []byte
	release func() // returns it to the pool
}

// headerGap reserves space for the value of Content-Length and the end of the head.
const headerGap = "00000000000000000000\r\n\r\n"

// write writes a whole request, head and body, into one piece of memory, so that one
// system call sends it. The result is valid until the next write. An error is an
// *cloudevent.EncodeError of one of the events.
//
// The length of the body is known only once it is written. So the head leaves a gap for
// it and is then moved up to close the gap: the head is short, and the body may be
// long.
func (r *requestWriter) write(t *target, cred *credential, secret, mode string, headers []connector.Header, events []*cloudevent.Event) ([]byte, error) {
	b := append(r.buf[:0], t.line...)
	b = cred.appendQuery(b, secret, t.hasQuery)
	b = append(b, t.fixed...)
	b = cred.appendHeader(b, secret)
	for _, h := range headers {
		b = appendHeader(b, h.Key, string(h.Value))
	}
	b = appendContentType(b, mode, events[0])
	if len(events) == 1 {
		// A batch has no identity or trace of its own.
		b = appendIdentity(b, events[0])
	}
	if mode == ModeBinary {
		b = events[0].AppendHeaders(b)
	}
	b = append(b, "Content-Length: "...)
	head := len(b)
	b = append(b, headerGap...)
	body := len(b)
	var err error
	switch mode {
	case ModeBatch:
		b, err = cloudevent.AppendBatch(b, events)
	case ModeBinary:
		b = append(b, events[0].Data.Bytes()...)
	default:
		b, err = events[0].AppendJSON(b)
	}
	r.buf = b
	if err != nil {
		return nil, err
	}
	var room [len(headerGap)]byte
	end := append(strconv.AppendInt(room[:0], int64(len(b)-body), 10), "\r\n\r\n"...)
	start := len(headerGap) - len(end)
	copy(b[body-len(end):], end)
	copy(b[start:], b[:head])
	return b[start:], nil
}

func appendContentType(b []byte, mode string, e *cloudevent.Event) []byte {
	switch {
	case mode == ModeBatch:
		return append(b, "Content-Type: "+contentTypeBatch+"\r\n"...)
	case mode != ModeBinary:
		return append(b, "Content-Type: "+contentTypeEvent+"\r\n"...)
	case e.DataContentType != "":
		return appendHeader(b, "Content-Type", headerSafe(e.DataContentType))
	}
	return b // the event names no type
}

// appendIdentity adds the event's id and its trace. The values come from outside: the
// id is encoded like any attribute, and a trace that is not plain text is left out.
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

// headerSafe encodes a content type that cannot be sent in a header unchanged.
func headerSafe(s string) string {
	if validFieldValue(s) {
		return s
	}
	return cloudevent.EncodeHeader(s)
}
