package plan

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
)

// flowOf returns a flow between Kafka topics.
func flowOf(name, source, sink, errorHandling string) string {
	return "name: " + name + "\nsource: {type: kafka, config: {consumerGroup: g, " + source + "}}\nsink: {" + sink + "}\nerrorHandling: {" + errorHandling + "}\n"
}

const toStdout = "type: stdout"

// U4: one record made 40,000 dead letters in eight seconds, because the flow read its own dead
// letter topic.
func TestParse_refusesAFlowThatReadsWhatItWrites(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"the topic": {flowOf("a", "brokers: b, topic: orders", toStdout, "deadLetterTopic: orders"),
			"flow.yaml:2:69: source.config.topic: orders is the topic for this flow's dead letters, each of which would become another one: name a topic for dead letters alone in errorHandling.deadLetterTopic"},
		"one of several": {flowOf("a", "brokers: b, topics: [x, orders-dlq]", toStdout, "deadLetterTopic: orders-dlq"),
			"flow.yaml:2:74: source.config.topics[1]: orders-dlq is the topic for this flow's dead letters"},
		"the default": {flowOf("a", "brokers: b, topic: fiso-dlq-a", toStdout, ""),
			"source.config.topic: fiso-dlq-a is the topic for this flow's dead letters"},
		"a place of its own": {flowOf("a", "brokers: 'b:9092', topic: orders", toStdout, "deadLetter: {type: kafka, config: {brokers: [c, 'B.:09092'], topic: orders}}"),
			"flow.yaml:4:85: errorHandling.deadLetter.config.topic: orders is a topic that this flow reads: each dead letter would become another one; name a topic for dead letters alone"},
		"a place of its own with the default topic": {flowOf("a", "brokers: b, topic: fiso-dlq-a", toStdout, "deadLetter: {type: kafka, config: {brokers: b}}"),
			"errorHandling.deadLetter.config.topic: fiso-dlq-a is a topic that this flow reads"},
		"the sink": {flowOf("a", "brokers: b, topic: orders", "type: kafka, config: {brokers: 'b:9092', topic: orders}", ""),
			"flow.yaml:3:56: sink.config.topic: orders is a topic that this flow reads: each event would come back endlessly; write to another topic"},
		"the sink, by pattern": {flowOf("a", "brokers: '[::1]:9092', topicsPattern: '^orders-.*'", "type: kafka, config: {brokers: '[0:0::1]:9092', topic: orders-eu}", ""),
			"sink.config.topic: orders-eu is a topic that this flow reads"},
		"the sink, with a filter": {flowOf("a", "brokers: b, topic: orders", "type: kafka, config: {brokers: b, topic: orders}", "") + "filter: 'type == \"x\"'\n",
			"sink.config.topic: orders is a topic that this flow reads"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("flow.yaml", []byte(tc.text))
			faults, ok := errors.AsType[config.Errors](err)
			if !ok || len(faults) != 1 || faults[0].Code != config.CodeBadValue || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v\nwant %s", err, tc.want)
			}
		})
	}
}

// U4: flows that only look like a circle.
func TestParse_takesAFlowThatReadsWhatOthersWrite(t *testing.T) {
	for name, text := range map[string]string{
		"another topic":                       flowOf("a", "brokers: b, topic: orders", toStdout, "deadLetterTopic: orders-dlq"),
		"another cluster for dead letters":    flowOf("a", "brokers: b, topic: orders", toStdout, "deadLetter: {type: kafka, config: {brokers: c, topic: orders}}"),
		"another port":                        flowOf("a", "brokers: 'b:9092', topic: orders", "type: kafka, config: {brokers: 'b:9093', topic: orders}", ""),
		"another cluster for the sink":        flowOf("a", "brokers: b, topicsPattern: '.*'", "type: kafka, config: {brokers: c, topic: orders}", ""),
		"the dead letters of another flow":    flowOf("a", "brokers: b, topic: fiso-dlq-other", toStdout, ""),
		"a pattern that matches dead letters": flowOf("a", "brokers: b, topicsPattern: '^orders-.*'", toStdout, "deadLetterTopic: orders-dlq"),
		"a sink that only the dead letter topic of the pattern is": flowOf("a", "brokers: b, topicsPattern: '^orders-.*'",
			"type: kafka, config: {brokers: b, topic: orders-dlq}", "deadLetterTopic: orders-dlq"),
		"a file": flowOf("a", "brokers: b, topic: orders", toStdout, "deadLetter: {type: file, config: {path: /orders}}"),
	} {
		t.Run(name, func(t *testing.T) { parsed(t, text) })
	}
}

// U4: a pattern never matches the dead letter topic of its own flow, and the explanation says so.
func TestKafkaSource_aPatternNeverTakesTheDeadLettersOfItsFlow(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"orders-a": 1, "orders-b": 1, "orders-dlq": 1, "orders-dlq-other": 1}})
	for _, topic := range []string{"orders-a", "orders-b", "orders-dlq", "orders-dlq-other"} {
		if err := c.Produce(t.Context(), &kgo.Record{Topic: topic, Value: []byte(topic)}); err != nil {
			t.Fatal(err)
		}
	}
	b := parsed(t, flowOf("a", "startOffset: earliest, topicsPattern: '^orders-.*', brokers: '"+strings.Join(c.Brokers(), ",")+"'", toStdout, "deadLetterTopic: orders-dlq"))
	e, err := b.Explain()
	if err != nil || !strings.Contains(e.Source, "topics that match ^orders-.* (but orders-dlq, where its dead letters go)") {
		t.Errorf("explained as %s, %v", e.Source, err)
	}
	src, err := b.Source(env())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	read, ended := make(chan string, 16), make(chan error)
	go func() {
		ended <- src.Run(ctx, connector.Each(func(_ context.Context, m *connector.Message) {
			m.Settle(nil)
			read <- m.Position.Stream
		}))
	}()
	var got, assigned []string
	for range 3 {
		select {
		case topic := <-read:
			got = append(got, topic)
		case <-time.After(20 * time.Second):
			t.Fatalf("read only %v", got)
		}
	}
	for _, p := range src.(connector.Reporter).Status().Partitions {
		assigned = append(assigned, p.Stream)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	slices.Sort(got)
	slices.Sort(assigned)
	if want := []string{"orders-a", "orders-b", "orders-dlq-other"}; !slices.Equal(got, want) || !slices.Equal(assigned, want) {
		t.Errorf("read %v, assigned %v, want %v", got, assigned, want)
	}
}

// U4: another dead letter topic changes the set of topics that the pattern selects.
func TestKeys_aSourceIsReplacedWhenThePatternLeavesOutAnotherTopic(t *testing.T) {
	of := func(dlq string) string {
		return parsed(t, flowOf("a", "brokers: b, topicsPattern: '^orders-.*'", toStdout, "deadLetterTopic: "+dlq)).SourceKey()
	}
	if of("orders-x") == of("orders-y") {
		t.Error("the source goes on reading what is now its dead letter topic")
	}
	if of("x") != of("y") {
		t.Error("a topic that the pattern does not match replaces the source")
	}
}

// U4: flows that read each other's output.
func TestParseDir_refusesFlowsThatWriteInACircle(t *testing.T) {
	to := func(topic string) string { return "type: kafka, config: {brokers: b, topic: " + topic + "}" }
	events := "each event would go round endlessly; write elsewhere, or set a filter"
	letters := "a dead letter would go round and never be delivered; let one of them not read the other's dead letters"
	for name, tc := range map[string]struct {
		flows []string
		want  string // "": accepted
	}{
		"two": {[]string{flowOf("a", "brokers: b, topic: x", to("y"), ""), flowOf("b", "brokers: b, topic: y", to("x"), "")},
			"the flows a, b, a read what the one before them writes: " + events},
		"three, behind one that is in none": {[]string{flowOf("a", "brokers: b, topic: w", to("x"), ""), flowOf("b", "brokers: b, topic: x", to("y"), ""),
			flowOf("c", "brokers: b, topicsPattern: '^y'", to("z"), ""), flowOf("d", "brokers: b, topics: [z]", to("x"), "")},
			"the flows b, c, d, b read what the one before them writes: " + events},
		"two, and one filters":   {[]string{flowOf("a", "brokers: b, topic: x", to("y"), "") + "filter: 'type == \"t\"'\n", flowOf("b", "brokers: b, topic: y", to("x"), "")}, ""},
		"two, on other clusters": {[]string{flowOf("a", "brokers: b, topic: x", to("y"), ""), flowOf("b", "brokers: c, topic: y", "type: kafka, config: {brokers: c, topic: x}", "")}, ""},
		"dead letters": {[]string{flowOf("a", "brokers: b, topic: fiso-dlq-b", toStdout, ""), flowOf("b", "brokers: b, topic: fiso-dlq-a", toStdout, "")},
			"the flows a, b, a read what the one before them writes: " + letters},
		"dead letters, by patterns": {[]string{flowOf("a", "brokers: b, topicsPattern: '.*'", toStdout, ""), flowOf("b", "brokers: b, topicsPattern: '^fiso'", toStdout, "")},
			"the flows a, b, a read what the one before them writes: " + letters},
		"one that tries the dead letters of another again": {[]string{flowOf("a", "brokers: b, topic: x", toStdout, ""), flowOf("b", "brokers: b, topic: fiso-dlq-a", to("x"), "")}, ""},
		"dead letters in files":                            {[]string{flowOf("a", "brokers: b, topic: fiso-dlq-b", toStdout, "deadLetter: {type: file, config: {path: /x}}"), flowOf("b", "brokers: b, topic: fiso-dlq-a", toStdout, "")}, ""},
		"a chain":                                          {[]string{flowOf("a", "brokers: b, topic: x", to("y"), ""), flowOf("b", "brokers: b, topic: y", to("z"), ""), flowOf("c", "brokers: b, topic: x", to("z"), "")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for i, text := range tc.flows {
				put(t, filepath.Join(dir, fmt.Sprintf("%d.yaml", i)), text)
			}
			flows, err := ParseDir(dir)
			if len(flows) != len(tc.flows) {
				t.Errorf("%d flows", len(flows))
			}
			if tc.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			faults, ok := errors.AsType[config.Errors](err)
			if !ok || len(faults) != 1 || faults[0].Message != "source.config: "+tc.want || faults[0].Pos.Line != 2 || faults[0].Key != "source.config" {
				t.Errorf("%v\nwant %s", err, tc.want)
			}
		})
	}
}
