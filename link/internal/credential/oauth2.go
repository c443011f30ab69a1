package credential

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/spec"
)

const (
	// fetchTimeout bounds one request for a token, or to Vault.
	fetchTimeout = 10 * time.Second
	// clockSkew is the lifetime that a token needs to be sent, if it lives long enough:
	// clocks differ, and calls take time.
	clockSkew = 10 * time.Second
)

// fetchRetry is how long a failed fetch is not repeated.
var fetchRetry = backoff.Policy{Initial: time.Second, Max: 30 * time.Second, Jitter: 0.3}

// oauth2Client authenticates with OAuth2 client credentials (RFC 6749, section 4.4).
// One request at a time fetches a token, however many calls wait for it. A call that
// still uses the old token renews it before its end. A target that is not called
// fetches nothing.
type oauth2Client struct {
	owned
	spec    *spec.Auth
	parts   Parts
	secrets *secrets
	http    *http.Client // fetches tokens
	proxy   *Proxy       // nil: none
	now     atomic.Pointer[token]
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc

	mu       sync.Mutex
	running  sync.WaitGroup
	fetching *fetch // in flight; nil: none
	last     *fetch // last failed fetch, until it may be repeated
	failures int
	again    time.Time
	renewals renewalLimiter
}

// token is a fetched token.
type token struct {
	headerField
	renew time.Time // when to fetch another; zero: only after a 401
}

// fetch is one fetch. err is set before done is closed.
type fetch struct {
	done chan struct{}
	err  error
}

// clientSecret is the client's secret; it is not sent with calls.
type clientSecret string

func (clientSecret) apply(context.Context, *http1.Outgoing) error { return nil }
func (clientSecret) isOn(*http1.Outgoing) bool                    { return false }
func (clientSecret) expires() time.Time                           { return time.Time{} }

func newOAuth2(s *spec.Auth, p Parts) (Credential, error) {
	silent := p
	silent.Refreshed = func(string) {} // fetches of tokens are counted, not reads of the secret
	secrets, err := newSecrets([]keyedRef{{"auth.secretRef", s.SecretRef}}, func(v []string) (wireCredential, error) { return clientSecret(v[0]), nil }, silent)
	if err != nil {
		return nil, err
	}
	c := &oauth2Client{owned: owned{authorization}, spec: s, parts: p, secrets: secrets}
	if c.proxy, err = NewProxy("auth.proxy", s.Proxy, usesTLS(s.TokenURL), p); err != nil {
		secrets.close()
		return nil, err
	}
	if c.http, err = fetcher(p.HTTP, s.TLS, c.proxy); err != nil {
		secrets.close()
		c.proxy.Close()
		return nil, fmt.Errorf("auth.tls: %w", err)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

func (t *token) usable(now time.Time) bool {
	return t != nil && (t.end.IsZero() || now.Before(t.end))
}

// Apply adds the token to an attempt, and fetches one if there is none.
func (c *oauth2Client) Apply(ctx context.Context, out *http1.Outgoing) error {
	t, now := c.now.Load(), time.Now()
	if !t.usable(now) {
		f := c.joinOrStartFetch(false)
		if err := f.wait(ctx); err != nil {
			return unavailable(err)
		}
		if t = c.now.Load(); !t.usable(time.Now()) {
			return unavailable(errors.New("the token server gives tokens that expire at once: compare the clocks, and check the token lifetime of the server"))
		}
	} else if !t.renew.IsZero() && now.After(t.renew) {
		c.joinOrStartFetch(false) // this call uses the old token
	}
	return t.apply(ctx, out)
}

// Renew fetches another token, unless another call already has.
func (c *oauth2Client) Renew(ctx context.Context, out *http1.Outgoing) bool {
	if t := c.now.Load(); t.usable(time.Now()) && !t.isOn(out) {
		return true
	}
	c.mu.Lock()
	// A fetch may have ended before c.mu was locked.
	if t := c.now.Load(); t.usable(time.Now()) && !t.isOn(out) {
		c.mu.Unlock()
		return true
	}
	f := c.fetching
	if f == nil && c.renewals.allow(time.Now()) {
		f = c.startFetch(true)
	}
	c.mu.Unlock()
	if f == nil || f.wait(ctx) != nil {
		return false
	}
	t := c.now.Load()
	return t.usable(time.Now()) && !t.isOn(out)
}

// Expiry returns when the token ends.
func (c *oauth2Client) Expiry() (time.Time, bool) {
	if t := c.now.Load(); t != nil && !t.end.IsZero() {
		return t.end, true
	}
	return time.Time{}, false
}

// Close cancels a fetch in flight, and waits for it.
func (c *oauth2Client) Close() {
	c.mu.Lock()
	c.cancel()
	c.mu.Unlock()
	c.running.Wait()
	c.http.CloseIdleConnections()
	c.proxy.Close()
	c.secrets.close()
}

func (f *fetch) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return errors.New("the call ended while it waited for a token")
	}
}

// joinOrStartFetch returns the fetch in flight, or starts one. After a failure it
// returns the failed fetch for a while.
func (c *oauth2Client) joinOrStartFetch(force bool) *fetch {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.now.Load(); t.usable(time.Now()) && (t.renew.IsZero() || time.Now().Before(t.renew)) {
		return fetched // another fetch ended before c.mu was locked
	}
	return c.startFetch(force)
}

// fetched is a fetch that has succeeded.
var fetched = func() *fetch {
	f := &fetch{done: make(chan struct{})}
	close(f.done)
	return f
}()

// startFetch starts a fetch. c.mu must be held.
func (c *oauth2Client) startFetch(force bool) *fetch {
	switch {
	case c.fetching != nil:
		return c.fetching
	case c.last != nil && !force && time.Now().Before(c.again):
		return c.last
	case c.ctx.Err() != nil:
		return &fetch{done: fetched.done, err: errors.New("fiso-link is stopping")}
	}
	f := &fetch{done: make(chan struct{})}
	c.fetching = f
	c.running.Go(func() {
		t, err := c.requestToken()
		c.endFetch(f, t, err)
	})
	return f
}

// endFetch records the result of a fetch.
func (c *oauth2Client) endFetch(f *fetch, t *token, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fetching, c.last = nil, nil
	if err == nil {
		c.failures = 0
		c.now.Store(t)
		c.parts.Refreshed(Success)
	} else {
		c.failures++
		f.err, c.last, c.again = err, f, time.Now().Add(fetchRetry.Delay(c.failures))
		if c.ctx.Err() == nil {
			c.parts.Refreshed(Failure)
			c.parts.Log.Warn("token fetch failed", "error", err.Error(), "in_use", c.now.Load().usable(time.Now()))
		}
		if t := c.now.Load(); t != nil {
			later := *t // an early renewal that failed is tried again after the same delay
			later.renew = c.again
			c.now.Store(&later)
		}
	}
	close(f.done)
}

// requestToken requests a token.
func (c *oauth2Client) requestToken() (*token, error) {
	ctx, cancel := context.WithTimeout(c.ctx, fetchTimeout)
	defer cancel()
	secret, err := c.secrets.get(ctx)
	if err != nil {
		return nil, err
	}
	conf := clientcredentials.Config{
		ClientID: c.spec.ClientID, ClientSecret: string(secret.(clientSecret)),
		TokenURL: c.spec.TokenURL, Scopes: c.spec.Scopes, AuthStyle: oauth2.AuthStyleInHeader,
	}
	if c.spec.ClientAuth == "post" {
		conf.AuthStyle = oauth2.AuthStyleInParams
	}
	conf.EndpointParams = url.Values{}
	for name, value := range c.spec.Params {
		conf.EndpointParams.Set(name, value)
	}
	if c.spec.Audience != "" {
		conf.EndpointParams.Set("audience", c.spec.Audience)
	}
	asked := time.Now()
	got, err := conf.Token(context.WithValue(ctx, oauth2.HTTPClient, c.http))
	if err != nil {
		return nil, describeRefusal(err)
	}
	if got.Type() != "Bearer" && (c.spec.TokenType == "" || !strings.EqualFold(got.Type(), c.spec.TokenType)) {
		return nil, errors.New("the token server says that its tokens are not of type Bearer, and fiso-link sends only bearer tokens: if they are, set auth.tokenType to the token_type of its answer")
	}
	return newToken(got, asked)
}

func newToken(got *oauth2.Token, asked time.Time) (*token, error) {
	if control(got.AccessToken) {
		return nil, errors.New("the token server gave a token that contains a line break or another control character")
	}
	t := &token{headerField: headerField{name: authorization, value: "Bearer " + got.AccessToken, end: got.Expiry}}
	if !t.end.IsZero() {
		t.end = t.end.Add(-time.Since(asked)) // expires_in counts from the answer, but the token's life began before
	} else {
		t.end = jwtEnd(got.AccessToken)
	}
	if t.end.IsZero() {
		return t, nil
	}
	life := t.end.Sub(asked)
	if life <= 0 {
		return nil, errors.New("the token server gave an expired token: compare the clocks")
	}
	t.end = t.end.Add(-min(clockSkew, life/10))
	t.renew = asked.Add(life * 3 / 4)
	return t, nil
}

// describeRefusal describes why there is no token, without quoting the answer, which
// may repeat secrets.
func describeRefusal(err error) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) || answer.Response == nil {
		return fmt.Errorf("fetch a token from tokenURL: %s", describeFailure(err))
	}
	hint := "see its log"
	switch code := answer.Response.StatusCode; {
	case code == 400 || code == 401 || code == 403:
		hint = "is the client registered there, with this secret, these scopes and this clientAuth?"
	case code == 404 || code == 405:
		hint = "is tokenURL the address of its token endpoint?"
	case code < 300:
		hint = "its answer is not a token response (RFC 6749, section 5.1)"
	}
	return fmt.Errorf("the token server answered %d: %s", answer.Response.StatusCode, hint)
}
