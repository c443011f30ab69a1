package kafka

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func checkSource(t *testing.T, cfg SourceConfig) []connector.Step {
	t.Helper()
	s, err := NewSource(cfg, SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	return s.Check(ctx)
}

func checkSink(t *testing.T, cfg SinkConfig) []connector.Step {
	t.Helper()
	s, err := NewSink(cfg, ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(context.Background()) }() // nothing is in flight
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	return s.Check(ctx)
}

// advertise makes the cluster's metadata name two brokers: its own, number 0, and
// number 7 at an address where nothing listens. leaders are the leaders of topic t.
func advertise(c *kafkatest.Cluster, dead string, leaders ...int32) {
	c.Fake.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake.KeepControl()
		resp := req.ResponseKind().(*kmsg.MetadataResponse) //nolint:forcetypeassert // of a MetadataRequest
		host, port := hostPort(c.Brokers()[0])
		deadHost, deadPort := hostPort(dead)
		for id, at := range map[int32]kmsg.MetadataResponseBroker{0: {Host: host, Port: port}, 7: {Host: deadHost, Port: deadPort}} {
			b := kmsg.NewMetadataResponseBroker()
			b.NodeID, b.Host, b.Port = id, at.Host, at.Port
			resp.Brokers = append(resp.Brokers, b)
		}
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic = kmsg.StringPtr("t")
		if len(leaders) == 0 {
			topic.ErrorCode = kerr.UnknownTopicOrPartition.Code
		}
		for n, leader := range leaders {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Partition, p.Leader = int32(n), leader
			topic.Partitions = append(topic.Partitions, p)
		}
		if asked := req.(*kmsg.MetadataRequest).Topics; asked == nil || len(asked) > 0 { //nolint:forcetypeassert // see above
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
}

func hostPort(addr string) (string, int32) {
	host, port, _ := strings.Cut(addr, ":")
	var n int32
	_, _ = fmt.Sscan(port, &n) // the address comes from this test
	return host, n
}

// U10: a bootstrap address that answers does not show that clients reach the brokers
// that lead partitions. Check connects to each leader at its advertised address.
func TestCheck_namesTheAdvertisedAddressThatDoesNotAnswer(t *testing.T) {
	t.Parallel() // it mostly waits
	const dead = "kafka-internal.invalid:9092"
	for _, tc := range []struct {
		name    string
		leaders []int32
		step    string
		want    []string // "": no error
	}{
		{"every leader answers", []int32{0, 0}, "partition leaders: broker 0 at ", nil},
		{"one of two leaders does not", []int32{0, 7}, dead, []string{" answers, but broker 7 advertises " + dead + ", which does not: ", "no such host", "look at advertised.listeners of that broker, and whether it runs"}},
		{"a broker that leads none of the topic", []int32{0}, "partition leaders: broker 0 at ", nil},
		{"a partition without a leader", []int32{0, -1}, "partition leaders: broker 0 at ", []string{"no broker leads t-1 (1 partitions)"}},
		{"the topic does not exist", nil, dead, []string{"broker 7 advertises " + dead}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 2}})
			advertise(c, dead, tc.leaders...)
			client := ClientConfig{Brokers: c.Brokers()}
			for role, steps := range map[string][]connector.Step{
				"source by name":    checkSource(t, testSource(c)),
				"source by pattern": checkSource(t, testSource(c, func(cfg *SourceConfig) { cfg.TopicsPattern = "^t$" })),
				"sink":              checkSink(t, SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: client}, Topic: "t"}),
			} {
				if tc.leaders == nil && role == "source by pattern" {
					continue // a topic that does not exist matches no pattern
				}
				var leaders *connector.Step
				for i := range steps {
					if strings.HasPrefix(steps[i].Name, "partition leaders: ") {
						leaders = &steps[i]
					}
				}
				if leaders == nil || !strings.Contains(leaders.Name, tc.step) {
					t.Errorf("%s: no step of the leaders with %q in %s", role, tc.step, names(steps))
					continue
				}
				if len(tc.want) == 0 && leaders.Err != nil {
					t.Errorf("%s: %v", role, leaders.Err)
				}
				for _, want := range tc.want {
					if leaders.Err == nil || !strings.Contains(leaders.Err.Error(), want) {
						t.Errorf("%s: error lacks %q: %v", role, want, leaders.Err)
					}
				}
			}
		})
	}
}

// U10: the coordinator of the group may be a broker that leads no partition.
func TestCheck_namesTheCoordinatorThatDoesNotAnswer(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	advertise(c, "kafka-internal.invalid:9092", 0)
	c.Fake.ControlKey(int16(kmsg.FindCoordinator), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.Fake.KeepControl()
		resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse) //nolint:forcetypeassert // of a FindCoordinatorRequest
		at := kmsg.NewFindCoordinatorResponseCoordinator()
		at.Key, at.NodeID, at.Host, at.Port = "g", 7, "kafka-internal.invalid", 9092
		resp.Coordinators = append(resp.Coordinators, at)
		return resp, nil, true
	})
	steps := checkSource(t, testSource(c))
	last := steps[len(steps)-1]
	if last.Name != "consumer group g" || last.Err == nil || !strings.Contains(last.Err.Error(), "find the group's coordinator: the bootstrap address "+c.Brokers()[0]+" answers, but broker 7 advertises kafka-internal.invalid:9092, which does not") {
		t.Errorf("last step %q: %v", last.Name, last.Err)
	}
}

// U10: Check says what follows from a missing topic, and continues.
func TestCheck_saysWhatHappensWithoutTheTopic(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{})
	for want, steps := range map[string][]connector.Step{
		"topic does not exist: create topic missing, or check its name; until then the source waits, and then reads it from its start": checkSource(t, testSource(c, func(cfg *SourceConfig) { cfg.Topic = "missing" })),
		"create topic missing, or check its name; the sink does not create it, and until then every event for it waits":                checkSink(t, SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, Topic: "missing"}),
	} {
		said := false
		for _, s := range steps {
			said = said || s.Name == "topic missing" && s.Err != nil && strings.Contains(s.Err.Error(), want)
		}
		if !said || !strings.Contains(names(steps), "partition leaders: broker ") {
			t.Errorf("want %q and the brokers tried, got %+v", want, steps)
		}
	}
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "missing", Err: kerr.TopicAuthorizationFailed})
	if steps := checkSource(t, testSource(c, func(cfg *SourceConfig) { cfg.Topic = "missing" })); steps[len(steps)-1].Name != "topic missing" {
		t.Errorf("a topic that is refused is not the last step: %+v", steps)
	}
}

func TestList_isBounded(t *testing.T) {
	var brokers []kgo.BrokerMetadata
	for n := range int32(maxLeaders + 2) {
		brokers = append(brokers, kgo.BrokerMetadata{NodeID: n, Host: "b", Port: 1})
	}
	if got := list(brokers); !strings.HasPrefix(got, "broker 0 at b:1, ") || !strings.HasSuffix(got, "broker 31 at b:1, 2 more that are not tried") {
		t.Error(got)
	}
	if got := list(nil); got != "none" {
		t.Error(got)
	}
}
