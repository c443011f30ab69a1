package kafka

import (
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/twmb/franz-go/pkg/kgo"
)

// load puts events into f as records of a mode. It copies all that the caller may
// change after Send returns, since a record may still be in flight. The error is the
// *cloudevent.EncodeError of one event, and f must not be used after it.
func (f *produceCall) load(mode string, events ...*cloudevent.Event) (err error) {
	size, headers := 0, 0
	for _, e := range events {
		size += roomFor(e)
		headers += maxHeaders + len(e.Extensions)
	}
	f.bytes = make([]byte, 0, size)
	f.headers = make([]kgo.RecordHeader, 0, headers)
	for i, e := range events {
		r := &f.records[i].record
		if e.Key != nil {
			r.Key = f.copy(e.Key)
		}
		from := len(f.headers)
		if mode == ModeStructured {
			at := len(f.bytes)
			if f.bytes, err = f.counted(e).AppendJSON(f.bytes); err != nil {
				return err
			}
			r.Value = f.since(at)
			f.header("content-type", structuredType)
		} else {
			if data := e.Data.Bytes(); data != nil {
				r.Value = f.copy(data)
			}
			f.attributes(e)
		}
		// For consumers that read W3C trace context and no CloudEvents.
		for _, name := range [...]string{"traceparent", "tracestate"} {
			if v, ok := e.Extension(name); ok {
				f.header(name, f.text(v))
			}
		}
		r.Headers = f.headers[from:len(f.headers):len(f.headers)]
	}
	return nil
}

// attributes adds the headers of binary mode: the same, in the same order, as
// e.Attributes yields, without allocating strings.
func (f *produceCall) attributes(e *cloudevent.Event) {
	f.header(cloudevent.KafkaPrefix+"specversion", specVersion)
	f.optional(cloudevent.KafkaPrefix+"id", e.ID)
	f.optional(cloudevent.KafkaPrefix+"source", e.Source)
	f.optional(cloudevent.KafkaPrefix+"type", e.Type)
	f.optional(cloudevent.KafkaPrefix+"subject", e.Subject)
	f.optional(cloudevent.KafkaPrefix+"dataschema", e.DataSchema)
	if !e.Time.IsZero() {
		at := len(f.bytes)
		f.bytes = e.Time.UTC().AppendFormat(f.bytes, time.RFC3339Nano)
		f.header(cloudevent.KafkaPrefix+"time", f.since(at))
	}
	for i := range e.Extensions {
		if f.maxHops > 0 && e.Extensions[i].Name == HopsExtension {
			continue
		}
		f.header(extensionHeader(e.Extensions[i].Name), f.text(e.Extensions[i].Value))
	}
	f.hop(e)
	switch e.DataContentType {
	case "":
	case "application/json":
		f.header("content-type", jsonType)
	default:
		f.header("content-type", f.text(e.DataContentType))
	}
}

// extensionHeader returns the header name of an extension. The names that every traced
// event has are not built each time.
func extensionHeader(name string) string {
	switch name {
	case "traceparent":
		return cloudevent.KafkaPrefix + "traceparent"
	case "tracestate":
		return cloudevent.KafkaPrefix + "tracestate"
	}
	return cloudevent.KafkaPrefix + name
}

func (f *produceCall) optional(name, value string) {
	if value != "" {
		f.header(name, f.text(value))
	}
}

func (f *produceCall) header(name string, value []byte) {
	f.headers = append(f.headers, kgo.RecordHeader{Key: name, Value: value})
}

func (f *produceCall) copy(b []byte) []byte {
	at := len(f.bytes)
	f.bytes = append(f.bytes, b...)
	return f.since(at)
}

func (f *produceCall) text(s string) []byte {
	at := len(f.bytes)
	f.bytes = append(f.bytes, s...)
	return f.since(at)
}

// since returns what was appended since at. If bytes was reallocated meanwhile, earlier
// parts keep their old array.
func (f *produceCall) since(at int) []byte { return f.bytes[at:len(f.bytes):len(f.bytes)] }

// Header values that records share. They must not be modified.
var (
	specVersion    = []byte(cloudevent.SpecVersion)
	jsonType       = []byte("application/json")
	structuredType = []byte(cloudevent.ContentTypeJSON + "; charset=UTF-8")
)

// maxHeaders is the most headers that an event has besides its extensions: attributes,
// content type, trace context and hops.
const maxHeaders = 11

// roomFor returns about how many bytes e takes in either mode. Escaped data takes more.
func roomFor(e *cloudevent.Event) int {
	const names, timestamp = 160, len("2006-01-02T15:04:05.999999999Z")
	n := names + timestamp + len(e.Key) + e.Data.Len() + len(e.ID) + len(e.Source) + len(e.Type) + len(e.Subject) + len(e.DataSchema) + len(e.DataContentType)
	for i := range e.Extensions {
		n += len(e.Extensions[i].Name) + 2*len(e.Extensions[i].Value) + len(`,"":""`)
	}
	return n
}

// load puts r into f as its only record.
func (r *Record) load(f *produceCall) {
	out := &f.records[0].record
	out.Key, out.Value, out.Timestamp = r.Key, r.Value, r.Time
	if len(r.Headers) > 0 {
		out.Headers = make([]kgo.RecordHeader, len(r.Headers))
		for i, h := range r.Headers {
			out.Headers[i] = kgo.RecordHeader(h)
		}
	}
}

// sizeOf returns an upper bound of the record's uncompressed size, in a batch of its
// own.
func sizeOf(r *kgo.Record) int64 {
	const batch, perRecord, perHeader = 61, 30, 10
	n := batch + perRecord + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += perHeader + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return int64(n)
}

// timeOf returns the time of a record. It is zero if the record has none, which Kafka
// writes as -1, or one that RFC 3339 cannot express.
func timeOf(r *kgo.Record) time.Time {
	const none, year0, year10000 = -1, -62167219200000, 253402300800000
	if ms := r.Timestamp.UnixMilli(); ms == none || ms < year0 || ms >= year10000 {
		return time.Time{}
	}
	return r.Timestamp
}
