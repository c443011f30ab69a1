package async

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

func TestWithoutPreference_keepsWhatIsNotForUs(t *testing.T) {
	for given, want := range map[string]string{
		"respond-async":                     "",
		"Respond-Async;x=1, wait=5":         "",
		"wait = 5 , return=minimal":         "return=minimal",
		"handling=lenient, respond-async,a": "handling=lenient, a",
	} {
		if h := withoutPreference(header("Prefer", given, "X", "y")); h.Get("Prefer") != want || h.Get("X") != "y" || h.Has("Prefer") != (want != "") {
			t.Errorf("%s: %v", given, h)
		}
	}
}

func TestRequest_carriesAnIDThatIsNoHeaderValueEncoded(t *testing.T) {
	r := request{event: cloudevent.Event{ID: "a\r\nX: ü", Data: cloudevent.Bytes([]byte("b"))}, method: "POST", path: "/"}
	c := r.call()
	c.Interrupt()
	if got := c.Header.Get("Idempotency-Key"); got != "a%0D%0AX:%20%C3%BC" || c.Trailer() != nil {
		t.Error(got)
	}
	if b, err := io.ReadAll(c.Body); string(b) != "b" || err != nil {
		t.Error(string(b), err)
	}
}

func TestRequest_carriesItsIDWhereTheKeyIsEmpty(t *testing.T) {
	r := request{event: cloudevent.Event{ID: "a"}, method: "POST", path: "/", header: header("idempotency-key", "")}
	if c := r.call(); c.Header.Get("Idempotency-Key") != "a" || len(c.Header) != 1 || r.header.Get("Idempotency-Key") != "" {
		t.Error(c.Header)
	}
}

// A record's parts go onto the wire, so a malformed record is refused.
func FuzzDecode(f *testing.F) {
	f.Add("POST", "/a?x=1", "X-A", "b", "crm", "fiso.link.request")
	f.Add("G T", "/ HTTP/1.1\r\nX: y", "X\r\nY", "a\r\nb", "erp", "other")
	f.Fuzz(func(t *testing.T, method, path, name, value, to, kind string) {
		var hs []connector.Header
		for _, h := range [][2]string{
			{"ce_specversion", "1.0"}, {"ce_id", "1"}, {"ce_source", "a"}, {"ce_type", kind}, {"ce_fisotarget", to}, {"ce_fisomethod", method}, {"ce_fisopath", path}, {fieldPrefix + name, value},
		} {
			hs = append(hs, connector.Header{Key: h[0], Value: []byte(h[1])})
		}
		r, err := decode(&connector.Message{Headers: hs}, "crm")
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		c := r.call()
		if !token.MatchString(c.Method) || strings.ContainsAny(c.Target, " \r\n\x00\x7f#") || !strings.HasPrefix(c.Target, "/") {
			t.Errorf("%q %q", c.Method, c.Target)
		}
		for _, f := range c.Header {
			if !token.MatchString(f.Name) || bytes.ContainsAny([]byte(f.Value), "\r\n\x00\x01\x7f") {
				t.Errorf("%q: %q", f.Name, f.Value)
			}
		}
	})
}
