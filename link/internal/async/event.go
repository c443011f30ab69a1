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
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/proxy"
)

// What a stored call looks like: a CloudEvent in binary mode, and the caller's
// header beside its attributes, in order and as it was spelt.
const (
	typeRequest = "fiso.link.request"
	typeReply   = "fiso.link.reply"

	extTarget = "fisotarget"
	extMethod = "fisomethod"
	extPath   = "fisopath" // and query

	fieldPrefix   = "http-"
	contentType   = "content-type"
	idempotency   = "Idempotency-Key"
	maxIdentifier = 200
)

// request is a call that is to be made, and what has become of it.
type request struct {
	event        cloudevent.Event // its ID, Data and Key are those of the call
	method, path string
	header       call.Header

	answer *responseWriter // of the last try
	ended  time.Time       // when its reply was made; zero: not yet
	reply  *kafka.Write    // under way; nil: none
}

func source(target string) string { return "fiso-link/" + target }

// encode is a call as a record.
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
	trace(&e, c)
	return kafka.Record{Topic: a.Topic, Key: key, Value: body, Headers: headers(&e, h), Time: now}
}

// typeOf is the content type as an attribute. One that is no content type, as
// HTTP carries them too, stays among the fields alone: a record with it would be
// no CloudEvent.
func typeOf(h call.Header) string {
	if t := h.Get(contentType); cloudevent.ValidContentType(t) {
		return t
	}
	return ""
}

// trace gives an event the trace of the call, by the CloudEvents extension.
func trace(e *cloudevent.Event, c *proxy.Call) {
	parent, state := c.Trace()
	if parent == "" {
		return
	}
	e.SetExtension("traceparent", parent)
	if state != "" {
		e.SetExtension("tracestate", state)
	}
}

// headers are those of a record: the event's attributes, and fields of HTTP.
func headers(e *cloudevent.Event, fields call.Header) []connector.Header {
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

// withoutPreference takes off what the application asked of us, and not of the
// target: a target that understands it too would put the call off once more.
func withoutPreference(h call.Header) call.Header {
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

// token is a method, or a field's name (RFC 9110, section 5.6.2).
var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// decode reads a record back. What stands in a topic may have been put there by
// anybody, and goes onto a wire: nothing is believed.
func decode(m *connector.Message, target string) (*request, error) {
	r := &request{}
	e := &r.event
	switch ok, err := cloudevent.FromHeaders(cloudevent.KafkaPrefix, pairs(m.Headers), e); {
	case err != nil:
		return nil, fmt.Errorf("the record is no valid CloudEvent: %w", err)
	case !ok:
		return nil, errors.New("the record is no CloudEvent in binary mode")
	}
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("the record is no valid CloudEvent: %w", err)
	}
	if e.Type != typeRequest {
		return nil, fmt.Errorf("the event is of type %.64q, and no %s", e.Type, typeRequest)
	}
	if to, _ := e.Extension(extTarget); to != target {
		return nil, fmt.Errorf("the event is for the target %.64q, and this topic belongs to %s", to, target)
	}
	e.Data, e.Key = cloudevent.Bytes(m.Value), m.Key
	r.method, _ = e.Extension(extMethod)
	r.path, _ = e.Extension(extPath)
	if !token.MatchString(r.method) {
		return nil, fmt.Errorf("%s is no method", extMethod)
	}
	if !strings.HasPrefix(r.path, "/") || strings.ContainsFunc(r.path, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' }) {
		return nil, fmt.Errorf("%s is no path", extPath)
	}
	for _, h := range m.Headers {
		name, ok := strings.CutPrefix(h.Key, fieldPrefix)
		if !ok {
			continue
		}
		if !token.MatchString(name) || bytes.ContainsFunc(h.Value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			return nil, fmt.Errorf("%.64q is no field of a header", h.Key)
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

// call is the request as the proxy takes it, anew for each time it is made.
func (r *request) call() *call.Request {
	h := slices.Clone(r.header)
	if h.Get(idempotency) == "" { // an empty one is none
		h.Set(idempotency, cloudevent.EncodeHeader(r.event.ID))
	}
	body := r.event.Data.Bytes()
	return &call.Request{
		Method: r.method, Target: r.path, Header: h, Body: bytes.NewReader(body), Length: int64(len(body)),
		Interrupt: func() {}, Trailer: func() call.Header { return nil },
	}
}
