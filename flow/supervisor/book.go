package supervisor

import (
	"slices"
	"strings"
	"time"
)

// change is a file whose new state has stood still long enough to be believed.
type change struct {
	file string
	gone bool
	content
}

// book remembers which state of each file was acted upon, and lets a new state
// through only once it was seen unchanged for a while: a half-written file is
// never believed, and a file that is away for a moment is not gone (F14,
// https://github.com/kubernetes/kubernetes/issues/93686).
// It is a plain value without a clock; the owner's goroutine alone uses it.
type book struct {
	still  time.Duration // how long a content must stand
	absent time.Duration // how long a file must be away
	known  map[string]*page
}

type page struct {
	acted  sum  // the state that was acted upon
	listed bool // false: acted upon as gone, or never
	seen   sum  // the candidate
	gone   bool // the candidate is "away"
	since  time.Time
	wait   bool // there is a candidate
}

func newBook(still, absent time.Duration) *book {
	return &book{still: still, absent: absent, known: map[string]*page{}}
}

// observe takes in a snapshot, returns the changes that are now to be believed
// in order of their names, and when to look again (0: nothing is pending).
func (b *book) observe(now time.Time, s snapshot) (changes []change, again time.Duration) {
	for file, c := range s.files {
		p := b.known[file]
		if p == nil {
			p = &page{}
			b.known[file] = p
		}
		if p.listed && p.acted == c.sum {
			p.wait = false
			continue
		}
		if !p.wait || p.gone || p.seen != c.sum {
			p.wait, p.gone, p.seen, p.since = true, false, c.sum, now
		}
		if left := b.still - now.Sub(p.since); left > 0 {
			again = sooner(again, left)
			continue
		}
		p.acted, p.listed, p.wait = c.sum, true, false
		changes = append(changes, change{file: file, content: c})
	}
	if s.err == nil {
		gone, look := b.missing(now, s)
		changes, again = append(changes, gone...), sooner(again, look)
	}
	slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.file, b.file) })
	return changes, again
}

// missing finds the files that are no longer there. It is not asked when a
// directory could not be listed: a mount that is away removes nothing.
func (b *book) missing(now time.Time, s snapshot) (changes []change, again time.Duration) {
	for file, p := range b.known {
		if _, there := s.files[file]; there {
			continue
		}
		if !p.listed { // it came and went before anybody acted
			delete(b.known, file)
			continue
		}
		if !p.wait || !p.gone {
			p.wait, p.gone, p.since = true, true, now
		}
		if left := b.absent - now.Sub(p.since); left > 0 {
			again = sooner(again, left)
			continue
		}
		delete(b.known, file)
		changes = append(changes, change{file: file, gone: true})
	}
	return changes, again
}

// accept records a state as acted upon without waiting, at the start.
func (b *book) accept(s snapshot) {
	for file, c := range s.files {
		b.known[file] = &page{acted: c.sum, listed: true}
	}
}

// settled reports whether a state is the one that was acted upon.
func (b *book) settled(file string, state sum) bool {
	p := b.known[file]
	return p != nil && p.listed && p.acted == state
}

// postpone takes back changes that observe returned: they were not acted upon,
// or are to be acted upon once more. The next call of observe returns them again
// if the files have not changed since.
func (b *book) postpone(changes []change) {
	for _, c := range changes {
		p := b.known[c.file]
		if p == nil { // it is gone
			p = &page{listed: true, gone: true}
			b.known[c.file] = p
		}
		p.acted, p.wait, p.gone, p.seen, p.since = sum{}, true, c.gone, c.sum, time.Time{}
	}
}

// drop forgets a file, so that it is new when it comes back.
func (b *book) drop(file string) { delete(b.known, file) }

// sooner is the smaller of two waits, where 0 means none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}
