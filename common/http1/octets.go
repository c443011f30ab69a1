package http1

import "strings"

// Classes of bytes in a head.
var (
	isToken   [256]bool // RFC 9110, section 5.6.2
	isValue   [256]bool // of a field: visible, space, tab, and bytes beyond ASCII
	isTarget  [256]bool // visible ASCII but "#"
	isQuery   [256]bool // isTarget, and bytes beyond ASCII, which many clients do not escape
	isHostish [256]bool // of a Host field
)

func init() {
	for c := range 256 {
		isValue[c] = c >= 0x20 && c != 0x7f || c == '\t'
		isTarget[c] = c > 0x20 && c < 0x7f && c != '#'
		isQuery[c] = isTarget[c] || c >= 0x80
		letter := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		isToken[c] = letter || c < 0x80 && strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0
		isHostish[c] = letter || c < 0x80 && strings.IndexByte("-._~:[]", byte(c)) >= 0
	}
}

func allIn(class *[256]bool, s string) bool {
	for i := 0; i < len(s); i++ {
		if !class[s[i]] {
			return false
		}
	}
	return true
}

// IsMethod reports whether s is a method.
func IsMethod(s string) bool { return s != "" && allIn(&isToken, s) }

// IsTarget reports whether s is a request target in origin-form. Its query may hold
// bytes beyond ASCII, its path may not.
func IsTarget(s string) bool {
	path, query, _ := strings.Cut(s, "?")
	return path != "" && path[0] == '/' && allIn(&isTarget, path) && allIn(&isQuery, query)
}

// IsHost reports whether s has only the octets of a host and a port.
func IsHost(s string) bool { return allIn(&isHostish, s) }
