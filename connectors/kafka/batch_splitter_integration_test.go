//go:build integration

package kafka

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kerr"
)

// U6: a real broker refuses one of sixty events, and stores the other fifty-nine in
// order.
func TestReal_aRefusalReachesOnlyTheRecordThatCausedIt(t *testing.T) {
	c := kafkatest.Real(t, kafkatest.RealOptions{})
	for name, tc := range map[string]struct {
		configs map[string]string
		guilty  int
		change  func(*SinkConfig)
		spoil   func(e *cloudevent.Event)
		want    *kerr.Error
	}{
		"a compacted topic and no key": {
			configs: map[string]string{cleanupPolicy: "compact"}, guilty: 37,
			spoil: func(e *cloudevent.Event) { e.Key = nil }, want: kerr.InvalidRecord,
		},
		"a time too far ahead": {
			configs: map[string]string{afterMaxMS: "3600000"}, guilty: 0,
			change: func(cfg *SinkConfig) { cfg.Timestamp = TimestampEvent },
			spoil:  func(e *cloudevent.Event) { e.Time = time.Now().Add(48 * time.Hour) }, want: kerr.InvalidTimestamp,
		},
		"a time too long ago": {
			configs: map[string]string{beforeMaxMS: "3600000"}, guilty: 59,
			change: func(cfg *SinkConfig) { cfg.Timestamp = TimestampEvent },
			spoil:  func(e *cloudevent.Event) { e.Time = time.Now().Add(-48 * time.Hour) }, want: kerr.InvalidTimestamp,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, c, 1, tc.configs)
			s := newTestSink(t, c, func(cfg *SinkConfig) {
				cfg.Topic, cfg.Linger = p.topic, 500*time.Millisecond // all in one batch
				if tc.change != nil {
					tc.change(cfg)
				}
			})
			sent := events(60)
			for _, e := range sent {
				e.Time = time.Now()
			}
			tc.spoil(sent[tc.guilty])
			errs := s.SendBatch(t.Context(), sent)
			var want []string
			for i, e := range sent {
				var err error
				if errs != nil {
					err = errs[i]
				}
				switch {
				case i == tc.guilty && (!errors.Is(err, tc.want) || connector.ClassOf(err) != connector.Permanent):
					t.Errorf("the guilty record: %v, class %v", err, connector.ClassOf(err))
				case i != tc.guilty && err != nil:
					t.Errorf("record %d: %v", i, err)
				}
				if i != tc.guilty {
					want = append(want, string(e.Data.Bytes()))
				}
			}
			rs, err := c.Records(t.Context(), p.topic)
			if err != nil {
				t.Fatal(err)
			}
			if got := values(rs); !slices.Equal(got, want) {
				t.Errorf("stored %d records, want 59 in order: %v", len(got), got)
			}
		})
	}
}

// U5: the configuration, as the broker reports it, of a topic that was created for dead
// letters, and of one that was not.
func TestReal_aTopicForDeadLettersIsKeptForEver(t *testing.T) {
	c := kafkatest.Real(t, kafkatest.RealOptions{Config: map[string]string{"log.retention.ms": "1000", "log.cleanup.policy": "compact"}})
	p, err := NewProducer(ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, ProducerOptions{CreateTopics: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(t.Context()) }) // nothing is in flight
	if err := c.CreateTopic(t.Context(), "others", 1, nil); err != nil {
		t.Fatal(err)
	}
	// A broker may not know a topic yet that was just created.
	eventually(t, "the record is stored", func() bool {
		err = p.Produce(t.Context(), Record{Topic: "letters", Value: []byte("without a key")})
		return !errors.Is(err, ErrNoTopic)
	})
	if err != nil {
		t.Fatal(err)
	}
	step := func(topic string) connector.Step {
		steps := p.Check(t.Context(), topic)
		i := slices.IndexFunc(steps, func(s connector.Step) bool { return strings.HasPrefix(s.Name, "topic "+topic) })
		if i < 0 {
			t.Fatalf("%+v", steps)
		}
		return steps[i]
	}
	if got := step("letters"); got.Name != "topic letters (cleanup.policy=delete, retention.ms=-1, retention.bytes=-1)" || got.Err != nil || got.Warning != "" {
		t.Errorf("%+v", got)
	}
	if got := step("others"); got.Err == nil || got.Name != "topic others (cleanup.policy=compact, retention.ms=1000, retention.bytes=-1)" {
		t.Errorf("%+v", got)
	}
}
