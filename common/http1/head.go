package http1

import (
	"bytes"
	"strconv"
	"strings"
)

// Fault is a message that breaks the rules of HTTP. The text is sent to the peer, so it
// quotes nothing of the message.
type Fault string

func (f Fault) Error() string { return string(f) }

// Faults of heads.
const (
	errLine      = Fault("the first line is not that of an HTTP/1.1 message")
	errVersion   = Fault("the version is not HTTP/1.1 or HTTP/1.0")
	errMethod    = Fault("the method is not a token")
	errTarget    = Fault("the request target is not a path: only /path?query is served here")
	errBare      = Fault("a line ends in something else than a carriage return and a line feed")
	errFold      = Fault("a header line begins with space: folded lines are not allowed")
	errName      = Fault("the name of a header field is not a token")
	errValue     = Fault("the value of a header field has a control character")
	errFields    = Fault("there are more than 256 header fields")
	errStatus    = Fault("the status is not a number of three digits")
	errLength    = Fault("Content-Length is not one decimal number")
	errTwoFrames = Fault("the message has both Content-Length and Transfer-Encoding")
	errCoding    = Fault("Transfer-Encoding is not chunked, once")
	errFraming   = Fault("Host, Connection, Content-Length and Transfer-Encoding are the transport's own")
	errHost      = Fault("Host is missing, is there twice, or is no host")
)

// headEnd is the length of the head at the start of buf, with its empty line, or 0
// if the head is not complete. The first from bytes were searched before.
func headEnd(buf []byte, from int) int {
	for i := max(from-3, 0); ; i++ {
		next := bytes.IndexByte(buf[i:], '\n')
		if next < 0 {
			return 0
		}
		i += next
		// The empty line may end in a bare line feed; the parser refuses that where
		// it must.
		rest := buf[i+1:]
		switch {
		case len(rest) > 0 && rest[0] == '\n':
			return i + 2
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return i + 3
		}
	}
}

// requestHead is the parsed head of a request.
type requestHead struct {
	method, target, host string
	minor                int // of HTTP/1
	header               Header
	framing
}

// parseRequest parses a complete head. The fields are appended to into.
func parseRequest(head string, into Header) (r requestHead, err error) {
	first, rest, _, err := line(head, ofClient)
	if err != nil {
		return r, err
	}
	method, after, ok1 := strings.Cut(first, " ")
	target, version, ok2 := strings.Cut(after, " ")
	if !ok1 || !ok2 || method == "" {
		return r, errLine
	}
	r.method, r.target = method, target
	if r.minor, err = minorVersion(version); err != nil {
		return r, err
	}
	if !IsMethod(method) {
		return r, errMethod
	}
	// This refuses the absolute, authority and asterisk forms too. CONNECT would make
	// the answer a tunnel.
	if !IsTarget(target) || method == "CONNECT" {
		return r, errTarget
	}
	// Host is required in HTTP/1.0 as well, because it decides who is let in.
	if r.header, r.framing, err = fields(rest, into, ofClient, &r.host); err != nil {
		return r, err
	}
	if r.chunked && r.minor == 0 {
		return r, errCoding
	}
	return r, nil
}

func minorVersion(version string) (int, error) {
	switch version {
	case "HTTP/1.1":
		return 1, nil
	case "HTTP/1.0":
		return 0, nil
	}
	return 0, errVersion
}

// answerHead is the parsed head of an answer.
type answerHead struct {
	status    int
	minor     int
	header    Header // without hop-by-hop fields
	announced string // the field names that Trailer lists
	upgrade   string
	framing
}

func parseAnswer(head string) (a answerHead, err error) {
	first, rest, bare, err := line(head, ofServer)
	if err != nil {
		return a, err
	}
	version, after, ok := strings.Cut(first, " ")
	if !ok {
		return a, errLine
	}
	if a.minor, err = minorVersion(version); err != nil {
		return a, err
	}
	code, reason, _ := strings.Cut(after, " ")
	a.status, err = strconv.Atoi(code)
	if err != nil || len(code) != 3 || code[0] < '1' || code[0] > '9' {
		return a, errStatus
	}
	if !allIn(&isValue, reason) {
		return a, errValue
	}
	h, f, err := fields(rest, make(Header, 0, strings.Count(rest, "\n")), ofServer, nil)
	if err == nil && f.chunked && a.minor == 0 {
		err = errCoding
	}
	if err != nil {
		return a, err
	}
	a.framing = f
	a.close = a.close || bare
	a.upgrade = h.Get("Upgrade") // EndToEnd removes it
	if a.chunked {
		a.announced = h.Announced(nil) // EndToEnd removes Trailer, too
	}
	a.header = EndToEnd(h)
	return a, nil
}
