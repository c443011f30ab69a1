package demo

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// screen shows the ledger: as a panel that is redrawn on a terminal, otherwise as plain lines.
type screen struct {
	out      io.Writer
	terminal bool
	ledger   *ledger
	service  *service
	length   time.Duration

	seen  int // news already printed
	drawn int // lines of the panel to overwrite
}

const (
	width      = 78
	panelNews  = 6
	fastFrame  = 100 * time.Millisecond
	plainFrame = 2 * time.Second
)

// run draws until ctx ends, and once more after that.
func (s *screen) run(ctx context.Context) {
	every := plainFrame
	if s.terminal {
		every = fastFrame
	}
	tick := time.NewTicker(min(every, max(s.length/8, fastFrame)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.draw()
			return
		case <-tick.C:
			s.draw()
		}
	}
}

func (s *screen) draw() {
	if s.terminal {
		s.panel()
		return
	}
	s.lines()
}

// lines prints the news except deliveries, of which there are hundreds, and one line of totals.
func (s *screen) lines() {
	fresh, n := s.ledger.since(s.seen)
	s.seen = n
	retried := 0
	for _, x := range fresh {
		switch x.mark {
		case "✓":
		case "↻":
			retried++
		default:
			s.printf("%6.1fs  %s %s\n", x.at.Seconds(), x.mark, x.text)
		}
	}
	t := s.ledger.totals()
	if retried > 0 {
		s.printf("%6.1fs  ↻ answered with 503, to be retried: %d\n", t.elapsed.Seconds(), retried)
	}
	s.printf("%6.1fs    produced %d, delivered %d, dead letters %d, on the way %d\n",
		t.elapsed.Seconds(), t.produced, t.delivered, t.dead, t.waiting)
}

func (s *screen) panel() {
	t := s.ledger.totals()
	state := "\x1b[32m● answering\x1b[0m"
	if s.service.away.Load() {
		state = "\x1b[31m● failing: 503 to everything\x1b[0m"
	}
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn)
	}
	rows := []string{
		"",
		fmt.Sprintf("  \x1b[1mkafka ─▶ fiso-flow ─▶ order service\x1b[0m  %s   %4.1fs", state, t.elapsed.Seconds()),
		"",
		bar("produced", t.produced, t.produced, "36"),
		bar("delivered", t.delivered, t.produced, "32"),
		bar("on the way", t.waiting, t.produced, "33"),
		bar("dead letter", t.dead, t.produced, "31"),
		fmt.Sprintf("  answered with 503 and retried: %d   %d orders in the new form", t.retries, t.withAmount),
		"",
	}
	all, _ := s.ledger.since(0)
	everyday := func(x news) bool { return x.mark == "✓" || x.mark == "↻" }
	rows = append(rows, "  what happened")
	rows = append(rows, lines(all, func(x news) bool { return !everyday(x) })...)
	rows = append(rows, "", "  deliveries")
	rows = append(rows, lines(all, everyday)...)
	for _, row := range rows {
		b.WriteString(row)
		b.WriteString("\x1b[K\n")
	}
	s.drawn = len(rows)
	s.printf("%s", b.String())
}

// lines returns the last news of a kind, padded to a fixed number of rows so that the panel keeps
// its height.
func lines(all []news, which func(news) bool) []string {
	rows := make([]string, 0, panelNews)
	for _, x := range slices.Backward(all) {
		if len(rows) < panelNews && which(x) {
			rows = append(rows, fmt.Sprintf("  %5.1fs %s %s", x.at.Seconds(), paint(x.mark), clip(x.text, width-12)))
		}
	}
	slices.Reverse(rows)
	return append(rows, make([]string, panelNews-len(rows))...)
}

// printf ignores errors: a closed output does not stop the demo.
func (s *screen) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, format, args...)
}

func bar(name string, n, of int, colour string) string {
	const cells = 44
	full := 0
	if of > 0 {
		full = (n*cells + of - 1) / of
	}
	return fmt.Sprintf("  %-12s%5d  \x1b[%sm%s\x1b[0m", name, n, colour, strings.Repeat("█", min(full, cells)))
}

func paint(mark string) string {
	colour := map[string]string{"✓": "32", "✗": "31", "↻": "33"}[mark]
	if colour == "" {
		colour = "36"
	}
	return "\x1b[" + colour + "m" + mark + "\x1b[0m"
}

// clip shortens s to n characters.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
