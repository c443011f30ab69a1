package transform

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/lazyjson"
	"github.com/lsm/fiso/delivery/fault"
)

// maxSubject is the maximum length in bytes of a key that becomes the subject.
const maxSubject = 256

// incoming fills v with the event that a message is: the CloudEvent in it, or
// one with default attributes, whose id and subject are made later
// (makeIDAndSubject). It returns the payload.
func (p *Transformer) incoming(v *vars, m *connector.Message) ([]byte, error) {
	h := scanHeaders(m.Headers)
	e := &v.event
	v.headers, v.message = m.Headers, m
	mode, err := h.Mode()
	switch {
	case err != nil:
	case mode == cloudevent.Binary:
		_, err = cloudevent.FromHeaders(h.Prefix, pairs(m.Headers), e)
		e.Data = cloudevent.Bytes(m.Value)
	case mode == cloudevent.Structured:
		err = cloudevent.ParseJSON(m.Value, e)
	case mode == cloudevent.Batched:
		err = errBatch
	default:
		e.Source, e.Type, e.Time, e.Data = p.source, defaultType, m.Time, cloudevent.Bytes(m.Value)
		if cloudevent.ValidContentType(h.ContentType) {
			e.DataContentType = h.ContentType
		}
		v.plain, v.idPending = true, true
	}
	if err == nil && !v.idPending {
		err = e.Validate()
	}
	if err != nil {
		return nil, fault.New(fault.DecodeFailed, err)
	}
	addTrace(e, "traceparent", h.traceparent)
	addTrace(e, "tracestate", h.tracestate)
	if v.time = e.Time; v.time.IsZero() {
		v.time = m.Time
	}
	return e.Data.Bytes(), nil
}

var errBatch = errors.New("a batch of CloudEvents is not one event: only the http source splits batches")

// makeIDAndSubject sets id and subject of a message that is not a CloudEvent,
// if they are not set yet. Both share one text, which saves an allocation.
func (v *vars) makeIDAndSubject() {
	if !v.idPending {
		return
	}
	v.idPending = false
	m, names := v.message, v.idBuffer[:0]
	switch {
	case m.Position.Known():
		names = m.Position.Append(names)
	case m.ID != "":
		names = append(names, m.ID...)
	default:
		names = append(names, randomID()...)
	}
	id := len(names)
	if isText(m.Key) {
		names = append(names, m.Key...)
	}
	v.idBuffer = names
	both := v.keepText(names)
	v.event.ID, v.event.Subject = both[:id], both[id:]
}

const defaultType = "fiso.event"

// isText reports whether a key is readable text and short enough for a subject.
func isText(key []byte) bool {
	if len(key) == 0 || len(key) > maxSubject {
		return false
	}
	for i := 0; i < len(key); {
		if c := key[i]; c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(key[i:])
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
		i += n
	}
	return true
}

// randomID returns a random UUID (RFC 9562, version 4).
func randomID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // it never fails
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// eventHeaders are the headers that say what a message is.
type eventHeaders struct {
	cloudevent.ModeDetector
	traceparent, tracestate string
}

func scanHeaders(headers []connector.Header) (h eventHeaders) {
	for i := range headers {
		name := headers[i].Key
		if n := len(name); n < len("tracestate") || n > len("ce_specversion") {
			continue // the length excludes most headers
		}
		switch {
		case h.Add(name, headers[i].Value):
		case strings.EqualFold(name, "traceparent"):
			h.traceparent = validUTF8(headers[i].Value)
		case strings.EqualFold(name, "tracestate"):
			h.tracestate = validUTF8(headers[i].Value)
		}
	}
	return h
}

func validUTF8(b []byte) string { return strings.ToValidUTF8(string(b), "\ufffd") }

func pairs(headers []connector.Header) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i := range headers {
			if !yield(headers[i].Key, headers[i].Value) {
				return
			}
		}
	}
}

// addTrace sets an extension for tracing, unless the event has it.
func addTrace(e *cloudevent.Event, name, value string) {
	if value == "" {
		return
	}
	if _, ok := e.Extension(name); !ok {
		e.SetExtension(name, value)
	}
}

// declare sets the content type of a message that is not a CloudEvent and has
// no content type, from its data. A CloudEvent without one keeps none. doc is
// the data, if an expression has read it, so that it is not parsed again.
func declare(e *cloudevent.Event, doc *lazyjson.Doc) {
	payload := e.Data.Bytes()
	if len(payload) == 0 {
		return
	}
	isJSON := doc.Root().Kind() != lazyjson.Absent
	if !isJSON {
		if data, err := cloudevent.JSON(payload); err == nil {
			e.Data, isJSON = data, true
		}
	}
	switch {
	case isJSON:
		e.DataContentType = "application/json"
	case utf8.Valid(payload):
		e.DataContentType = "text/plain; charset=utf-8"
	default:
		e.DataContentType = "application/octet-stream"
	}
}
