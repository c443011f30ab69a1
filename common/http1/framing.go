package http1

import (
	"strconv"
	"strings"
)

// maxFields bounds the fields of a head or a trailer.
const maxFields = 256

// side is the sender of a message.
type side uint8

const (
	ofClient side = iota
	ofServer
)

// framing is what a head says about the body that follows and about the connection.
type framing struct {
	length  int64 // -1: none is given
	chunked bool
	close   bool // the connection ends with this message
	keep    bool // an HTTP/1.0 connection stays open
}

// line cuts the first line off a head. A line of an answer may end in a bare line feed
// (RFC 9112, section 2.2).
func line(head string, of side) (first, rest string, bare bool, err error) {
	i := strings.IndexByte(head, '\n')
	if i > 0 && head[i-1] == '\r' {
		return head[:i-1], head[i+1:], false, nil
	}
	if i < 0 || of == ofClient {
		return "", "", false, errBare
	}
	return head[:i], head[i+1:], true, nil
}

// fields parses header fields up to the empty line. Content-Length and
// Transfer-Encoding go into the framing instead of the header, and Host into *host
// unless host is nil.
//
// Bare line feeds and folded lines are refused in a request, because readers disagree
// about them. In an answer they are read as RFC 9112 says (sections 2.2 and 5.2), and
// the connection is closed after it.
func fields(head string, into Header, of side, host *string) (h Header, f framing, err error) {
	f.length = -1
	h = into
	hosts, odd := 0, false
	for {
		var text string
		var bare bool
		if text, head, bare, err = line(head, of); err != nil {
			return nil, f, err
		}
		if text == "" {
			odd = odd || bare
			break
		}
		if of == ofServer {
			var folded bool
			text, head, folded = unfold(text, head)
			odd = odd || bare || folded
		}
		if len(h) >= maxFields {
			return nil, f, errFields
		}
		name, value, err := field(text, of)
		if err != nil {
			return nil, f, err
		}
		switch {
		case Same(name, "content-length"):
			if err := f.contentLength(value, of); err != nil {
				return nil, f, err
			}
			continue
		case Same(name, "transfer-encoding"):
			if f.chunked || !Same(value, "chunked") {
				return nil, f, errCoding
			}
			f.chunked = true
			continue
		case host != nil && Same(name, "host"):
			hosts++
			*host = value
			continue
		}
		h = append(h, Field{Name: name, Value: value})
	}
	if f.chunked && f.length >= 0 {
		return nil, f, errTwoFrames
	}
	if host != nil && (hosts != 1 || !IsHost(*host)) {
		return nil, f, errHost
	}
	f.close, f.keep = odd || h.HasToken("Connection", "close"), h.HasToken("Connection", "keep-alive")
	return h, f, nil
}

// unfold joins a line with the lines that continue it.
func unfold(text, head string) (whole, rest string, folded bool) {
	for text != "" && !startsWithSpace(text) && startsWithSpace(head) {
		more, after, _, err := line(head, ofServer)
		if err != nil {
			break
		}
		text, head, folded = strings.TrimRight(text, " \t")+" "+strings.Trim(more, " \t"), after, true
	}
	return text, head, folded
}

func startsWithSpace(s string) bool { return s != "" && (s[0] == ' ' || s[0] == '\t') }

// contentLength stores a Content-Length. A second one is refused in a request even if
// it is equal, because a reader behind us may use either.
func (f *framing) contentLength(value string, of side) error {
	n, err := strconv.ParseUint(value, 10, 63)
	length := int64(n) //nolint:gosec // G115: 63 bits
	if err != nil || length >= maxLength || f.length >= 0 && (of == ofClient || length != f.length) {
		return errLength
	}
	f.length = length
	return nil
}

// maxLength bounds a Content-Length, far from any overflow.
const maxLength = 1e18

// field parses one line of a header. Space before the colon is refused in a request
// and removed from an answer (RFC 9112, section 5.1).
func field(text string, of side) (name, value string, err error) {
	if startsWithSpace(text) {
		return "", "", errFold
	}
	name, value, ok := strings.Cut(text, ":")
	if of == ofServer {
		name = strings.TrimRight(name, " \t")
	}
	if !ok || name == "" || !allIn(&isToken, name) {
		return "", "", errName
	}
	if value = strings.Trim(value, " \t"); !allIn(&isValue, value) {
		return "", "", errValue
	}
	return name, value, nil
}
