package http1

import (
	"strings"
)

// What HTTP/2 has in common with HTTP/1.1: one reading of both, so that nothing
// passes by one protocol that would not pass by the other.

// IsMethod reports whether s is a method.
func IsMethod(s string) bool { return s != "" && all(&isToken, s) }

// IsTarget reports whether s is a request target in origin-form. Bytes beyond ASCII
// may stand in its query, which goes on byte for byte, and not in its path.
func IsTarget(s string) bool {
	path, query, _ := strings.Cut(s, "?")
	return path != "" && path[0] == '/' && all(&isTarget, path) && all(&isQuery, query)
}

// IsHost reports whether s has only the octets of a host and a port.
func IsHost(s string) bool { return all(&isHostish, s) }

// HopByHop reports whether a field ends with its connection, framing included.
func HopByHop(name string) bool {
	return hopByHop(name) || Same(name, "transfer-encoding") || Same(name, "http2-settings")
}

// EndToEnd removes, in place, the fields that end with their connection, and those
// that Connection names.
func EndToEnd(h Header) Header { return endToEnd(h) }

// LateFields removes, in place, what has no place in a trailer.
func LateFields(trailer Header) Header { return lateFields(trailer) }

// Fit refuses a request that cannot be said in HTTP without being read as another.
func Fit(out *Outgoing) error { return fit(out) }

// Plain is an error without the addresses that net adds, which change with every
// connection.
func Plain(err error) error { return plain(err) }
