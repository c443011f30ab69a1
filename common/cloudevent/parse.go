package cloudevent

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ParseJSON fills e from an event in the structured JSON format. Everything
// that e held before is gone, its key too, and the room of its extensions is
// used again: a copy of e made before must not share them.
//
// e.Data points into data where it can, and holds the member's bytes exactly as
// they came: a number keeps its digits, an object its spaces. Data without a
// content type is application/json, which is then set; data_base64 without one
// has none. Under a content type that is not JSON (see IsJSON), a data string
// becomes its text; data_base64 is decoded. An attribute that is null is absent.
//
// It is an error, and leaves e empty, if the JSON is not valid, not in UTF-8 or
// nested deeper than 1000, if specversion is missing or not 1.0, if a member is
// there twice (readers differ on which one counts), if an attribute is empty or
// not of its type, if data and data_base64 are both there, or if data does not
// fit its content type. Whether the required attributes are there is for
// Validate to say.
func ParseJSON(data []byte, e *Event) error {
	p := parser{builder: newBuilder(e)}
	s := scanner{data: data}
	err := s.document(func() error {
		if s.peek() != '{' {
			return s.fail("where an event in braces is due")
		}
		return s.object(inBatch-1, p.member)
	})
	if err == nil {
		err = p.finish()
	}
	if err != nil {
		*e = Event{}
		return fmt.Errorf("parse CloudEvent: %w", err)
	}
	return nil
}

// parser collects the members of one event.
type parser struct {
	builder
	data, base64 []byte // the members as they stood there; nil if absent
}

func (p *parser) member(rawName, value []byte) error {
	name := memberName(rawName)
	switch name {
	case "data":
		return once(&p.data, name, value)
	case "data_base64":
		return once(&p.base64, name, value)
	}
	switch value[0] {
	case '"':
		if loneSurrogate(value) {
			return fmt.Errorf("attribute %.64q has half of a surrogate pair, which is no character", name)
		}
		return p.set(name, unquote(value))
	case 'n': // null
		return nil
	case '{', '[':
		return fmt.Errorf("attribute %.64q must be a string, number or boolean", name)
	default:
		if coreBit(name) != 0 {
			return fmt.Errorf("attribute %s must be a string, is %.40s", name, value)
		}
		x := Extension{Name: name, Value: string(value), Kind: kindOf(value)}
		if !x.fits() {
			return fmt.Errorf("attribute %.64s: the number is no whole one of 32 bits: CloudEvents has no others, send a string", name)
		}
		return p.extension(x)
	}
}

// kindOf is the kind of a value that is a number or a boolean.
func kindOf(value []byte) Kind {
	if value[0] == 't' || value[0] == 'f' {
		return Boolean
	}
	return Integer
}

// memberName is the text of a member's name; the usual ones cost no
// allocation.
func memberName(raw []byte) string {
	for _, known := range [...]string{
		"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema",
		"data", "data_base64", "traceparent", "tracestate",
	} {
		if len(raw) == len(known)+2 && string(raw[1:len(raw)-1]) == known {
			return known
		}
	}
	return unquote(raw)
}

func once(to *[]byte, name string, value []byte) error {
	if *to != nil {
		return fmt.Errorf("member %s is there twice", name)
	}
	*to = value
	return nil
}

// finish places the data, now that its content type is known.
func (p *parser) finish() error {
	if !p.builder.finish() {
		return errors.New("attribute specversion is missing")
	}
	e := p.e
	switch {
	case p.base64 != nil && p.data != nil:
		return errors.New("data and data_base64 are both there")
	case p.base64 != nil:
		return p.decodeBase64()
	case p.data == nil:
	case e.DataContentType == "":
		e.DataContentType = plainJSON // "exactly equivalent", spec.md says
		e.Data = Data{bytes: p.data, json: true}
	case IsJSON(e.DataContentType):
		e.Data = Data{bytes: p.data, json: true}
	case p.data[0] == '"':
		if loneSurrogate(p.data) {
			return errors.New("data is text with half of a surrogate pair, which is no character: send data_base64")
		}
		s := unquote(p.data)
		if !inUTF8(e.DataContentType) && !isASCII(s) {
			return fmt.Errorf("data is text, and cannot become bytes of the charset that datacontenttype %.64q names: send data_base64", e.DataContentType)
		}
		e.Data = Bytes([]byte(s))
	case p.data[0] != 'n':
		return fmt.Errorf("data must be a string, because datacontenttype is %.64q", e.DataContentType)
	}
	return nil
}

func (p *parser) decodeBase64() error {
	if p.base64[0] == 'n' { // null
		return nil
	}
	if p.base64[0] != '"' {
		return errors.New("data_base64 must be a string")
	}
	decoded, err := base64.StdEncoding.AppendDecode([]byte{}, []byte(unquote(p.base64)))
	if err != nil {
		return fmt.Errorf("data_base64: %w", err)
	}
	p.e.Data = Bytes(decoded)
	if len(decoded) == 0 || !IsJSON(p.e.DataContentType) {
		return nil
	}
	if p.e.Data, err = JSON(decoded); err != nil {
		return fmt.Errorf("data_base64 is not what datacontenttype %.64q says: %w", p.e.DataContentType, err)
	}
	return nil
}

// SplitBatch cuts a batch in the JSON format into its events, unread: each is
// the bytes as they stand in data, for ParseJSON. So one event that is at fault
// is found at fault alone; only JSON that is not valid, or not an array of
// objects, fails as a whole. The result of an empty batch is empty.
func SplitBatch(data []byte) ([][]byte, error) {
	events := [][]byte{}
	s := scanner{data: data}
	err := s.document(func() error {
		if s.peek() != '[' {
			return s.fail("where a batch in brackets is due")
		}
		return s.array(0, func(value []byte) error {
			if value[0] != '{' {
				return fmt.Errorf("element %d is no event in braces", len(events)+1)
			}
			events = append(events, value)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("parse batch of CloudEvents: %w", err)
	}
	return events, nil
}

// unquote is the text of a JSON string that was walked over already.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return text(raw[1 : len(raw)-1])
	}
	var s string
	// Valid by now: it cannot fail.
	_ = json.Unmarshal(raw, &s)
	return s
}

// loneSurrogate reports whether a JSON string escapes one half of a surrogate
// pair without the other: two texts that differ only there would become one.
func loneSurrogate(raw []byte) bool {
	for i := bytes.IndexByte(raw, '\\'); i >= 0 && i < len(raw); {
		switch high := escaped(raw[i:]); {
		case high>>10 == 0xD800>>10:
			if escaped(raw[i+6:])>>10 != 0xDC00>>10 {
				return true
			}
			i += 12
		case high>>10 == 0xDC00>>10:
			return true
		case raw[i] == '\\':
			i += 2
		default:
			i++
		}
	}
	return false
}

// escaped is the code of a \u escape that raw, walked over already, begins
// with, or 0.
func escaped(raw []byte) (code uint32) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0
	}
	for _, c := range raw[2:6] {
		code = code<<4 | uint32(unhex(c))
	}
	return code
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
