package grpc

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/lsm/fiso/common/cloudevent"
)

type ceAttributes map[string]*pb.CloudEventAttributeValue

func ceString(s string) *pb.CloudEventAttributeValue {
	return &pb.CloudEventAttributeValue{Attr: &pb.CloudEventAttributeValue_CeString{CeString: s}}
}

func ceURI(s string) *pb.CloudEventAttributeValue {
	return &pb.CloudEventAttributeValue{Attr: &pb.CloudEventAttributeValue_CeUri{CeUri: s}}
}

func ceURIRef(s string) *pb.CloudEventAttributeValue {
	return &pb.CloudEventAttributeValue{Attr: &pb.CloudEventAttributeValue_CeUriRef{CeUriRef: s}}
}

func ceInteger(n int32) *pb.CloudEventAttributeValue {
	return &pb.CloudEventAttributeValue{Attr: &pb.CloudEventAttributeValue_CeInteger{CeInteger: n}}
}

func ceBoolean(b bool) *pb.CloudEventAttributeValue {
	return &pb.CloudEventAttributeValue{Attr: &pb.CloudEventAttributeValue_CeBoolean{CeBoolean: b}}
}

func ceBytes(b ...byte) *pb.CloudEventAttributeValue {
	return &pb.CloudEventAttributeValue{Attr: &pb.CloudEventAttributeValue_CeBytes{CeBytes: b}}
}

func ceTime(seconds int64, nanos int32) *pb.CloudEventAttributeValue {
	return &pb.CloudEventAttributeValue{Attr: &pb.CloudEventAttributeValue_CeTimestamp{CeTimestamp: &timestamppb.Timestamp{Seconds: seconds, Nanos: nanos}}}
}

// protoWith is an event with the required attributes and the given others.
func protoWith(a ceAttributes) *pb.CloudEvent {
	return &pb.CloudEvent{Id: "1", Source: "/shop", SpecVersion: "1.0", Type: "order.created", Attributes: a}
}

func withText(a ceAttributes, text string) *pb.CloudEvent {
	e := protoWith(a)
	e.Data = &pb.CloudEvent_TextData{TextData: text}
	return e
}

func withBinary(a ceAttributes, data string) *pb.CloudEvent {
	e := protoWith(a)
	e.Data = &pb.CloudEvent_BinaryData{BinaryData: []byte(data)}
	return e
}

func withMessage(a ceAttributes, typeURL string, value ...byte) *pb.CloudEvent {
	e := protoWith(a)
	e.Data = &pb.CloudEvent_ProtoData{ProtoData: &anypb.Any{TypeUrl: typeURL, Value: value}}
	return e
}

// eventWith is an event with the required attributes, changed by a function.
func eventWith(change func(*cloudevent.Event)) *cloudevent.Event {
	e := &cloudevent.Event{ID: "1", Source: "/shop", Type: "order.created"}
	if change != nil {
		change(e)
	}
	return e
}

// overTheWire returns what a receiver decodes of an event.
func overTheWire(t testing.TB, in *pb.CloudEvent) *pb.CloudEvent {
	t.Helper()
	b, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out := new(pb.CloudEvent)
	if err := proto.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// allTypes holds an extension of each of the seven types.
func allTypes() ceAttributes {
	return ceAttributes{
		"astring": ceString("é"), "aninteger": ceInteger(-1 << 31), "aboolean": ceBoolean(true), "bytes": ceBytes(0, 0xff),
		"auri": ceURI("https://example.com/a?b=c"), "auriref": ceURIRef("../a"), "atime": ceTime(-1, 500_000_000),
	}
}

// G7: the SDK for Go encodes text_data with a JSON type twice, drops attributes of a wrong
// type and forgets the type of proto_data: https://github.com/cloudevents/spec/issues/1186,
// https://github.com/cloudevents/sdk-go/issues/759
func TestEventOf_keepsAllThatAnEventHas(t *testing.T) {
	const order = "type.googleapis.com/shop.v1.Order"
	for _, row := range []struct {
		name string
		in   *pb.CloudEvent
		want *cloudevent.Event
	}{
		{"the least", protoWith(nil), eventWith(nil)},
		{"every attribute", protoWith(ceAttributes{"subject": ceString("s"), "datacontenttype": ceString("text/csv"), "dataschema": ceURI("https://example.com/s"), "time": ceTime(1, 2)}),
			eventWith(func(e *cloudevent.Event) {
				e.Subject, e.DataContentType, e.DataSchema, e.Time = "s", "text/csv", "https://example.com/s", time.Unix(1, 2).UTC()
			})},
		{"extensions of each type, sorted", protoWith(allTypes()), eventWith(func(e *cloudevent.Event) {
			e.Extensions = []cloudevent.Extension{
				{Name: "aboolean", Value: "true", Kind: cloudevent.Boolean}, {Name: "aninteger", Value: "-2147483648", Kind: cloudevent.Integer},
				{Name: "astring", Value: "é"}, {Name: "atime", Value: "1969-12-31T23:59:59.5Z"}, {Name: "auri", Value: "https://example.com/a?b=c"},
				{Name: "auriref", Value: "../a"}, {Name: "bytes", Value: "AP8="},
			}
		})},
		{"a name in camel case", protoWith(ceAttributes{"tenantId": ceString("acme")}), eventWith(func(e *cloudevent.Event) { e.SetExtension("tenantid", "acme") })},
		{"an empty extension", protoWith(ceAttributes{"tenant": ceString("")}), eventWith(func(e *cloudevent.Event) { e.SetExtension("tenant", "") })},
		{"JSON as text", withText(ceAttributes{"datacontenttype": ceString("application/json")}, `{"a":1.50}`),
			eventWith(func(e *cloudevent.Event) {
				e.DataContentType, e.Data = "application/json", cloudevent.Bytes([]byte(`{"a":1.50}`))
			})},
		{"JSON as bytes", withBinary(ceAttributes{"datacontenttype": ceString("application/json")}, `{"a":1.50}`),
			eventWith(func(e *cloudevent.Event) {
				e.DataContentType, e.Data = "application/json", cloudevent.Bytes([]byte(`{"a":1.50}`))
			})},
		{"text without a type", withText(nil, "ü"), eventWith(func(e *cloudevent.Event) { e.Data = cloudevent.Bytes([]byte("ü")) })},
		{"no text without a type", withText(nil, ""), eventWith(nil)},
		{"no text of a type", withText(ceAttributes{"datacontenttype": ceString("text/plain")}, ""),
			eventWith(func(e *cloudevent.Event) { e.DataContentType, e.Data = "text/plain", cloudevent.Bytes([]byte{}) })},
		{"no bytes of a type", withBinary(ceAttributes{"datacontenttype": ceString("text/plain")}, ""),
			eventWith(func(e *cloudevent.Event) { e.DataContentType, e.Data = "text/plain", cloudevent.Bytes([]byte{}) })},
		{"no bytes without a type, which the SDK for Go sends for no data", withBinary(nil, ""), eventWith(nil)},
		{"a message", withMessage(nil, order, 8, 1), eventWith(func(e *cloudevent.Event) {
			e.DataContentType, e.DataSchema, e.Data = "application/protobuf", order, cloudevent.Bytes([]byte{8, 1})
		})},
		{"a message with its type as dataschema, as the SDK for Java sends it", withMessage(ceAttributes{"dataschema": ceURIRef(order), "datacontenttype": ceString("application/protobuf")}, order, 8, 1),
			eventWith(func(e *cloudevent.Event) {
				e.DataContentType, e.DataSchema, e.Data = "application/protobuf", order, cloudevent.Bytes([]byte{8, 1})
			})},
		{"a message with another dataschema", withMessage(ceAttributes{"dataschema": ceURI("https://example.com/order.proto?v=1")}, order),
			eventWith(func(e *cloudevent.Event) {
				e.DataContentType, e.DataSchema = `application/protobuf; proto="type.googleapis.com/shop.v1.Order"`, "https://example.com/order.proto?v=1"
				e.Data = cloudevent.Bytes([]byte{})
			})},
		{"a message whose type needs an escape in the parameter", withMessage(ceAttributes{"dataschema": ceURI("s")}, "ü\x00/b.C"), eventWith(func(e *cloudevent.Event) {
			e.DataContentType, e.DataSchema, e.Data = "application/protobuf; proto*=utf-8''%C3%BC%00%2Fb.C", "s", cloudevent.Bytes([]byte{})
		})},
		{"a message whose content type names it", withMessage(ceAttributes{"dataschema": ceURI("https://example.com/s"), "datacontenttype": ceString("application/x-protobuf; proto=shop.v1.Order")}, order, 8, 1),
			eventWith(func(e *cloudevent.Event) {
				e.DataContentType, e.DataSchema, e.Data = "application/x-protobuf; proto=shop.v1.Order", "https://example.com/s", cloudevent.Bytes([]byte{8, 1})
			})},
		{"a message without a type, which the SDK for Go sends for no dataschema", withMessage(ceAttributes{"datacontenttype": ceString("application/protobuf")}, "", 8, 1),
			eventWith(func(e *cloudevent.Event) {
				e.DataContentType, e.Data = "application/protobuf", cloudevent.Bytes([]byte{8, 1})
			})},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := eventOf(overTheWire(t, row.in))
			if err != nil || !reflect.DeepEqual(got, row.want) {
				t.Fatalf("got  %+v, %v\nwant %+v", got, err, row.want)
			}
			if err := got.Validate(); err != nil {
				t.Errorf("the event is not valid: %v", err)
			}
			sent, err := protoOf(got)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := eventOf(overTheWire(t, sent)); err != nil || !reflect.DeepEqual(back, row.want) {
				t.Errorf("sent again and read: %+v, %v\nwant %+v", back, err, row.want)
			}
		})
	}
}

func TestEventOf_namesTheAttributeThatIsWrong(t *testing.T) {
	many := ceAttributes{}
	for i := range maxAttributes + 1 {
		many["x"+strings.Repeat("a", i)] = ceString("v")
	}
	without := func(change func(*pb.CloudEvent)) *pb.CloudEvent {
		e := protoWith(nil)
		change(e)
		return e
	}
	one := func(name string, v *pb.CloudEventAttributeValue) *pb.CloudEvent {
		return protoWith(ceAttributes{name: v})
	}
	for _, row := range []struct {
		name            string
		in              *pb.CloudEvent
		attribute, want string
	}{
		{"no event", nil, "event", "the event is missing"},
		{"no spec_version", without(func(e *pb.CloudEvent) { e.SpecVersion = "" }), "specversion", "attribute specversion is missing: set spec_version to 1.0"},
		{"an old spec_version", without(func(e *pb.CloudEvent) { e.SpecVersion = "0.3" }), "specversion", "attribute specversion is not supported: only CloudEvents 1.0 is"},
		{"no id", without(func(e *pb.CloudEvent) { e.Id = "" }), "id", "attribute id is missing: CloudEvents requires it"},
		{"no source", without(func(e *pb.CloudEvent) { e.Source = "" }), "source", "attribute source is missing"},
		{"no type", without(func(e *pb.CloudEvent) { e.Type = "" }), "type", "attribute type is missing"},
		{"time as string", one("time", ceString("2026-01-31T12:00:00Z")), "time", "attribute time is sent as ce_string: send it as ce_timestamp"},
		{"subject as URI", one("subject", ceURI("/s")), "subject", "attribute subject is sent as ce_uri: send it as ce_string"},
		{"subject as URI-reference", one("subject", ceURIRef("/s")), "subject", "is sent as ce_uri_ref"},
		{"subject as integer", one("subject", ceInteger(1)), "subject", "is sent as ce_integer"},
		{"subject as boolean", one("subject", ceBoolean(true)), "subject", "is sent as ce_boolean"},
		{"content type as bytes", one("datacontenttype", ceBytes('a')), "datacontenttype", "attribute datacontenttype is sent as ce_bytes: send it as ce_string"},
		{"dataschema as string", one("dataschema", ceString("https://example.com")), "dataschema", "attribute dataschema is sent as ce_string: send it as ce_uri"},
		{"dataschema as time", one("dataschema", ceTime(1, 0)), "dataschema", "is sent as ce_timestamp"},
		{"a subject without a value", one("subject", new(pb.CloudEventAttributeValue)), "subject", "attribute subject has no value of a known type"},
		{"an extension without a value", one("tenant", new(pb.CloudEventAttributeValue)), "tenant", "attribute tenant has no value of a known type: set one of the ce_ fields or leave it out"},
		{"an extension that is nil", one("tenant", nil), "tenant", "has no value"},
		{"an empty subject", one("subject", ceString("")), "subject", "attribute subject is empty: set a value or leave it out"},
		{"an empty dataschema", one("dataschema", ceURI("")), "dataschema", "attribute dataschema is empty"},
		{"an empty dataschema by reference", one("dataschema", ceURIRef("")), "dataschema", "attribute dataschema is empty"},
		{"a content type that is none", one("datacontenttype", ceString("json")), "datacontenttype", "attribute datacontenttype is not a content type such as application/json"},
		{"a time out of range", one("time", ceTime(1<<40, 0)), "time", "attribute time is not a valid google.protobuf.Timestamp"},
		{"a time with bad nanos", one("time", ceTime(0, -1)), "time", "is not a valid google.protobuf.Timestamp"},
		{"a time that is nil", one("time", &pb.CloudEventAttributeValue{Attr: &pb.CloudEventAttributeValue_CeTimestamp{}}), "time", "is not a valid google.protobuf.Timestamp"},
		{"the time that stands for none", one("time", ceTime(time.Time{}.Unix(), 0)), "time", "leave it out"},
		{"an extension that is a bad time", one("due", ceTime(1<<40, 0)), "due", "attribute due is not a valid google.protobuf.Timestamp"},
		{"id in the map", one("id", ceString("2")), "id", "attribute id stands in the map of attributes: it has a field of its own"},
		{"specversion in the map", one("specversion", ceString("1.0")), "specversion", "it has a field of its own"},
		{"an attribute in camel case", one("specVersion", ceString("1.0")), "specVersion", "is not allowed: it belongs to CloudEvents itself"},
		{"data as an extension", one("data", ceString("x")), "data", `attribute name "data" is not allowed: it belongs to CloudEvents itself`},
		{"a name with a sign", one("tenant-id", ceString("x")), "tenant-id", `attribute name "tenant-id" is not allowed: lower-case letters and digits only`},
		{"no name", one("", ceString("x")), "", "is not allowed: lower-case letters and digits only"},
		{"a name that could forge a line of a log", one("a\nb\x1b", ceString("x")), "a\nb\x1b", `attribute name "a\nb\x1b" is not allowed`},
		{"a long name", one(strings.Repeat("-", 1000), ceString("x")), strings.Repeat("-", 64) + "…", "is not allowed: lower-case letters and digits only"},
		{"a name twice", protoWith(ceAttributes{"tenant": ceString("a"), "tenanT": ceString("b")}), "tenant", "attribute tenant occurs twice"},
		{"the first of several", protoWith(ceAttributes{"z-z": ceString("a"), "time": ceString("b"), "subject": ceBoolean(true)}), "subject", "attribute subject is sent as ce_boolean"},
		{"too many", protoWith(many), "attributes", "the event has more than 256 extension attributes"},
		{"a message that is said to be JSON", withMessage(ceAttributes{"datacontenttype": ceString("application/json")}, "a/b.C"), "datacontenttype", "send application/protobuf or leave it out"},
		{"a message with no name", withMessage(nil, "shop.v1.Order"), "data", "proto_data has a type_url without the name of a message"},
		{"a message with a bad name", withMessage(nil, "a/b c"), "data", "proto_data has a type_url without the name of a message"},
	} {
		t.Run(row.name, func(t *testing.T) {
			e, err := eventOf(row.in)
			var fault *attributeError
			if e != nil || !errors.As(err, &fault) || fault.Attribute() != fault.attribute {
				t.Fatalf("got %+v, %v", e, err)
			}
			if fault.attribute != row.attribute || !strings.Contains(err.Error(), row.want) {
				t.Errorf("attribute %q: %q, want %q: %q", fault.attribute, err, row.attribute, row.want)
			}
		})
	}
}

func TestEventOf_quotesNoValueInErrors(t *testing.T) {
	for name, in := range map[string]*pb.CloudEvent{
		"spec_version": {SpecVersion: "canary"},
		"subject":      protoWith(ceAttributes{"subject": ceURI("canary")}),
		"content type": protoWith(ceAttributes{"datacontenttype": ceString("canary")}),
		"extension":    protoWith(ceAttributes{"a-b": ceString("canary")}),
		"type_url":     withMessage(nil, "canary"),
	} {
		if _, err := eventOf(in); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProtoOf_sendsDataInTheFormThatEverySDKReads(t *testing.T) {
	const order = "type.googleapis.com/shop.v1.Order"
	for _, row := range []struct{ name, contentType, schema, data, want string }{
		{"JSON", "application/json", "", "{}", "binary_data"},
		{"text", "text/plain", "", "ü", "text_data"},
		{"text in capitals", "Text/Plain; charset=UTF-8", "", "ü", "text_data"},
		{"text with another parameter", "text/plain; format=flowed", "", "ü", "text_data"},
		{"text in another charset", "text/plain; charset=latin1", "", "u", "binary_data"},
		{"text that is not UTF-8", "text/plain", "", "\xff", "binary_data"},
		{"text of another kind", "text/csv", "", "a,b", "binary_data"},
		{"no type", "", "", "x", "binary_data"},
		{"no bytes of a type", "application/json", "", "", "binary_data"},
		{"a message", "application/protobuf", order, "\x08\x01", order},
		{"a message by its content type", "application/protobuf; proto=shop.v1.Order", "https://example.com/s", "\x08\x01", order},
		{"a message by its whole type", `application/x-protobuf; proto="example.com/shop.v1.Order"`, order, "\x08\x01", "example.com/shop.v1.Order"},
		{"a message by its schema, the parameter being none", `application/protobuf; proto="a b"`, order, "\x08\x01", order},
		{"a message of an unknown type", "application/protobuf", "", "\x08\x01", "binary_data"},
		{"messages one after the other", "application/vnd.google.protobuf; encoding=delimited", order, "\x08\x01", "binary_data"},
		{"a schema for JSON", "application/json", order, "{}", "binary_data"},
	} {
		t.Run(row.name, func(t *testing.T) {
			out, err := protoOf(eventWith(func(e *cloudevent.Event) {
				e.DataContentType, e.DataSchema, e.Data = row.contentType, row.schema, cloudevent.Bytes([]byte(row.data))
			}))
			if err != nil {
				t.Fatal(err)
			}
			kind, data := "none", ""
			switch d := out.Data.(type) {
			case *pb.CloudEvent_BinaryData:
				kind, data = "binary_data", string(d.BinaryData)
			case *pb.CloudEvent_TextData:
				kind, data = "text_data", d.TextData
			case *pb.CloudEvent_ProtoData:
				kind, data = d.ProtoData.TypeUrl, string(d.ProtoData.Value)
			}
			if kind != row.want || data != row.data {
				t.Errorf("sent as %s %q, want %s %q", kind, data, row.want, row.data)
			}
		})
	}
	for _, none := range []cloudevent.Data{{}, cloudevent.Bytes([]byte{})} {
		if out, err := protoOf(eventWith(func(e *cloudevent.Event) { e.Data = none })); err != nil || out.Data != nil || out.Attributes != nil {
			t.Errorf("an event without data has %v, %v", out, err)
		}
	}
}

func TestProtoOf_refusesWhatNoReceiverWouldTake(t *testing.T) {
	many := eventWith(nil)
	for i := range maxAttributes - 3 {
		many.Extensions = append(many.Extensions, cloudevent.Extension{Name: "x" + strings.Repeat("a", i)})
	}
	extended := func(extensions ...cloudevent.Extension) *cloudevent.Event {
		return eventWith(func(e *cloudevent.Event) { e.Extensions = extensions })
	}
	for _, row := range []struct {
		name            string
		in              *cloudevent.Event
		attribute, want string
	}{
		{"no id", &cloudevent.Event{Source: "/s", Type: "t"}, "id", "attribute id is missing: CloudEvents requires it"},
		{"no source", &cloudevent.Event{ID: "1", Type: "t"}, "source", "attribute source is missing"},
		{"no type", &cloudevent.Event{ID: "1", Source: "/s"}, "type", "attribute type is missing"},
		{"id", eventWith(func(e *cloudevent.Event) { e.ID = "\xff" }), "id", "attribute id is not UTF-8"},
		{"source", eventWith(func(e *cloudevent.Event) { e.Source = "\xff" }), "source", "attribute source is not UTF-8"},
		{"type", eventWith(func(e *cloudevent.Event) { e.Type = "\xff" }), "type", "attribute type is not UTF-8"},
		{"subject", eventWith(func(e *cloudevent.Event) { e.Subject = "\xff" }), "subject", "attribute subject is not UTF-8"},
		{"dataschema", eventWith(func(e *cloudevent.Event) { e.DataSchema = "\xff" }), "dataschema", "attribute dataschema is not UTF-8"},
		{"content type", eventWith(func(e *cloudevent.Event) { e.DataContentType = "json" }), "datacontenttype", "attribute datacontenttype is not a content type"},
		{"content type not UTF-8", eventWith(func(e *cloudevent.Event) { e.DataContentType = "a/b; c=\"\xff\"" }), "datacontenttype", "attribute datacontenttype is not a content type"},
		{"year zero", eventWith(func(e *cloudevent.Event) { e.Time = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) }), "time", "attribute time is outside of the years 1 to 9999"},
		{"extension not UTF-8", extended(cloudevent.Extension{Name: "a", Value: "\xff"}), "a", "attribute a is not UTF-8"},
		{"extension with a bad name", extended(cloudevent.Extension{Name: "A"}), "A", "is not allowed: lower-case letters and digits only"},
		{"extension with no name", extended(cloudevent.Extension{}), "", "is not allowed: lower-case letters and digits only"},
		{"extension with a core name", extended(cloudevent.Extension{Name: "time"}), "time", "is not allowed: it belongs to CloudEvents itself"},
		{"extension twice", extended(cloudevent.Extension{Name: "a"}, cloudevent.Extension{Name: "a"}), "a", "attribute a occurs twice"},
		{"no integer", extended(cloudevent.Extension{Name: "n", Value: "2147483648", Kind: cloudevent.Integer}), "n", "attribute n has a value that is not of its kind, which is Integer"},
		{"no boolean", extended(cloudevent.Extension{Name: "b", Value: "yes", Kind: cloudevent.Boolean}), "b", "which is Boolean"},
		{"no kind", extended(cloudevent.Extension{Name: "k", Kind: 9}), "k", "which is unknown"},
		{"too many", many, "attributes", "more than 256 extension attributes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			out, err := protoOf(row.in)
			var fault *attributeError
			if out != nil || !errors.As(err, &fault) || fault.Attribute() != fault.attribute {
				t.Fatalf("got %v, %v", out, err)
			}
			if fault.attribute != row.attribute || !strings.Contains(err.Error(), row.want) {
				t.Errorf("attribute %q: %q, want %q: %q", fault.attribute, err, row.attribute, row.want)
			}
		})
	}
}

// The bytes of an event may be large: they are not copied. Text is, once each way.
func TestConversion_sharesData(t *testing.T) {
	in := withBinary(ceAttributes{"datacontenttype": ceString("application/json")}, `{"a":1}`)
	e, err := eventOf(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := protoOf(e)
	if err != nil {
		t.Fatal(err)
	}
	if &in.GetBinaryData()[0] != &e.Data.Bytes()[0] || &out.GetBinaryData()[0] != &e.Data.Bytes()[0] {
		t.Error("data is copied")
	}
}
