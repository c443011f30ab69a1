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

// topicState is what the broker says of a topic, asked when it is first used,
// and again after a broker said that it does not know it.
type topicState struct {
	ask   chan struct{} // holds one token
	ready atomic.Bool   // set with ask held, once the topic is known
	max   atomic.Int32  // largest batch; set before ready
	id    kadm.TopicID  // zero: not known yet, or the broker has none; with ask held
}

// batchMax is the largest batch of a topic. franz-go asks once, at the topic's
// first record, which prepare goes before.
func (p *Producer) batchMax(topic string) int32 {
	if s := p.topic(topic); s.ready.Load() {
		return s.max.Load()
	}
	return defaultBatch
}

// prepare asks the broker about a topic before its first record: whether it is
// there, and how large a batch it takes. One call asks, others wait for it.
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
	ctx, cancel := context.WithTimeout(ctx, p.cfg.DeliveryTimeout)
	defer cancel()
	id, err := p.ensure(ctx, topic)
	if err != nil {
		return nil, err
	}
	if s.id != (kadm.TopicID{}) && s.id != id {
		// A topic made anew. franz-go goes on writing to the one that it knows,
		// and fails for ever. Only a topic that is another one is forgotten:
		// sequence numbers that begin again in the same log could be taken for
		// ones that it has.
		p.cl.PurgeTopicsFromProducing(topic)
		p.apart.client.PurgeTopicsFromProducing(topic)
		p.log.Warn("the topic was made anew", "topic", topic)
	}
	s.id = id
	s.max.Store(p.askMax(ctx, topic))
	s.ready.Store(true)
	return s, nil
}

// recheckTopic has the broker asked about a topic again, before its next record.
func (p *Producer) recheckTopic(topic string) { p.topic(topic).ready.Store(false) }

// topic is what is known of a topic.
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

// ensure sees that the topic exists, and creates it if it may.
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
		return id, fmt.Errorf("create the topic, to be kept for ever (%s=-1), or let somebody create it who may: %w", retentionMS, err)
	}
	p.log.Info("created topic", "topic", topic)
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

// askMax is the topic's max.message.bytes, within what franz-go takes, unless
// maxMessageBytes is set. A user without the right to ask gets the default:
// larger records then go alone.
func (p *Producer) askMax(ctx context.Context, topic string) int32 {
	set := int32(p.cfg.MaxMessageBytes)
	if set > 0 && !p.opts.CreateTopics {
		return set
	}
	conf, err := describe(ctx, p.adm, topic)
	if err != nil {
		p.log.Debug("the topic's configuration is not known; using the default of max.message.bytes, or maxMessageBytes", "topic", topic, "error", err)
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

// warn logs how a topic that is to keep everything loses records.
func (p *Producer) warn(topic string, conf topicConfig) {
	warnings, fault := conf.lossRisks()
	if fault != nil {
		warnings = append(warnings, fault.Error())
	}
	for _, w := range warnings {
		p.log.Warn("the topic may lose records", "topic", topic, "reason", w)
	}
}
