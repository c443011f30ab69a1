package cloudevent

import (
	"encoding/base64"
	"unicode/utf8"
)

// AppendJSON appends e in the structured JSON format. It allocates only to grow dst.
//
// If the content type is JSON (see IsJSON), the bytes of the data are checked (see Data)
// and appended as they are. UTF-8 data of a type text/* in UTF-8 becomes a JSON string.
// All other data, also without a content type, becomes data_base64. The member is left
// out if there is no data, and also if the data has no bytes and the type is JSON or
// missing: HTTP cannot distinguish the two.
//
// Bytes of attributes that are not UTF-8 become U+FFFD. The time is written in UTC with
// as many digits of a second as it has. The error is an *EncodeError, and dst is then
// unchanged: data is not JSON though its content type says so, or an extension is not
// valid. Validate checks the required attributes.
func (e *Event) AppendJSON(dst []byte) ([]byte, error) {
	before := len(dst)
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
		if err := e.checkExtension(i); err != nil {
			return dst[:before], &EncodeError{err}
		}
		dst = e.Extensions[i].append(dst)
	}
	dst, err := e.appendData(dst)
	if err != nil {
		return dst[:before], err
	}
	return append(dst, '}'), nil
}

// AppendBatch appends events in the batched JSON format. If AppendJSON refuses one of
// them, the batch fails and dst is unchanged: see connector.SendEncodable.
func AppendBatch(dst []byte, events []*Event) ([]byte, error) {
	before := len(dst)
	dst = append(dst, '[')
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = e.AppendJSON(dst); err != nil {
			return dst[:before], err
		}
	}
	return append(dst, ']'), nil
}

func (e *Event) appendData(dst []byte) ([]byte, error) {
	data := e.Data.bytes
	switch {
	case data == nil, len(data) == 0 && e.DataContentType == "":
		return dst, nil
	case IsJSON(e.DataContentType):
		if err := e.CheckData(); err != nil || len(data) == 0 {
			return dst, err
		}
		dst = append(dst, `,"data":`...)
		return append(dst, data...), nil
	case e.dataIsText():
		dst = append(dst, `,"data":`...)
		return appendString(dst, data), nil
	default:
		dst = append(dst, `,"data_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, data)
		return append(dst, '"'), nil
	}
}

// dataIsText reports whether the data can be written as a JSON string.
func (e *Event) dataIsText() bool {
	return isText(e.DataContentType) && inUTF8(e.DataContentType) && utf8.Valid(e.Data.bytes)
}

// DataIsBinary reports whether AppendJSON writes the data as data_base64, which the JSON
// format calls Binary.
func (e *Event) DataIsBinary() bool {
	return e.Data.bytes != nil && !IsJSON(e.DataContentType) && !e.dataIsText()
}

// append appends an extension, which was checked, as a member.
func (x *Extension) append(dst []byte) []byte {
	dst = append(dst, `,"`...)
	dst = append(dst, x.Name...)
	dst = append(dst, `":`...)
	if x.Kind == Text {
		return appendString(dst, x.Value)
	}
	return append(dst, x.Value...)
}

func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(append(dst, name...), value)
}

// appendString appends s as a JSON string: it escapes quotes, backslashes and control
// characters, and replaces bytes that are not UTF-8 by U+FFFD, as encoding/json does.
func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	if isPlainASCII(s) {
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

// isPlainASCII reports whether s is ASCII without a character to escape, as nearly all
// attributes are. It checks eight bytes at a time.
func isPlainASCII[T string | []byte](s T) bool {
	const (
		ones = 0x0101010101010101
		high = 0x8080808080808080
	)
	for len(s) >= 8 {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		quote, slash := w^ones*'"', w^ones*'\\'
		// A byte below n sets its high bit in w-ones*n. A borrow may also set the bit of a
		// higher byte: the result may be a wrong false, never a wrong true.
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

// runeSize returns the length of the rune at i, or 0 if it is not valid UTF-8.
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
