// Package ledger is the oracle of the fault scenarios. It records what was accepted, delivered,
// stored as a dead letter and committed, and finally reports which guarantees were broken. It does
// not depend on processes or brokers.
package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Kind is the expected outcome of an event.
type Kind uint8

// Kinds of events.
const (
	Plain    Kind = iota // is delivered
	Flaky                // is delivered after a few temporary refusals
	Filtered             // is dropped by the filter of the flow
	Rejected             // is refused by the sink permanently: a dead letter
	Broken               // is not JSON: a dead letter
	Fails                // fails each time with an answer that may also be an outage: a dead letter after all retries
	kinds
)

func (k Kind) String() string {
	return [kinds]string{"plain", "flaky", "filtered", "rejected", "broken", "fails"}[k]
}

// BecomesDeadLetter reports whether events of the kind must become dead letters.
func (k Kind) BecomesDeadLetter() bool { return k == Rejected || k == Broken || k == Fails }

// Code returns the error code of the dead letters of this kind.
func (k Kind) Code() string {
	return map[Kind]string{Rejected: "SINK_REJECTED", Broken: "DECODE_FAILED", Fails: "SINK_DELIVERY_FAILED"}[k]
}

// Key returns the name of a key.
func Key(key int) string { return fmt.Sprintf("key-%05d", key) }

// Value returns the record value of event n, of about size bytes. It is deterministic.
func Value(n, key int, kind Kind, size int) []byte {
	b := fmt.Appendf(make([]byte, 0, size+16), `{"n":%d,"key":%q,"kind":%q,"pad":"`, n, Key(key), kind)
	for len(b) < size-2 {
		b = append(b, 'x')
	}
	if kind == Broken {
		return b // a string without an end
	}
	return append(b, `"}`...)
}

// Arrival is what a sink reads from an event.
type Arrival struct {
	ID   string `json:"id"`
	Data struct {
		N       int    `json:"n"`
		Key     string `json:"key"`
		Kind    string `json:"kind"`
		Version int    `json:"version"`
	} `json:"data"`
}

// parseLimit is the size up to which an event is parsed completely: for larger ones the service would
// use more CPU than the code under test.
const parseLimit = 4 << 10

// ParseArrival parses an event in the structured mode of CloudEvents. Of a large one it parses
// only the beginning, which has all fields of Arrival.
func ParseArrival(body []byte) (a Arrival, err error) {
	a.Data.N = -1
	if len(body) <= parseLimit {
		err = json.Unmarshal(body, &a)
		return a, err
	}
	head := body[:parseLimit]
	a.ID, a.Data.Kind = text(head, `"id":"`), text(head, `"kind":"`)
	if _, rest, ok := bytes.Cut(head, []byte(`"n":`)); ok {
		digits := rest[:max(0, bytes.IndexAny(rest, ",}"))]
		a.Data.N, err = strconv.Atoi(string(digits))
	}
	return a, err
}

// text returns the string after a mark. The strings have no escapes.
func text(in []byte, mark string) string {
	_, rest, _ := bytes.Cut(in, []byte(mark))
	found, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(found)
}

// parseID parses the id that fiso-flow gives to a record of topic.
func parseID(topic, id string) (partition int, offset int64, ok bool) {
	rest, found := strings.CutPrefix(id, topic+"-")
	p, o, sep := strings.Cut(rest, "-")
	partition, err1 := strconv.Atoi(p)
	offset, err2 := strconv.ParseInt(o, 10, 64)
	return partition, offset, found && sep && err1 == nil && err2 == nil && partition >= 0 && offset >= 0
}
