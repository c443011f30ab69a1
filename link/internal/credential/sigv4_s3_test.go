package credential

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/target"
	"github.com/lsm/fiso/link/spec"
)

// UL6: the examples that AWS publishes, with its keys and its signatures
// (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
func TestSigV4_makesTheSignaturesThatAWSPublishes(t *testing.T) {
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)))
		c := mustNew(t, spec.Auth{
			Type: "sigv4", Region: "us-east-1", Service: "s3",
			SecretRef: fromFile(secretFile(t, secret)), AccessKeyRef: fromFile(secretFile(t, "AKIAIOSFODNN7EXAMPLE")),
		}, Parts{})
		for _, example := range []struct{ name, query, want string }{
			{"get bucket lifecycle", "lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
			{"list objects", "max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
		} {
			out := &http1.Outgoing{Method: "GET", Path: "/", Query: example.query, Host: "examplebucket.s3.amazonaws.com"}
			if err := c.Apply(t.Context(), out); err != nil || signatureOf(out) != example.want {
				t.Errorf("%s: %v: signed %s, want %s", example.name, err, signatureOf(out), example.want)
			}
		}
	})
	// This one signs a Date too, which fiso-link does not: it shows that what other
	// tests make by hand is what AWS makes.
	body := hashOf("Welcome to Amazon S3.")
	put := byHandWith(secret, "20130524T000000Z", "s3", "PUT", "/test%24file.text", "", "date:Fri, 24 May 2013 00:00:00 GMT", "host:examplebucket.s3.amazonaws.com",
		"x-amz-content-sha256:"+body, "x-amz-date:20130524T000000Z", "x-amz-storage-class:REDUCED_REDUNDANCY", "",
		"date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", body)
	if want := "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"; put != want {
		t.Errorf("put object: by hand %s, want %s", put, want)
	}
}

// UL6: S3 signs a path in which all but unreserved characters are escaped, and
// that is what goes out; elsewhere the path goes out as it came and is escaped
// once more to be signed.
func TestSigV4_signsThePathThatGoesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)))
		const all = "/b/a=b:c@d(e)+f,g!h*i&j$k'l;m%20n%2Fo%3D%C3%BC-._~z"
		const escaped = "/b/a%3Db%3Ac%40d%28e%29%2Bf%2Cg%21h%2Ai%26j%24k%27l%3Bm%20n%2Fo%3D%C3%BC-._~z"
		for _, test := range []struct{ service, wire, signed string }{
			{"s3", escaped, escaped},
			{"s3-outposts", escaped, escaped},
			{"s3express", escaped, escaped},
			{"lambda", all, strings.ReplaceAll(strings.ReplaceAll(escaped, "%20n%2Fo%3D%C3%BC", "#"), "#", "%2520n%252Fo%253D%25C3%25BC")},
		} {
			out := sign(t, signer(t, test.service, nil), &http1.Outgoing{Method: "GET", Path: all})
			want := byHand(test.service, "GET", test.signed, "", "host:example.amazonaws.com", "x-amz-content-sha256:"+hashOf(""), "x-amz-date:20150830T123600Z", "",
				"host;x-amz-content-sha256;x-amz-date", hashOf(""))
			if got := signatureOf(out); out.Path != test.wire || got != want {
				t.Errorf("%s: sent %s with %s, want %s with %s", test.service, out.Path, got, test.wire, want)
			}
		}
	})
}

// UL17: the caller's description of a body is signed if the body is sent in frames or
// was not read whole. UL6: if the service does not accept unsigned bodies, the error
// says what to do.
func TestSigV4_signsWhatTheBodyIs(t *testing.T) {
	const (
		chunks  = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
		refused = "BAD_REQUEST: the SDK signed the body chunk by chunk with its own keys"
		framed  = "BAD_REQUEST: the body is in frames (content-encoding: aws-chunked)"
		large   = "BODY_TOO_LARGE: services other than S3 require the hash of the whole body, and this body is larger than the target's retry.maxBodyBytes: raise that"
	)
	hello, other := hashOf("hello"), hashOf("other")
	for _, test := range []struct {
		name, service string
		given         string // x-amz-content-sha256
		framed, whole bool
		want          string
	}{
		{"frames that stream", "s3", chunks, true, false, chunks},
		{"frames that are at hand", "s3", chunks, true, true, chunks},
		{"frames without a hash", "s3", "", true, true, framed},
		{"frames with a hash", "s3", hello, true, false, framed},
		{"frames that are said to be none", "s3", "UNSIGNED-PAYLOAD", true, false, framed},
		{"signed chunks", "s3", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true, false, refused},
		{"signed chunks at hand", "s3", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true, true, refused},
		{"signed chunks and trailer", "s3", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", true, false, refused},
		{"chunks signed by a curve", "s3", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", true, false, refused},
		{"events that are signed", "transcribe", "STREAMING-AWS4-HMAC-SHA256-EVENTS", false, false, refused},
		{"a stream", "s3", "", false, false, "UNSIGNED-PAYLOAD"},
		{"a stream whose hash is known", "s3", other, false, false, other},
		{"a body at hand", "s3", "UNSIGNED-PAYLOAD", false, true, hello},
		{"a stream to another service", "sqs", "", false, false, large},
		{"an unsigned stream to another service", "sqs", "UNSIGNED-PAYLOAD", false, false, large},
		{"a stream to another service, whose hash is known", "sqs", other, false, false, other},
		{"a stream to another service, whose hash is none", "sqs", strings.ToUpper(other), false, false, large},
		{"a body at hand to another service", "sqs", "", false, true, hello},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := &http1.Outgoing{Method: "PUT", Path: "/b/k", Host: "example.amazonaws.com", Length: 5}
			if test.whole {
				out.Kept = []byte("hello")
			} else {
				out.Body = io.NopCloser(strings.NewReader("hello"))
			}
			if test.given != "" {
				out.Header.Add("X-Amz-Content-SHA256", test.given)
			}
			if test.framed {
				out.Header.Add("content-encoding", "gzip, aws-chunked")
			}
			c := signer(t, test.service, nil)
			err := c.Apply(t.Context(), out)
			got := out.Header.Get(amzHash)
			var u *target.CredentialError
			if errors.As(err, &u) {
				got = string(u.Code) + ": " + u.Error()
			}
			if !strings.HasPrefix(got, test.want) || err == nil && got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if test.framed && out.Header.Get("Content-Encoding") != "gzip, aws-chunked" {
				t.Error("what the store needs to take the frames off is gone")
			}
			if ahead := c.(*staticCredential).CoversBody(header("X-Amz-Content-Sha256", test.given)); ahead != (test.service == "sqs" && test.given == "") {
				t.Errorf("the body has to be at hand: %v", ahead)
			}
		})
	}
}

// header has the field, unless its value is empty.
func header(name, value string) (h http1.Header) {
	if value != "" {
		h.Add(name, value)
	}
	return h
}
