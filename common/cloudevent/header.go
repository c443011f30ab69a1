package cloudevent

import (
	"iter"
	"strings"
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
// among them: the message is no CloudEvent in binary mode.
//
// Values under HTTPPrefix are decoded as by DecodeHeader; any other are taken
// as they are, bytes that are no UTF-8 replaced by U+FFFD. A header that is
// there twice, a name or a specversion that is not allowed and a time that is
// none are errors, and leave e empty. Everything that e held before is gone, as
// with ParseJSON; data and key are the caller's to set. Whether the required attributes are
// there is for Validate to say.
func FromHeaders(prefix string, headers iter.Seq2[string, []byte], e *Event) (bool, error) {
	b := newBuilder(e)
	for name, value := range headers {
		var attribute, v string
		switch {
		case len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix):
			attribute, v = strings.ToLower(name[len(prefix):]), text(value)
			if prefix == HTTPPrefix {
				v = DecodeHeader(v)
			}
		case strings.EqualFold(name, "content-type"):
			attribute, v = "datacontenttype", text(value)
		default:
			continue
		}
		if err := b.set(attribute, v); err != nil {
			*e = Event{}
			return false, err
		}
	}
	if !b.finish() {
		*e = Event{}
		return false, nil
	}
	return true, nil
}

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
// begins no escape stays, and bytes that are no UTF-8 become U+FFFD: a value
// of another sender is never refused for its spelling.
func DecodeHeader(value string) string {
	if !strings.ContainsAny(value, `"%`) {
		return value
	}
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
	return text(b)
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
