package demo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// ledger records what the application sees. It is safe for concurrent use.
type ledger struct {
	start time.Time

	mu       sync.Mutex
	calls    int
	outcomes map[string]int // fiso-link's code, or "answered", "failed", "unauthorized", "silent"
	answers  map[string]int // number of the target's own answers below 500, by target
	samples  map[string]*samples
	orders   map[string]bool // orders sent, and whether the answer said that they are taken
	secrets  []string
	leaks    int
	opened   int // times that breakers opened
	closed   int
	events   int // events of the news
	missing  int
	conns    int // connections to the news
	news     []news
	total    int // news ever written, to print each once
}

// samples are the last calls of one target.
type samples struct {
	calls int
	at    [256]time.Time
	took  [256]time.Duration
	last  string
}

// news is one line about what happened.
type news struct {
	at   time.Duration
	mark string
	text string
}

const keptNews = 500

func newLedger() *ledger {
	return &ledger{
		start: time.Now(), outcomes: map[string]int{}, answers: map[string]int{}, samples: map[string]*samples{}, orders: map[string]bool{},
	}
}

func (l *ledger) say(mark, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addNews(mark, format, args...)
}

// addNews is say with l.mu held.
func (l *ledger) addNews(mark, format string, args ...any) {
	l.total++
	l.news = append(l.news, news{time.Since(l.start), mark, fmt.Sprintf(format, args...)})
	if len(l.news) > keptNews {
		l.news = slices.Delete(l.news, 0, len(l.news)-keptNews)
	}
}

// since returns the news after the first n, and how many there are now.
func (l *ledger) since(n int) ([]news, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := min(l.total-n, len(l.news))
	return slices.Clone(l.news[len(l.news)-fresh:]), l.total
}

// outcomeOf returns the result of a call in one word.
func outcomeOf(status int, code string) string {
	switch {
	case code != "":
		return code
	case status == 0:
		return "silent"
	case status == 401:
		return "unauthorized"
	case status >= 500:
		return "failed"
	}
	return "answered"
}

// called records one call: its answer, and fiso-link's code if fiso-link answered.
func (l *ledger) called(target string, took time.Duration, status int, code string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	word := outcomeOf(status, code)
	l.calls++
	if l.outcomes[word]++; l.outcomes[word] == 1 && word != "answered" {
		l.addNews("·", "the application hears %s of %s for the first time", countEvents(status, code), target)
	}
	if word == "answered" {
		if l.answers[target]++; l.answers[target] == 1 {
			l.addNews("✓", "the first call of %s is answered: %d", target, status)
		}
	}
	s := l.samples[target]
	if s == nil {
		s = &samples{}
		l.samples[target] = s
	}
	i := s.calls % len(s.at)
	s.at[i], s.took[i], s.last = time.Now(), took, countEvents(status, code)
	s.calls++
}

func countEvents(status int, code string) string {
	return strings.TrimSpace(fmt.Sprint(status, " ", code))
}

// ordered records an order, and whether its answer said that it was taken.
func (l *ledger) ordered(id string, taken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.orders[id] = taken
}

// secret registers a secret that the application must never see.
func (l *ledger) secret(s string) { l.mu.Lock(); defer l.mu.Unlock(); l.secrets = append(l.secrets, s) }

// inspect searches a text for secrets.
func (l *ledger) inspect(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.secrets {
		if strings.Contains(text, s) {
			l.leaks++
			l.addNews("✗", "a secret was seen")
		}
	}
}

// breakerChanged records a change of a breaker.
func (l *ledger) breakerChanged(target, to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch to {
	case "open":
		l.opened++
	case "closed":
		l.closed++
	}
	l.addNews("⚡", "fiso-link: the circuit of %s is %s", target, to)
}

// breakerChanges returns how often breakers opened and closed.
func (l *ledger) breakerChanges() (opened, closed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.opened, l.closed
}

func (l *ledger) outcome(word string) int { l.mu.Lock(); defer l.mu.Unlock(); return l.outcomes[word] }

func (l *ledger) answeredBy(target string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[target]
}

// connected records a connection to the news.
func (l *ledger) connected() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns++; l.conns > 1 {
		l.addNews("✗", "the news were cut: connection %d", l.conns)
	}
}

// event records an event of the news, by its number on its connection.
func (l *ledger) event(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events++
	if l.conns == 1 && n != l.events {
		l.missing++
	}
}

// row is the state of one target.
type row struct {
	target    string
	calls     int
	perSecond int
	p50, p99  time.Duration
	last      string
}

// rows returns the targets that were called, in order of name.
func (l *ledger) rows() []row {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rows []row
	for _, name := range slices.Sorted(maps.Keys(l.samples)) {
		s := l.samples[name]
		n := min(s.calls, len(s.at))
		took := slices.Clone(s.took[:n])
		slices.Sort(took)
		r := row{target: name, calls: s.calls, last: s.last, p50: took[n/2], p99: took[n*99/100]}
		for _, at := range s.at[:n] {
			if time.Since(at) < time.Second {
				r.perSecond++
			}
		}
		rows = append(rows, r)
	}
	return rows
}
