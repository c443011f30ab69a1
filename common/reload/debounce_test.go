package reload

import (
	"slices"
	"testing"
	"time"
)

var one, two = sum{1}, sum{2}

// F14: a content is due once it has been the same for a while, and a file counts as
// removed once it has been absent for longer.
// https://github.com/kubernetes/kubernetes/issues/93686
func TestDebouncer_passesOnWhatStaysTheSame(t *testing.T) {
	type look struct {
		at       time.Duration
		contents map[string]sum
		unlisted bool // the list of files is incomplete
		due      []event
		again    time.Duration
	}
	acted := map[string]sum{"a": one}
	for _, tc := range []struct {
		name  string
		looks []look
	}{
		{"the content that was acted upon", []look{{contents: acted}, {at: time.Hour, contents: acted}}},
		{"a new content", []look{
			{contents: map[string]sum{"a": two}, again: 100},
			{at: 60, contents: map[string]sum{"a": two}, again: 40},
			{at: 100, contents: map[string]sum{"a": two}, due: []event{{path: "a", sum: two}}},
			{at: 110, contents: map[string]sum{"a": two}},
		}},
		{"a new file, and one that changes each time", []look{
			{contents: map[string]sum{"a": one, "b": one, "c": one}, again: 100},
			{at: 100, contents: map[string]sum{"a": one, "b": one, "c": two}, due: []event{{path: "b", sum: one}}, again: 100},
			{at: 200, contents: map[string]sum{"a": one, "b": one, "c": {3}}, again: 100},
		}},
		{"a content that is back before it was acted upon", []look{
			{contents: map[string]sum{"a": two}, again: 100},
			{at: 100, contents: acted},
			{at: 200, contents: map[string]sum{"a": two}, again: 100},
		}},
		{"a file that is absent for a moment", []look{
			{contents: map[string]sum{}, again: 500},
			{at: 400, contents: map[string]sum{}, again: 100},
			{at: 499, contents: acted},
			{at: 500, contents: map[string]sum{}, again: 500},
		}},
		{"a file that is removed", []look{
			{contents: map[string]sum{}, again: 500},
			{at: 500, contents: map[string]sum{}, due: []event{{path: "a", gone: true}}},
			{at: 600, contents: map[string]sum{}},
		}},
		{"a removed file while the files cannot be listed", []look{
			{contents: map[string]sum{}, unlisted: true},
			{at: time.Hour, contents: map[string]sum{}, unlisted: true},
		}},
		{"a file that comes and goes", []look{
			{contents: map[string]sum{"a": one, "b": one}, again: 100},
			{at: 50, contents: acted},
			{at: 200, contents: map[string]sum{"a": one, "b": one}, again: 100},
		}},
		{"an absent file that is back with another content", []look{
			{contents: map[string]sum{}, again: 500},
			{at: 300, contents: map[string]sum{"a": two}, again: 100},
		}},
		{"the paths in order, and the sooner of two waits", []look{
			{contents: map[string]sum{"b": two, "a": two}, again: 100},
			{at: 90, contents: map[string]sum{"b": two, "a": two, "c": one}, again: 10},
			{at: 100, contents: map[string]sum{"b": two, "a": two, "c": one}, due: []event{{path: "a", sum: two}, {path: "b", sum: two}}, again: 90},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDebouncer(100, 500)
			d.done("a", one)
			for i, l := range tc.looks {
				due, again := d.observe(time.Unix(0, 0).Add(l.at), l.contents, !l.unlisted)
				if !slices.Equal(due, l.due) || again != l.again {
					t.Fatalf("look %d: due %v, again in %d; want %v and %d", i, due, again, l.due, l.again)
				}
				for _, e := range due {
					if e.gone {
						d.forget(e.path)
					} else {
						d.done(e.path, e.sum)
					}
				}
			}
		})
	}
}

func TestDebouncer_passesOnOnceMoreWhatItIsAskedTo(t *testing.T) {
	d := newDebouncer(100, 500)
	d.done("a", one)
	d.again("a", two)
	if d.current("a", one) || d.current("a", two) || d.current("b", one) {
		t.Error("a content that is to be acted upon again is current")
	}
	now := time.Unix(0, 0)
	if due, _ := d.observe(now, map[string]sum{"a": two}, true); !slices.Equal(due, []event{{path: "a", sum: two}}) {
		t.Errorf("due %v", due)
	}
	d.again("a", two)
	if due, again := d.observe(now, map[string]sum{"a": one}, true); len(due) > 0 || again != 100 {
		t.Errorf("the content of before was not acted upon since: due %v, again in %d", due, again)
	}
}
