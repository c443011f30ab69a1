//go:build synctests

package simulation

import (
	"regexp"
	"strconv"
)

var placeName = regexp.MustCompile(`\b(\d)/(\d+)\b`)

// about returns a filter for history lines: those about the places that broken rules name, and
// major events.
func (w *world) about(entries []entry, broken []string) func(entry) bool {
	named := map[place]bool{}
	for _, b := range broken {
		for _, m := range placeName.FindAllStringSubmatch(b, -1) {
			p, _ := strconv.Atoi(m[1])               // digits
			off, _ := strconv.ParseInt(m[2], 10, 64) // digits
			named[place{int32(p), off}] = true       //nolint:gosec // G115: one digit
			if len(named) >= 5 {
				break
			}
		}
	}
	events := map[int]bool{}
	for _, e := range entries {
		if e.what == produced && named[place{e.part, e.offset}] {
			events[w.events[e.n].number()] = true
		}
	}
	return func(e entry) bool {
		switch e.what {
		case produced, delivered, unanswered, refused:
			return events[e.n]
		case lettered:
			return named[place{e.part, e.offset}]
		case asked, committed:
			return named[place{e.part, e.offset - 1}]
		}
		return true
	}
}
