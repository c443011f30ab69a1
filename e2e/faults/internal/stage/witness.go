package stage

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// often is how often committed offsets are looked at.
const often = 250 * time.Millisecond

// sample looks at the committed offsets until ctx ends. What cannot be read,
// because brokers are down, is read later.
func (s *Stage) sample(ctx context.Context) error {
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, _ = s.look(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// look looks once, and returns how many records are not committed.
func (s *Stage) look(ctx context.Context) (lag int64, err error) {
	s.looking.Lock()
	defer s.looking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	commits, err := s.Kafka.Committed(ctx, s.Flow.Group, s.Topic)
	if err != nil {
		return 0, err
	}
	letters, err := s.Kafka.Ends(ctx, s.Letters)
	if err != nil {
		return 0, err
	}
	ends, err := s.Kafka.Ends(ctx, s.Topic)
	if err != nil {
		return 0, err
	}
	for partition, end := range ends {
		at, ok := commits[partition]
		if ok && at >= 0 {
			s.Ledger.Committed(int(partition), at, letters[0])
		}
		lag += end - max(0, at)
	}
	return lag, nil
}

// reader reads the dead letter topic.
type reader struct {
	stage *Stage
	cl    *kgo.Client
}

func newReader(s *Stage) (*reader, error) {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(s.Kafka.Brokers()...), kgo.DisableClientMetrics(), kgo.MetadataMinAge(250*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.Letters: {0: kgo.NewOffset().AtStart()}}),
	)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	return &reader{stage: s, cl: cl}, nil
}

func (r *reader) run(ctx context.Context) error {
	defer r.cl.Close()
	for ctx.Err() == nil {
		for rec := range r.cl.PollFetches(ctx).RecordsAll() {
			headers := map[string]string{}
			for _, h := range rec.Headers {
				headers[h.Key] = string(h.Value)
			}
			partition, err1 := strconv.Atoi(headers["fiso-original-partition"])
			offset, err2 := strconv.ParseInt(headers["fiso-original-offset"], 10, 64)
			if err1 != nil || err2 != nil || headers["fiso-original-topic"] != r.stage.Topic {
				partition = -1
			}
			r.stage.Ledger.Letter(partition, offset, rec.Offset, headers["fiso-error-code"], rec.Value)
		}
	}
	return nil
}
