package cli

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lsm/fiso/connectors/kafka/kafkatest"
)

// U10: source, sink and dead letters must reach the brokers at the advertised addresses, not only
// at the bootstrap address.
func TestCheck_failsForEachRoleWhoseBrokersAdvertiseADeadAddress(t *testing.T) {
	cluster := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"orders": 1, "out": 1}})
	broker := cluster.Brokers()[0]
	cluster.Fake.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.Fake.KeepControl()
		resp := req.ResponseKind().(*kmsg.MetadataResponse) //nolint:forcetypeassert // of a MetadataRequest
		dead := kmsg.NewMetadataResponseBroker()
		dead.NodeID, dead.Host, dead.Port = 2, "kafka-internal.invalid", 9092
		resp.Brokers = append(resp.Brokers, dead)
		for _, asked := range req.(*kmsg.MetadataRequest).Topics { //nolint:forcetypeassert // see above
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Leader = 2
			topic := kmsg.NewMetadataResponseTopic()
			topic.Topic, topic.Partitions = asked.Topic, append(topic.Partitions, p)
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	file := write(t, t.TempDir(), "a.yaml", "name: a\nsource: {type: kafka, config: {brokers: '"+broker+"', topic: orders, consumerGroup: g}}\n"+
		"sink: {type: kafka, config: {brokers: '"+broker+"', topic: out}}\n")
	r := call(t, "check", file)
	const leader = "partition leaders: broker 2 at kafka-internal.invalid:9092"
	r.wants(t, 1, "FAIL  "+leader+": the bootstrap address "+broker+" answers, but broker 2 advertises kafka-internal.invalid:9092, which does not: ", "")
	r.wants(t, 1, "look at advertised.listeners of that broker, and whether it runs", "")
	if n := strings.Count(r.out, "FAIL  "+leader); n != 3 {
		t.Errorf("%d roles fail, want source, sink and dead letters:\n%s", n, r.out)
	}
}
