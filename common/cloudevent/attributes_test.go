package cloudevent

import (
	"iter"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestAttributes_yieldsAllButContentTypeInOrder(t *testing.T) {
	var got []string
	for name, value := range full().Attributes {
		got = append(got, name+"="+value)
	}
	want := []string{
		"specversion=1.0", "id=orders-3-42", "source=fiso-flow/orders", "type=order.created", "subject=customer-7",
		"dataschema=https://example.com/order.json", "time=2026-01-31T11:00:00.123456789Z",
		"traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tenant=acme", "attempt=-7", "sampled=true",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAttributes_stopsWhereverTheCallerDoes(t *testing.T) {
	for stop := 1; stop <= 9; stop++ {
		n := 0
		full().Attributes(func(string, string) bool { n++; return n < stop })
		if n != stop {
			t.Errorf("asked to stop after %d, was given %d", stop, n)
		}
	}
	var bare []string
	for name := range (&Event{ID: "1"}).Attributes {
		bare = append(bare, name)
	}
	if !reflect.DeepEqual(bare, []string{"specversion", "id"}) {
		t.Errorf("absent attributes were not left out: %q", bare)
	}
}

func headers(pairs ...string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i := 0; i < len(pairs); i += 2 {
			if !yield(pairs[i], []byte(pairs[i+1])) {
				return
			}
		}
	}
}

func TestFromHeaders_readsBackWhatAttributesGave(t *testing.T) {
	for _, prefix := range []string{HTTPPrefix, KafkaPrefix} {
		want := full()
		want.Subject = `a "b" 100% ü`
		pairs := []string{"Content-Type", want.DataContentType, "X-Other", "x", "ce", "short"}
		for name, value := range want.Attributes {
			if prefix == HTTPPrefix {
				value = EncodeHeader(value)
			}
			pairs = append(pairs, strings.ToUpper(prefix+name), value)
		}
		got := Event{Key: []byte("old"), Data: Bytes([]byte("old"))}
		found, err := FromHeaders(prefix, headers(pairs...), &got)
		want.Data, want.Time = Data{}, want.Time.UTC()
		for i := range want.Extensions {
			want.Extensions[i].Kind = Text // headers have no other kind
		}
		if err != nil || !found || !reflect.DeepEqual(&got, want) {
			t.Errorf("%s: %v %v\ngot  %+v\nwant %+v", prefix, found, err, &got, want)
		}
	}
}

// U33: an event with both content types was refused if the HTTP library of its sender had
// added a charset.
func TestFromHeaders_takesTwoContentTypesThatSayTheSame(t *testing.T) {
	for _, row := range []struct{ name, own, contentType string }{
		{"a charset was added", "application/json", "application/json; charset=UTF-8"},
		{"a charset was left out", "text/plain;charset=utf-8", "text/plain"},
		{"in another case, with another blank", "Application/JSON;v=1", "application/json; v=1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var e Event
			found, err := FromHeaders(HTTPPrefix, headers("ce-specversion", "1.0", "ce-id", "1", "ce-source", "/s", "ce-type", "t",
				"ce-datacontenttype", row.own, "content-type", row.contentType), &e)
			if !found || err != nil || e.DataContentType != row.contentType {
				t.Errorf("%v, %v, content type %q", found, err, e.DataContentType)
			}
		})
	}
}

func TestFromHeaders_saysWhatIsNoEventAndWhatIsABadOne(t *testing.T) {
	for _, tc := range []struct {
		name, want string // "" means: neither event nor error
		pairs      []string
	}{
		{"no headers", "", nil},
		{"no specversion", "", []string{"ce_id", "1", "content-type", "text/plain"}},
		{"old specversion", `specversion "0.3" is not supported`, []string{"ce_specversion", "0.3"}},
		{"twice", "attribute id occurs twice", []string{"ce_id", "1", "CE_ID", "2"}},
		{"content type twice", "header content-type occurs twice", []string{"content-type", "a/b", "Content-Type", "a/b"}},
		{"bad name", `attribute name "a-b" is not allowed`, []string{"ce_a-b", "1"}},
		{"data as an extension", `data belongs to CloudEvents itself`, []string{"ce_data", "1"}},
		{"empty subject", "attribute subject is empty", []string{"ce_specversion", "1.0", "ce_subject", ""}},
		{"empty content type", "attribute datacontenttype is empty", []string{"ce_specversion", "1.0", "content-type", ""}},
		{"content type that is none", `attribute datacontenttype: "json" is not a content type`, []string{"ce_specversion", "1.0", "content-type", "json"}},
		{"two content types", "ce_datacontenttype and content-type differ", []string{"ce_specversion", "1.0", "ce_datacontenttype", "text/plain", "content-type", "text/html"}},
		{"two content types in other charsets", "ce_datacontenttype and content-type differ", []string{"ce_specversion", "1.0", "ce_datacontenttype", "text/plain", "content-type", "text/plain; charset=latin1"}},
		{"two content types with other parameters", "ce_datacontenttype and content-type differ", []string{"ce_specversion", "1.0", "ce_datacontenttype", "application/json", "content-type", "application/json; profile=x"}},
		{"not UTF-8", `attribute "subject": the value is not UTF-8`, []string{"ce_specversion", "1.0", "ce_subject", "a\xff"}},
		{"content type not UTF-8", `attribute "datacontenttype": the value is not UTF-8`, []string{"ce_specversion", "1.0", "content-type", "a/b\xff"}},
		{"bad time", "not an RFC 3339 time", []string{"ce_time", "noon"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := *full()
			found, err := FromHeaders(KafkaPrefix, headers(tc.pairs...), &e)
			if found || !reflect.DeepEqual(e, Event{}) {
				t.Errorf("found = %v, event left as %+v", found, e)
			}
			if (tc.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestEncodeHeader_keepsEveryByteThatCouldEndTheHeaderOut(t *testing.T) {
	for in, want := range map[string]string{
		"plain-~!/":    "plain-~!/",
		"":             "",
		`a "b" 100%`:   "a%20%22b%22%20100%25",
		"Euro € 😀":     "Euro%20%E2%82%AC%20%F0%9F%98%80", // the example of the HTTP binding
		"x\r\nSet: y":  "x%0D%0ASet:%20y",
		"\x7f\x00":     "%7F%00",
		"bad \xff end": "bad%20%EF%BF%BD%20end",
	} {
		got := EncodeHeader(in)
		if got != want {
			t.Errorf("EncodeHeader(%q) = %q, want %q", in, got, want)
		}
		if back, err := DecodeHeader(got); err != nil || back != strings.ToValidUTF8(in, "\uFFFD") {
			t.Errorf("%q came back as %q, %v", in, back, err)
		}
	}
}

func TestDecodeHeader_takesWhatOthersSend(t *testing.T) {
	for in, want := range map[string]string{
		`"quoted \"x\" \\"`: `quoted "x" \`,
		`"a%20b"`:           "a b",
		`"open`:             `"open`,
		`"`:                 `"`,
		`"\`:                `"\`,
		`"\"`:               `\`,
		"100%":              "100%",
		"%4":                "%4",
		"%zz%4g%41":         "%zz%4gA",
		"%e2%82%ac":         "€",
		"%2541":             "%41", // one round only
		"Köln":              "Köln",
	} {
		if got, err := DecodeHeader(in); err != nil || got != want {
			t.Errorf("DecodeHeader(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestValidate_namesEveryFault(t *testing.T) {
	if err := full().Validate(); err != nil {
		t.Errorf("a good event: %v", err)
	}
	many := full()
	for i := range maxExtensions {
		many.Extensions = append(many.Extensions, Extension{Name: "x" + strings.Repeat("a", i)})
	}
	for _, tc := range []struct {
		name string
		e    *Event
		want []string
	}{
		{"empty", &Event{}, []string{"attribute id is missing", "attribute source is missing", "attribute type is missing"}},
		{"extensions", &Event{ID: "1", Source: "s", Type: "t", Extensions: []Extension{{Name: "a"}, {Name: "a"}, {Name: "A"}, {}, {Name: "id"}, {Name: "data"}, {Name: "n", Kind: Integer}, {Name: "b", Value: "TRUE", Kind: Boolean}, {Name: "k", Kind: 9}}}, []string{
			"extension n: the value is not of its kind, which is Integer", "extension b: the value is not of its kind, which is Boolean", "extension k: the value is not of its kind, which is unknown",
			"extension a occurs twice", `attribute name "A"`, `attribute name ""`, "extension id: the name belongs", "extension data: the name belongs",
		}},
		{"content type", &Event{ID: "1", Source: "s", Type: "t", DataContentType: "json"}, []string{`attribute datacontenttype: "json" is not a content type`}},
		{"year", &Event{ID: "1", Source: "s", Type: "t", Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, []string{"the year in UTC, 10000, cannot be written"}},
		{"many", many, []string{"more than 256 extension attributes"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.e.Validate()
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
			if n := strings.Count(err.Error(), "\n") + 1; n != len(tc.want) {
				t.Errorf("%d faults, want %d: %v", n, len(tc.want), err)
			}
		})
	}
}

func TestExtension_isFoundAndReplaced(t *testing.T) {
	var e Event
	e.SetExtension("tenant", "a")
	e.SetExtension("region", "eu")
	e.SetExtension("tenant", "b")
	if v, ok := e.Extension("tenant"); v != "b" || !ok || len(e.Extensions) != 2 {
		t.Errorf("tenant = %q, %v of %v", v, ok, e.Extensions)
	}
	if v, ok := e.Extension("absent"); v != "" || ok {
		t.Errorf("absent = %q, %v", v, ok)
	}
}
