//go:build synctests

package simulation

import (
	"regexp"
	"strconv"
)

var positionText = regexp.MustCompile(`\b(\d)/(\d+)\b`)

// relevantTo returns a filter for history lines: those about the positions that violations name,
// and major events.
func (sim *simulation) relevantTo(entries []entry, violations []string) func(entry) bool {
	named := map[position]bool{}
	for _, v := range violations {
		for _, m := range positionText.FindAllStringSubmatch(v, -1) {
			p, _ := strconv.Atoi(m[1])               // digits
			off, _ := strconv.ParseInt(m[2], 10, 64) // digits
			named[position{int32(p), off}] = true    //nolint:gosec // G115: one digit
			if len(named) >= 5 {
				break
			}
		}
	}
	events := map[int]bool{}
	for _, e := range entries {
		if e.kind == produced && named[position{e.part, e.offset}] {
			events[sim.events[e.n].number()] = true
		}
	}
	return func(e entry) bool {
		switch e.kind {
		case produced, delivered, answerLost, refused:
			return events[e.n]
		case deadLettered:
			return named[position{e.part, e.offset}]
		case commitRequested, committed:
			return named[position{e.part, e.offset - 1}]
		}
		return true
	}
}
