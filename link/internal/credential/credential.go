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

// Credential is a target.Credential that can expire and be closed.
type Credential interface {
	target.Credential
	// Expiry returns when the credential in use ends; false: not known, or never.
	Expiry() (time.Time, bool)
	// Close ends background work, and waits for it. No call uses the credential any
	// more.
	Close()
}

// Arguments of Refreshed.
const (
	Success = "success"
	Failure = "failure"
)

// Parts are the dependencies of credentials. The zero value works if nothing comes from
// Vault.
type Parts struct {
	Env   func(string) (string, bool) // nil: os.LookupEnv
	Vault *Vault                      // nil: the configuration has none
	// HTTP fetches tokens. nil: a client that trusts the system's authorities.
	// Redirects are never followed, whatever the client's own policy: a secret goes to
	// the configured address only.
	HTTP *http.Client
	// Refreshed is called with Success when a secret or token was first read or has
	// changed, and with Failure when it could not be read. It may be called
	// concurrently. May be nil.
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

// New returns the credential of a validated configuration; nil for type none. It does
// not block, and does not fail if a secret is missing: a target may be created before
// its Secret. Calls then fail with an error that says what is missing.
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
	owns, refs := owned{authorization}, []keyedRef{{"auth.secretRef", s.SecretRef}}
	var build func([]string) (wireCredential, error)
	parameter := ""
	covers := func(http1.Header) bool { return false }
	switch s.Type {
	case "bearer":
		build = newBearer
	case "basic":
		build = func(v []string) (wireCredential, error) { return newBasic(s.Username, v[0]) }
	case "apiKey":
		if s.Query != "" {
			parameter = foldName(s.Query)
			build = func(v []string) (wireCredential, error) { return newQuery(s.Query, v[0]) }
			break
		}
		name := s.Header
		if name == "" {
			name = "X-API-Key"
		}
		owns = append(owns, name)
		build = func(v []string) (wireCredential, error) { return newHeader(name, v[0]) }
	case "sigv4":
		owns = append(owns, amzDate, amzToken) // not amzHash: it describes the body and authenticates nothing
		covers = coversBody(s.Service)
		refs = append(refs, keyedRef{"auth.accessKeyRef", s.AccessKeyRef})
		if s.SessionTokenRef != nil {
			refs = append(refs, keyedRef{"auth.sessionTokenRef", s.SessionTokenRef})
		}
		build = newSigV4(s)
	default:
		return nil, fmt.Errorf("auth.type %q is not known", s.Type)
	}
	secrets, err := newSecrets(refs, build, p)
	if err != nil {
		return nil, err
	}
	return &staticCredential{owned: owns, parameter: parameter, covers: covers, secrets: secrets}, nil
}

const authorization = "Authorization"

// owned lists fields that a caller cannot send to the target.
type owned []string

func (o owned) Owns(field string) bool {
	for _, name := range o {
		if http1.Same(name, field) {
			return true
		}
	}
	return false
}

// certificate is presented by the transport. A caller's Authorization is still dropped:
// it could identify somebody else.
type certificate struct{ owned }

func (certificate) Apply(context.Context, *http1.Outgoing) error { return nil }
func (certificate) Renew(context.Context, *http1.Outgoing) bool  { return false }
func (certificate) Expiry() (at time.Time, ok bool)              { return at, false }
func (certificate) Close()                                       {}

// staticCredential is sent as it was read.
type staticCredential struct {
	owned
	parameter string // folded name of the query parameter; "": none
	covers    func(http1.Header) bool
	secrets   *secrets
}

// WithoutOwn returns a caller's query without the parameter that carries the
// credential, in any spelling. It is for calls that are stored before they are made.
func (c *staticCredential) WithoutOwn(query string) string {
	if c.parameter == "" {
		return query
	}
	return withoutParameters(query, func(name string) bool { return name == c.parameter })
}

// CoversBody reports whether the credential of a call with that header signs the whole
// body.
func (c *staticCredential) CoversBody(h http1.Header) bool { return c.covers(h) }

// Apply adds the credential to an attempt.
func (c *staticCredential) Apply(ctx context.Context, out *http1.Outgoing) error {
	p, err := c.secrets.get(ctx)
	if err != nil {
		return err
	}
	if end := p.expires(); !end.IsZero() && !time.Now().Before(end.Add(-expiryMargin)) {
		return &target.CredentialError{Code: call.CredentialExpired, Err: fmt.Errorf("the token from %s has expired: put a new one there", c.secrets.sources[0].where())}
	}
	return p.apply(ctx, out)
}

// expiryMargin is the lifetime that a token with an expiry needs to reach the target:
// expiries are whole seconds.
const expiryMargin = time.Second

// Renew reads the secrets again.
func (c *staticCredential) Renew(ctx context.Context, out *http1.Outgoing) bool {
	return c.secrets.renew(ctx, out)
}

// Expiry returns when the token or the lease ends.
func (c *staticCredential) Expiry() (time.Time, bool) { return c.secrets.expiry() }

// Close releases leases.
func (c *staticCredential) Close() { c.secrets.close() }

func unavailable(err error) error {
	return &target.CredentialError{Code: call.CredentialUnavailable, Err: err}
}
