package deadletter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
)

// The headers of a dead letter, spec section 3.5.
const (
	HeaderTopic     = "fiso-original-topic"
	HeaderPartition = "fiso-original-partition" // only if the source is a broker
	HeaderOffset    = "fiso-original-offset"    // only if the source is a broker
	// HeaderTime is when the record was made, if the source says so: RFC 3339
	// in UTC, or milliseconds since 1970 if RFC 3339 has no such year.
	HeaderTime = "fiso-original-timestamp"
	// HeaderEventID is the id of the event, unless it is longer than MaxReason:
	// see EventID. Parse makes it the ID of the message.
	HeaderEventID  = "fiso-event-id"
	HeaderCode     = "fiso-error-code"
	HeaderMessage  = "fiso-error-message"
	HeaderRetries  = "fiso-retry-count"
	HeaderFailedAt = "fiso-failed-at" // RFC 3339, UTC
	HeaderFlow     = "fiso-flow-name"
	HeaderSink     = "fiso-sink"         // the sink that failed; absent if the transform failed
	HeaderPart     = "fiso-part"         // number of the event, from 0, if the message became several
	HeaderReplays  = "fiso-replay-count" // set by a replay; not changed here
	// HeaderDeadLetterCount is how many dead letters in a row were made of the
	// record, this one included: more than one if a flow reads dead letters.
	HeaderDeadLetterCount = "fiso-dead-letter-count"
)

// MaxReason is the longest error message that is stored, in bytes.
const MaxReason = 1024

// isOwnHeader reports whether a header is replaced by each dead letter. The
// replay count is not: it belongs to the record.
func isOwnHeader(name string) bool {
	switch name {
	case HeaderTopic, HeaderPartition, HeaderOffset, HeaderTime, HeaderEventID, HeaderCode, HeaderMessage,
		HeaderRetries, HeaderFailedAt, HeaderFlow, HeaderSink, HeaderPart, HeaderDeadLetterCount:
		return true
	}
	return false
}

// Headers returns the headers of a letter: those of the message, unchanged and
// in order, without those of an earlier dead letter, and then ours. Their
// number does not grow with the number of dead letters of a record.
func Headers(l *Letter) []connector.Header {
	h := make([]connector.Header, 0, len(l.Message.Headers)+13)
	for _, own := range l.Message.Headers {
		if !isOwnHeader(own.Key) {
			h = append(h, own)
		}
	}
	add := func(name, value string) { h = append(h, connector.Header{Key: name, Value: []byte(value)}) }
	p := l.Message.Position
	add(HeaderTopic, p.Stream)
	if p.HasPartition() {
		add(HeaderPartition, strconv.FormatInt(int64(p.Partition), 10))
	}
	if p.Known() {
		add(HeaderOffset, strconv.FormatInt(p.Offset, 10))
	}
	if at := l.Message.Time; !at.IsZero() {
		add(HeaderTime, formatTime(at))
	}
	if id := EventID(l.Message); id != "" {
		add(HeaderEventID, id)
	}
	add(HeaderCode, string(l.Code))
	add(HeaderMessage, truncate(l.Reason))
	add(HeaderRetries, strconv.Itoa(l.Retries))
	add(HeaderFailedAt, l.FailedAt.UTC().Format(time.RFC3339Nano))
	add(HeaderFlow, l.Flow)
	if l.Sink != "" {
		add(HeaderSink, l.Sink)
	}
	if l.Part > 0 {
		add(HeaderPart, strconv.Itoa(l.Part-1))
	}
	add(HeaderDeadLetterCount, strconv.Itoa(deadLetterCount(l.Message)+1))
	return h
}

// EventID returns the id of the event that a message is: its own ID, that of the
// CloudEvent in it, or its position. It is "" if the message has none of them, or if
// the id is longer than MaxReason. The transform may make events with other ids of it.
func EventID(m *connector.Message) string {
	id := eventID(m)
	if len(id) > MaxReason {
		return ""
	}
	return id
}

func eventID(m *connector.Message) string {
	if m.ID != "" {
		return m.ID
	}
	var d cloudevent.ModeDetector
	for i := range m.Headers {
		d.Add(m.Headers[i].Key, m.Headers[i].Value)
	}
	var e cloudevent.Event
	mode, err := d.Mode()
	switch {
	case err != nil:
	case mode == cloudevent.Structured:
		err = cloudevent.ParseJSON(m.Value, &e)
	case mode == cloudevent.Binary:
		_, err = cloudevent.FromHeaders(d.Prefix, func(yield func(string, []byte) bool) {
			for i := range m.Headers {
				if !yield(m.Headers[i].Key, m.Headers[i].Value) {
					return
				}
			}
		}, &e)
	}
	switch {
	case err == nil && e.ID != "":
		return e.ID
	case m.Position.Known():
		return m.Position.String()
	}
	return ""
}

// formatTime formats at for parseTime. RFC 3339 has no year beyond 9999, which
// a source yields that takes other units for milliseconds.
func formatTime(at time.Time) string {
	if at = at.UTC(); at.Year() < 0 || at.Year() > 9999 {
		return strconv.FormatInt(at.UnixMilli(), 10)
	}
	return at.Format(time.RFC3339Nano)
}

func parseTime(s string) (time.Time, bool) {
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return at.UTC(), true
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	return time.UnixMilli(ms).UTC(), err == nil
}

// truncate returns s as valid UTF-8 of at most MaxReason bytes, cut between
// runes.
func truncate(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= MaxReason {
		return s
	}
	const more = "…"
	n := MaxReason - len(more)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + more
}

// Parse reads a stored record: m as it is in the topic or the file. The
// letter's message has the original position, the event's id as its ID, and none of
// our headers. It shares m's bytes, and has m's time if no header says when the record
// was made. An error names every header that is missing or invalid; Parse then also returns
// what could be read, so that a damaged record can still be shown to a person.
func Parse(m *connector.Message) (*Letter, error) {
	own := &connector.Message{Key: m.Key, Value: m.Value, Time: m.Time, ID: m.ID}
	l := &Letter{Message: own}
	p := parser{seen: make(map[string]string, 12)}
	for _, h := range m.Headers {
		if isOwnHeader(h.Key) {
			p.seen[h.Key] = string(h.Value)
			continue
		}
		own.Headers = append(own.Headers, h)
		if h.Key == HeaderReplays {
			l.Replays = p.number(h.Key, string(h.Value), 31)
		}
	}
	own.Position = connector.Position{Stream: p.required(HeaderTopic)}
	if s, ok := p.seen[HeaderPartition]; ok {
		partition := int32(p.number(HeaderPartition, s, 31)) //nolint:gosec // G115: number bounds it to 31 bits
		own.Position = connector.PartitionOffset(own.Position.Stream, partition, int64(p.number(HeaderOffset, p.required(HeaderOffset), 63)))
	} else if s, ok := p.seen[HeaderOffset]; ok {
		own.Position = connector.Sequence(own.Position.Stream, int64(p.number(HeaderOffset, s, 63)))
	}
	if s, ok := p.seen[HeaderTime]; ok {
		if at, known := parseTime(s); known {
			own.Time = at
		} else {
			p.fault("%s is not an RFC 3339 time", HeaderTime)
		}
	}
	if id := p.seen[HeaderEventID]; id != "" {
		own.ID = id
	}
	l.Code = fault.Code(p.required(HeaderCode))
	l.Reason = p.seen[HeaderMessage]
	l.Retries = p.number(HeaderRetries, p.required(HeaderRetries), 31)
	l.Flow = p.required(HeaderFlow)
	l.Sink = p.seen[HeaderSink]
	if s, ok := p.seen[HeaderPart]; ok {
		l.Part = p.number(HeaderPart, s, 31) + 1
	}
	at, err := time.Parse(time.RFC3339Nano, p.required(HeaderFailedAt))
	if err != nil && p.seen[HeaderFailedAt] != "" {
		p.fault("%s is not an RFC 3339 time", HeaderFailedAt)
	}
	l.FailedAt = at.UTC()
	if len(p.faults) > 0 {
		return l, fmt.Errorf("not a dead letter of fiso: %w", errors.Join(p.faults...))
	}
	return l, nil
}

// parser collects what is wrong with the headers of one record.
type parser struct {
	seen   map[string]string
	faults []error
}

func (p *parser) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf(format, args...))
}

func (p *parser) required(name string) string {
	s, ok := p.seen[name]
	if !ok {
		p.fault("header %s is missing", name)
	}
	return s
}

// number parses a count of at most that many bits. "" is 0: required has
// reported it.
func (p *parser) number(name, s string, bits int) int {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		p.fault("%s is not a number: %.32q", name, s)
		return 0
	}
	return int(n) //nolint:gosec // G115: at most 63 bits
}

// Replay is the part of a message that is to be delivered again.
type Replay struct {
	Sink string
	Part int // as Letter.Part
}

// Replayed reports whether a message is a dead letter of a sink of this flow
// that was put back into its topic, and which part is to be delivered. Any
// sender can set headers, so only a message of a broker counts: writers to its
// topic are trusted.
func Replayed(m *connector.Message, flow string) (r Replay, ok bool) {
	if !m.Position.Known() {
		return r, false
	}
	var replayed, own bool
	for i := range m.Headers {
		switch h := &m.Headers[i]; h.Key {
		case HeaderReplays:
			replayed = true
		case HeaderFlow:
			own = string(h.Value) == flow
		case HeaderSink:
			r.Sink = string(h.Value)
		case HeaderPart:
			if n, err := strconv.ParseUint(string(h.Value), 10, 31); err == nil {
				r.Part = int(n) + 1
			}
		}
	}
	return r, replayed && own && r.Sink != ""
}
