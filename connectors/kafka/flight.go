package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// produceCall is the records of one call, all to one topic. Their bytes, headers and
// fates stand side by side, and are garbage together once the last of them is
// known, since franz-go may read any of them until then.
type produceCall struct {
	records []sent
	headers []kgo.RecordHeader // room for those of all records
	bytes   []byte             // room for those of all records

	maxHops    int                    // 0: events are not counted
	event      cloudevent.Event       // what counted returns
	extensions []cloudevent.Extension // its

	producer *Producer
	left     atomic.Int64  // records whose fate is not known
	landed   chan struct{} // closed when left is 0

	single [1]sent // what records is for one alone
}

// sent is one record of a flight. franz-go carries it with the record, as its
// context, so that land finds it without a closure for each.
type sent struct {
	context.Context // the delivery timeout
	record          kgo.Record
	flight          *produceCall
	parking         *inFlightLimit // whose place it has; nil: none
	size            int64
	err             error
	known           atomic.Bool // err is set
}

// newFlight has room for n records, which the caller fills in.
func newFlight(n int) *produceCall {
	f := &produceCall{landed: make(chan struct{})}
	if n == 1 {
		f.records = f.single[:]
	} else {
		f.records = make([]sent, n)
	}
	f.left.Store(int64(n))
	return f
}

// send starts writing the records of f. Each has its fate once f.landed is
// closed, or its known is set. An error means that none was, or will be, sent.
// ctx bounds the wait for places, and no more.
func (p *Producer) send(ctx context.Context, topic string, f *produceCall) error {
	if !p.enter() {
		return classify(topic, connector.ErrClosed)
	}
	state, err := p.prepare(ctx, topic)
	if err != nil {
		p.calls.Done()
		return classify(topic, err)
	}
	f.producer = p
	// The caller's context does not reach the records; this one is their
	// delivery timeout. franz-go heeds it only while it knows a record's fate:
	// before it was sent, or after an answer. (Its own RecordDeliveryTimeout
	// counts from the record's timestamp, which here may be of last year.)
	timeout := p.deadlines.next()
	for i := range f.records {
		s := &f.records[i]
		s.flight, s.size, s.record.Topic = f, sizeOf(&s.record), topic
		lane := p.places
		switch {
		case s.err != nil: // refused when it was loaded
			s.end(s.err)
			continue
		case s.size > maxRecord:
			s.end(fmt.Errorf("%w: %d bytes, the most is %d", ErrTooLarge, s.size, maxRecord))
			continue
		case s.size > int64(state.max.Load()):
			lane = p.oneLarge
		}
		if ctx.Err() != nil || !lane.try(s.size) {
			if err := lane.acquire(ctx, s.size); err != nil {
				s.end(err)
				continue
			}
			timeout = p.deadlines.next()
		}
		s.parking, s.Context, s.record.Context = lane, timeout, s
		if lane == p.oneLarge {
			p.apart.add(s)
			continue
		}
		p.cl.Produce(timeout, &s.record, onProduced)
	}
	return nil
}

// onProduced is franz-go's promise for records that share batches. A refusal is one of
// the batch, and says nothing yet of the record.
func onProduced(r *kgo.Record, err error) {
	s := r.Context.(*sent)
	if err != nil && isAny(err, permanent) {
		s.flight.producer.apart.add(s)
		return
	}
	s.answered(err)
}

// answered gives a record's place back and makes what the broker, or franz-go,
// says of it its fate.
func (s *sent) answered(err error) {
	s.parking.release(s.size)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w within %v", errUndelivered, s.flight.producer.cfg.DeliveryTimeout)
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) {
		s.flight.producer.recheckTopic(s.record.Topic)
	}
	s.end(err)
}

// end makes a record's fate known.
func (s *sent) end(err error) {
	f := s.flight
	s.err = classify(s.record.Topic, err)
	s.known.Store(true)
	if f.left.Add(-1) == 0 {
		f.producer.calls.Done()
		close(f.landed)
	}
}

// wait returns once all fates are known, or ctx has ended.
func (f *produceCall) wait(ctx context.Context) {
	select {
	case <-f.landed:
	case <-ctx.Done():
	}
}

// fate is that of a record, as far as it is known. The caller has waited for it
// until ctx ended.
func (f *produceCall) fate(ctx context.Context, i int) error {
	r := &f.records[i]
	if r.known.Load() {
		return r.err
	}
	return fmt.Errorf("write to topic %s: %w: %w", r.record.Topic, ErrOutcomeUnknown, ctx.Err())
}
