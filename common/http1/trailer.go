package http1

import "strings"

// notLate are fields that have no place in a trailer (RFC 9110, section 6.5.1): they
// decide how a message is framed, routed, let in or understood, and a server that
// merges a trailer into the header would believe them although nothing has checked
// them. Of those about the content, digests go on: they are what trailers are for.
var notLate = []string{
	"connection", "host", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	"content-disposition", "content-encoding", "content-language", "content-length", "content-location", "content-range", "content-type",
	"authorization", "proxy-authorization", "cookie", "set-cookie", "www-authenticate", "location", "origin",
	"expect", "range", "max-forwards", "cache-control", "pragma", "forwarded",
}

// MayBeLate reports whether a field may stand in a trailer.
func MayBeLate(name string) bool {
	for _, family := range [...]string{"if-", "x-forwarded-", "content-security-"} {
		if len(name) > len(family) && Same(name[:len(family)], family) {
			return false
		}
	}
	for _, n := range notLate {
		if Same(name, n) {
			return false
		}
	}
	return true
}

// Announced is what a header says of the fields that will come in the trailer
// (RFC 9110, section 6.6.2), without those that will not go on; "": nothing.
func (h Header) Announced(goesOn func(name string) bool) string {
	var list []string
	for name := range h.Tokens("Trailer") {
		if MayBeLate(name) && (goesOn == nil || goesOn(name)) {
			list = append(list, name)
		}
	}
	return strings.Join(list, ", ")
}
