package async

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
)

// Why a call is a dead letter; the codes are those of fiso-flow.
const (
	decodeFailed   = "DECODE_FAILED"
	rejected       = "SINK_REJECTED"
	deliveryFailed = "SINK_DELIVERY_FAILED"
)

// death is how a call ended.
type death struct {
	code    string
	reason  string // for a person; no secrets
	retries int
}

// maxReason is the longest reason that is stored, in bytes.
const maxReason = 1024

// buried are the headers that a death replaces; what else a record has, the count
// of its replays among it, stays.
var buried = map[string]bool{
	"fiso-original-topic": true, "fiso-original-partition": true, "fiso-original-offset": true, "fiso-original-timestamp": true, "fiso-error-code": true,
	"fiso-error-message": true, "fiso-retry-count": true, "fiso-failed-at": true, "fiso-flow-name": true, "fiso-sink": true,
}

// letter is a dead letter: the record untouched, and how it came to that. It is dated
// when it is written: retention counts from there, and with the time of the record,
// the broker could delete it at once.
func letter(topic, target string, m *connector.Message, d death, now time.Time) kafka.Record {
	h := make([]connector.Header, 0, len(m.Headers)+9)
	for _, own := range m.Headers {
		if !buried[own.Key] {
			h = append(h, own)
		}
	}
	add := func(name, value string) { h = append(h, connector.Header{Key: name, Value: []byte(value)}) }
	add("fiso-original-topic", m.Position.Stream)
	add("fiso-original-partition", strconv.FormatInt(int64(m.Position.Partition), 10))
	add("fiso-original-offset", strconv.FormatInt(m.Position.Offset, 10))
	if !m.Time.IsZero() {
		add("fiso-original-timestamp", timestamp(m.Time))
	}
	add("fiso-error-code", d.code)
	add("fiso-error-message", bounded(d.reason))
	add("fiso-retry-count", strconv.Itoa(d.retries))
	add("fiso-failed-at", now.UTC().Format(time.RFC3339Nano))
	add("fiso-flow-name", target)
	return kafka.Record{Topic: topic, Key: m.Key, Value: m.Value, Headers: h}
}

// timestamp is at as RFC 3339, or in milliseconds since 1970 where that has no such
// year, as fiso-flow writes it.
func timestamp(at time.Time) string {
	if at = at.UTC(); at.Year() < 0 || at.Year() > 9999 {
		return strconv.FormatInt(at.UnixMilli(), 10)
	}
	return at.Format(time.RFC3339Nano)
}

// bounded is s as valid UTF-8 of at most maxReason bytes, cut between characters.
func bounded(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxReason {
		return s
	}
	const more = "…"
	n := maxReason - len(more)
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + more
}
