package http

import (
	"fmt"
	"maps"
	nethttp "net/http"
	"slices"
	"strings"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// decodedEvent is one event of a request, checked but not yet handed over.
type decodedEvent struct {
	id    string // of the CloudEvent, or the Idempotency-Key; "": none
	key   []byte // the extension partitionkey; nil: none
	value []byte
	time  time.Time
}

// decoder decodes the requests of one source.
type decoder struct {
	maxEvents int
	secret    string // the header that carries the signature, in lower case; not handed over
}

// decoded is the content of a request.
type decoded struct {
	events  []decodedEvent
	headers []connector.Header // of every message; shared and read-only
	batch   bool
}

// decode detects the mode of a request and checks the envelope. It does not check the
// data, which is up to the flow: plain JSON is not parsed, and a plain JSON array is
// one message.
func (d *decoder) decode(h nethttp.Header, body []byte) (*decoded, *problem) {
	mode, err := modeOf(h)
	if err != nil {
		return nil, unsupported(err.Error())
	}
	switch mode {
	case cloudevent.Structured:
		e, p := parseEvent(body, "the event")
		if p != nil {
			return nil, p
		}
		return &decoded{events: []decodedEvent{e}, headers: d.headers(h, "")}, nil
	case cloudevent.Batched:
		return d.batch(h, body)
	case cloudevent.Binary:
		return d.binary(h, body)
	}
	if h.Get("Ce-Id") != "" {
		return nil, badEvent("the event: the header ce-specversion is missing; CloudEvents requires it")
	}
	return &decoded{
		events:  []decodedEvent{{id: idempotencyKey(h), value: body, time: time.Now()}},
		headers: d.headers(h, ""),
	}, nil
}

func modeOf(h nethttp.Header) (cloudevent.Mode, error) {
	var detector cloudevent.ModeDetector
	for _, name := range [...]string{"Content-Type", "Ce-Specversion"} {
		for _, value := range h[name] {
			detector.Add(name, []byte(value))
		}
	}
	return detector.Mode()
}

func (d *decoder) binary(h nethttp.Header, body []byte) (*decoded, *problem) {
	var e cloudevent.Event
	_, err := cloudevent.FromHeaders(cloudevent.HTTPPrefix, func(yield func(string, []byte) bool) {
		for _, name := range slices.Sorted(maps.Keys(h)) {
			for _, value := range h[name] {
				if !yield(name, []byte(value)) {
					return
				}
			}
		}
	}, &e)
	if err == nil {
		err = e.Validate()
	}
	if err != nil {
		return nil, badEvent("the event: " + err.Error())
	}
	return &decoded{events: []decodedEvent{identify(&e, body)}, headers: d.headers(h, "")}, nil
}

func (d *decoder) batch(h nethttp.Header, body []byte) (*decoded, *problem) {
	parts, err := cloudevent.SplitBatch(body)
	if err != nil {
		return nil, badEvent(err.Error())
	}
	if len(parts) > d.maxEvents {
		detail := fmt.Sprintf("the batch has %d events; at most %d are taken", len(parts), d.maxEvents)
		return nil, &problem{status: 413, code: codeTooLarge, detail: detail}
	}
	out := &decoded{
		events:  make([]decodedEvent, len(parts)),
		headers: d.headers(h, cloudevent.ContentTypeJSON),
		batch:   true,
	}
	for i, part := range parts {
		var p *problem
		if out.events[i], p = parseEvent(part, fmt.Sprintf("event %d of %d", i+1, len(parts))); p != nil {
			return nil, p
		}
	}
	return out, nil
}

func parseEvent(body []byte, what string) (decodedEvent, *problem) {
	var e cloudevent.Event
	err := cloudevent.ParseJSON(body, &e)
	if err == nil {
		err = e.Validate()
	}
	if err != nil {
		return decodedEvent{}, badEvent(what + ": " + err.Error())
	}
	return identify(&e, body), nil
}

func identify(e *cloudevent.Event, value []byte) decodedEvent {
	in := decodedEvent{id: e.ID, value: value, time: e.Time}
	if in.time.IsZero() {
		in.time = time.Now()
	}
	if key, ok := e.Extension("partitionkey"); ok {
		in.key = []byte(key)
	}
	return in
}

// idempotencyKey returns the Idempotency-Key of a request without quotes, which belong
// to the header's syntax.
func idempotencyKey(h nethttp.Header) string {
	key := h.Get("Idempotency-Key")
	if n := len(key); n > 2 && key[0] == '"' && key[n-1] == '"' {
		return key[1 : n-1]
	}
	return key
}

// notForwarded are headers with credentials, and headers that concern one hop or the
// whole request.
var notForwarded = []string{
	"authorization", "connection", "content-length", "cookie", "expect", "keep-alive", "te", "trailer",
	"transfer-encoding", "upgrade",
}

// headers returns the request's headers, names in lower case and sorted, values
// unchanged. contentType, if not empty, replaces the request's own.
func (d *decoder) headers(h nethttp.Header, contentType string) []connector.Header {
	out := make([]connector.Header, 0, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		lower := strings.ToLower(name)
		if lower == d.secret || slices.Contains(notForwarded, lower) || strings.HasPrefix(lower, "proxy-") {
			continue
		}
		if contentType != "" && (lower == "content-type" || lower == "idempotency-key" || strings.HasPrefix(lower, cloudevent.HTTPPrefix)) {
			continue // it describes the batch, not its events
		}
		for _, value := range h[name] {
			out = append(out, connector.Header{Key: lower, Value: []byte(value)})
		}
	}
	if contentType != "" {
		out = append(out, connector.Header{Key: "content-type", Value: []byte(contentType)})
	}
	return out
}

func badEvent(detail string) *problem {
	return &problem{status: 400, code: codeBadEvent, detail: detail}
}

func unsupported(detail string) *problem {
	return &problem{status: 415, code: codeContentType, detail: detail}
}
