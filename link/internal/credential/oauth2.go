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
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/spec"
)

const (
	// fetchLimit is the longest time of one request for a token, or to Vault.
	fetchLimit = 10 * time.Second
	// skew is what a token needs at least to be sent, where it lives long
	// enough: clocks differ, and calls take their time.
	skew = 10 * time.Second
)

// refetch is how long a failed fetch is remembered.
var refetch = backoff.Policy{Initial: time.Second, Max: 30 * time.Second, Jitter: 0.3}

// client is OAuth2's client credentials (RFC 6749, section 4.4): a token that is
// fetched by one request at a time, however many calls wait for it, and renewed
// ahead of its end by a call that still uses the old one. Nothing is fetched for
// a target that is not called.
type client struct {
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
	flight   *flight // nil: none under way
	last     *flight // that failed, until it may be tried again
	failures int
	again    time.Time
	pace     pace
}

// token is one that was fetched.
type token struct {
	field
	renew time.Time // when another is fetched; zero: not before a 401
}

// flight is one fetch. err is set before done is closed.
type flight struct {
	done chan struct{}
	err  error
}

// text is the client's secret, which goes on no call.
type text string

func (text) put(context.Context, *call.Outgoing) error { return nil }
func (text) on(*call.Outgoing) bool                    { return false }
func (text) expires() time.Time                        { return time.Time{} }

func newOAuth2(s *spec.Auth, p Parts) (Credential, error) {
	silent := p
	silent.Refreshed = func(string) {} // tokens are what is counted
	secrets, err := newSecrets([]named{{"auth.secretRef", s.SecretRef}}, func(v []string) (proof, error) { return text(v[0]), nil }, silent)
	if err != nil {
		return nil, err
	}
	c := &client{owned: owned{authorization}, spec: s, parts: p, secrets: secrets}
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

// Apply puts the token onto an attempt, and fetches one where there is none.
func (c *client) Apply(ctx context.Context, out *call.Outgoing) error {
	t, now := c.now.Load(), time.Now()
	if !t.usable(now) {
		f := c.fetch(false)
		if err := f.wait(ctx); err != nil {
			return unavailable(err)
		}
		if t = c.now.Load(); !t.usable(time.Now()) {
			return unavailable(errors.New("the token server gives tokens that end at once: compare the clocks, and the lifetime it is set to"))
		}
	} else if !t.renew.IsZero() && now.After(t.renew) {
		c.fetch(false) // and this call goes on with what there is
	}
	return t.put(ctx, out)
}

// Renew fetches another token, unless that was done meanwhile.
func (c *client) Renew(ctx context.Context, out *call.Outgoing) bool {
	if t := c.now.Load(); t.usable(time.Now()) && !t.on(out) {
		return true
	}
	c.mu.Lock()
	// Between looking and locking a fetch may have ended.
	if t := c.now.Load(); t.usable(time.Now()) && !t.on(out) {
		c.mu.Unlock()
		return true
	}
	f := c.flight
	if f == nil && c.pace.allow(time.Now()) {
		f = c.start(true)
	}
	c.mu.Unlock()
	if f == nil || f.wait(ctx) != nil {
		return false
	}
	t := c.now.Load()
	return t.usable(time.Now()) && !t.on(out)
}

// Expiry is when the token ends.
func (c *client) Expiry() (time.Time, bool) {
	if t := c.now.Load(); t != nil && !t.end.IsZero() {
		return t.end, true
	}
	return time.Time{}, false
}

// Close ends a fetch under way.
func (c *client) Close() {
	c.mu.Lock()
	c.cancel()
	c.mu.Unlock()
	c.running.Wait()
	c.http.CloseIdleConnections()
	c.proxy.Close()
	c.secrets.close()
}

func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return errors.New("the call ended while it waited for a token")
	}
}

// fetch gives the fetch under way, or begins one. After a failure it gives that
// one, for a while.
func (c *client) fetch(force bool) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.now.Load(); t.usable(time.Now()) && (t.renew.IsZero() || time.Now().Before(t.renew)) {
		return landed // between looking and locking another fetch has ended
	}
	return c.start(force)
}

// landed is a fetch that has succeeded.
var landed = func() *flight {
	f := &flight{done: make(chan struct{})}
	close(f.done)
	return f
}()

// start begins a fetch; c.mu is held.
func (c *client) start(force bool) *flight {
	switch {
	case c.flight != nil:
		return c.flight
	case c.last != nil && !force && time.Now().Before(c.again):
		return c.last
	case c.ctx.Err() != nil:
		return &flight{done: landed.done, err: errors.New("fiso-link is stopping")}
	}
	f := &flight{done: make(chan struct{})}
	c.flight = f
	c.running.Go(func() {
		t, err := c.get()
		c.land(f, t, err)
	})
	return f
}

// land ends a fetch.
func (c *client) land(f *flight, t *token, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight, c.last = nil, nil
	if err == nil {
		c.failures = 0
		c.now.Store(t)
		c.parts.Refreshed(Success)
	} else {
		c.failures++
		f.err, c.last, c.again = err, f, time.Now().Add(refetch.Delay(c.failures))
		if c.ctx.Err() == nil {
			c.parts.Refreshed(Failure)
			c.parts.Log.Warn("no token could be fetched", "error", err.Error(), "in_use", c.now.Load().usable(time.Now()))
		}
		if t := c.now.Load(); t != nil {
			later := *t // a renewal ahead of time is tried again at the same pace
			later.renew = c.again
			c.now.Store(&later)
		}
	}
	close(f.done)
}

// get fetches a token.
func (c *client) get() (*token, error) {
	ctx, cancel := context.WithTimeout(c.ctx, fetchLimit)
	defer cancel()
	secret, err := c.secrets.get(ctx)
	if err != nil {
		return nil, err
	}
	conf := clientcredentials.Config{ClientID: c.spec.ClientID, ClientSecret: string(secret.(text)), TokenURL: c.spec.TokenURL, Scopes: c.spec.Scopes, AuthStyle: oauth2.AuthStyleInHeader}
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
		return nil, refused(err)
	}
	if got.Type() != "Bearer" && (c.spec.TokenType == "" || !strings.EqualFold(got.Type(), c.spec.TokenType)) {
		return nil, errors.New("the token server says that its tokens are not of type Bearer, and fiso-link presents no other: if they are, write the token_type of its answer as auth.tokenType")
	}
	return newToken(got, asked)
}

func newToken(got *oauth2.Token, asked time.Time) (*token, error) {
	if control(got.AccessToken) {
		return nil, errors.New("the token server gave a token with a line break or another control character in it")
	}
	t := &token{field: field{name: authorization, value: "Bearer " + got.AccessToken, end: got.Expiry}}
	if !t.end.IsZero() {
		t.end = t.end.Add(-time.Since(asked)) // it is counted from the answer, and lives since before
	} else {
		t.end = jwtEnd(got.AccessToken)
	}
	if t.end.IsZero() {
		return t, nil
	}
	life := t.end.Sub(asked)
	if life <= 0 {
		return nil, errors.New("the token server gave a token that has ended already: compare the clocks")
	}
	t.end = t.end.Add(-min(skew, life/10))
	t.renew = asked.Add(life * 3 / 4)
	return t, nil
}

// refused says why there was no token, in words of ours: answers repeat secrets.
func refused(err error) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) || answer.Response == nil {
		return fmt.Errorf("no token could be fetched from tokenURL: %s", reason(err))
	}
	hint := "see its log"
	switch code := answer.Response.StatusCode; {
	case code == 400 || code == 401 || code == 403:
		hint = "is the client registered there, with this secret, these scopes and this clientAuth?"
	case code == 404 || code == 405:
		hint = "is tokenURL the address of its token endpoint?"
	case code < 300:
		hint = "its answer is no token (RFC 6749, section 5.1)"
	}
	return fmt.Errorf("the token server answered %d: %s", answer.Response.StatusCode, hint)
}
