package http1

import (
	"errors"
	"net"
	"strings"
)

// What HTTP/2 has in common with HTTP/1.1: one reading of both, so that nothing
// passes by one protocol that would not pass by the other.

// IsMethod reports whether s is a method.
func IsMethod(s string) bool { return s != "" && allIn(&isToken, s) }

// IsTarget reports whether s is a request target in origin-form. Bytes beyond ASCII
// may stand in its query, which goes on byte for byte, and not in its path.
func IsTarget(s string) bool {
	path, query, _ := strings.Cut(s, "?")
	return path != "" && path[0] == '/' && allIn(&isTarget, path) && allIn(&isQuery, query)
}

// IsHost reports whether s has only the octets of a host and a port.
func IsHost(s string) bool { return allIn(&isHostish, s) }

// Plain is an error without the addresses that net adds, which change with every
// connection.
func Plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}

// HopByHop reports whether a field ends with its connection, framing included.
func HopByHop(name string) bool {
	return hopByHop(name) || Same(name, "transfer-encoding") || Same(name, "http2-settings")
}

// hopByHop are fields that end with this connection.
func hopByHop(name string) bool {
	switch len(name) {
	case 2:
		return Same(name, "te")
	case 7:
		return Same(name, "upgrade") || Same(name, "trailer")
	case 10:
		return Same(name, "connection") || Same(name, "keep-alive")
	case 16:
		return Same(name, "proxy-connection")
	case 18:
		return Same(name, "proxy-authenticate")
	}
	return false
}

// EndToEnd removes, in place, the fields that end with their connection, and those that Connection names.
func EndToEnd(h Header) Header {
	var room [4]string
	named := room[:0]
	for member := range h.Tokens("Connection") {
		named = append(named, member)
	}
	kept := h[:0]
next:
	for _, f := range h {
		if hopByHop(f.Name) {
			continue
		}
		for _, n := range named {
			if Same(f.Name, n) {
				continue next
			}
		}
		kept = append(kept, f)
	}
	return kept
}
