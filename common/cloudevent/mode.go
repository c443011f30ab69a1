package cloudevent

import (
	"errors"
	"fmt"
	"mime"
	"strings"
)

// Mode is how a message carries events.
type Mode uint8

// The modes of the HTTP and the Kafka binding.
const (
	Plain      Mode = iota // the message is no CloudEvent
	Binary                 // attributes in headers, data in the body
	Structured             // one event in the JSON format in the body
	Batched                // a list of them
)

// ModeDetector are the headers that decide on a message's mode. The zero value has
// seen none of them.
type ModeDetector struct {
	// ContentType is the content type; of several, the last.
	ContentType string
	// Prefix is HTTPPrefix or KafkaPrefix, whichever specversion had; "": none.
	Prefix string

	envelope bool // a content type is one of CloudEvents
	differ   bool // there are two content types
}

// Add looks at one header, whose name may be in any case, and reports whether
// it was one of the signs.
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

// Mode decides, as the bindings say: by the content type first. One of
// CloudEvents means that the body holds the envelope, and copies of attributes
// in headers then count for nothing. Every source decides by this function.
//
// It is an error if the content type is one of CloudEvents and not in JSON, is
// malformed, names a charset that is not UTF-8, or is there twice with two
// values: of such a message nobody can say what it is.
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
		return Plain, errors.New("the content type is there twice, with two values")
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
