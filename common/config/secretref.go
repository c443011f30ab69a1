package config

import (
	"path/filepath"
	"reflect"
	"regexp"
)

// secret decodes a secret. It keeps the files, which are read when they change.
func (d *decoder) secret(n *node, path string) Secret {
	if n.kind == mapping && n.pair("secretRef") != nil {
		d.hideSecrets(n.pair("secretRef").value, reflect.TypeFor[secretRefKeys](), nil)
		if file, ok := d.secretFile(n, path); ok {
			if d.unmounted {
				return SecretFile(file)
			}
			return d.checkSecretReadable(n, path, SecretFile(file))
		}
		return Secret{}
	}
	if n.kind != stringKind {
		d.src.hide(n)
		hint := ""
		if n.scalar() {
			hint = "put it in quotes"
		}
		d.failAt(CodeWrongType, n.at, 1, path, atPath(path, plainSentence("expected a secret as text")), plainSentence(hint))
		return Secret{}
	}
	parts, err := parseParts(n.text)
	if err != nil {
		d.src.hide(n)
		d.reference(n, parts[0], path, plainSentence(err.Error()), "")
		return Secret{}
	}
	if len(parts) == 0 {
		return Secret{}
	}
	var all []secretPart
	for _, p := range parts {
		if p.file != "" {
			all = append(all, secretPart{file: p.file})
			continue
		}
		if p.env == "" {
			d.src.hide(n)
		}
		value, ok := d.resolve(n, p, path)
		if !ok {
			return Secret{}
		}
		if p.env != "" {
			value = TrimValue(value)
		}
		all = append(all, secretPart{literal: value})
	}
	return d.checkSecretReadable(n, path, newSecret(all...))
}

// checkSecretReadable reads a secret once, to report a missing or empty file now. An empty text is not
// a secret, also if it is the value of a variable.
func (d *decoder) checkSecretReadable(n *node, path string, s Secret) Secret {
	value, err := s.Reveal()
	if err != nil {
		d.failAt(CodeBadInterpolation, n.at, n.span(), path, atPath(path, plainSentence(err.Error())), plainSentence("make the file readable, or correct its path"))
		return Secret{}
	}
	if value == "" { // the variables are set to empty texts
		return Secret{}
	}
	d.src.lockAndReplaceInMessages(value, Mask)
	return s
}

// secretDir is where the Secrets of secretRef are mounted.
const secretDir = "/etc/fiso/secrets"

// secretRefKeys are the keys below secretRef. By mistake, people write the secret itself there.
type secretRefKeys struct {
	Name string `yaml:"name" required:"true" doc:"name the Secret"`
	Key  string `yaml:"key" required:"true" doc:"name the key in the Secret"`
}

// secretFile returns the file of {secretRef: {name, key}}.
func (d *decoder) secretFile(n *node, path string) (string, bool) {
	before := len(d.errs)
	for _, p := range n.pairs {
		if p.key.text != "secretRef" {
			message := newSentence("unknown key %s beside secretRef", shownText{p.key, p.key.text})
			d.failAt(CodeUnknownKey, p.key.at, p.key.span(), under(path, p.key.text), message, plainSentence("remove it"))
		}
	}
	ref := n.pair("secretRef").value
	var to secretRefKeys
	if ref.kind != mapping && ref.kind != null {
		d.hideAll(ref)
	}
	inner := &decoder{sharedState: d.sharedState, scopes: d.scopes}
	inner.value(ref, valueOf(&to), under(path, "secretRef"))
	if ref.kind == null {
		inner.wrongType(ref, under(path, "secretRef"), "a mapping with name and key", plainSentence("write secretRef: {name: …, key: …}"))
	}
	d.errs = append(d.errs, inner.errs...)
	for key, value := range map[string]string{"name": to.Name, "key": to.Key} {
		if p := ref.pair(key); p != nil && value != "" && !secretName.MatchString(value) {
			message := newSentence("%s is not the name of a Secret or of a key in one", shownText{p.value, value})
			d.badValue(p.value, under(path, "secretRef."+key), message, plainSentence("use letters, digits, '-', '_' and '.'"))
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

// secretName matches the names that Kubernetes allows; they keep a reference inside its folder.
var secretName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)

// textOfSecretRef returns the value of a secretRef if plain text is expected.
func (d *decoder) textOfSecretRef(n *node, path string) (string, bool) {
	file, ok := d.secretFile(n, path)
	if !ok {
		return "", false
	}
	if d.unmounted {
		return Mask, true
	}
	value, err := d.read(file)
	if err != nil {
		d.failAt(CodeBadInterpolation, n.at, 1, path, atPath(path, plainSentence(err.Error())), plainSentence("is the Secret mounted there?"))
		return "", false
	}
	d.src.lockAndReplaceInMessages(value, Mask)
	return value, true
}
