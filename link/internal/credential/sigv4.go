package credential

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
	"github.com/lsm/fiso/link/spec"
)

// Fields of SigV4 (AWS, "Create a signed AWS API request").
const (
	amzDate  = "X-Amz-Date"
	amzToken = "X-Amz-Security-Token"
	amzHash  = "X-Amz-Content-Sha256"
)

// presigned are the query parameters of a presigned request, folded.
var presigned = map[string]bool{
	"x-amz-algorithm": true, "x-amz-credential": true, "x-amz-date": true, "x-amz-expires": true,
	"x-amz-signedheaders": true, "x-amz-signature": true, "x-amz-security-token": true,
}

// Values of X-Amz-Content-Sha256 that are not a hash.
const (
	unsignedBody = "UNSIGNED-PAYLOAD"
	// unsignedChunks marks a body in aws-chunked frames, which the store removes.
	// Neither the frames nor the trailer in the last one are signed.
	unsignedChunks = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// signature is a credential that is computed for each attempt.
type signature struct {
	keys            aws.Credentials
	signer          *v4.Signer
	region, service string
}

// ofS3 reports whether a service follows the rules of S3: paths are escaped once
// instead of twice, and bodies may be unsigned.
func ofS3(service string) bool {
	return service == "s3" || strings.HasPrefix(service, "s3-") || service == "s3express"
}

// newSigV4 returns a function that builds a signature from the secret, the access key
// and, optionally, the session token.
func newSigV4(s *spec.Auth) func([]string) (wireCredential, error) {
	options := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = ofS3(s.Service) }
	return func(values []string) (wireCredential, error) {
		keys := aws.Credentials{SecretAccessKey: values[0], AccessKeyID: values[1]}
		if len(values) > 2 {
			keys.SessionToken = values[2]
		}
		// A signer caches derived keys by access key only, so another secret needs
		// another signer.
		signer := v4.NewSigner(options)
		return &signature{keys: keys, signer: signer, region: s.Region, service: s.Service}, nil
	}
}

// coversBody reports whether the signature of a call with that header needs the whole
// body: the service requires its hash, and the caller does not send it.
func coversBody(service string) func(http1.Header) bool {
	return func(h http1.Header) bool { return !ofS3(service) && h.Get(amzHash) == "" }
}

// apply signs the attempt as it goes onto the wire. Host, Content-Type and Amazon's own
// fields are signed; others may be changed on the way.
func (s *signature) apply(ctx context.Context, out *http1.Outgoing) error {
	hash, err := s.payload(out)
	if err != nil {
		return err
	}
	if ofS3(s.service) {
		out.Path = escapeAll(out.Path) // S3 signs this form, however the path was sent
	}
	out.Query = withoutParameters(out.Query, func(name string) bool { return presigned[name] })
	for _, name := range []string{authorization, amzDate, amzToken, amzHash} {
		out.Header.Del(name)
	}
	header := http.Header{amzHash: {hash}}
	for _, f := range out.Header {
		if n := len("x-amz-"); http1.Same(f.Name, "Content-Type") || len(f.Name) > n && http1.Same(f.Name[:n], "x-amz-") {
			header.Add(f.Name, f.Value)
		}
	}
	// Opaque keeps the path unchanged, and the empty scheme keeps a default port in
	// Host. Amazon does not treat a semicolon as a separator.
	u := &url.URL{Host: out.Host, Opaque: "//" + out.Host + out.Path, RawQuery: strings.ReplaceAll(out.Query, ";", "%3B")}
	r := (&http.Request{Method: out.Method, URL: u, Host: out.Host, Header: header}).WithContext(ctx)
	if err := s.signer.SignHTTP(ctx, s.keys, r, hash, s.service, s.region, time.Now()); err != nil {
		return unavailable(errors.New("the call could not be signed"))
	}
	for _, name := range []string{authorization, amzDate, amzToken, amzHash} {
		if v := r.Header.Get(name); v != "" {
			out.Header.Add(name, v)
		}
	}
	return nil
}

// payload returns the body hash to sign: that of the body if it is known, else the
// caller's, else "unsigned" if the service accepts it.
func (s *signature) payload(out *http1.Outgoing) (string, error) {
	given := out.Header.Get(amzHash)
	switch {
	case given == unsignedChunks:
		return given, nil
	case strings.HasPrefix(given, "STREAMING-"):
		return "", &target.CredentialError{Code: call.BadRequest, Err: errors.New("the SDK signed the body chunk by chunk with its own keys, which fiso-link cannot replace: " +
			"let it send the body unsigned, with anonymous credentials, or without chunks (Java: chunkedEncodingEnabled(false); AWS_REQUEST_CHECKSUM_CALCULATION=when_required)")}
	case ofS3(s.service) && out.Header.HasToken("Content-Encoding", "aws-chunked"):
		return "", &target.CredentialError{Code: call.BadRequest, Err: errors.New("the body is in frames (content-encoding: aws-chunked), which the store would keep as part of the object, " +
			"because x-amz-content-sha256 is not " + unsignedChunks + ": send both or neither")}
	case out.Body == nil && (out.Kept != nil || out.Length == 0):
		sum := sha256.Sum256(out.Kept)
		return hex.EncodeToString(sum[:]), nil
	case isHash(given):
		return given, nil // the service compares it with the body
	case ofS3(s.service):
		return unsignedBody, nil
	}
	return "", &target.CredentialError{Code: call.BodyTooLarge, Err: errors.New("services other than S3 require the hash of the whole body, and this body is larger than the target's retry.maxBodyBytes: " +
		"raise that, or send the hash as x-amz-content-sha256")}
}

// isHash reports whether s is a SHA-256 hash in hex.
func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && s == strings.ToLower(s)
}

// escapeAll escapes what S3's form of a canonical path does not allow: all but
// unreserved characters and slashes (AWS, "Create a canonical request", UriEncode).
// Both forms name the same object.
func escapeAll(path string) string {
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(path)+16)
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~/%", c) >= 0:
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}

func (s *signature) isOn(out *http1.Outgoing) bool {
	return strings.Contains(out.Header.Get(authorization), "Credential="+s.keys.AccessKeyID+"/") && out.Header.Get(amzToken) == s.keys.SessionToken
}

func (s *signature) expires() time.Time { return time.Time{} }
