package proxy

import (
	"slices"
	"strings"
)

// The grammar is that of W3C Trace Context, level 2, section 3.3. Parsers of
// level 1, that of OpenTelemetry among them, take fewer keys, and drop a whole
// tracestate for a key that stands there twice; so what a call came with is
// carried on by us.

const (
	stateMembers = 32
	stateKey     = 256
	stateValue   = 256
)

// validState is a tracestate as it goes on: without members that are empty, and
// without a second one of a key. "": it is not valid, and is to be dropped whole.
func validState(s string) string {
	var room [stateMembers]string
	keys := room[:0]
	var b strings.Builder
	for member := range strings.SplitSeq(s, ",") {
		member = strings.Trim(member, " \t")
		if member == "" {
			continue
		}
		key, value, _ := strings.Cut(member, "=")
		switch {
		case !isStateKey(key) || !isStateValue(value):
			return ""
		case slices.Contains(keys, key):
			continue // the first is the latest
		case len(keys) == stateMembers:
			return ""
		}
		keys = append(keys, key)
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(member)
	}
	return b.String()
}

func isStateKey(key string) bool {
	if key == "" || len(key) > stateKey || !lowerOrDigit(key[0]) {
		return false
	}
	for i := range len(key) {
		if !lowerOrDigit(key[i]) && !strings.ContainsRune("_-*/@", rune(key[i])) {
			return false
		}
	}
	return true
}

func lowerOrDigit(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// isStateValue reports whether a value, without the space behind it, is valid.
func isStateValue(value string) bool {
	if value == "" || len(value) > stateValue {
		return false
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '=' {
			return false
		}
	}
	return true
}
