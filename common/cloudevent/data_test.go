package cloudevent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lsm/fiso/common/lazyjson"
)

// notJSON are payloads with a JSON content type that are not JSON, with their errors.
var notJSON = []struct{ name, data, want string }{
	{"attributes of an event", `1,"type":"refund.approved","source":"/bank"`, "not valid JSON at byte 1: there is more after the end of the value"},
	{"the end of the event", `1}`, "not valid JSON at byte 1: there is more after the end of the value"},
	{"text", `hello`, "not valid JSON at byte 0: not the beginning of a value"},
	{"lines of JSON", "{\"a\":1}\n{\"a\":2}\n", "not valid JSON at byte 8: there is more after the end of the value"},
	{"byte order mark", "\xef\xbb\xbf{}", "a byte order mark, which JSON does not have"},
	{"NaN", `{"a":NaN}`, "not valid JSON at byte 5: not the beginning of a value"},
	{"bytes that are not UTF-8", "{\"a\":\"\xff\"}", "not valid JSON at byte 6: bytes that are not UTF-8"},
	{"half a surrogate in bytes", "{\"a\":\"\xed\xa0\x80\"}", "not valid JSON at byte 6: bytes that are not UTF-8"},
	{"white space", " \n", "it ends too early"},
	{"nested deeper than a reader takes", strings.Repeat("[", lazyjson.MaxDepth+1) + strings.Repeat("]", lazyjson.MaxDepth+1), "nests deeper than 1000 levels"},
}

// U1: data with a JSON content type became part of the event unchecked, so that a sender
// could set the type and source of the event.
func TestAppendJSON_refusesDataThatIsNotTheJSONItSays(t *testing.T) {
	for _, row := range notJSON {
		for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "text/json", "application/vnd.order+JSON"} {
			t.Run(row.name+" as "+contentType, func(t *testing.T) {
				e := &Event{ID: "1", Source: "/shop", Type: "order.created", DataContentType: contentType, Data: Bytes([]byte(row.data))}
				got, err := e.AppendJSON([]byte("before"))
				want := fmt.Sprintf("write the event as JSON: data is not what datacontenttype %q says: ", contentType)
				if _, ok := errors.AsType[*EncodeError](err); !ok || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), row.want) {
					t.Errorf("error %v, want one that begins with %q and has %q", err, want, row.want)
				}
				if string(got) != "before" {
					t.Errorf("wrote %q all the same", got)
				}
				sound := full()
				if batch, err := AppendBatch([]byte("before"), []*Event{sound, e, sound}); err == nil || string(batch) != "before" {
					t.Errorf("a batch became %q, %v", batch, err)
				}
				if _, err := JSON([]byte(row.data)); err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("JSON took it: %v", err)
				}
			})
		}
	}
}

// An error names the place and the kind of a fault: data and attribute values belong to
// the sender and may be secret.
func TestErrors_quoteNoDataAndNoValue(t *testing.T) {
	const canary = "~canary" // not even its first byte
	for _, data := range []string{canary, `"` + canary, `{"a":` + canary, `"\` + canary + `"`, `7` + canary, `{"` + canary + `" 1}`, `"` + canary + "\xff\"", "\"" + canary + "\n\""} {
		_, err := JSON([]byte(data))
		event := `{"specversion":"1.0","id":"` + canary + `","data":` + data + `}`
		for name, err := range map[string]error{
			"data":       err,
			"an event":   ParseJSON([]byte(event), new(Event)),
			"a batch":    func() error { _, err := SplitBatch([]byte("[" + event + "]")); return err }(),
			"to be sent": (&Event{DataContentType: plainJSON, Data: Bytes([]byte(data))}).CheckData(),
		} {
			if err == nil || strings.ContainsAny(err.Error(), "~") || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s of %q: %v", name, data, err)
			}
		}
	}
	for _, value := range []string{`4242`, `true`, `["canary"]`} {
		err := ParseJSON([]byte(`{"specversion":"1.0","id":`+value+`}`), new(Event))
		if err == nil || strings.Contains(err.Error(), strings.Trim(value, `[]"`)) {
			t.Errorf("an id that is %s: %v", value, err)
		}
	}
}

func TestAppendJSON_refusesExtensionsThatWouldBeOtherMembers(t *testing.T) {
	for name, extensions := range map[string][]Extension{
		"a core attribute": {{Name: "type", Value: "forged"}},
		"data":             {{Name: "data", Value: "forged"}},
		"data_base64":      {{Name: "data_base64", Value: "AA=="}},
		"a name twice":     {{Name: "tenant", Value: "a"}, {Name: "tenant", Value: "b"}},
		"no integer":       {{Name: "n", Value: `1,"type":"forged"`, Kind: Integer}},
		"no boolean":       {{Name: "b", Value: `true,"type":"forged"`, Kind: Boolean}},
		"no kind":          {{Name: "k", Value: "x", Kind: 3}},
		"no name":          {{Name: `x":1,"type`, Value: "forged"}},
	} {
		got, err := (&Event{ID: "1", Source: "/s", Type: "t", Extensions: extensions}).AppendJSON(nil)
		if _, ok := errors.AsType[*EncodeError](err); !ok || len(got) > 0 {
			t.Errorf("%s: wrote %s, %v", name, got, err)
		}
	}
}

// U1: ParseJSON can read data of the greatest depth that JSON accepts again, from a single
// event and from a batch.
func TestJSON_isDeepAtMostWhatIsReadInABatchOrAlone(t *testing.T) {
	nested := func(depth int) []byte { return []byte(strings.Repeat("[", depth) + strings.Repeat("]", depth)) }
	d, err := JSON(nested(lazyjson.MaxDepth))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := JSON(nested(lazyjson.MaxDepth + 1)); err == nil || !strings.Contains(err.Error(), "nests deeper than 1000 levels") {
		t.Errorf("one deeper: %v", err)
	}
	e := &Event{ID: "1", Source: "/s", Type: "t", DataContentType: "application/json", Data: d}
	alone := encode(t, e)
	batch, err := AppendBatch(nil, []*Event{e})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := SplitBatch(batch)
	if err != nil || len(parts) != 1 {
		t.Fatalf("the batch is refused: %v", err)
	}
	for _, written := range [][]byte{alone, parts[0]} {
		var back Event
		if err := ParseJSON(written, &back); err != nil || !reflect.DeepEqual(back.Data, d) {
			t.Errorf("the event is refused: %v", err)
		}
	}
}

func TestData_isBytesOrNone(t *testing.T) {
	var none Data
	if none.Bytes() != nil || none.Len() != 0 || Bytes(nil).Bytes() != nil {
		t.Error("no data has bytes")
	}
	if d := Bytes([]byte{}); d.Bytes() == nil || d.Len() != 0 {
		t.Error("data of no bytes is none")
	}
	if d := Bytes([]byte("ab")); string(d.Bytes()) != "ab" || d.Len() != 2 {
		t.Errorf("data is %q, %d bytes", d.Bytes(), d.Len())
	}
}

// FuzzAppendJSON: for any attributes and data, AppendJSON either writes each member of the
// event once and no other, or returns an error and writes nothing.
func FuzzAppendJSON(f *testing.F) {
	f.Add("1", "/shop", "order.created", "s", "application/json", "tenant", "acme", uint8(0), []byte(`1,"type":"refund.approved","source":"/bank"`))
	f.Add("1", "/shop", "t", "", "text/plain; charset=utf8", "n", "7", uint8(1), []byte("ü"))
	f.Add("", "", "", "", "", "type", "x", uint8(2), []byte{0xff})
	f.Add("\xff", "\"", "\\", "\u2028", "a/b+json", "b", "true", uint8(2), []byte(`{"a":[1,"\ud800"]}`))
	for _, row := range notJSON {
		f.Add("1", "/s", "t", "", "application/json", "x", "", uint8(0), []byte(row.data))
	}
	f.Fuzz(func(t *testing.T, id, source, kind, subject, contentType, name, value string, valueKind uint8, data []byte) {
		e := &Event{ID: id, Source: source, Type: kind, Subject: subject, DataContentType: contentType, Time: time.Unix(1, 0), DataSchema: source,
			Extensions: []Extension{{Name: "first", Value: value}, {Name: name, Value: value, Kind: Kind(valueKind)}}, Data: Bytes(data)}
		written, err := e.AppendJSON(nil)
		if err != nil {
			if len(written) > 0 {
				t.Fatalf("%v, and wrote %q", err, written)
			}
			return
		}
		want := map[string]string{"specversion": "1.0", "time": "1970-01-01T00:00:01Z", "first": value, name: value}
		for name, value := range map[string]string{"id": id, "source": source, "type": kind, "subject": subject, "datacontenttype": contentType, "dataschema": source} {
			if value != "" {
				want[name] = value
			}
		}
		for _, member := range members(t, written) {
			if member.name == "data" || member.name == "data_base64" {
				member.name = "data"
			} else if got := strings.Trim(string(member.value), `"`); Kind(valueKind) == Text || member.name != name {
				if err := json.Unmarshal(member.value, &got); err != nil || got != string([]rune(want[member.name])) {
					t.Errorf("member %s is %s, want %q", member.name, member.value, want[member.name])
				}
			} else if got != value {
				t.Errorf("member %s is %s, want %s", name, member.value, value)
			}
			if _, there := want[member.name]; !there && member.name != "data" {
				t.Errorf("member %q occurs twice, or is not the event's own", member.name)
			}
			delete(want, member.name)
		}
		if len(want) > 0 {
			t.Errorf("members are missing: %v", want)
		}
		if !utf8.Valid(written) {
			t.Errorf("wrote %q, which is not UTF-8", written)
		}
	})
}

type member struct {
	name  string
	value json.RawMessage
}

// members returns the members of an object as encoding/json reads them, with duplicates;
// data occurs once.
func members(t *testing.T, object []byte) (list []member) {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	data := 0
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatalf("wrote %q: %v", object, err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatalf("wrote %q: %v", object, err)
		}
		list = append(list, member{name.(string), value})
		if strings.HasPrefix(name.(string), "data") && name != "datacontenttype" && name != "dataschema" {
			data++
		}
	}
	if _, err := d.Token(); err != nil {
		t.Fatalf("wrote %q: %v", object, err)
	}
	if _, err := d.Token(); err != io.EOF || data > 1 {
		t.Fatalf("wrote %q: %v, %d times data", object, err, data)
	}
	return list
}

// FuzzJSON: JSON accepts exactly the values that are UTF-8 and that encoding/json accepts,
// except those nested too deep.
func FuzzJSON(f *testing.F) {
	for _, row := range notJSON {
		f.Add([]byte(row.data))
	}
	f.Add([]byte(`{"a": [1, -0.5e+7, "text of more than eight bytes \" \\ \u00e9 é", true, null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := JSON(data)
		if want := json.Valid(data) && utf8.Valid(data); (err == nil) != want && !(want && strings.Contains(err.Error(), "nests deeper")) {
			t.Errorf("%q: %v, want valid = %v", data, err, want)
		}
	})
}

// Every byte at every place of a JSON string, also after a backslash.
func TestJSON_seesEachByteOfAString(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			s := []byte(`"abcdefghijklmnopqrst"`)
			s[1+at] = byte(c)
			_, err := JSON(s)
			if want := json.Valid(s) && utf8.Valid(s); (err == nil) != want {
				t.Errorf("%q: %v, want valid = %v", s, err, want)
			}
		}
	}
}
