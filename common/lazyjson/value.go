package lazyjson

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// Value is one value of a document. The zero Value is absent, which differs from null.
// Values are small and passed by value.
type Value struct {
	doc *Doc
	n   uint32
}

// Root returns the outermost value; it is absent if nothing was parsed.
func (d *Doc) Root() Value {
	if len(d.nodes) == 0 {
		return Value{}
	}
	return Value{d, 0}
}

func (v Value) node() *node { return &v.doc.nodes[v.n] }

// Kind returns the kind of the value.
func (v Value) Kind() Kind {
	if v.doc == nil {
		return Absent
	}
	return v.node().kind
}

// Raw returns the bytes of the value in the document. They must not be changed.
func (v Value) Raw() []byte {
	if v.doc == nil {
		return nil
	}
	n := v.node()
	return v.doc.data[n.start:n.end:n.end]
}

// Len returns the number of elements or members, including members with the same name; 0
// for any other value.
func (v Value) Len() int {
	if v.doc == nil {
		return 0
	}
	return int(v.node().count)
}

// Member returns the member of an object with that name; the last one if there are several.
// It is absent if there is none or the value is not an object.
func (v Value) Member(name string) Value {
	if v.Kind() != Object {
		return Value{}
	}
	nodes, data := v.doc.nodes, v.doc.data
	end, found := nodes[v.n].next, uint32(0)
	for i := v.n + 1; i < end; {
		n := &nodes[i]
		switch {
		case n.keyLen == unknownLen:
			if (Value{v.doc, i}).Name() == name {
				found = i
			}
		case int(n.keyLen) == len(name) && string(data[n.key:][:len(name)]) == name:
			found = i
		}
		i = n.next
	}
	if found == 0 { // which is the root, and so no member
		return Value{}
	}
	return Value{v.doc, found}
}

// Index returns element i of an array, counting from 0. It is absent if there is none or
// the value is not an array. It takes time in proportion to i; use First and Next to visit
// all elements.
func (v Value) Index(i int) Value {
	if v.Kind() != Array || i < 0 || i >= v.Len() {
		return Value{}
	}
	at := v.n + 1
	for ; i > 0; i-- {
		at = v.doc.nodes[at].next
	}
	return Value{v.doc, at}
}

// First returns the first element or member of a container; absent if it is empty.
func (v Value) First() Value {
	if v.Len() == 0 {
		return Value{}
	}
	return Value{v.doc, v.n + 1}
}

// Next returns the value after this one in the container in; absent after the last one.
func (v Value) Next(in Value) Value {
	next := v.node().next
	if next >= in.node().next {
		return Value{}
	}
	return Value{v.doc, next}
}

// Name returns the decoded name of a member; "" for any other value.
func (v Value) Name() string {
	n := v.node()
	if n.key == 0 {
		return ""
	}
	if n.keyLen != unknownLen {
		return string(v.doc.data[n.key:][:n.keyLen])
	}
	end, _, _ := text(v.doc.data, int(n.key))
	return decode(v.doc.data[n.key : end-1])
}

// NameView is Name without a copy if the bytes of the document are the name. The result must
// not be used longer than the document.
func (v Value) NameView() string {
	n := v.node()
	if n.key == 0 || n.keyLen == unknownLen {
		return v.Name()
	}
	return unsafe.String(&v.doc.data[n.key], int(n.keyLen))
}

// Text returns the decoded text of a string; "" for any other value. A \u escape of half a
// surrogate pair becomes U+FFFD, as in encoding/json. A long text is decoded once and
// cached.
func (v Value) Text() string {
	if v.Kind() != String {
		return ""
	}
	n := v.node()
	raw := v.doc.data[n.start+1 : n.end-1]
	if len(raw) <= shortText {
		return decodeIf(n.special, raw)
	}
	text, ok := v.doc.texts[v.n]
	if !ok {
		text = decodeIf(n.special, raw)
		if v.doc.texts == nil {
			v.doc.texts = map[uint32]string{}
		}
		v.doc.texts[v.n] = text
	}
	return text
}

// View is Text without a copy if the bytes of the document are the text. The result must not
// be used longer than the document.
func (v Value) View() string {
	if v.Kind() != String {
		return ""
	}
	n := v.node()
	raw := v.doc.data[n.start+1 : n.end-1]
	if n.special && bytes.IndexByte(raw, '\\') >= 0 {
		return v.Text()
	}
	return unsafe.String(unsafe.SliceData(raw), len(raw))
}

// shortText is the length in bytes up to which a text is decoded each time.
const shortText = 128

func decodeIf(special bool, raw []byte) string {
	if special {
		return decode(raw)
	}
	return string(raw)
}

// Plain reports whether the value is a string whose bytes between the quotes are its text.
func (v Value) Plain() bool { return v.Kind() == String && !v.node().special }

// HasLoneSurrogate reports whether a string escapes one half of a surrogate pair without the
// other: two strings that differ only there have the same Text.
func (v Value) HasLoneSurrogate() bool {
	if v.Kind() != String || v.Plain() {
		return false
	}
	raw := v.Raw()
	for i := bytes.IndexByte(raw, '\\'); i >= 0 && i < len(raw); {
		switch r := hex4(raw[i:]); {
		case utf16.IsSurrogate(r):
			if utf16.DecodeRune(r, hex4(raw[i+6:])) == utf8.RuneError {
				return true
			}
			i += 12
		case raw[i] == '\\':
			i += 2
		default:
			i++
		}
	}
	return false
}

// Int returns the value of an Integer; ok is false for other kinds and if it does not fit.
func (v Value) Int() (i int64, ok bool) {
	if v.Kind() != Integer {
		return 0, false
	}
	raw := v.Raw()
	if len(raw) > 18 { // the library checks for overflow
		i, err := strconv.ParseInt(string(raw), 10, 64)
		return i, err == nil
	}
	digits := raw
	if raw[0] == '-' {
		digits = raw[1:]
	}
	for _, c := range digits {
		i = i*10 + int64(c-'0')
	}
	if len(digits) < len(raw) {
		i = -i
	}
	return i, true
}

// Float returns the value of a number as the nearest float64; 0 for anything else.
func (v Value) Float() float64 {
	if k := v.Kind(); k != Number && k != Integer {
		return 0
	}
	f, _ := strconv.ParseFloat(string(v.Raw()), 64) // ±Inf beyond the range
	return f
}

// decode resolves the escapes of a checked string.
func decode(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	out := make([]byte, 0, len(raw)+2*utf8.UTFMax)
	for i := 0; i < len(raw); {
		c := raw[i]
		switch {
		case c == '\\' && raw[i+1] == 'u':
			r := hex4(raw[i:])
			i += 6
			if utf16.IsSurrogate(r) {
				if low := utf16.DecodeRune(r, hex4(raw[i:])); low != utf8.RuneError {
					r = low
					i += 6
				} else {
					r = utf8.RuneError
				}
			}
			out = utf8.AppendRune(out, r)
		case c == '\\':
			out = append(out, unescape(raw[i+1]))
			i += 2
		default:
			out = append(out, c)
			i++
		}
	}
	return string(out)
}

// hex4 returns the value of a \uXXXX escape, or -1 if raw does not begin with one.
func hex4(raw []byte) rune {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return -1
	}
	return unhex(raw[2])<<12 | unhex(raw[3])<<8 | unhex(raw[4])<<4 | unhex(raw[5])
}

func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default: // a quote, a slash or a backslash
		return c
	}
}
