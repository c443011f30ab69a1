package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"
)

// login logs in at Vault for one role. A lease does not outlive the token that it was
// requested with, so a token is renewed as long as possible.
type login struct {
	vault *Vault
	role  string
	mu    chan struct{} // a semaphore that guards the fields below
	token *vaultToken   // nil: none yet, or refused
}

// vaultToken is the result of one login. Its client does not change.
type vaultToken struct {
	client     *api.Client
	configured string        // method token: the configured token
	life       time.Duration // lifetime at the login; 0: unlimited
	renewable  bool
	renew      time.Time    // when to renew; zero: never. Guarded by login.mu.
	end        atomic.Int64 // Unix nanoseconds; 0: never. Leases read it concurrently.
}

func newVaultToken(c *api.Client, life time.Duration, renewable bool, asked time.Time) *vaultToken {
	t := &vaultToken{client: c, life: life, renewable: renewable}
	t.extend(life, asked)
	return t
}

// extend sets the end of the token to asked + life.
func (t *vaultToken) extend(life time.Duration, asked time.Time) {
	if life <= 0 {
		t.renew = time.Time{}
		t.end.Store(0)
		return
	}
	t.renew = asked.Add(life * 2 / 3)
	t.end.Store(asked.Add(life).UnixNano())
}

// ends returns when the token and its leases end; zero: never.
func (t *vaultToken) ends() time.Time {
	if end := t.end.Load(); end != 0 {
		return time.Unix(0, end)
	}
	return time.Time{}
}

func (t *vaultToken) usable(now time.Time) bool {
	if t == nil {
		return false
	}
	end := t.ends()
	return end.IsZero() || now.Before(end)
}

// get returns a valid token, renewed or new if that is due. next is when get should be
// called again; zero: the token needs no renewal.
func (l *login) get(ctx context.Context) (t *vaultToken, next time.Time, err error) {
	select {
	case l.mu <- struct{}{}:
	case <-ctx.Done():
		return nil, next, errors.New("the login at Vault did not finish in time")
	}
	defer func() { <-l.mu }()
	now := time.Now()
	method := l.vault.spec.Auth.Method
	var given string
	if method == "token" { // the configured token may have changed
		given, err = l.loginData(ctx)
	}
	if err == nil && l.token.usable(now) && l.token.configured == given {
		if l.token.renew.IsZero() || now.Before(l.token.renew) || l.renew(ctx, now) {
			return l.token, l.token.renew, nil
		}
	}
	if method != "token" {
		given, err = l.loginData(ctx)
	}
	var fresh *vaultToken
	if err == nil {
		fresh, err = l.logIn(ctx, given, now)
	}
	if err == nil {
		l.token = fresh
		return fresh, fresh.renew, nil
	}
	if l.token.usable(now) { // the old token is used until it ends
		l.vault.parts.Log.Warn("vault login failed", "role", l.role, "error", err.Error())
		l.token.renew = now.Add(vaultRetry.Delay(4))
		return l.token, l.token.renew, nil
	}
	return nil, next, err
}

// loginData reads the secret that the login sends.
func (l *login) loginData(ctx context.Context) (string, error) {
	r, err := l.vault.loginSecret.read(ctx)
	if err == nil {
		err = checkValue(r.text, l.vault.loginSecret.where())
	}
	return r.text, err
}

// drop discards a token that Vault refuses.
func (l *login) drop(t *vaultToken) {
	l.mu <- struct{}{} // held at most for the time of one request
	if l.token == t {
		l.token = nil
	}
	<-l.mu
}

// renew renews the token, and reports whether it lives long enough. Near its maximum
// lifetime Vault grants less and less, and another login is needed.
func (l *login) renew(ctx context.Context, now time.Time) bool {
	t := l.token
	if !t.renewable {
		return false
	}
	s, err := t.client.Auth().Token().RenewSelfWithContext(ctx, 0)
	if err != nil || s == nil || s.Auth == nil {
		return false
	}
	life := time.Duration(s.Auth.LeaseDuration) * time.Second
	t.extend(life, now)
	return life == 0 || life > t.life/3
}

// logIn logs in.
func (l *login) logIn(ctx context.Context, given string, now time.Time) (*vaultToken, error) {
	auth := l.vault.spec.Auth
	if auth.Method == "token" {
		return l.lookUpToken(ctx, given, now)
	}
	body := map[string]any{"role": l.role, "jwt": given}
	if auth.Method == "approle" {
		body = map[string]any{"role_id": auth.RoleID, "secret_id": given}
	}
	mount := auth.Mount
	if mount == "" {
		mount = auth.Method
	}
	c, err := l.vault.client("")
	if err != nil {
		return nil, err
	}
	doing := "logging in at Vault by " + auth.Method
	s, err := c.Logical().WriteWithContext(ctx, "auth/"+mount+"/login", body)
	if err != nil {
		return nil, vaultError(doing, err)
	}
	if s == nil || s.Auth == nil || s.Auth.ClientToken == "" {
		return nil, fmt.Errorf("%s: Vault gave no token: is vault.auth.mount right?", doing)
	}
	if c, err = l.vault.client(s.Auth.ClientToken); err != nil {
		return nil, err
	}
	return newVaultToken(c, time.Duration(s.Auth.LeaseDuration)*time.Second, s.Auth.Renewable, now), nil
}

// lookUpToken asks Vault how long a configured token lives. A token that may not ask is
// used as it is.
func (l *login) lookUpToken(ctx context.Context, given string, now time.Time) (*vaultToken, error) {
	c, err := l.vault.client(given)
	if err != nil {
		return nil, err
	}
	s, err := c.Auth().Token().LookupSelfWithContext(ctx)
	if err != nil || s == nil {
		return nil, vaultError("looking up the token for Vault", err)
	}
	ttl, _ := s.Data["ttl"].(json.Number)
	seconds, _ := ttl.Int64() // 0, unlimited, if Vault does not say
	renewable, _ := s.Data["renewable"].(bool)
	life := time.Duration(seconds) * time.Second
	if t := l.token; t.usable(now) && t.configured == given {
		t.extend(life, now) // same token, so its leases remain
		return t, nil
	}
	t := newVaultToken(c, life, renewable, now)
	t.configured = given
	return t, nil
}
