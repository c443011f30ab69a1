package cloudevent

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/lazyjson"
)

// full is an event with every attribute.
func full() *Event {
	return &Event{
		ID: "orders-3-42", Source: "fiso-flow/orders", Type: "order.created", Subject: "customer-7",
		Time:            time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.FixedZone("", 3600)),
		DataContentType: "application/json", DataSchema: "https://example.com/order.json",
		Extensions: []Extension{
			{Name: "traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, {Name: "tenant", Value: "acme"},
			{Name: "attempt", Value: "-7", Kind: Integer}, {Name: "sampled", Value: "true", Kind: Boolean},
		},
		Data: known(`{"order_id": 12345678901234567890, "price": 1.10}`),
	}
}

// known makes data that JSON has checked.
func known(s string) Data {
	d, err := JSON([]byte(s))
	if err != nil {
		panic(err)
	}
	return d
}

// encode writes e in the JSON format.
func encode(t testing.TB, e *Event) []byte {
	t.Helper()
	b, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAppendJSON_writesEveryAttributeAndPlacesData(t *testing.T) {
	got, err := full().AppendJSON([]byte("before "))
	if err != nil {
		t.Fatal(err)
	}
	want := `before {"specversion":"1.0","id":"orders-3-42","source":"fiso-flow/orders","type":"order.created","subject":"customer-7",` +
		`"datacontenttype":"application/json","dataschema":"https://example.com/order.json","time":"2026-01-31T11:00:00.123456789Z",` +
		`"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tenant":"acme","attempt":-7,"sampled":true,` +
		`"data":{"order_id": 12345678901234567890, "price": 1.10}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendJSON_placesDataByItsContentType(t *testing.T) {
	for _, tc := range []struct {
		name, contentType string
		data              []byte
		want              string // the members after the fixed ones
	}{
		{"no data", "application/json", nil, ``},
		{"empty data of JSON would break the event", "application/json", []byte{}, ``},
		{"empty data without a type", "", []byte{}, ``},
		{"no type is no JSON by assumption", "", []byte(`1.0`), `,"data_base64":"MS4w"`},
		{"JSON with parameters", "Application/JSON; charset=utf-8", []byte(`null`), `,"data":null`},
		{"JSON by suffix", "application/vnd.order+json", []byte(`[]`), `,"data":[]`},
		{"JSON by subtype", "text/json", []byte(`"a"`), `,"data":"a"`},
		{"text", "text/plain", []byte("a \"b\"\n"), `,"data":"a \"b\"\n"`},
		{"empty text", "text/plain", []byte{}, `,"data":""`},
		{"text in a charset", "text/plain; charset=utf8", []byte("ü"), `,"data":"ü"`},
		{"text in another charset, that happens to be UTF-8", "text/plain; charset=iso-8859-1", []byte("ü"), `,"data_base64":"w7w="`},
		{"text that is no UTF-8", "text/plain; charset=latin1", []byte{0xe9}, `,"data_base64":"6Q=="`},
		{"binary", "application/octet-stream", []byte{0, 1, 2, 3}, `,"data_base64":"AAECAw=="`},
		{"empty binary", "application/octet-stream", []byte{}, `,"data_base64":""`},
		{"a type that only looks like JSON", "application/jsonx", []byte(`{}`), `,"data_base64":"e30="`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := Event{DataContentType: tc.contentType, Data: Bytes(tc.data)}
			got := string(encode(t, &e))
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
		got := encode(t, &Event{Subject: s})
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
	text.DataContentType, text.Data = "text/plain", Bytes([]byte("käse \"x\"\n"))
	binary := full()
	binary.DataContentType, binary.Data = "application/octet-stream", Bytes([]byte{1, 2, 3})
	unchecked := full()
	unchecked.Data = Bytes(unchecked.Data.Bytes())
	dst := make([]byte, 0, 4096)
	for name, e := range map[string]*Event{"json": full(), "unchecked": unchecked, "text": text, "binary": binary} {
		if n := testing.AllocsPerRun(100, func() { dst, _ = e.AppendJSON(dst[:0]) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func TestAppendBatch_isAnArrayThatSplitsBack(t *testing.T) {
	for _, events := range [][]*Event{{}, {full()}, {full(), {ID: "2"}, full()}} {
		batch, err := AppendBatch(nil, events)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := SplitBatch(batch)
		if err != nil || len(parts) != len(events) {
			t.Fatalf("%d events came back as %d, %v", len(events), len(parts), err)
		}
		for i := range parts {
			if want := encode(t, events[i]); !bytes.Equal(parts[i], want) {
				t.Errorf("element %d = %s, want %s", i, parts[i], want)
			}
		}
	}
}

func TestSplitBatch_refusesWhatIsNoArrayOfObjects(t *testing.T) {
	for in, want := range map[string]string{
		``:               "not valid JSON at byte 0: it ends too early",
		`{}`:             "a batch must be a list, and this is an object",
		`[{},1]`:         "element 2 is not an object",
		`[{}`:            "it ends too early",
		`[{},]`:          "not the beginning of a value",
		`[{}] []`:        "there is more after the end of the value",
		`[{"a":tru}]`:    "neither true, false nor null",
		`[{"a" 1}]`:      "a colon is missing",
		"\xef\xbb\xbf[]": "a byte order mark, which JSON does not have",
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
	if err := ParseJSON(encode(t, full()), &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("got  %+v\nwant %+v", &got, want)
	}
}

// U9: among them implied content types, and the kinds of extensions.
func TestParseJSON_takesMembersAsTheFormatSays(t *testing.T) {
	json := func(data string) Event { return Event{DataContentType: "application/json", Data: known(data)} }
	for _, tc := range []struct {
		name, members string // besides specversion
		want          Event
	}{
		{"data keeps digits and spaces", `"data": {"n" : 1.10e+02,"i":98765432109876543210} `, json(`{"n" : 1.10e+02,"i":98765432109876543210}`)},
		{"data before its type", `"data":"x\u00fcy","datacontenttype":"text/plain"`, Event{DataContentType: "text/plain", Data: Bytes([]byte("xüy"))}},
		{"data null is JSON's null", `"data":null`, json("null")},
		{"data null under text is none", `"data":null,"datacontenttype":"text/plain"`, Event{DataContentType: "text/plain"}},
		{"a string under JSON keeps its quotes", `"data":"a\nb"`, json(`"a\nb"`)},
		{"base64", `"data_base64":"AAEC\/w==","datacontenttype":"application/x"`, Event{DataContentType: "application/x", Data: Bytes([]byte{0, 1, 2, 255})}},
		{"empty base64 is empty data", `"data_base64":"","datacontenttype":"application/x"`, Event{DataContentType: "application/x", Data: Bytes([]byte{})}},
		{"base64 of JSON is JSON", `"data_base64":"e30=","datacontenttype":"application/json"`, json(`{}`)},
		{"base64 without a type has none", `"data_base64":"e30="`, Event{Data: Bytes([]byte(`{}`))}},
		{"base64 of nothing, said to be JSON", `"data_base64":"","datacontenttype":"application/json"`, Event{DataContentType: "application/json", Data: Bytes([]byte{})}},
		{"ASCII in any charset", `"data":"a","datacontenttype":"text/plain; charset=iso-8859-1"`, Event{DataContentType: "text/plain; charset=iso-8859-1", Data: Bytes([]byte("a"))}},
		{"null base64 is none", `"data_base64":null`, Event{}},
		{"integers and booleans stay such", `"n":2147483647,"yes":true,"no":false,"neg":-2147483648,"text":"7","zero":-0`, Event{Extensions: []Extension{
			{"n", "2147483647", Integer}, {"yes", "true", Boolean}, {"no", "false", Boolean}, {"neg", "-2147483648", Integer}, {"text", "7", Text}, {"zero", "-0", Integer},
		}}},
		{"an extension may be empty", `"tenant":""`, Event{Extensions: []Extension{{Name: "tenant"}}}},
		{"a surrogate pair", `"id":"\\\ud83d\ude00"`, Event{ID: "\\😀"}},
		{"null is absent", `"subject":null,"tenant":null,"time":null`, Event{}},
		{"upper case is folded", `"partitionKey":"a"`, Event{Extensions: []Extension{{Name: "partitionkey", Value: "a"}}}},
		{"an escaped name is the name", `"\u0069d":"7"`, Event{ID: "7"}},
		{"time in another zone", `"time":"2026-01-31T12:00:00.5+01:00"`, Event{Time: time.Date(2026, 1, 31, 11, 0, 0, 5e8, time.UTC)}},
		{"time in small letters", `"time":"2026-01-31t12:00:00z"`, Event{Time: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}},
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

// U9: among them attributes that are empty or not of their type.
func TestParseJSON_refusesWithWordsThatSayWhy(t *testing.T) {
	many := `{"specversion":"1.0"`
	for i := range maxExtensions + 1 {
		many += `,"x` + strings.Repeat("a", i) + `":1`
	}
	for _, tc := range []struct{ name, in, want string }{
		{"nothing", ``, "not valid JSON at byte 0: it ends too early"},
		{"not an object", `[]`, "an event must be an object, and this is a list"},
		{"no specversion", `{"id":"1"}`, "specversion is missing"},
		{"old specversion", `{"specversion":"0.3"}`, `specversion "0.3" is not supported: only CloudEvents 1.0 is`},
		{"specversion as a number", `{"specversion":1.0}`, "attribute specversion must be a string, and this is a number"},
		{"id as a boolean", `{"id":true}`, "attribute id must be a string, and this is a boolean"},
		{"empty subject", `{"subject":""}`, "attribute subject is empty: set a value or leave it out"},
		{"empty dataschema", `{"dataschema":""}`, "attribute dataschema is empty"},
		{"empty datacontenttype", `{"datacontenttype":""}`, "attribute datacontenttype is empty"},
		{"a content type that is none", `{"datacontenttype":"json"}`, `attribute datacontenttype: "json" is not a content type such as application/json`},
		{"a content type with a parameter that is none", `{"datacontenttype":"text/plain; x"}`, `"text/plain; x" is not a content type`},
		{"a number with a fraction", `{"n":1.5}`, `attribute n: the number is not a 32-bit integer, and CloudEvents has no other numbers: send a string`},
		{"a number with an exponent", `{"n":1e3}`, "attribute n: the number is not a 32-bit integer"},
		{"a number above 32 bits", `{"n":2147483648}`, "attribute n: the number is not a 32-bit integer"},
		{"a number below 32 bits", `{"n":-2147483649}`, "attribute n: the number is not a 32-bit integer"},
		{"half a surrogate pair", `{"id":"\ud83d"}`, `attribute "id" has half of a surrogate pair`},
		{"low half of a surrogate pair", `{"id":"\ude00"}`, `attribute "id" has half of a surrogate pair`},
		{"half a pair and another escape", `{"id":"\ud83d\n"}`, `attribute "id" has half of a surrogate pair`},
		{"bytes that are not UTF-8", "{\"specversion\":\"1.0\",\"data\":{\"a\":\"\xff\"}}", "not valid JSON at byte 34: bytes that are not UTF-8"},
		{"a byte order mark", "\xef\xbb\xbf{}", "a byte order mark, which JSON does not have"},
		{"text that its charset may not hold", `{"specversion":"1.0","data":"ü","datacontenttype":"text/plain; charset=latin1"}`, "cannot become bytes of the charset"},
		{"a time after the year 9999 in UTC", `{"time":"9999-12-31T23:59:59-01:00"}`, "attribute time: the year in UTC, 10000, cannot be written as RFC 3339"},
		{"a leap second after the year 9999", `{"time":"9999-12-31T23:59:60Z"}`, "attribute time: the year in UTC, 10000, cannot"},
		{"a time before the year 0 in UTC", `{"time":"0000-01-01T00:00:00+01:00"}`, "attribute time: the year in UTC, -1, cannot"},
		{"object attribute", `{"tenant":{}}`, `attribute "tenant" must be a string, number or boolean`},
		{"twice", `{"id":"1","id":"2"}`, "attribute id occurs twice"},
		{"extension twice", `{"tenant":"1","Tenant":"2"}`, "attribute tenant occurs twice"},
		{"data twice", `{"data":1,"data":2}`, "member data occurs twice"},
		{"both data", `{"specversion":"1.0","data":1,"data_base64":""}`, "data and data_base64 are both set"},
		{"core name in upper case", `{"ID":"1"}`, `attribute name "ID" is not allowed: id belongs to CloudEvents itself`},
		{"data in upper case", `{"Data":"1"}`, `data belongs to CloudEvents itself`},
		{"bad name", `{"my_ext":"1"}`, `attribute name "my_ext" is not allowed: lower-case letters and digits only`},
		{"empty name", `{"":"1"}`, `attribute name "" is not allowed`},
		{"long bad name is cut", `{"` + strings.Repeat("é", 99) + `":"1"}`, strings.Repeat("é", 32) + `…" is not allowed`},
		{"bad time", `{"time":"yesterday"}`, `attribute time: "yesterday" is not an RFC 3339 time such as`},
		{"object under text", `{"specversion":"1.0","datacontenttype":"text/plain","data":{}}`, `data must be a string, because datacontenttype is "text/plain"`},
		{"bad base64", `{"specversion":"1.0","data_base64":"%"}`, "data_base64: illegal base64"},
		{"base64 as a number", `{"specversion":"1.0","data_base64":7}`, "data_base64 must be a string"},
		{"base64 that would smuggle members in", `{"specversion":"1.0","datacontenttype":"a/b+json","data_base64":"MSwiaWQiOiJ4Ig=="}`,
			`data_base64 is not what datacontenttype "a/b+json" says: not valid JSON at byte 1: there is more after the end of the value`},
		{"too many extensions", many + "}", "more than 256 extension attributes"},
		{"too deep", `{"data":` + strings.Repeat("[", lazyjson.MaxDepth+1), "nests deeper than 1000 levels"},
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
	f.Add(encode(f, full()))
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
		written := encode(t, &e)
		var again Event
		if err := ParseJSON(written, &again); err != nil {
			t.Fatalf("%q was written as %q, which is refused: %v", data, written, err)
		}
		if len(e.Extensions) == 0 {
			e.Extensions, again.Extensions = nil, nil
		}
		if e.Data.Len() == 0 && again.Data.Len() == 0 {
			e.Data, again.Data = Data{}, Data{} // one may have no data, the other data without bytes
		}
		if !reflect.DeepEqual(e, again) {
			t.Fatalf("%q: %+v came back as %+v", data, e, again)
		}
	})
}

func FuzzSplitBatch(f *testing.F) {
	f.Add([]byte("[" + string(encode(f, full())) + "," + string(encode(f, full())) + "]"))
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
	e.Extensions = e.Extensions[:2]
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = e.AppendJSON(dst[:0])
	}
	b.SetBytes(int64(len(dst)))
}

// The additional cost of AppendJSON for unchecked data.
func BenchmarkCheckData(b *testing.B) {
	for name, data := range map[string]string{
		"small": string(full().Data.Bytes()),
		"order": `{"legacy_id":"A-10293","order_status":"shipped","customer":{"id":8812,"name":"Jane Miller","email":"jane@example.com"},` +
			`"items":[{"sku":"KX-1","quantity":2,"price":19.99},{"sku":"KX-22","quantity":1,"price":5.00}],"region":"eu","total":44.98,` +
			`"address":{"street":"Long Street 12","city":"Hamburg","zip":"20095","country":"DE"},"note":"leave it at the door, please",` +
			`"big":9007199254740993,"huge":123456789012345678901234567890,"vip":true,"none":null,"tags":["a","b","c"],"pad":"xxxxxxxxxxxxxxxxxxx"}`,
		"text": `{"note":"` + strings.Repeat("x", 1000) + `"}`,
	} {
		b.Run(name, func(b *testing.B) {
			e := Event{DataContentType: "application/json", Data: Bytes([]byte(data))}
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := e.CheckData(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseJSON(b *testing.B) {
	sample := full()
	sample.Extensions = sample.Extensions[:2]
	data := encode(b, sample)
	var e Event
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := ParseJSON(data, &e); err != nil {
			b.Fatal(err)
		}
	}
}

// Every byte at every place of an eight-byte word, and of the rest after it.
func TestAppendString_seesEachByteThatNeedsMore(t *testing.T) {
	for c := range 256 {
		for at := range 19 {
			s := []byte("abcdefghijklmnopqrs")
			s[at] = byte(c)
			want := c >= ' ' && c < 0x80 && c != '"' && c != '\\'
			if isPlainASCII(s) != want || isPlainASCII(string(s)) != want {
				t.Fatalf("byte %#x at %d: plain is %v", c, at, !want)
			}
			if at > 0 {
				s[at-1] = ' ' // above the least plain byte
				if isPlainASCII(s) != want {
					t.Fatalf("byte %#x at %d, above a space: plain is %v", c, at, !want)
				}
			}
		}
	}
}

// U21: a text that is not valid Unicode would become another text, and two different
// texts could become the same.
func TestParseJSON_refusesTextThatNoBytesStandFor(t *testing.T) {
	for name, data := range map[string]string{"a first half": `"a\ud800"`, "a second half": `"\udc00b"`, "halves in the wrong order": `"\udc00\ud800"`} {
		t.Run(name, func(t *testing.T) {
			var e Event
			const want = "parse CloudEvent: data is text with half of a surrogate pair, which is no character: send data_base64"
			err := ParseJSON([]byte(`{"specversion":"1.0","datacontenttype":"text/plain","data":`+data+`}`), &e)
			if err == nil || err.Error() != want {
				t.Errorf("got %v and data %q", err, e.Data.Bytes())
			}
			if err := ParseJSON([]byte(`{"specversion":"1.0","data":`+data+`}`), &e); err != nil || string(e.Data.Bytes()) != data {
				t.Errorf("data that is JSON goes on as it came: got %q, %v", e.Data.Bytes(), err)
			}
		})
	}
}
