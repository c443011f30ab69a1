// Package cloudevent holds a CloudEvent 1.0 as Fiso moves it: attributes as
// plain fields, data as bytes that are never parsed on the way, and codecs
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
	DataContentType string    // "" when absent; JSON is then assumed
	DataSchema      string    // "" when absent
	Extensions      []Extension
	// Data is the payload as bytes; nil when there is none.
	Data []byte
	// Key is the partition key for sinks that have partitions: the key of the
	// source record unless the flow says otherwise. Nil when there is none.
	// It is no CloudEvents attribute.
	Key []byte
}

// Extension is one extension attribute. Names are lower-case letters and
// digits; values are carried as text.
type Extension struct {
	Name, Value string
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

// SetExtension sets an extension attribute, in place of one of that name.
func (e *Event) SetExtension(name, value string) {
	for i := range e.Extensions {
		if e.Extensions[i].Name == name {
			e.Extensions[i].Value = value
			return
		}
	}
	e.Extensions = append(e.Extensions, Extension{name, value})
}
