package cloudevent

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// Content types of the structured and the batched JSON format.
const (
	ContentTypeJSON  = "application/cloudevents+json"
	ContentTypeBatch = "application/cloudevents-batch+json"
)

// AppendJSON appends e in the structured JSON format and returns the longer
// slice. It allocates only to grow dst.
//
// Data is placed as it is when its content type is JSON (see IsJSON), and the
// caller guarantees that it then is one valid JSON value: what is not would
// break the event, or smuggle attributes in. Data of a type text/* goes as a
// JSON string if it is UTF-8, and anything else as data_base64. Nil data, and
// empty data of a JSON type, leave the member out.
//
// Bytes in attributes that are no UTF-8 become U+FFFD. The time is written in
// UTC with as many digits of a second as it has. e is not validated.
func (e *Event) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"specversion":"`+SpecVersion+`"`...)
	dst = appendMember(dst, `,"id":`, e.ID)
	dst = appendMember(dst, `,"source":`, e.Source)
	dst = appendMember(dst, `,"type":`, e.Type)
	dst = appendMember(dst, `,"subject":`, e.Subject)
	dst = appendMember(dst, `,"datacontenttype":`, e.DataContentType)
	dst = appendMember(dst, `,"dataschema":`, e.DataSchema)
	if !e.Time.IsZero() {
		dst = append(dst, `,"time":"`...)
		dst = appendTime(dst, e.Time)
		dst = append(dst, '"')
	}
	for i := range e.Extensions {
		dst = append(dst, ',')
		dst = appendString(dst, e.Extensions[i].Name)
		dst = append(dst, ':')
		dst = appendString(dst, e.Extensions[i].Value)
	}
	dst = e.appendData(dst)
	return append(dst, '}')
}

// AppendBatch appends events in the batched JSON format; see AppendJSON.
func AppendBatch(dst []byte, events []*Event) []byte {
	dst = append(dst, '[')
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = e.AppendJSON(dst)
	}
	return append(dst, ']')
}

func (e *Event) appendData(dst []byte) []byte {
	switch {
	case e.Data == nil:
		return dst
	case IsJSON(e.DataContentType):
		if len(e.Data) == 0 {
			return dst
		}
		dst = append(dst, `,"data":`...)
		return append(dst, e.Data...)
	case isText(e.DataContentType) && utf8.Valid(e.Data):
		dst = append(dst, `,"data":`...)
		return appendString(dst, e.Data)
	default:
		dst = append(dst, `,"data_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Data)
		return append(dst, '"')
	}
}

func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(append(dst, name...), value)
}

// IsJSON reports whether a content type declares JSON: a subtype json or
// …+json in any case, with any parameters. "" does, as CloudEvents says.
func IsJSON(contentType string) bool {
	if contentType == "application/json" { // nearly all there is
		return true
	}
	mediaType := mediaType(contentType)
	if mediaType == "" {
		return true
	}
	_, subtype, _ := strings.Cut(mediaType, "/")
	return equalSuffix(subtype, "+json") || strings.EqualFold(subtype, "json")
}

func isText(contentType string) bool {
	const prefix = "text/"
	return len(contentType) > len(prefix) && strings.EqualFold(contentType[:len(prefix)], prefix)
}

// mediaType is a content type without its parameters.
func mediaType(contentType string) string {
	if i := strings.IndexByte(contentType, ';'); i >= 0 {
		contentType = contentType[:i]
	}
	return strings.TrimSpace(contentType)
}

func equalSuffix(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// appendString appends s as a JSON string: quotes, backslashes and control
// characters escaped, what is no UTF-8 replaced by U+FFFD as encoding/json
// does, everything else as it is.
func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	if plain(s) {
		dst = append(dst, s...)
		return append(dst, '"')
	}
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if size := runeSize(s, i); size > 0 {
				i += size
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\uFFFD"...)
		} else {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// plain reports whether s is ASCII of which nothing has to be escaped, as
// nearly all attributes are. It looks at eight bytes at a time.
func plain[T string | []byte](s T) bool {
	const (
		ones = 0x0101010101010101
		high = 0x8080808080808080
	)
	for len(s) >= 8 {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		quote, slash := w^ones*'"', w^ones*'\\'
		// A byte below n has its high bit set in w-ones*n, and so has one
		// above a byte that borrowed: it may say no where yes is due, never
		// the other way round.
		if (w|(w-ones*' ')|(quote-ones)|(slash-ones))&high != 0 {
			return false
		}
		s = s[8:]
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// runeSize is the length of the rune at i, or 0 if the bytes there are none.
func runeSize[T string | []byte](s T, i int) int {
	var b [utf8.UTFMax]byte
	n := copy(b[:], s[i:min(i+utf8.UTFMax, len(s))])
	r, size := utf8.DecodeRune(b[:n])
	if r == utf8.RuneError && size == 1 {
		return 0
	}
	return size
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	default:
		const hex = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}
