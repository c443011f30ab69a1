package spec

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
)

const (
	maxInFlight = 4096
	maxTopic    = 249 // Kafka's limit
)

// validateBrokers checks the connection to Kafka, and that no two targets share a topic
// of requests: each would make the other's calls.
func (c *Config) validateBrokers() error {
	errs := []error{c.AsyncSASL.ValidateAt("asyncSASL")}
	for i, b := range c.AsyncBrokers {
		if !validHost(b) {
			errs = append(errs, config.Fault(fmt.Sprintf("asyncBrokers[%d]", i), "%q is not a broker: write host:port, as kafka:9092", b))
		}
	}
	holds := map[string]int{}
	for i := range c.Targets {
		a := c.Targets[i].Async
		if a == nil || a.Topic == "" {
			continue
		}
		if first, ok := holds[a.Topic]; ok {
			errs = append(errs, config.Fault(fmt.Sprintf("targets[%d].async.topic", i), "%s holds the calls of targets[%d] already: a topic holds those of one target, give each its own", a.Topic, first))
			continue
		}
		holds[a.Topic] = i
	}
	return errors.Join(append(errs, c.validateLoops(holds))...)
}

// validateLoops checks that only requests go into a topic of requests. Otherwise a dead
// letter of one target could become a request of another, and loop forever.
func (c *Config) validateLoops(holds map[string]int) error {
	var errs []error
	check := func(at int, key, topic string) {
		if of, ok := holds[topic]; ok && of != at && topic != "" {
			errs = append(errs, config.Fault(fmt.Sprintf("targets[%d].%s", at, key), "%s holds the requests of targets[%d] and must hold nothing else: name another topic", topic, of))
		}
	}
	for i := range c.Targets {
		if a := c.Targets[i].Async; a != nil {
			check(i, "async.replyTopic", a.ReplyTopic)
			if a.DeadLetterTopic != "" {
				check(i, "async.deadLetterTopic", a.DeadLetterTopic)
			} else {
				check(i, "async.topic", a.DeadLetters())
			}
		}
		if k := c.Targets[i].Kafka; k != nil {
			check(i, "kafka.topic", k.Topic)
		}
	}
	return errors.Join(errs...)
}

func (t *Target) validateKafka() error {
	var errs []error
	if t.Kafka == nil {
		errs = append(errs, config.Fault("protocol", "kafka needs a topic: add kafka: {topic: …}"))
	}
	if t.Auth.Type != "" && t.Auth.Type != "none" {
		errs = append(errs, config.Fault("auth", "a target of protocol kafka has no credential of its own; asyncSASL and asyncTLS are those of the brokers"))
	}
	if t.Async != nil {
		errs = append(errs, config.Fault("async", "a target of protocol kafka publishes at once; remove async"))
	}
	if t.Proxy != nil {
		errs = append(errs, config.Fault("proxy", "connections to Kafka do not use an HTTP proxy; remove it"))
	}
	if t.Host != "" {
		errs = append(errs, config.Fault("host", "a target of protocol kafka has no host; the brokers are in asyncBrokers"))
	}
	return errors.Join(errs...)
}

// Validate checks topics and bounds.
func (a *Async) Validate() error {
	errs := []error{
		topic("topic", a.Topic), topic("replyTopic", a.ReplyTopic), topic("deadLetterTopic", a.DeadLetterTopic), expression(a.Key),
		number("maxInFlight", a.MaxInFlight, 1, maxInFlight), number("maxRetries", a.MaxRetries, 0, 1000),
		number("maxBodyBytes", int(a.MaxBodyBytes), 0, maxAsyncBody), duration("timeout", a.Timeout, time.Second, maxTime),
	}
	if a.DeadLetterTopic == "" && len(a.DeadLetters()) > maxTopic {
		errs = append(errs, config.Fault("topic", "with -dlq, the name of its dead letter topic is too long: name one in deadLetterTopic"))
	}
	if a.Topic != "" && a.ReplyTopic == a.Topic {
		errs = append(errs, config.Fault("replyTopic", "this topic holds the requests, and a reply would be read as one; name another"))
	}
	if a.Topic != "" && a.DeadLetterTopic == a.Topic {
		errs = append(errs, config.Fault("deadLetterTopic", "this topic holds the requests, and a dead letter would be retried forever; name another"))
	}
	return errors.Join(errs...)
}

// Validate checks the bound.
func (s *StopTheLine) Validate() error { return number("consecutive", s.Consecutive, 0, 1_000_000) }

// Validate checks topic, key and bounds.
func (k *Kafka) Validate() error {
	return errors.Join(
		topic("topic", k.Topic), expression(k.Key), number("maxBodyBytes", int(k.MaxBodyBytes), 0, maxAsyncBody),
		duration("timeout", k.Timeout, time.Second, maxTime),
	)
}

func expression(text config.Text) error {
	_, err := CompileKey(text)
	return err
}

func topic(key, name string) error {
	if name != "" && (!topicName.MatchString(name) || strings.Trim(name, ".") == "") {
		return config.Fault(key, "%q is not a name of a Kafka topic: use letters, digits, '.', '_' and '-'", name)
	}
	return nil
}
