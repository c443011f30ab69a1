package http

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	nethttp "net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
)

const defaultSignatureHeader = "X-Hub-Signature-256"

var errDenied = errors.New("the credential is missing or wrong")

// authorizer checks the credential of a caller. Comparisons take constant time.
type authorizer struct {
	kind    string
	user    string
	secrets []config.Secret // any of them is accepted

	header, timestamp string // hmac
	prefix            string
	hash              func() hash.Hash
	decode            func(string) ([]byte, error)
	tolerance         time.Duration
}

func newAuthorizer(a SourceAuth) *authorizer {
	auth := &authorizer{
		kind: a.Type, user: a.Username, tolerance: a.Tolerance, timestamp: a.TimestampHeader,
		header: cmp.Or(a.Header, defaultSignatureHeader),
		hash:   sha256.New, decode: hex.DecodeString,
	}
	switch a.Type {
	case authBearer:
		auth.secrets = a.Tokens
		if !a.Token.IsZero() {
			auth.secrets = append([]config.Secret{a.Token}, a.Tokens...)
		}
	case authBasic:
		auth.secrets = []config.Secret{a.Password}
	case authHMAC:
		auth.secrets = a.Secrets
		if !a.Secret.IsZero() {
			auth.secrets = append([]config.Secret{a.Secret}, a.Secrets...)
		}
	}
	if a.Algorithm == "sha512" {
		auth.hash = sha512.New
	}
	auth.prefix = cmp.Or(a.Prefix, cmp.Or(a.Algorithm, "sha256")+"=")
	if a.Encoding == "base64" {
		auth.decode = base64.StdEncoding.DecodeString
	}
	return auth
}

// challenge returns the WWW-Authenticate header of a refusal.
func (a *authorizer) challenge() string {
	switch a.kind {
	case authBasic:
		return `Basic realm="fiso", charset="UTF-8"`
	case authHMAC:
		return `Signature realm="fiso", header="` + a.header + `"`
	default:
		return `Bearer realm="fiso"`
	}
}

// checkHeader checks everything that does not need the body.
func (a *authorizer) checkHeader(h nethttp.Header) error {
	switch a.kind {
	case authBearer:
		scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return errDenied
		}
		return a.anySecret(func(secret string) bool { return equal(secret, strings.TrimSpace(token)) })
	case authBasic:
		r := nethttp.Request{Header: h}
		user, password, ok := r.BasicAuth()
		sameUser := equal(a.user, user)
		err := a.anySecret(func(secret string) bool { return equal(secret, password) })
		if !ok || !sameUser {
			return errDenied
		}
		return err
	case authHMAC:
		_, err := a.signature(h)
		return err
	}
	return nil
}

// checkBody checks the signature of the body.
func (a *authorizer) checkBody(h nethttp.Header, body []byte) error {
	if a.kind != authHMAC {
		return nil
	}
	want, err := a.signature(h)
	if err != nil {
		return err
	}
	return a.anySecret(func(secret string) bool {
		mac := hmac.New(a.hash, []byte(secret))
		if a.timestamp != "" {
			mac.Write([]byte(h.Get(a.timestamp)))
			mac.Write([]byte{'.'})
		}
		mac.Write(body)
		return hmac.Equal(mac.Sum(nil), want)
	})
}

// signature reads the signature header and, if configured, checks the time of signing.
func (a *authorizer) signature(h nethttp.Header) ([]byte, error) {
	if a.timestamp != "" {
		seconds, err := strconv.ParseInt(h.Get(a.timestamp), 10, 64)
		if err != nil {
			return nil, errDenied
		}
		// Whole seconds, because a time.Duration overflows on a hostile number.
		now, tolerance := time.Now().Unix(), int64(a.tolerance/time.Second)
		if seconds < now-tolerance || seconds > now+tolerance {
			return nil, errors.New("the time of signing is too far from now; check the clocks of both sides")
		}
	}
	return parseSignature(h.Get(a.header), a.prefix, a.decode, a.hash().Size())
}

// parseSignature reads "sha256=<hex>" and the like, with or without the prefix.
func parseSignature(value, prefix string, decode func(string) ([]byte, error), size int) ([]byte, error) {
	text := strings.TrimPrefix(strings.TrimSpace(value), prefix)
	if len(text) > 4*size {
		return nil, errDenied
	}
	mac, err := decode(text)
	if err != nil || len(mac) != size {
		return nil, errDenied
	}
	return mac, nil
}

// anySecret returns nil if one of the secrets matches. A secret that cannot be read is
// skipped; its error is returned only if no other secret matches.
func (a *authorizer) anySecret(matches func(secret string) bool) error {
	var unreadable error
	found := false
	for _, s := range a.secrets {
		value, err := s.Current()
		if err != nil {
			unreadable = errUnreadable{err}
		} else if value != "" && matches(value) {
			found = true
		}
	}
	switch {
	case found:
		return nil
	case unreadable != nil:
		return unreadable
	default:
		return errDenied
	}
}

// errUnreadable says that a secret of the source cannot be read. The caller is not at
// fault.
type errUnreadable struct{ error }

// equal compares in constant time. It compares hashes, because they have equal lengths.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
