// Package cloudevent holds a CloudEvent 1.0 as Fiso moves it: attributes as
// plain fields, data as bytes that are not parsed where they only pass, and codecs
// that append to a buffer. Convert to and from the CloudEvents SDK's own type
// with package cesdk.
package cloudevent

import "time"

// SpecVersion is the only version of CloudEvents that Fiso speaks.
const SpecVersion = "1.0"

// Event is one CloudEvent. The zero value is empty and not valid: ID, Source
// and Type are required (see Validate). An Event is not safe for concurrent
// change; a sink that is given one only reads it.
type Event struct {
	ID              string
	Source          string
	Type            string
	Subject         string    // "" when absent
	Time            time.Time // zero when absent
	DataContentType string    // "" when absent: nothing is then known of the data
	DataSchema      string    // "" when absent
	Extensions      []Extension
	// Data is the payload; the zero value when there is none.
	Data Data
	// Key is the partition key for sinks that have partitions: the key of the
	// source record unless the flow says otherwise. Nil when there is none.
	// It is no CloudEvents attribute.
	Key []byte
}

// Extension is one extension attribute. Names are lower-case letters and
// digits; a value is held as its text (CloudEvents 1.0, section "Type System").
type Extension struct {
	Name, Value string
	// Kind is what the JSON format writes the value as. Headers of the binary
	// mode have texts alone.
	Kind Kind
}

// Kind is the type of an extension's value.
type Kind uint8

// The kinds that the JSON format tells apart. Bytes, URIs and times are texts.
const (
	Text    Kind = iota
	Integer      // of 32 bits
	Boolean
)

// String is the kind as CloudEvents calls it.
func (k Kind) String() string {
	switch k {
	case Text:
		return "String"
	case Integer:
		return "Integer"
	case Boolean:
		return "Boolean"
	default:
		return "unknown"
	}
}

// fits reports whether the value may stand in JSON as what its kind says.
func (x *Extension) fits() bool {
	switch x.Kind {
	case Text:
		return true
	case Integer:
		return isInteger(x.Value)
	case Boolean:
		return x.Value == "true" || x.Value == "false"
	default:
		return false
	}
}

// isInteger reports whether s is a whole number of 32 bits as JSON writes it.
func isInteger(s string) bool {
	digits := s
	if s != "" && s[0] == '-' {
		digits = s[1:]
	}
	if digits == "" || len(digits) > 10 || digits[0] == '0' && len(digits) > 1 {
		return false
	}
	var n int64
	for i := range len(digits) {
		if !isDigit(digits[i]) {
			return false
		}
		n = n*10 + int64(digits[i]-'0')
	}
	return n <= 1<<31-1 || n == 1<<31 && s[0] == '-'
}

// Extension returns the value of an extension attribute, and whether it is set.
func (e *Event) Extension(name string) (string, bool) {
	for i := range e.Extensions {
		if e.Extensions[i].Name == name {
			return e.Extensions[i].Value, true
		}
	}
	return "", false
}

// SetExtension sets an extension attribute to a text, in place of one of that
// name.
func (e *Event) SetExtension(name, value string) { e.Extend(Extension{Name: name, Value: value}) }

// Extend sets an extension attribute, in place of one of that name.
func (e *Event) Extend(x Extension) {
	for i := range e.Extensions {
		if e.Extensions[i].Name == x.Name {
			e.Extensions[i] = x
			return
		}
	}
	e.Extensions = append(e.Extensions, x)
}
