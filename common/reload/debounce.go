package reload

import (
	"slices"
	"strings"
	"time"
)

// debouncer records which content of each file was handled. A new content is due once
// it has been the same for a while, so that a half-written file is not loaded. A file
// counts as removed only once it has been absent for a while (F14,
// https://github.com/kubernetes/kubernetes/issues/93686). The caller passes the time.
type debouncer struct {
	still  time.Duration // how long a content must not change
	absent time.Duration // how long a file must be absent
	files  map[string]*fileState
}

type fileState struct {
	handled   sum  // the content that was handled last
	known     bool // a content was handled; false: none, or the removal
	pending   bool // there is a candidate, which is not due yet
	candidate sum  // the content that is the candidate
	gone      bool // the candidate is the removal
	since     time.Time
}

func newDebouncer(still, absent time.Duration) *debouncer {
	return &debouncer{still: still, absent: absent, files: map[string]*fileState{}}
}

// event is a file whose new content or removal is due.
type event struct {
	path string
	gone bool
	sum  sum
}

// observe receives the current contents of all files. It returns what is due, in order
// of paths, and how long until something else may be due (0: nothing is pending).
// Without complete, a file that is not in contents does not count as absent.
func (d *debouncer) observe(now time.Time, contents map[string]sum, complete bool) (due []event, again time.Duration) {
	for path, content := range contents {
		f := d.files[path]
		if f == nil {
			f = &fileState{}
			d.files[path] = f
		}
		if f.known && f.handled == content {
			f.pending = false
			continue
		}
		if !f.pending || f.gone || f.candidate != content {
			f.pending, f.gone, f.candidate, f.since = true, false, content, now
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
		if !f.known { // it was removed before it was handled
			delete(d.files, path)
			continue
		}
		if !f.pending || !f.gone {
			f.pending, f.gone, f.since = true, true, now
		}
		if left := d.absent - now.Sub(f.since); left > 0 {
			again = sooner(again, left)
			continue
		}
		due = append(due, event{path: path, gone: true})
	}
	return due, again
}

// done records that a content of a file was handled.
func (d *debouncer) done(path string, content sum) {
	d.files[path] = &fileState{handled: content, known: true}
}

// again makes a content due at the next call of observe, though it was handled.
func (d *debouncer) again(path string, content sum) {
	d.files[path] = &fileState{known: true, pending: true, candidate: content}
}

// current reports whether content is the one that was handled last.
func (d *debouncer) current(path string, content sum) bool {
	f := d.files[path]
	return f != nil && f.known && f.handled == content
}

// forget makes a file count as new when it is seen again.
func (d *debouncer) forget(path string) { delete(d.files, path) }

// sooner returns the smaller of two waits, where 0 means none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}
