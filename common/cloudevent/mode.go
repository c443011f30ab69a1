package cloudevent

import (
	"errors"
	"fmt"
	"mime"
	"strings"
)

// Mode is the way in which a message carries events.
type Mode uint8

// The modes of the HTTP and the Kafka binding.
const (
	Plain      Mode = iota // the message is not a CloudEvent
	Binary                 // attributes in headers, data in the body
	Structured             // one event in the JSON format in the body
	Batched                // a list of events in the JSON format in the body
)

// ModeDetector collects the headers that decide on a message's mode. The zero value has
// none.
type ModeDetector struct {
	// ContentType is the content type; the last one if there are several.
	ContentType string
	// Prefix is the prefix of the specversion header, HTTPPrefix or KafkaPrefix; "" if
	// there is none.
	Prefix string

	envelope bool // a content type is that of CloudEvents
	differ   bool // there are two different content types
}

// Add looks at one header, whose name may be in any case, and reports whether the header
// matters for the mode.
func (s *ModeDetector) Add(name string, value []byte) bool {
	switch {
	case strings.EqualFold(name, contentTypeHeader):
		s.contentType(value)
	case strings.EqualFold(name, KafkaPrefix+"specversion"):
		s.Prefix = KafkaPrefix
	case strings.EqualFold(name, HTTPPrefix+"specversion"):
		s.Prefix = HTTPPrefix
	default:
		return false
	}
	return true
}

const contentTypeHeader = "content-type"

func (s *ModeDetector) contentType(value []byte) {
	before := s.ContentType
	if string(value) == plainJSON { // no allocation
		s.ContentType = plainJSON
	} else {
		s.ContentType = text(value)
	}
	s.differ = s.differ || before != "" && before != s.ContentType
	s.envelope = s.envelope || hasPrefixFold(strings.TrimSpace(s.ContentType), "application/cloudevents")
}

// Mode returns the mode, as the bindings define it: the content type decides first. If
// it is that of CloudEvents, the body holds the event, and attributes in headers are
// ignored. Every source uses this function.
//
// It is an error if the content type is that of CloudEvents but not JSON, is malformed,
// names a charset other than UTF-8, or occurs twice with different values: the mode is
// then ambiguous.
func (s *ModeDetector) Mode() (Mode, error) {
	switch {
	case s.envelope:
		return s.structured()
	case s.Prefix != "":
		return Binary, nil
	default:
		return Plain, nil
	}
}

func (s *ModeDetector) structured() (Mode, error) {
	if s.differ {
		return Plain, errors.New("the content type is set twice, with different values")
	}
	if s.ContentType == ContentTypeJSON {
		return Structured, nil
	}
	kind, params, err := mime.ParseMediaType(s.ContentType)
	if err != nil {
		return Plain, errors.New("the content type is malformed")
	}
	if charset := params["charset"]; !isUTF8(charset) {
		return Plain, fmt.Errorf("charset %.40s is not supported: send UTF-8", charset)
	}
	switch kind {
	case ContentTypeJSON:
		return Structured, nil
	case ContentTypeBatch:
		return Batched, nil
	}
	return Plain, fmt.Errorf("%.64s is not supported: send %s, %s or binary mode", kind, ContentTypeJSON, ContentTypeBatch)
}
