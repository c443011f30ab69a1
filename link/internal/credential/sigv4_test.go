package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/spec"
)

// signer has the example keys of AWS's documentation.
func signer(t *testing.T, service string, token *spec.SecretRef) Credential {
	t.Helper()
	return mustNew(t, spec.Auth{
		Type: "sigv4", Region: "us-east-1", Service: service, SessionTokenRef: token,
		SecretRef:    fromFile(secretFile(t, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")),
		AccessKeyRef: fromFile(secretFile(t, "AKIDEXAMPLE")),
	}, Parts{})
}

func sign(t *testing.T, c Credential, out *http1.Outgoing) *http1.Outgoing {
	t.Helper()
	out.Host = "example.amazonaws.com"
	if err := c.Apply(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	return out
}

// signatureOf returns the signature in the Authorization field.
func signatureOf(out *http1.Outgoing) string {
	_, s, _ := strings.Cut(out.Header.Get("Authorization"), "Signature=")
	return s
}

func TestSigV4_signsTheAttemptAsItGoesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)))
		plain := func(change func(*http1.Outgoing)) string {
			out := &http1.Outgoing{Method: "GET", Path: "/"}
			change(out)
			return signatureOf(sign(t, signer(t, "service", nil), out))
		}
		base := plain(func(*http1.Outgoing) {})
		for _, c := range []struct {
			name   string
			change func(*http1.Outgoing)
			same   bool
		}{
			{"another method", func(o *http1.Outgoing) { o.Method = "POST" }, false},
			{"another path", func(o *http1.Outgoing) { o.Path = "/a%20b" }, false},
			{"another query", func(o *http1.Outgoing) { o.Query = "a=1" }, false},
			{"a query with a semicolon", func(o *http1.Outgoing) { o.Query = ";b" }, false},
			{"a kept body", func(o *http1.Outgoing) { o.Kept, o.Length = []byte("x"), 1 }, false},
			{"a field of Amazon's", func(o *http1.Outgoing) { o.Header.Add("X-Amz-Meta-A", "b") }, false},
			{"a content type", func(o *http1.Outgoing) { o.Header.Add("content-type", "text/plain") }, false},
			{"a field that proxies may change", func(o *http1.Outgoing) { o.Header.Add("User-Agent", "x") }, true},
			{"the caller's own proof", func(o *http1.Outgoing) {
				o.Header = http1.Header{{Name: "x-amz-date", Value: "1"}, {Name: "X-Amz-Content-SHA256", Value: "2"}, {Name: "x-amz-security-token", Value: "3"}, {Name: "authorization", Value: "4"}}
				o.Query = "X-Amz-Signature=1&x-amz-credential=2&X-Amz-Expires=3"
			}, true},
		} {
			if got := plain(c.change); got == "" || (got == base) != c.same {
				t.Errorf("%s: %s", c.name, got)
			}
		}
		out := sign(t, signer(t, "s3", nil), &http1.Outgoing{Method: "PUT", Path: "/", Query: "a=1&X-Amz-Signature=x", Length: 5, Body: io.NopCloser(strings.NewReader("12345"))})
		if out.Query != "a=1" || out.Header.Get("x-amz-content-sha256") != "UNSIGNED-PAYLOAD" || out.Header.Get("x-amz-date") != "20150830T123600Z" || out.Header.Has("x-amz-security-token") || len(out.Header) != 3 {
			t.Errorf("%s %v", out.Query, out.Header)
		}
		if want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, "; !strings.HasPrefix(out.Header.Get("Authorization"), want) {
			t.Error(out.Header.Get("Authorization"))
		}
	})
}

// byHand computes the signature step by step, as AWS's guide describes, for a request
// with a given canonical form.
func byHand(service string, canonical ...string) string {
	return byHandWith("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830T123600Z", service, canonical...)
}

func byHandWith(secret, at, service string, canonical ...string) string {
	mac := func(key []byte, s string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return h.Sum(nil)
	}
	key := []byte("AWS4" + secret)
	for _, part := range []string{at[:8], "us-east-1", service, "aws4_request"} {
		key = mac(key, part)
	}
	scope := at[:8] + "/us-east-1/" + service + "/aws4_request"
	return hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+at+"\n"+scope+"\n"+hashOf(strings.Join(canonical, "\n"))))
}

func hashOf(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestSigV4_agreesWithASignatureMadeByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)))
		hash := hashOf("hello")
		for _, c := range []struct{ service, path string }{
			{"execute-api", "/a%2520b%252Fc/d/"}, // escaped once more
			{"s3", "/a%20b%2Fc/d/"},              // as it is
		} {
			out := sign(t, signer(t, c.service, nil), &http1.Outgoing{Method: "PUT", Path: "/a%20b%2Fc/d/", Query: "b=2&a=x+y&a=;", Kept: []byte("hello"), Length: 5})
			want := byHand(c.service, "PUT", c.path, "a=%3B&a=x%20y&b=2",
				"host:example.amazonaws.com", "x-amz-content-sha256:"+hash, "x-amz-date:20150830T123600Z", "",
				"host;x-amz-content-sha256;x-amz-date", hash)
			if got := signatureOf(out); got != want {
				t.Errorf("%s: signed %s, want %s", c.service, got, want)
			}
		}
	})
}

func TestSigV4_takesItsThreeSecretsTogether(t *testing.T) {
	path := secretFile(t, "session1")
	synctest.Test(t, func(t *testing.T) {
		c := signer(t, "service", fromFile(path))
		for _, name := range []string{"x-amz-date", "X-AMZ-SECURITY-TOKEN", "authorization"} {
			if !c.Owns(name) {
				t.Errorf("a caller's %s goes on", name)
			}
		}
		out := sign(t, c, &http1.Outgoing{Method: "GET", Path: "/"})
		if out.Header.Get("x-amz-security-token") != "session1" || !strings.Contains(out.Header.Get("Authorization"), "x-amz-security-token") {
			t.Error(out.Header)
		}
		if c.Renew(t.Context(), out) {
			t.Error("nothing has changed")
		}
		writeFile(t, path, "session2")
		if !c.Renew(t.Context(), out) {
			t.Error("not renewed")
		}
		if out = sign(t, c, out); out.Header.Get("x-amz-security-token") != "session2" {
			t.Error(out.Header)
		}
		if at, ok := c.Expiry(); ok {
			t.Error(at)
		}
	})
}

func TestSigV4_signsWithAnotherSecretOfTheSameAccessKey(t *testing.T) {
	path := secretFile(t, "mistyped")
	synctest.Test(t, func(t *testing.T) {
		c := mustNew(t, spec.Auth{Type: "sigv4", Region: "us-east-1", Service: "service", SecretRef: fromFile(path), AccessKeyRef: fromFile(secretFile(t, "AKIDEXAMPLE"))}, Parts{})
		first := signatureOf(sign(t, c, &http1.Outgoing{Method: "GET", Path: "/"}))
		writeFile(t, path, "corrected")
		time.Sleep(checkInterval)
		second := sign(t, c, &http1.Outgoing{Method: "GET", Path: "/"})
		clean := mustNew(t, spec.Auth{Type: "sigv4", Region: "us-east-1", Service: "service", SecretRef: fromFile(path), AccessKeyRef: fromFile(secretFile(t, "AKIDEXAMPLE"))}, Parts{})
		if got := signatureOf(second); got == first || got != signatureOf(sign(t, clean, &http1.Outgoing{Method: "GET", Path: "/"})) {
			t.Error("the corrected secret is not what signs")
		}
	})
}
