package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// part is a piece of an interpolated text: literal text, an environment
// variable, or a file.
type part struct {
	literal, env, file string
	fallback           *string // what ${ENV:-default} says
	offset             int     // of a reference: characters before it
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// errReference says how references are written. The text itself is not
// quoted: it may be a secret with a dollar sign in it.
var errReference = errors.New("this ${…} is none: write ${ENV}, ${ENV:-default} or ${file:/path}, and $${ for a plain ${")

// parseParts takes a text apart into literals and references.
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

// refers reports whether a scalar holds a reference that is followed here.
func (d *decoder) refers(n *node) bool {
	return d.interpolate && strings.Contains(n.text, "${")
}

// expand is the text of a scalar with its references followed. What comes in
// is never read as YAML.
func (d *decoder) expand(n *node, path string) (string, bool) {
	if !d.refers(n) {
		return n.text, true
	}
	parts, err := parseParts(n.text)
	if err != nil {
		d.reference(n, parts[0], path, err.Error(), "")
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

// maxExpanded bounds what references bring in, in one Decode.
const maxExpanded = 16 << 20

// resolve is the value of one part.
func (d *decoder) resolve(n *node, p part, path string) (string, bool) {
	value, ok := d.follow(n, p, path)
	if d.expanded += len(value); ok && d.expanded > maxExpanded {
		d.reference(n, p, path, "the references of this part bring in more than 16 MiB", "")
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
			d.reference(n, p, path, "environment variable "+p.env+" is not set", "set it, or give a default: ${"+p.env+":-…}")
			return "", false
		}
		d.src.conceal(value, "${"+p.env+"}")
		return value, true
	case p.file != "":
		value, err := readValue(p.file)
		if err != nil {
			d.reference(n, p, path, err.Error(), "make the file readable, or correct its path")
			return "", false
		}
		d.src.conceal(value, "${file:"+p.file+"}")
		return value, true
	}
	return p.literal, true
}

// reference reports a reference that cannot be followed, where it stands.
func (d *decoder) reference(n *node, p part, path, message, hint string) {
	at := align(d.src, n, p.offset)
	if path != "" {
		message = path + ": " + message
	}
	d.failAt(CodeBadInterpolation, at, 2, path, message, hint)
}

// readValue reads a value from a file, without the line break at its end.
func readValue(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err // names the file already
	}
	defer func() { _ = f.Close() }() // only read from
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxFile {
		return "", fmt.Errorf("%s is larger than 1 MiB", path)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

// secret decodes a secret: its files are kept, and read when they change.
func (d *decoder) secret(n *node, path string) Secret {
	if n.kind == mapping && n.pair("secretRef") != nil {
		if file, ok := d.secretFile(n, path); ok {
			return d.readable(n, path, SecretFile(file))
		}
		return Secret{}
	}
	if n.kind != stringKind {
		d.src.hide(n)
		hint := ""
		if n.scalar() {
			hint = "put it in quotes"
		}
		d.failAt(CodeWrongType, n.at, 1, path, path+": expected a secret as text", hint)
		return Secret{}
	}
	parts, err := parseParts(n.text)
	if err != nil {
		d.src.hide(n)
		d.reference(n, parts[0], path, err.Error(), "")
		return Secret{}
	}
	if len(parts) == 0 {
		return Secret{}
	}
	s := &secret{}
	for _, p := range parts {
		if p.file != "" {
			s.parts = append(s.parts, secretPart{file: p.file})
			continue
		}
		if p.env == "" {
			d.src.hide(n)
		}
		value, ok := d.resolve(n, p, path)
		if !ok {
			return Secret{}
		}
		s.parts = append(s.parts, secretPart{literal: value})
	}
	return d.readable(n, path, Secret{&sealed{s}})
}

// readable reads a secret once, so that a missing file is said now.
func (d *decoder) readable(n *node, path string, s Secret) Secret {
	value, err := s.Reveal()
	if err != nil {
		d.failAt(CodeBadInterpolation, n.at, n.span(), path, path+": "+err.Error(), "make the file readable, or correct its path")
		return Secret{}
	}
	d.src.conceal(value, Mask)
	return s
}

// secretDir is where the Secrets that secretRef names are mounted.
const secretDir = "/etc/fiso/secrets"

// secretFile is the file that {secretRef: {name, key}} stands for.
func (d *decoder) secretFile(n *node, path string) (string, bool) {
	before := len(d.errs)
	for _, p := range n.pairs {
		if p.key.text != "secretRef" {
			d.failAt(CodeUnknownKey, p.key.at, p.key.span(), under(path, p.key.text), "unknown key "+quote(p.key.text)+" beside secretRef", "remove it")
		}
	}
	ref := n.pair("secretRef").value
	var to struct {
		Name string `yaml:"name" required:"true" doc:"name the Secret"`
		Key  string `yaml:"key" required:"true" doc:"name the key in the Secret"`
	}
	inner := &decoder{file: d.file, scopes: d.scopes}
	inner.value(ref, valueOf(&to), under(path, "secretRef"))
	if ref.kind == null {
		inner.wrong(ref, under(path, "secretRef"), "a mapping with name and key", "write secretRef: {name: …, key: …}")
	}
	d.errs = append(d.errs, inner.errs...)
	for key, value := range map[string]string{"name": to.Name, "key": to.Key} {
		if p := ref.pair(key); p != nil && value != "" && !secretName.MatchString(value) {
			d.bad(p.value, under(path, "secretRef."+key), quote(value)+" is not the name of a Secret or of a key in one", "use letters, digits, '-', '_' and '.'")
		}
	}
	if len(d.errs) > before {
		return "", false
	}
	dir, _ := d.lookup("FISO_SECRETS_DIR")
	if dir == "" {
		dir = secretDir
	}
	return filepath.Join(dir, to.Name, to.Key), true
}

// secretName is what Kubernetes allows; it keeps a reference inside its folder.
var secretName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)

// referred is the value of a secretRef where plain text is due.
func (d *decoder) referred(n *node, path string) (string, bool) {
	file, ok := d.secretFile(n, path)
	if !ok {
		return "", false
	}
	value, err := readValue(file)
	if err != nil {
		d.failAt(CodeBadInterpolation, n.at, 1, path, path+": "+err.Error(), "is the Secret mounted there?")
		return "", false
	}
	d.src.conceal(value, Mask)
	return value, true
}
