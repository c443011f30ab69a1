package config

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// secretKey matches keys whose value is hidden though the schema does not call it a secret:
// misspelt keys, and keys of files that do not parse.
var secretKey = regexp.MustCompile(`(?i)["']?\b[\w.-]*(?:pass(?:word|wd|phrase)?|pasword|secret|token|api-?_?key|credential|` +
	`private-?_?key|authorization)[\w.-]*["']?\s*:\s*`)

// notSecret matches those of them that name the place of a secret, or hold none.
var notSecret = regexp.MustCompile(`(?i)(ref|file|path|url|uri|name|header|dir|type)["']?\s*:\s*$`)

// reference matches a value that only names the place of a secret.
var reference = regexp.MustCompile(`^(?:["']?\$\{(?:file:)?[\w./-]+\}["']?\s*(?:[,}#]|$)|\{\s*secretRef\s*:)`)

// userinfo matches user:password@ in a URL, anywhere in a line. A password may hold a slash, so
// a port and a path with an @ (host:80/a@b) match too. URLs without a scheme or with a slash too
// few (http:/u:p@h) also match, because people write them.
var userinfo = regexp.MustCompile(`(:/+)[^/\s:@]*:[^\s@]*@|(^|[\s"'\[{(,])[^/\s:@"']+:[^/\s@"'][^\s@"']*@`)

// parameter matches a parameter of a URL with its value.
var parameter = regexp.MustCompile(`([?&#;][\w.~%\[\]-]+=)[^=\s"'&#}\]][^"']*`)

// pemText matches a key or a certificate in PEM form.
var pemText = regexp.MustCompile(`-----BEGIN[\s\S]*`)

// Redact masks what is a secret by its form: a password or the value of a parameter in a URL, and
// a key in PEM form.
func Redact(text string) string {
	text = userinfo.ReplaceAllString(text, "${1}${2}"+Mask+"@")
	text = parameter.ReplaceAllString(text, "${1}"+Mask)
	return pemText.ReplaceAllString(text, Mask)
}

// visibleLine returns a line with its secrets masked, and how many of its characters are visible.
// Called with the lock held.
func (s *source) visibleLine(number int) (string, int) {
	line := s.line(number)
	hidden := len(line) + 1
	if column, ok := s.masked[number]; ok {
		hidden = byteOffset(line, column)
	}
	first := math.MaxInt // first column of the line's undecoded values
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
		hidden = min(hidden, max(at[3], at[5])) // after the text before the name
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

// insideSecret reports whether a line continues the value of a secret key.
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
	// topLevelKey matches a key at the margin, which begins a part of the file.
	topLevelKey = regexp.MustCompile(`^["']?([\w.-]+)["']?\s*:(?:\s+|$)`)
	// lineKey matches a line that begins with a key.
	lineKey = regexp.MustCompile(`^[\s-]*["']?[\w.-]+["']?\s*:(?:\s+|$)`)
	// credentialKey matches a key with credentials below it, also without its colon at the begin of a line.
	credentialKey = regexp.MustCompile(`(?i)^\W*` + credentials + `(?:\W{0,3}?[:=]|\s|$)|\W` + credentials + `\W{0,3}?[:=]`)
)

// maxUnread is the length in bytes up to which a line is searched for such keys.
const maxUnread = 4096

// visibleOfUnparsed returns how many bytes of a line are visible if the file did not parse, so
// that the line's key is unknown: nothing after a credential key; and at most a key if a
// credential key is above the line in the same part, or if the line's key is at the margin and
// unknown.
func (s *source) visibleOfUnparsed(number int) int {
	line := s.line(number)
	if len(line) > maxUnread {
		return 0
	}
	seen := len(line) + 1
	if at := credentialKey.FindStringIndex(line); at != nil {
		seen = at[1] + leading(line[at[1]:])
	}
	if at := topLevelKey.FindStringSubmatchIndex(line); at != nil && !slices.Contains(s.topKeys, line[at[2]:at[3]]) {
		return min(seen, at[1])
	}
	if !s.underCredentialKey(number) {
		return seen
	}
	if at := lineKey.FindStringIndex(line); at != nil {
		return min(seen, at[1])
	}
	return min(seen, leading(line))
}

// underCredentialKey reports whether a line with a credential key is above this one in the same
// part. The result is stored for all lines in between, so that many faults in one part need only
// one pass over its lines. Called with the lock held.
func (s *source) underCredentialKey(number int) bool {
	const unknown, no, yes = 0, 1, 2
	if s.underCredential == nil {
		s.underCredential = make([]uint8, len(s.lines)+2)
	}
	number = min(number, len(s.lines)+1) // lines after the end count as the last one
	from, is := number, uint8(unknown)
	for ; is == unknown; from-- {
		switch above := s.line(from - 1); {
		case s.underCredential[from] != unknown:
			is = s.underCredential[from]
		case from <= 0 || topLevelKey.MatchString(s.line(from)):
			is = no
		case len(above) > maxUnread || credentialKey.MatchString(above) || Redact(above) != above:
			is = yes
		}
	}
	for i := from + 1; i <= number; i++ {
		s.underCredential[i] = is
	}
	return is == yes
}
