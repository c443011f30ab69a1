package kafka

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// U5: a topic created with the broker's defaults lost its records after seven days.
func TestProducer_aTopicThatItCreatesIsKeptForEver(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{})
	p := newTestProducer(t, c, ProducerOptions{CreateTopics: true})
	if err := p.Produce(t.Context(), Record{Topic: "t", Value: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	conf, err := describe(t.Context(), p.adm, "t")
	if err != nil || conf[cleanupPolicy] != "delete" || conf[retentionMS] != "-1" || conf[retentionBytes] != "-1" {
		t.Errorf("%v, %v", conf, err)
	}
}

// U5: retention counts from a record's timestamp, so that an old event was deleted
// as soon as it was written.
func TestSink_datesARecordWhenItIsWritten(t *testing.T) {
	old, ahead := time.Date(2020, 1, 2, 3, 4, 5, 6_000_000, time.UTC), time.Date(2120, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tc := range map[string]struct {
		timestamp string
		event     time.Time
		want      time.Time // zero: now
	}{
		"by default":              {"", old, time.Time{}},
		"now":                     {TimestampNow, old, time.Time{}},
		"now, of the future":      {TimestampNow, ahead, time.Time{}},
		"event":                   {TimestampEvent, old, old},
		"event, of the future":    {TimestampEvent, ahead, ahead},
		"event, without a time":   {TimestampEvent, time.Time{}, time.Time{}},
		"event, from before 1970": {TimestampEvent, time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), time.Time{}},
		"event, of 1970":          {TimestampEvent, time.Unix(0, 0), time.Unix(0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
			s := newTestSink(t, c, func(cfg *SinkConfig) { cfg.Timestamp = tc.timestamp })
			e := &cloudevent.Event{ID: "1", Source: "/s", Type: "t", Time: tc.event}
			before := time.Now().Truncate(time.Millisecond)
			if err := s.Send(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if errs := s.SendBatch(t.Context(), []*cloudevent.Event{e}); errs != nil {
				t.Fatal(errs)
			}
			rs := all(t, c, "t")
			if len(rs) != 2 {
				t.Fatalf("%d records", len(rs))
			}
			for _, r := range rs {
				got := r.Timestamp
				if !tc.want.IsZero() && !got.Equal(tc.want) || tc.want.IsZero() && (got.Before(before) || got.After(time.Now())) {
					t.Errorf("dated %v", got)
				}
				if at := eventOf(t, r).Time; !at.Equal(tc.event) {
					t.Errorf("ce_time is %v, want the event's own", at)
				}
			}
		})
	}
}

// U5: the check warns before records are lost.
func TestTopicConfig_saysHowATopicLosesRecords(t *testing.T) {
	for name, tc := range map[string]struct {
		conf     topicConfig
		fault    string
		warnings []string
	}{
		"kept for ever": {topicConfig{cleanupPolicy: "delete", retentionMS: "-1", retentionBytes: "-1"}, "", nil},
		"nothing known": {topicConfig{}, "", nil},
		"a week": {topicConfig{cleanupPolicy: "delete", retentionMS: "604800000", retentionBytes: "-1"}, "",
			[]string{"the broker deletes records after 168h0m0s (retention.ms), also those that nobody has read: raise it, or set it to -1"}},
		"bytes and days": {topicConfig{cleanupPolicy: "delete", retentionMS: "1000", retentionBytes: "1048576"}, "",
			[]string{"the broker deletes records after 1s (retention.ms) and beyond 1048576 bytes of a partition (retention.bytes), also those that nobody has read: raise it, or set it to -1"}},
		"the largest number": {topicConfig{cleanupPolicy: "delete", retentionMS: "9223372036854775807"}, "", nil},
		"compacted": {topicConfig{cleanupPolicy: "compact", retentionMS: "1000"},
			"cleanup.policy=compact: the broker refuses records without a key, and keeps only the last of each key: set it to delete", nil},
		"compacted and deleted": {topicConfig{cleanupPolicy: "compact,delete", retentionMS: "-1"},
			"cleanup.policy=compact,delete: the broker refuses records without a key, and keeps only the last of each key: set it to delete", nil},
		"clocks": {topicConfig{beforeMaxMS: "1000", afterMaxMS: "2000"}, "", []string{
			"message.timestamp.before.max.ms=1s: a record is refused when the clocks of broker and client differ by more: raise it",
			"message.timestamp.after.max.ms=2s: a record is refused when the clocks of broker and client differ by more: raise it"}},
		"clocks that do not count": {topicConfig{afterMaxMS: "2000", timestampType: "LogAppendTime"}, "", nil},
		"the usual hour":           {topicConfig{afterMaxMS: "3600000"}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			warnings, fault := tc.conf.lossRisks()
			if got := text(fault); got != tc.fault || !slices.Equal(warnings, tc.warnings) {
				t.Errorf("fault %q\nwarnings %q", got, warnings)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// U5: with timestamp: event, the risks that the default avoids return, and the check
// names them.
func TestTopicConfig_saysWhatHappensToOldEvents(t *testing.T) {
	conf := topicConfig{cleanupPolicy: "delete", retentionMS: "604800000", beforeMaxMS: "9223372036854775807", afterMaxMS: "3600000"}
	want := []string{
		"with timestamp: event, the broker may delete an event that is older than 168h0m0s as soon as it is written (retention.ms)",
		"with timestamp: event, an event further ahead than 1h0m0s is refused (message.timestamp.after.max.ms)",
	}
	if got := conf.retentionRisks(true); !slices.Equal(got, want) {
		t.Errorf("by event: %q", got)
	}
	if got := conf.retentionRisks(false); got != nil {
		t.Errorf("by now: %q", got)
	}
	conf[timestampType] = "LogAppendTime"
	if got := conf.retentionRisks(true); got != nil {
		t.Errorf("by event, and the broker dates records itself: %q", got)
	}
	if got := (topicConfig{cleanupPolicy: "compact"}).retentionRisks(false); !slices.Equal(got, []string{"a record without a key is refused, as the topic is compacted"}) {
		t.Errorf("compacted: %q", got)
	}
}

// U5: check says what the topic keeps.
func TestProducer_checkSaysWhatTheTopicKeeps(t *testing.T) {
	for name, tc := range map[string]struct {
		configs           map[string]string // nil: no such topic
		create            bool
		refuse            *kerr.Error
		last, fault, warn string
	}{
		"for ever":             {configs: map[string]string{retentionMS: "-1", cleanupPolicy: "delete"}, create: true, last: "topic t (cleanup.policy=delete, retention.ms=-1"},
		"a day":                {configs: map[string]string{retentionMS: "86400000", cleanupPolicy: "delete"}, last: "retention.ms=86400000", warn: "deletes records after 24h0m0s"},
		"compacted":            {configs: map[string]string{cleanupPolicy: "compact"}, last: "cleanup.policy=compact", fault: "set it to delete"},
		"missing, to create":   {create: true, last: "topic t (missing; the first record creates it, and nothing in it is deleted)"},
		"missing":              {last: "topic t", fault: "create topic t, or check its name"},
		"may not be looked at": {configs: map[string]string{}, refuse: kerr.TopicAuthorizationFailed, last: "topic t", warn: "the topic's retention is not known: grant this user DESCRIBE_CONFIGS on it: TOPIC_AUTH"},
	} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{})
			if tc.configs != nil {
				if err := c.CreateTopic(t.Context(), "t", 1, tc.configs); err != nil {
					t.Fatal(err)
				}
			}
			if tc.refuse != nil {
				c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: tc.refuse, Count: -1})
			}
			steps := newTestProducer(t, c, ProducerOptions{CreateTopics: tc.create}).Check(t.Context(), "t")
			last := steps[slices.IndexFunc(steps, func(s connector.Step) bool { return strings.HasPrefix(s.Name, "topic t") })]
			if !strings.Contains(last.Name, tc.last) || !strings.Contains(text(last.Err), tc.fault) || (last.Err != nil) != (tc.fault != "") ||
				!strings.Contains(last.Warning, tc.warn) || (last.Warning != "") != (tc.warn != "") {
				t.Errorf("last step %q\nfault %v\nwarning %q", last.Name, last.Err, last.Warning)
			}
			if topics, err := kadmOf(t, c).ListTopics(t.Context()); err != nil || topics.Has("t") != (tc.configs != nil) {
				t.Errorf("the check created the topic: %v, %v", topics.Names(), err)
			}
		})
	}
}

func kadmOf(t *testing.T, c *kafkatest.Cluster) *kadm.Client {
	return newTestProducer(t, c, ProducerOptions{}).adm
}

// U5: a dead letter queue with retention is logged once.
func TestProducer_warnsOfATopicThatMayLoseRecords(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{})
	if err := c.CreateTopic(t.Context(), "t", 1, map[string]string{cleanupPolicy: "compact,delete", retentionMS: "1000"}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		create bool
		most   config.Bytes
		want   int
	}{
		"a topic to keep":               {create: true, want: 2},
		"a topic to keep, a batch size": {create: true, most: 5000, want: 2},
		"any topic":                     {},
		"any topic, a batch size":       {most: 5000},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			p := newTestProducer(t, c, ProducerOptions{CreateTopics: tc.create, Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(cfg *ProducerConfig) { cfg.MaxMessageBytes = tc.most })
			for range 2 {
				if err := p.Produce(t.Context(), Record{Topic: "t", Key: []byte("k")}); err != nil {
					t.Fatal(err)
				}
			}
			if n := strings.Count(log.String(), `msg="topic may lose records" topic=t reason=`); n != tc.want {
				t.Errorf("%d warnings, want %d:\n%s", n, tc.want, &log)
			}
			if most := p.batchMax("t"); tc.most > 0 && most != int32(tc.most) {
				t.Errorf("batches of %d bytes, want %v", most, tc.most)
			}
		})
	}
}
