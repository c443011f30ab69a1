package ceprotocol

import (
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
)

// FuzzNewMessage: from any record the SDK gets either a valid event with the record's
// id, or a message of unknown encoding.
func FuzzNewMessage(f *testing.F) {
	f.Add("ce_specversion", "1.0", "content-type", "text/plain", "ce_id", "1", `x`)
	f.Add("a", "b", "content-type", "application/cloudevents+json", "c", "d", `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1}`)
	f.Add("ce_specversion", "0.3", "ce_id", "", "ce_time", "now", ``)
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2, n3, v3, value string) {
		record := boundMessage(new(verdict), value, n1, v1, n2, v2, n3, v3, "ce_source", "/s", "ce_type", "t")
		m := newMessage(delivery{ctx: t.Context(), m: record})
		e, err := binding.ToEvent(t.Context(), m)
		if m.ReadEncoding() == binding.EncodingUnknown {
			if err == nil {
				t.Fatalf("an event was made of nothing: %v", e)
			}
			return
		}
		want, ok := read(record)
		if err != nil || !ok || e.ID() != want.ID || e.Source() != want.Source {
			t.Fatalf("%v: %v became %v", err, want, e)
		}
		if err := e.Validate(); err != nil {
			t.Fatalf("the SDK refuses what it was given: %v", err)
		}
	})
}
