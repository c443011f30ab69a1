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

// tokenLeeway is how long after its end a token still passes, as real services have
// it: what arrives later was sent when it had ended.
const tokenLeeway = 2 * time.Second

// upstream is the world that fiso-link calls: a token server, a shop, a partner
// and news. It counts for itself what it was asked to do. It is safe for
// concurrent use.
type upstream struct {
	ledger       *ledger
	clientSecret string
	life         time.Duration // of a token

	mu       sync.Mutex
	mood     shopState
	requests map[string]int       // by their kind
	again    int                  // orders that came again with their key
	tokens   map[string]time.Time // those that were issued, and when they end
	revoked  map[string]bool
	current  string
	key      string         // of the partner
	oldKey   string         // it passes until the new one is used
	executed map[string]int // orders, by their id
	keys     map[string]int // idempotency keys, and how often each came
	tally
}

// tally is what the upstream saw that fiso-link promises something about.
type tally struct {
	issued    int // tokens
	unproven  int // requests without a credential that was ever given out
	expired   int // requests with a token that had ended
	stale     int // requests with a credential that was taken back
	forbidden int // requests for what no rule allows
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
	_, _ = fmt.Fprintln(w, text) // a caller that went away is the caller's matter
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

// revoke takes the token in use back before its end.
func (u *upstream) revoke() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.revoked[u.current] = true
}

// rotateKey replaces the partner's key. As partners do, it takes the old one
// until the new one comes.
func (u *upstream) rotateKey() string {
	key := "demo-key-" + rand.Text()
	u.ledger.secret(key)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.key, u.oldKey = key, u.key
	return key
}

func (u *upstream) partnerKey() string { u.mu.Lock(); defer u.mu.Unlock(); return u.key }

func (u *upstream) setState(m shopState) { u.mu.Lock(); defer u.mu.Unlock(); u.mood = m }

// seen is the tally at this moment.
func (u *upstream) seen() tally { u.mu.Lock(); defer u.mu.Unlock(); return u.tally }

// repeated reports whether an order came again with its key.
func (u *upstream) repeated() bool { u.mu.Lock(); defer u.mu.Unlock(); return u.again > 0 }

// rotated reports whether the partner's newest key has come.
func (u *upstream) rotated() bool { u.mu.Lock(); defer u.mu.Unlock(); return u.oldKey == "" }

// admits checks the token of a request; u.mu is held.
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

// shop takes orders, and is the one that things go wrong with.
func (u *upstream) shop(w http.ResponseWriter, r *http.Request) {
	status, text := u.order(r)
	if status == 0 {
		panic(http.ErrAbortHandler) // net/http's way to cut the connection
	}
	answer(w, status, text)
}

// order decides about one request; status 0 cuts its connection.
func (u *upstream) order(r *http.Request) (status int, text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	kind := r.Method
	if r.Header.Get("Idempotency-Key") != "" {
		kind += " with a key"
	}
	u.requests[kind]++
	fails := u.mood == flaky && u.requests[kind]%5 == 0
	switch {
	case !strings.HasPrefix(r.URL.Path, "/shop/orders"):
		u.forbidden++
		return http.StatusTeapot, "you should not be here"
	case u.mood == unavailable:
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

// take executes an order: every time it comes, unless its key says that it was
// taken before. u.mu is held.
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

// partner gives rates for its key.
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
