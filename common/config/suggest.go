package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// reportUnknownKey reports an unknown key with the most similar known one. Its value is shown if the
// known key is not for a credential.
func (d *decoder) reportUnknownKey(n *node, i int, path string) {
	p := n.pairs[i]
	meant, hint := d.nearestField(d.scopes[len(d.scopes)-1], p.key.text)
	if meant == nil && d.reportSplitText(n, i, path) {
		return
	}
	switch {
	case meant == nil:
		d.hideAll(p.value)
	case meant.secret || mayHoldCredential(meant.typ):
		d.hideSecrets(p.value, meant.typ, meant.enum)
	}
	message := inPart(path, newSentence("unknown key %s", shownText{p.key, p.key.text}))
	d.failAt(CodeUnknownKey, p.key.at, p.key.span(), d.src.visiblePath(under(path, p.key.text)), message, plainSentence(hint))
}

// nearestField returns the field that a misspelt key most likely means, or nil, and a hint.
func (d *decoder) nearestField(here scope, key string) (*field, string) {
	known := fields(here.typ)
	if near := nearest(key, keys(known)); near != "" {
		if d.guessed == nil {
			d.guessed = map[string]bool{}
		}
		d.guessed[under(here.path, near)] = true
		return fieldOf(here.typ, near), fmt.Sprintf("did you mean %q?", near)
	}
	if f, hint := d.findElsewhere(here, key); f != nil {
		return f, hint
	}
	if parts := settingsParts(here.typ, here.path); len(parts) > 0 {
		return nil, "does it belong under " + parts[0] + "?"
	}
	if len(known) == 0 {
		return nil, "this mapping takes no keys"
	}
	names := keys(known)
	slices.Sort(names)
	if len(names) > 12 {
		names = append(names[:12], "…")
	}
	hint := "known keys: " + strings.Join(names, ", ")
	var below []string
	for _, f := range known {
		if inner, suffix := entries(f.typ); inner != nil {
			below = append(below, settingsParts(inner, under(here.path, f.key)+suffix)...)
		}
	}
	if n := len(below); n > 0 {
		below = append(below[:max(0, n-2)], strings.Join(below[max(0, n-2):], " or "))
		hint += "; does it belong under " + strings.Join(below, ", ") + "?"
	}
	return nil, hint
}

// settingsParts returns the paths of a struct's Raw fields for the settings of a connector.
func settingsParts(t reflect.Type, path string) []string {
	var parts []string
	for _, f := range fields(t) {
		if f.settings {
			parts = append(parts, under(path, f.key))
		}
	}
	return parts
}

// findElsewhere searches for a key one level below and in the enclosing structs.
func (d *decoder) findElsewhere(here scope, key string) (*field, string) {
	for _, f := range fields(here.typ) {
		if t := nested(f.typ); t != nil {
			if inner := fieldOf(t, key); inner != nil {
				inner.secret = inner.secret || f.secret
				return inner, fmt.Sprintf("%q belongs under %s", key, under(here.path, f.key))
			}
		}
	}
	for i := len(d.scopes) - 2; i >= 0; i-- {
		s := d.scopes[i]
		f := fieldOf(s.typ, key)
		switch {
		case f == nil:
		case s.path == "":
			return f, fmt.Sprintf("%q belongs at the top level of the file", key)
		default:
			return f, fmt.Sprintf("%q belongs under %s", key, s.path)
		}
	}
	return nil, ""
}

// fieldOf returns the field of a struct with that key, or nil.
func fieldOf(t reflect.Type, key string) *field {
	for _, f := range fields(t) {
		if f.key == key {
			return &f
		}
	}
	return nil
}

func keys(all []field) []string {
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = f.key
	}
	return names
}

// nearest returns the most similar known name, or "" if more than a third of the letters differ.
func nearest(name string, known []string) string {
	best, least := "", max(1, len([]rune(name))/3)+1
	if len(name) > 64 {
		return ""
	}
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	if len([]rune(name)) <= least {
		return ""
	}
	return best
}

// distance counts the letters to insert, remove, change or swap with their neighbour
// (Damerau-Levenshtein, each place edited once).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row := make([]int, len(y)+1)
		row[0] = i
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}
