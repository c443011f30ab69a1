package cloudevent

import (
	"maps"
	"mime"
	"strings"
)

// Content types of the structured and the batched mode in JSON.
const (
	ContentTypeJSON  = "application/cloudevents+json"
	ContentTypeBatch = "application/cloudevents-batch+json"
)

const plainJSON = "application/json"

// IsJSON reports whether a content type is JSON: a subtype json or …+json in any case,
// with any parameters.
func IsJSON(contentType string) bool {
	if contentType == plainJSON { // the usual case
		return true
	}
	_, subtype, _ := strings.Cut(mediaType(contentType), "/")
	const suffix = "+json"
	return strings.EqualFold(subtype, "json") ||
		len(subtype) > len(suffix) && strings.EqualFold(subtype[len(subtype)-len(suffix):], suffix)
}

// isText reports whether a content type is text/*, with any charset.
func isText(contentType string) bool { return hasPrefixFold(contentType, "text/") }

// mediaType returns a content type without its parameters.
func mediaType(contentType string) string {
	if i := strings.IndexByte(contentType, ';'); i >= 0 {
		contentType = contentType[:i]
	}
	return strings.TrimSpace(contentType)
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// inUTF8 reports whether a content type names no charset other than UTF-8.
func inUTF8(contentType string) bool {
	if strings.IndexByte(contentType, ';') < 0 || isUsual(contentType) {
		return true
	}
	_, params, err := mime.ParseMediaType(contentType)
	return err == nil && isUTF8(params["charset"])
}

// isUsual reports whether s is one of the few content types with a parameter that nearly
// all senders use, which need no parser.
func isUsual(s string) bool {
	switch s {
	case "application/json; charset=utf-8", "application/json;charset=utf-8", "text/plain; charset=utf-8", "text/plain;charset=utf-8",
		"application/json; charset=UTF-8", "application/json;charset=UTF-8", "text/plain; charset=UTF-8", "text/plain;charset=UTF-8":
		return true
	}
	return false
}

// isUTF8 reports whether a charset is UTF-8 or a subset of it. Many senders write "utf8".
func isUTF8(charset string) bool {
	for _, name := range [...]string{"", "utf-8", "utf8", "us-ascii"} {
		if strings.EqualFold(charset, name) {
			return true
		}
	}
	return false
}

// sameType reports whether two content types are equal but for a charset of UTF-8, which
// HTTP libraries append.
func sameType(a, b string) bool {
	kind, params, err := mime.ParseMediaType(a)
	other, others, otherErr := mime.ParseMediaType(b)
	if err != nil || otherErr != nil || !isUTF8(params["charset"]) || !isUTF8(others["charset"]) {
		return false
	}
	delete(params, "charset")
	delete(others, "charset")
	return kind == other && maps.Equal(params, others)
}

// ValidContentType reports whether s is a media type by RFC 2046: type, slash, subtype
// and parameters.
func ValidContentType(s string) bool {
	if s == plainJSON || isUsual(s) {
		return true
	}
	kind, subtype, ok := strings.Cut(mediaType(s), "/")
	if !ok || !isToken(kind) || !isToken(subtype) {
		return false
	}
	if strings.IndexByte(s, ';') < 0 {
		return true
	}
	_, _, err := mime.ParseMediaType(s)
	return err == nil
}

// isToken reports whether s is a token by RFC 2045.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
