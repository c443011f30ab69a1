package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicState is what the broker says about a topic. It is asked at the first record,
// and again after a broker answered that the topic is unknown.
type topicState struct {
	ask   chan struct{} // capacity 1: the call that holds the token asks
	ready atomic.Bool   // the topic is known; set with ask held
	max   atomic.Int32  // largest batch; set before ready
	id    kadm.TopicID  // zero: not known, or the broker has no ids; guarded by ask
}

// batchMax returns the largest batch of a topic, in bytes. franz-go calls it once, at
// the topic's first record, after prepare.
func (p *Producer) batchMax(topic string) int32 {
	if s := p.topic(topic); s.ready.Load() {
		return s.max.Load()
	}
	return defaultBatch
}

// prepare asks the broker, before a topic's first record, whether the topic exists and
// how large a batch it accepts. One call asks; others wait for it.
func (p *Producer) prepare(ctx context.Context, topic string) (*topicState, error) {
	s := p.topic(topic)
	if s.ready.Load() {
		return s, nil
	}
	select {
	case s.ask <- struct{}{}:
		defer func() { <-s.ask }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if s.ready.Load() {
		return s, nil
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, p.cfg.DeliveryTimeout)
	defer cancel()
	id, err := p.ensure(ctx, topic)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && caller.Err() == nil {
			err = fmt.Errorf("%w within %v: %w", errUndelivered, p.cfg.DeliveryTimeout, err)
		}
		return nil, err
	}
	if s.id != (kadm.TopicID{}) && s.id != id {
		// The topic was deleted and created again. franz-go would go on writing to the
		// old topic and fail for ever. It forgets the topic only when the id differs:
		// in the same log, sequence numbers that start again could be taken for
		// duplicates.
		p.cl.PurgeTopicsFromProducing(topic)
		p.splitter.client.PurgeTopicsFromProducing(topic)
		p.log.Warn("topic was recreated", "topic", topic)
	}
	s.id = id
	s.max.Store(p.askMax(ctx, topic))
	s.ready.Store(true)
	return s, nil
}

// recheckTopic makes the next record ask the broker about the topic again.
func (p *Producer) recheckTopic(topic string) { p.topic(topic).ready.Store(false) }

// topic returns the state of a topic.
func (p *Producer) topic(name string) *topicState {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.topics[name]
	if s == nil {
		s = &topicState{ask: make(chan struct{}, 1)}
		p.topics[name] = s
	}
	return s
}

// ensure returns the id of the topic, and creates the topic if that is allowed.
func (p *Producer) ensure(ctx context.Context, topic string) (kadm.TopicID, error) {
	id, err := p.lookUp(ctx, topic)
	switch {
	case err == nil, !errors.Is(err, kerr.UnknownTopicOrPartition):
		return id, err
	case !p.opts.CreateTopics:
		return id, ErrNoTopic
	}
	resp, err := p.adm.CreateTopic(ctx, -1, -1, keepAll(), topic)
	if err == nil {
		err = resp.Err
	}
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return p.lookUp(ctx, topic)
	}
	if err != nil {
		return id, fmt.Errorf("create the topic with unlimited retention (%s=-1): grant this user CREATE, or create it with another user: %w", retentionMS, err)
	}
	p.log.Info("topic created", "topic", topic)
	return resp.ID, nil
}

// lookUp asks a broker, and not franz-go's cache, whether the topic exists.
func (p *Producer) lookUp(ctx context.Context, topic string) (id kadm.TopicID, err error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, p.cl)
	if err != nil {
		return id, fmt.Errorf("look for the topic: %w", err)
	}
	for _, t := range resp.Topics {
		return t.TopicID, kerr.ErrorForCode(t.ErrorCode)
	}
	return id, kerr.UnknownTopicOrPartition
}

// askMax returns maxMessageBytes if it is set, or the topic's max.message.bytes within
// what franz-go accepts. A user that may not read the configuration gets the default,
// and larger records are then sent alone.
func (p *Producer) askMax(ctx context.Context, topic string) int32 {
	set := int32(p.cfg.MaxMessageBytes)
	if set > 0 && !p.opts.CreateTopics {
		return set
	}
	conf, err := describe(ctx, p.adm, topic)
	if err != nil {
		p.log.Debug("topic configuration unknown, using the default batch size", "topic", topic, "error", err)
		return cmp.Or(set, defaultBatch)
	}
	if p.opts.CreateTopics {
		p.warn(topic, conf)
	}
	if set > 0 {
		return set
	}
	if n, known := conf.limit(maxBytes); known {
		return int32(min(max(n, 512), maxRecord))
	}
	return defaultBatch
}

// warn logs how a topic that must keep all records may lose some.
func (p *Producer) warn(topic string, conf topicConfig) {
	warnings, fault := conf.lossRisks()
	if fault != nil {
		warnings = append(warnings, fault.Error())
	}
	for _, w := range warnings {
		p.log.Warn("topic may lose records", "topic", topic, "reason", w)
	}
}
