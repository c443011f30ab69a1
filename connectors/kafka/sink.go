package kafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// Sink writes CloudEvents to one topic, by the Kafka protocol binding of CloudEvents.
// The record's key is the event's Key. It is a connector.Sink and Checker, safe for
// concurrent use.
type Sink struct {
	cfg SinkConfig
	p   *Producer
}

// NewSink returns a sink for cfg, with defaults filled in. It opens no connection.
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

// Send writes e and returns nil once all in-sync replicas have it. When ctx ends first,
// Send returns an interruption and the record stays in flight: it may still be stored.
func (s *Sink) Send(ctx context.Context, e *cloudevent.Event) error {
	f := newProduceCall(1)
	if err := s.load(f, e); err != nil {
		return classify(s.cfg.Topic, err)
	}
	if err := s.p.send(ctx, s.cfg.Topic, f); err != nil {
		return err
	}
	f.wait(ctx)
	return f.outcome(ctx, 0)
}

// SendBatch writes events concurrently and returns the error of each, or nil. An event
// that cannot be written as JSON is refused alone.
func (s *Sink) SendBatch(ctx context.Context, events []*cloudevent.Event) []error {
	if len(events) == 0 {
		return nil
	}
	f := newProduceCall(len(events))
	if s.load(f, events...) != nil { // at least one event cannot be encoded
		return connector.SendEncodable(events, func(sound []*cloudevent.Event) []error { return s.SendBatch(ctx, sound) })
	}
	if err := s.p.send(ctx, s.cfg.Topic, f); err != nil {
		return slices.Repeat([]error{err}, len(events))
	}
	f.wait(ctx)
	var errs []error
	for i := range f.records {
		err := f.outcome(ctx, i)
		if err != nil && errs == nil {
			errs = make([]error, len(events))
		}
		if err != nil {
			errs[i] = err
		}
	}
	return errs
}

// load puts events into f; see produceCall.load for its error. franz-go sets the
// timestamp of records that have none, when it writes them.
func (s *Sink) load(f *produceCall, events ...*cloudevent.Event) error {
	f.maxHops = s.p.opts.MaxHops
	if err := f.load(s.cfg.Mode, events...); err != nil {
		return err
	}
	for i, e := range events {
		f.records[i].err = hopsFault(e, f.maxHops)
		if s.cfg.Timestamp == TimestampEvent && e.Time.Unix() >= 0 { // Kafka has no time before 1970
			f.records[i].record.Timestamp = e.Time
		}
	}
	return nil
}

// Close waits for events in flight until ctx ends.
func (s *Sink) Close(ctx context.Context) error { return s.p.Close(ctx) }
