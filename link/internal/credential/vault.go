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

// Vault reads secrets for all targets. A secret that several targets use is read once,
// and the fields of one reading stay together. It owns a goroutine for each secret in
// use. It is safe for concurrent use.
type Vault struct {
	spec        *spec.Vault
	parts       Parts
	http        *http.Client
	proxy       *Proxy // nil: none
	loginSecret source // secret id or token; a file of the service account token for kubernetes
	ctx         context.Context
	cancel      context.CancelFunc

	mu     sync.Mutex
	logins map[string]*login // by role
	leases map[leaseKey]*lease
	run    sync.WaitGroup
}

type leaseKey struct{ role, path string }

// defaultTokenFile is where Kubernetes mounts the service account's token.
const defaultTokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// NewVault returns the Vault of a validated configuration. It does not connect until a
// secret is requested. Of p it uses Env and Log.
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
	if v.loginSecret, err = v.newLoginSecret(&s.Auth, p); err != nil {
		proxy.Close()
		return nil, fmt.Errorf("vault.auth: %w", err)
	}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	return v, nil
}

// newLoginSecret returns the source of the secret that a login needs.
func (v *Vault) newLoginSecret(a *spec.VaultAuth, p Parts) (source, error) {
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

// Close stops reading and renewing, and waits for it. Leases are not revoked.
func (v *Vault) Close() {
	v.cancel()
	v.run.Wait()
	v.http.CloseIdleConnections()
	v.proxy.Close()
}

// client returns a client with a token; "": none. The library takes settings from the
// environment, which client overrides with the configuration's.
func (v *Vault) client(token string) (*api.Client, error) {
	c, err := api.NewClient(&api.Config{Address: v.spec.Address, HttpClient: v.http, DisableRedirects: true, Timeout: fetchTimeout})
	if err != nil {
		return nil, errors.New("create a Vault client: check vault.address, and that no VAULT_… environment variable is malformed")
	}
	c.ClearNamespace()
	if v.spec.Namespace != "" {
		c.SetNamespace(v.spec.Namespace)
	}
	c.SetToken(token)
	return c, nil
}

// source returns a field of a secret, which Vault reads from now on.
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
	at       string // key of the reference in the configuration
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
		return secretReading{}, fmt.Errorf("%s does not exist, or is not text: correct vaultRef.key", f.where())
	}
	return secretReading{text: config.TrimValue(value), until: h.until(), stale: h.err}, nil
}

func (f *vaultField) refresh(ctx context.Context) { f.lease.refresh(ctx) }

// close stops reading the secret if no other field uses it.
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

// vaultRetry is the delay before Vault is asked again after a failure.
var vaultRetry = backoff.Policy{Initial: 500 * time.Millisecond, Max: 30 * time.Second, Jitter: 0.3}

// vaultError describes a failure without quoting Vault, whose errors may repeat what it
// was sent.
func vaultError(doing string, err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		return fmt.Errorf("%s: request to Vault failed: %s", doing, describeFailure(err))
	}
	hint := "see Vault's log"
	switch code := answer.StatusCode; {
	case code == 400:
		hint = "is vault.auth right, and the path?"
	case code == 403:
		hint = "does the login's policy allow it?"
	case code == 404:
		hint = "the path does not exist; paths of KV version 2 contain data/, as secret/data/crm"
	case code == 429 || code == 472 || code == 473:
		hint = "it is overloaded, or a standby"
	case code == 503:
		hint = "it is sealed, or down for maintenance"
	}
	return fmt.Errorf("%s: Vault answered %d: %s", doing, answer.StatusCode, hint)
}

// status returns the status of Vault's answer; 0: no answer.
func status(err error) int {
	var answer *api.ResponseError
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

// texts returns the fields of a secret as text. KV version 2 nests them one level
// deeper, beside metadata.
func texts(s *api.Secret) map[string]string {
	data := s.Data
	if inner, ok := data["data"].(map[string]any); ok {
		if _, ok := data["metadata"].(map[string]any); ok {
			data = inner
		}
	} else if _, ok := data["metadata"].(map[string]any); ok && data["data"] == nil {
		return nil // deleted in KV version 2
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
