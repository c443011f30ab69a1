package http

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// verdicts says of each status from 0 to 599 what it means for an event.
type verdicts [600]verdict

type verdict uint8

const (
	delivered verdict = iota
	temporary         // try again, after Retry-After where the answer has it
	permanent         // this event will never be taken
)

// newVerdicts is the standard table, changed by the two lists. A redirect is
// permanent: following one would send the event, and its credential, to a
// place nobody configured.
func newVerdicts(retryOn, rejectOn config.Strings) (*verdicts, error) {
	t := &verdicts{}
	for status := range t {
		switch {
		case status/100 == 2:
			t[status] = delivered
		case status/100 == 5, status/100 == 0, status == 408, status == 425, status == 429:
			t[status] = temporary
		default:
			t[status] = permanent
		}
	}
	var set [600]string
	return t, errors.Join(
		t.apply("retryOn", retryOn, temporary, &set),
		t.apply("rejectOn", rejectOn, permanent, &set),
	)
}

// apply sets the statuses of one list; set remembers which list named one.
func (t *verdicts) apply(key string, list config.Strings, v verdict, set *[600]string) error {
	var faults []error
	for i, entry := range list {
		at := key + "[" + strconv.Itoa(i) + "]"
		from, to, ok := statusRange(entry)
		if !ok {
			faults = append(faults, config.Fault(at, "%q is no status to decide on; write a code from 300 to 599, or one of 3xx, 4xx, 5xx", entry))
			continue
		}
		for status := from; status <= to; status++ {
			if other := set[status]; other != "" && other != key {
				faults = append(faults, config.Fault(at, "%s names status %d too (%s, %s); it can stand in one list only", other, status, other, key))
				break
			}
			set[status], t[status] = key, v
		}
	}
	return errors.Join(faults...)
}

// statusRange reads "429" or "5xx".
func statusRange(s string) (from, to int, ok bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	if class, found := strings.CutSuffix(s, "xx"); found {
		n, err := strconv.Atoi(class)
		return n * 100, n*100 + 99, err == nil && n >= 3 && n <= 5
	}
	n, err := strconv.Atoi(s)
	return n, n, err == nil && n >= 300 && n <= 599
}

// of is the verdict on a status. One that HTTP does not know is treated as a
// 5xx (RFC 9110, 15).
func (t *verdicts) of(status int) verdict {
	if status < 0 || status >= len(t) {
		return temporary
	}
	return t[status]
}

// StatusError is an answer that did not deliver. Its text is for a person and
// holds the start of the answer.
type StatusError struct {
	Status int    // as answered, such as 422
	text   string // request and answer
}

// Error is such as "POST http://host/path: 422 Unprocessable Entity: no such order".
func (e *StatusError) Error() string { return e.text }

func newStatusError(target string, status int, detail string) *StatusError {
	text := fmt.Sprintf("%s: %s", target, statusText(status))
	if detail != "" {
		text += ": " + detail
	}
	return &StatusError{Status: status, text: text}
}

// classified marks an error by the verdict on its status.
func (t *verdicts) classified(err *StatusError, retryAfter string) error {
	if t.of(err.Status) == temporary {
		return connector.AsTemporary(err, parseRetryAfter(retryAfter))
	}
	return connector.AsPermanent(err)
}
