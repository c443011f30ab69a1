package harness

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// offsetsTopic is where brokers store the commits of all groups. Reading it gives every commit.
// Asking the group would miss some, and a coordinator that has just started may return old commits
// for a moment.
const offsetsTopic = "__consumer_offsets"

// commitReader reads each commit of the group in order.
type commitReader struct {
	env *Env
	cl  *kgo.Client
}

func newCommitReader(s *Env) (*commitReader, error) {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(s.Kafka.Brokers()...), kgo.DisableClientMetrics(), kgo.MetadataMinAge(250*time.Millisecond), kgo.MetadataMaxAge(time.Second),
		kgo.ConsumeTopics(offsetsTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond),
	)
	if err != nil {
		return nil, fmt.Errorf("read commits: %w", err)
	}
	return &commitReader{env: s, cl: cl}, nil
}

func (w *commitReader) run(ctx context.Context) error {
	defer w.cl.Close()
	for ctx.Err() == nil {
		fetches := w.cl.PollFetches(ctx)
		if fetches.NumRecords() == 0 {
			continue
		}
		deadLetters := w.deadLettersEnd(ctx) // read after the commits, so that the dead letters behind these commits are below it
		for r := range fetches.RecordsAll() {
			partition, offset, ok := parseCommit(r, w.env.Flow.Group, w.env.Topic)
			if ok {
				w.env.Ledger.Committed(partition, offset, deadLetters)
			}
		}
	}
	return nil
}

// deadLettersEnd returns the end of the dead letter topic, or the largest number if the brokers do not
// answer.
func (w *commitReader) deadLettersEnd(ctx context.Context) int64 {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ends, err := kadm.NewClient(w.cl).ListEndOffsets(ctx, w.env.DeadLetterTopic)
	if end, ok := ends.Lookup(w.env.DeadLetterTopic, 0); err == nil && ok && end.Err == nil {
		return end.Offset
	}
	return math.MaxInt64
}

// parseCommit parses a record of the offsets topic. ok is false unless it is a commit of group for
// topic.
func parseCommit(r *kgo.Record, group, topic string) (partition int, offset int64, ok bool) {
	var key kmsg.OffsetCommitKey
	if len(r.Key) < 2 || binary.BigEndian.Uint16(r.Key) > 1 || key.ReadFrom(r.Key) != nil || key.Group != group || key.Topic != topic {
		return 0, 0, false
	}
	var value kmsg.OffsetCommitValue
	if err := value.ReadFrom(r.Value); err != nil {
		return 0, 0, false // the commit was deleted
	}
	return int(key.Partition), value.Offset, true
}

// deadLetterReader reads the dead letter topic.
type deadLetterReader struct {
	env *Env
	cl  *kgo.Client
}

func newDeadLetterReader(s *Env) (*deadLetterReader, error) {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(s.Kafka.Brokers()...), kgo.DisableClientMetrics(), kgo.MetadataMinAge(250*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.DeadLetterTopic: {0: kgo.NewOffset().AtStart()}}),
	)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	return &deadLetterReader{env: s, cl: cl}, nil
}

func (r *deadLetterReader) run(ctx context.Context) error {
	defer r.cl.Close()
	for ctx.Err() == nil {
		for rec := range r.cl.PollFetches(ctx).RecordsAll() {
			headers := map[string]string{}
			for _, h := range rec.Headers {
				headers[h.Key] = string(h.Value)
			}
			partition, err1 := strconv.Atoi(headers["fiso-original-partition"])
			offset, err2 := strconv.ParseInt(headers["fiso-original-offset"], 10, 64)
			if err1 != nil || err2 != nil || headers["fiso-original-topic"] != r.env.Topic {
				partition = -1
			}
			r.env.Ledger.DeadLetter(partition, offset, rec.Offset, headers["fiso-error-code"], rec.Value)
		}
	}
	return nil
}
