package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Check tries, step by step, all that the source needs.
func (s *Source) Check(ctx context.Context) []connector.Step {
	c := checker{cfg: &s.cfg.ClientConfig, dial: s.opts.Dial}
	c.cluster(ctx)
	defer c.close()
	topics := s.cfg.topics()
	if s.pattern != nil {
		c.step("topics that match "+s.cfg.TopicsPattern, func() (err error) {
			topics, err = c.matching(ctx, s.reads)
			return err
		})
	}
	if s.pattern == nil {
		for _, topic := range topics {
			c.step("topic "+topic, func() error {
				return c.topic(ctx, topic, "until then the source waits, and then reads it from its start")
			})
		}
	}
	c.leaders(ctx, topics)
	c.step("consumer group "+s.cfg.ConsumerGroup, func() error { return c.group(ctx, s.cfg.ConsumerGroup) })
	return c.steps
}

// Check tries, step by step, all that the sink needs. It writes nothing.
func (s *Sink) Check(ctx context.Context) []connector.Step {
	c := checker{cfg: &s.cfg.ClientConfig, dial: s.p.opts.Dial}
	c.cluster(ctx)
	defer c.close()
	c.step("topic "+s.cfg.Topic, func() error {
		return c.topic(ctx, s.cfg.Topic, "the sink does not create it, and until then every event for it waits")
	})
	c.checkRetention(ctx, s.cfg.Topic, func(t topicConfig) (string, []string, error) {
		return "topic " + s.cfg.Topic, t.retentionRisks(s.cfg.Timestamp == TimestampEvent), nil
	})
	c.leaders(ctx, []string{s.cfg.Topic})
	return c.steps
}

// checker collects steps. It tries none after a failed step, except that a missing
// topic does not keep the brokers from being tried.
type checker struct {
	cfg    *ClientConfig
	dial   DialFunc
	steps  []connector.Step
	failed bool
	cl     *kgo.Client
	adm    *kadm.Client
}

func (c *checker) step(name string, try func() error) {
	if c.failed {
		return
	}
	err := explain(try())
	c.failed = err != nil && !errors.Is(err, ErrNoTopic)
	c.steps = append(c.steps, connector.Step{Name: name, Err: err})
}

func (c *checker) close() {
	if c.cl != nil {
		c.cl.Close()
	}
}

// cluster resolves and connects to each configured broker, then sends a request over
// TLS and SASL as configured.
func (c *checker) cluster(ctx context.Context) {
	for _, broker := range c.cfg.brokers() {
		addr := address(broker)
		host, _, _ := net.SplitHostPort(addr) // Validate has checked it
		if c.dial == nil {
			c.step("resolve "+host, func() error {
				_, err := net.DefaultResolver.LookupHost(ctx, host)
				return err
			})
		}
		c.step("connect to "+addr, func() error { return c.connect(ctx, addr) })
	}
	if !c.cfg.TLS.IsZero() {
		c.step("tls", func() error { return c.handshakes(ctx) })
	}
	name := "speak to the cluster"
	if c.cfg.SASL.Mechanism != "" {
		name = "authenticate by " + c.cfg.SASL.Mechanism
	}
	c.step(name, func() error { return c.handshake(ctx) })
}

func (c *checker) connect(ctx context.Context, addr string) error {
	dial := c.dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: c.cfg.DialTimeout}).DialContext
	}
	conn, err := dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (c *checker) handshakes(ctx context.Context) error {
	dial, err := c.cfg.dialler(c.dial)
	if err != nil {
		return err
	}
	for _, broker := range c.cfg.brokers() {
		conn, err := dial(ctx, "tcp", address(broker))
		if err != nil {
			return err
		}
		_ = conn.Close() // only the handshake matters
	}
	return nil
}

func (c *checker) handshake(ctx context.Context) error {
	opts, err := c.cfg.options(c.dial, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	// The last connection error says more than a timeout does.
	var h health
	if c.cl, err = kgo.NewClient(append(opts, kgo.WithHooks(&h), kgo.RequestRetries(1))...); err != nil {
		return err
	}
	c.adm = kadm.NewClient(c.cl)
	if _, err = c.adm.BrokerMetadata(ctx); err == nil {
		return nil
	}
	if problem := h.get(aspectConnect); problem != nil {
		return problem
	}
	return err
}

// topic checks that the topic exists. consequence says what happens until it does.
func (c *checker) topic(ctx context.Context, topic, consequence string) error {
	m, err := c.adm.Metadata(ctx, topic)
	if err != nil {
		return err
	}
	d, ok := m.Topics[topic]
	if !ok {
		d.Err = kerr.UnknownTopicOrPartition
	}
	if d.Err == nil {
		return nil
	}
	if err = topicProblem(topic, d.Err); errors.Is(err, ErrNoTopic) {
		err = fmt.Errorf("%w; %s", err, consequence)
	}
	return err
}

func (c *checker) matching(ctx context.Context, reads func(string) bool) ([]string, error) {
	m, err := c.adm.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	m.Topics.FilterInternal()
	topics := slices.DeleteFunc(m.Topics.Names(), func(topic string) bool { return !reads(topic) })
	if len(topics) == 0 {
		return nil, errors.New("no topic matches; topics that appear later will be read")
	}
	return topics, nil
}

// group waits for a coordinator: a new cluster has none until the first request for
// one, and then takes seconds to create its topic of offsets.
func (c *checker) group(ctx context.Context, group string) error {
	timeout := time.After(coordinatorTimeout)
	for {
		err := c.tryCoordinator(ctx, group)
		if !isAny(err, coordinatorPending) {
			return err
		}
		select {
		case <-time.After(coordinatorRetry):
			continue
		case <-timeout:
		case <-ctx.Done():
		}
		return fmt.Errorf("the cluster has no coordinator for the group yet: %w", err)
	}
}

const (
	coordinatorTimeout = 5 * time.Second
	coordinatorRetry   = 200 * time.Millisecond
)

// coordinatorPending are the errors while a coordinator starts.
var coordinatorPending = []error{kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator}

// tryCoordinator connects to the group's coordinator once.
func (c *checker) tryCoordinator(ctx context.Context, group string) error {
	at := c.adm.FindGroupCoordinators(ctx, group)[group]
	if isAny(at.Err, coordinatorPending) {
		return at.Err
	}
	if at.Err == nil {
		if err := c.reachBroker(ctx, kgo.BrokerMetadata{NodeID: at.NodeID, Host: at.Host, Port: at.Port}); err != nil {
			return fmt.Errorf("find the group's coordinator: %w", err)
		}
	}
	groups, err := c.adm.DescribeGroups(ctx, group)
	if err != nil {
		return err
	}
	g := groups[group]
	if errors.Is(g.Err, kerr.GroupIDNotFound) {
		return nil // the group will exist once it is used
	}
	if g.Err != nil {
		return fmt.Errorf("describe the group: %w", g.Err)
	}
	if g.ProtocolType != "" && g.ProtocolType != "consumer" {
		return fmt.Errorf("the group is used by something that is not a consumer (%s)", g.ProtocolType)
	}
	return nil
}
