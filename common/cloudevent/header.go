package cloudevent

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"
)

// The prefixes that mark an attribute among the headers of a message in binary
// mode.
const (
	HTTPPrefix  = "ce-"
	KafkaPrefix = "ce_"
)

// FromHeaders fills e with the attributes that the headers of a message in
// binary mode carry: names that begin with prefix, in any case, and
// content-type. It reports false, with e empty, when there is no specversion
// among them: the message is no CloudEvent in binary mode. That it is none in
// another mode is for Signs to say, before.
//
// Values under HTTPPrefix are decoded as by DecodeHeader; any other are taken
// as they are. A header that is there twice, a name, a specversion or a content
// type that is not allowed, a core attribute that is empty, a time that is none
// and a value that is not UTF-8 are errors, and leave e empty. An attribute
// datacontenttype, for which the bindings have content-type instead, is taken
// when it says the same, or is the only one. Everything that e held before is
// gone, as with ParseJSON; data and key are the caller's to set. Whether the
// required attributes are there is for Validate to say.
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
				return false, errors.New("header content-type is there twice")
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

// header takes one attribute over.
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

// AppendHeaders appends the attributes of e as lines of an HTTP header in
// binary mode, "ce-id: 42\r\n", and returns the longer slice: Attributes with
// HTTPPrefix and EncodeHeader, without garbage.
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

// EncodeHeader makes an attribute value fit for an HTTP header, as the HTTP
// binding says (section 3.1.3.2): space, double quote, percent and everything
// that is not printable ASCII is percent-encoded as UTF-8. A value that needs
// nothing is returned as it is. The result holds no byte that could end the
// header.
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

// DecodeHeader undoes EncodeHeader, in the binding's order: a value in double
// quotes is unquoted, then one round of percent-decoding. A percent sign that
// begins no escape stays. A result that is not UTF-8 is an error, as the
// binding demands: it could be the id of more than one event.
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

// unescapeQuoted takes the backslashes out of an RFC 7230 quoted string.
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

// unhex is the value of a hexadecimal digit, or 16.
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
