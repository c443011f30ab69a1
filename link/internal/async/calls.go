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

// calls makes the calls of a worker. It is what the delivery engine needs of one:
// Transform reads a record, Send makes the call, and reply stores how it ended.
// A request goes from one to the next as the attachment of its event.
type calls struct {
	Config
	store *Store
}

// Transform makes one event of a record.
func (c *calls) Transform(_ context.Context, m *connector.Message, into []delivery.Routed) ([]delivery.Routed, error) {
	r, err := decode(m, c.Target.Spec.Name)
	if err != nil {
		return into, fault.New(fault.DecodeFailed, err)
	}
	return append(into, delivery.Routed{Event: &r.event, Attachment: r}), nil
}

// Send makes a call once, attempts of the target's retry included.
func (c *calls) Send(ctx context.Context, _ *cloudevent.Event) error {
	r, spec := attached(ctx), c.Target.Spec
	v := judge{
		trial: c.Target.Breaker.State() != resilience.Closed,
		owns:  c.Target.Credential != nil,
		whole: spec.Async.ReplyTopic != "",
	}
	r.answer = &responseWriter{most: int(spec.Async.MaxBodyBytes)}
	if v.whole {
		r.answer.keep = r.answer.most
	}
	return v.of(r.answer, c.Deliver(ctx, r.answer, c.Target, r.call()))
}

// Close has nothing to let go of: the target is the caller's.
func (*calls) Close(context.Context) error { return nil }

// reply stores how a call ended. It is the receipt of a delivery: a reply that may
// be on its way to Kafka is waited for and not written again.
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
		err := r.storeReply(ctx, c.store, func() kafka.Record { return reply(spec.Async.ReplyTopic, spec.Name, r, code) })
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

// storeReply goes on to wait for the reply that is under way, or begins one.
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
