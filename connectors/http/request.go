package http

import (
	"strconv"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

const (
	contentTypeEvent = cloudevent.ContentTypeJSON + "; charset=utf-8"
	contentTypeBatch = cloudevent.ContentTypeBatch + "; charset=utf-8"

	// keepBuffer is the largest buffer kept for the next request.
	keepBuffer = 1 << 20
)

// requestWriter is the buffer of one request, which is used again.
type requestWriter struct {
	buf  []byte
	done func() // gives it back
}

// headerGap is room for what stands between the name of Content-Length and the body.
const headerGap = "00000000000000000000\r\n\r\n"

// write writes a whole request, head and body, in one piece, so that one
// system call sends it. It is valid until the next. An error is an
// *cloudevent.EncodeError, of one of the events.
//
// The length of the body is known only once it is written. The head leaves
// room for it, and then moves up to it: it is short, where a body may be long.
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
		// The identity or the trace of one of several would be false.
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
	return b // of data without a type nothing is known
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

// headerSafe is a content type as it may stand in a header; the attribute is
// text from outside.
func headerSafe(s string) string {
	if validFieldValue(s) {
		return s
	}
	return cloudevent.EncodeHeader(s)
}
