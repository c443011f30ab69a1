package config

import (
	"fmt"
	"slices"
	"strings"
)

// unknown reports a key that no field has, with the key that was meant.
func (d *decoder) unknown(p pair, path string) {
	key := p.key.text
	message := "unknown key " + quote(key)
	if path != "" {
		message += " in " + path
	}
	here := d.scopes[len(d.scopes)-1]
	d.failAt(CodeUnknownKey, p.key.at, p.key.span(), under(path, key), message, d.meant(here, key, p))
}

func (d *decoder) meant(here scope, key string, p pair) string {
	known := fields(here.typ)
	if near := nearest(key, keys(known)); near != "" {
		if d.guessed == nil {
			d.guessed = map[string]bool{}
		}
		d.guessed[under(here.path, near)] = true
		i := slices.IndexFunc(known, func(f field) bool { return f.key == near })
		if known[i].typ == secretType && p.value.scalar() {
			d.src.hide(p.value)
		}
		return fmt.Sprintf("did you mean %q?", near)
	}
	if place, ok := d.elsewhere(here, key); ok {
		return place
	}
	for _, f := range known {
		if f.typ == rawType {
			return "does it belong under " + under(here.path, f.key) + "?"
		}
	}
	if len(known) == 0 {
		return "this mapping takes no keys"
	}
	names := keys(known)
	slices.Sort(names)
	if len(names) > 12 {
		names = append(names[:12], "…")
	}
	return "known keys: " + strings.Join(names, ", ")
}

// elsewhere looks for a key one level down and in the structs around.
func (d *decoder) elsewhere(here scope, key string) (string, bool) {
	for _, f := range fields(here.typ) {
		if t := nested(f.typ); t != nil && slices.Contains(keys(fields(t)), key) {
			return fmt.Sprintf("%q belongs under %s", key, under(here.path, f.key)), true
		}
	}
	for i := len(d.scopes) - 2; i >= 0; i-- {
		s := d.scopes[i]
		if !slices.Contains(keys(fields(s.typ)), key) {
			continue
		}
		if s.path == "" {
			return fmt.Sprintf("%q belongs at the top level of the file", key), true
		}
		return fmt.Sprintf("%q belongs under %s", key, s.path), true
	}
	return "", false
}

func keys(all []field) []string {
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = f.key
	}
	return names
}

// nearest is the known name that a misspelt one was most likely meant to be,
// or "" when none is near: a third of its letters may differ.
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

// distance counts the letters to insert, remove, change or swap with their
// neighbour (Damerau-Levenshtein, each place edited once).
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
