package config

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// Mask is what a secret prints as, wherever it is printed.
const Mask = "***"

// recheck is how often, at most, a secret looks whether its file changed.
const recheck = time.Second

// Secret is a value that never prints: not in a log, an error, JSON or YAML.
// It may be written as text, with ${ENV} and ${file:/path} inside. A secret
// from a file is followed when the file changes. The zero value is "not set".
// It is safe for concurrent use and may be copied.
type Secret struct{ s *sealed }

// sealed keeps a secret one pointer farther away than fmt follows. In a field
// that is not exported fmt cannot call Format, and for a verb like %s it prints
// what the first pointer points to.
type sealed struct{ *secret }

type secret struct {
	parts []secretPart

	mu      sync.Mutex
	value   string
	checked time.Time
	stamps  []fileStamp // one a part; zero for literals
}

// secretPart is literal text, or the file it is read from.
type secretPart struct{ literal, file string }

type fileStamp struct {
	mod  time.Time
	size int64
}

// NewSecret is a secret with a fixed value.
func NewSecret(value string) Secret {
	return Secret{&sealed{&secret{parts: []secretPart{{literal: value}}}}}
}

// SecretFile is a secret that is read from a file, without the line break at
// its end, and read again when the file changes.
func SecretFile(path string) Secret {
	return Secret{&sealed{&secret{parts: []secretPart{{file: path}}}}}
}

// IsZero reports whether the secret is not set.
func (s Secret) IsZero() bool { return s.s == nil }

// Files are the files the secret is read from.
func (s Secret) Files() []string {
	if s.s == nil {
		return nil
	}
	var files []string
	for _, p := range s.s.parts {
		if p.file != "" {
			files = append(files, p.file)
		}
	}
	return files
}

// Reveal is the secret's value now. Files are looked at once a second at most;
// while a changed file cannot be read, the error says which.
func (s Secret) Reveal() (string, error) {
	if s.s == nil {
		return "", nil
	}
	return s.s.reveal(time.Now())
}

func (s *secret) reveal(now time.Time) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stamps != nil && now.Sub(s.checked) < recheck {
		return s.value, nil
	}
	stamps := make([]fileStamp, len(s.parts))
	same := s.stamps != nil
	for i, p := range s.parts {
		if p.file == "" {
			continue
		}
		info, err := os.Stat(p.file)
		if err != nil {
			return "", fmt.Errorf("read secret: %w", err)
		}
		stamps[i] = fileStamp{info.ModTime(), info.Size()}
		same = same && stamps[i] == s.stamps[i]
	}
	if !same {
		var b strings.Builder
		for _, p := range s.parts {
			if p.file == "" {
				b.WriteString(p.literal)
				continue
			}
			text, err := readValue(p.file)
			if err != nil {
				return "", fmt.Errorf("read secret: %w", err)
			}
			b.WriteString(text)
		}
		s.value = b.String()
	}
	s.stamps, s.checked = stamps, now
	return s.value, nil
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
