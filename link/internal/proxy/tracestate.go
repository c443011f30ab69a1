package proxy

import (
	"slices"
	"strings"
)

// The grammar is W3C Trace Context, level 2, section 3.3. Parsers of level 1, such as
// OpenTelemetry's, accept fewer keys, and drop a whole tracestate because of a
// duplicate key, so the proxy forwards the tracestate itself.

const (
	stateMembers = 32
	stateKey     = 256
	stateValue   = 256
)

// validState returns a tracestate to forward, without empty members and without
// repeated keys. "": it is invalid and must be dropped.
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

// isStateValue reports whether a value, without trailing space, is valid.
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
