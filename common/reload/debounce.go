package reload

import (
	"slices"
	"strings"
	"time"
)

// debouncer knows which content of each file was acted upon, and passes a new
// one on once it was seen unchanged for a while: a half-written file is not
// passed on, and a file that is absent for a moment is not removed (F14,
// https://github.com/kubernetes/kubernetes/issues/93686). It is a plain value
// without a clock.
type debouncer struct {
	still  time.Duration // how long a content must not change
	absent time.Duration // how long a file must be absent
	files  map[string]*fileState
}

type fileState struct {
	acted sum  // the content that was acted upon
	known bool // acted is set; false: never, or as removed
	wait  bool // there is a candidate
	seen  sum  // the candidate
	gone  bool // the candidate is "absent"
	since time.Time
}

func newDebouncer(still, absent time.Duration) *debouncer {
	return &debouncer{still: still, absent: absent, files: map[string]*fileState{}}
}

// event is a file whose new content, or whose absence, is due to be acted upon.
type event struct {
	path string
	gone bool
	sum  sum
}

// observe takes in the contents that all files have now. It returns what is due,
// in the order of paths, and when the next may be (0: nothing is pending).
// Without complete, a file that is not among them is not absent.
func (d *debouncer) observe(now time.Time, contents map[string]sum, complete bool) (due []event, again time.Duration) {
	for path, content := range contents {
		f := d.files[path]
		if f == nil {
			f = &fileState{}
			d.files[path] = f
		}
		if f.known && f.acted == content {
			f.wait = false
			continue
		}
		if !f.wait || f.gone || f.seen != content {
			f.wait, f.gone, f.seen, f.since = true, false, content, now
		}
		if left := d.still - now.Sub(f.since); left > 0 {
			again = sooner(again, left)
			continue
		}
		due = append(due, event{path: path, sum: content})
	}
	if complete {
		removed, next := d.observeAbsent(now, contents)
		due, again = append(due, removed...), sooner(again, next)
	}
	slices.SortFunc(due, func(a, b event) int { return strings.Compare(a.path, b.path) })
	return due, again
}

func (d *debouncer) observeAbsent(now time.Time, contents map[string]sum) (due []event, again time.Duration) {
	for path, f := range d.files {
		if _, there := contents[path]; there {
			continue
		}
		if !f.known { // it came and went before it was acted upon
			delete(d.files, path)
			continue
		}
		if !f.wait || !f.gone {
			f.wait, f.gone, f.since = true, true, now
		}
		if left := d.absent - now.Sub(f.since); left > 0 {
			again = sooner(again, left)
			continue
		}
		due = append(due, event{path: path, gone: true})
	}
	return due, again
}

// done records that a content of a file was acted upon.
func (d *debouncer) done(path string, content sum) {
	d.files[path] = &fileState{acted: content, known: true}
}

// again makes a content due at the next call of observe, though it was acted upon.
func (d *debouncer) again(path string, content sum) {
	d.files[path] = &fileState{known: true, wait: true, seen: content}
}

// current reports whether a content is the one that was acted upon.
func (d *debouncer) current(path string, content sum) bool {
	f := d.files[path]
	return f != nil && f.known && f.acted == content
}

// forget makes a file new when it is seen again.
func (d *debouncer) forget(path string) { delete(d.files, path) }

// sooner is the smaller of two waits, where 0 means none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}
