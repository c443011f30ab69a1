// Package ledger is the oracle of the fault scenarios: it is told what was
// accepted, delivered, stored as a dead letter and committed, and says at the
// end what of it breaks a promise. It knows nothing of processes or brokers.
package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Kind is what should become of an event.
type Kind uint8

// Kinds of events.
const (
	Plain    Kind = iota // is delivered
	Flaky                // is delivered after a few temporary refusals
	Filtered             // is left out by the flow's filter
	Rejected             // is refused by the sink for good: a dead letter
	Broken               // is no JSON: a dead letter
	Fails                // fails each time, by an answer that may be an outage or not: a dead letter once retries are used up
	kinds
)

func (k Kind) String() string {
	return [kinds]string{"plain", "flaky", "filtered", "rejected", "broken", "fails"}[k]
}

// Letter reports whether events of the kind end as dead letters.
func (k Kind) Letter() bool { return k == Rejected || k == Broken || k == Fails }

// Code is the error code of its dead letters.
func (k Kind) Code() string {
	return map[Kind]string{Rejected: "SINK_REJECTED", Broken: "DECODE_FAILED", Fails: "SINK_DELIVERY_FAILED"}[k]
}

// Key is the name of a key.
func Key(key int) string { return fmt.Sprintf("key-%05d", key) }

// Value is the record of event n, of about size bytes; the same for the same
// arguments.
func Value(n, key int, kind Kind, size int) []byte {
	b := fmt.Appendf(make([]byte, 0, size+16), `{"n":%d,"key":%q,"kind":%q,"pad":"`, n, Key(key), kind)
	for len(b) < size-2 {
		b = append(b, 'x')
	}
	if kind == Broken {
		return b // a text without an end
	}
	return append(b, `"}`...)
}

// Arrival is what a sink finds in an event.
type Arrival struct {
	ID   string `json:"id"`
	Data struct {
		N       int    `json:"n"`
		Key     string `json:"key"`
		Kind    string `json:"kind"`
		Version int    `json:"version"`
	} `json:"data"`
}

// whole is how large an event may be to be read whole: what a service does with
// large ones costs more than what is tried.
const whole = 4 << 10

// ParseArrival reads an event in the structured mode of CloudEvents. Of a large
// one it reads the begin, where all of it stands.
func ParseArrival(body []byte) (a Arrival, err error) {
	a.Data.N = -1
	if len(body) <= whole {
		err = json.Unmarshal(body, &a)
		return a, err
	}
	head := body[:whole]
	a.ID, a.Data.Kind = text(head, `"id":"`), text(head, `"kind":"`)
	if _, rest, ok := bytes.Cut(head, []byte(`"n":`)); ok {
		digits := rest[:max(0, bytes.IndexAny(rest, ",}"))]
		a.Data.N, err = strconv.Atoi(string(digits))
	}
	return a, err
}

// text is the string behind a mark; ours have no escapes.
func text(in []byte, mark string) string {
	_, rest, _ := bytes.Cut(in, []byte(mark))
	found, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(found)
}

// place reads the identity that fiso-flow gives to a record of topic.
func place(topic, id string) (partition int, offset int64, ok bool) {
	rest, found := strings.CutPrefix(id, topic+"-")
	p, o, sep := strings.Cut(rest, "-")
	partition, err1 := strconv.Atoi(p)
	offset, err2 := strconv.ParseInt(o, 10, 64)
	return partition, offset, found && sep && err1 == nil && err2 == nil && partition >= 0 && offset >= 0
}
