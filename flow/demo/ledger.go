package demo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// ledger compares what was produced with what arrived. It is safe for concurrent use.
type ledger struct {
	start time.Time

	mu         sync.Mutex
	produced   map[string]kind
	delivered  map[string]int
	dead       map[string]string // order id (or position) to error code
	deadAgain  int
	last       map[string]string // customer to the last order that arrived
	disorder   []string
	retries    int
	withAmount int // orders with the new field, after the reload
	news       []news
	total      int // number of news so far, to print each once
}

// news is one line about what happened.
type news struct {
	at   time.Duration
	mark string
	text string
}

const maxNews = 500

func newLedger() *ledger {
	return &ledger{
		start:     time.Now(),
		produced:  map[string]kind{},
		delivered: map[string]int{},
		dead:      map[string]string{},
		last:      map[string]string{},
	}
}

func (l *ledger) addNews(mark, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addNewsLocked(mark, format, args...)
}

func (l *ledger) addNewsLocked(mark, format string, args ...any) {
	l.total++
	l.news = append(l.news, news{time.Since(l.start), mark, fmt.Sprintf(format, args...)})
	if len(l.news) > maxNews {
		l.news = slices.Delete(l.news, 0, len(l.news)-maxNews)
	}
}

func (l *ledger) orderProduced(o order) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.produced[o.id] = o.kind
}

func (l *ledger) orderRetried(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retries++
	l.addNewsLocked("↻", "%s answered 503, will be retried", id)
}

func (l *ledger) orderDelivered(id, status string, amount bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delivered[id]++
	if l.delivered[id] == 1 {
		customer, _, _ := strings.Cut(id, "-")
		if prev := l.last[customer]; prev >= id {
			l.disorder = append(l.disorder, prev+" before "+id)
		}
		l.last[customer] = id
	}
	if amount {
		l.withAmount++
		if l.withAmount == 1 {
			l.addNewsLocked("★", "%s is the first order in the new form", id)
		}
	}
	l.addNewsLocked("✓", "%s %s delivered", id, status)
}

func (l *ledger) orderDeadLettered(id, code, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, again := l.dead[id]; again {
		l.deadAgain++
		return
	}
	l.dead[id] = code
	if _, answer, ok := strings.Cut(reason, "/callbacks/order-result: "); ok {
		reason = answer // the address is the same for all
	}
	l.addNewsLocked("✗", "%s dead letter %s: %s", id, code, reason)
}

// totals is a snapshot of the ledger.
type totals struct {
	produced, delivered, dead, waiting int
	duplicates, retries, withAmount    int
	lost, unexpected                   []string
	disorder                           []string
	codes                              map[string]int
	elapsed                            time.Duration
}

func (l *ledger) totals() totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := totals{
		produced: len(l.produced), delivered: len(l.delivered), dead: len(l.dead),
		retries: l.retries, withAmount: l.withAmount, duplicates: l.deadAgain,
		disorder: slices.Clone(l.disorder), codes: map[string]int{}, elapsed: time.Since(l.start),
	}
	for _, n := range l.delivered {
		t.duplicates += n - 1
	}
	for _, code := range l.dead {
		t.codes[code]++
	}
	for id, k := range l.produced {
		_, ok := l.delivered[id]
		_, dead := l.dead[id]
		switch {
		case !ok && !dead:
			t.lost = append(t.lost, id)
		case ok && dead, ok != (k == good):
			t.unexpected = append(t.unexpected, id)
		}
	}
	slices.Sort(t.lost)
	slices.Sort(t.unexpected)
	t.waiting = len(t.lost)
	return t
}

// addUp reports whether every order arrived where it should, once and in order.
func (t totals) addUp() bool {
	return len(t.lost) == 0 && len(t.unexpected) == 0 && len(t.disorder) == 0 && t.duplicates == 0
}

// codeList formats the codes as "2 DECODE_FAILED, 3 SINK_REJECTED".
func (t totals) codeList() string {
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(t.codes)) {
		parts = append(parts, fmt.Sprintf("%d %s", t.codes[code], code))
	}
	return strings.Join(parts, ", ")
}

// since returns the news after the first n, and the number of news so far.
func (l *ledger) since(n int) ([]news, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := min(l.total-n, len(l.news))
	return slices.Clone(l.news[len(l.news)-fresh:]), l.total
}
