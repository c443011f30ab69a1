package cloudevent

import "fmt"

// Data is the payload of an event. The zero value means no data, which differs from data
// without bytes. The bytes must not be changed while the event is in use.
//
// Data remembers whether its bytes are known to be one JSON value, because JSON or
// ParseJSON has checked them. AppendJSON checks all other data, so that only valid JSON
// becomes part of an event in the JSON format.
type Data struct {
	bytes []byte
	json  bool
}

// Bytes makes data of unchecked bytes. Nil means no data.
func Bytes(b []byte) Data { return Data{bytes: b} }

// JSON makes data of one JSON value in UTF-8, with white space around it allowed, nested
// no deeper than ParseJSON accepts. Anything else is an error.
func JSON(b []byte) (Data, error) {
	if err := checkJSON(b); err != nil {
		return Data{}, err
	}
	return Data{bytes: b, json: true}, nil
}

// Bytes returns the payload, not a copy; nil when there is none.
func (d Data) Bytes() []byte { return d.bytes }

// Len returns the number of bytes.
func (d Data) Len() int { return len(d.bytes) }

// EncodeError says that an event cannot be written in the JSON format. Another attempt
// cannot help. A sink returns it as it is, and connector.ClassOf classifies it as
// Permanent.
type EncodeError struct{ Err error }

func (e *EncodeError) Error() string { return "write the event as JSON: " + e.Err.Error() }
func (e *EncodeError) Unwrap() error { return e.Err }

// CheckData returns the *EncodeError that AppendJSON would return for data that is not
// JSON though its content type says so, or nil.
func (e *Event) CheckData() error {
	if e.Data.json || len(e.Data.bytes) == 0 || !IsJSON(e.DataContentType) {
		return nil
	}
	if err := checkJSON(e.Data.bytes); err != nil {
		return &EncodeError{fmt.Errorf("data is not what datacontenttype %.64q says: %w; correct the sender's data or its content type", e.DataContentType, err)}
	}
	return nil
}

// checkJSON returns an error if b is not one JSON value (RFC 8259).
func checkJSON(b []byte) error { return readJSON(b, 0, nil) }
