package cloudevent

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// full is an event with every attribute.
func full() *Event {
	return &Event{
		ID: "orders-3-42", Source: "fiso-flow/orders", Type: "order.created", Subject: "customer-7",
		Time:            time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.FixedZone("", 3600)),
		DataContentType: "application/json", DataSchema: "https://example.com/order.json",
		Extensions: []Extension{{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, {"tenant", "acme"}},
		Data:       []byte(`{"order_id": 12345678901234567890, "price": 1.10}`),
	}
}

func TestAppendJSON_writesEveryAttributeAndPlacesData(t *testing.T) {
	got := string(full().AppendJSON([]byte("before ")))
	want := `before {"specversion":"1.0","id":"orders-3-42","source":"fiso-flow/orders","type":"order.created","subject":"customer-7",` +
		`"datacontenttype":"application/json","dataschema":"https://example.com/order.json","time":"2026-01-31T11:00:00.123456789Z",` +
		`"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tenant":"acme",` +
		`"data":{"order_id": 12345678901234567890, "price": 1.10}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendJSON_placesDataByItsContentType(t *testing.T) {
	for _, tc := range []struct {
		name, contentType string
		data              []byte
		want              string // what follows the other members
	}{
		{"no data", "application/json", nil, ``},
		{"empty data of JSON would break the event", "application/json", []byte{}, ``},
		{"no type is JSON", "", []byte(`1.0`), `,"data":1.0`},
		{"JSON with parameters", "Application/JSON; charset=utf-8", []byte(`null`), `,"data":null`},
		{"JSON by suffix", "application/vnd.order+json", []byte(`[]`), `,"data":[]`},
		{"JSON by subtype", "text/json", []byte(`"a"`), `,"data":"a"`},
		{"text", "text/plain", []byte("a \"b\"\n"), `,"data":"a \"b\"\n"`},
		{"empty text", "text/plain", []byte{}, `,"data":""`},
		{"text that is no UTF-8", "text/plain; charset=latin1", []byte{0xe9}, `,"data_base64":"6Q=="`},
		{"binary", "application/octet-stream", []byte{0, 1, 2, 3}, `,"data_base64":"AAECAw=="`},
		{"empty binary", "application/octet-stream", []byte{}, `,"data_base64":""`},
		{"a type that only looks like JSON", "application/jsonx", []byte(`{}`), `,"data_base64":"e30="`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := Event{DataContentType: tc.contentType, Data: tc.data}
			got := string(e.AppendJSON(nil))
			prefix := `{"specversion":"1.0"`
			if tc.contentType != "" {
				prefix += `,"datacontenttype":"` + tc.contentType + `"`
			}
			if got != prefix+tc.want+"}" {
				t.Errorf("got %s, want data as %s", got, tc.want)
			}
		})
	}
}

func TestAppendJSON_escapesAsEncodingJSONReads(t *testing.T) {
	for _, s := range []string{
		"plain", "ü€😀", "\"\\/\b\f\n\r\t", "\x00\x01\x1f\x7f", "\u2028\u2029", "<&>",
		"\xff", "a\xc3", "\xed\xa0\x80", "x\xf0\x9f\x98", "\xf0\x9f\x98\x80\xf0", "\uFFFD",
	} {
		got := (&Event{Subject: s}).AppendJSON(nil)
		var back struct{ Subject string }
		if err := json.Unmarshal(got, &back); err != nil {
			t.Errorf("%q: %v in %s", s, err, got)
			continue
		}
		viaJSON, _ := json.Marshal(s)
		var want string
		if err := json.Unmarshal(viaJSON, &want); err != nil {
			t.Fatal(err)
		}
		if back.Subject != want {
			t.Errorf("%q came back as %q, want %q", s, back.Subject, want)
		}
	}
}

func TestAppendJSON_allocatesNothingWithRoom(t *testing.T) {
	text := full()
	text.DataContentType, text.Data = "text/plain", []byte("käse \"x\"\n")
	binary := full()
	binary.DataContentType, binary.Data = "application/octet-stream", []byte{1, 2, 3}
	dst := make([]byte, 0, 4096)
	for name, e := range map[string]*Event{"json": full(), "text": text, "binary": binary} {
		if n := testing.AllocsPerRun(100, func() { dst = e.AppendJSON(dst[:0]) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func TestAppendBatch_isAnArrayThatSplitsBack(t *testing.T) {
	for _, events := range [][]*Event{{}, {full()}, {full(), {ID: "2"}, full()}} {
		batch := AppendBatch(nil, events)
		parts, err := SplitBatch(batch)
		if err != nil || len(parts) != len(events) {
			t.Fatalf("%d events came back as %d, %v", len(events), len(parts), err)
		}
		for i := range parts {
			if want := events[i].AppendJSON(nil); !bytes.Equal(parts[i], want) {
				t.Errorf("element %d = %s, want %s", i, parts[i], want)
			}
		}
	}
}

func TestSplitBatch_refusesWhatIsNoArrayOfObjects(t *testing.T) {
	for in, want := range map[string]string{
		``:             "it ends too early, at byte 0, where a batch in brackets is due",
		`{}`:           "where a batch in brackets is due",
		`[{},1]`:       "element 2 is no event in braces",
		`[{}`:          "where a comma or the end is due",
		`[{},]`:        "where a value is due",
		`[{}] []`:      "after the value",
		`[{"a":tru}]`:  "in true",
		`[{"a" 1}]`:    "where a colon is due",
		"\xef\xbb\xbf": "where a batch in brackets is due",
	} {
		if got, err := SplitBatch([]byte(in)); err == nil || !strings.Contains(err.Error(), want) || got != nil {
			t.Errorf("SplitBatch(%q) = %v, %v, want an error with %q", in, got, err, want)
		}
	}
}

func TestParseJSON_readsWhatAppendJSONWrites(t *testing.T) {
	want := full()
	want.Time = want.Time.UTC()
	var got Event
	got.Key = []byte("of the event before")
	if err := ParseJSON(full().AppendJSON(nil), &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("got  %+v\nwant %+v", &got, want)
	}
}

func TestParseJSON_takesMembersAsTheFormatSays(t *testing.T) {
	for _, tc := range []struct {
		name, members string // beside specversion
		want          Event
	}{
		{"data keeps digits and spaces", `"data": {"n" : 1.10e+02,"i":98765432109876543210} `, Event{Data: []byte(`{"n" : 1.10e+02,"i":98765432109876543210}`)}},
		{"data before its type", `"data":"x\u00fcy","datacontenttype":"text/plain"`, Event{DataContentType: "text/plain", Data: []byte("xüy")}},
		{"data null is JSON's null", `"data":null`, Event{Data: []byte("null")}},
		{"data null under text is none", `"data":null,"datacontenttype":"text/plain"`, Event{DataContentType: "text/plain"}},
		{"a string under JSON keeps its quotes", `"data":"a\nb"`, Event{Data: []byte(`"a\nb"`)}},
		{"base64", `"data_base64":"AAEC\/w==","datacontenttype":"application/x"`, Event{DataContentType: "application/x", Data: []byte{0, 1, 2, 255}}},
		{"empty base64 is empty data", `"data_base64":"","datacontenttype":"application/x"`, Event{DataContentType: "application/x", Data: []byte{}}},
		{"base64 of JSON is JSON", `"data_base64":"e30="`, Event{Data: []byte(`{}`)}},
		{"null base64 is none", `"data_base64":null`, Event{}},
		{"numbers and booleans become text", `"n":1.50,"yes":true,"no":false,"neg":-0`, Event{Extensions: []Extension{{"n", "1.50"}, {"yes", "true"}, {"no", "false"}, {"neg", "-0"}}}},
		{"null is absent", `"subject":null,"tenant":null,"time":null`, Event{}},
		{"upper case is folded", `"partitionKey":"a"`, Event{Extensions: []Extension{{"partitionkey", "a"}}}},
		{"an escaped name is the name", `"\u0069d":"7"`, Event{ID: "7"}},
		{"time in another zone", `"time":"2026-01-31T12:00:00.5+01:00"`, Event{Time: time.Date(2026, 1, 31, 11, 0, 0, 5e8, time.UTC)}},
		{"time in small letters", `"time":"2026-01-31t12:00:00z"`, Event{Time: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}},
		{"bytes that are no UTF-8", "\"id\":\"a\xffb\",\"subject\":\"\xff\\n\"", Event{ID: "a\uFFFDb", Subject: "\uFFFD\n"}},
		{"all others", `"id":"1","source":"/s","type":"t","subject":"u","dataschema":"d"`, Event{ID: "1", Source: "/s", Type: "t", Subject: "u", DataSchema: "d"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got Event
			if err := ParseJSON([]byte(` {`+tc.members+`, "specversion" : "1.0" } `), &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestParseJSON_refusesWithWordsThatSayWhy(t *testing.T) {
	many := `{"specversion":"1.0"`
	for i := range maxExtensions + 1 {
		many += `,"x` + strings.Repeat("a", i) + `":1`
	}
	for _, tc := range []struct{ name, in, want string }{
		{"nothing", ``, "it ends too early, at byte 0"},
		{"not an object", `[]`, `'[' where an event in braces is due`},
		{"no specversion", `{"id":"1"}`, "specversion is missing"},
		{"old specversion", `{"specversion":"0.3"}`, `specversion "0.3" is not supported: only CloudEvents 1.0 is`},
		{"specversion as a number", `{"specversion":1.0}`, "attribute specversion must be a string, is 1.0"},
		{"id as a boolean", `{"id":true}`, "attribute id must be a string, is true"},
		{"object attribute", `{"tenant":{}}`, `attribute "tenant" must be a string, number or boolean`},
		{"twice", `{"id":"1","id":"2"}`, "attribute id is there twice"},
		{"extension twice", `{"tenant":"1","Tenant":"2"}`, "attribute tenant is there twice"},
		{"data twice", `{"data":1,"data":2}`, "member data is there twice"},
		{"both data", `{"specversion":"1.0","data":1,"data_base64":""}`, "data and data_base64 are both there"},
		{"core name in upper case", `{"ID":"1"}`, `attribute name "ID" is not allowed: id belongs to CloudEvents itself`},
		{"data in upper case", `{"Data":"1"}`, `data belongs to CloudEvents itself`},
		{"bad name", `{"my_ext":"1"}`, `attribute name "my_ext" is not allowed: lower-case letters and digits only`},
		{"empty name", `{"":"1"}`, `attribute name "" is not allowed`},
		{"long bad name is cut", `{"` + strings.Repeat("é", 99) + `":"1"}`, strings.Repeat("é", 32) + `…" is not allowed`},
		{"bad time", `{"time":"yesterday"}`, `attribute time: "yesterday" is no RFC 3339 time such as`},
		{"object under text", `{"specversion":"1.0","datacontenttype":"text/plain","data":{}}`, `data must be a string, because datacontenttype is "text/plain"`},
		{"bad base64", `{"specversion":"1.0","data_base64":"%"}`, "data_base64: illegal base64"},
		{"base64 as a number", `{"specversion":"1.0","data_base64":7}`, "data_base64 must be a string"},
		{"base64 that would smuggle members in", `{"specversion":"1.0","data_base64":"MSwiaWQiOiJ4Ig=="}`, "data is not valid JSON, though datacontenttype says so"},
		{"too many extensions", many + "}", "more than 256 extension attributes"},
		{"too deep", `{"data":` + strings.Repeat("[", maxDepth+1), "nested deeper than 1000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := *full()
			err := ParseJSON([]byte(tc.in), &got)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "parse CloudEvent: ") {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
			if !reflect.DeepEqual(got, Event{}) {
				t.Errorf("the event was left as %+v", got)
			}
		})
	}
}

func TestParseJSON_agreesWithEncodingJSONOnWhatIsValid(t *testing.T) {
	for _, value := range []string{
		`0`, `-0`, `01`, `-`, `1.`, `.5`, `1.5`, `1e`, `1e5`, `1E-5`, `1e+`, `+1`, `0x1`, `1 2`, `NaN`,
		`true`, `tru`, `trueX`, `null`, `nul`, `false`, `fals`, `"`, `"a`, `"\x"`, `"\u12"`, `"\u12g4"`, `"\u12F4"`, `"\`, `"\u`, "\"\t\"", `"\ud800"`,
		`[]`, `[1,]`, `[,1]`, `[1 2]`, `[1`, `[`, `{}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1`, `{"a`, `{"a":[{"b":[]}]}`, "[\r\n\t ]", "\v1", `1//`, "\x00", `"` + "\x00" + `"`,
	} {
		document := []byte(`{"specversion":"1.0","data":` + value + `}`)
		err := ParseJSON(document, new(Event))
		if want := json.Valid(document); (err == nil) != want {
			t.Errorf("%s: %v, but encoding/json says valid = %v", value, err, want)
		}
	}
}

func FuzzParseJSON(f *testing.F) {
	f.Add(full().AppendJSON(nil))
	f.Add([]byte(`{"specversion":"1.0","id":"1","data_base64":"AAE=","datacontenttype":"application/x","n":1}`))
	f.Add([]byte(`{"specversion":"1.0","data":"\ud83d\ude00\u0000","datacontenttype":"text/plain","time":"2026-01-31T12:00:00+01:00"}`))
	f.Add([]byte(`{"specversion":"1.0","data":[1e5,-0.1,{"a":null}], "Ext" : true }`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e Event
		if err := ParseJSON(data, &e); err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("accepted JSON that is not valid: %q", data)
		}
		written := e.AppendJSON(nil)
		var again Event
		if err := ParseJSON(written, &again); err != nil {
			t.Fatalf("%q was written as %q, which is refused: %v", data, written, err)
		}
		if len(e.Extensions) == 0 {
			e.Extensions, again.Extensions = nil, nil
		}
		if !reflect.DeepEqual(e, again) {
			t.Fatalf("%q: %+v came back as %+v", data, e, again)
		}
	})
}

func FuzzSplitBatch(f *testing.F) {
	f.Add(AppendBatch(nil, []*Event{full(), full()}))
	f.Add([]byte(`[ {"a":[]} , {} ]`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		events, err := SplitBatch(data)
		if err != nil {
			return
		}
		var want []json.RawMessage
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %q: %v", data, err)
		}
		if len(events) != len(want) {
			t.Fatalf("%q: %d events, want %d", data, len(events), len(want))
		}
		for i := range want {
			if !bytes.Equal(events[i], want[i]) {
				t.Fatalf("%q: event %d is %q, want %q", data, i, events[i], want[i])
			}
		}
	})
}

func BenchmarkAppendJSON(b *testing.B) {
	e := full()
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		dst = e.AppendJSON(dst[:0])
	}
	b.SetBytes(int64(len(dst)))
}

func BenchmarkParseJSON(b *testing.B) {
	data := full().AppendJSON(nil)
	var e Event
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := ParseJSON(data, &e); err != nil {
			b.Fatal(err)
		}
	}
}

// Every byte at every place of a word, and of what is left behind it.
func TestAppendString_seesEachByteThatNeedsMore(t *testing.T) {
	for c := range 256 {
		for at := range 19 {
			s := []byte("abcdefghijklmnopqrs")
			s[at] = byte(c)
			want := c >= ' ' && c < 0x80 && c != '"' && c != '\\'
			if plain(s) != want || plain(string(s)) != want {
				t.Fatalf("byte %#x at %d: plain is %v", c, at, !want)
			}
			if at > 0 {
				s[at-1] = ' ' // above the least plain byte
				if plain(s) != want {
					t.Fatalf("byte %#x at %d, above a space: plain is %v", c, at, !want)
				}
			}
		}
	}
}
