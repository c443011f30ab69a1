package async

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/connectors/kafka"

	"github.com/lsm/fiso/link/internal/proxy"
)

// A stored call is a CloudEvent in binary mode. Headers with the prefix http- hold the
// caller's header fields, in order and as they were spelt.
const (
	typeRequest = "fiso.link.request"
	typeReply   = "fiso.link.reply"

	extTarget = "fisotarget"
	extMethod = "fisomethod"
	extPath   = "fisopath" // path and query

	fieldPrefix   = "http-"
	contentType   = "content-type"
	idempotency   = "Idempotency-Key"
	maxIdentifier = 200
)

// request is a stored call and its progress.
type request struct {
	event        cloudevent.Event // ID, Data and Key of the call
	method, path string
	header       http1.Header

	answer *responseWriter // of the last try to make the call
	ended  time.Time       // time of the reply; zero: no reply yet
	reply  *kafka.Write    // reply under way; nil: none
}

func source(target string) string { return "fiso-link/" + target }

// encode returns the record that stores a call.
func encode(c *proxy.Call, id string, body, key []byte, now time.Time) kafka.Record {
	a, path := c.Target.Spec.Async, c.Path
	if c.HasQuery {
		path += "?" + c.Target.StorableQuery(c.Query)
	}
	h := withoutPreference(c.Forwarded())
	e := cloudevent.Event{
		ID: id, Source: source(c.Target.Spec.Name), Type: typeRequest, Time: now, DataContentType: typeOf(h),
		Extensions: []cloudevent.Extension{{Name: extTarget, Value: c.Target.Spec.Name}, {Name: extMethod, Value: c.Method}, {Name: extPath, Value: path}},
	}
	setTrace(&e, c)
	return kafka.Record{Topic: a.Topic, Key: key, Value: body, Headers: headers(&e, h), Time: now}
}

// typeOf returns the content type as an event attribute, or "" if it is malformed: the
// record would then be no valid CloudEvent. A malformed one is kept as an http- header
// only.
func typeOf(h http1.Header) string {
	if t := h.Get(contentType); cloudevent.ValidContentType(t) {
		return t
	}
	return ""
}

// setTrace adds the trace context of the call to an event (CloudEvents distributed
// tracing extension).
func setTrace(e *cloudevent.Event, c *proxy.Call) {
	parent, state := c.Trace()
	if parent == "" {
		return
	}
	e.SetExtension("traceparent", parent)
	if state != "" {
		e.SetExtension("tracestate", state)
	}
}

// headers returns the headers of a record: the attributes of the event, and HTTP fields
// with a prefix.
func headers(e *cloudevent.Event, fields http1.Header) []connector.Header {
	out := make([]connector.Header, 0, len(fields)+len(e.Extensions)+8)
	for name, value := range e.Attributes {
		out = append(out, connector.Header{Key: cloudevent.KafkaPrefix + name, Value: []byte(value)})
	}
	if e.DataContentType != "" {
		out = append(out, connector.Header{Key: contentType, Value: []byte(e.DataContentType)})
	}
	for _, f := range fields {
		out = append(out, connector.Header{Key: fieldPrefix + f.Name, Value: []byte(f.Value)})
	}
	return out
}

// withoutPreference removes respond-async and wait from Prefer: they are meant for
// fiso-link. A target that understands them would defer the call again.
func withoutPreference(h http1.Header) http1.Header {
	out := h[:0]
	for _, f := range h {
		if http1.Same(f.Name, "Prefer") {
			var kept []string
			for member := range strings.SplitSeq(f.Value, ",") {
				member = strings.Trim(member, " \t")
				name, _, _ := strings.Cut(member, ";")
				name, _, _ = strings.Cut(name, "=")
				if name = strings.TrimRight(name, " \t"); name != "" && !http1.Same(name, "respond-async") && !http1.Same(name, "wait") {
					kept = append(kept, member)
				}
			}
			if f.Value = strings.Join(kept, ", "); f.Value == "" {
				continue
			}
		}
		out = append(out, f)
	}
	return out
}

// token matches a method or a field name (RFC 9110, section 5.6.2).
var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// decode reads a stored call. Anybody with access may have written the record, and its
// parts go onto the wire, so decode checks all of them.
func decode(m *connector.Message, target string) (*request, error) {
	r := &request{}
	e := &r.event
	switch ok, err := cloudevent.FromHeaders(cloudevent.KafkaPrefix, pairs(m.Headers), e); {
	case err != nil:
		return nil, fmt.Errorf("the record is not a valid CloudEvent: %w", err)
	case !ok:
		return nil, errors.New("the record is not a CloudEvent in binary mode")
	}
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("the record is not a valid CloudEvent: %w", err)
	}
	if e.Type != typeRequest {
		return nil, fmt.Errorf("the event has type %.64q, expected %s", e.Type, typeRequest)
	}
	if to, _ := e.Extension(extTarget); to != target {
		return nil, fmt.Errorf("the event is for target %.64q, but this topic belongs to target %s", to, target)
	}
	e.Data, e.Key = cloudevent.Bytes(m.Value), m.Key
	r.method, _ = e.Extension(extMethod)
	r.path, _ = e.Extension(extPath)
	if !token.MatchString(r.method) {
		return nil, fmt.Errorf("%s is not a method", extMethod)
	}
	if !strings.HasPrefix(r.path, "/") || strings.ContainsFunc(r.path, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' }) {
		return nil, fmt.Errorf("%s is not a path", extPath)
	}
	for _, h := range m.Headers {
		name, ok := strings.CutPrefix(h.Key, fieldPrefix)
		if !ok {
			continue
		}
		if !token.MatchString(name) || bytes.ContainsFunc(h.Value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			return nil, fmt.Errorf("header %.64q is not a valid HTTP field", h.Key)
		}
		r.header.Add(name, string(h.Value))
	}
	return r, nil
}

func pairs(hs []connector.Header) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, h := range hs {
			if !yield(h.Key, h.Value) {
				return
			}
		}
	}
}

// call returns a new request for the proxy; each try needs its own.
func (r *request) call() *http1.Request {
	h := slices.Clone(r.header)
	if h.Get(idempotency) == "" { // an empty key counts as missing
		h.Set(idempotency, cloudevent.EncodeHeader(r.event.ID))
	}
	body := r.event.Data.Bytes()
	return &http1.Request{
		Method: r.method, Target: r.path, Header: h, Body: bytes.NewReader(body), Length: int64(len(body)),
		Interrupt: func() {}, Trailer: func() http1.Header { return nil },
	}
}
