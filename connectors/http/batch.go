package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// ContentTypeResults is the media type of an answer with a verdict for each event of a
// batch: {"results": [{"status": 200}, {"status": 422, "detail": "no such order"}]},
// one entry for each event, in order. The source of this package sends it and the sink
// reads it.
const ContentTypeResults = "application/vnd.fiso.results+json"

// results is the body of a ContentTypeResults answer.
type results struct {
	Results []result `json:"results"`
}

type result struct {
	ID     string `json:"id,omitempty"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// SendBatch delivers events in one request, which requires mode batch. A 2xx delivers
// all of them; any other answer is the verdict on each. Two kinds of answer have a
// verdict for each event: one of type ContentTypeResults, and a 207 with that body in
// any JSON type. A 207 without that body is temporary.
//
// A permanent verdict on a whole batch does not say which event is at fault. To find
// out, send the events one by one with Send, which makes batches of one.
//
// In the other modes, SendBatch sends the events one by one. After the first event that
// may be retried it sends no more, so that no later event of a key overtakes it; the
// events that were not sent get ErrInterrupted.
func (s *Sink) SendBatch(ctx context.Context, events []*cloudevent.Event) []error {
	if s.mode != ModeBatch {
		return s.sendSingly(ctx, events)
	}
	if len(events) == 0 {
		return nil
	}
	if err := s.begin(); err != nil {
		return repeat(err, len(events))
	}
	defer s.end()
	var errs []error
	err := s.post(ctx, nil, events, func(x *exchange, secret string) (taken bool) {
		errs, taken = s.judgeEach(x, secret, len(events))
		return taken
	})
	if _, ok := errors.AsType[*cloudevent.EncodeError](err); ok {
		return connector.SendEncodable(events, func(sound []*cloudevent.Event) []error { return s.SendBatch(ctx, sound) })
	}
	if err != nil {
		return repeat(err, len(events))
	}
	return errs
}

func (s *Sink) sendSingly(ctx context.Context, events []*cloudevent.Event) []error {
	var errs []error
	for i, e := range events {
		err := s.Send(ctx, e)
		if err == nil {
			continue
		}
		if errs == nil {
			errs = make([]error, len(events))
		}
		errs[i] = err
		if connector.ClassOf(err) == connector.Permanent {
			continue
		}
		rest := err // the context ended or the sink was closed, which applies to all events
		if connector.ClassOf(err) != connector.Interrupted && !errors.Is(err, connector.ErrClosed) {
			rest = fmt.Errorf("%s: not sent, because an event before it failed: %w", s.target.name, connector.ErrInterrupted)
		}
		for j := i + 1; j < len(events); j++ {
			errs[j] = rest
		}
		return errs
	}
	return errs
}

// judgeEach reads the verdict for each event from the answer. It reports false if the
// answer has none, so that the status decides.
func (s *Sink) judgeEach(x *exchange, secret string, n int) ([]error, bool) {
	kind, _, err := mime.ParseMediaType(x.contentType)
	if err != nil {
		kind = ""
	}
	status := x.status
	explicit := kind == ContentTypeResults
	if !explicit && status != 207 {
		return nil, false
	}
	var body results
	if explicit || cloudevent.IsJSON(kind) {
		err = json.Unmarshal(x.body, &body)
	}
	if err != nil || len(body.Results) != n {
		if status != 207 {
			return nil, false
		}
		detail := fmt.Sprintf("the answer does not have one result for each of the %d events", n)
		return repeat(connector.AsTemporary(newStatusError(s.target.name, status, detail), 0), n), true
	}
	return s.eachVerdict(x, secret, body.Results), true
}

// eachVerdict returns nil if every event was delivered.
func (s *Sink) eachVerdict(x *exchange, secret string, list []result) []error {
	var errs []error
	for i, r := range list {
		if s.verdicts.of(r.Status) == delivered {
			continue
		}
		if errs == nil {
			errs = make([]error, len(list))
		}
		name := fmt.Sprintf("%s: event %d of %d", s.target.name, i+1, len(list))
		detail := snippet(s.credential.redact([]byte(r.Detail), secret))
		err := newStatusError(name, r.Status, detail)
		errs[i] = s.verdicts.classified(err, x.retryAfter)
	}
	return errs
}

func repeat(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
