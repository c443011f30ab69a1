package http

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// verdicts holds, for each status from 0 to 599, what it means for an event.
type verdicts [600]statusVerdict

type statusVerdict uint8

const (
	delivered   statusVerdict = iota
	temporary                 // this event failed: retry it, after Retry-After if the answer has one
	unavailable               // the destination may be down or busy: retry likewise
	permanent                 // this event will never be accepted
)

// Statuses is one status, such as 429, or a class of statuses, such as 5xx. In Go,
// these are Statuses{429, 429} and Statuses{500, 599}.
type Statuses struct{ From, To int }

// UnmarshalText reads "429" or "5xx".
func (s *Statuses) UnmarshalText(text []byte) error {
	in := strings.ToLower(strings.TrimSpace(string(text)))
	class, isClass := strings.CutSuffix(in, "xx")
	n, err := strconv.Atoi(class)
	if isClass {
		s.From, s.To = n*100, n*100+99
	} else {
		s.From, s.To = n, n
	}
	if err != nil || !s.valid() {
		return fmt.Errorf("%q is not a status from 300 to 599; write a code such as 409, or one of 3xx, 4xx, 5xx", text)
	}
	return nil
}

// MarshalText writes the form that UnmarshalText reads.
func (s Statuses) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String returns the form of the configuration, such as "429" or "5xx".
func (s Statuses) String() string {
	if s.From == s.To {
		return strconv.Itoa(s.From)
	}
	if s.From%100 == 0 && s.To == s.From+99 {
		return strconv.Itoa(s.From/100) + "xx"
	}
	return fmt.Sprintf("%d-%d", s.From, s.To)
}

func (s Statuses) valid() bool { return s.From >= 300 && s.From <= s.To && s.To <= 599 }

// newVerdicts returns the standard table, changed by the two lists. A redirect is
// permanent: following it would send the event and its credential to a place that
// nobody configured.
func newVerdicts(retryOn, rejectOn []Statuses) (*verdicts, error) {
	t := &verdicts{}
	for status := range t {
		switch {
		case status/100 == 2:
			t[status] = delivered
		case status == 429, status == 502, status == 503, status == 504:
			t[status] = unavailable
		case status/100 == 5, status/100 == 0, status == 408, status == 425:
			t[status] = temporary
		default:
			t[status] = permanent
		}
	}
	var faults []error
	for i, s := range retryOn {
		if !s.valid() {
			faults = append(faults, config.Fault(fmt.Sprintf("retryOn[%d]", i), "%v is not within 300 to 599", s))
			continue
		}
		t.retry(s)
	}
	for i, s := range rejectOn {
		key := fmt.Sprintf("rejectOn[%d]", i)
		if !s.valid() {
			faults = append(faults, config.Fault(key, "%v is not within 300 to 599", s))
			continue
		}
		shared := slices.IndexFunc(retryOn, func(other Statuses) bool { return s.From <= other.To && other.From <= s.To })
		if shared >= 0 {
			faults = append(faults, config.Fault(key, "retryOn has %v and this is %v: a status can be in only one of the lists", retryOn[shared], s))
		}
		t.set(s, permanent)
	}
	return t, errors.Join(faults...)
}

// retry makes permanent statuses temporary.
func (t *verdicts) retry(s Statuses) {
	for status := s.From; status <= s.To; status++ {
		if t[status] == permanent {
			t[status] = temporary
		}
	}
}

func (t *verdicts) set(s Statuses, v statusVerdict) {
	for status := s.From; status <= s.To; status++ {
		t[status] = v
	}
}

// of returns the verdict on a status. An unknown status is treated as a 5xx (RFC 9110,
// section 15).
func (t *verdicts) of(status int) statusVerdict {
	if status < 0 || status >= len(t) {
		return temporary
	}
	return t[status]
}

// StatusError is an answer that delivered nothing. Its text quotes the start of the
// answer.
type StatusError struct {
	Status int // as answered, such as 422
	text   string
}

// Error returns a text such as "POST http://host/path: 422 Unprocessable Entity: no
// such order".
func (e *StatusError) Error() string { return e.text }

func newStatusError(target string, status int, detail string) *StatusError {
	text := fmt.Sprintf("%s: %s", target, statusText(status))
	if detail != "" {
		text += ": " + detail
	}
	return &StatusError{Status: status, text: text}
}

// classified gives an error the class of its status.
func (t *verdicts) classified(err *StatusError, retryAfter string) error {
	switch t.of(err.Status) {
	case temporary:
		return connector.AsTemporary(err, parseRetryAfter(retryAfter))
	case unavailable:
		return connector.AsUnavailable(err, parseRetryAfter(retryAfter))
	default:
		return connector.AsPermanent(err)
	}
}
