package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// Sink writes CloudEvents to one topic, by the Kafka protocol binding of
// CloudEvents. The record's key is the event's Key. It is a connector.Sink and
// Checker, safe for concurrent use.
type Sink struct {
	cfg SinkConfig
	p   *Producer
}

// NewSink is a sink by cfg, with defaults filled in. It dials nothing.
func NewSink(cfg SinkConfig, opts ProducerOptions) (*Sink, error) {
	config.Defaults(&cfg)
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("kafka sink: %w", err)
	}
	p, err := newProducer(cfg.ProducerConfig, opts)
	if err != nil {
		return nil, err
	}
	return &Sink{cfg, p}, nil
}

// Send writes e and returns nil once all in-sync replicas have it. When ctx ends
// first, Send returns its error, an interruption, and the record stays under
// way: it may be stored all the same.
func (s *Sink) Send(ctx context.Context, e *cloudevent.Event) error {
	r := s.record(e)
	done := make(chan error, 1)
	if err := s.p.produce(ctx, &r, func(err error) { done <- err }); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("write to topic %s: the answer was not waited for: %w", s.cfg.Topic, ctx.Err())
	}
}

// SendBatch writes events side by side and returns each one's error, or nil.
func (s *Sink) SendBatch(ctx context.Context, events []*cloudevent.Event) []error {
	type fate struct {
		i   int
		err error
	}
	fates := make(chan fate, len(events))
	for i, e := range events {
		r := s.record(e)
		if err := s.p.produce(ctx, &r, func(err error) { fates <- fate{i, err} }); err != nil {
			fates <- fate{i, err}
		}
	}
	errs, failed := make([]error, len(events)), false
	for i := range errs {
		errs[i] = errUnanswered
	}
	for range events {
		select {
		case f := <-fates:
			errs[f.i] = f.err
			failed = failed || f.err != nil
			continue
		case <-ctx.Done():
			failed = true
		}
		break
	}
	if !failed {
		return nil
	}
	for i, err := range errs {
		if errors.Is(err, errUnanswered) {
			errs[i] = fmt.Errorf("write to topic %s: the answer was not waited for: %w", s.cfg.Topic, ctx.Err())
		}
	}
	return errs
}

// Close waits for events under way until ctx ends.
func (s *Sink) Close(ctx context.Context) error { return s.p.Close(ctx) }

// record is e as a record of the sink's mode. Its bytes are copies, since it
// may be under way still when Send has returned; all of them stand in one
// allocation, the headers in another.
func (s *Sink) record(e *cloudevent.Event) Record {
	r := Record{Topic: s.cfg.Topic, Time: e.Time}
	r.Headers = make([]connector.Header, 0, 10+len(e.Extensions))
	buf := make([]byte, 0, len(e.Key)+len(e.Data)+roomForAttributes)
	// part is what the last append added. When buf grew, earlier parts keep
	// the array they were written to.
	part := func(from int) []byte { return buf[from:len(buf):len(buf)] }
	if e.Key != nil {
		buf = append(buf, e.Key...)
		r.Key = part(0)
	}
	at := len(buf)
	if s.cfg.Mode == ModeStructured {
		buf = e.AppendJSON(buf)
		r.Value = part(at)
		r.Headers = append(r.Headers, header("content-type", structuredType))
	} else {
		if e.Data != nil {
			buf = append(buf, e.Data...)
			r.Value = part(at)
		}
		e.Attributes(func(name, value string) bool {
			at := len(buf)
			buf = append(buf, value...)
			r.Headers = append(r.Headers, connector.Header{Key: headerName(name), Value: part(at)})
			return true
		})
		if e.DataContentType != "" {
			r.Headers = append(r.Headers, header("content-type", e.DataContentType))
		}
	}
	// For readers that know W3C trace context and no CloudEvents.
	for _, name := range []string{"traceparent", "tracestate"} {
		if v, ok := e.Extension(name); ok {
			r.Headers = append(r.Headers, header(name, v))
		}
	}
	return r
}

// roomForAttributes is about what the attributes of an event take.
const roomForAttributes = 256

// headerName is the header of an attribute. The names that every event has are
// not put together anew each time.
func headerName(attribute string) string {
	switch attribute {
	case "specversion":
		return cloudevent.KafkaPrefix + "specversion"
	case "id":
		return cloudevent.KafkaPrefix + "id"
	case "source":
		return cloudevent.KafkaPrefix + "source"
	case "type":
		return cloudevent.KafkaPrefix + "type"
	case "subject":
		return cloudevent.KafkaPrefix + "subject"
	case "time":
		return cloudevent.KafkaPrefix + "time"
	}
	return cloudevent.KafkaPrefix + attribute
}

var errUnanswered = errors.New("unanswered")

const structuredType = cloudevent.ContentTypeJSON + "; charset=UTF-8"

func header(name, value string) connector.Header {
	return connector.Header{Key: name, Value: []byte(value)}
}
