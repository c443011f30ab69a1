package cesdk

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/lsm/fiso/common/cloudevent"
)

// randomEvent makes a valid event from a seed. Attributes neither begin nor end with white
// space, which the SDK trims.
func randomEvent(r *rand.Rand) *cloudevent.Event {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	e := &cloudevent.Event{
		ID:         pick("1", "a b", "ü\n\"\\\u2028x", "orders-0-1"),
		Source:     pick("/orders", "urn:x:y", "https://example.com/a?b=c", "fiso-flow/o"),
		Type:       pick("t", "order.created", "日本"),
		Subject:    pick("", "s", "<\x01\x1f&>"),
		DataSchema: pick("", "https://example.com/s.json"),
	}
	if r.IntN(2) == 0 {
		e.Time = time.Unix(r.Int64N(4e9), r.Int64N(1e9)).UTC()
	}
	for _, name := range []string{"alpha", "beta", "traceparent"}[:r.IntN(4)] {
		x := cloudevent.Extension{Name: name, Value: pick("x", "7", "true", "é\tx"), Kind: cloudevent.Kind(r.IntN(3))}
		if x.Kind == cloudevent.Integer {
			x.Value = pick("0", "-7", "2147483647", "-2147483648")
		} else if x.Kind == cloudevent.Boolean {
			x.Value = pick("true", "false")
		}
		e.Extensions = append(e.Extensions, x)
	}
	switch r.IntN(4) {
	case 0:
		e.DataContentType, e.Data = pick("application/json", "text/json; v=1"), known(pick(`{"a": 1.50}`, `12345678901234567890`, `"s"`, `[null]`))
	case 1:
		e.DataContentType, e.Data = "text/plain", cloudevent.Bytes([]byte(pick("plain", "", "q\"\\\n", "ü")))
	case 2:
		e.DataContentType, e.Data = pick("", "application/octet-stream", "text/plain"), cloudevent.Bytes([]byte{0xff, byte(r.IntN(256)), 0})
	}
	return e
}

func known(s string) cloudevent.Data {
	d, err := cloudevent.JSON([]byte(s))
	if err != nil {
		panic(err)
	}
	return d
}

// writeSDK writes an event with the SDK's writer; json.Marshal would remove spaces.
func writeSDK(t *testing.T, e event.Event) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := event.WriteJson(&e, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCodec_agreesWithTheSDKBothWays(t *testing.T) {
	for seed := range uint64(2000) {
		want := randomEvent(rand.New(rand.NewPCG(seed, 1)))
		ours, err := want.AppendJSON(nil)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}

		var theirs event.Event
		if err := json.Unmarshal(ours, &theirs); err != nil {
			t.Fatalf("seed %d: the SDK refuses %s: %v", seed, ours, err)
		}
		read, err := From(theirs)
		if err != nil || !reflect.DeepEqual(read, want) {
			t.Fatalf("seed %d: the SDK reads %s as\n%+v, %v, want\n%+v", seed, ours, read, err, want)
		}

		sdk, err := To(want)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		written := writeSDK(t, sdk)
		var got cloudevent.Event
		if err := cloudevent.ParseJSON(written, &got); err != nil || !reflect.DeepEqual(&got, want) {
			t.Fatalf("seed %d: the SDK's %s is read as\n%+v, %v, want\n%+v", seed, written, &got, err, want)
		}
	}
}

// An id with a space differs from one without.
func TestTo_keepsTheSpacesOfAttributes(t *testing.T) {
	in := &cloudevent.Event{ID: " 0", Source: "/s", Type: "t ", Subject: " a b "}
	out, err := To(in)
	if err != nil || out.ID() != in.ID || out.Type() != in.Type || out.Subject() != in.Subject {
		t.Fatalf("%v, %v", out, err)
	}
	if back, err := From(out); err != nil || back.ID != in.ID || back.Type != in.Type || back.Subject != in.Subject {
		t.Errorf("%+v, %v", back, err)
	}
}

// The SDK reads and writes data of a type …+json as a string, unless it is in base64
// (content_type.go, isJSON, of v2.16.2).
func TestTo_keepsJSONBySuffixWhole(t *testing.T) {
	want := &cloudevent.Event{
		ID: "1", Source: "/s", Type: "t", Time: time.Unix(1, 5).UTC(), DataContentType: "application/vnd.order+json", Data: known(`{"a": 1.50}`),
		Extensions: []cloudevent.Extension{{Name: "alpha", Value: "x"}},
	}
	sdk, err := To(want)
	if err != nil {
		t.Fatal(err)
	}
	written := writeSDK(t, sdk)
	var got cloudevent.Event
	if err := cloudevent.ParseJSON(written, &got); err != nil || !reflect.DeepEqual(&got, want) {
		t.Errorf("%s is read as\n%+v, %v, want\n%+v", written, &got, err, want)
	}
}

func TestTo_saysWhatTheSDKRefuses(t *testing.T) {
	for name, e := range map[string]*cloudevent.Event{
		"source": {ID: "1", Source: ":", Type: "t"},
		"id":     {Source: "s", Type: "t"},
	} {
		if _, err := To(e); err == nil || !strings.Contains(err.Error(), name+":") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestFrom_raisesVersion03AndFormatsExtensions(t *testing.T) {
	in := event.New(event.CloudEventsVersionV03)
	in.SetID("1")
	in.SetSource("/s")
	in.SetType("t")
	in.SetExtension("number", 7)
	in.SetExtension("bytes", []byte{1})
	got, err := From(in)
	want := &cloudevent.Event{ID: "1", Source: "/s", Type: "t", Extensions: []cloudevent.Extension{{Name: "bytes", Value: "AQ=="}, {Name: "number", Value: "7", Kind: cloudevent.Integer}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestFrom_refusesWhatIsNoValidEvent(t *testing.T) {
	valid := func() event.Event {
		e := event.New()
		e.SetID("1")
		e.SetSource("/s")
		e.SetType("t")
		return e
	}
	noID := valid()
	noID.SetID("")
	noID.Context = &event.EventContextV1{Type: "t"}
	notJSON := valid()
	notJSON.SetDataContentType("application/json")
	notJSON.DataEncoded = []byte(`1,"id":"2"`)
	oddExtension := valid()
	oddExtension.Context = &event.EventContextV1{ID: "1", Type: "t", Extensions: map[string]any{"odd": struct{}{}}}
	for want, in := range map[string]event.Event{
		"no attributes at all":    {},
		"attribute id is missing": noID,
		`data is not what datacontenttype "application/json" says: not valid JSON at byte 1`: notJSON,
		"extension odd": oddExtension,
	} {
		if _, err := From(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// U1: the SDK writes data of a JSON type into the event unchecked.
func TestTo_refusesDataThatWouldForgeTheEvent(t *testing.T) {
	for _, contentType := range []string{"application/json", "application/vnd.order+json"} {
		e := &cloudevent.Event{ID: "1", Source: "/s", Type: "t", DataContentType: contentType, Data: cloudevent.Bytes([]byte(`1,"type":"refund.approved","source":"/bank"`))}
		if _, err := To(e); err == nil || !strings.Contains(err.Error(), "not valid JSON at byte 1: there is more after the end of the value") {
			t.Errorf("%s: %v", contentType, err)
		}
	}
}

// U9: data without a type is not assumed to be JSON, here or in the SDK.
func TestTo_writesDataWithoutATypeAsBytes(t *testing.T) {
	e := &cloudevent.Event{ID: "1", Source: "/s", Type: "t", Data: cloudevent.Bytes([]byte(`{"a":1}`)), Extensions: []cloudevent.Extension{{Name: "n", Value: "x", Kind: cloudevent.Integer}, {Name: "s", Value: "7"}}}
	sdk, err := To(e)
	if err != nil {
		t.Fatal(err)
	}
	written := string(writeSDK(t, sdk))
	if !strings.Contains(written, `"data_base64":"eyJhIjoxfQ=="`) || strings.Contains(written, "datacontenttype") || !strings.Contains(written, `"n":"x","s":"7"`) {
		t.Errorf("wrote %s", written)
	}
}

// Untyped data in the SDK may come from either mode, and the SDK writes all of it as JSON.
func TestFrom_takesUntypedDataForJSONWhereItIs(t *testing.T) {
	for data, want := range map[string]string{`{"a":1}`: "application/json", `1,"id":"2"`: "", ``: ""} {
		in := event.New()
		in.SetID("1")
		in.SetSource("/s")
		in.SetType("t")
		in.DataEncoded = []byte(data)
		got, err := From(in)
		if err != nil || got.DataContentType != want || string(got.Data.Bytes()) != data {
			t.Errorf("%s: %+v, %v, want type %q", data, got, err, want)
		}
	}
}
