package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/link/spec"
)

// Vault reads secrets for all targets: a secret that several name is read once,
// and what one reading gave stays together. It owns a goroutine for each secret
// in use. It is safe for concurrent use.
type Vault struct {
	spec   *spec.Vault
	parts  Parts
	http   *http.Client
	proxy  *Proxy // nil: none
	proof  source // secret id, or token; nil with kubernetes
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	logins map[string]*login // by role
	leases map[leaseKey]*lease
	run    sync.WaitGroup
}

type leaseKey struct{ role, path string }

// defaultTokenFile is where Kubernetes mounts the service account's token.
const defaultTokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// NewVault is the Vault of a validated configuration. It connects to nothing
// until a secret is named. Of the parts it uses Env and Log.
func NewVault(s *spec.Vault, p Parts) (*Vault, error) {
	p = p.filled()
	p.Vault = nil
	proxy, err := NewProxy("vault.proxy", s.Proxy, usesTLS(s.Address), p)
	if err != nil {
		return nil, err
	}
	t, err := newTransport(s.TLS, proxy)
	if err != nil {
		proxy.Close()
		return nil, fmt.Errorf("vault.tls: %w", err)
	}
	v := &Vault{
		spec: s, parts: p, proxy: proxy, logins: map[string]*login{}, leases: map[leaseKey]*lease{},
		http: &http.Client{Transport: t, Timeout: fetchTimeout, CheckRedirect: refuseRedirect},
	}
	if v.proof, err = v.newProof(&s.Auth, p); err != nil {
		proxy.Close()
		return nil, fmt.Errorf("vault.auth: %w", err)
	}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	return v, nil
}

// newProof is where the secret of a login is.
func (v *Vault) newProof(a *spec.VaultAuth, p Parts) (source, error) {
	switch {
	case a.Method == "kubernetes" && a.TokenFile == "":
		return fileSource{defaultTokenFile, "the file " + defaultTokenFile}, nil
	case a.Method == "kubernetes":
		return fileSource{a.TokenFile, "the file that vault.auth.tokenFile names"}, nil
	case a.Method == "token" && a.TokenRef == nil:
		value, _ := p.Env("VAULT_TOKEN")
		return envVariable{"the environment variable VAULT_TOKEN", config.TrimValue(value)}, nil
	case a.Method == "token":
		return newSource("vault.auth.tokenRef", a.TokenRef, p)
	}
	return newSource("vault.auth.secretID", a.SecretID, p)
}

// Close ends what reads and renews, and waits for it. Leases are left to end.
func (v *Vault) Close() {
	v.cancel()
	v.run.Wait()
	v.http.CloseIdleConnections()
	v.proxy.Close()
}

// client speaks with a token, "" for none. The library reads the environment
// for much that the configuration says here; what it found is put right.
func (v *Vault) client(token string) (*api.Client, error) {
	c, err := api.NewClient(&api.Config{Address: v.spec.Address, HttpClient: v.http, DisableRedirects: true, Timeout: fetchTimeout})
	if err != nil {
		return nil, errors.New("the client of Vault cannot be made: check vault.address, and that no VAULT_… variable of the environment is malformed")
	}
	c.ClearNamespace()
	if v.spec.Namespace != "" {
		c.SetNamespace(v.spec.Namespace)
	}
	c.SetToken(token)
	return c, nil
}

// source is a field of a secret, which is read from now on.
func (v *Vault) source(at string, ref *spec.VaultRef) (source, error) {
	role := ref.Role
	if role != "" && v.spec.Auth.Method != "kubernetes" {
		return nil, fmt.Errorf("vaultRef.role needs vault.auth.method kubernetes: a login by %s has no role to choose", v.spec.Auth.Method)
	}
	if role == "" {
		role = v.spec.Auth.Role
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ctx.Err() != nil {
		return nil, errors.New("fiso-link is stopping")
	}
	key := leaseKey{role, strings.Trim(ref.Path, "/")}
	l := v.leases[key]
	if l == nil {
		lg := v.logins[role]
		if lg == nil {
			lg = &login{vault: v, role: role, mu: make(chan struct{}, 1)}
			v.logins[role] = lg
		}
		l = &lease{vault: v, login: lg, path: key.path, wake: make(chan struct{}, 1), current: make(chan struct{})}
		var ctx context.Context
		ctx, l.cancel = context.WithCancel(v.ctx)
		v.leases[key] = l
		v.run.Go(func() { l.run(ctx) })
	}
	l.users++
	return &vaultField{lease: l, at: at, key: ref.Key, leaseKey: key}, nil
}

// vaultField is one field of a secret in Vault.
type vaultField struct {
	lease    *lease
	at       string // the key of the reference
	key      string
	leaseKey leaseKey
	once     sync.Once
}

func (f *vaultField) where() string { return "the field that " + f.at + ".vaultRef names in Vault" }

func (f *vaultField) read(ctx context.Context) (secretReading, error) {
	h, err := f.lease.get(ctx)
	if err != nil {
		return secretReading{}, err
	}
	value, found := h.data[f.key]
	if !found {
		return secretReading{}, fmt.Errorf("%s is not there, or is no text: correct vaultRef.key", f.where())
	}
	return secretReading{text: config.TrimValue(value), until: h.until(), stale: h.err}, nil
}

func (f *vaultField) refresh(ctx context.Context) { f.lease.refresh(ctx) }

// close ends the reading of a secret that nobody else names.
func (f *vaultField) close() {
	f.once.Do(func() {
		v := f.lease.vault
		v.mu.Lock()
		defer v.mu.Unlock()
		if f.lease.users--; f.lease.users == 0 {
			f.lease.cancel()
			delete(v.leases, f.leaseKey)
		}
	})
}

// vaultRetry is when Vault is asked again after it failed.
var vaultRetry = backoff.Policy{Initial: 500 * time.Millisecond, Max: 30 * time.Second, Jitter: 0.3}

// vaultError says what did not work, in words of ours: Vault's may repeat what
// it was sent.
func vaultError(doing string, err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		return fmt.Errorf("%s: Vault cannot be asked: %s", doing, describeFailure(err))
	}
	hint := "see Vault's log"
	switch code := answer.StatusCode; {
	case code == 400:
		hint = "is vault.auth right, and the path?"
	case code == 403:
		hint = "may the login's policy do that?"
	case code == 404:
		hint = "there is nothing at that path; version 2 of KV has data/ in it, as secret/data/crm"
	case code == 429 || code == 472 || code == 473:
		hint = "it is busy, or a standby"
	case code == 503:
		hint = "it is sealed, or down for maintenance"
	}
	return fmt.Errorf("%s: Vault answered %d: %s", doing, answer.StatusCode, hint)
}

// status is that of Vault's answer; 0: there was none.
func status(err error) int {
	var answer *api.ResponseError
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

// texts are the fields of a secret that are text, or print as one. Version 2 of
// KV has them one level down, beside what it knows of them.
func texts(s *api.Secret) map[string]string {
	data := s.Data
	if inner, ok := data["data"].(map[string]any); ok {
		if _, ok := data["metadata"].(map[string]any); ok {
			data = inner
		}
	} else if _, ok := data["metadata"].(map[string]any); ok && data["data"] == nil {
		return nil // version 2, deleted
	}
	all := make(map[string]string, len(data))
	for key, value := range data {
		switch value := value.(type) {
		case string:
			all[key] = value
		case json.Number:
			all[key] = value.String()
		case bool:
			all[key] = strconv.FormatBool(value)
		}
	}
	return all
}
