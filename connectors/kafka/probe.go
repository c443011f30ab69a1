package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// probeLoop asks the cluster, once per interval, for the topics and the ends of
// partitions. So the lag is known also of partitions that are idle, paused or without a
// commit.
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

// probeTopics checks that the topics exist, and remembers the first answer: partitions
// that appear after it are later ones.
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
		r.cl.ForceMetadataRefresh() // the topic exists now; do not wait for the next refresh
	}
	r.src.health.set(aspectTopics, problem)
	return nil
}

// rememberTopics stores the topics of the first probe.
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

// forgetTopic removes a topic from the first probe's snapshot: a topic that has its
// name now is a later one, and is read from its start.
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
