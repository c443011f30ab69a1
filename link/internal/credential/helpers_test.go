package credential

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
	"github.com/lsm/fiso/link/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// canary is part of every secret of these tests, and must appear nowhere else.
const canary = "c4n4ry"

// watch records what a credential reports and logs.
type watch struct {
	mu       sync.Mutex
	statuses []string
	log      bytes.Buffer
}

func (w *watch) parts(v *Vault) Parts {
	return Parts{
		Env: func(name string) (string, bool) {
			value, ok := map[string]string{"TOKEN": canary + "-env", "EMPTY": "", "FISO_SECRETS_DIR": ""}[name]
			return value, ok
		},
		Vault: v, Log: slog.New(slog.NewTextHandler(w, nil)),
		Refreshed: func(s string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.statuses = append(w.statuses, s)
		},
	}
}

func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *watch) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (w *watch) refreshed() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.statuses, " ")
}

// keepsQuiet fails if the canary was logged.
func (w *watch) keepsQuiet(t *testing.T) {
	t.Helper()
	if log := w.logged(); strings.Contains(log, canary) {
		t.Errorf("a secret was logged: %s", log)
	}
}

func mustNew(t *testing.T, s spec.Auth, p Parts) Credential {
	t.Helper()
	c, err := New(&s, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// apply adds the credential to an attempt: GET /p with the query and fields.
func apply(t *testing.T, c Credential, query string, fields ...http1.Field) (*http1.Outgoing, error) {
	t.Helper()
	out := &http1.Outgoing{Method: "GET", Path: "/p", Query: query, Host: "api.example.com", Header: fields}
	err := c.Apply(t.Context(), out)
	if err != nil && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), canary) {
		t.Errorf("the error shows a secret: %v", err)
	}
	return out, err
}

func mustApply(t *testing.T, c Credential) *http1.Outgoing {
	t.Helper()
	out, err := apply(t, c, "")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sends checks a field of the next attempt.
func sends(t *testing.T, c Credential, name, want string) {
	t.Helper()
	if got := mustApply(t, c).Header.Get(name); got != want {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}

// refuses checks that an attempt gets no credential, and the error.
func refuses(t *testing.T, c Credential, code call.Code, words string) {
	t.Helper()
	out, err := apply(t, c, "")
	var u *target.CredentialError
	if !errors.As(err, &u) || u.Code != code || !strings.Contains(u.Error(), words) {
		t.Errorf("got %v, want %s with %q", err, code, words)
	}
	if out.Header.Has("Authorization") {
		t.Error("a credential was put onto the attempt all the same")
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	writeFile(t, path, text)
	return path
}

func fromFile(path string) *spec.SecretRef { return &spec.SecretRef{FilePath: path} }

func jwt(claims string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none"}`)) + "." + enc([]byte(claims)) + "." + canary
}

func expiring(at time.Time) string { return jwt(fmt.Sprintf(`{"exp":%d}`, at.Unix())) }

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
