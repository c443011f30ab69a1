package floor

import (
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The flow of the benchmark, written by hand.
const (
	source = "fiso-flow/order-events"
	kind   = "fiso.event"
	region = `"eu"`
)

// wanted are the fields that the transform and the filter use.
var wanted = []string{"legacy_id", "order_status", "region"}

// transformer turns records into CloudEvents. It is for one goroutine.
type transformer struct {
	raw      [3][]byte
	id, when []byte
}

// read extracts the fields, id and time of a record; false if the filter drops it.
func (s *transformer) read(r *kgo.Record, filter bool) (bool, error) {
	names := wanted
	if !filter {
		names = wanted[:2]
	}
	if err := fields(r.Value, names, s.raw[:len(names)]); err != nil {
		return false, err
	}
	if filter && string(s.raw[2]) != region {
		return false, nil
	}
	s.id = appendID(s.id[:0], r)
	s.when = r.Timestamp.UTC().AppendFormat(s.when[:0], time.RFC3339Nano)
	return true, nil
}

func appendID(b []byte, r *kgo.Record) []byte {
	b = append(append(b, r.Topic...), '-')
	b = append(strconv.AppendInt(b, int64(r.Partition), 10), '-')
	return strconv.AppendInt(b, r.Offset, 10)
}

// appendData appends the output of the transform.
func (s *transformer) appendData(b []byte) []byte {
	b = append(append(b, `{"order_id":`...), s.raw[0]...)
	b = append(append(b, `,"timestamp":"`...), s.when...)
	b = append(append(b, `","status":`...), s.raw[1]...)
	return append(b, '}')
}

// appendEvent appends the whole event.
func (s *transformer) appendEvent(b []byte, r *kgo.Record) []byte {
	b = append(append(b, `{"specversion":"1.0","id":"`...), s.id...)
	b = append(b, `","source":"`+source+`","type":"`+kind+`","subject":"`...)
	b = append(b, r.Key...)
	b = append(append(b, `","datacontenttype":"application/json","time":"`...), s.when...)
	return append(s.appendData(append(b, `","data":`...)), '}')
}

// headers sets the headers of binary mode with the given prefix.
func (s *transformer) headers(r *kgo.Record, prefix string, set func(name string, value []byte)) {
	set(prefix+"specversion", []byte("1.0"))
	set(prefix+"id", s.id)
	set(prefix+"source", []byte(source))
	set(prefix+"type", []byte(kind))
	set(prefix+"subject", r.Key)
	set(prefix+"time", s.when)
}
