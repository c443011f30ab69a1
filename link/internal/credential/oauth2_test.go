package credential

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/spec"
)

// wire answers requests without a network, so that synctest controls time.
type wire func(w http.ResponseWriter, r *http.Request)

func (f wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	f(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

// tokens is a token server: each answer is another token, t1, t2, …
type tokens struct {
	n     atomic.Int64
	life  int
	takes time.Duration
	down  atomic.Bool
}

func (s *tokens) serve(w http.ResponseWriter, r *http.Request) {
	n := s.n.Add(1)
	select {
	case <-time.After(s.takes):
	case <-r.Context().Done():
		return
	}
	if s.down.Load() {
		http.Error(w, canary, http.StatusServiceUnavailable)
		return
	}
	answer(w, fmt.Sprintf(`{"access_token":"t%d","token_type":"bearer","expires_in":%d}`, n, s.life))
}

func answer(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, body)
}

func newClient(t *testing.T, w *watch, serve wire, change ...func(*spec.Auth)) *oauth2Client {
	t.Helper()
	auth := spec.Auth{Type: "oauth2", TokenURL: "http://tokens.example.com/token", ClientID: "me", SecretRef: &spec.SecretRef{EnvVar: "TOKEN"}}
	for _, fn := range change {
		fn(&auth)
	}
	p := w.parts(nil)
	p.HTTP = &http.Client{Transport: serve}
	return mustNew(t, auth, p).(*oauth2Client)
}

func TestOAuth2_asksAsItIsConfigured(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*spec.Auth)
		want   string
		basic  bool
	}{
		{"basic", func(*spec.Auth) {}, "grant_type=client_credentials", true},
		{"post", func(a *spec.Auth) { a.ClientAuth = "post" }, "client_id=me&client_secret=c4n4ry-env&grant_type=client_credentials", false},
		{"scopes and audience", func(a *spec.Auth) { a.Scopes, a.Audience = []string{"r", "w"}, "crm" }, "audience=crm&grant_type=client_credentials&scope=r+w", true},
		{"parameters", func(a *spec.Auth) { a.Params = map[string]string{"resource": "https://crm/?a=b&c", "x": ""} }, "grant_type=client_credentials&resource=https%3A%2F%2Fcrm%2F%3Fa%3Db%26c&x=", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var form url.Values
			var user, password string
			cred := newClient(t, new(watch), func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				form = r.PostForm
				user, password, _ = r.BasicAuth()
				answer(w, `{"access_token":"t","token_type":"Bearer"}`)
			}, c.change)
			sends(t, cred, "Authorization", "Bearer t")
			if form.Encode() != c.want || c.basic != (user == "me" && password == "c4n4ry-env") {
				t.Errorf("asked with %s, as %q", form.Encode(), user)
			}
			if at, ok := cred.Expiry(); ok {
				t.Errorf("a token without an end ends at %v", at)
			}
			if !cred.Owns("authorization") {
				t.Error("a caller's Authorization goes on")
			}
		})
	}
}

func TestOAuth2_fetchesOnceForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := &watch{}, &tokens{life: 100, takes: time.Second}
		c := newClient(t, w, s.serve)
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() { sends(t, c, "Authorization", "Bearer t1") })
		}
		calls.Wait()
		if s.n.Load() != 1 || w.refreshed() != "success" {
			t.Errorf("%d fetches, told %q", s.n.Load(), w.refreshed())
		}
		c.Close()
		if err := c.Apply(t.Context(), &http1.Outgoing{}); err != nil {
			t.Error("a token that is good is used while stopping:", err)
		}
		time.Sleep(time.Hour)
		refuses(t, c, call.CredentialUnavailable, "stopping")
	})
}

func TestOAuth2_renewsAheadAndNeverSendsAnExpiredToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := &watch{}, &tokens{life: 100}
		c := newClient(t, w, s.serve)
		sends(t, c, "Authorization", "Bearer t1")
		if at, ok := c.Expiry(); !ok || time.Until(at) != 90*time.Second {
			t.Errorf("ends at %v", at)
		}
		time.Sleep(75 * time.Second)
		sends(t, c, "Authorization", "Bearer t1")
		s.takes = 5 * time.Second
		time.Sleep(time.Nanosecond)
		sends(t, c, "Authorization", "Bearer t1") // the call has started a fetch
		sends(t, c, "Authorization", "Bearer t1")
		time.Sleep(6 * time.Second)
		sends(t, c, "Authorization", "Bearer t2")

		s.down.Store(true)
		for range 83 {
			time.Sleep(time.Second)
			sends(t, c, "Authorization", "Bearer t2")
		}
		if n := s.n.Load(); n < 3 || n > 8 {
			t.Errorf("%d fetches: a token server that is down is asked again and again, or not at all", n)
		}
		time.Sleep(30 * time.Second)
		refuses(t, c, call.CredentialUnavailable, "the token server answered 503: see its log")
		s.down.Store(false)
		time.Sleep(time.Minute)
		if got := mustApply(t, c).Header.Get("Authorization"); !strings.HasPrefix(got, "Bearer t") {
			t.Error(got)
		}
		w.keepsQuiet(t)
	})
}

func TestOAuth2_remembersFailuresForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := &watch{}, &tokens{life: 100}
		s.down.Store(true)
		c := newClient(t, w, s.serve)
		for range 600 {
			refuses(t, c, call.CredentialUnavailable, "answered 503")
			time.Sleep(time.Second / 10)
		}
		if n := s.n.Load(); n < 4 || n > 7 {
			t.Errorf("%d fetches in a minute", n)
		}
		s.down.Store(false)
		time.Sleep(time.Minute)
		mustApply(t, c)
		if got := w.refreshed(); !strings.HasPrefix(got, "failure failure") || !strings.HasSuffix(got, "failure success") {
			t.Error(got)
		}
		w.keepsQuiet(t)
	})
}

func TestOAuth2_fetchesOnceForAHundred401s(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokens{life: 1000, takes: time.Second}
		c := newClient(t, new(watch), s.serve)
		old := mustApply(t, c)
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() {
				if !c.Renew(t.Context(), old) {
					t.Error("not renewed")
				}
				sends(t, c, "Authorization", "Bearer t2")
			})
		}
		calls.Wait()
		if !c.Renew(t.Context(), old) { // a late call, whose token another call has replaced
			t.Error("not renewed")
		}
		if n := s.n.Load(); n != 2 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestOAuth2_isNoStormWhereEveryAnswerIs401(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokens{life: 10000}
		c := newClient(t, new(watch), s.serve)
		for range 6000 {
			c.Renew(t.Context(), mustApply(t, c))
			time.Sleep(time.Second / 100)
		}
		if n := s.n.Load(); n < 4 || n > 9 {
			t.Errorf("%d fetches in a minute", n)
		}
		time.Sleep(5 * time.Minute)
		if !c.Renew(t.Context(), mustApply(t, c)) {
			t.Error("after a time of peace the first 401 renews at once")
		}
	})
}

func TestOAuth2_renewSaysNoWhereThereIsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		same := func(w http.ResponseWriter, _ *http.Request) { answer(w, `{"access_token":"same","expires_in":100}`) }
		c := newClient(t, new(watch), same)
		if c.Renew(t.Context(), mustApply(t, c)) {
			t.Error("the same token is no reason for another attempt")
		}
		s := &tokens{life: 100}
		c = newClient(t, new(watch), s.serve)
		out := mustApply(t, c)
		s.takes = time.Second
		if c.Renew(ended(t), out) {
			t.Error("a call that is over has no other attempt")
		}
		c.Close() // waits for the fetch
	})
}

func TestOAuth2_callsAndCloseDoNotWaitForATokenServerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokens{takes: time.Hour}
		c := newClient(t, new(watch), s.serve)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Apply(ctx, &http1.Outgoing{})
		if err == nil || !strings.Contains(err.Error(), "the call ended while it waited for a token") {
			t.Error(err)
		}
		refuses(t, c, call.CredentialUnavailable, "no answer in time")
		time.Sleep(time.Minute)
		began := time.Now()
		go func() { _ = c.Apply(t.Context(), &http1.Outgoing{}) }()
		synctest.Wait()
		c.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %v", took)
		}
	})
}

// Some servers repeat what they were sent; none of it may be shown.
func TestOAuth2_showsNothingOfAWrongAnswer(t *testing.T) {
	for _, c := range []struct {
		name, words string
		status      int
		body        string
	}{
		{"refused", "answered 401: is the client registered there", 401, `{"error":"invalid_client","error_description":"` + canary + `"}`},
		{"a scope", "answered 400: is the client registered there", 400, `{"error":"` + canary + `"}`},
		{"another page", "answered 404: is tokenURL the address", 404, "<html>" + canary},
		{"a redirect", "it redirects to another address, which is not followed", 307, canary},
		{"no token", "the answer is malformed", 200, `{"access":"` + canary + `"}`},
		{"an error with 200", "answered 200: its answer is not a token", 200, `{"error":"` + canary + `"}`},
		{"no JSON", "the answer is malformed", 200, canary},
		{"another type", "set auth.tokenType to the token_type of its answer", 200, `{"access_token":"` + canary + `","token_type":"mac"}`},
		{"a line break", "a token that contains a line break", 200, `{"access_token":"` + canary + `\nX-Admin: y"}`},
		{"in the past", "gave an expired token", 200, `{"access_token":"` + canary + `","expires_in":-5}`},
		{"a JWT in the past", "gave an expired token", 200, `{"access_token":"` + expiring(time.Unix(1e9, 0)) + `"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &watch{}
			var asked atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				rw.Header().Set("Content-Type", "application/json")
				rw.Header().Set("Location", "/elsewhere?secret="+canary)
				rw.WriteHeader(c.status)
				_, _ = io.WriteString(rw, c.body)
			}))
			defer server.Close()
			p := w.parts(nil)
			p.HTTP = server.Client()
			cred := mustNew(t, spec.Auth{Type: "oauth2", TokenURL: server.URL + "/?key=" + canary, ClientID: "me", SecretRef: &spec.SecretRef{EnvVar: "TOKEN"}}, p)
			refuses(t, cred, call.CredentialUnavailable, c.words)
			if asked.Load() != 1 || w.refreshed() != "failure" {
				t.Errorf("asked %d times, told %q", asked.Load(), w.refreshed())
			}
			w.keepsQuiet(t)
		})
	}
}

func TestOAuth2_saysWhyTheTokenServerIsNotReached(t *testing.T) {
	strange := httptest.NewUnstartedServer(http.NotFoundHandler())
	strange.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // of handshakes that fail, as they should
	strange.StartTLS()
	defer strange.Close()
	for _, c := range []struct{ name, url, words string }{
		{"nobody listens", "http://127.0.0.1:1/" + canary, "connection refused"},
		{"no such name", "http://fiso.invalid/" + canary, "fiso.invalid"},
		{"a certificate nobody knows", strange.URL, "its certificate is not trusted: x509"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := new(watch).parts(nil)
			p.HTTP = &http.Client{Transport: &http.Transport{}}
			cred := mustNew(t, spec.Auth{Type: "oauth2", TokenURL: c.url, ClientID: "me", SecretRef: &spec.SecretRef{EnvVar: "TOKEN"}}, p)
			refuses(t, cred, call.CredentialUnavailable, c.words)
		})
	}
}

func TestOAuth2_saysSoWhereTokensEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, new(watch), func(w http.ResponseWriter, _ *http.Request) { answer(w, `{"access_token":"t","expires_in":1}`) })
		c.parts.Refreshed = func(string) { time.Sleep(2 * time.Second) }
		refuses(t, c, call.CredentialUnavailable, "tokens that expire at once")
	})
}
