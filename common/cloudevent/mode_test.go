package cloudevent

import (
	"strings"
	"testing"
)

// U3: the content type decides on the mode before any attribute headers do, as section 3
// of both bindings says.
func TestSigns_theContentTypeDecidesBeforeHeadersDo(t *testing.T) {
	for _, row := range []struct {
		contentType          string
		bare, beside         Mode
		bareFault, besideToo string
	}{
		{contentType: "", bare: Plain, beside: Binary},
		{contentType: "application/json", bare: Plain, beside: Binary},
		{contentType: "application/cloudevent+json", bare: Plain, beside: Binary},
		{contentType: "application/cloudevents+json", bare: Structured, beside: Structured},
		{contentType: "application/cloudevents+json; charset=UTF-8", bare: Structured, beside: Structured},
		{contentType: "application/cloudevents+json;charset=utf8", bare: Structured, beside: Structured},
		{contentType: "Application/CloudEvents+JSON ; charset=\"utf-8\"", bare: Structured, beside: Structured},
		{contentType: " application/cloudevents+json", bare: Structured, beside: Structured},
		{contentType: "application/cloudevents-batch+json", bare: Batched, beside: Batched},
		{contentType: "application/cloudevents+json; charset=latin1", bareFault: "charset latin1 is not supported: send UTF-8"},
		{contentType: "application/cloudevents+avro", bareFault: "application/cloudevents+avro is not supported: send application/cloudevents+json, application/cloudevents-batch+json or binary mode"},
		{contentType: "application/cloudevents+jsonl", bareFault: "application/cloudevents+jsonl is not supported"},
		{contentType: "application/cloudevents", bareFault: "application/cloudevents is not supported"},
		{contentType: "application/cloudevents+json; charset", bareFault: "the content type is malformed"},
	} {
		for _, prefix := range []string{"", HTTPPrefix, KafkaPrefix} {
			t.Run(row.contentType+" beside "+prefix, func(t *testing.T) {
				var s ModeDetector
				if row.contentType != "" && !s.Add("Content-Type", []byte(row.contentType)) {
					t.Error("the content type is no sign")
				}
				want := row.bare
				if prefix != "" {
					want = row.beside
					if !s.Add(strings.ToUpper(prefix)+"SpecVersion", []byte("1.0")) || s.Add(prefix+"id", []byte("1")) {
						t.Error("specversion is no sign, or id is one")
					}
				}
				got, err := s.Mode()
				if got != want || (err == nil) != (row.bareFault == "") || err != nil && !strings.Contains(err.Error(), row.bareFault) {
					t.Errorf("mode %d, %v, want %d, %q", got, err, want, row.bareFault)
				}
				if s.Prefix != prefix {
					t.Errorf("prefix %q, want %q", s.Prefix, prefix)
				}
			})
		}
	}
}

// U3: a reader that uses the first of two content types and a reader that uses the last
// must not see different messages.
func TestSigns_refusesTwoDifferentContentTypes(t *testing.T) {
	for _, row := range []struct {
		first, second string
		want          Mode
		fault         string
	}{
		{ContentTypeJSON, "application/json", Plain, "the content type is set twice, with different values"},
		{"application/json", ContentTypeJSON, Plain, "the content type is set twice, with different values"},
		{ContentTypeBatch, ContentTypeJSON, Plain, "the content type is set twice, with different values"},
		{ContentTypeJSON, ContentTypeJSON, Structured, ""},
		{"text/plain", "text/html", Plain, ""},
	} {
		var s ModeDetector
		s.Add("content-type", []byte(row.first))
		s.Add("content-type", []byte(row.second))
		got, err := s.Mode()
		if got != row.want || (err == nil) != (row.fault == "") || err != nil && err.Error() != row.fault || s.ContentType != row.second {
			t.Errorf("%s, %s: mode %d, %v, content type %s", row.first, row.second, got, err, s.ContentType)
		}
	}
}

// U9: Quarkus and SmallRye send both.
func TestFromHeaders_takesDataContentTypeBesideAnEqualContentType(t *testing.T) {
	for name, pairs := range map[string][]string{
		"before": {"ce_datacontenttype", "text/plain", "content-type", "text/plain"},
		"after":  {"content-type", "text/plain", "ce_datacontenttype", "text/plain"},
		"alone":  {"ce_datacontenttype", "text/plain"},
		"HTTP":   {"ce-datacontenttype", "text/plain", "content-type", "text/plain"},
	} {
		prefix := pairs[0][:3]
		if name == "after" {
			prefix = KafkaPrefix
		}
		var e Event
		found, err := FromHeaders(prefix, headers(append(pairs, prefix+"specversion", "1.0")...), &e)
		if !found || err != nil || e.DataContentType != "text/plain" {
			t.Errorf("%s: %v, %v, %q", name, found, err, e.DataContentType)
		}
	}
}

// U9: the HTTP binding, 3.1.3.2: byte sequences that are invalid in UTF-8 MUST
// be rejected.
func TestDecodeHeader_refusesWhatIsNotUTF8(t *testing.T) {
	for _, in := range []string{"%C0%A0", "%FF", "a%ED%A0%80", `"%e2%82"`, "K\xf6ln"} {
		if got, err := DecodeHeader(in); err == nil || err.Error() != "the value is not UTF-8" || got != "" {
			t.Errorf("DecodeHeader(%q) = %q, %v", in, got, err)
		}
		var e Event
		_, err := FromHeaders(HTTPPrefix, headers("ce-specversion", "1.0", "ce-id", in), &e)
		if err == nil || err.Error() != `attribute "id": the value is not UTF-8` {
			t.Errorf("id %q: %v", in, err)
		}
	}
}

func TestContentTypes_areReadAsRFC2046Says(t *testing.T) {
	for _, row := range []struct {
		in          string
		valid, utf8 bool
	}{
		{"application/json", true, true},
		{"text/plain; charset=utf-8", true, true},
		{"text/plain; charset=utf8", true, true},
		{"text/plain; charset=US-ASCII", true, true},
		{`TEXT/Plain ; CharSet="UTF-8"`, true, true},
		{"text/plain; charset=iso-8859-1", true, false},
		{"application/vnd.x+json; v=1", true, true},
		{"text/plain; charset", false, false},
		{"json", false, true},
		{"/json", false, true},
		{"text/", false, true},
		{"text/a/b", false, true},
		{"te xt/plain", false, true},
		{"text/pläin", false, true},
		{"text/plain, text/html", false, true},
	} {
		if valid, utf8 := ValidContentType(row.in), inUTF8(row.in); valid != row.valid || utf8 != row.utf8 {
			t.Errorf("%s: valid %v, UTF-8 %v", row.in, valid, utf8)
		}
	}
}
