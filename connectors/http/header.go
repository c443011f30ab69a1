package http

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/lsm/fiso/common/config"
)

// ownHeaders are set by the sink or belong to one hop of the connection. Changing them
// would break the framing or the identity of an event.
var ownHeaders = []string{
	"connection", "content-length", "content-type", "expect", "host", "idempotency-key", "keep-alive",
	"proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "traceparent",
	"tracestate", "transfer-encoding", "upgrade",
}

// validateHeaders checks the configured headers. taken is the header that carries the
// credential.
func validateHeaders(headers map[string]string, taken string) []error {
	var faults []error
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		key, lower := "headers."+name, strings.ToLower(name)
		if err := checkHeaderName(key, name); err != nil {
			faults = append(faults, err)
			continue
		}
		if other, ok := seen[lower]; ok {
			faults = append(faults, config.Fault(key, "the header is set twice, also as %s; leave one of the two out", other))
		}
		seen[lower] = name
		if strings.EqualFold(name, taken) {
			faults = append(faults, config.Fault(key, "auth sets this header already; leave one of the two out"))
		}
		if !validFieldValue(headers[name]) {
			faults = append(faults, config.Fault(key, "the value holds a line break or another control character"))
		}
	}
	return faults
}

// CheckHeader returns nil if SinkOptions.Headers may set a header of that name, else a
// config.Fault of key.
func (c *SinkConfig) CheckHeader(key, name string) error {
	if err := checkHeaderName(key, name); err != nil {
		return err
	}
	if strings.EqualFold(name, c.Auth.headerName()) {
		return config.Fault(key, "auth sets this header already; leave one of the two out")
	}
	for other := range c.Headers {
		if strings.EqualFold(other, name) {
			return config.Fault(key, "headers sets this header already; leave one of the two out")
		}
	}
	return nil
}

func checkHeaderName(key, name string) error {
	lower := strings.ToLower(name)
	switch {
	case !validToken(name):
		return config.Fault(key, "not a header name; use letters, digits and -")
	case slices.Contains(ownHeaders, lower), strings.HasPrefix(lower, "ce-"):
		return config.Fault(key, "this header is set by the sink itself and cannot be changed")
	}
	return nil
}

// validToken reports whether s is a header name (RFC 9110, token).
func validToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// validFieldValue reports whether s may be sent as a header value unchanged.
func validFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// CheckHeaderValue returns an error if value cannot be sent in a header unchanged. The
// sink refuses an event with such a value from SinkOptions.Headers.
func CheckHeaderValue(value []byte) error {
	if validFieldValue(string(value)) {
		return nil
	}
	return errors.New("the value holds a line break or another control character")
}

// validTarget reports whether s may be sent in a request line.
func validTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

// plainHost reports whether s may be sent in a Host header. url.Parse lets some bytes
// pass in a host that only a resolver would refuse.
func plainHost(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("-._:[]%", rune(c)) {
			return false
		}
	}
	return s != ""
}

func appendHeader(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}
