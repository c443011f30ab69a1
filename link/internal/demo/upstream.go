package demo

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// shopState is how the shop behaves.
type shopState int

const (
	healthy     shopState = iota
	flaky                 // every fifth request of a kind fails: 503, or a connection that is cut after the order was taken
	unavailable           // 503 to everything
)

// tokenLeeway is how long an expired token is still accepted, as real services do. A
// request after that was sent with an expired token.
const tokenLeeway = 2 * time.Second

// upstream is everything that fiso-link calls: a token server, a shop, a partner and
// news. It keeps its own counts. It is safe for concurrent use.
type upstream struct {
	ledger       *ledger
	clientSecret string
	life         time.Duration // lifetime of a token

	mu       sync.Mutex
	state    shopState
	requests map[string]int       // number by kind
	again    int                  // orders received again with their key
	tokens   map[string]time.Time // issued tokens, and when they end
	revoked  map[string]bool
	current  string
	key      string         // the partner's current key
	oldKey   string         // accepted until the new one is used
	executed map[string]int // how often each order was executed, by id
	keys     map[string]int // how often each idempotency key was received
	tally
}

// tally counts what fiso-link makes promises about.
type tally struct {
	issued    int // tokens
	unproven  int // requests without a credential that was ever issued
	expired   int // requests with an expired token
	stale     int // requests with a revoked credential
	forbidden int // requests that no rule allows
}

func newUpstream(l *ledger, life time.Duration) *upstream {
	u := &upstream{
		ledger: l, life: life.Round(time.Second), clientSecret: "demo-client-" + rand.Text(), tokens: map[string]time.Time{},
		requests: map[string]int{}, revoked: map[string]bool{}, executed: map[string]int{}, keys: map[string]int{},
	}
	l.secret(u.clientSecret)
	u.rotateKey()
	return u
}

func (u *upstream) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("POST /token", u.token)
	m.HandleFunc("/shop/", u.shop)
	m.HandleFunc("/partner/rates", u.partner)
	m.HandleFunc("/news/stream", u.news)
	m.HandleFunc("/weather/today", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "sunny") })
	return m
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text) // the caller may have left
}

// token is an OAuth2 token endpoint for client credentials.
func (u *upstream) token(w http.ResponseWriter, r *http.Request) {
	if id, secret, ok := r.BasicAuth(); !ok || id != "demo" || secret != u.clientSecret {
		answer(w, http.StatusUnauthorized, "who are you?")
		return
	}
	token := "demo-token-" + rand.Text()
	u.ledger.secret(token)
	u.mu.Lock()
	u.issued++
	u.current, u.tokens[token] = token, time.Now().Add(u.life)
	n := u.issued
	u.mu.Unlock()
	u.ledger.say("⚷", "token %d is fetched, for %s", n, u.life)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(u.life.Seconds())}) // as above
}

// revoke revokes the token in use before its end.
func (u *upstream) revoke() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.revoked[u.current] = true
}

// rotateKey replaces the partner's key. The old one is accepted until the new one is
// used.
func (u *upstream) rotateKey() string {
	key := "demo-key-" + rand.Text()
	u.ledger.secret(key)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.key, u.oldKey = key, u.key
	return key
}

func (u *upstream) partnerKey() string { u.mu.Lock(); defer u.mu.Unlock(); return u.key }

func (u *upstream) setState(m shopState) { u.mu.Lock(); defer u.mu.Unlock(); u.state = m }

// seen returns the current tally.
func (u *upstream) seen() tally { u.mu.Lock(); defer u.mu.Unlock(); return u.tally }

// repeated reports whether an order was received again with its key.
func (u *upstream) repeated() bool { u.mu.Lock(); defer u.mu.Unlock(); return u.again > 0 }

// rotated reports whether the partner's newest key was used.
func (u *upstream) rotated() bool { u.mu.Lock(); defer u.mu.Unlock(); return u.oldKey == "" }

// admits checks the token of a request. u.mu must be held.
func (u *upstream) admits(r *http.Request) bool {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	end, known := u.tokens[token]
	switch {
	case !known:
		u.unproven++
	case u.revoked[token]:
		u.stale++
	case time.Now().After(end.Add(tokenLeeway)):
		u.expired++
	default:
		return true
	}
	return false
}

// shop handles orders. It is the service that fails.
func (u *upstream) shop(w http.ResponseWriter, r *http.Request) {
	status, text := u.order(r)
	if status == 0 {
		panic(http.ErrAbortHandler) // net/http's way to cut the connection
	}
	answer(w, status, text)
}

// order decides the answer to one request; status 0 cuts its connection.
func (u *upstream) order(r *http.Request) (status int, text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	kind := r.Method
	if r.Header.Get("Idempotency-Key") != "" {
		kind += " with a key"
	}
	u.requests[kind]++
	fails := u.state == flaky && u.requests[kind]%5 == 0
	switch {
	case !strings.HasPrefix(r.URL.Path, "/shop/orders"):
		u.forbidden++
		return http.StatusTeapot, "you should not be here"
	case u.state == unavailable:
		return http.StatusServiceUnavailable, "down for maintenance"
	case !u.admits(r):
		return http.StatusUnauthorized, "this token is not good any more"
	case r.Method == http.MethodPost:
		u.take(r)
		if fails {
			return 0, ""
		}
		return http.StatusCreated, "taken"
	case fails:
		return http.StatusServiceUnavailable, "try again"
	}
	return http.StatusOK, "here is your order"
}

// take executes an order each time it is received, unless its key was received before.
// u.mu must be held.
func (u *upstream) take(r *http.Request) {
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		if u.keys[key]++; u.keys[key] > 1 {
			u.again++
			u.ledger.say("↻", "order %s comes again with its key, and is not taken twice", key)
			return
		}
	}
	u.executed[r.Header.Get("X-Order")]++
}

// partner returns rates to callers with its key.
func (u *upstream) partner(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	key := r.Header.Get("X-API-Key")
	good := key != "" && (key == u.key || key == u.oldKey)
	switch {
	case key == u.key:
		if u.oldKey != "" {
			u.ledger.say("⚷", "the partner sees the new key, and takes the old one no longer")
		}
		u.oldKey = ""
	case !good:
		u.unproven++
	}
	u.mu.Unlock()
	if !good {
		answer(w, http.StatusUnauthorized, "this key is not good any more")
		return
	}
	answer(w, http.StatusOK, "1 EUR = 1.00 EUR")
}

// news is a stream of numbered events that does not end by itself.
func (u *upstream) news(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	c := http.NewResponseController(w)
	for n := 1; ; n++ {
		if _, err := fmt.Fprintf(w, "id: %d\ndata: news\n\n", n); err != nil || c.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}
