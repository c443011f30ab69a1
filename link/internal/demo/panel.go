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

// panel shows the ledger while it grows. It redraws itself in a terminal, and prints
// lines elsewhere.
type panel struct {
	out      io.Writer
	terminal bool
	stage    *demo

	seen  int // news already printed
	drawn int // lines to overwrite
}

const (
	width      = 96
	panelNews  = 9
	fastFrame  = 100 * time.Millisecond
	plainFrame = 2 * time.Second
)

// run draws until ctx ends, and then once more.
func (p *panel) run(ctx context.Context) {
	every := plainFrame
	if p.terminal {
		every = fastFrame
	}
	tick := time.NewTicker(min(every, max(p.stage.opts.Length/8, fastFrame)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.draw(context.WithoutCancel(ctx))
			return
		case <-tick.C:
			p.draw(ctx)
		}
	}
}

func (p *panel) draw(ctx context.Context) {
	m, _, err := p.stage.scrape(ctx)
	if err != nil {
		m = nil // it ends
	}
	if p.terminal {
		p.redraw(p.picture(m))
		return
	}
	p.lines(m)
}

// circuit returns the state of a breaker from fiso-link's metrics.
func circuit(m map[string]float64, target string) string {
	switch v, ok := m[`fiso_link_circuit_state{target="`+target+`"}`]; {
	case !ok:
		return "no target  "
	case v == 0:
		return "\x1b[32m● closed   \x1b[0m"
	case v == 1:
		return "\x1b[33m◐ half-open\x1b[0m"
	}
	return "\x1b[31m○ open     \x1b[0m"
}

// lines prints new events, and one line of counts.
func (p *panel) lines(m map[string]float64) {
	fresh, n := p.stage.ledger.since(p.seen)
	p.seen = n
	for _, x := range fresh {
		p.printf("%6.1fs  %s %s\n", x.at.Seconds(), x.mark, x.text)
	}
	t := p.stage.ledger.sum()
	p.printf("%6.1fs    calls %d, answered %d, retried %.0f, refused by the breaker %d, rate-limited %d, refused paths and targets %d; news %d\n",
		time.Since(p.stage.ledger.start).Seconds(), t.Calls, t.Answered, total(m, retries), t.RefusedByBreaker, t.RateLimited, t.Refused, t.Events)
}

// picture returns the rows of the panel; their number is constant.
func (p *panel) picture(m map[string]float64) []string {
	l := p.stage.ledger
	t := l.sum()
	rows := []string{
		"", fmt.Sprintf("  \x1b[1mapplication ─▶ fiso-link ─▶ shop · partner · news · weather\x1b[0m   %4.1fs", time.Since(l.start).Seconds()), "",
		"  target     circuit       calls    per s      p50      p99   last",
	}
	const targets = 3
	all := l.rows()
	for i := range targets {
		if i >= len(all) {
			rows = append(rows, "")
			continue
		}
		r := all[i]
		rows = append(rows, fmt.Sprintf("  %-10s %s %7d %8d %8s %8s   %s", r.target, circuit(m, r.target), r.calls, r.perSecond, short(r.p50), short(r.p99), r.last))
	}
	rows = append(
		rows, fmt.Sprintf("  %-10s %s  a stream: %d events on %d connection(s)", "news", circuit(m, "news"), t.Events, t.Connections), "",
		bar("calls", t.Calls, t.Calls, "36"), bar("answered", t.Answered, t.Calls, "32"),
		bar("retried", int(total(m, retries)), t.Calls, "33"), bar("breaker", t.RefusedByBreaker, t.Calls, "31"),
		bar("rate limit", t.RateLimited, t.Calls, "33"), bar("refused", t.Refused, t.Calls, "35"), "", "  what happened",
	)
	fresh, _ := l.since(0)
	last := fresh[max(0, len(fresh)-panelNews):]
	for _, x := range last {
		rows = append(rows, fmt.Sprintf("  %5.1fs \x1b[36m%s\x1b[0m %s", x.at.Seconds(), x.mark, clip(x.text, width-12)))
	}
	return append(rows, slices.Repeat([]string{""}, panelNews-len(last))...)
}

// redraw draws rows over the previous ones.
func (p *panel) redraw(rows []string) {
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn)
	}
	for _, row := range rows {
		b.WriteString(row + "\x1b[K\n")
	}
	p.drawn = len(rows)
	p.printf("%s", b.String())
}

// printf writes to the screen; a write error does not stop the demo.
func (p *panel) printf(format string, args ...any) { _, _ = fmt.Fprintf(p.out, format, args...) }

func short(d time.Duration) string {
	return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
}

func bar(name string, n, of int, colour string) string {
	const cells = 44
	full := 0
	if of > 0 {
		full = (n*cells + of - 1) / of
	}
	return fmt.Sprintf("  %-12s%5d  \x1b[%sm%s\x1b[0m", name, n, colour, strings.Repeat("█", min(full, cells)))
}

// clip shortens s to n characters.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
