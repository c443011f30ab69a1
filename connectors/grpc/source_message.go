package grpc

import (
	"slices"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/metadata"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// What an event and each of its headers take of the budget beside their bytes: about
// the memory of the Go values.
const (
	eventOverhead  = 512
	headerOverhead = 96
)

// itemOf converts an event to a message, or returns why it is refused for good.
func (s *Source) itemOf(in *received, trace traceContext) (*item, *spb.Status) {
	if in.tooLarge {
		return nil, statusTooLarge(in.size, int(s.cfg.MaxEventBytes))
	}
	if in.broken != nil {
		return nil, statusInvalid(nil, in.broken)
	}
	e, err := eventOf(in.event)
	if err == nil {
		err = e.Validate()
	}
	if err != nil {
		return nil, statusInvalid(e, err)
	}
	it := &item{seq: in.seq, size: in.size}
	fillMessage(&it.Message, e, in.key)
	it.Headers = append(it.Headers, trace.headers(e)...)
	it.Position = connector.Position{Stream: s.name}
	it.buffered = int64(in.size) + eventOverhead + headerOverhead*int64(len(it.Headers))
	if it.Key != nil {
		it.keyed, it.keyHash, it.event = true, s.digester.key(it.Key), s.digester.event(e)
	}
	it.Bind(it)
	return it, nil
}

// fillMessage writes an event as a message in the binary mode of the Kafka binding,
// whose values need no encoding. A key of the protocol wins over the extension
// partitionkey.
func fillMessage(m *connector.Message, e *cloudevent.Event, key []byte) {
	m.ID, m.Time, m.Key = e.ID, e.Time, key
	if m.Time.IsZero() {
		m.Time = time.Now()
	}
	if partition, ok := e.Extension("partitionkey"); ok && key == nil {
		m.Key = []byte(partition)
	}
	if m.Value = e.Data.Bytes(); m.Value == nil {
		m.Value = []byte{} // nil would be a tombstone
	}
	m.Headers = make([]connector.Header, 0, 8+len(e.Extensions))
	size := len(e.DataContentType)
	for _, value := range e.Attributes {
		size += len(value)
	}
	values := make([]byte, 0, size) // of all headers, in one piece of memory
	add := func(name, value string) {
		start := len(values)
		values = append(values, value...)
		m.Headers = append(m.Headers, connector.Header{Key: name, Value: values[start:len(values):len(values)]})
	}
	for name, value := range e.Attributes {
		add(headerName(name), value)
	}
	if e.DataContentType != "" {
		add("content-type", e.DataContentType)
	}
}

// coreHeaders are the names of headers that most events have, made once.
var coreHeaders = func() map[string]string {
	names := map[string]string{}
	for _, name := range []string{"specversion", "id", "source", "type", "subject", "dataschema", "time", "traceparent", "tracestate"} {
		names[name] = cloudevent.KafkaPrefix + name
	}
	return names
}()

func headerName(attribute string) string {
	if name, ok := coreHeaders[attribute]; ok {
		return name
	}
	return cloudevent.KafkaPrefix + attribute
}

// traceNames are the attributes of the extension for distributed tracing.
var traceNames = [...]string{"traceparent", "tracestate"}

// traceContext is the trace of a call, for events that have none of their own.
type traceContext []connector.Header

// traceOf reads the trace of a Publish. A tracestate without its traceparent means
// nothing.
func traceOf(md metadata.MD) traceContext {
	var t traceContext
	for _, name := range traceNames {
		values := md.Get(name)
		if len(values) != 1 || values[0] == "" {
			break
		}
		t = append(t, connector.Header{Key: cloudevent.KafkaPrefix + name, Value: []byte(values[0])})
	}
	return t
}

// headers returns the headers to add to the message of e.
func (t traceContext) headers(e *cloudevent.Event) []connector.Header {
	hasOwn := slices.ContainsFunc(traceNames[:], func(name string) bool { _, ok := e.Extension(name); return ok })
	if hasOwn {
		return nil
	}
	return t
}
