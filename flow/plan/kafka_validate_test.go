package plan

import (
	"strings"
	"testing"

	"github.com/lsm/fiso/connectors/kafka"
)

// U11: addresses and names that no broker accepts are refused at their position, with a hint.
func TestParse_refusesKafkaAddressesAndNamesWithTheirPlace(t *testing.T) {
	const topicRule = "use letters, digits, '.', '_' and '-', 249 at most, and not '.' or '..' alone"
	long := strings.Repeat("x", 250)
	for _, tc := range []struct{ name, source, sink, letters, want string }{
		{"a port that is a word", "brokers: kafka:abc, topic: t, consumerGroup: g", "", "",
			`flow.yaml:2:41: source.config.brokers[0]: the port of "kafka:abc" is not a number from 1 to 65535; write host:port, such as kafka:9092`},
		{"a port too high", "brokers: ['a:1', 'b:99999'], topic: t, consumerGroup: g", "", "", `source.config.brokers[1]: the port of "b:99999" is not a number from 1 to 65535`},
		{"port 0", "brokers: 'b:0', topic: t, consumerGroup: g", "", "", `the port of "b:0" is not a number`},
		{"no host", "brokers: ':9092', topic: t, consumerGroup: g", "", "", `":9092" is not an address; write host:port`},
		{"a path", "brokers: 'b/c:9092', topic: t, consumerGroup: g", "", "", `"b/c:9092" is not an address`},
		{"a blank inside", "brokers: 'b c:9092', topic: t, consumerGroup: g", "", "", `"b c:9092" is not an address`},
		{"a topic with a slash", "brokers: b, topic: orders/eu, consumerGroup: g", "", "", `flow.yaml:2:51: source.config.topic: "orders/eu" is not a name of a Kafka topic; ` + topicRule},
		{"one of several topics", "brokers: b, topics: [a, 'b c'], consumerGroup: g", "", "", `source.config.topics[1]: "b c" is not a name of a Kafka topic`},
		{"the topic ..", "brokers: b, topic: .., consumerGroup: g", "", "", `source.config.topic: ".." is not a name`},
		{"a topic too long", "brokers: b, topic: " + long + ", consumerGroup: g", "", "", topicRule},
		{"a glob for a pattern", "brokers: b, topicsPattern: '*-orders', consumerGroup: g", "", "", "source.config.topicsPattern: is not a regular expression: error parsing regexp: missing argument to repetition operator: `*`; a pattern such as ^orders-.*"},
		{"a group of blanks", "brokers: b, topic: t, consumerGroup: ' '", "", "", `source.config.consumerGroup: is required`},
		{"a group with a line break", `brokers: b, topic: t, consumerGroup: "a\nb"`, "", "", `has a control character in it`},
		{"a member's name with a slash", "brokers: b, topic: t, consumerGroup: g, instanceId: pod/1", "", "", `source.config.instanceId: "pod/1" is not a name of a member; ` + topicRule},
		{"a start that is a fraction", "brokers: b, topic: t, consumerGroup: g, startOffset: 4.5", "", "", `source.config.startOffset: "4.5" is not a position; write earliest, latest, an offset such as 42`},
		{"a start below 0", "brokers: b, topic: t, consumerGroup: g, startOffset: -1", "", "", `source.config.startOffset: "-1" is not a position`},
		{"the sink's broker", "", "brokers: 'kafka:abc', topic: t", "", `sink.config.brokers[0]: the port of "kafka:abc"`},
		{"the sink's topic", "", "brokers: b, topic: orders/eu", "", `sink.config.topic: "orders/eu" is not a name of a Kafka topic; ` + topicRule},
		{"the dead letters' broker", "", "", "brokers: 'kafka:99999', topic: t", `errorHandling.deadLetter.config.brokers[0]: the port of "kafka:99999"`},
		{"the dead letters' topic", "", "", "brokers: b, topic: dlq/eu", `errorHandling.deadLetter.config.topic: "dlq/eu" is not a name of a Kafka topic; ` + topicRule},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := "name: a\n" + kafkaIn + out
			if tc.source != "" {
				text = "name: a\nsource: {type: kafka, config: {" + tc.source + "}}\n" + out
			}
			if tc.sink != "" {
				text = "name: a\n" + kafkaIn + "sink: {type: kafka, config: {" + tc.sink + "}}\n"
			}
			if tc.letters != "" {
				text += "errorHandling: {deadLetter: {type: kafka, config: {" + tc.letters + "}}}\n"
			}
			if _, err := Parse("flow.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error lacks %q: %v", tc.want, err)
			}
		})
	}
}

// U11: an offset may be a number without quotes, as the contract says.
func TestParse_takesAnOffsetThatIsANumber(t *testing.T) {
	for written, want := range map[string]kafka.StartOffset{"42": "42", "'42'": "42", "earliest": "earliest", "2026-01-02T15:04:05Z": "2026-01-02T15:04:05Z"} {
		b := parsed(t, "name: a\nsource: {type: kafka, config: {brokers: [b], topic: t, consumerGroup: g, startOffset: "+written+"}}\n"+out)
		if got := b.source.(*kafkaSource).StartOffset; got != want {
			t.Errorf("startOffset: %s is read as %q, want %q", written, got, want)
		}
	}
}
