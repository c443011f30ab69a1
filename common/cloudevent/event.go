// Package cloudevent holds a CloudEvent 1.0 as Fiso moves it: attributes are plain
// fields, data is bytes that are parsed only if necessary, and encoders append to a
// buffer. Package cesdk converts to and from the event of the CloudEvents SDK.
package cloudevent

import "time"

// SpecVersion is the only version of CloudEvents that Fiso supports.
const SpecVersion = "1.0"

// Event is one CloudEvent. The zero value is empty and not valid: ID, Source and Type
// are required (see Validate). An Event must not be changed concurrently; a sink only
// reads it.
type Event struct {
	ID              string
	Source          string
	Type            string
	Subject         string    // "" when absent
	Time            time.Time // zero when absent
	DataContentType string    // "" when absent: the type of the data is then unknown
	DataSchema      string    // "" when absent
	Extensions      []Extension
	// Data is the payload; the zero value means that there is none.
	Data Data
	// Key is the partition key for sinks with partitions: the key of the source record
	// unless the flow sets another. Nil when there is none. It is not an attribute of
	// CloudEvents.
	Key []byte
}

// Extension is one extension attribute. Its name has lower-case letters and digits; its
// value is stored as text (CloudEvents 1.0, section "Type System").
type Extension struct {
	Name, Value string
	// Kind is the JSON type of the value. Headers of the binary mode hold texts only.
	Kind Kind
}

// Kind is the type of an extension's value.
type Kind uint8

// The kinds that the JSON format distinguishes. Bytes, URIs and times are texts.
const (
	Text    Kind = iota
	Integer      // of 32 bits
	Boolean
)

// String returns the name of the kind in CloudEvents.
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

// fits reports whether the value is valid JSON of its kind.
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

// isInteger reports whether s is a 32-bit integer as JSON writes it.
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

// SetExtension sets an extension attribute to a text. It replaces one with the same
// name.
func (e *Event) SetExtension(name, value string) { e.Extend(Extension{Name: name, Value: value}) }

// Extend sets an extension attribute. It replaces one with the same name.
func (e *Event) Extend(x Extension) {
	for i := range e.Extensions {
		if e.Extensions[i].Name == x.Name {
			e.Extensions[i] = x
			return
		}
	}
	e.Extensions = append(e.Extensions, x)
}
