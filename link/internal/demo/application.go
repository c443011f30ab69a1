package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// application is the caller in the demo. It knows the address of fiso-link, and no
// credential.
type application struct {
	base   string
	client *http.Client
	ledger *ledger
	orders atomic.Int64
}

const (
	maxAnswer   = 64 << 10         // bytes read of an answer
	callTimeout = 15 * time.Second // of a call; fiso-link answers earlier
)

func newApplication(address string, l *ledger) *application {
	return &application{base: "http://" + address + "/link/", client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}, ledger: l}
}

func (a *application) close() { a.client.CloseIdleConnections() }

// traffic makes calls of every kind until the context until ends; calls that began are
// finished, within ctx.
func (a *application) traffic(ctx, until context.Context, callers *sync.WaitGroup) {
	every := func(d time.Duration, do func(n int)) {
		callers.Go(func() {
			tick := time.NewTicker(d)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-until.Done():
					return
				case <-tick.C:
					do(n)
				}
			}
		})
	}
	get := func(target, path string) { a.call(ctx, target, http.MethodGet, path, "", "") }
	for i := range 3 {
		every(120*time.Millisecond, func(n int) { get("shop", fmt.Sprintf("orders/%d", 3*n+i)) })
	}
	for range 2 {
		every(200*time.Millisecond, func(int) { a.post(ctx, false) })
	}
	every(250*time.Millisecond, func(int) { a.post(ctx, true) })
	every(300*time.Millisecond, func(int) { get("partner", "rates") })
	every(500*time.Millisecond, func(int) { get("weather", "today") })
	every(700*time.Millisecond, func(n int) { get("shop", []string{"admin/users", "orders/%2e%2e/admin"}[n%2]) })
}

// post sends an order with a number and, if keyed, with an Idempotency-Key, which makes
// it safe to retry.
func (a *application) post(ctx context.Context, keyed bool) {
	id, key := fmt.Sprintf("A-%04d", a.orders.Add(1)), ""
	if keyed {
		id = "K" + id[1:]
		key = id
	}
	status := a.call(ctx, "shop", http.MethodPost, "orders", id, key)
	a.ledger.ordered(id, status == http.StatusCreated)
}

// burst calls a target many times at once.
func (a *application) burst(ctx context.Context, target, path string, n int) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() { a.call(ctx, target, http.MethodGet, path, "", "") })
	}
	all.Wait()
}

// call makes one call, records its result, and returns its status; 0: no answer.
func (a *application) call(ctx context.Context, target, method, path, order, key string) int {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body []byte
	resp, err := a.do(limited, method, target+"/"+path, order, key)
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		_ = resp.Body.Close() // it was read
	}
	if err != nil {
		if ctx.Err() == nil {
			a.ledger.called(target, time.Since(began), 0, "")
		}
		return 0
	}
	a.ledger.inspect(fmt.Sprint(resp.Header) + string(body))
	a.ledger.called(target, time.Since(began), resp.StatusCode, resp.Header.Get("fiso-error"))
	return resp.StatusCode
}

func (a *application) do(ctx context.Context, method, path, order, key string) (*http.Response, error) {
	var body io.Reader
	if order != "" {
		body = strings.NewReader(`{"order": "` + order + `"}`)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return nil, err
	}
	if order != "" {
		req.Header.Set("X-Order", order)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	return a.client.Do(req)
}

// read reads the news stream, and connects again only if it is cut.
func (a *application) read(ctx context.Context) {
	for ctx.Err() == nil {
		resp, err := a.do(ctx, http.MethodGet, "news/stream", "", "")
		if err != nil {
			return // the demo is over, or the ledger will show the missing events
		}
		a.ledger.connected()
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				n, _ := strconv.Atoi(id) // 0 is out of order
				a.ledger.event(n)
			}
		}
		_ = resp.Body.Close() // it ended
	}
}
