package config

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// secretKey finds keys whose value is better not shown although nobody said
// that it is a secret: misspelt ones, and those of files that do not parse.
var secretKey = regexp.MustCompile(`(?i)["']?\b[\w.-]*(?:pass(?:word|wd|phrase)?|pasword|secret|token|api-?_?key|credential|private-?_?key|authorization)[\w.-]*["']?\s*:\s*`)

// notSecret are the keys among them that name where a secret is, or hold none.
var notSecret = regexp.MustCompile(`(?i)(ref|file|path|url|uri|name|header|dir|type)["']?\s*:\s*$`)

// reference is a value that only names where the secret is.
var reference = regexp.MustCompile(`^(?:["']?\$\{(?:file:)?[\w./-]+\}["']?\s*(?:[,}#]|$)|\{\s*secretRef\s*:)`)

// userinfo matches user:password@ in a URL, anywhere in a line. A password may hold
// a slash, so a port and a path with an @ (host:80/a@b) match too. URLs without a
// scheme or with a slash too few (http:/u:p@h) also match: people write them.
var userinfo = regexp.MustCompile(`(:/+)[^/\s:@]*:[^\s@]*@|(^|[\s"'\[{(,])[^/\s:@"']+:[^/\s@"'][^\s@"']*@`)

// parameter is what stands behind a parameter of a URL.
var parameter = regexp.MustCompile(`([?&#;][\w.~%\[\]-]+=)[^=\s"'&#}\]][^"']*`)

// pemText is a key or a certificate in its own text.
var pemText = regexp.MustCompile(`-----BEGIN[\s\S]*`)

// Redact takes out of a text what is a secret by its form alone: a password or the
// value of a parameter in a URL, and the text of a key.
func Redact(text string) string {
	text = userinfo.ReplaceAllString(text, "${1}${2}"+Mask+"@")
	text = parameter.ReplaceAllString(text, "${1}"+Mask)
	return pemText.ReplaceAllString(text, Mask)
}

// visibleLine is a line with its secrets masked, and how many characters of it are
// seen. The caller holds the lock.
func (s *source) visibleLine(number int) (string, int) {
	line := s.line(number)
	hidden := len(line) + 1
	if column, ok := s.masked[number]; ok {
		hidden = byteOffset(line, column)
	}
	first := math.MaxInt // column of the raw values of the line
	for _, nodes := range s.undecoded {
		for _, n := range nodes {
			if at := n.begin(); at.line == number {
				first = min(first, at.column)
			}
		}
	}
	if first < math.MaxInt {
		hidden = min(hidden, byteOffset(line, first))
	}
	for _, at := range secretKey.FindAllStringIndex(line, -1) {
		if !notSecret.MatchString(line[at[0]:at[1]]) && at[1] < len(line) && !reference.MatchString(line[at[1]:]) {
			hidden = min(hidden, at[1])
		}
	}
	if at := userinfo.FindStringSubmatchIndex(line); at != nil {
		hidden = min(hidden, max(at[3], at[5])) // behind what comes before the name
	}
	if strings.ContainsAny(line, "?&#;") {
		if at := parameter.FindStringSubmatchIndex(line); at != nil {
			hidden = min(hidden, at[3])
		}
	}
	if at := pemText.FindStringIndex(line); at != nil {
		hidden = min(hidden, at[0])
	}
	if s.insideSecret(number) {
		hidden = min(hidden, leading(line))
	}
	if s.unparsedFrom > 0 && number >= s.unparsedFrom {
		hidden = min(hidden, s.visibleOfUnparsed(number))
	}
	if hidden >= len(line) {
		return line, utf8.RuneCountInString(line) + 1
	}
	return line[:hidden] + Mask, utf8.RuneCountInString(line[:hidden])
}

// insideSecret reports whether a line goes on with the value of a secret key.
func (s *source) insideSecret(number int) bool {
	indent := leading(s.line(number))
	for i := number - 1; i > 0 && indent > 0; i-- {
		line := s.line(i)
		if strings.TrimSpace(line) == "" || leading(line) >= indent {
			continue
		}
		indent = leading(line)
		at := secretKey.FindStringIndex(line)
		if at != nil && !notSecret.MatchString(line[at[0]:at[1]]) {
			return true
		}
	}
	return false
}

const credentials = `[\w.-]*(?:pass|secret|token|key|credential|auth|account|login|header|sasl|user|tls|extensions|filepath|envvar|vaultref)[\w.-]*`

var (
	// entry begins a part of the file: a key at the margin.
	entry = regexp.MustCompile(`^["']?([\w.-]+)["']?\s*:(?:\s+|$)`)
	// keyed is a line that begins with a key.
	keyed = regexp.MustCompile(`^[\s-]*["']?[\w.-]+["']?\s*:(?:\s+|$)`)
	// bearing is a key below which credentials stand, or one whose colon is
	// missing at the begin of a line.
	bearing = regexp.MustCompile(`(?i)^\W*` + credentials + `(?:\W{0,3}?[:=]|\s|$)|\W` + credentials + `\W{0,3}?[:=]`)
)

// maxUnread is how long a line is at most that is looked at for such keys.
const maxUnread = 4096

// visibleOfUnparsed is how much of a line may be seen in a file that was not understood,
// so that nobody knows what the line belongs to: nothing behind a key for credentials,
// and not more than a key where such a key stands above it in the same part, or at
// the margin, where the key is none of the file's.
func (s *source) visibleOfUnparsed(number int) int {
	line := s.line(number)
	if len(line) > maxUnread {
		return 0
	}
	seen := len(line) + 1
	if at := bearing.FindStringIndex(line); at != nil {
		seen = at[1] + leading(line[at[1]:])
	}
	if at := entry.FindStringSubmatchIndex(line); at != nil && !slices.Contains(s.topKeys, line[at[2]:at[3]]) {
		return min(seen, at[1])
	}
	if !s.underCredentialKey(number) {
		return seen
	}
	if at := keyed.FindStringIndex(line); at != nil {
		return min(seen, at[1])
	}
	return min(seen, leading(line))
}

// underCredentialKey reports whether a line for credentials stands above this one in the same
// part. What is found out of a line holds for all below it, so that many faults in
// one part cost no more than its lines. Called with the lock held.
func (s *source) underCredentialKey(number int) bool {
	const unknown, no, yes = 0, 1, 2
	if s.underCredential == nil {
		s.underCredential = make([]uint8, len(s.lines)+2)
	}
	number = min(number, len(s.lines)+1) // what is behind the last line is like it
	from, is := number, uint8(unknown)
	for ; is == unknown; from-- {
		switch above := s.line(from - 1); {
		case s.underCredential[from] != unknown:
			is = s.underCredential[from]
		case from <= 0 || entry.MatchString(s.line(from)):
			is = no
		case len(above) > maxUnread || bearing.MatchString(above) || Redact(above) != above:
			is = yes
		}
	}
	for i := from + 1; i <= number; i++ {
		s.underCredential[i] = is
	}
	return is == yes
}
