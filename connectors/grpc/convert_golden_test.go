package grpc

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	format "github.com/cloudevents/sdk-go/binding/format/protobuf/v2"
	"github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	sdk "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lsm/fiso/common/cloudevent"
)

const golden = "testdata/golden"

var goldenTime = time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.UTC)

// goldenEvents are the events of the files in testdata/golden. Every SDK wrote the same.
func goldenEvents() map[string]*cloudevent.Event {
	duration := []byte{8, 90, 16, 5}
	return map[string]*cloudevent.Event{
		"least": eventWith(nil),
		"json": eventWith(func(e *cloudevent.Event) {
			e.Subject, e.Time, e.DataSchema = "customer 7", goldenTime, "https://example.com/order.json"
			e.DataContentType, e.Data = "application/json", cloudevent.Bytes([]byte(`{"total":42.50,"name":"Zoë"}`))
			e.Extensions = []cloudevent.Extension{
				{Name: "attempt", Value: "-7", Kind: cloudevent.Integer}, {Name: "sampled", Value: "true", Kind: cloudevent.Boolean}, {Name: "tenant", Value: "acme"},
			}
		}),
		"types": eventWith(func(e *cloudevent.Event) {
			e.Extensions = []cloudevent.Extension{
				{Name: "aboolean", Value: "false", Kind: cloudevent.Boolean}, {Name: "aninteger", Value: "2147483647", Kind: cloudevent.Integer},
				{Name: "astring", Value: "é"}, {Name: "atime", Value: "1969-12-31T23:59:59.5Z"}, {Name: "auri", Value: "https://example.com/a?b=c"},
				{Name: "auriref", Value: "../a"}, {Name: "bytes", Value: "AP8="},
			}
		}),
		"text": eventWith(func(e *cloudevent.Event) {
			e.DataContentType, e.Data = "text/plain", cloudevent.Bytes([]byte("Grüße"))
		}),
		"binary": eventWith(func(e *cloudevent.Event) {
			e.DataContentType, e.Data = "application/octet-stream", cloudevent.Bytes([]byte{0, 0xff})
		}),
		"xml": eventWith(func(e *cloudevent.Event) {
			e.DataContentType, e.Data = "application/xml", cloudevent.Bytes([]byte("<a>é</a>"))
		}),
		"message": eventWith(func(e *cloudevent.Event) {
			e.DataContentType, e.DataSchema, e.Data = "application/protobuf", "type.googleapis.com/google.protobuf.Duration", cloudevent.Bytes(duration)
		}),
	}
}

func readGolden(t *testing.T, folder, name string) *pb.CloudEvent {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(golden, folder, name+".binpb"))
	if err != nil {
		t.Fatal(err)
	}
	e := new(pb.CloudEvent)
	if err := proto.Unmarshal(b, e); err != nil {
		t.Fatal(err)
	}
	return e
}

// G7: events of the SDKs for Java and Go, and of the classes of protoc for Python, arrive as
// they were meant: https://github.com/cloudevents/spec/issues/1186,
// https://github.com/cloudevents/sdk-go/issues/759. The README beside the files says how
// each was made, and which of them read those of Fiso.
func TestGolden_eventsOfThreeLanguagesAreReadAsTheyWereMeant(t *testing.T) {
	for _, language := range []string{"java", "go", "python"} {
		for name, want := range goldenEvents() {
			t.Run(language+" "+name, func(t *testing.T) {
				got, err := eventOf(readGolden(t, language, name))
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
				}
			})
		}
	}
}

// generated compares a golden file with what the code makes now, and writes it when
// FISO_GENERATE is set. The bytes may differ, the event may not.
func generated(t *testing.T, folder, name string, made *pb.CloudEvent) {
	t.Helper()
	file := filepath.Join(golden, folder, name+".binpb")
	b, err := os.ReadFile(file)
	there := new(pb.CloudEvent)
	if err == nil && proto.Unmarshal(b, there) == nil && proto.Equal(there, made) {
		return
	}
	if os.Getenv("FISO_GENERATE") == "" {
		t.Errorf("%s holds %v, %v\nmade now: %v", file, there, err, made)
		return
	}
	if b, err = (proto.MarshalOptions{Deterministic: true}).Marshal(made); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestGenerated_goldenEventsOfFiso(t *testing.T) {
	for name, e := range goldenEvents() {
		made, err := protoOf(e)
		if err != nil {
			t.Fatal(err)
		}
		generated(t, "fiso", name, made)
	}
}

func TestGenerated_goldenEventsOfTheGoSDK(t *testing.T) {
	for name, e := range sdkEvents(t) {
		made, err := format.ToProto(&e)
		if err != nil {
			t.Fatal(err)
		}
		generated(t, "go", name, made)
	}
}

// sdkEvents are the golden events, made with the SDK for Go.
func sdkEvents(t *testing.T) map[string]sdk.Event {
	t.Helper()
	made := map[string]sdk.Event{}
	add := func(name string, change func(*sdk.Event) error) {
		e := sdk.New()
		e.SetID("1")
		e.SetSource("/shop")
		e.SetType("order.created")
		if err := change(&e); err != nil {
			t.Fatal(err)
		}
		made[name] = e
	}
	add("least", func(*sdk.Event) error { return nil })
	add("json", func(e *sdk.Event) error {
		e.SetSubject("customer 7")
		e.SetTime(goldenTime)
		e.SetDataSchema("https://example.com/order.json")
		e.SetExtension("tenant", "acme")
		e.SetExtension("attempt", int32(-7))
		e.SetExtension("sampled", true)
		return e.SetData("application/json", []byte(`{"total":42.50,"name":"Zoë"}`))
	})
	add("types", func(e *sdk.Event) error {
		e.SetExtension("astring", "é")
		e.SetExtension("aninteger", int32(1<<31-1))
		e.SetExtension("aboolean", false)
		e.SetExtension("bytes", []byte{0, 0xff})
		e.SetExtension("auri", *types.ParseURI("https://example.com/a?b=c"))
		e.SetExtension("auriref", *types.ParseURIRef("../a"))
		e.SetExtension("atime", types.Timestamp{Time: time.Unix(-1, 500_000_000).UTC()})
		return nil
	})
	add("text", func(e *sdk.Event) error { return e.SetData("text/plain", "Grüße") })
	add("binary", func(e *sdk.Event) error { return e.SetData("application/octet-stream", []byte{0, 0xff}) })
	add("xml", func(e *sdk.Event) error { return e.SetData("application/xml", []byte("<a>é</a>")) })
	add("message", func(e *sdk.Event) error {
		e.SetDataSchema("type.googleapis.com/google.protobuf.Duration")
		return e.SetData("application/protobuf", &durationpb.Duration{Seconds: 90, Nanos: 5})
	})
	return made
}

// What Fiso sends is what a receiver with the SDK for Go gets. It forgets the type of a
// message, but for dataschema.
func TestProtoOf_isReadByTheGoSDK(t *testing.T) {
	want := sdkEvents(t)
	for name, e := range goldenEvents() {
		t.Run(name, func(t *testing.T) {
			out, err := protoOf(e)
			if err != nil {
				t.Fatal(err)
			}
			got, err := format.FromProto(overTheWire(t, out))
			if err != nil {
				t.Fatal(err)
			}
			expected := want[name]
			if name == "types" {
				// They arrive as texts, which is what Fiso keeps of them.
				expected.SetExtension("bytes", "AP8=")
				expected.SetExtension("auri", "https://example.com/a?b=c")
				expected.SetExtension("auriref", "../a")
				expected.SetExtension("atime", "1969-12-31T23:59:59.5Z")
			}
			if !reflect.DeepEqual(got.Context, expected.Context) || !bytes.Equal(got.Data(), expected.Data()) {
				t.Errorf("got  %v\nwant %v", got, expected)
			}
		})
	}
}

// G7: the reason why JSON is sent as binary_data. If this fails, the SDK for Go has been
// corrected, and text_data could be sent for every text, as the specification asks:
// https://github.com/cloudevents/sdk-go/issues/759
func TestGoSDK_stillEncodesTextDataTwice(t *testing.T) {
	got, err := format.FromProto(withText(ceAttributes{"datacontenttype": ceString("application/json")}, `{}`))
	if err != nil || string(got.Data()) != `"{}"` {
		t.Errorf("the SDK reads text_data as %s, %v", got.Data(), err)
	}
}
