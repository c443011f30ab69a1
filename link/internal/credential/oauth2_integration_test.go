//go:build integration

package credential

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-oauth2/oauth2/v4"
	"github.com/go-oauth2/oauth2/v4/manage"
	"github.com/go-oauth2/oauth2/v4/models"
	"github.com/go-oauth2/oauth2/v4/server"
	"github.com/go-oauth2/oauth2/v4/store"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/spec"
)

// tokenStore keeps tokens in memory; the goroutine of the library's own store never
// ends.
type tokenStore struct {
	oauth2.TokenStore // methods that client credentials do not use

	mu     sync.Mutex
	tokens map[string]oauth2.TokenInfo
}

func (s *tokenStore) Create(_ context.Context, info oauth2.TokenInfo) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[info.GetAccess()] = info
	return nil
}

func (s *tokenStore) RemoveByAccess(_ context.Context, access string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, access)
	return nil
}

func (s *tokenStore) GetByAccess(_ context.Context, access string) (oauth2.TokenInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[access], nil
}

// authority is a token server, and an API that accepts only its tokens.
type authority struct {
	web     *httptest.Server
	fetches atomic.Int64
	manager *manage.Manager
}

func newAuthority(t *testing.T, life time.Duration, form bool) *authority {
	t.Helper()
	a := &authority{manager: manage.NewDefaultManager()}
	a.manager.SetClientTokenCfg(&manage.Config{AccessTokenExp: life})
	a.manager.MapTokenStorage(&tokenStore{tokens: map[string]oauth2.TokenInfo{}})
	clients := store.NewClientStore()
	if err := clients.Set("me", &models.Client{ID: "me", Secret: canary + "-env"}); err != nil {
		t.Fatal(err)
	}
	a.manager.MapClientStorage(clients)
	s := server.NewDefaultServer(a.manager)
	s.SetClientInfoHandler(server.ClientBasicHandler)
	if form {
		s.SetClientInfoHandler(server.ClientFormHandler)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		a.fetches.Add(1)
		_ = s.HandleTokenRequest(w, r) // it has answered
	})
	mux.HandleFunc("/api", func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.ValidationBearerToken(r); err != nil {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	a.web = httptest.NewServer(mux)
	t.Cleanup(a.web.Close)
	return a
}

func (a *authority) credential(t *testing.T, w *watch, change ...func(*spec.Auth)) Credential {
	t.Helper()
	auth := spec.Auth{Type: "oauth2", TokenURL: a.web.URL + "/token", ClientID: "me", SecretRef: &spec.SecretRef{EnvVar: "TOKEN"}, Scopes: []string{"read", "write"}}
	for _, fn := range change {
		fn(&auth)
	}
	return mustNew(t, auth, w.parts(nil))
}

// call calls the API with the credential of the attempt.
func (a *authority) calls(t *testing.T, out *http1.Outgoing) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", a.web.URL+"/api", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", out.Header.Get("Authorization"))
	answer, err := a.web.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close() // empty
	return answer.StatusCode
}

func TestRealOAuth2_tokensAreTakenByTheAPI(t *testing.T) {
	for _, way := range []string{"basic", "post"} {
		t.Run(way, func(t *testing.T) {
			w, a := &watch{}, newAuthority(t, time.Hour, way == "post")
			c := a.credential(t, w, func(s *spec.Auth) { s.ClientAuth = way })
			if got := a.calls(t, mustApply(t, c)); got != 200 {
				t.Errorf("the API answered %d", got)
			}
			if at, ok := c.Expiry(); !ok || time.Until(at) < 50*time.Minute || time.Until(at) > time.Hour {
				t.Errorf("ends at %v", at)
			}
			w.keepsQuiet(t)
		})
	}
}

func TestRealOAuth2_renewsAheadUnderLoadAndNeverSendsAnExpiredToken(t *testing.T) {
	w, a := &watch{}, newAuthority(t, 2*time.Second, false)
	c := a.credential(t, w)
	began := time.Now()
	var calls sync.WaitGroup
	var good atomic.Int64
	for range 8 {
		calls.Go(func() {
			for time.Since(began) < 7*time.Second {
				called := time.Now()
				got := a.calls(t, mustApply(t, c))
				took := time.Since(called)
				if got == 200 {
					good.Add(1)
				} else if took < 150*time.Millisecond { // else the token ended on the way
					t.Errorf("after %v the API answered %d within %v", time.Since(began), got, took)
				}
				<-time.After(5 * time.Millisecond)
			}
		})
	}
	calls.Wait()
	if good.Load() < 100 {
		t.Errorf("%d calls went well", good.Load())
	}
	if n := a.fetches.Load(); n < 4 || n > 6 {
		t.Errorf("%d tokens in 7 s, each good for 2 s", n)
	}
	w.keepsQuiet(t)
}

func TestRealOAuth2_a401FetchesOnce(t *testing.T) {
	w, a := &watch{}, newAuthority(t, time.Hour, false)
	c := a.credential(t, w)
	out := mustApply(t, c)
	if err := a.manager.RemoveAccessToken(t.Context(), out.Header.Get("Authorization")[len("Bearer "):]); err != nil {
		t.Fatal(err)
	}
	if got := a.calls(t, out); got != 401 {
		t.Fatalf("a revoked token is taken: %d", got)
	}
	var calls sync.WaitGroup
	for range 50 {
		calls.Go(func() {
			if !c.Renew(t.Context(), out) {
				t.Error("not renewed")
			} else if got := a.calls(t, mustApply(t, c)); got != 200 {
				t.Errorf("the API answered %d", got)
			}
		})
	}
	calls.Wait()
	if n := a.fetches.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
	if got := w.refreshed(); got != "success success" {
		t.Error(got)
	}
}

func TestRealOAuth2_aWrongSecretIsRefusedInWords(t *testing.T) {
	w, a := &watch{}, newAuthority(t, time.Hour, false)
	c := a.credential(t, w, func(s *spec.Auth) { s.SecretRef = fromFile(secretFile(t, canary+"-wrong")) })
	refuses(t, c, call.CredentialUnavailable, "is the client registered there, with this secret")
	w.keepsQuiet(t)
}
