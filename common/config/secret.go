package config

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Mask is printed in place of a secret.
const Mask = "***"

// Secret is a value that never prints: not in a log, an error, JSON or YAML. It may be written as
// text with ${ENV} and ${file:/path} in it. A secret from a file follows the file. The zero value is
// "not set". It is safe for concurrent use and may be copied.
type Secret struct{ s *sealed }

// sealed holds the secret behind one more pointer than fmt follows. fmt cannot call Format on an
// unexported field, and with a verb like %s it prints what the first pointer points to.
type sealed struct{ *secret }

// secret is a text as its parts.
type secret struct {
	parts []secretPart
	text  followed[string]
}

// secretPart is literal text, or the file to read the text from.
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

// join makes the value from the contents of the files.
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

// NewSecret returns a secret with a fixed value.
func NewSecret(value string) Secret { return newSecret(secretPart{literal: value}) }

// SecretFile returns a secret that is read from a file, by the rules of TrimValue, and read again when
// the file changes.
func SecretFile(path string) Secret { return newSecret(secretPart{file: path}) }

// IsZero reports whether the secret is not set.
func (s Secret) IsZero() bool { return s.s == nil }

// Files returns the files that the secret is read from.
func (s Secret) Files() []string {
	if s.s == nil {
		return nil
	}
	return slices.Clone(s.s.text.files)
}

// staleSecretTTL is how long a secret is used after its files no longer hold it. Files are replaced in
// steps, but a removed secret must not work for ever.
const staleSecretTTL = time.Minute

// Reveal returns the value of a secret that this process presents to others. Files are checked at most
// once a second. While a file is missing, empty or cannot be read, Reveal returns the last value for a
// minute, and then an error that says why there is none.
func (s Secret) Reveal() (string, error) {
	return s.reveal(func(f *followed[string]) (string, error) { return f.valueNotOlder(staleSecretTTL) })
}

// Current returns the value of a secret that others present to this process. While a file is missing,
// empty or cannot be read, it returns an error: an operator may empty the file to let nobody in.
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

// String returns the mask.
func (s Secret) String() string {
	if s.s == nil {
		return ""
	}
	return Mask
}

// GoString returns the mask.
func (s Secret) GoString() string { return s.String() }

// Format prints the mask for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue returns the mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns the mask, also for JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
