package cloudevent

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"
)

// The prefixes of attributes among the headers of a message in binary mode.
const (
	HTTPPrefix  = "ce-"
	KafkaPrefix = "ce_"
)

// FromHeaders sets e from the headers of a message in binary mode: the names that begin
// with prefix, in any case, and content-type. It returns false and empties e if there is
// no specversion among them: the message is then not a CloudEvent in binary mode. The
// caller first checks with ModeDetector that it is not one in another mode.
//
// With HTTPPrefix, values are decoded as by DecodeHeader; otherwise they are taken as
// they are. It is an error, and empties e, if a header occurs twice, if a name,
// specversion, content type or time is not valid, if a core attribute is empty, or if a
// value is not UTF-8. The bindings use content-type in place of an attribute
// datacontenttype; that one is accepted if it is equal or if it is the only one.
// Everything that e held before is removed, as in ParseJSON. The caller sets data and
// key. Validate checks the required attributes.
func FromHeaders(prefix string, headers iter.Seq2[string, []byte], e *Event) (bool, error) {
	b := newBuilder(e)
	found, err := b.headers(prefix, headers)
	if err != nil || !found {
		*e = Event{}
	}
	return found && err == nil, err
}

func (b *builder) headers(prefix string, headers iter.Seq2[string, []byte]) (bool, error) {
	var contentType []byte
	seen := false
	for name, value := range headers {
		switch {
		case len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix):
			if err := b.header(strings.ToLower(name[len(prefix):]), value, prefix == HTTPPrefix); err != nil {
				return false, err
			}
		case strings.EqualFold(name, contentTypeHeader):
			if seen {
				return false, errors.New("header content-type occurs twice")
			}
			contentType, seen = value, true
		}
	}
	if !b.finish() || !seen {
		return b.finish(), nil
	}
	if own := b.e.DataContentType; own != "" {
		if own == string(contentType) {
			return true, nil
		}
		if !sameType(own, string(contentType)) {
			return false, fmt.Errorf("%sdatacontenttype and content-type differ: leave the first one out", prefix)
		}
		b.e.DataContentType = string(contentType)
		return true, nil
	}
	return true, b.header("datacontenttype", contentType, false)
}

// header sets one attribute.
func (b *builder) header(name string, value []byte, encoded bool) error {
	if string(value) == plainJSON { // no allocation
		return b.set(name, plainJSON)
	}
	s := string(value)
	var err error
	if encoded {
		s, err = DecodeHeader(s)
	} else if !utf8.ValidString(s) {
		err = errHeaderUTF8
	}
	if err != nil {
		return fmt.Errorf("attribute %.64q: %w", name, err)
	}
	return b.set(name, s)
}

var errHeaderUTF8 = errors.New("the value is not UTF-8")

// AppendHeaders appends the attributes of e as header lines of the HTTP binary mode,
// "ce-id: 42\r\n". It is the same as Attributes with HTTPPrefix and EncodeHeader, but
// allocates only to grow dst.
func (e *Event) AppendHeaders(dst []byte) []byte {
	dst = append(dst, HTTPPrefix+"specversion: "+SpecVersion+"\r\n"...)
	dst = appendLine(dst, HTTPPrefix+"id", e.ID)
	dst = appendLine(dst, HTTPPrefix+"source", e.Source)
	dst = appendLine(dst, HTTPPrefix+"type", e.Type)
	dst = appendLine(dst, HTTPPrefix+"subject", e.Subject)
	dst = appendLine(dst, HTTPPrefix+"dataschema", e.DataSchema)
	if !e.Time.IsZero() {
		dst = append(dst, HTTPPrefix+"time: "...)
		dst = append(appendTime(dst, e.Time), "\r\n"...)
	}
	for i := range e.Extensions {
		dst = append(dst, HTTPPrefix...)
		dst = append(dst, e.Extensions[i].Name...)
		dst = append(dst, ": "...)
		dst = append(dst, EncodeHeader(e.Extensions[i].Value)...)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

func appendLine(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, EncodeHeader(value)...)
	return append(dst, "\r\n"...)
}

const upperHex = "0123456789ABCDEF"

// EncodeHeader encodes an attribute value for an HTTP header, by section 3.1.3.2 of the
// HTTP binding: space, double quote, percent and everything that is not printable ASCII
// is percent-encoded as UTF-8. Other values are returned unchanged. The result holds no
// byte that could end the header.
func EncodeHeader(value string) string {
	i := 0
	for i < len(value) && plainInHeader(value[i]) {
		i++
	}
	if i == len(value) {
		return value
	}
	value = text([]byte(value))
	b := make([]byte, 0, len(value)+16)
	for i := 0; i < len(value); i++ {
		if c := value[i]; plainInHeader(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(b)
}

func plainInHeader(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '%' }

// DecodeHeader reverses EncodeHeader, in the order of the binding: it unquotes a value in
// double quotes, and then decodes percent-encoding once. A percent sign that begins no
// escape is kept. A result that is not UTF-8 is an error, as the binding demands: it
// could be the id of more than one event.
func DecodeHeader(value string) (string, error) {
	if strings.ContainsAny(value, `"%`) {
		value = decodeHeader(value)
	}
	if !utf8.ValidString(value) {
		return "", errHeaderUTF8
	}
	return value, nil
}

func decodeHeader(value string) string {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		value = unescapeQuoted(value[1 : n-1])
	}
	b := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		if value[i] == '%' && i+2 < len(value) {
			hi, lo := unhex(value[i+1]), unhex(value[i+2])
			if hi < 16 && lo < 16 {
				b = append(b, hi<<4|lo)
				i += 2
				continue
			}
		}
		b = append(b, value[i])
	}
	return string(b)
}

// unescapeQuoted removes the backslashes of an RFC 7230 quoted string.
func unescapeQuoted(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// unhex returns the value of a hexadecimal digit, or 16.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	default:
		return 16
	}
}
