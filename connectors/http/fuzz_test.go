package http

import (
	"encoding/base64"
	"math/big"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
)

// FuzzParseRetryAfter_agreesWithTheStandard: digits are seconds, however many there
// are; a date is the time until then; anything else is 0.
func FuzzParseRetryAfter_agreesWithTheStandard(f *testing.F) {
	for _, s := range []string{"", "7", "-1", "0", "07", " 120 ", "99999999999999999999", "1.5", "+5", "\x00", "Fri, 31 Dec 9999 23:59:59 GMT", "Wed, 25 Nov 2026 00:00:00 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		before := time.Now()
		got := parseRetryAfter(s)
		after := time.Now()
		clamp := func(d time.Duration) time.Duration { return min(max(d, 0), maxRetryAfter) }
		least, most := time.Duration(0), time.Duration(0)
		text := strings.TrimSpace(s)
		if at, err := nethttp.ParseTime(text); err == nil {
			least, most = clamp(at.Sub(after)), clamp(at.Sub(before))
		} else if text != "" && strings.Trim(text, "0123456789") == "" {
			n, _ := new(big.Int).SetString(text, 10)
			least = maxRetryAfter
			if n.Cmp(big.NewInt(int64(maxRetryAfter/time.Second))) < 0 {
				least = time.Duration(n.Int64()) * time.Second
			}
			most = least
		}
		if got < least || got > most {
			t.Errorf("%q is %v, want %v to %v", s, got, least, most)
		}
	})
}

// FuzzAuthorize: whatever the headers are, only a caller with the secret is let in.
func FuzzAuthorize(f *testing.F) {
	const canary = "c4n4ry-c4n4ry"
	basic := base64.StdEncoding.EncodeToString([]byte("u:" + canary))
	f.Add("Bearer "+canary, "", "", "body")
	f.Add("basic "+basic, "", "", "body")
	f.Add("", sign(canary, "1.body"), "1", "body")
	f.Add("Bearer", "sha256=", "-9223372036854775808", "")
	f.Add("Basic "+basic+"=", "sha256="+strings.Repeat("0", 64), "+1", "\x00")
	auths := map[string]*authorizer{
		"bearer": newAuthorizer(SourceAuth{Type: authBearer, Tokens: []config.Secret{secret(""), secret(canary)}}),
		"basic":  newAuthorizer(SourceAuth{Type: authBasic, Username: "u", Password: secret(canary)}),
		"hmac":   newAuthorizer(SourceAuth{Type: authHMAC, Secret: secret(canary)}),
		"timed":  newAuthorizer(SourceAuth{Type: authHMAC, Secret: secret(canary), TimestampHeader: "X-Time", Tolerance: time.Minute}),
	}
	f.Fuzz(func(t *testing.T, authorization, signature, signed, body string) {
		h := nethttp.Header{"Authorization": {authorization}, "X-Hub-Signature-256": {signature}, "X-Time": {signed}}
		mac := func(text string) bool { // as the sender computes it; its digits may be of either case
			return strings.EqualFold(strings.TrimPrefix(strings.TrimSpace(signature), "sha256="), strings.TrimPrefix(sign(canary, text), "sha256="))
		}
		decoded, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(authorization[min(len(authorization), len("Basic ")):]))
		has := map[string]bool{
			"bearer": strings.HasSuffix(strings.TrimSpace(authorization), canary),
			"basic":  string(decoded) == "u:"+canary,
			"hmac":   mac(body),
			"timed":  mac(signed + "." + body),
		}
		for kind, auth := range auths {
			err := auth.checkHeader(h)
			if err == nil {
				err = auth.checkBody(h, []byte(body))
			}
			if err == nil && !has[kind] {
				t.Errorf("%s: let in by %q, %q, %q", kind, authorization, signature, signed)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("%s: the secret is in %v", kind, err)
			}
		}
	})
}

// FuzzDecode_keepsWhatWasSent: each event of an accepted request has the bytes that
// were sent, and a flow that reads them gets the event that the source saw, in each
// mode of the HTTP binding.
func FuzzDecode_keepsWhatWasSent(f *testing.F) {
	f.Add(uint8(0), "a b", "k", []byte(`{"n":1.10}`))
	f.Add(uint8(1), "%41\"", "\xff", []byte(`[]`))
	f.Add(uint8(2), "é", "", []byte(`null`))
	f.Fuzz(func(t *testing.T, mode uint8, id, key string, data []byte) {
		sent := &cloudevent.Event{ID: id, Source: "/s", Type: "t", DataContentType: "application/octet-stream", Data: cloudevent.Bytes(data)}
		if key != "" {
			sent.SetExtension("partitionkey", key)
		}
		h, body, n := nethttp.Header{}, data, 1
		switch mode % 3 {
		case 0:
			h.Set("Content-Type", cloudevent.ContentTypeJSON)
			body = written(sent.AppendJSON(nil))
		case 1:
			h.Set("Content-Type", cloudevent.ContentTypeBatch)
			body, n = written(cloudevent.AppendBatch(nil, []*cloudevent.Event{sent, sent})), 2
		default:
			h.Set("Content-Type", sent.DataContentType)
			sent.Attributes(func(name, value string) bool {
				h.Set("Ce-"+name, cloudevent.EncodeHeader(value))
				return true
			})
		}
		in, p := (&decoder{maxEvents: 10}).decode(h, body)
		if (p != nil) != (id == "") {
			t.Fatalf("an event with id %q: %+v", id, p)
		}
		if p != nil {
			return
		}
		if len(in.events) != n || in.batch != (n == 2) {
			t.Fatalf("%d events, batch %v", len(in.events), in.batch)
		}
		for _, e := range in.events {
			if e.id != replaced(id) {
				t.Errorf("id %q became %q", id, e.id)
			}
			if (e.key == nil) != (key == "") {
				t.Errorf("key %q became %q", key, e.key)
			}
			if mode%3 == 2 && string(e.value) != string(data) {
				t.Errorf("data %q became %q", data, e.value)
			}
			var again cloudevent.Event
			if mode%3 != 2 && (cloudevent.ParseJSON(e.value, &again) != nil || string(again.Data.Bytes()) != string(data)) {
				t.Errorf("data %q became %q", data, again.Data.Bytes())
			}
		}
	})
}

// replaced replaces each byte that is not UTF-8 by U+FFFD, as encoding/json does.
func replaced(s string) string { return string([]rune(s)) }
