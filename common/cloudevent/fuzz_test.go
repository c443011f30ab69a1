package cloudevent

import (
	"bytes"
	"encoding/json"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

// headerBlock yields the headers of a text with "name: value" lines.
func headerBlock(block string) func(yield func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		for line := range strings.SplitSeq(block, "\n") {
			name, value, _ := strings.Cut(line, ":")
			if !yield(name, []byte(value)) {
				return
			}
		}
	}
}

// FuzzFromHeaders: for any headers of either binding, an event that is read can be written
// as headers that give the same event, and a failed read leaves the event empty.
func FuzzFromHeaders(f *testing.F) {
	f.Add(true, "ce-specversion:1.0\nce-id:a%20b\nce-source:\"/x\"\nce-type:t\nContent-Type:text/plain")
	f.Add(false, "ce_specversion:1.0\nce_id:a%20b\nce_time:2026-01-31t12:00:00z\nCE_Tenant:acme")
	f.Add(false, "ce_specversion:1.0\nce_id:1\nce_id:2")
	f.Add(true, "ce-specversion:0.3")
	f.Fuzz(func(t *testing.T, http bool, block string) {
		prefix, written := KafkaPrefix, func(s string) string { return s }
		if http {
			prefix, written = HTTPPrefix, EncodeHeader
		}
		e := Event{ID: "stale", Extensions: []Extension{{Name: "stale", Value: "x"}}}
		found, err := FromHeaders(prefix, headerBlock(block), &e)
		if err != nil || !found {
			if !reflect.DeepEqual(e, Event{}) {
				t.Fatalf("%v, %v, and %+v was left", found, err, e)
			}
			return
		}
		if len(e.Extensions) > maxExtensions {
			t.Fatalf("%d extensions", len(e.Extensions))
		}
		var again Event
		found, err = FromHeaders(prefix, func(yield func(string, []byte) bool) {
			if e.DataContentType != "" && !yield("content-type", []byte(e.DataContentType)) {
				return
			}
			e.Attributes(func(name, value string) bool {
				value = written(value)
				if http && strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Fatalf("%s: %q ends or breaks an HTTP header", name, value)
				}
				return yield(prefix+name, []byte(value))
			})
		}, &again)
		if len(e.Extensions) == 0 {
			e.Extensions, again.Extensions = nil, nil
		}
		if err != nil || !found || !reflect.DeepEqual(e, again) {
			t.Fatalf("%+v came back as %+v, %v, %v", e, again, found, err)
		}
	})
}

// FuzzHeader: a value that is written to an HTTP header is read as the same value, and a
// value that is read is UTF-8.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"", "plain", `a "b" %`, "é\r\nx: y", "\xff", `"\"%41\\"`, "%", "%4", "%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		written := EncodeHeader(s)
		if got, err := DecodeHeader(written); err != nil || got != string([]rune(s)) {
			t.Errorf("%q was written as %q and read as %q, %v", s, written, got, err)
		}
		if got, err := DecodeHeader(s); err == nil && !utf8.ValidString(got) || len(got) > len(s) {
			t.Errorf("%q was read as %q", s, got)
		}
	})
}

// FuzzParseJSON_agreesWithEncodingJSON: an accepted event has the meaning that
// encoding/json gives it, byte for byte where that is promised, and its memory is in
// proportion to its size.
func FuzzParseJSON_agreesWithEncodingJSON(f *testing.F) {
	f.Add(encode(f, full()))
	f.Add([]byte(`{"specversion":"1.0","\u0069d":"\ud83d\ude00","n":1e5,"b":true,"data":{"a":1,"a":2}}`))
	f.Add([]byte(`{"specversion":"1.0","id":null,"data_base64":"AAE=","datacontenttype":"application/x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var e Event
		err := ParseJSON(data, &e)
		runtime.ReadMemStats(&after)
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 1<<18+64*uint64(len(data)) {
			t.Errorf("%d bytes of memory for %d bytes", cost, len(data))
		}
		if err != nil {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		core := map[string]string{"id": e.ID, "source": e.Source, "type": e.Type, "subject": e.Subject, "dataschema": e.DataSchema, "datacontenttype": e.DataContentType}
		for name, got := range core {
			var want string
			if raw, there := members[name]; there {
				if err := json.Unmarshal(raw, &want); err != nil {
					t.Fatalf("%s is %s and was taken as %q", name, raw, got)
				}
			}
			if _, there := members["data"]; there && name == "datacontenttype" && want == "" {
				want = "application/json" // implied
			}
			if got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if raw, there := members["data"]; there && IsJSON(e.DataContentType) && !bytes.Equal(bytes.TrimSpace(raw), e.Data.Bytes()) {
			t.Errorf("data %s became %s", raw, e.Data.Bytes())
		}
	})
}
