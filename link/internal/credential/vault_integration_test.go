//go:build integration

package credential

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/spec"
)

// realVault is a Vault in development mode, with everything in memory.
type realVault struct {
	t    *testing.T
	addr string
}

const rootToken = canary + "-root"

// startVault starts the Vault in $FISO_VAULT_HOME on a free port of 127.0.0.1,
// and stops it with the test.
func startVault(t *testing.T) *realVault {
	t.Helper()
	home := os.Getenv("FISO_VAULT_HOME")
	if home == "" {
		t.Skip("a real Vault is needed: set FISO_VAULT_HOME to a folder with vault and plugins/ in it (go tool mage integration -module=link builds one)")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(filepath.Join(home, "vault"), "server", "-dev", "-dev-no-store-token", "-dev-root-token-id="+rootToken, "-dev-listen-address="+addr, "-dev-plugin-dir="+filepath.Join(home, "plugins"))
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }() // its log says how it ended
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-done
	})
	v := &realVault{t, "http://" + addr}
	for range 600 {
		select {
		case <-done:
			t.Fatalf("Vault ended: %s", said.String())
		case <-time.After(100 * time.Millisecond):
		}
		if answer, err := http.Get(v.addr + "/v1/sys/health"); err == nil { //nolint:forbidigo // a test, bounded above
			_ = answer.Body.Close()
			if answer.StatusCode == 200 {
				return v
			}
		}
	}
	t.Fatalf("Vault does not start: %s", said.String())
	return nil
}

// do sends a request to Vault as root, and returns the answer.
func (v *realVault) do(method, path string, body any) map[string]any {
	v.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	r, err := http.NewRequest(method, v.addr+"/v1/"+path, bytes.NewReader(text))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("X-Vault-Token", rootToken)
	answer, err := (&http.Client{Timeout: 30 * time.Second}).Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	all, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 300 {
		v.t.Fatalf("%s %s: %d %s %v", method, path, answer.StatusCode, all, err)
	}
	var into map[string]any
	if len(all) > 0 {
		if err := json.Unmarshal(all, &into); err != nil {
			v.t.Fatal(err)
		}
	}
	return into
}

// by returns a Vault that uses the real one.
func (v *realVault) by(w *watch, auth spec.VaultAuth) *Vault {
	v.t.Helper()
	ours, err := NewVault(&spec.Vault{Address: v.addr, Auth: auth}, w.parts(nil))
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(ours.Close)
	return ours
}

type object = map[string]any

func (v *realVault) policy() {
	v.do("PUT", "sys/policies/acl/app", object{"policy": `path "secret/data/*" { capabilities = ["read"] } path "kv1/*" { capabilities = ["read"] } path "rabbitmq/creds/*" { capabilities = ["read"] }`})
}

// eventually waits for a condition.
func eventually(t *testing.T, within time.Duration, what string, so func() bool) {
	t.Helper()
	deadline := time.After(within)
	for !so() {
		select {
		case <-deadline:
			t.Fatalf("not within %v: %s", within, what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestRealVault(t *testing.T) {
	v := startVault(t)
	v.policy()
	for _, c := range []struct {
		name string
		run  func(t *testing.T, v *realVault)
	}{
		{"token and KV version 2, rotated", realToken},
		{"approle, whose token is renewed and ends", realAppRole},
		{"kubernetes", realKubernetes},
		{"KV version 1", realKV1},
		{"dynamic secrets", realDynamic},
		{"refusals show nothing", realRefusals},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, &realVault{t, v.addr}) })
	}
}

func realToken(t *testing.T, v *realVault) {
	v.do("POST", "secret/data/crm", object{"data": object{"token": canary + "-1"}})
	made := v.do("POST", "auth/token/create", object{"policies": []string{"app"}, "ttl": "10m"})
	file := secretFile(t, made["auth"].(object)["client_token"].(string)+"\n")
	w := &watch{}
	c := bearerFrom(t, w, v.by(w, spec.VaultAuth{Method: "token", TokenRef: fromFile(file)}), "secret/data/crm", "token")
	sends(t, c, "Authorization", "Bearer "+canary+"-1")
	out := mustApply(t, c)
	v.do("POST", "secret/data/crm", object{"data": object{"token": canary + "-2"}})
	if !c.Renew(t.Context(), out) {
		t.Error("the rotated secret was not read after a 401")
	}
	sends(t, c, "Authorization", "Bearer "+canary+"-2")
	w.keepsQuiet(t)
}

func (v *realVault) approle(ttl, longest string) spec.VaultAuth {
	if v.do("GET", "sys/auth", nil)["approle/"] == nil {
		v.do("POST", "sys/auth/approle", object{"type": "approle"})
	}
	v.do("POST", "auth/approle/role/app", object{"token_policies": "app", "token_ttl": ttl, "token_max_ttl": longest})
	role := v.do("GET", "auth/approle/role/app/role-id", nil)["data"].(object)["role_id"].(string)
	secret := v.do("POST", "auth/approle/role/app/secret-id", nil)["data"].(object)["secret_id"].(string)
	return spec.VaultAuth{Method: "approle", RoleID: role, SecretID: fromFile(secretFile(v.t, secret))}
}

func realAppRole(t *testing.T, v *realVault) {
	v.do("POST", "secret/data/roles", object{"data": object{"token": canary}})
	w := &watch{}
	ours := v.by(w, v.approle("2s", "5s"))
	c := bearerFrom(t, w, ours, "secret/data/roles", "token")
	out := mustApply(t, c)
	ours.mu.Lock()
	l := ours.logins[""]
	ours.mu.Unlock()
	token := func() *vaultToken {
		l.mu <- struct{}{}
		defer func() { <-l.mu }()
		return l.token
	}
	first := token()
	end := first.ends()
	eventually(t, 10*time.Second, "the token is renewed", func() bool { return token() == first && first.ends().After(end) })
	eventually(t, 20*time.Second, "another login, once it can be renewed no more", func() bool { return token() != first })
	v.do("POST", "secret/data/roles", object{"data": object{"token": canary + "-2"}})
	if !c.Renew(t.Context(), out) {
		t.Error("not read with the new token")
	}
	w.keepsQuiet(t)
}

// realKubernetes logs in with a service account token. Vault verifies it with the API
// of the cluster, which is a small fake here.
func realKubernetes(t *testing.T, v *realVault) {
	account := serviceAccount("default", "app")
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct{ Spec struct{ Token string } }
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || !strings.HasSuffix(r.URL.Path, "/tokenreviews") {
			http.Error(w, "no", 400)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(object{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": object{
			"authenticated": review.Spec.Token == account,
			"user":          object{"username": "system:serviceaccount:default:app", "uid": "u-1", "groups": []string{"system:serviceaccounts"}},
		}})
	}))
	t.Cleanup(api.Close)
	v.do("POST", "sys/auth/kubernetes", object{"type": "kubernetes"})
	v.do("POST", "auth/kubernetes/config", object{"kubernetes_host": api.URL, "token_reviewer_jwt": account, "disable_local_ca_jwt": true})
	v.do("POST", "auth/kubernetes/role/app", object{"bound_service_account_names": "app", "bound_service_account_namespaces": "default", "token_policies": "app", "token_ttl": "1h"})
	v.do("POST", "secret/data/k8s", object{"data": object{"token": canary}})
	file := secretFile(t, serviceAccount("default", "stranger"))
	w := &watch{}
	c := bearerFrom(t, w, v.by(w, spec.VaultAuth{Method: "kubernetes", Role: "app", TokenFile: file}), "secret/data/k8s", "token")
	refuses(t, c, call.CredentialUnavailable, "logging in at Vault by kubernetes: Vault answered 403")
	writeFile(t, file, account) // the kubelet rotates the token: the next login reads it
	eventually(t, 20*time.Second, "logged in with the new token of the service account", func() bool {
		out, err := apply(t, c, "")
		return err == nil && out.Header.Get("Authorization") == "Bearer "+canary
	})
	w.keepsQuiet(t)
}

// serviceAccount returns a token like that of Kubernetes, but with an invalid
// signature.
func serviceAccount(namespace, name string) string {
	enc := func(v any) string {
		b, _ := json.Marshal(v) // maps of texts
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return enc(object{"alg": "RS256", "kid": "k"}) + "." + enc(object{
		"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:" + namespace + ":" + name, "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
		"kubernetes.io": object{"namespace": namespace, "serviceaccount": object{"name": name, "uid": "u-1"}},
	}) + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 256))
}

func realKV1(t *testing.T, v *realVault) {
	v.do("POST", "sys/mounts/kv1", object{"type": "kv", "options": object{"version": "1"}})
	v.do("POST", "kv1/crm", object{"token": canary + "-1", "ttl": "2s"})
	w := &watch{}
	c := bearerFrom(t, w, v.by(w, spec.VaultAuth{Method: "token", TokenRef: fromFile(secretFile(t, rootToken))}), "kv1/crm", "token")
	sends(t, c, "Authorization", "Bearer "+canary+"-1")
	v.do("POST", "kv1/crm", object{"token": canary + "-2", "ttl": "2s"})
	eventually(t, 15*time.Second, "read again, as often as its ttl says", func() bool { return mustApply(t, c).Header.Get("Authorization") == "Bearer "+canary+"-2" })
	w.keepsQuiet(t)
}

// rabbits is the part of RabbitMQ's management API with which Vault creates users.
type rabbits struct {
	mu    sync.Mutex
	users map[string]string
}

func (r *rabbits) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name, isUser := strings.CutPrefix(req.URL.Path, "/api/users/")
	switch {
	case isUser && req.Method == "PUT":
		var u struct{ Password string }
		if err := json.NewDecoder(req.Body).Decode(&u); err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		r.users[name] = u.Password
		w.WriteHeader(201)
	case isUser && req.Method == "DELETE":
		delete(r.users, name)
		w.WriteHeader(204)
	case req.Method == "PUT": // permissions
		w.WriteHeader(201)
	default:
		_, _ = io.WriteString(w, "[]")
	}
}

// valid reports whether a user exists with that password.
func (r *rabbits) valid(name, password string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, there := r.users[name]
	return there && p == password
}

func realDynamic(t *testing.T, v *realVault) {
	server := &rabbits{users: map[string]string{}}
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	v.do("POST", "sys/mounts/rabbitmq", object{"type": "rabbitmq"})
	v.do("POST", "rabbitmq/config/connection", object{"connection_uri": web.URL, "username": "admin", "password": "admin", "verify_connection": false})
	v.do("POST", "rabbitmq/config/lease", object{"ttl": 3, "max_ttl": 8})
	v.do("POST", "rabbitmq/roles/app", object{"vhosts": `{"/":{"write":".*","read":".*"}}`})
	w := &watch{}
	ours := v.by(w, v.approle("1h", "2h"))
	both, err := newSecrets([]keyedRef{{"a", fromVault("rabbitmq/creds/app", "username")}, {"b", fromVault("rabbitmq/creds/app", "password")}},
		func(s []string) (wireCredential, error) { return clientSecret(s[0] + "\x00" + s[1]), nil }, w.parts(ours).filled())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(both.close)
	seen := map[string]bool{}
	began := time.Now()
	for time.Since(began) < 20*time.Second && len(seen) < 3 {
		got := mustGet(t, both)
		user, password, _ := strings.Cut(got, "\x00")
		if !server.valid(user, password) {
			t.Fatalf("after %v a credential was given that is not valid any more, or was put together of two", time.Since(began))
		}
		seen[got] = true
		<-time.After(20 * time.Millisecond)
	}
	// Each lease has 3 s, and at most 8 s after renewals: the second secret came at the
	// end of the first one's maximum lifetime, not earlier.
	if len(seen) != 3 || time.Since(began) < 8*time.Second {
		t.Errorf("%d credentials in %v", len(seen), time.Since(began))
	}
	w.keepsQuiet(t)
}

func realRefusals(t *testing.T, v *realVault) {
	w := &watch{}
	auth := v.approle("1h", "2h")
	ours := v.by(w, auth)
	v.do("POST", "secret/data/some", object{"data": object{"token": canary}})
	for _, c := range []struct{ name, path, key, words string }{
		{"no such secret", "secret/data/none", "token", "Vault answered 404: the path does not exist"},
		{"no such field", "secret/data/some", "other", "names in Vault does not exist, or is not text: correct vaultRef.key"},
		{"not allowed", "sys/auth", "token", "Vault answered 403: does the login's policy allow it?"},
		{"version 2 without data/", "secret/some", "token", "Vault answered 403"},
	} {
		t.Run(c.name, func(t *testing.T) {
			refuses(t, bearerFrom(t, w, ours, c.path, c.key), call.CredentialUnavailable, c.words)
		})
	}
	auth.SecretID = fromFile(secretFile(t, canary))
	refuses(t, bearerFrom(t, w, v.by(w, auth), "secret/data/some", "token"), call.CredentialUnavailable, "logging in at Vault by approle: Vault answered 400")
	refuses(t, bearerFrom(t, w, v.by(w, spec.VaultAuth{Method: "token", TokenRef: fromFile(secretFile(t, canary))}), "secret/data/some", "token"), call.CredentialUnavailable, "looking up the token for Vault: Vault answered 403")
	w.keepsQuiet(t)
}
