package demo

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Summary holds the counts of the application, the service, and fiso-link's metrics.
// Calls is the sum of the results of calls.
type Summary struct {
	Calls            int `json:"calls"`
	Answered         int `json:"answered"`
	TargetFailed     int `json:"targetFailed"` // the target's own 5xx, after all attempts
	NoAnswer         int `json:"noAnswer"`     // fiso-link's 502 and 504
	RefusedByBreaker int `json:"refusedByBreaker"`
	RateLimited      int `json:"rateLimited"`
	Refused          int `json:"refused"` // by path, or because the target did not exist yet

	Retried   int `json:"retried"`
	Refreshed int `json:"refreshed"`
	Opened    int `json:"opened"`
	Closed    int `json:"closed"`

	Orders        int `json:"orders"`        // POST without a key
	OrdersTwice   int `json:"ordersTwice"`   // of them, executed more than once
	KeyedOrders   int `json:"keyedOrders"`   // POST with Idempotency-Key
	KeyedRepeated int `json:"keyedRepeated"` // of them, sent more than once
	KeyedTwice    int `json:"keyedTwice"`    // of them, executed more than once
	OrdersLost    int `json:"ordersLost"`    // answered "taken", and not executed

	Events      int `json:"events"` // of the stream
	Missing     int `json:"missing"`
	Connections int `json:"connections"`

	Forbidden   int      `json:"forbidden"` // requests that arrived although no rule allows them
	Unproven    int      `json:"unproven"`  // requests without a valid credential, except those just after the revocation
	SecretsSeen int      `json:"secretsSeen"`
	Measured    int      `json:"measured"` // calls counted by fiso-link's metrics
	Broken      []string `json:"broken"`   // broken promises
}

// Names of metrics.
const (
	requests = "fiso_link_requests_total"
	retries  = "fiso_link_retries_total"
)

// count collects the counts of all sides, after fiso-link has counted the last call.
func (s *demo) count(ctx context.Context) (Summary, error) {
	var m map[string]float64
	var text string
	var err error
	s.await(ctx, func() bool { // fiso-link counts a call shortly after the application has its answer
		m, text, err = s.scrape(ctx)
		return err != nil || int(total(m, requests)) >= s.ledger.requests()
	})
	if err != nil {
		return Summary{}, fmt.Errorf("read fiso-link's metrics: %w", err)
	}
	s.ledger.inspect(text)
	log, err := os.ReadFile(s.logPath())
	if err != nil {
		return Summary{}, fmt.Errorf("read fiso-link's log: %w", err)
	}
	s.ledger.inspect(string(log))
	sum := s.ledger.sum()
	sum.Measured = int(total(m, requests)) - sum.Connections
	sum.Retried = int(total(m, retries))
	sum.Refreshed = int(m[`fiso_link_auth_refresh_total{status="success",target="shop"}`])
	s.upstream.check(s.ledger.asked(), &sum)
	sum.Broken = sum.brokenPromises()
	return sum, nil
}

// scrape reads fiso-link's metrics as Prometheus does.
func (s *demo) scrape(ctx context.Context) (values map[string]float64, text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.metrics+"/metrics", nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := s.app.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, "", err
	}
	return parse(string(b)), string(b), nil
}

// parse reads Prometheus's text format: values by name with labels.
func parse(text string) map[string]float64 {
	values := map[string]float64{}
	for line := range strings.Lines(text) {
		i := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		if v, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64); err == nil {
			values[line[:i]] = v
		}
	}
	return values
}

// total returns the sum over all labels of a metric.
func total(m map[string]float64, name string) (sum float64) {
	for k, v := range m {
		if strings.HasPrefix(k, name+"{") {
			sum += v
		}
	}
	return sum
}

// requests returns the number of calls and connections to the news.
func (l *ledger) requests() int { l.mu.Lock(); defer l.mu.Unlock(); return l.calls + l.conns }

// asked returns the orders, and whether the answer said that they are taken.
func (l *ledger) asked() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.orders)
}

// sum returns the application's part of the summary.
func (l *ledger) sum() Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.outcomes
	return Summary{
		Calls: l.calls, Answered: o["answered"], TargetFailed: o["failed"],
		NoAnswer:         o["UPSTREAM_RESET"] + o["UPSTREAM_TIMEOUT"] + o["CONNECT_FAILED"],
		RefusedByBreaker: o["CIRCUIT_OPEN"], RateLimited: o["RATE_LIMITED"],
		Refused: o["PATH_NOT_ALLOWED"] + o["BAD_PATH"] + o["UNKNOWN_TARGET"],
		Opened:  l.opened, Closed: l.closed, Events: l.events, Missing: l.missing, Connections: l.conns, SecretsSeen: l.leaks,
	}
}

// check adds the service's part of the summary.
func (u *upstream) check(orders map[string]bool, sum *Summary) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, taken := range orders {
		n, keyed := u.executed[id], strings.HasPrefix(id, "K")
		if keyed {
			sum.KeyedOrders++
		} else {
			sum.Orders++
		}
		switch {
		case n > 1 && keyed:
			sum.KeyedTwice++
		case n > 1:
			sum.OrdersTwice++
		case n == 0 && taken:
			sum.OrdersLost++
		}
		if u.keys[id] > 1 {
			sum.KeyedRepeated++
		}
	}
	sum.Forbidden, sum.Unproven = u.forbidden, u.unproven+u.expired
}

// brokenPromises returns the promises that were not kept.
func (t *Summary) brokenPromises() []string {
	known := t.Answered + t.TargetFailed + t.NoAnswer + t.RefusedByBreaker + t.RateLimited + t.Refused
	broken := []string{}
	for _, promise := range []struct {
		kept  bool
		words string
	}{
		{t.Calls == known, fmt.Sprintf("every call has a known end: %d of %d have", known, t.Calls)},
		{t.Calls == t.Measured, fmt.Sprintf("fiso-link's metrics have every call: %d of %d", t.Measured, t.Calls)},
		{t.OrdersTwice == 0, fmt.Sprintf("an order without a key is executed at most once: %d were twice", t.OrdersTwice)},
		{t.KeyedTwice == 0, fmt.Sprintf("an order with a key is executed once: %d were twice", t.KeyedTwice)},
		{t.OrdersLost == 0, fmt.Sprintf("what was answered was done: %d orders were not", t.OrdersLost)},
		{t.Opened > 0 && t.RefusedByBreaker > 0, "the circuit opens while the shop is away"},
		{t.Closed > 0, "the circuit closes when the shop is back"},
		{t.Retried > 0, "what is safe to repeat is retried"},
		{t.RateLimited > 0, "the rate limit is kept"},
		{t.Refreshed > 1, "a token that is refused is renewed"},
		{t.Refused > 0 && t.Forbidden == 0, fmt.Sprintf("what no rule allows is refused: %d such requests arrived", t.Forbidden)},
		{t.Unproven == 0, fmt.Sprintf("every request has a credential that is good: %d had not", t.Unproven)},
		{t.Connections == 1 && t.Events > 0 && t.Missing == 0, fmt.Sprintf("a reload cuts no stream: %d connections, %d events missing", t.Connections, t.Missing)},
		{t.SecretsSeen == 0, fmt.Sprintf("nobody sees a secret: %d were seen", t.SecretsSeen)},
	} {
		if !promise.kept {
			broken = append(broken, promise.words)
		}
	}
	return broken
}
