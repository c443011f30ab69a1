package cloudevent

import "fmt"

// Data is the payload of an event. The zero value is none, which is not the
// same as data of no bytes. Whoever holds the bytes leaves them as they are
// while the event is in use.
//
// Data remembers whether its bytes are known to be one value of JSON: because
// JSON or ParseJSON has read them. AppendJSON checks what is not known,
// so that nothing else is ever placed in an event in the JSON format.
type Data struct {
	bytes []byte
	json  bool
}

// Bytes is data of which nothing is known. Nil is none.
func Bytes(b []byte) Data { return Data{bytes: b} }

// JSON is data that is one value of JSON in UTF-8, nested no deeper than what
// ParseJSON takes, white space around it allowed. Anything else is an error.
func JSON(b []byte) (Data, error) {
	if err := checkJSON(b); err != nil {
		return Data{}, err
	}
	return Data{bytes: b, json: true}, nil
}

// Bytes are the payload, nil when there is none. They are not a copy.
func (d Data) Bytes() []byte { return d.bytes }

// Len is the number of bytes.
func (d Data) Len() int { return len(d.bytes) }

// EncodeError says that an event cannot be written in the JSON format. It
// concerns this one event, and trying again is no use: a sink returns it as it
// is, and connector.ClassOf knows it as permanent.
type EncodeError struct{ Err error }

func (e *EncodeError) Error() string { return "write the event as JSON: " + e.Err.Error() }
func (e *EncodeError) Unwrap() error { return e.Err }

// CheckData is the *EncodeError that AppendJSON would return for the data: it
// is not JSON though its content type says so. Otherwise it is nil.
func (e *Event) CheckData() error {
	if e.Data.json || len(e.Data.bytes) == 0 || !IsJSON(e.DataContentType) {
		return nil
	}
	if err := checkJSON(e.Data.bytes); err != nil {
		return &EncodeError{fmt.Errorf("data is not what datacontenttype %.64q says: %w; correct the sender's data or its content type", e.DataContentType, err)}
	}
	return nil
}

// checkJSON reports what keeps b from being one value of JSON (RFC 8259).
func checkJSON(b []byte) error { return readJSON(b, 0, nil) }
