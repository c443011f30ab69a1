package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// A part with credentials is tagged secret:"true". Of its content an error shows keys,
// numbers, truth values, and texts that cannot be a secret: a value of an enum, a duration, a
// size, an expression. All other texts of the part are hidden, even at a wrong place or with
// a wrong type. Values under an unknown key are hidden too, unless a known key is similar. A
// field tagged secret:"false" in such a part is shown.

// hideSecrets hides every text of a value that may be a secret.
func (d *decoder) hideSecrets(n *node, t reflect.Type, enum []string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == textType || t == fieldsType:
	case nested(t) != nil && n.kind == mapping:
		d.hideSecretsInStruct(n, t)
	case t.Kind() == reflect.Map && n.kind == mapping:
		d.hideSecretsInMap(n)
	case (t.Kind() == reflect.Slice || t == stringsType) && n.kind == sequence:
		for _, item := range n.items {
			d.hideSecrets(item, t.Elem(), enum)
		}
	case n.kind != null && n.scalar() && cannotBeSecret(n, t, enum):
	default:
		d.hideAll(n)
	}
}

func (d *decoder) hideSecretsInStruct(n *node, t reflect.Type) {
	for i, p := range slices.Concat(n.pairs, n.faulty) {
		f := fieldOf(t, p.key.text)
		switch {
		case f == nil && d.looksLikeSplitText(n, i):
			d.src.hideKey(p.key)
			d.hideAll(p.value)
		case f == nil:
			if near := nearest(p.key.text, keys(fields(t))); near != "" {
				f = fieldOf(t, near)
				d.hideSecrets(p.value, f.typ, f.enum)
				continue
			}
			if !wordKey.MatchString(p.key.text) {
				d.src.hideKey(p.key)
			}
			d.hideAll(p.value)
		case !f.open:
			d.hideSecrets(p.value, f.typ, f.enum)
		}
	}
}

// wordKey matches a key that may be misspelt; a secret has digits or is longer.
var wordKey = regexp.MustCompile(`^[A-Za-z_.-]{1,40}$`)

// plainKey matches a key that is only a name, perhaps with blanks.
var plainKey = regexp.MustCompile(`^(?:[A-Za-z0-9_.-]{0,64}|[A-Za-z_. -]{1,40})$`)

func (d *decoder) hideSecretsInMap(n *node) {
	for i, p := range slices.Concat(n.pairs, n.faulty) {
		if !plainKey.MatchString(p.key.text) || d.looksLikeSplitText(n, i) {
			d.src.hideKey(p.key)
		}
		d.hideAll(p.value)
	}
}

// hideAll hides all texts, numbers and keys of a value.
func (d *decoder) hideAll(n *node) {
	if n.anchorAt.line > 0 {
		d.src.hidePlace(n)
	}
	switch {
	case n.kind == mapping:
		for _, p := range slices.Concat(n.pairs, n.faulty) {
			d.src.hideKey(p.key)
			d.hideAll(p.value)
		}
	case n.kind == sequence:
		for _, item := range n.items {
			d.hideAll(item)
		}
	case n.kind == null || n.kind != boolKind && n.text != "" && !isOnlyReferences(n.text):
		d.src.hide(n) // also a null: it may have an alias or an anchor
	}
}

// cannotBeSecret reports whether a scalar for a value of type t cannot be a secret.
func cannotBeSecret(n *node, t reflect.Type, enum []string) bool {
	switch n.kind {
	case boolKind:
		return true
	case intKind, floatKind:
		return t.Kind() != reflect.String && !slices.Contains([]reflect.Type{secretType, stringsType}, t) && nested(t) == nil && t.Kind() != reflect.Map
	}
	var err error
	switch {
	case len(enum) > 0:
		return slices.Contains(enum, n.text) || nearest(n.text, enum) != ""
	case t == durationType:
		_, err = time.ParseDuration(n.text)
	case t == bytesType:
		_, err = ParseBytes(n.text)
	default:
		return false
	}
	return err == nil
}

// isOnlyReferences reports whether a text consists of references only.
func isOnlyReferences(text string) bool {
	parts, err := parseParts(text)
	for _, p := range parts {
		if p.literal != "" || p.fallback != nil && *p.fallback != "" {
			return false
		}
	}
	return err == nil
}

// mayHoldCredential reports whether a value of type t can hold a credential.
func mayHoldCredential(t reflect.Type) bool { return mayHoldCredentialIn(t, nil) }

func mayHoldCredentialIn(t reflect.Type, around []reflect.Type) bool {
	switch {
	case t == secretType || t == rawType:
		return true
	case hasOwnRules(t) || slices.Contains(around, t):
		return false
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map:
		return mayHoldCredentialIn(t.Elem(), around)
	case t.Kind() != reflect.Struct:
		return false
	}
	around = append(around[:len(around):len(around)], t)
	return slices.ContainsFunc(fields(t), func(f field) bool { return f.secret || mayHoldCredentialIn(f.typ, around) })
}

// reportSplitText reports a pair of a mapping in { } that is the rest of the text before it,
// which a comma ended: {password: abc,def} has the text abc and the key def.
func (d *decoder) reportSplitText(n *node, i int, path string) bool {
	if !d.looksLikeSplitText(n, i) {
		return false
	}
	p, before := n.pairs[i], under(path, n.pairs[i-1].key.text)
	d.src.hideKey(p.key)
	d.hideAll(p.value)
	hint := "put the text in quotes, or a list in [ ]"
	if p.value.kind != null { // {A: a,B: b} has two keys in YAML, but may be a secret with a comma
		hint += "; before another key, put a blank behind the comma"
	}
	d.failAt(CodeSyntax, p.key.at, 1, before, atPath(before, plainSentence("a comma ends a text inside of { }")), plainSentence(hint))
	return true
}

// looksLikeSplitText reports whether a pair of a mapping in { } looks like the rest of the
// text before it.
func (d *decoder) looksLikeSplitText(n *node, i int) bool {
	if i == 0 || i >= len(n.pairs) {
		return false
	}
	p, before := n.pairs[i], n.pairs[i-1].value
	if !before.scalar() || before.style != plain || p.merged || p.key.style != plain || p.key.at.line < before.at.line {
		return false
	}
	line, _ := d.src.characters(p.key.at.line)
	from := min(p.key.at.column-1, len(line))
	if before.kind == stringKind && from > 0 && line[from-1] == ',' {
		return true // the comma has no blank after it
	}
	if p.value.kind != null || p.value.text != "" {
		return false
	}
	next, last := min(from+p.key.span(), len(line)), from-1
	for next < len(line) && unicode.IsSpace(line[next]) {
		next++
	}
	for last >= 0 && unicode.IsSpace(line[last]) {
		last--
	}
	return (next == len(line) || line[next] != ':') && last >= 0 && line[last] == ','
}

// markUndecoded records a part that has no schema yet: no error shows its texts.
func (s *source) markUndecoded(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*node
	seen := map[*node]bool{}
	var walk func(*node)
	walk = func(n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if n.scalar() || n.anchorAt.line > 0 {
			all = append(all, n)
		}
		for _, item := range n.items {
			walk(item)
		}
		for _, p := range slices.Concat(n.pairs, n.faulty) {
			walk(p.value)
		}
	}
	walk(n)
	s.undecoded[n] = all
}

// markDecoded ends markUndecoded, because a schema now reads the part.
func (s *source) markDecoded(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.undecoded, n)
}

// visiblePath returns a path of keys with its hidden keys masked.
func (s *source) visiblePath(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.keys {
		if rest, ok := strings.CutSuffix(path, key); ok && key != "" && (rest == "" || strings.HasSuffix(rest, ".")) {
			return rest + Mask
		}
	}
	return path
}
