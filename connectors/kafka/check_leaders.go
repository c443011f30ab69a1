package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	maxLeaders   = 32              // brokers that one step connects to
	reachTimeout = 3 * time.Second // per broker; all are tried concurrently
)

// leaders connects to the brokers that lead the topics' partitions, at the addresses
// that they advertise: clients write to and read from these, not the configured
// addresses. Any broker may come to lead a partition of a missing topic, so all are
// tried then.
func (c *checker) leaders(ctx context.Context, topics []string) {
	if c.failed {
		return
	}
	m, err := c.adm.Metadata(ctx, topics...)
	if err != nil {
		c.step("brokers of "+strings.Join(topics, ", "), func() error { return err })
		return
	}
	brokers, leaderless := leadersOf(m, topics)
	c.step("partition leaders: "+list(brokers), func() error {
		errs := make([]error, min(len(brokers), maxLeaders))
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = c.reachBroker(ctx, brokers[i]) })
		}
		all.Wait()
		return errors.Join(append(errs, leaderless)...)
	})
}

// list names brokers with their addresses, and says how many are not tried.
func list(brokers []kgo.BrokerMetadata) string {
	if len(brokers) == 0 {
		return "none"
	}
	var names []string
	for _, b := range brokers[:min(len(brokers), maxLeaders)] {
		names = append(names, fmt.Sprintf("broker %d at %s", b.NodeID, advertised(b)))
	}
	if more := len(brokers) - maxLeaders; more > 0 {
		names = append(names, fmt.Sprintf("%d more that are not tried", more))
	}
	return strings.Join(names, ", ")
}

// leadersOf returns the brokers to connect to, and an error that names the partitions
// without a leader.
func leadersOf(m kadm.Metadata, topics []string) (brokers []kgo.BrokerMetadata, leaderless error) {
	needed := map[int32]bool{}
	var without []string
	for _, topic := range topics {
		d, ok := m.Topics[topic]
		if !ok || d.Err != nil {
			for _, b := range m.Brokers {
				needed[b.NodeID] = true
			}
		}
		for _, p := range d.Partitions.Sorted() {
			if p.Leader < 0 {
				without = append(without, fmt.Sprintf("%s-%d", topic, p.Partition))
			}
			needed[p.Leader] = true
		}
	}
	for _, b := range m.Brokers {
		if needed[b.NodeID] {
			brokers = append(brokers, b)
		}
	}
	slices.SortFunc(brokers, func(a, b kgo.BrokerMetadata) int { return int(a.NodeID - b.NodeID) })
	if n := len(without); n > 0 {
		leaderless = fmt.Errorf("no broker leads %s (%d partitions); look at the brokers that hold their replicas", strings.Join(without[:min(n, 8)], ", "), n)
	}
	return brokers, leaderless
}

// reachBroker sends a request to a broker at its advertised address, over TLS and SASL
// as configured.
func (c *checker) reachBroker(ctx context.Context, b kgo.BrokerMetadata) error {
	ctx, cancel := context.WithTimeout(ctx, min(reachTimeout, c.cfg.DialTimeout))
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // none
	_, err := c.cl.Broker(int(b.NodeID)).Request(ctx, req)
	if err == nil {
		return nil
	}
	return fmt.Errorf("the bootstrap address %s answers, but broker %d advertises %s, which does not: %w; "+
		"look at advertised.listeners of that broker, and whether it runs",
		strings.Join(c.cfg.brokers(), ", "), b.NodeID, advertised(b), explain(err))
}

func advertised(b kgo.BrokerMetadata) string {
	return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
}
