package config

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// A part that holds credentials is tagged secret:"true". Of what stands there an
// error shows keys, numbers, truth values, and texts that cannot be a secret: a
// value of an enum, a duration, a size, an expression. All other texts of the part
// are hidden, also where they stand at a wrong place or have a wrong type. So are
// values under a key that is not in the schema and not near one that is. A field
// tagged secret:"false" in such a part is shown.

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

// wordKey matches a key that may be a misspelt one; a secret has digits, or is long.
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

// hideAll hides every text and number of a value, and its keys.
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
		d.src.hide(n) // of nothing, too: an alias or an anchor may stand there
	}
}

// cannotBeSecret reports whether a scalar in the place of a t cannot be a secret.
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

// isOnlyReferences reports whether a text consists of references alone.
func isOnlyReferences(text string) bool {
	parts, err := parseParts(text)
	for _, p := range parts {
		if p.literal != "" || p.fallback != nil && *p.fallback != "" {
			return false
		}
	}
	return err == nil
}

// mayHoldCredential reports whether a value of the type can hold a credential.
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

// reportSplitText reports a pair of a mapping in { } that is the rest of the text before
// it, which a comma ended: {password: abc,def} is password: abc, and a key def.
func (d *decoder) reportSplitText(n *node, i int, path string) bool {
	if !d.looksLikeSplitText(n, i) {
		return false
	}
	p, before := n.pairs[i], under(path, n.pairs[i-1].key.text)
	d.src.hideKey(p.key)
	d.hideAll(p.value)
	hint := "put the text in quotes, or a list in [ ]"
	if p.value.kind != null { // {A: a,B: b} is two keys in YAML, but one text here: it may be a secret with a comma
		hint += "; before another key, put a blank behind the comma"
	}
	d.failAt(CodeSyntax, p.key.at, 1, before, atPath(before, plainSentence("a comma ends a text inside of { }")), plainSentence(hint))
	return true
}

// looksLikeSplitText reports whether a pair of a mapping in { } looks like the rest of the text
// before it.
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
		return true // no blank follows the comma
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

// markUndecoded records a part without a schema so far: no error shows its texts.
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

// markDecoded ends markUndecoded: a schema reads the part.
func (s *source) markDecoded(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.undecoded, n)
}

// visiblePath is a path of keys with its hidden keys masked.
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
