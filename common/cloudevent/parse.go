package cloudevent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/lsm/fiso/common/lazyjson"
)

// docs are JSON documents whose memory is reused.
var docs = sync.Pool{New: func() any { return new(lazyjson.Doc) }}

// keepNodes is the number of JSON values for which a pooled document keeps memory.
const keepNodes = 1 << 12

// Levels of JSON around the data of an event.
const (
	inEvent = 1
	inBatch = 2
)

// readJSON parses data and calls read with its root. levels is the number of outer levels
// that do not count for the maximum depth.
func readJSON(data []byte, levels int, read func(lazyjson.Value) error) error {
	d := docs.Get().(*lazyjson.Doc)
	err := d.ParseEnvelope(data, levels)
	if err == nil && read != nil {
		err = read(d.Root())
	}
	d.Release(keepNodes)
	docs.Put(d)
	return err
}

// ParseJSON sets e from an event in the structured JSON format. Everything that e held
// before is removed, its key too. The memory of its extensions is reused, so an earlier
// copy of e must not share them.
//
// e.Data points into data where possible, and holds the bytes of the member as they came:
// a number keeps its digits, an object its spaces. For data without a content type
// application/json is set; for data_base64 without one nothing is set. If the content
// type is not JSON (see IsJSON), a data string becomes its text. data_base64 is decoded.
// An attribute that is null counts as absent.
//
// It is an error, and empties e, if the JSON is not valid or not in UTF-8, if data nests
// deeper than 1000, if specversion is missing or not 1.0, if a member occurs twice
// (readers differ in which one they use), if an attribute is empty or not of its type, if
// there are both data and data_base64, or if data does not match its content type.
// Validate checks the required attributes.
func ParseJSON(data []byte, e *Event) error {
	p := parser{builder: newBuilder(e)}
	if err := readJSON(data, inEvent, p.members); err != nil {
		*e = Event{}
		return fmt.Errorf("parse CloudEvent: %w", err)
	}
	return nil
}

// parser collects the members of one event.
type parser struct {
	builder
	data, base64 lazyjson.Value // absent until they are found
}

func (p *parser) members(event lazyjson.Value) error {
	if event.Kind() != lazyjson.Object {
		return fmt.Errorf("an event must be an object, and this is %s", event.Kind())
	}
	for m := event.First(); m.Kind() != lazyjson.Absent; m = m.Next(event) {
		if err := p.member(m); err != nil {
			return err
		}
	}
	return p.finish()
}

func (p *parser) member(m lazyjson.Value) error {
	name := memberName(m)
	switch name {
	case "data":
		return once(&p.data, name, m)
	case "data_base64":
		return once(&p.base64, name, m)
	}
	switch m.Kind() {
	case lazyjson.String:
		if m.HasLoneSurrogate() {
			return fmt.Errorf("attribute %.64q has half of a surrogate pair, which is no character", name)
		}
		return p.set(name, strings.Clone(m.View()))
	case lazyjson.Null:
		return nil
	case lazyjson.Object, lazyjson.Array:
		return fmt.Errorf("attribute %.64q must be a string, number or boolean", name)
	default:
		if coreBit(name) != 0 {
			return fmt.Errorf("attribute %s must be a string, and this is %s", name, m.Kind())
		}
		x := Extension{Name: name, Value: string(m.Raw()), Kind: kindOf(m)}
		if !x.fits() {
			return fmt.Errorf("attribute %.64s: the number is not a 32-bit integer, and CloudEvents has no other numbers: send a string", name)
		}
		return p.extension(x)
	}
}

// kindOf returns the kind of a value that is a number or a boolean.
func kindOf(m lazyjson.Value) Kind {
	if m.Kind() == lazyjson.True || m.Kind() == lazyjson.False {
		return Boolean
	}
	return Integer
}

// memberName returns the name of a member; the usual ones are not allocated.
func memberName(m lazyjson.Value) string {
	name := m.NameView()
	for _, known := range [...]string{
		"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema",
		"data", "data_base64", "traceparent", "tracestate",
	} {
		if name == known {
			return known
		}
	}
	return strings.Clone(name)
}

func once(to *lazyjson.Value, name string, m lazyjson.Value) error {
	if to.Kind() != lazyjson.Absent {
		return fmt.Errorf("member %s occurs twice", name)
	}
	*to = m
	return nil
}

// finish sets the data, once its content type is known.
func (p *parser) finish() error {
	if !p.builder.finish() {
		return errors.New("attribute specversion is missing")
	}
	e, kind := p.e, p.data.Kind()
	switch {
	case p.base64.Kind() != lazyjson.Absent && kind != lazyjson.Absent:
		return errors.New("data and data_base64 are both set")
	case p.base64.Kind() != lazyjson.Absent:
		return p.decodeBase64()
	case kind == lazyjson.Absent:
	case e.DataContentType == "":
		e.DataContentType = plainJSON // "exactly equivalent" by the specification of CloudEvents
		e.Data = Data{bytes: p.data.Raw(), json: true}
	case IsJSON(e.DataContentType):
		e.Data = Data{bytes: p.data.Raw(), json: true}
	case kind == lazyjson.String:
		if p.data.HasLoneSurrogate() {
			return errors.New("data is text with half of a surrogate pair, which is no character: send data_base64")
		}
		s := p.data.View()
		if !inUTF8(e.DataContentType) && !isASCII(s) {
			return fmt.Errorf("data is text, and cannot become bytes of the charset that datacontenttype %.64q names: send data_base64", e.DataContentType)
		}
		e.Data = Bytes([]byte(s))
	case kind != lazyjson.Null:
		return fmt.Errorf("data must be a string, because datacontenttype is %.64q", e.DataContentType)
	}
	return nil
}

func (p *parser) decodeBase64() error {
	switch p.base64.Kind() {
	case lazyjson.Null:
		return nil
	case lazyjson.String:
	default:
		return errors.New("data_base64 must be a string")
	}
	decoded, err := base64.StdEncoding.AppendDecode([]byte{}, []byte(p.base64.View()))
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

// SplitBatch splits a batch in the JSON format into its events, as their bytes in data,
// for ParseJSON. Thus a faulty event does not fail the others; only JSON that is not
// valid, or not an array of objects, fails the batch. An empty batch has an empty result.
func SplitBatch(data []byte) ([][]byte, error) {
	events := [][]byte{}
	err := readJSON(data, inBatch, func(batch lazyjson.Value) error {
		if batch.Kind() != lazyjson.Array {
			return fmt.Errorf("a batch must be a list, and this is %s", batch.Kind())
		}
		for e := batch.First(); e.Kind() != lazyjson.Absent; e = e.Next(batch) {
			if e.Kind() != lazyjson.Object {
				return fmt.Errorf("element %d is not an object", len(events)+1)
			}
			events = append(events, e.Raw())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("parse batch of CloudEvents: %w", err)
	}
	return events, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
