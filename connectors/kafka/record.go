package kafka

import (
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/twmb/franz-go/pkg/kgo"
)

// load puts events into f as records of a mode. What can change after Send has
// returned is copied, since a record may be under way still. An error is an
// *cloudevent.EncodeError, of one of the events, and leaves f of no use.
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
		// For readers that know W3C trace context and no CloudEvents.
		for _, name := range [...]string{"traceparent", "tracestate"} {
			if v, ok := e.Extension(name); ok {
				f.header(name, f.text(v))
			}
		}
		r.Headers = f.headers[from:len(f.headers):len(f.headers)]
	}
	return nil
}

// attributes are the headers of the binary mode: what e.Attributes yields, in
// that order, written without a string for the time or a name for the rest.
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

// extensionHeader is the header of an extension. Those that every traced event
// has are not put together anew each time.
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

// since is what was appended since at. When bytes grew meanwhile, earlier
// parts keep the array that they were written to.
func (f *produceCall) since(at int) []byte { return f.bytes[at:len(f.bytes):len(f.bytes)] }

// Values that records share; nobody writes to them.
var (
	specVersion    = []byte(cloudevent.SpecVersion)
	jsonType       = []byte("application/json")
	structuredType = []byte(cloudevent.ContentTypeJSON + "; charset=UTF-8")
)

// maxHeaders is the most headers that an event has beside its extensions: its
// attributes, content type, trace context and count of hops.
const maxHeaders = 11

// roomFor is what e takes in either mode, unless its data is escaped.
func roomFor(e *cloudevent.Event) int {
	const names, timestamp = 160, len("2006-01-02T15:04:05.999999999Z")
	n := names + timestamp + len(e.Key) + e.Data.Len() + len(e.ID) + len(e.Source) + len(e.Type) + len(e.Subject) + len(e.DataSchema) + len(e.DataContentType)
	for i := range e.Extensions {
		n += len(e.Extensions[i].Name) + 2*len(e.Extensions[i].Value) + len(`,"":""`)
	}
	return n
}

// load is r as the only record of f.
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

// sizeOf is at least what the record takes uncompressed, in a batch of its own.
func sizeOf(r *kgo.Record) int64 {
	const batch, perRecord, perHeader = 61, 30, 10
	n := batch + perRecord + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += perHeader + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return int64(n)
}

// timeOf is the time of a record; zero when it has none, which Kafka writes as
// -1, or one that RFC 3339 cannot write.
func timeOf(r *kgo.Record) time.Time {
	const none, year0, year10000 = -1, -62167219200000, 253402300800000
	if ms := r.Timestamp.UnixMilli(); ms == none || ms < year0 || ms >= year10000 {
		return time.Time{}
	}
	return r.Timestamp
}
