package kafkatest

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options are the options of an embedded cluster. The zero value is one broker on a
// free port of 127.0.0.1, without topics.
type Options struct {
	// Brokers is the number of brokers. 0: 1.
	Brokers int
	// Port is the first broker's port; the others use the following ones. 0: free
	// ports.
	Port int
	// Topics are the topics to create, with their numbers of partitions.
	Topics map[string]int32
	// Dir keeps the cluster's data across starts; "": memory.
	Dir string
	// Options are added to kfake's: SASL, TLS, a network of one's own.
	Options []kfake.Opt
	// Client are added to the options of the cluster's Admin client; needed when
	// Options set SASL, TLS or another network.
	Client []kgo.Opt
}

// Cluster is an embedded cluster. Fake forges answers and moves leaders; see package
// kfake.
type Cluster struct {
	Admin
	Fake *kfake.Cluster

	mu    sync.Mutex
	holds []*Hold
}

// Start starts an embedded cluster. Close stops it.
func Start(o Options) (*Cluster, error) {
	n := max(o.Brokers, 1)
	opts := []kfake.Opt{kfake.NumBrokers(n), kfake.DefaultNumPartitions(1)}
	if o.Port > 0 {
		ports := make([]int, n)
		for i := range ports {
			ports[i] = o.Port + i
		}
		opts = append(opts, kfake.Ports(ports...))
	}
	for topic, partitions := range o.Topics {
		opts = append(opts, kfake.SeedTopics(partitions, topic))
	}
	if o.Dir != "" {
		opts = append(opts, kfake.DataDir(o.Dir))
	}
	fake, err := kfake.NewCluster(append(opts, o.Options...)...)
	if err != nil {
		return nil, fmt.Errorf("start embedded kafka: %w", err)
	}
	c := &Cluster{Fake: fake}
	if c.Admin, err = newAdmin(fake.ListenAddrs(), o.Client); err != nil {
		fake.Close()
		return nil, fmt.Errorf("start embedded kafka: %w", err)
	}
	return c, nil
}

// Embedded starts an embedded cluster and stops it when the test ends.
func Embedded(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Close stops the cluster. It may be called again.
func (c *Cluster) Close() {
	c.releaseHolds()
	c.close()
	c.Fake.Close()
}

// Brokers returns the addresses to connect to.
func (a *Admin) Brokers() []string { return slices.Clone(a.brokers) }
