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

// produceCall holds the records of one call, all to one topic. Their bytes, headers and
// outcomes share a few allocations, which are never reused: franz-go may read them
// until the last outcome is known.
type produceCall struct {
	records []sent
	headers []kgo.RecordHeader // of all records
	bytes   []byte             // of all records

	maxHops    int                    // 0: hops are not counted
	event      cloudevent.Event       // returned by counted
	extensions []cloudevent.Extension // of event

	producer *Producer
	left     atomic.Int64  // records without an outcome
	done     chan struct{} // closed when left is 0

	single [1]sent // backs records when there is one
}

// sent is one record of a call. franz-go carries it as the record's context, so that
// onProduced finds it without a closure per record.
type sent struct {
	context.Context // the delivery timeout
	record          kgo.Record
	call            *produceCall
	limit           *inFlightLimit // that counts it; nil: none
	size            int64
	err             error
	known           atomic.Bool // err is final
}

// newProduceCall returns a call of n records, which the caller fills in.
func newProduceCall(n int) *produceCall {
	f := &produceCall{done: make(chan struct{})}
	if n == 1 {
		f.records = f.single[:]
	} else {
		f.records = make([]sent, n)
	}
	f.left.Store(int64(n))
	return f
}

// send starts to write the records of f. All outcomes are known once f.done is closed;
// a record's outcome is known once its known is set. After an error no record is sent.
// ctx bounds only the wait for the limits of records in flight.
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
	// The records get the delivery timeout as their context, and not the caller's.
	// franz-go obeys it only while it knows the record's state: before the record is
	// sent, or after an answer. (RecordDeliveryTimeout of franz-go counts from the
	// record's timestamp, which may be a year old.)
	timeout := p.deadlines.next()
	for i := range f.records {
		s := &f.records[i]
		s.call, s.size, s.record.Topic = f, sizeOf(&s.record), topic
		limit := p.inFlight
		switch {
		case s.err != nil: // refused by load
			s.finish(s.err)
			continue
		case s.size > maxRecord:
			s.finish(fmt.Errorf("%w: %d bytes, the most is %d", ErrTooLarge, s.size, maxRecord))
			continue
		case s.size > int64(state.max.Load()):
			limit = p.largeLimit
		}
		if ctx.Err() != nil || !limit.try(s.size) {
			if err := limit.acquire(ctx, s.size); err != nil {
				s.finish(err)
				continue
			}
			timeout = p.deadlines.next()
		}
		s.limit, s.Context, s.record.Context = limit, timeout, s
		if limit == p.largeLimit {
			p.splitter.add(s)
			continue
		}
		p.cl.Produce(timeout, &s.record, onProduced)
	}
	return nil
}

// onProduced is called by franz-go with the answer for a record. A permanent error
// concerns the whole batch, so the splitter writes its records again in smaller
// batches.
func onProduced(r *kgo.Record, err error) {
	s := r.Context.(*sent)
	if err != nil && isAny(err, permanent) {
		s.call.producer.splitter.add(s)
		return
	}
	s.answered(err)
}

// answered releases the record's limit and makes the answer its outcome.
func (s *sent) answered(err error) {
	s.limit.release(s.size)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w within %v", errUndelivered, s.call.producer.cfg.DeliveryTimeout)
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) {
		s.call.producer.recheckTopic(s.record.Topic)
	}
	s.finish(err)
}

// finish makes a record's outcome known.
func (s *sent) finish(err error) {
	f := s.call
	s.err = classify(s.record.Topic, err)
	s.known.Store(true)
	if f.left.Add(-1) == 0 {
		f.producer.calls.Done()
		close(f.done)
	}
}

// wait returns when all outcomes are known or ctx has ended.
func (f *produceCall) wait(ctx context.Context) {
	select {
	case <-f.done:
	case <-ctx.Done():
	}
}

// outcome returns the outcome of record i, or ErrOutcomeUnknown. The caller has called
// wait with ctx.
func (f *produceCall) outcome(ctx context.Context, i int) error {
	r := &f.records[i]
	if r.known.Load() {
		return r.err
	}
	return fmt.Errorf("write to topic %s: %w: %w", r.record.Topic, ErrOutcomeUnknown, ctx.Err())
}
