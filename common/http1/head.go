package http1

import (
	"bytes"
	"strings"
)

// Fault is a message that breaks the rules, unlike a connection that breaks.
// Its text goes to whoever sent it, and quotes nothing.
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

// maxFields bounds the fields of a head or a trailer.
const maxFields = 256

// octets are classes of bytes in a head.
var (
	isToken   [256]bool // RFC 9110, section 5.6.2
	isValue   [256]bool // of a field: visible, space, tab, and bytes beyond ASCII
	isTarget  [256]bool // visible ASCII but "#"
	isQuery   [256]bool // the same, and bytes beyond ASCII, which callers leave as they are
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

// headEnd is the length of the head that buf begins with, its empty line
// included; 0 while it is not whole. from is how much was looked at before.
func headEnd(buf []byte, from int) int {
	for i := max(from-3, 0); ; i++ {
		next := bytes.IndexByte(buf[i:], '\n')
		if next < 0 {
			return 0
		}
		i += next
		// An empty line, however it ends: what is wrong with it is found by
		// who reads the lines.
		rest := buf[i+1:]
		switch {
		case len(rest) > 0 && rest[0] == '\n':
			return i + 2
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return i + 3
		}
	}
}

// line takes a line off a head. One of an answer may end in a bare line feed (RFC 9112,
// section 2.2).
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

// framing is what a head says of the body that follows.
type framing struct {
	length  int64 // -1: none is given
	chunked bool
	close   bool // the connection ends with this message
	keep    bool // the connection stays, of HTTP/1.0
}

// fields reads header fields up to the empty line. Content-Length and
// Transfer-Encoding are taken out and understood; Host too where one is asked for.
//
// What only some readers understand, or all of them in one way only if they know the
// RFC, is refused in a request. In an answer it is taken as the RFC says, and no other
// answer is read from the connection: bare line feeds, and folded lines (RFC 9112,
// section 5.2).
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
		switch known(name) {
		case contentLength:
			if err := f.contentLength(value, of); err != nil {
				return nil, f, err
			}
			continue
		case transferEncoding:
			if f.chunked || !Same(value, "chunked") {
				return nil, f, errCoding
			}
			f.chunked = true
			continue
		case hostField:
			if host != nil {
				hosts++
				*host = value
				continue
			}
		case connection:
			f.connection(value)
		}
		h = append(h, Field{Name: name, Value: value})
	}
	if f.chunked && f.length >= 0 {
		return nil, f, errTwoFrames
	}
	if host != nil && (hosts != 1 || !allIn(&isHostish, *host)) {
		return nil, f, errHost
	}
	f.close = f.close || odd
	return h, f, nil
}

// unfold joins a line with those that continue it.
func unfold(text, head string) (whole, rest string, folded bool) {
	for text != "" && text[0] != ' ' && text[0] != '\t' && head != "" && (head[0] == ' ' || head[0] == '\t') {
		more, after, _, err := line(head, ofServer)
		if err != nil {
			break
		}
		text, head, folded = strings.TrimRight(text, " \t")+" "+strings.Trim(more, " \t"), after, true
	}
	return text, head, folded
}

// contentLength takes note of one. Twice is refused in a request even where both are
// the same: which one is read, and which goes on?
func (f *framing) contentLength(value string, of side) error {
	n, err := decimal(value)
	if err != nil || f.length >= 0 && (of == ofClient || n != f.length) {
		return errLength
	}
	f.length = n
	return nil
}

func (f *framing) connection(value string) {
	for member := range strings.SplitSeq(value, ",") {
		switch member = strings.Trim(member, " \t"); {
		case Same(member, "close"):
			f.close = true
		case Same(member, "keep-alive"):
			f.keep = true
		}
	}
}

// side is the sender of a message.
type side uint8

const (
	ofClient side = iota
	ofServer
)

// field reads one line of a header. Space before the colon is refused in a request
// and removed from an answer (RFC 9112, section 5.1).
func field(text string, of side) (name, value string, err error) {
	if text[0] == ' ' || text[0] == '\t' {
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

type knownField uint8

const (
	other knownField = iota
	contentLength
	transferEncoding
	hostField
	connection
)

func known(name string) knownField {
	switch len(name) {
	case 4:
		if Same(name, "host") {
			return hostField
		}
	case 10:
		if Same(name, "connection") {
			return connection
		}
	case 14:
		if Same(name, "content-length") {
			return contentLength
		}
	case 17:
		if Same(name, "transfer-encoding") {
			return transferEncoding
		}
	}
	return other
}

// decimal reads a Content-Length: digits and nothing else, no sign, no list.
func decimal(s string) (int64, error) {
	if s == "" {
		return -1, errLength
	}
	if s = strings.TrimLeft(s, "0"); len(s) > 18 {
		return -1, errLength
	}
	var n int64
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return -1, errLength
		}
		n = 10*n + int64(s[i]-'0')
	}
	return n, nil
}

// requestHead is the head of a request, understood.
type requestHead struct {
	method, target, host string
	minor                int // of HTTP/1
	header               Header
	framing
}

// parseRequest reads a whole head. into is reused for the fields.
func parseRequest(head string, into Header) (r requestHead, err error) {
	first, rest, _, err := line(head, ofClient)
	if err != nil {
		return r, err
	}
	var version string
	var ok1, ok2 bool
	r.method, version, ok1 = strings.Cut(first, " ")
	r.target, version, ok2 = strings.Cut(version, " ")
	switch {
	case !ok1 || !ok2 || r.method == "":
		return r, errLine
	case version == "HTTP/1.1":
		r.minor = 1
	case version != "HTTP/1.0":
		return r, errVersion
	}
	if !allIn(&isToken, r.method) {
		return r, errMethod
	}
	// Absolute, authority and asterisk forms too. CONNECT has no path, and
	// would make the target's answer a tunnel.
	if !IsTarget(r.target) || r.method == "CONNECT" {
		return r, errTarget
	}
	// HTTP/1.0 may come without a Host, but not to us: it decides who is let in.
	if r.header, r.framing, err = fields(rest, into, ofClient, &r.host); err != nil {
		return r, err
	}
	if r.chunked && r.minor == 0 {
		return r, errCoding
	}
	return r, nil
}

// answerHead is the head of an answer, understood.
type answerHead struct {
	status    int
	minor     int
	header    Header // without what ends with the connection
	announced string // of the trailer
	upgrade   string
	framing
}

func parseAnswer(head string) (a answerHead, err error) {
	first, rest, bare, err := line(head, ofServer)
	if err != nil {
		return a, err
	}
	version, after, ok := strings.Cut(first, " ")
	switch {
	case !ok:
		return a, errLine
	case version == "HTTP/1.1":
		a.minor = 1
	case version != "HTTP/1.0":
		return a, errVersion
	}
	code, reason, _ := strings.Cut(after, " ")
	if len(code) != 3 || code[0] < '1' || code[0] > '9' {
		return a, errStatus
	}
	status := 0
	for i := range 3 {
		if code[i] < '0' || code[i] > '9' {
			return a, errStatus
		}
		status = 10*status + int(code[i]-'0')
	}
	if !allIn(&isValue, reason) {
		return a, errValue
	}
	a.status = status
	h, f, err := fields(rest, make(Header, 0, strings.Count(rest, "\n")), ofServer, nil)
	if err == nil && f.chunked && a.minor == 0 {
		err = errCoding
	}
	if err != nil {
		return a, err
	}
	a.framing = f
	a.close = a.close || bare
	a.upgrade = h.Get("Upgrade") // before EndToEnd takes it out, which it does in place
	if a.chunked {
		a.announced = h.Announced(nil) // the same
	}
	a.header = EndToEnd(h)
	return a, nil
}
