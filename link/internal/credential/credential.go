package credential

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
	"github.com/lsm/fiso/link/spec"
)

// Credential is a target.Credential that can be watched, and has an end.
type Credential interface {
	target.Credential
	// Expiry is when what would be sent now ends; false: not known, or never.
	Expiry() (time.Time, bool)
	// Close ends what is done in the background, and waits for it. Calls are
	// over by then.
	Close()
}

// What Refreshed is told.
const (
	Success = "success"
	Failure = "failure"
)

// Parts are what credentials are made with. The zero value will do where
// nothing comes from Vault.
type Parts struct {
	Env   func(string) (string, bool) // nil: os.LookupEnv
	Vault *Vault                      // nil: the configuration has none
	// HTTP fetches tokens. nil: a client with the system's authorities. It
	// follows no redirect, whatever its own rule: a secret goes to the
	// configured address alone.
	HTTP *http.Client
	// Refreshed hears Success when a secret or token was read for the first
	// time or has changed, and Failure when it could not be had. It may be
	// called from several goroutines. nil: nobody is told.
	Refreshed func(status string)
	Log       *slog.Logger // nil: nothing is logged
}

func (p Parts) filled() Parts {
	if p.Env == nil {
		p.Env = os.LookupEnv
	}
	if p.Refreshed == nil {
		p.Refreshed = func(string) {}
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	client := http.Client{Timeout: fetchTimeout}
	if p.HTTP != nil {
		client = *p.HTTP
	}
	client.CheckRedirect = refuseRedirect
	p.HTTP = &client
	return p
}

// New is the credential of a validated configuration; nil where its type is
// none. It waits for nothing and does not fail because a secret is missing: a
// target may come before its Secret does. Calls then say what is missing.
func New(s *spec.Auth, p Parts) (Credential, error) {
	p = p.filled()
	switch s.Type {
	case "", "none":
		return nil, nil
	case "mtls":
		return certificate{owned{authorization}}, nil
	case "oauth2":
		return newOAuth2(s, p)
	}
	owns, refs := owned{authorization}, []named{{"auth.secretRef", s.SecretRef}}
	var prove func([]string) (wireCredential, error)
	parameter := ""
	covers := func(call.Header) bool { return false }
	switch s.Type {
	case "bearer":
		prove = newBearer
	case "basic":
		prove = func(v []string) (wireCredential, error) { return newBasic(s.Username, v[0]) }
	case "apiKey":
		if s.Query != "" {
			parameter = foldName(s.Query)
			prove = func(v []string) (wireCredential, error) { return newQuery(s.Query, v[0]) }
			break
		}
		name := s.Header
		if name == "" {
			name = "X-API-Key"
		}
		owns = append(owns, name)
		prove = func(v []string) (wireCredential, error) { return newHeader(name, v[0]) }
	case "sigv4":
		owns = append(owns, amzDate, amzToken) // amzHash says what the body is, and proves nothing
		covers = coversBody(s.Service)
		refs = append(refs, named{"auth.accessKeyRef", s.AccessKeyRef})
		if s.SessionTokenRef != nil {
			refs = append(refs, named{"auth.sessionTokenRef", s.SessionTokenRef})
		}
		prove = newSigV4(s)
	default:
		return nil, fmt.Errorf("auth.type %q is not known", s.Type)
	}
	secrets, err := newSecrets(refs, prove, p)
	if err != nil {
		return nil, err
	}
	return &staticCredential{owned: owns, parameter: parameter, covers: covers, secrets: secrets}, nil
}

const authorization = "Authorization"

// owned are fields that a caller cannot send past the credential.
type owned []string

// Owns reports whether the field is one of them.
func (o owned) Owns(field string) bool {
	for _, name := range o {
		if http1.Same(name, field) {
			return true
		}
	}
	return false
}

// certificate is presented by the transport; a caller's Authorization, which
// could stand for somebody else, still does not go on.
type certificate struct{ owned }

func (certificate) Apply(context.Context, *call.Outgoing) error { return nil }
func (certificate) Renew(context.Context, *call.Outgoing) bool  { return false }
func (certificate) Expiry() (at time.Time, ok bool)             { return at, false }
func (certificate) Close()                                      {}

// staticCredential is a credential that is sent as it is kept.
type staticCredential struct {
	owned
	parameter string // of the query, folded; "": none
	covers    func(call.Header) bool
	secrets   *secrets
}

// WithoutOwn is a caller's query without the parameter that carries the
// credential, however it is spelt: for a call that is kept before it is made.
func (c *staticCredential) WithoutOwn(query string) string {
	if c.parameter == "" {
		return query
	}
	return withoutParameters(query, func(name string) bool { return name == c.parameter })
}

// CoversBody reports whether the credential of a call with that header is made
// of the whole body too.
func (c *staticCredential) CoversBody(h call.Header) bool { return c.covers(h) }

// Apply puts it onto an attempt.
func (c *staticCredential) Apply(ctx context.Context, out *call.Outgoing) error {
	p, err := c.secrets.get(ctx)
	if err != nil {
		return err
	}
	if end := p.expires(); !end.IsZero() && !time.Now().Before(end.Add(-expiryMargin)) {
		return &target.CredentialError{Code: call.CredentialExpired, Err: fmt.Errorf("the token from %s has expired: put a new one there", c.secrets.sources[0].where())}
	}
	return p.apply(ctx, out)
}

// expiryMargin is what a token that has its end written in it needs at least to get
// to the target: ends are whole seconds.
const expiryMargin = time.Second

// Renew looks at the secrets again.
func (c *staticCredential) Renew(ctx context.Context, out *call.Outgoing) bool {
	return c.secrets.renew(ctx, out)
}

// Expiry is when the token or the lease ends.
func (c *staticCredential) Expiry() (time.Time, bool) { return c.secrets.expiry() }

// Close lets go of leases.
func (c *staticCredential) Close() { c.secrets.close() }

func unavailable(err error) error {
	return &target.CredentialError{Code: call.CredentialUnavailable, Err: err}
}
