package temporal

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/lsm/fiso/common/cloudevent"
)

// encodingJSON is the encoding of payloads that hold a JSON text. All SDKs read it.
const encodingJSON = "json/plain"

// payload makes a payload of a JSON text, whose bytes it keeps: no number changes.
func payload(text []byte) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(encodingJSON)}, Data: text}
}

// encoder makes the arguments and memos of one request. It collects the payloads that a
// codec must encrypt.
type encoder struct {
	quoteInts bool
	event     *cloudevent.Event
	eventJSON []byte // of the event, once it was needed
	secret    []*commonpb.Payload
}

// args makes payloads of JSON texts, or of the event if there are none.
func (x *encoder) args(what string, texts [][]byte) (*commonpb.Payloads, error) {
	if texts == nil {
		if x.eventJSON == nil {
			var err error
			if x.eventJSON, err = x.event.AppendJSON(nil); err != nil {
				return nil, err // *cloudevent.EncodeError is permanent
			}
		}
		texts = [][]byte{x.eventJSON}
	}
	all := &commonpb.Payloads{Payloads: make([]*commonpb.Payload, len(texts))}
	for i, text := range texts {
		var err error
		if all.Payloads[i], err = x.secretPayload(text); err != nil {
			return nil, fmt.Errorf("argument %d of the %s: %w", i+1, what, err)
		}
	}
	return all, nil
}

// secretPayload makes a payload for the codec.
func (x *encoder) secretPayload(text []byte) (*commonpb.Payload, error) {
	if !json.Valid(text) {
		return nil, errors.New("it is not a JSON text")
	}
	if x.quoteInts {
		text = quoteLargeInts(text)
	}
	p := payload(text)
	x.secret = append(x.secret, p)
	return p, nil
}

// memo makes the memo of a workflow. The request id in it is a hash, and is compared
// without a codec, so it is never encrypted.
func (x *encoder) memo(fields map[string][]byte, requestID string) (*commonpb.Memo, error) {
	m := &commonpb.Memo{Fields: map[string]*commonpb.Payload{memoEvent: payload([]byte(strconv.Quote(requestID)))}}
	for name, text := range fields {
		var err error
		if m.Fields[name], err = x.secretPayload(text); err != nil {
			return nil, fmt.Errorf("memo %.64s: %w", name, err)
		}
	}
	return m, nil
}

// header carries the request id and the trace of the event, the latter as the tracing
// interceptors of the SDKs read it.
func header(e *cloudevent.Event, requestID string) *commonpb.Header {
	h := &commonpb.Header{Fields: map[string]*commonpb.Payload{memoEvent: payload([]byte(strconv.Quote(requestID)))}}
	trace := map[string]string{}
	for _, name := range [...]string{"traceparent", "tracestate"} {
		if value, ok := e.Extension(name); ok && value != "" {
			trace[name] = value
		}
	}
	if trace["traceparent"] != "" {
		text, err := json.Marshal(trace)
		if err == nil { // always, for texts
			h.Fields["_tracer-data"] = payload(text)
		}
	}
	return h
}

// maxExact is the largest integer up to which a double holds every integer.
const maxExact = "9007199254740992"

// quoteLargeInts writes the integers of a valid JSON text that a double cannot hold as
// strings. The text is unchanged if there are none.
func quoteLargeInts(text []byte) []byte {
	var out []byte
	kept := 0 // bytes of text that are in out
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			i = stringEnd(text, i)
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(text) && isNumberByte(text[end]) {
				end++
			}
			if isLargeInt(text[i:end]) {
				out = append(out, text[kept:i]...)
				out = append(out, '"')
				out = append(out, text[i:end]...)
				out = append(out, '"')
				kept = end
			}
			i = end
		default:
			i++
		}
	}
	if out == nil {
		return text
	}
	return append(out, text[kept:]...)
}

// stringEnd returns the byte after the string that begins at i.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func isNumberByte(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

// isLargeInt reports whether a JSON number is an integer, without fraction or exponent,
// beyond 2^53.
func isLargeInt(number []byte) bool {
	if number[0] == '-' {
		number = number[1:]
	}
	for _, c := range number {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(number) > len(maxExact) || len(number) == len(maxExact) && string(number) > maxExact
}
