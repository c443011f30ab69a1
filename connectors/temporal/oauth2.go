package temporal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

const (
	// fetchTimeout bounds one request for a token.
	fetchTimeout = 10 * time.Second
	// refetchAfter is how long a failed request for a token is not repeated, and how
	// long a token that the server refused is kept at least.
	refetchAfter = time.Second
)

// oauth2Token is a token by OAuth2 client credentials. One call at a time fetches a
// token; the others wait for it. A call that finds the token past three quarters of its
// life renews it, and still uses it if that fails. There is no goroutine.
type oauth2Token struct {
	conf   *OAuth2
	client *http.Client
	turn   chan struct{} // holds a token while a call fetches

	mu      sync.Mutex // guards the rest
	value   string
	renew   time.Time // when to fetch another
	end     time.Time // zero: never
	fetched time.Time
	failed  error
	again   time.Time // when to fetch again after a failure
}

func newOAuth2(conf *OAuth2) (*oauth2Token, error) {
	client, err := newHTTPClient(conf.TLS)
	if err != nil {
		return nil, fmt.Errorf("auth.oauth2.tls: %w", err)
	}
	return &oauth2Token{conf: conf, client: client, turn: make(chan struct{}, 1)}, nil
}

// newHTTPClient returns a client with few connections that follows no redirect.
func newHTTPClient(settings config.TLS) (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost, t.IdleConnTimeout, t.MaxResponseHeaderBytes = 16, 30*time.Second, 64<<10
	if !settings.IsZero() {
		configure, err := settings.Client()
		if err != nil {
			return nil, err
		}
		t.DialTLSContext = dialTLS(configure)
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

func (o *oauth2Token) token(ctx context.Context) (string, error) {
	value, known, err := o.current(time.Now())
	if known {
		return value, err
	}
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return "", fmt.Errorf("wait for a token of the OAuth2 server: %w", ctx.Err())
	}
	if value, known, err = o.current(time.Now()); known { // another call was faster
		return value, err
	}
	return o.fetch(ctx)
}

// current returns what is known without asking the server.
func (o *oauth2Token) current(now time.Time) (value string, known bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	usable := o.value != "" && (o.end.IsZero() || now.Before(o.end))
	switch {
	case usable && (o.renew.IsZero() || now.Before(o.renew)):
		return o.value, true, nil
	case now.Before(o.again) && usable:
		return o.value, true, nil
	case now.Before(o.again):
		return "", true, o.failed
	}
	return "", false, nil
}

func (o *oauth2Token) fetch(ctx context.Context) (string, error) {
	got, err := o.ask(ctx)
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		o.value, o.fetched, o.renew, o.end, o.again = got.AccessToken, now, time.Time{}, time.Time{}, time.Time{}
		if life := got.Expiry.Sub(now); !got.Expiry.IsZero() {
			o.end, o.renew = got.Expiry, now.Add(life*3/4)
		}
		return o.value, nil
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("fetch a token of the OAuth2 server: %w", ctx.Err())
	}
	o.failed, o.again = err, now.Add(refetchAfter)
	if o.value != "" && (o.end.IsZero() || now.Before(o.end)) {
		return o.value, nil
	}
	return "", err
}

func (o *oauth2Token) ask(ctx context.Context) (*oauth2.Token, error) {
	secret, err := o.conf.ClientSecret.Reveal()
	if err != nil {
		return nil, connector.AsBlocked(fmt.Errorf("credential (auth.oauth2.clientSecret): %w", err))
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	conf := clientcredentials.Config{
		ClientID: o.conf.ClientID, ClientSecret: secret, TokenURL: o.conf.TokenURL, Scopes: o.conf.Scopes, AuthStyle: oauth2.AuthStyleInHeader,
	}
	if o.conf.Audience != "" {
		conf.EndpointParams = url.Values{"audience": {o.conf.Audience}}
	}
	got, err := conf.Token(context.WithValue(ctx, oauth2.HTTPClient, o.client))
	switch {
	case err != nil:
		err = describeRefusal(err)
	case !headerValue(got.AccessToken):
		err = errors.New("the OAuth2 server gave a token that no header can hold")
	case !got.Expiry.IsZero() && !time.Now().Before(got.Expiry):
		err = errors.New("the OAuth2 server gave an expired token: compare the clocks")
	}
	if err != nil {
		return nil, connector.AsUnavailable(err, 0)
	}
	return got, nil
}

// refused drops a token that the server did not accept, unless it is new.
func (o *oauth2Token) refused() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.fetched) >= refetchAfter {
		o.value = ""
	}
}

func (o *oauth2Token) close() { o.client.CloseIdleConnections() }

// describeRefusal says why there is no token, without quoting the answer, which may
// repeat secrets.
func describeRefusal(err error) error {
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok && answer.Response != nil {
		hint := "see its log"
		switch code := answer.Response.StatusCode; {
		case code == 400 || code == 401 || code == 403:
			hint = "check clientID, clientSecret, scopes and audience"
		case code == 404 || code == 405:
			hint = "check tokenURL"
		}
		return fmt.Errorf("the OAuth2 server answered %d: %s", answer.Response.StatusCode, hint)
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("ask the OAuth2 server for a token: %w", failed.Err)
	}
	return errors.New("the OAuth2 server's answer is not a token (RFC 6749, section 5.1): check tokenURL")
}
