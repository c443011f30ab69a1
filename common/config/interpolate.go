package config

import (
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// part is a piece of an interpolated text: literal text, an environment variable or a file.
type part struct {
	literal, env, file string
	fallback           *string // the default of ${ENV:-default}
	offset             int     // number of characters before a reference
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// errReference explains how to write a reference. It does not quote the text, which may be a
// secret with a dollar sign.
var errReference = errors.New("this ${…} is not a reference: write ${ENV}, ${ENV:-default} or ${file:/path}, and $${ for a plain ${")

// parseParts splits a text into literals and references.
func parseParts(text string) ([]part, error) {
	var parts []part
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			parts = append(parts, part{literal: plain.String()})
			plain.Reset()
		}
	}
	characters, counted := 0, 0
	for i := 0; i < len(text); {
		rest := text[i:]
		switch {
		case strings.HasPrefix(rest, "$${"):
			plain.WriteString("${")
			i += len("$${")
		case strings.HasPrefix(rest, "${"):
			flush()
			inside, _, closed := strings.Cut(rest[2:], "}")
			characters += utf8.RuneCountInString(text[counted:i])
			counted = i
			p := part{offset: characters}
			if !closed || !p.parse(inside) {
				return []part{p}, errReference
			}
			parts = append(parts, p)
			i += len("${}") + len(inside)
		default:
			plain.WriteByte(text[i])
			i++
		}
	}
	flush()
	return parts, nil
}

func (p *part) parse(inside string) bool {
	if path, ok := strings.CutPrefix(inside, "file:"); ok {
		p.file = path
		return filepath.IsAbs(path)
	}
	name, fallback, ok := strings.Cut(inside, ":-")
	if ok {
		p.fallback = &fallback
	}
	p.env = name
	return envName.MatchString(name)
}

// refers reports whether a scalar has a reference that is replaced here.
func (d *decoder) refers(n *node) bool {
	return d.interpolate && strings.Contains(n.text, "${")
}

// expand returns the text of a scalar with its references replaced. Inserted text is never
// parsed as YAML.
func (d *decoder) expand(n *node, path string) (string, bool) {
	if !d.refers(n) {
		return n.text, true
	}
	parts, err := parseParts(n.text)
	if err != nil {
		d.reference(n, parts[0], path, plainSentence(err.Error()), "")
		return "", false
	}
	var b strings.Builder
	for _, p := range parts {
		value, ok := d.resolve(n, p, path)
		if !ok {
			return "", false
		}
		b.WriteString(value)
	}
	return b.String(), true
}

// maxExpanded bounds the bytes that references insert in one Decode.
const maxExpanded = 16 << 20

// resolve returns the value of one part.
func (d *decoder) resolve(n *node, p part, path string) (string, bool) {
	value, ok := d.follow(n, p, path)
	if d.expanded += len(value); ok && d.expanded > maxExpanded {
		d.reference(n, p, path, plainSentence("the references of this part insert more than 16 MiB"), "")
		return "", false
	}
	return value, ok
}

func (d *decoder) follow(n *node, p part, path string) (string, bool) {
	switch {
	case p.env != "":
		value, ok := d.lookup(p.env)
		if p.fallback != nil && value == "" {
			return *p.fallback, true
		}
		if !ok {
			d.reference(n, p, path, plainSentence("environment variable "+p.env+" is not set"), "set it, or give a default: ${"+p.env+":-…}")
			return "", false
		}
		d.src.lockAndReplaceInMessages(value, "${"+p.env+"}")
		return value, true
	case p.file != "":
		value, err := d.read(p.file)
		if err != nil {
			d.reference(n, p, path, plainSentence(err.Error()), "make the file readable, or correct its path")
			return "", false
		}
		d.src.lockAndReplaceInMessages(value, "${file:"+p.file+"}")
		return value, true
	}
	return p.literal, true
}

// reference reports a reference that cannot be resolved, at its position.
func (d *decoder) reference(n *node, p part, path string, message sentence, hint string) {
	d.failAt(CodeBadInterpolation, align(d.src, n, p.offset), 2, path, atPath(path, message), plainSentence(hint))
}
