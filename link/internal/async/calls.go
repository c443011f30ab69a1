package async

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/delivery/fault"
	"github.com/lsm/fiso/link/internal/resilience"
)

// calls is the transformer and the sink of a worker's delivery engine. Transform reads
// a record, Send makes the call, and reply stores its result. The request travels
// between them as the attachment of its event.
type calls struct {
	Config
	store *Store
}

// Transform decodes a record into one event.
func (c *calls) Transform(_ context.Context, m *connector.Message, into []delivery.Routed) ([]delivery.Routed, error) {
	r, err := decode(m, c.Target.Spec.Name)
	if err != nil {
		return into, fault.New(fault.DecodeFailed, err)
	}
	return append(into, delivery.Routed{Event: &r.event, Attachment: r}), nil
}

// Send makes a call once. The walk may retry it within that, as the target's retry
// says.
func (c *calls) Send(ctx context.Context, _ *cloudevent.Event) error {
	r, spec := attached(ctx), c.Target.Spec
	v := judge{
		trial:         c.Target.Breaker.State() != resilience.Closed,
		ownCredential: c.Target.Credential != nil,
		needsWhole:    spec.Async.ReplyTopic != "",
	}
	r.answer = &responseWriter{most: int(spec.Async.MaxBodyBytes)}
	if v.needsWhole {
		r.answer.keep = r.answer.most
	}
	return v.of(r.answer, c.Deliver(ctx, r.answer, c.Target, r.call()))
}

// Close does nothing: the owner of the target closes it.
func (*calls) Close(context.Context) error { return nil }

// reply stores the reply of a call. It is the receipt of the delivery. If an earlier
// reply may already be on its way to Kafka, reply waits for it instead of writing
// another.
func (c *calls) reply(ctx context.Context, _ *cloudevent.Event, letter *deadletter.Letter) error {
	r, spec := attached(ctx), c.Target.Spec
	code := ""
	if letter != nil {
		code = string(letter.Code)
	}
	if r.ended.IsZero() {
		r.ended = time.Now()
	}
	for {
		err := r.storeReply(ctx, c.store, func() kafka.Record { return replyRecord(spec.Async.ReplyTopic, spec.Name, r, code) })
		switch {
		case err == nil:
			return nil
		case errors.Is(err, kafka.ErrTooLarge) && !r.answer.truncated:
			r.answer.truncated = true
			continue
		case !errors.Is(ctx.Err(), context.Canceled):
			c.OnUnwritten(Reply)
		}
		return err
	}
}

// storeReply waits for the reply under way, or begins to write one.
func (r *request) storeReply(ctx context.Context, s *Store, record func() kafka.Record) (err error) {
	if r.reply == nil {
		if r.reply, err = s.producer.Begin(ctx, record()); err != nil {
			return err
		}
	}
	err = r.reply.Wait(ctx)
	if errors.Is(err, kafka.ErrOutcomeUnknown) && ctx.Err() != nil {
		return fmt.Errorf("waiting for Kafka to take the reply: %w", err)
	}
	r.reply = nil
	return err
}

func attached(ctx context.Context) *request {
	return delivery.Attachment(ctx).(*request) //nolint:forcetypeassert // Transform's
}
