package http1

import (
	"slices"
	"strings"
)

// hopByHop are the fields that concern one connection only.
var hopByHop = []string{"connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "upgrade"}

// HopByHop reports whether a field must not be forwarded, framing included.
func HopByHop(name string) bool {
	return isOneOf(hopByHop, name) || Same(name, "transfer-encoding") || Same(name, "http2-settings")
}

func isOneOf(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return Same(n, name) })
}

// EndToEnd removes hop-by-hop fields, and those that Connection names, in place.
func EndToEnd(h Header) Header {
	var room [4]string
	named := room[:0]
	for member := range h.Tokens("Connection") {
		named = append(named, member)
	}
	return slices.DeleteFunc(h, func(f Field) bool { return isOneOf(hopByHop, f.Name) || isOneOf(named, f.Name) })
}

// notLate are fields that are not allowed in a trailer (RFC 9110, section 6.5.1): they
// decide about framing, routing, access or content, and a server that merges trailers
// into headers would use them although nobody checked them. Digests are allowed.
var notLate = []string{
	"connection", "host", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	"content-disposition", "content-encoding", "content-language", "content-length", "content-location", "content-range", "content-type",
	"authorization", "proxy-authorization", "cookie", "set-cookie", "www-authenticate", "location", "origin",
	"expect", "range", "max-forwards", "cache-control", "pragma", "forwarded",
}

// MayBeLate reports whether a field is allowed in a trailer.
func MayBeLate(name string) bool {
	for _, family := range [...]string{"if-", "x-forwarded-", "content-security-"} {
		if len(name) > len(family) && Same(name[:len(family)], family) {
			return false
		}
	}
	return !isOneOf(notLate, name)
}

// Announced lists the names in the Trailer field (RFC 9110, section 6.6.2) that are
// allowed in a trailer and that goesOn, if not nil, accepts.
func (h Header) Announced(goesOn func(name string) bool) string {
	var list []string
	for name := range h.Tokens("Trailer") {
		if MayBeLate(name) && (goesOn == nil || goesOn(name)) {
			list = append(list, name)
		}
	}
	return strings.Join(list, ", ")
}

// LateFields removes the fields that are not allowed in a trailer, in place.
func LateFields(trailer Header) Header {
	return slices.DeleteFunc(EndToEnd(trailer), func(f Field) bool { return !MayBeLate(f.Name) || fitField(f) != nil })
}
