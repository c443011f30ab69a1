package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// probeLoop looks at the cluster once an interval: whether it answers and has
// the topics, and where partitions end. So the lag is known of partitions that
// are idle, paused or were never committed.
func (r *session) probeLoop() {
	for retry := 1; ; retry++ {
		ctx, cancel := context.WithTimeout(r.ctx, commitTimeout)
		err := r.probe(ctx)
		cancel()
		if r.ctx.Err() != nil {
			return
		}
		rest := r.src.opts.ProbeInterval
		r.src.health.set(aspectProbe, err)
		if err == nil {
			r.src.health.set(aspectConnect, nil)
			retry = 0
		} else {
			rest = min(rest, retryBackoff.Delay(retry))
		}
		if !r.pause(rest) {
			return
		}
	}
}

func (r *session) probe(ctx context.Context) error {
	if err := r.probeTopics(ctx); err != nil {
		return fmt.Errorf("the cluster does not answer: %w", explain(err))
	}
	return r.probeEnds(ctx)
}

// probeTopics sees whether the topics are there. The first look that is
// answered is kept: what appears after it is later.
func (r *session) probeTopics(ctx context.Context) error {
	if r.src.pattern != nil && r.src.snapshot() != nil {
		return nil // franz-go looks for new topics of a pattern by itself
	}
	details, err := r.adm.ListTopics(ctx, r.src.cfg.topics()...)
	if err != nil {
		return err
	}
	r.src.rememberTopics(details)
	var problem error
	if r.src.pattern == nil {
		for _, topic := range r.src.cfg.topics() {
			if d, ok := details[topic]; !ok || d.Err != nil {
				problem = errors.Join(problem, topicProblem(topic, d.Err))
			}
		}
	}
	if problem == nil && r.src.health.get(aspectTopics) != nil {
		r.cl.ForceMetadataRefresh() // the topic is there now; do not wait for the next look
	}
	r.src.health.set(aspectTopics, problem)
	return nil
}

// rememberTopics keeps the first look at the topics.
func (s *Source) rememberTopics(details kadm.TopicDetails) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.partitionsSeen != nil {
		return
	}
	s.partitionsSeen = &snapshot{at: time.Now(), topics: map[string]topicPartitions{}}
	for topic, d := range details {
		if d.Err != nil || !s.reads(topic) {
			continue
		}
		k := topicPartitions{partitions: map[int32]bool{}}
		for n := range d.Partitions {
			k.partitions[n] = true
		}
		s.partitionsSeen.topics[topic] = k
	}
}

// forgetTopic takes a topic out of the first look: what has its name now came later,
// and is read from its start.
func (s *Source) forgetTopic(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.partitionsSeen != nil {
		delete(s.partitionsSeen.topics, topic)
	}
}

func (r *session) probeEnds(ctx context.Context) error {
	all := r.live()
	seen := map[string]bool{}
	var topics []string
	for _, a := range all {
		if !seen[a.part.topic] {
			seen[a.part.topic] = true
			topics = append(topics, a.part.topic)
		}
	}
	if len(topics) == 0 {
		return nil
	}
	ends, err := r.listEnds(ctx, topics...)
	for _, a := range all {
		if e, ok := ends.Lookup(a.part.topic, a.part.partition); ok && e.Err == nil && e.Offset >= 0 {
			a.noteEnd(e.Offset)
		}
	}
	if err != nil {
		return fmt.Errorf("list the ends of partitions: %w", explain(err))
	}
	return nil
}
