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

// login gets tokens of Vault for one role. Leases live no longer than the token
// they were asked for with, so a token is renewed for as long as it can be.
type login struct {
	vault *Vault
	role  string
	mu    chan struct{} // held by whoever uses what follows
	token *vaultToken   // nil: none yet, or refused
}

// vaultToken is one login. Its client does not change.
type vaultToken struct {
	client     *api.Client
	configured string        // method token: what was in the file
	life       time.Duration // at the login; 0: it does not end
	renewable  bool
	renew      time.Time    // when it is; zero: never. Guarded by login.turn.
	end        atomic.Int64 // Unix nanoseconds; 0: never. Leases read it.
}

func newVaultToken(c *api.Client, life time.Duration, renewable bool, asked time.Time) *vaultToken {
	t := &vaultToken{client: c, life: life, renewable: renewable}
	t.extend(life, asked)
	return t
}

// extend gives the token a life from when it was asked for.
func (t *vaultToken) extend(life time.Duration, asked time.Time) {
	if life <= 0 {
		t.renew = time.Time{}
		t.end.Store(0)
		return
	}
	t.renew = asked.Add(life * 2 / 3)
	t.end.Store(asked.Add(life).UnixNano())
}

// ends is when the token ends, and its leases with it; zero: never.
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

// get is a token that is good, renewed or new where it is time; next is when it
// should be asked for again, zero: not for its sake.
func (l *login) get(ctx context.Context) (t *vaultToken, next time.Time, err error) {
	select {
	case l.mu <- struct{}{}:
	case <-ctx.Done():
		return nil, next, errors.New("no login at Vault in time")
	}
	defer func() { <-l.mu }()
	now := time.Now()
	method := l.vault.spec.Auth.Method
	var given string
	if method == "token" { // followed, for whoever writes it may change it
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
	if l.token.usable(now) { // as long as it lasts
		l.vault.parts.Log.Warn("the login at Vault cannot be renewed", "role", l.role, "error", err.Error())
		l.token.renew = now.Add(vaultRetry.Delay(4))
		return l.token, l.token.renew, nil
	}
	return nil, next, err
}

// loginData is what a login is made with.
func (l *login) loginData(ctx context.Context) (string, error) {
	r, err := l.vault.proof.read(ctx)
	if err == nil {
		err = checkValue(r.text, l.vault.proof.where())
	}
	return r.text, err
}

// drop forgets a token that Vault refuses.
func (l *login) drop(t *vaultToken) {
	l.mu <- struct{}{} // held for no longer than a request takes
	if l.token == t {
		l.token = nil
	}
	<-l.mu
}

// renew reports whether the token lives on, for long enough to be worth it: near
// its longest life Vault gives less and less, and another login is due.
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

// lookUpToken learns how long a token that was given lives. A token that may not be
// asked about is used as it is.
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
	seconds, _ := ttl.Int64() // 0, which never ends, where it is not said
	renewable, _ := s.Data["renewable"].(bool)
	life := time.Duration(seconds) * time.Second
	if t := l.token; t.usable(now) && t.configured == given {
		t.extend(life, now) // it is the same, and so are its leases
		return t, nil
	}
	t := newVaultToken(c, life, renewable, now)
	t.configured = given
	return t, nil
}
