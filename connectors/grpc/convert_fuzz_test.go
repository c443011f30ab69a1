package grpc

import (
	"reflect"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	"google.golang.org/protobuf/proto"

	"github.com/lsm/fiso/common/cloudevent"
)

// FuzzEventOf: for any bytes of a stranger, eventOf either refuses the event or returns a
// valid one that is the same after it was sent and received again.
func FuzzEventOf(f *testing.F) {
	for _, in := range []*pb.CloudEvent{
		protoWith(nil), protoWith(allTypes()), withText(ceAttributes{"datacontenttype": ceString("application/json")}, `{}`), withBinary(nil, "\x01"),
		withMessage(ceAttributes{"dataschema": ceURI("https://example.com/s")}, "type.googleapis.com/shop.v1.Order", 8, 1),
		protoWith(ceAttributes{"time": ceString("noon"), "tenantId": ceString("x"), "tenantid": ceString("y")}),
	} {
		b, err := proto.Marshal(in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := new(pb.CloudEvent)
		if proto.Unmarshal(b, in) != nil {
			return
		}
		e, err := eventOf(in)
		if err != nil {
			return
		}
		if err := e.Validate(); err != nil {
			t.Fatalf("took an event that is not valid: %v", err)
		}
		sent, err := protoOf(e)
		if err != nil {
			t.Fatalf("took an event that cannot be sent: %v", err)
		}
		if back, err := eventOf(overTheWire(t, sent)); err != nil || !reflect.DeepEqual(back, e) {
			t.Fatalf("%+v came back as %+v, %v", e, back, err)
		}
	})
}

// FuzzProtoOf: an event that protoOf takes can be sent, and comes back as it was.
func FuzzProtoOf(f *testing.F) {
	f.Add("1", "/shop", "order.created", "s", "application/json", "", "tenant", "acme", uint8(0), int64(1), []byte(`{}`))
	f.Add("1", "/shop", "t", "", "text/plain; charset=utf8", "", "n", "-7", uint8(1), int64(-1), []byte("ü"))
	f.Add("1", "/shop", "t", "", "application/protobuf; proto=a.B", "type.googleapis.com/c.D", "b", "true", uint8(2), int64(0), []byte{8, 1})
	f.Add("1", "/shop", "t", "", `application/x-protobuf; proto="x/a.B"`, "", "type", "x", uint8(3), int64(1<<62), []byte{0xff})
	f.Fuzz(func(t *testing.T, id, source, kind, subject, contentType, schema, name, value string, valueKind uint8, nanos int64, data []byte) {
		e := &cloudevent.Event{ID: id, Source: source, Type: kind, Subject: subject, DataContentType: contentType, DataSchema: schema,
			Extensions: []cloudevent.Extension{{Name: name, Value: value, Kind: cloudevent.Kind(valueKind)}}, Data: cloudevent.Bytes(data)}
		if nanos != 0 {
			e.Time = time.Unix(0, nanos).UTC()
		}
		out, err := protoOf(e)
		if err != nil {
			return
		}
		if err := e.Validate(); err != nil {
			t.Fatalf("sends an event that is not valid: %v", err)
		}
		back, err := eventOf(overTheWire(t, out))
		if err != nil {
			t.Fatalf("sends what a source of its own refuses: %v", err)
		}
		if len(data) == 0 && contentType == "" {
			e.Data = cloudevent.Data{} // see readData
		}
		if !reflect.DeepEqual(back, e) {
			t.Fatalf("%+v came back as %+v", e, back)
		}
	})
}
