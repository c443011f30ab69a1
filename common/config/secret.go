package config

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Mask is what a secret prints as, wherever it is printed.
const Mask = "***"

// Secret is a value that never prints: not in a log, an error, JSON or YAML.
// It may be written as text, with ${ENV} and ${file:/path} inside. A secret
// from a file is followed when the file changes. The zero value is "not set".
// It is safe for concurrent use and may be copied.
type Secret struct{ s *sealed }

// sealed keeps a secret one pointer farther away than fmt follows. In a field
// that is not exported fmt cannot call Format, and for a verb like %s it prints
// what the first pointer points to.
type sealed struct{ *secret }

// secret is the text of its parts.
type secret struct {
	parts []secretPart
	text  followed[string]
}

// secretPart is literal text, or the file it is read from.
type secretPart struct{ literal, file string }

func newSecret(parts ...secretPart) Secret {
	s := &secret{parts: parts}
	s.text.make = s.join
	for _, p := range parts {
		if p.file != "" {
			s.text.files = append(s.text.files, p.file)
		}
	}
	return Secret{&sealed{s}}
}

// join is the value that the contents of the files make.
func (s *secret) join(contents [][]byte) (string, error) {
	var b strings.Builder
	for _, p := range s.parts {
		if p.file == "" {
			b.WriteString(p.literal)
			continue
		}
		text, err := valueIn(p.file, contents[0])
		if err != nil {
			return "", err
		}
		b.WriteString(text)
		contents = contents[1:]
	}
	return b.String(), nil
}

// NewSecret is a secret with a fixed value.
func NewSecret(value string) Secret { return newSecret(secretPart{literal: value}) }

// SecretFile is a secret that is read from a file, without what TrimValue takes
// off, and read again when the file changes.
func SecretFile(path string) Secret { return newSecret(secretPart{file: path}) }

// IsZero reports whether the secret is not set.
func (s Secret) IsZero() bool { return s.s == nil }

// Files are the files the secret is read from.
func (s Secret) Files() []string {
	if s.s == nil {
		return nil
	}
	return slices.Clone(s.s.text.files)
}

// staleSecretTTL is how long a secret is used that its files no longer hold. Files are
// replaced in steps, but what was taken away must not work for ever.
const staleSecretTTL = time.Minute

// Reveal is the secret's value, for one that we present. Files are looked at
// once a second at most. While one is away, empty or cannot be read, the last
// value stays for a minute; then there is none, and the error says why.
func (s Secret) Reveal() (string, error) {
	return s.reveal(func(f *followed[string]) (string, error) { return f.valueNotOlder(staleSecretTTL) })
}

// Current is the secret's value, for one that others present to us. While a
// file is away, empty or cannot be read, there is none: whoever empties the
// file of a secret may want nobody to be let in by it.
func (s Secret) Current() (string, error) { return s.reveal((*followed[string]).current) }

func (s Secret) reveal(value func(*followed[string]) (string, error)) (string, error) {
	if s.s == nil {
		return "", nil
	}
	text, err := value(&s.s.text)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	return text, nil
}

// String is the mask.
func (s Secret) String() string {
	if s.s == nil {
		return ""
	}
	return Mask
}

// GoString is the mask.
func (s Secret) GoString() string { return s.String() }

// Format prints the mask for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue is the mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is the mask, also in JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
