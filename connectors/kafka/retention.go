package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/twmb/franz-go/pkg/kadm"
)

// keepAll is the configuration of a topic that a Producer creates. With the broker's
// defaults, records may be deleted after some days, or compacted.
func keepAll() map[string]*string {
	return map[string]*string{cleanupPolicy: kadm.StringPtr("delete"), retentionMS: kadm.StringPtr("-1"), retentionBytes: kadm.StringPtr("-1")}
}

// Keys of a topic's configuration.
const (
	cleanupPolicy  = "cleanup.policy"
	retentionMS    = "retention.ms"
	retentionBytes = "retention.bytes"
	maxBytes       = "max.message.bytes"
	timestampType  = "message.timestamp.type"
	afterMaxMS     = "message.timestamp.after.max.ms"
	beforeMaxMS    = "message.timestamp.before.max.ms"
)

// topicConfig holds the keys of a topic's configuration that the broker returned.
type topicConfig map[string]string

func describe(ctx context.Context, adm *kadm.Client, topic string) (topicConfig, error) {
	resources, err := adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, err
	}
	all := topicConfig{}
	for _, r := range resources {
		if r.Err != nil {
			return nil, r.Err
		}
		for _, kv := range r.Configs {
			if kv.Value != nil {
				all[kv.Key] = *kv.Value
			}
		}
	}
	return all, nil
}

// limit returns the value of a key that is a bound. A negative or missing value is no
// bound.
func (t topicConfig) limit(key string) (n int64, bounded bool) {
	n, err := strconv.ParseInt(t[key], 10, 64)
	return n, err == nil && n >= 0
}

// millis returns a bound given in milliseconds. A value that overflows a duration is no
// bound.
func (t topicConfig) millis(key string) (time.Duration, bool) {
	n, bounded := t.limit(key)
	return time.Duration(n) * time.Millisecond, bounded && n <= int64(maxDuration/time.Millisecond)
}

const maxDuration = time.Duration(1<<63 - 1)

func (t topicConfig) compacts() bool { return strings.Contains(t[cleanupPolicy], "compact") }

// deletes describes when the broker deletes records; "": never.
func (t topicConfig) deletes() string {
	if !strings.Contains(t[cleanupPolicy], "delete") {
		return ""
	}
	var when []string
	if d, bounded := t.millis(retentionMS); bounded {
		when = append(when, fmt.Sprintf("after %v (%s)", d, retentionMS))
	}
	if n, bounded := t.limit(retentionBytes); bounded {
		when = append(when, fmt.Sprintf("beyond %d bytes of a partition (%s)", n, retentionBytes))
	}
	return strings.Join(when, " and ")
}

// String lists the keys that decide what the topic keeps.
func (t topicConfig) String() string {
	var all []string
	for _, key := range []string{cleanupPolicy, retentionMS, retentionBytes} {
		if v, known := t[key]; known {
			all = append(all, key+"="+v)
		}
	}
	return strings.Join(all, ", ")
}

// clockSkew is a difference between clocks that is common and goes unnoticed.
const clockSkew = time.Minute

// lossRisks describes how a topic may lose records that must be kept, such as dead
// letters: they are dated when they are written, and some have no key.
func (t topicConfig) lossRisks() (warnings []string, fault error) {
	if t.compacts() {
		fault = fmt.Errorf("%s=%s: the broker refuses records without a key, and keeps only the last of each key: set it to delete",
			cleanupPolicy, t[cleanupPolicy])
	}
	if when := t.deletes(); when != "" {
		warnings = append(warnings, "the broker deletes records "+when+", also those that nobody has read: raise it, or set it to -1")
	}
	for _, key := range []string{beforeMaxMS, afterMaxMS} {
		if d, bounded := t.millis(key); bounded && d < clockSkew && t[timestampType] != "LogAppendTime" {
			warnings = append(warnings, fmt.Sprintf("%s=%v: a record is refused when the clocks of broker and client differ by more: raise it", key, d))
		}
	}
	return warnings, fault
}

// retentionRisks describes how a topic may delete or refuse events. With byEvent,
// records have the times of their events.
func (t topicConfig) retentionRisks(byEvent bool) (warnings []string) {
	if t.compacts() {
		warnings = append(warnings, "a record without a key is refused, as the topic is compacted")
	}
	if !byEvent || t[timestampType] == "LogAppendTime" {
		return warnings
	}
	if d, bounded := t.millis(retentionMS); bounded && strings.Contains(t[cleanupPolicy], "delete") {
		warnings = append(warnings, fmt.Sprintf(
			"with timestamp: event, the broker may delete an event that is older than %v as soon as it is written (%s)", d, retentionMS))
	}
	for _, bound := range [][2]string{{beforeMaxMS, "older than"}, {afterMaxMS, "further ahead than"}} {
		if d, bounded := t.millis(bound[0]); bounded {
			warnings = append(warnings, fmt.Sprintf("with timestamp: event, an event %s %v is refused (%s)", bound[1], d, bound[0]))
		}
	}
	return warnings
}

// Check tries, step by step, all that writing to topic needs. It writes and creates
// nothing.
func (p *Producer) Check(ctx context.Context, topic string) []connector.Step {
	c := checker{cfg: &p.cfg.ClientConfig, dial: p.opts.Dial}
	c.cluster(ctx)
	defer c.close()
	name, missing := "topic "+topic, false
	c.step(name, func() error {
		err := c.topic(ctx, topic, "until then nothing can be written to it")
		if missing = p.opts.CreateTopics && errors.Is(err, ErrNoTopic); missing {
			return nil
		}
		return err
	})
	if missing {
		c.steps[len(c.steps)-1].Name = name + " (missing; the first record creates it, and nothing in it is deleted)"
		c.leaders(ctx, []string{topic})
		return c.steps
	}
	c.checkRetention(ctx, topic, func(conf topicConfig) (string, []string, error) {
		warnings, fault := conf.lossRisks()
		return name + " (" + conf.String() + ")", warnings, fault
	})
	c.leaders(ctx, []string{topic})
	return c.steps
}

// checkRetention adds to the topic's step what the topic keeps.
func (c *checker) checkRetention(ctx context.Context, topic string, judge func(topicConfig) (name string, warnings []string, fault error)) {
	if c.failed {
		return
	}
	step := &c.steps[len(c.steps)-1]
	if step.Err != nil {
		return // the topic does not exist
	}
	conf, err := describe(ctx, c.adm, topic)
	if err != nil {
		step.Warning = fmt.Sprintf("the topic's retention is not known: grant this user DESCRIBE_CONFIGS on it: %v", err)
		return
	}
	name, warnings, fault := judge(conf)
	step.Name, step.Err, step.Warning = name, fault, strings.Join(warnings, "; ")
}
