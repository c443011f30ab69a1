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

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/spec"
)

// Fields of SigV4 (AWS, "Create a signed AWS API request").
const (
	amzDate  = "X-Amz-Date"
	amzToken = "X-Amz-Security-Token"
	amzHash  = "X-Amz-Content-Sha256"
)

// presigned are the parameters by which a query would prove a call, folded.
var presigned = map[string]bool{
	"x-amz-algorithm": true, "x-amz-credential": true, "x-amz-date": true, "x-amz-expires": true,
	"x-amz-signedheaders": true, "x-amz-signature": true, "x-amz-security-token": true,
}

// signature is a proof that is made anew for every attempt.
type signature struct {
	keys            aws.Credentials
	signer          *v4.Signer
	region, service string
}

// newSigV4 gives what makes a signature of secret, access key and, where there
// is one, session token.
func newSigV4(s *spec.Auth) func([]string) (proof, error) {
	options := func(o *v4.SignerOptions) {
		// S3 signs the path as it is, everybody else escapes it once more.
		o.DisableURIPathEscaping = s.Service == "s3" || strings.HasPrefix(s.Service, "s3-") || s.Service == "s3express"
	}
	return func(values []string) (proof, error) {
		keys := aws.Credentials{SecretAccessKey: values[0], AccessKeyID: values[1]}
		if len(values) > 2 {
			keys.SessionToken = values[2]
		}
		// A signer keeps what it derived by the access key alone: another secret
		// needs another signer.
		signer := v4.NewSigner(options)
		return &signature{keys: keys, signer: signer, region: s.Region, service: s.Service}, nil
	}
}

// put signs the attempt as it goes on the wire. Signed are Host, Content-Type
// and the fields of Amazon's own; others may be changed on the way.
func (s *signature) put(ctx context.Context, out *call.Outgoing) error {
	out.Query = without(out.Query, func(name string) bool { return presigned[name] })
	for _, name := range []string{authorization, amzDate, amzToken, amzHash} {
		out.Header.Del(name)
	}
	hash := "UNSIGNED-PAYLOAD" // of a body that nobody has seen whole
	if out.Body == nil && (out.Kept != nil || out.Length == 0) {
		sum := sha256.Sum256(out.Kept)
		hash = hex.EncodeToString(sum[:])
	}
	header := http.Header{amzHash: {hash}}
	for _, f := range out.Header {
		if n := len("x-amz-"); call.Same(f.Name, "Content-Type") || len(f.Name) > n && call.Same(f.Name[:n], "x-amz-") {
			header.Add(f.Name, f.Value)
		}
	}
	// Opaque keeps the path as it is, and no scheme keeps a default port in Host.
	// A semicolon separates nothing at Amazon.
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

func (s *signature) on(out *call.Outgoing) bool {
	return strings.Contains(out.Header.Get(authorization), "Credential="+s.keys.AccessKeyID+"/") && out.Header.Get(amzToken) == s.keys.SessionToken
}

func (s *signature) expires() time.Time { return time.Time{} }
