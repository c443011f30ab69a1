package cloudevent

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// ParseJSON fills e from an event in the structured JSON format. Everything
// that e held before is gone, its key too, and the room of its extensions is
// used again: a copy of e made before must not share them.
//
// e.Data points into data where it can, and holds the member's bytes exactly as
// they came: a number keeps its digits, an object its spaces. Under a content
// type that is not JSON (see IsJSON), a data string becomes its text;
// data_base64 is decoded. Extension values that are numbers or booleans become
// their text. An attribute that is null is absent.
//
// It is an error, and leaves e empty, if the JSON is not valid or is nested
// deeper than 1000, if specversion is missing or not 1.0, if a member is there
// twice (readers differ on which one counts), if data and data_base64 are both
// there, or if data does not fit its content type. Whether the required
// attributes are there is for Validate to say.
func ParseJSON(data []byte, e *Event) error {
	p := parser{builder: newBuilder(e)}
	s := scanner{data: data}
	err := s.document(func() error {
		if s.peek() != '{' {
			return s.fail("where an event in braces is due")
		}
		return s.object(0, p.member)
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
		return p.set(name, unquote(value))
	case 'n': // null
		return nil
	case '{', '[':
		return fmt.Errorf("attribute %.64q must be a string, number or boolean", name)
	default:
		if coreBit(name) != 0 {
			return fmt.Errorf("attribute %s must be a string, is %.40s", name, value)
		}
		return p.set(name, string(value))
	}
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
	isJSON := IsJSON(e.DataContentType)
	switch {
	case p.base64 != nil && p.data != nil:
		return errors.New("data and data_base64 are both there")
	case p.base64 != nil:
		return p.decodeBase64(isJSON)
	case p.data == nil:
	case isJSON:
		e.Data = p.data
	case p.data[0] == '"':
		e.Data = []byte(unquote(p.data))
	case p.data[0] != 'n':
		return fmt.Errorf("data must be a string, because datacontenttype is %.64q", e.DataContentType)
	}
	return nil
}

func (p *parser) decodeBase64(isJSON bool) error {
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
	// What is not checked here AppendJSON would place as it is: `1,"id":"x"`.
	if isJSON && !validJSON(decoded) {
		return errNotJSON
	}
	p.e.Data = decoded
	return nil
}

var errNotJSON = errors.New("data is not valid JSON, though datacontenttype says so")

func validJSON(data []byte) bool {
	s := scanner{data: data}
	return s.document(func() error { return s.value(0) }) == nil
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
