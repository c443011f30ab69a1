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

// randomEvent is a valid event made from a seed. No attribute begins or ends in
// white space: the SDK trims it.
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
		e.Extensions = append(e.Extensions, cloudevent.Extension{Name: name, Value: pick("x", "7", "true", "é\tx")})
	}
	switch r.IntN(4) {
	case 0:
		e.DataContentType, e.Data = pick("", "application/json", "text/json; v=1"), []byte(pick(`{"a": 1.50}`, `12345678901234567890`, `"s"`, `[null]`))
	case 1:
		e.DataContentType, e.Data = "text/plain", []byte(pick("plain", "", "q\"\\\n", "ü"))
	case 2:
		e.DataContentType, e.Data = pick("application/octet-stream", "text/plain"), []byte{0xff, byte(r.IntN(256)), 0}
	}
	return e
}

// writeSDK is the SDK's own writer; json.Marshal would take the spaces out.
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
		ours := want.AppendJSON(nil)

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

// The SDK reads and writes data of a type …+json as a string, unless it is in
// base64 (content_type.go, isJSON, of v2.16.2).
func TestTo_keepsJSONBySuffixWhole(t *testing.T) {
	want := &cloudevent.Event{
		ID: "1", Source: "/s", Type: "t", Time: time.Unix(1, 5).UTC(), DataContentType: "application/vnd.order+json", Data: []byte(`{"a": 1.50}`),
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
	want := &cloudevent.Event{ID: "1", Source: "/s", Type: "t", Extensions: []cloudevent.Extension{{Name: "bytes", Value: "AQ=="}, {Name: "number", Value: "7"}}}
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
		"data is not valid JSON":  notJSON,
		"extension odd":           oddExtension,
	} {
		if _, err := From(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
